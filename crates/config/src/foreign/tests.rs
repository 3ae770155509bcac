use std::path::PathBuf;

use super::*;
use crate::Config;

fn folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("facteur-config-{name}-{}", std::process::id()));
    for (file, text) in files {
        let path = dir.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn said(findings: &[Finding]) -> Vec<String> {
    let one = |finding: &Finding| match &finding.verdict {
        Verdict::Taken { name, value } => format!("{}: {name}: {value}", finding.source.line),
        Verdict::Needless(why) => format!("{}: {} needless: {why}", finding.source.line, finding.name),
        Verdict::Ignored(why) => format!("{}: {} ignored: {why}", finding.source.line, finding.name),
    };
    findings.iter().map(one).collect()
}

#[test]
fn a_usual_main_cf() {
    let text = "smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)\nbiff = no\nappend_dot_mydomain = no\n\
        smtpd_tls_cert_file=/no/such.pem\nmydomain = virtualux.fr\nmyhostname = srvdmz.$mydomain\n\
        alias_maps = hash:/etc/aliases, nis:mail.aliases\nmynetworks = 127.0.0.0/8 cidr:/etc/postfix/lan\n\
        data_directory = /var/lib/postfix\nmailbox_command = procmail -a \"$EXTENSION\"\nhome_mailbox = Maildir/\n\
        smtpd_forbid_bare_newline = normalize\nmail_spool_directory = ${data_directory}/mail\nmaximal_backoff_time = 1h\n\
        smtpd_relay_restrictions = permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination\n\
        recipient_delimiter = ${home_mailbox?+}\nhome_mailbox = M/\nlisten = 1\n";
    let dir = folder("main", &[("main.cf", text)]);
    let found = said(&postfix(&dir).unwrap());
    let wanted = [
        "1: smtpd_banner: $myhostname ESMTP ${mail_name} (Debian/GNU)",
        "2: biff: no",
        "3: append_dot_mydomain: no",
        "4: smtpd_tls_cert_file ignored: /no/such.pem does not exist",
        "5: mydomain: virtualux.fr",
        "6: myhostname: srvdmz.$mydomain",
        "7: alias_maps: hash:/etc/aliases",
        "8: mynetworks: 127.0.0.0/8, /etc/postfix/lan",
        "9: data_directory needless: Facteur has its own places, users and names",
        "10: mailbox_command: procmail -a \"$EXTENSION\"",
        "11: home_mailbox ignored: line 17 sets it again",
        "12: smtpd_forbid_bare_newline: yes",
        "13: mail_spool_directory: /var/lib/postfix/mail",
        "14: maximal_backoff_time: 1h",
        "15: smtpd_relay_restrictions needless: relaying is for mynetworks, for who has logged in, and for relay_domains",
        "16: recipient_delimiter: +",
        "17: home_mailbox: M/",
        "18: listen ignored: it has no counterpart here",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn conditions_are_decided() {
    let text = "empty =\nwhere = $empty\nsite = m3102.com\nmyorigin = ${site?$site}\nmydomain = ${where:b.fr}\n\
        relayhost = ${site?{[relay.$site]}:{none}}\nmyhostname = ${empty?{x}:{pc.${mydomain}}}\n\
        home_mailbox = ${nobody_knows?Maildir/}\nbiff = ${inet_interfaces?yes}\nmail_spool_directory = $(mail_name?/a)\n\
        smtpd_banner = ${{$site} == {x} ? {a} : {b}}\nmailbox_size_limit = ${site?{0}\nmynetworks = ${loop}\n\
        loop = ${loop?x}\nrecipient_delimiter = $\n";
    let dir = folder("conditions", &[("main.cf", text)]);
    let found = said(&postfix(&dir).unwrap());
    let wanted = [
        "4: myorigin: m3102.com",
        "5: mydomain: b.fr",
        "6: relayhost: [relay.m3102.com]",
        "7: myhostname: pc.${mydomain}",
        "8: home_mailbox: ",
        "9: biff: yes",
        "10: mail_spool_directory: /a",
        "11: smtpd_banner ignored: comparisons such as ${{$site} == {x} ? {a} : {b}} are not understood here",
        "12: mailbox_size_limit ignored: a bracket is open",
        "13: mynetworks ignored: it refers to itself",
        "15: recipient_delimiter ignored: a dollar sign stands alone",
    ];
    let kept: Vec<&String> = found.iter().filter(|line| !line.contains("no counterpart")).collect();
    assert_eq!(kept, wanted.iter().collect::<Vec<_>>());
}

#[test]
fn services_of_master_cf() {
    let text = "# comment\nsmtp      inet  n - y - - smtpd\n#submission inet n - y - - smtpd\nsmtps inet n - y - - smtpd\n  \
        -o smtpd_tls_wrappermode=yes\npickup unix n - y 60 1 pickup\n10025 inet n - y - - smtpd\n  \
        -o content_filter= -o mynetworks=127.0.0.0/8\nsubmission unix - - - - - smtpd\n  -o content_filter=smtp:x\n";
    let dir = folder("master", &[("master.cf", text)]);
    let found = said(&postfix(&dir).unwrap());
    let wanted = [
        "5: option ignored: services have no options of their own here",
        "7: 10025 ignored: only smtp, submission and smtps can be opened",
        "8: content_filter_reinject: 127.0.0.1:10025",
        "10: submission_content_filter: smtp:x",
        "2: smtpd_services: smtp smtps",
    ];
    assert_eq!(found, wanted);
}

#[test]
fn dovecot_of_both_ages() {
    let main = "!include_try /no/such/*.protocol\nprotocols = imap lmtp\nprotocols = $protocols pop3 # more\n\
        !include conf.d/*.conf\n!include_try local.conf\n";
    let mail = "mail_location = mbox:~/mail:INBOX=/var/mail/%u\nnamespace inbox {\n  inbox = yes\n  mailbox Drafts {\n    \
        special_use = \\Drafts\n  }\n}\nmail_access_groups = mail\nssl_cert = </no/such.pem\n";
    let new = "dovecot_config_version = 2.4.1\nauth_allow_cleartext = yes\nmail_driver = maildir\nmail_path = %{home}/Maildir\n\
        mail_inbox_path = /var/mail/%{user}\npassdb pam { driver = pam }\nprotocol imap {\n mail_max_userip_connections = 30\n}\n\
        login_greeting = \"Bonjour # vous\"\n";
    let dir = folder(
        "dovecot",
        &[("dovecot.conf", main), ("conf.d/10-mail.conf", mail), ("conf.d/20-new.conf", new), ("conf.d/x.txt", "}")],
    );
    let wanted = [
        "2: protocols: imap",
        "3: protocols: imap pop3",
        "1: mail_location: mbox:~/mail:INBOX=/var/mail/%u",
        "3: namespace inbox/inbox needless: there is one name space, with the inbox",
        "5: namespace inbox/mailbox Drafts/special_use needless: special folders are known by their usual names",
        "8: mail_access_groups: mail",
        "9: ssl_cert ignored: /no/such.pem does not exist",
        "1: dovecot_config_version needless: there is one version only",
        "2: disable_plaintext_auth: no",
        "3: mail_driver needless: it counts together with mail_driver and mail_path",
        "4: mail_location: maildir:%h/Maildir",
        "5: mail_location: maildir:%h/Maildir:INBOX=/var/mail/%u",
        "6: passdb pam/driver needless: passwords are checked through PAM",
        "8: mail_max_userip_connections: 30",
        "10: login_greeting: Bonjour # vous",
    ];
    assert_eq!(said(&dovecot(&dir).unwrap()), wanted);
    let open = folder("open", &[("dovecot.conf", "service x {\n a = b\n")]);
    assert_eq!(dovecot(&open).unwrap_err().text, "the block service x is not closed");
    assert!(dovecot(Path::new("/no/such/folder")).unwrap().is_empty());
}

#[test]
fn users_in_a_file_of_dovecots() {
    let good =
        "# ours\nkevin:{SHA512-CRYPT}$6$salt$hash:1000:1000:Kevin:/home/kevin:/bin/sh\n\nfoo:*:1001:8::/home/foo:\n";
    let bad = "kevin:{PLAIN}secret:1000:1000::/home/kevin:\n";
    let dir = folder("users", &[("good", good), ("bad", bad), ("short", "kevin:$6$a$b\n")]);
    let here = dir.display();
    let verdict = |conf: String| {
        let dir = folder("users", &[("dovecot.conf", &conf)]);
        said(&dovecot(&dir).unwrap())
    };
    let old = |more: &str, file: &str| {
        format!("{more}passdb {{\n driver = passwd-file\n args = scheme=CRYPT username_format=%u {here}/{file}\n}}\n")
    };
    let taken = format!("3: accounts_file: {here}/good");
    let driver = "2: passdb/driver needless: its file says where the users are";
    assert_eq!(verdict(old("", "good")), [driver, &taken]);
    let wrong = format!(
        "3: passdb/args ignored: {here}/bad:1 is not name:hash:uid:gid:gecos:home:shell with a SHA-crypt hash, as accounts_file wants it"
    );
    assert_eq!(verdict(old("", "bad")), [driver, &wrong]);
    assert!(verdict(old("", "short"))[1].contains("/short:1 is not name:hash"));
    assert_eq!(verdict(old("", "none"))[1], format!("3: passdb/args ignored: {here}/none does not exist"));
    let both = verdict(old("passdb { driver = pam }\n", "good"));
    assert_eq!(
        both[2],
        "4: passdb/args ignored: users come from elsewhere too: accounts_file holds all of them or none"
    );
    let new = format!("passdb passwd-file {{\n passwd_file_path = {here}/good\n}}\n");
    assert_eq!(verdict(new), [format!("2: accounts_file: {here}/good")]);
}

#[test]
fn they_count_between_the_main_file_and_the_parts() {
    let dir = folder(
        "layers",
        &[
            (
                "postfix/main.cf",
                "home_mailbox = Maildir/\nrelayhost = $mydomain\nmyhostname = a.b.fr\nhome_mailbx = x\n",
            ),
            ("postfix/master.cf", "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n"),
            ("dovecot/dovecot.conf", "disable_plaintext_auth = no\n"),
            ("conf.d/local.yaml", "relayhost: '[mine]'\n"),
        ],
    );
    let here = dir.display();
    let text = format!("postfix_directory: {here}/postfix\ndovecot_directory: {here}/dovecot\nhome_mailbox: Other/\n");
    fs::write(dir.join("facteur.yaml"), text).unwrap();
    let config = Config::load(&dir).unwrap();
    let text = |name| config.text(name).to_owned();
    assert_eq!([text("home_mailbox"), text("relayhost"), text("mydomain")], ["Maildir/", "[mine]", "b.fr"]);
    assert_eq!(text("smtpd_services"), "smtp submission");
    assert!(!config.flag("disable_plaintext_auth"));
    assert_eq!(config.source("home_mailbox").unwrap().to_string(), format!("{here}/postfix/main.cf:1"));
    assert_eq!(
        config.warnings(),
        [format!("{here}/postfix/main.cf:4: home_mailbx is unknown, did you mean home_mailbox?")]
    );
    fs::write(dir.join("postfix/main.cf"), "\n\nmailbox_size_limit = many\n").unwrap();
    let problems = Config::load(&dir).unwrap_err();
    assert!(
        problems[0].to_string().starts_with(&format!("{here}/postfix/main.cf:3: mailbox_size_limit: ")),
        "{}",
        problems[0]
    );
}
