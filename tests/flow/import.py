#!/usr/bin/env python3
"""`facteur import` on the files Debian's Postfix and Dovecot come with, and `facteur log summary` beside pflogsumm."""
import os, re, subprocess

from facteur import NOBODY, Failure, System, programs, run

MAIN = """# See /usr/share/postfix/main.cf.dist for a commented, more complete version
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
append_dot_mydomain = no
compatibility_level = 3.6
smtpd_tls_cert_file=/etc/ssl/certs/no-such-snakeoil.pem
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
myhostname = srvdmz.$mydomain
mydomain = virtualux.fr
mydestination = $myhostname, localhost.virtualux.fr,
  localhost, $mydomain
mailbox_size_limit = lots
home_mailbox = Maildir/
smtpd_milters = inet:localhost:8891
"""
MASTER = "smtp inet n - y - - smtpd\nsubmission inet n - y - - smtpd\n  -o smtpd_tls_security_level=encrypt\n"
DOVECOT = "!include_try /usr/share/dovecot/protocols.d/*.protocol\nprotocols = imap\ndisable_plaintext_auth = no\nmail_location = maildir:~/Maildir\n"


def facteur(system, *words, code=0):
    done = subprocess.run([programs() / "facteur", "-c", system.etc, *words], capture_output=True, text=True, timeout=60, **system.as_user)
    if done.returncode != code:
        raise Failure(f"facteur {words} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done.stdout + done.stderr


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def taken_over():
    with System(services=[]) as system:
        for folder, name, text in (("postfix", "main.cf", MAIN), ("postfix", "master.cf", MASTER), ("dovecot", "dovecot.conf", DOVECOT)):
            (system.dir / folder).mkdir(exist_ok=True)
            (system.dir / folder / name).write_text(text)
        (system.etc / "facteur.yaml").write_text("# mine\nbiff: no\n")
        words = ["import", system.dir / "postfix", system.dir / "dovecot"]
        said = facteur(system, *words)
        for line in (
            "    3  append_dot_mydomain = no\n         -> append_dot_mydomain: no\n",
            "    5  smtpd_tls_cert_file = /etc/ssl/certs/no-such-snakeoil.pem\n         IGNORED: /etc/ssl/certs/no-such-snakeoil.pem does not exist\n",
            "    7  myhostname = srvdmz.$mydomain\n         -> myhostname: srvdmz.$mydomain\n",
            "   11  mailbox_size_limit = lots\n         IGNORED: \"lots\" is not a size: write 10240000 or 10M\n",
            "   12  home_mailbox = Maildir/\n         -> home_mailbox: Maildir/\n",
            "    1  services = smtp submission\n         -> smtpd_services: smtp submission\n",
            "    3  disable_plaintext_auth = no\n         -> disable_plaintext_auth: no\n",
        ):
            if line not in said:
                raise Failure(f"{line!r} is not in\n{said}")
        same((system.etc / "facteur.yaml").read_text(), "# mine\nbiff: no\n")
        facteur(system, *words, "--write")
        values = {name: facteur(system, "config", "get", name).strip() for name in ("mydestination", "home_mailbox", "protocols", "disable_plaintext_auth", "mailbox_size_limit")}
        same(values, {"mydestination": "srvdmz.virtualux.fr, localhost.virtualux.fr, localhost, virtualux.fr", "home_mailbox": "Maildir/",
                      "protocols": "imap", "disable_plaintext_auth": "no", "mailbox_size_limit": "0"})
        same((system.etc / "facteur.yaml").read_text().startswith("# mine\nbiff: no\n"), True)
        facteur(system, "import", "/no/such", "/no/such", code=1)


def record(kind, value=b""):
    """As Postfix writes one: what it is, the length in groups of seven bits, the value."""
    head, length = kind.encode(), len(value)
    while length > 127:
        head, length = head + bytes([length & 127 | 128]), length >> 7
    return head + bytes([length]) + value


def postfix_file(path, sender, recipients, content, done=(), mode=0o700):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [record("N", line) for line in content.encode().splitlines()]
    people = [record("D", name.encode()) for name in done] + [record("R", name.encode()) for name in recipients]
    path.write_bytes(b"".join([record("C", b"%15d" % len(content)), record("T", b"1763692800 0"), record("S", sender.encode()), *people,
                               record("p", b"%15d" % 0), record("M"), *lines, record("X"), record("E")]))
    path.chmod(mode)


def postfix_queue():
    with System(services=["master"]) as system:
        theirs = system.dir / "postfix"
        postfix_file(theirs / "deferred/4/4ABC", "luke@starwars.example", ["kevin@m3102.com"], "Subject: waited\n\n.\nFrom me\n" + "x" * 900 + "\n", done=["foo@m3102.com"])
        postfix_file(theirs / "maildrop/5ABC", "", ["kevin", "bar"], "Subject: a bounce\n\nb\n")
        postfix_file(theirs / "incoming/6ABC", "a@b", ["foo@m3102.com"], "Subject: not whole\n\nc\n", mode=0o600)
        postfix_file(theirs / "hold/7ABC", "a@b", ["foo@m3102.com"], "Subject: held\n\nd\n")
        (theirs / "active").mkdir()
        (theirs / "active/8ABC").write_bytes(b"no such thing")
        (theirs / "active/8ABC").chmod(0o700)
        if system.as_user:
            for path in [theirs, *theirs.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)
        said = facteur(system, "queue", "import", theirs, code=1)
        same(said, f"2 messages of Postfix's queue taken over\n1 on hold in {theirs} left there; to take over these too: --held\n"
                   f"facteur: {theirs}/active/8ABC stays: it is no whole message of Postfix's\n")
        kevin, bar = system.wait_mails("kevin", 2), system.wait_mails("bar", 1)
        waited = next(text for text in kevin if "Subject: waited" in text)
        same("\n\n.\nFrom me\n" + "x" * 900 + "\n" in waited and "Return-Path: <luke@starwars.example>" in waited, True)
        same("Return-Path: <>" in bar[0], True)
        same(sorted(path.name for path in theirs.rglob("*") if path.is_file()), ["6ABC", "7ABC", "8ABC"])
        (theirs / "active/8ABC").unlink()
        same(facteur(system, "queue", "import", "--held", theirs), "1 message of Postfix's queue taken over\n")
        same("Subject: held" in system.wait_mails("foo", 1)[0], True)
        (theirs / "pid").mkdir()
        (theirs / "pid/master.pid").write_text("1\n")
        same(facteur(system, "queue", "import", theirs), "0 messages of Postfix's queue taken over\n")


def numbers(text, names):
    found = {}
    for name, pattern in names.items():
        number = re.search(rf"^ *(\d+)([k ])? +{pattern}", text, re.M)
        if not number:
            raise Failure(f"no {name} in\n{text}")
        found[name] = int(number[1])
    return found


def the_log_in_numbers():
    with System(services=["master", "popd"], mynetworks="127.0.0.1/32", defer_transports="smtp") as system:
        (system.etc / "aliases").write_text("root: eleve\ngone: nobody-here\n")
        outside = system.connect(25, source="127.0.0.2")
        outside.expect(None, "220")
        outside.expect("EHLO pc", "250")
        outside.expect("MAIL FROM:<a@b.example>", "250")
        outside.expect("RCPT TO:<luke@starwars.univ>", "454 4.7.1")
        outside.expect("QUIT", "221")
        sent = [system.send(to) for to in ("kevin@m3102.com", ["kevin@m3102.com", "foo@m3102.com"], "luke@starwars.univ", "gone@m3102.com")]
        system.sendmail("-f", "kevin", "root", text="Subject: x\n\nx\n")
        system.wait_log(rf"{sent[2]}: .*status=deferred")
        system.wait("an end of everything", lambda: system.log_text().count("(queue active)") == system.log_text().count(": removed") + 1 and system.queued() == 1)
        session = system.pop3()
        for command in (None, "USER kevin", "PASS kevin", "QUIT"):
            if command:
                session.send(command)
            session.line()
        system.wait_log(r"pop3-login.*Login: user=<kevin>")
        theirs = subprocess.run(["pflogsumm", "--syslog-name=facteur", system.log], capture_output=True, text=True, check=True).stdout
        ours = facteur(system, "log", "summary", "--since", "today")
        names = {"received": "received$", "delivered": "delivered$", "forwarded": "forwarded$", "deferred": r"deferred +\(", "bounced": "bounced$",
                 "senders": "senders$", "recipients": "recipients$"}
        same(numbers(ours, names | {"rejected": "rejected$", "received bytes": "bytes received", "delivered bytes": "bytes delivered"}),
             numbers(theirs, names | {"rejected": r"rejected \(", "received bytes": "bytes received", "delivered bytes": "bytes delivered"}))
        same(re.search(r"Logins\n +1  kevin \(pop3\)", ours) is not None, True)
        same("454 4.7.1 Relay access denied" in ours, True)
        same(facteur(system, "log", "summary", "--until", "yesterday"), "There is nothing in the log of that time.\n")
        lines = facteur(system, "log", "-n", "100", "--user", "foo").splitlines()
        same(all(sent[1] in line for line in lines) and any("to=<foo@m3102.com>" in line for line in lines), True)
        same(len(facteur(system, "log", "-n", "2", "--program", "qmgr").splitlines()), 2)


run(taken_over, postfix_queue, the_log_in_numbers)
