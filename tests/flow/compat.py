#!/usr/bin/env python3
"""The labs' command names, called as they are typed there: postfix, postconf, postqueue, postsuper, postmap, doveadm...
and edits of main.cf and 10-mail.conf that count at reload."""
import os, pathlib, re, subprocess

from facteur import NOBODY, Failure, System, programs, run

SETTINGS = {"myhostname": "localhost", "defer_transports": "smtp"}


class Lab(System):
    """With the files of Postfix and Dovecot beside ours, and the commands under their own names."""

    def __init__(self, **parameters):
        super().__init__(**SETTINGS | parameters)
        self.bin, self.postfix, self.dovecot = (self.etc / name for name in ("bin", "postfix", "dovecot"))
        for folder in (self.bin, self.postfix, self.dovecot / "conf.d"):
            folder.mkdir(parents=True)
        for name in "postfix postconf postqueue postsuper postcat postmap postalias doveconf doveadm dovecot".split():
            (self.bin / name).symlink_to(programs() / "facteur-compat")
        self.configure(postfix_directory=self.postfix, dovecot_directory=self.dovecot)
        (self.dovecot / "dovecot.conf").write_text("protocols = imap pop3\n!include conf.d/*.conf\n")
        self.write(self.postfix / "main.cf", "# main.cf of the lab\nbiff = no\nsmtpd_milters =\n")
        if self.as_user:
            for path in [self.etc, *self.etc.rglob("*")]:
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    def write(self, path, text):
        path.write_text(text)

    def call(self, line, code=0, text=None):
        """A command line, as the system's user; what it prints."""
        name, *words = line if isinstance(line, list) else line.split()
        environment = {"FACTEUR_CONFIG": str(self.etc), "PATH": "/usr/bin:/bin"}
        done = subprocess.run([self.bin / name, *words], input=text, capture_output=True, text=True, timeout=60, env=environment, **self.as_user)
        if done.returncode != code:
            raise Failure(f"{line} ended with {done.returncode}, not {code}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def like(got, pattern):
    if not re.search(pattern, got, re.M):
        raise Failure(f"{pattern!r} does not match {got!r}")


def settings():
    with Lab() as lab:
        same(lab.call("postconf biff home_mailbox"), "biff = no\nhome_mailbox = Maildir/\n")
        same(lab.call("postconf -h home_mailbox"), "Maildir/\n")
        like(lab.call("postconf -d mailbox_size_limit"), r"^mailbox_size_limit = \d+$")
        like(lab.call("postconf mydestinaton"), "warning: mydestinaton: unknown parameter")
        like(lab.call("postconf -n"), r"^smtpd_milters =$")
        same(lab.call(["postconf", "-e", "home_mailbox = Other/"]), "")
        same((lab.postfix / "main.cf").read_text(), "# main.cf of the lab\nbiff = no\nsmtpd_milters =\nhome_mailbox = Other/\n")
        like(lab.call(["postconf", "mydomain=virtualux.fr", "mydestination=m3102.com, vm.$mydomain, localhost"]), "^$")
        like(lab.call("postconf mydestination"), r"^mydestination = m3102.com, vm.\$\{?mydomain\}?, localhost$")
        like(lab.call("postconf -x mydestination"), r"^mydestination = m3102.com, vm.virtualux.fr, localhost$")
        same(lab.call("postfix check"), "")
        like(lab.call("postfix reload"), "refreshing the Facteur mail system")
        lab.wait_log(r"facteur/master\[\d+\]: reload")
        lab.send("toto@vm.virtualux.fr")
        lab.wait_log(r"to=<toto@vm.virtualux.fr>.*status=sent \(delivered to maildir\)")
        same(len(list((lab.home / "toto/Other/new").iterdir())), 1)
        same(lab.call("postconf -X home_mailbox"), "")
        same(lab.call("postconf -h home_mailbox"), "Maildir/\n")
        lab.write(lab.postfix / "main.cf", "mailbox_size_limit = many\n")
        like(lab.call("postfix check", code=1), r"main\.cf:1: mailbox_size_limit: \"many\" is not a size")
        lab.call("postfix reload", code=1)
        like(lab.call("postfix status"), r"is running: PID: \d+")
        same(lab.call(["postconf", "-e", "mailbox_size_limit = 0"]), "")
        same(lab.call("postfix check"), "")
        like(lab.call(["postconf", "-e", "message_size_limit = abc"], code=1), r'main\.cf:\d+: message_size_limit: "abc" is not a size')
        same((lab.postfix / "main.cf").read_text(), "mailbox_size_limit = 0\n")


def dovecots_files():
    with Lab() as lab:
        lab.send("kevin@m3102.com")
        lab.wait_mails("kevin", 1)
        spool = lab.dir / "mail"
        lab.write(lab.dovecot / "conf.d/10-mail.conf", f"mail_location = mbox:~/mail:INBOX={spool}/%u\nmail_access_groups = mail\n")
        lab.write(lab.dovecot / "conf.d/10-auth.conf", "auth_allow_cleartext = yes\n")
        like(lab.call("doveconf -n"), rf"^mail_location = mbox:~/mail:INBOX={spool}/%u$")
        same(lab.call("doveconf -h disable_plaintext_auth auth_allow_cleartext"), "no\nyes\n")
        like(lab.call("doveadm reload"), r"warning: mail is delivered to .* but POP3 and IMAP read ")
        lab.wait_log(r"facteur/popd\[\d+\]: reload")
        like(lab.call("doveadm mailbox status -u kevin messages INBOX"), r"^INBOX messages=0$")
        lab.write(lab.dovecot / "conf.d/10-mail.conf", "mail_driver = maildir\nmail_path = ~/Maildir\n")
        lab.call("doveadm reload")
        like(lab.call("doveadm mailbox status -u kevin messages INBOX"), r"^INBOX messages=1$")


def queue():
    with Lab() as lab:
        same(lab.call("postqueue -p"), "Mail queue is empty\n")
        ids = [lab.send("luke@starwars.example", subject=f"mail {count}") for count in range(3)]
        for ident in ids:
            lab.wait_log(rf"{ident}: to=<luke@starwars.example>.*status=deferred")
        like(lab.call("postqueue -p"), rf"^{ids[0]} .*\n.*(\n.*)*-- \d+ Kbytes in 3 Requests\.$")
        text = lab.call(f"postcat -q {ids[0]}")
        like(text, rf"^\*\*\* ENVELOPE RECORDS {ids[0]} \*\*\*(.*\n)+\*\*\* MESSAGE CONTENTS {ids[0]} \*\*\*\n(.*\n)*Subject: mail 0")
        like(lab.call(f"postqueue -j"), r'"queue_name":"deferred"')
        lab.call(f"postsuper -h {ids[0]}")
        like(lab.call("postqueue -p"), rf"^{ids[0]}!")
        lab.call(f"postsuper -H {ids[0]}")
        lab.mark_log()
        same(lab.call("postqueue -f"), "")
        lab.wait_log(rf"{ids[1]}: tried again by hand")
        lab.wait("all at rest again", lambda: lab.call("postqueue -j").count('"deferred"') == 3)
        lab.mark_log()
        same(lab.call("postqueue -s nowhere.example"), "")
        same(lab.call("postqueue -s [starwars.example]"), "")
        lab.wait_log(r"mail for starwars\.example is tried now")
        lab.wait_log(rf"{ids[2]}: to=<luke@starwars.example>.*status=deferred")
        like(lab.call("postqueue -s not/a/domain", code=1), "is not a domain")
        lab.wait("all at rest once more", lambda: lab.call("postqueue -j").count('"deferred"') == 3)
        lab.call(["postsuper", "-d", "-"], text=f"{ids[0]}\n")
        lab.call("postsuper -d ALL deferred")
        same(lab.call("postqueue -p"), "Mail queue is empty\n")
        like(lab.call("postsuper -d NOSUCH", code=1), "there is no message NOSUCH")


def tables():
    with Lab() as lab:
        table = lab.etc / "transport"
        lab.write(table, "# comment\nstarwars.example smtp:[10.0.0.1]\n")
        same(lab.call(f"postmap hash:{table}"), "")
        same(lab.call(f"postmap -q starwars.example hash:{table}"), "smtp:[10.0.0.1]\n")
        same(lab.call(f"postmap -q nothing hash:{table}", code=1), "")
        same(lab.call(f"postalias {lab.etc}/aliases"), "")
        same(lab.call(f"postalias -q root hash:{lab.etc}/aliases"), "eleve\n")
        lab.write(lab.etc / "broken", "root eleve\n")
        like(lab.call(f"postalias {lab.etc}/broken", code=1), r"broken:1: ")


def people():
    with Lab() as lab:
        like(lab.call("doveadm auth test kevin kevin"), r"^passdb: kevin auth succeeded$")
        like(lab.call("doveadm auth test kevin@m3102.com wrong", code=77), r"^passdb: kevin@m3102.com auth failed$")
        like(lab.call("doveadm user kevin"), rf"^mail\tmaildir:{lab.home}/kevin/Maildir/?$")
        like(lab.call("doveadm user nobody-here", code=67), "doesn't exist")
        like(lab.call("doveadm pw -p secret"), r"^\{SHA512-CRYPT\}\$6\$")
        like(lab.call("doveadm log find"), rf"^Error: {lab.log}$")
        same(len(lab.call("doveadm who").splitlines()), 1)
        session = lab.imap()
        session.line()
        session.send("a LOGIN kevin kevin")
        while not session.line().startswith("a OK"):
            pass
        like(lab.call("doveadm who"), r"^kevin +1 imap +\(\d+\) +\(127\.0\.0\.1\)$")
        session.send("a LOGOUT")
        lab.wait_log(r"imap\(kevin\).*Disconnected")
        same(len(lab.call("doveadm who").splitlines()), 1)


def mailboxes():
    with Lab() as lab:
        for subject in ("one", "two", "three"):
            lab.send("kevin@m3102.com", subject=subject, body=f"text of {subject}")
        lab.wait_mails("kevin", 3)
        lab.call("doveadm mailbox create -u kevin Archive")
        same(sorted(lab.call("doveadm mailbox list -u kevin").split()), ["Archive", "INBOX"])
        like(lab.call(["doveadm", "mailbox", "status", "-u", "kevin", "messages unseen", "INBOX"]), r"^INBOX messages=3 unseen=3$")
        found = lab.call("doveadm search -u kevin mailbox INBOX subject two").split()
        same(found[1:], ["2"])
        like(lab.call(["doveadm", "fetch", "-u", "kevin", "user mailbox uid hdr.subject body", "mailbox", "inbox", "uid", "2"]), r"^user: kevin\nmailbox: INBOX\nuid: 2\nhdr.subject: two\nbody:\ntext of two$")
        like(lab.call("doveadm expunge -u kevin all", code=1), "must contain MAILBOX")
        lab.call("doveadm expunge -u kevin mailbox INBOX not subject two")
        like(lab.call("doveadm mailbox status -u kevin messages INBOX"), r"messages=1$")
        like(lab.call("doveadm quota get -u kevin", code=1), "there are no quotas")


def start_and_stop():
    with Lab() as lab:
        like(lab.call("postfix status"), r"is running: PID: \d+$")
        lab.call("postfix stop")
        like(lab.call("postfix status", code=1), "is not running")
        same(lab.pids("popd") != [], True)
        lab.call("postfix start")
        lab.send("kevin@m3102.com")
        lab.wait_mails("kevin", 1)
        lab.call("dovecot stop")
        lab.wait("readers gone", lambda: not lab.pids("popd") and not lab.pids("imapd"))
        lab.call("dovecot")
        session = lab.pop3()
        like(session.line(), r"^\+OK")
        lab.call("postfix stop")
        lab.call("doveadm stop")


def ssmtp():
    """Lab E, with another mail system of ours as the provider: port 587, STARTTLS, a password."""
    with Lab(smtpd_tls_auth_only="yes", auth_failure_delay="0s", mynetworks="127.0.0.99/32") as provider:
        (provider.bin / "ssmtp").symlink_to(programs() / "facteur-compat")
        conf, aliases = provider.etc / "ssmtp.conf", provider.etc / "revaliases"
        usual = f"root=eleve@m3102.com\nmailhub=localhost:{587 + provider.offset}\nAuthUser=kevin\nAuthPass=kevin\nUseTLS=YES\nUseSTARTTLS=YES\n" \
                "rewriteDomain=m3102.com\nhostname=pc.m3102.com\nFromLineOverride=YES\n"
        provider.write(conf, usual)
        message = "To: toto@m3102.com\nFrom: kevin@m3102.com\nSubject: Essai\n\nBonjour, é.\n"
        warned = "ssmtp: warning: the certificate of localhost cannot be trusted: "
        like(provider.call(f"ssmtp -C {conf} toto@m3102.com", text=message), "^" + warned)
        mail = provider.wait_mails("toto", 1)[0]
        like(mail, r"^Return-Path: <kevin@m3102.com>\n(.*\n)*Subject: Essai\n(.*\n)*\nBonjour, é\.$")
        like(mail, r"with ESMTPSA id ")
        provider.wait_log(r"facteur/ssmtp\[\d+\]: Sent mail for kevin@m3102.com \(250 2.0.0 Ok: queued as \w+\)")
        # Without FromLineOverride the sender is that of revaliases; mail for root goes to root=.
        provider.write(conf, usual.replace("FromLineOverride=YES", "FromLineOverride=NO"))
        who = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True, **provider.as_user).stdout.strip()
        provider.write(aliases, f"{who}:kevin@m3102.com:localhost:{587 + provider.offset}\n")
        provider.call(f"ssmtp -C {conf} -t", text="To: root\nFrom: president@elysee.example\n\nx\n")
        mail = provider.wait_mails("eleve", 1)[0]
        same(("president" in mail, "Return-Path: <kevin@m3102.com>" in mail), (False, True))
        aliases.unlink()
        provider.write(conf, usual.replace("AuthPass=kevin", "AuthPass=wrong"))
        like(provider.call(f"ssmtp -C {conf} toto@m3102.com", code=1, text=message), r"^ssmtp: Authorization failed \(535 5\.7\.8 Error: authentication failed.*\)$")
        provider.write(conf, usual.replace(f"{587 + provider.offset}", "1"))
        like(provider.call(f"ssmtp -C {conf} toto@m3102.com", code=1, text=message), r"^ssmtp: Cannot open localhost:1")
        provider.write(conf, usual)
        like(provider.call(f"ssmtp -C {conf} nobody-here@m3102.com", code=1, text=message), r"550 5\.1\.1 ")
        provider.write(conf, usual.replace("UseSTARTTLS=YES", "UseSTARTTLS=NO").replace(f"{587 + provider.offset}", f"{465 + provider.offset}"))
        provider.call(f"ssmtp -C {conf} foo@m3102.com", text=message)
        provider.wait_mails("foo", 1)


run(ssmtp, settings, dovecots_files, queue, tables, people, mailboxes, start_and_stop)
