use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::*;

fn parse(text: &str) -> Result<Config, Vec<String>> {
    Config::parse(Path::new("/etc/facteur"), text).map_err(|all| all.iter().map(ToString::to_string).collect())
}

fn problems(text: &str) -> Vec<String> {
    parse(text).expect_err("this file is wrong")
}

#[test]
fn table_is_in_order_and_its_defaults_are_right() {
    assert!(param::TABLE.is_sorted_by(|a, b| a.name < b.name));
    let config = parse("").unwrap();
    assert_eq!(config.bytes("message_size_limit"), 10_240_000);
    assert_eq!(config.time("maximal_queue_lifetime"), Duration::from_secs(5 * 86_400));
    assert_eq!(config.time("delay_warning_time"), Duration::ZERO);
    assert_eq!(config.list("protocols"), ["imap", "pop3"]);
    assert!(config.flag("disable_plaintext_auth") && !config.flag("biff"));
    assert_eq!(config.text("smtpd_banner"), format!("{} ESMTP Facteur", config.text("myhostname")));
    assert_eq!(config.text("mailbox_command"), "");
    assert!(config.networks("smtpd_forbid_bare_newline_exclusions").contains("127.0.0.1".parse().unwrap()));
}

#[test]
fn names_refer_to_each_other_in_any_order() {
    let config = parse(
        "relay_domains: $mydestination\nmydestination: $myhostname,localhost.$mydomain,localhost,${mydomain}\n\
         myhostname: srvdmz.$mydomain\nmydomain: virtualux.fr\nrelayhost: $mydomain\n",
    )
    .unwrap();
    let domains = ["srvdmz.virtualux.fr", "localhost.virtualux.fr", "localhost", "virtualux.fr"];
    assert_eq!(config.list("relay_domains"), domains);
    assert_eq!(config.text("relayhost"), "virtualux.fr");
}

#[test]
fn lists_as_people_write_them() {
    for text in [
        "mynetworks: 192.168.4.0/24 127.0.0.0/8",
        "mynetworks: [192.168.4.0/24, 127.0.0.0/8]",
        "mynetworks:\n- 192.168.4.0/24\n- 127.0.0.0/8\n",
    ] {
        assert_eq!(parse(text).unwrap().list("mynetworks"), ["192.168.4.0/24", "127.0.0.0/8"]);
    }
    assert_eq!(parse("alias_maps: hash:/etc/aliases").unwrap().list("alias_maps"), ["/etc/aliases"]);
    assert_eq!(parse("ssl_cert: </etc/ssl/a.pem").unwrap().text("smtpd_tls_cert_file"), "/etc/ssl/a.pem");
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let file = "/etc/facteur/facteur.yaml";
    let table = [
        ("\nhome_mailbx: Maildir/", "2: unknown name home_mailbx, did you mean home_mailbox?"),
        ("home_mailbox = Maildir/", "1: write \"home_mailbox: Maildir/\", with a colon and a blank"),
        ("# x\nbiff:no", "2: write \"biff: no\", with a colon and a blank"),
        ("biff: no\nbiff: yes", "2: biff stands here a second time, first in line 1"),
        ("biff: perhaps", "1: biff: \"perhaps\" is neither yes nor no"),
        ("smtpd_recipient_limit: many", "1: smtpd_recipient_limit: \"many\" is not a whole number"),
        ("smtpd_recipient_limit: 0", "1: smtpd_recipient_limit: 0 is too small, the least is 1"),
        ("inet_protocols: ipv5", "1: inet_protocols: \"ipv5\" is not one of all, ipv4, ipv6"),
        ("mydomain: $myhostnam", "1: mydomain: unknown name $myhostnam, did you mean $myhostname?"),
        ("queue_directory: spool", "1: queue_directory: \"spool\" is not a full file name: it must begin with /"),
        ("myorigin: /no/such", "1: myorigin: cannot read /no/such: No such file or directory"),
        ("mydestination: localhost /no/such", "1: mydestination: cannot read /no/such: No such file or directory"),
        (
            "mydomain: $myhostname\nmyhostname: a.$mydomain",
            "2: myhostname: refers to itself: myhostname -> mydomain -> myhostname",
        ),
        ("biff: [no, yes]", "1: biff: takes one value, not a list"),
        ("biff:\n  deep: yes", "1: biff: it has no parts of its own; is something indented by mistake?"),
    ];
    for (text, expected) in table {
        assert_eq!(problems(text).first().unwrap(), &format!("{file}:{expected}"), "{text}");
    }
    assert!(problems("listen: *, ::")[0].contains("put it in \"quotes\""));
    assert_eq!(problems("biff: perhaps\nssl: maybe\nfoo: 1").len(), 3);
    assert_eq!(problems("myhostname: $x\nmydomain: $myhostname").len(), 1);
}

#[test]
fn a_small_file_cannot_become_a_big_value() {
    let names: Vec<&str> =
        param::TABLE.iter().filter(|row| row.kind == param::Kind::Text).map(|row| row.name).collect();
    let doubled = names.windows(2).map(|pair| format!("{}: ${}$$${}\n", pair[0], pair[1], pair[1]));
    let text: String =
        doubled.collect::<String>() + names.last().unwrap() + ": 0123456789012345678901234567890123456789\n";
    assert!(problems(&text)[0].ends_with("becomes far too long"));
    assert!(problems("myorigin: /dev/zero")[0].ends_with("it is not a plain file of at most 1 MiB"));
}

#[test]
fn files_are_read_in_order() {
    let dir = std::env::temp_dir().join(format!("facteur-config-{}", std::process::id()));
    fs::create_dir_all(dir.join("conf.d")).unwrap();
    fs::write(dir.join("facteur.yaml"), "biff: yes\nmyorigin: ".to_owned() + &dir.join("mailname").to_string_lossy())
        .unwrap();
    fs::write(dir.join("mailname"), "m3102.com\n").unwrap();
    fs::write(dir.join("conf.d/20.yaml"), "mail_name: B").unwrap();
    fs::write(dir.join("conf.d/10.yaml"), "mail_name: A\nbiff: no").unwrap();
    fs::write(dir.join("conf.d/30.yaml.bak"), "what is this").unwrap();
    let config = Config::load(&dir).unwrap();
    fs::remove_dir_all(&dir).unwrap();
    assert_eq!((config.text("mail_name"), config.flag("biff"), config.text("myorigin")), ("B", false, "m3102.com"));
    assert_eq!(config.source("biff").unwrap().to_string(), format!("{}:2", dir.join("conf.d/10.yaml").display()));
    assert_eq!(config.source("hopcount_limit"), None);
    let gone = Config::load(&PathBuf::from("/no/such/dir")).unwrap_err();
    assert_eq!(gone[0].to_string(), "/no/such/dir: cannot be read: No such file or directory");
}

#[test]
fn a_value_as_it_was_written() {
    let config = Config::parse(Path::new("/"), "mydomain: a.fr\nmyhostname: vm.$mydomain\nrelayhost:\n").unwrap();
    assert_eq!((config.text("myhostname"), config.written("myhostname")), ("vm.a.fr", "vm.$mydomain"));
    assert_eq!((config.written("relayhost"), config.written("smtpd_timeout")), ("", "300s"));
    assert!(config.written("mydestination").starts_with("$myhostname"));
}

#[test]
fn what_is_right_can_be_had_beside_what_is_wrong() {
    let dir = std::env::temp_dir().join(format!("facteur-salvage-{}", std::process::id()));
    let postfix = dir.join("postfix");
    fs::create_dir_all(&postfix).unwrap();
    fs::write(dir.join(Config::FILE), format!("postfix_directory: {}\nbiff: maybe\n", postfix.display())).unwrap();
    fs::write(
        postfix.join("main.cf"),
        "message_size_limit = abc\nqueue_minfree = $message_size_limit\nmyhostname = vm\n",
    )
    .unwrap();
    assert!(Config::load(&dir).is_err());
    let (config, problems) = Config::salvage(&dir).unwrap();
    assert_eq!((config.text("myhostname"), config.text("message_size_limit")), ("vm", "10240000"));
    assert_eq!(config.path("postfix_directory"), Some(postfix));
    assert_eq!(problems.len(), 2, "{problems:?}");
    let mended = Config::load_with_main_cf(&dir, "message_size_limit = 5\n").unwrap_err();
    assert!(mended.len() == 1 && mended[0].text.starts_with("biff: "), "{mended:?}");
    fs::remove_dir_all(dir).unwrap();
}
