#!/usr/bin/env python3
"""Submission on 587 and 465 with the real programs: TLS and login first, senders that are one's own, and limits that hold."""
import base64, os, ssl

from facteur import Failure, Lines, System, run


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def holds(text, *parts):
    for part in parts:
        if part not in text:
            raise Failure(f"{part!r} is not in\n{text}")


def secured(session):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    session.file.close()
    session.socket = context.wrap_socket(session.socket)
    session.file = session.socket.makefile("rb")
    return session


def plain(user, password=None):
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password or user.split('@')[0]}".encode()).decode()


def submission(system, user=None):
    """A session on 587 with TLS, and a login if told."""
    s = system.connect(587)
    s.expect(None, "220 ")
    s.expect("EHLO pc", "250")
    s.expect("STARTTLS", "220")
    secured(s).expect("EHLO pc", "250")
    if user:
        s.expect(plain(user), "235 2.7.0")
    return s


def send(s, sender, recipients, text="Subject: x\r\n\r\nx"):
    s.expect(f"MAIL FROM:<{sender}>", "250")
    for recipient in recipients:
        s.expect(f"RCPT TO:<{recipient}>", "250")
    s.expect("DATA", "354")
    return s.expect(f"{text}\r\n.", "250 2.0.0 Ok: queued as ").rsplit(" ", 1)[1]


def started(**parameters):
    return System(services=["master"], **parameters)


def order():
    """TLS, then AUTH, then mail; what is missing in the header is added."""
    with started() as system:
        elsewhere = system.connect(587, source="127.0.0.2")  # not the address it connects to: another machine
        elsewhere.expect(None, "220 ")
        reply = elsewhere.expect("EHLO pc", "250")
        same(("STARTTLS" in reply, "AUTH" in reply), (True, False))
        same(elsewhere.smtp("MAIL FROM:<kevin@m3102.com>"), "530 5.7.0 Must issue a STARTTLS command first")
        same(elsewhere.smtp(plain("kevin")), "538 5.7.11 Encryption required for requested authentication mechanism")
        s = system.connect(587)
        s.expect(None, "220 ")
        s.expect("EHLO pc", "250")
        s.expect("STARTTLS", "220")
        holds(secured(s).expect("EHLO pc", "250"), "AUTH PLAIN LOGIN")
        same(s.smtp("MAIL FROM:<kevin@m3102.com>"), "530 5.7.0 Authentication required")
        s.expect(plain("kevin", "wrong"), "535 5.7.8")
        s.expect(plain("kevin"), "235 2.7.0")
        ident = send(s, "kevin@m3102.com", ["toto@m3102.com"], "Subject: from a program\r\nTo: toto\r\n\r\nx")
        mail, = system.wait_mails("toto", 1)
        holds(mail, "Return-Path: <kevin@m3102.com>\n", "with ESMTPSA id", "\nMessage-Id: <", "\nDate: ", "\nFrom: kevin@m3102.com\n", "\nTo: toto@m3102.com\n")
        system.wait_log(rf"smtpd\[\d+\]: {ident}: client=localhost\[127\.0\.0\.1\], sasl_method=PLAIN, sasl_username=kevin")
        wrapped = Lines(465 + system.offset, timeout=20)
        secured(wrapped).expect(None, "220 ")
        wrapped.expect("EHLO pc", "250")
        same(wrapped.smtp("MAIL FROM:<kevin@m3102.com>"), "530 5.7.0 Authentication required")
        wrapped.expect(plain("kevin@m3102.com"), "235")
        send(wrapped, "kevin@m3102.com", ["toto@m3102.com"])
        system.wait_mails("toto", 2)
    for source, setting in (("127.0.0.1", {}), ("127.0.0.2", {"login_trusted_networks": "127.0.0.2/31"}), ("127.0.0.2", {"smtpd_tls_auth_only": "no"})):
        in_clear(source, **setting)


def in_clear(source, **setting):
    """A password without TLS: from this machine, from where it is trusted, or where TLS is not asked for."""
    with started(**setting) as system:
        s = system.connect(587, source=source)
        s.expect(None, "220 ")
        holds(s.expect("EHLO pc", "250"), "AUTH PLAIN LOGIN")
        same(s.smtp("MAIL FROM:<kevin@m3102.com>"), "530 5.7.0 Authentication required")
        s.expect(plain("kevin"), "235")
        send(s, "kevin@m3102.com", ["toto@m3102.com"])
        system.wait_mails("toto", 1)


def encrypt():
    """smtpd_tls_security_level: encrypt demands TLS on 25 too."""
    with started(smtpd_tls_security_level="encrypt") as system:
        s = system.smtp()
        s.expect("EHLO pc", "250")
        same(s.smtp("MAIL FROM:<a@b.example>"), "530 5.7.0 Must issue a STARTTLS command first")
        s.expect("STARTTLS", "220")
        secured(s).expect("EHLO pc", "250")
        send(s, "a@b.example", ["toto@m3102.com"])
        system.wait_mails("toto", 1)


def senders():
    """A sender address belongs to a login: one's own, one's aliases, and what the table says."""
    with started() as system:
        (system.etc / "aliases").write_text("postmaster: root\nroot: eleve\ninfo: kevin\n")
        system.configure(smtpd_sender_login_maps="inline:{boss@partner.example=kevin}")
        if "master" in system.children:
            system.stop("master")
        system.start("master")
        s = submission(system, "kevin")
        for sender in ("kevin@m3102.com", "kevin+list@vm.m3102.com", "info@m3102.com", "boss@partner.example", ""):
            send(s, sender, ["toto@m3102.com"])
        for sender in ("toto@m3102.com", "kevin@elsewhere.example"):
            s.expect(f"MAIL FROM:<{sender}>", "250")
            same(s.smtp("RCPT TO:<toto@m3102.com>"), f"553 5.7.1 <{sender}>: Sender address rejected: not owned by user kevin")
            s.expect("RSET", "250")
        system.wait_log(r"smtpd\[\d+\]: NOQUEUE: reject: RCPT from localhost\[127\.0\.0\.1\]: 553 5\.7\.1 <toto@m3102\.com>: Sender address rejected: not owned by user kevin; from=<toto@m3102\.com> to=<toto@m3102\.com> proto=ESMTP helo=<pc>")
        # Port 25 in our networks stays as it is: anybody may be anybody.
        system.send("toto@m3102.com")
        system.wait_mails("toto", 6)
    with started(submission_reject_sender_login_mismatch="no") as system:
        send(submission(system, "kevin"), "president@elsewhere.example", ["toto@m3102.com"])
        system.wait_mails("toto", 1)


def limits():
    """What a login sends beyond its limits is taken, held and told; the others are not concerned."""
    with started(submission_message_limit=2, submission_recipient_limit=10) as system:
        s = submission(system, "kevin")
        for _ in range(2):
            send(s, "kevin@m3102.com", ["toto@m3102.com"])
        held = [send(s, "kevin@m3102.com", ["toto@m3102.com", "titi@m3102.com"]), send(submission(system, "kevin@m3102.com"), "kevin@m3102.com", ["toto@m3102.com"])]
        system.wait_log(rf"smtpd\[\d+\]: {held[0]}: hold: END-OF-MESSAGE from localhost\[127\.0\.0\.1\]: more than 2 messages in an hour from user kevin; from=<kevin@m3102\.com> to=<toto@m3102\.com> proto=ESMTPSA helo=<pc>")
        system.wait_log(rf"smtpd\[\d+\]: {held[1]}: hold: END-OF-MESSAGE")
        same(sorted(os.listdir(system.queue / "hold")), sorted(held))
        for user in ("kevin", "eleve"):
            holds(system.wait_mails(user, 1)[0], "Subject: Mail put on hold", f"{held[0]}: more than 2 messages in an hour from user kevin")
        send(submission(system, "foo"), "foo@m3102.com", ["bar@m3102.com"])
        system.wait_mails("bar", 1)
        many = send(submission(system, "bar"), "bar@m3102.com", [f"titi+{n}@m3102.com" for n in range(11)])
        system.wait_log(rf"{many}: hold: END-OF-MESSAGE from \S+: more than 10 recipients in an hour from user bar;")
        system.wait("an empty queue", lambda: system.queued() == 0)
        same([len(system.mails(user)) for user in ("toto", "titi", "kevin", "eleve")], [2, 0, 1, 2])
        # Held mail is whole: let go, it arrives.
        for ident in held:
            (system.queue / "hold" / ident).rename(system.queue / "incoming" / ident)
        system.send("foo@m3102.com")
        system.wait_mails("toto", 4)
        system.wait_mails("titi", 1)


run(order, encrypt, senders, limits)
