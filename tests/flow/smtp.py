#!/usr/bin/env python3
"""The SMTP door with the real programs: the dialogues of the labs, TLS and passwords, relaying, reload, deaths and starts."""
import base64, os, pathlib, signal, socket, ssl, subprocess

from facteur import Failure, Lines, System, run


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def secured(session):
    """TLS on a connection of lines; says nothing about whose certificate it is."""
    context = ssl._create_unverified_context()
    session.file.close()
    session.socket = context.wrap_socket(session.socket)
    session.file = session.socket.makefile("rb")
    return session


def plain(user, password):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def by_hand():
    """The dialogue of the reference, reply by reply, and its lines in the log."""
    with System(services=["master"]) as system:
        session = system.connect(25)
        same(session.smtp(), "220 vm.m3102.com ESMTP Facteur")
        ehlo = session.smtp("ehlo pc").replace("250-", "").replace("250 ", "").split("\n")
        same(ehlo[:10], ["vm.m3102.com", "PIPELINING", "SIZE 10240000", "VRFY", "ETRN", "STARTTLS", "ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "SMTPUTF8"])
        for command, reply in (
            ("mail from: darth@starwars.univ", "250 2.1.0 Ok"),
            ("rcpt to: luke@starwars.univ", "250 2.1.5 Ok"),
            ("rcpt to: nobodyx@m3102.com", "550 5.1.1 <nobodyx@m3102.com>: Recipient address rejected: User unknown in local recipient table"),
            ("rcpt to: kevin", "250 2.1.5 Ok"),
            ("data", "354 End data with <CR><LF>.<CR><LF>"),
        ):
            same(session.smtp(command), reply)
        ident = session.expect("bonjour\r\n.", "250 2.0.0 Ok: queued as ").rsplit(" ", 1)[1]
        for command, reply in (
            ("vrfy kevin", "252 2.0.0 kevin"),
            ("foo", "500 5.5.2 Error: command not recognized"),
            ("mail", "501 5.5.4 Syntax: MAIL FROM:<address>"),
            ("rcpt to: toto", "503 5.5.1 Error: need MAIL command"),
            ("mail from:<a b>", "501 5.1.7 Bad sender address syntax"),
            ("quit", "221 2.0.0 Bye"),
        ):
            same(session.smtp(command), reply)
        for line in (
            r"connect from localhost\[127\.0\.0\.1\]\n",
            rf"{ident}: client=localhost\[127\.0\.0\.1\]\n",
            rf"{ident}: reject: RCPT from localhost\[127\.0\.0\.1\]: 550 5\.1\.1 <nobodyx@m3102\.com>: .* from=<darth@starwars\.univ> to=<nobodyx@m3102\.com> proto=ESMTP helo=<pc>\n",
            rf"{ident}: message-id=<\d{{14}}\.{ident}@vm\.m3102\.com>\n",
            r"warning: Illegal address syntax from localhost\[127\.0\.0\.1\] in MAIL command: <a b>\n",
            r"disconnect from localhost\[127\.0\.0\.1\] ehlo=1 mail=1/3 rcpt=2/4 data=1 vrfy=1 quit=1 unknown=0/1 commands=7/12\n",
        ):
            system.wait_log(r"facteur/smtpd\[\d+\]: " + line)
        mail, = system.wait_mails("kevin", 1)
        for part in ("Return-Path: <darth@starwars.univ>\n", "X-Original-To: kevin", "Delivered-To: kevin@m3102.com\n", "Received: from pc (localhost [127.0.0.1])\n\tby vm.m3102.com (Facteur) with ESMTP id " + ident,
                     "\nMessage-Id: <", "\nDate: ", "\nFrom: darth@starwars.univ\n", "\n\nbonjour\n"):
            if part not in mail:
                raise Failure(f"no {part!r} in {mail!r}")


def line_feeds():
    """`nc` types whole mails with LF; a client from elsewhere cannot end DATA with it."""
    with System(services=["master"], mynetworks="127.0.0.1/32") as system:
        session = system.connect(25)
        session.expect(None, "220")
        for command, start in (("HELO PV", "250 vm"), ("mail from: a@b.c", "250 2.1.0"), ("rcpt to: kevin", "250 2.1.5"), ("data", "354")):
            if not session.smtp(command, end="\n").startswith(start):
                raise Failure(command)
        if not session.smtp("Subject: lf\n\n..dot\nhi\n.", end="\n").startswith("250 2.0.0"):
            raise Failure("not taken")
        mail, = system.wait_mails("kevin", 1)
        if "\n\n.dot\nhi\n" not in mail:
            raise Failure(mail)
        other = system.connect(25, source="127.0.0.2")
        other.expect(None, "220")
        for command, start in (("EHLO evil", "250"), ("MAIL FROM:<a@b.c>", "250"), ("RCPT TO:<kevin@m3102.com>", "250"), ("DATA", "354")):
            other.expect(command, start)
        other.send(b"Subject: x\r\n\r\none\n.\nMAIL FROM:<forged@m3102.com>\n.\r\nstill the first\r\n.\r\n")
        other.expect(None, "250 2.0.0")
        other.expect("NOOP", "250 2.0.0 Ok")
        mails = system.wait_mails("kevin", 2)
        if not any("still the first" in mail and "forged" in mail for mail in mails):
            raise Failure(mails)


def binary():
    """The header of BODY=BINARYMIME is one like others: hops are counted, what is secret goes, addresses are rewritten."""
    with System(services=["master"], hopcount_limit="3", canonical_maps="inline:{old@m3102.com=new@m3102.com}") as system:
        session = system.smtp()
        session.expect("EHLO pc", "250")

        def chunk(text):
            session.expect("MAIL FROM:<> BODY=BINARYMIME", "250")
            session.expect("RCPT TO:<kevin>", "250")
            session.send(f"BDAT {len(text)} LAST")
            session.socket.sendall(text)
            return session.smtp()
        same(chunk(b"Received: x\r\n\ty\r\n" * 4 + b"\r\n"), "554 5.4.6 Error: too many hops")
        if not chunk(b"Bcc: secret\r\n\t@x.org\r\nTo: old\r\nReturn-Path: <x>\r\nReceived: x\r\n\r\n\0\n\r\r\nBcc: x").startswith("250 2.0.0"):
            raise Failure("not taken")
        system.wait_mails("kevin", 1)
        stored, = ((system.home / "kevin/Maildir/new" / name).read_bytes() for name in os.listdir(system.home / "kevin/Maildir/new"))
        head, body = stored.split(b"\r\n\r\n", 1)
        same(body, b"\0\n\r\r\nBcc: x")
        lines = head.split(b"\r\n")
        if b"\n" in b"".join(lines) or any(line.startswith((b"Bcc", b"\t@x", b"Return-Path: <x>")) for line in lines):
            raise Failure(stored)
        same([line for line in lines if line.startswith((b"To:", b"From:"))], [b"To: new@m3102.com", b"From: MAILER-DAEMON@m3102.com"])


def own_addresses():
    """Our addresses in brackets are ours (RFC 1123 section 5.2.17), and no next hop; numbers without brackets are no domain."""
    with System(services=["master"], mynetworks="127.0.0.1/32", proxy_interfaces="192.0.2.7") as system:
        system.configure(smtp_tcp_port=system.offset + 25, transport_maps="inline:{loop.org=smtp:[127.0.0.1]}")
        system.stop("master")
        system.start("master")
        outside = system.connect(25, source="127.0.0.2")
        outside.expect(None, "220")
        outside.expect("EHLO pc", "250")
        outside.expect("MAIL FROM:<a@b.c>", "250")
        outside.expect("RCPT TO:<nobodyx@[127.0.0.1]>", "550 5.1.1")
        outside.expect("RCPT TO:<kevin@[192.0.2.8]>", "454 4.7.1")
        outside.expect("RCPT TO:<kevin@[192.0.2.7]>", "250 2.1.5")
        outside.expect("RCPT TO:<toto@[127.0.0.1]>", "250 2.1.5")
        outside.expect("DATA", "354")
        outside.expect("Subject: us\r\n\r\nx\r\n.", "250")
        system.wait_mails("kevin", 1)
        system.wait_mails("toto", 1)
        inside = system.smtp()
        inside.expect("EHLO pc", "250")
        inside.expect("MAIL FROM:<kevin@m3102.com>", "250")
        inside.expect("RCPT TO:<x@127.0.0.1>", "501 5.1.3 <x@127.0.0.1>: Bad recipient address syntax")
        inside.expect("RSET", "250")
        system.send("x@loop.org", session=inside)
        system.wait_log(r"to=<x@loop\.org>, .*status=bounced \(mail for \[127\.0\.0\.1\] loops back to myself\)")


def relaying():
    """To other domains only from our networks or after AUTH."""
    with System(services=["master"], mynetworks="127.0.0.1/32", relay_domains="partner.example") as system:
        outside = system.connect(25, source="127.0.0.2")
        outside.expect(None, "220")
        outside.expect("EHLO pc", "250")
        outside.expect("MAIL FROM:<a@b.c>", "250")
        same(outside.smtp("RCPT TO:<luke@starwars.univ>"), "454 4.7.1 <luke@starwars.univ>: Relay access denied")
        outside.expect("RCPT TO:<x@sub.partner.example>", "250 2.1.5")
        outside.expect("RCPT TO:<kevin+list@m3102.com>", "250 2.1.5")
        outside.expect("RCPT TO:<postmaster>", "250 2.1.5")
        outside.expect("QUIT", "221")
        system.wait_log(r"reject: RCPT from .*\[127\.0\.0\.2\]: 454 4\.7\.1 <luke@starwars\.univ>: Relay access denied; from=<a@b\.c>")


def tls_and_passwords():
    """STARTTLS and AUTH on 587, TLS at once on 465; wrong passwords wait; what was pipelined before TLS is refused."""
    with System(services=["master"], mynetworks="127.0.0.9/32", auth_failure_delay="1s") as system:
        session = system.connect(587, source="127.0.0.2")
        session.expect(None, "220")
        session.expect("EHLO pc", "250")
        session.expect("MAIL FROM:<kevin@m3102.com>", "530 5.7.0 Must issue a STARTTLS command first")
        session.expect("STARTTLS", "220 2.0.0 Ready to start TLS")
        secured(session)
        if "AUTH PLAIN LOGIN" not in session.expect("EHLO pc", "250"):
            raise Failure("AUTH is not offered")
        session.expect("MAIL FROM:<kevin@m3102.com>", "530 5.7.0 Authentication required")
        session.expect("AUTH PLAIN " + plain("kevin", "wrong"), "535 5.7.8")
        session.expect("AUTH PLAIN " + plain("nobody", "kevin"), "535 5.7.8")
        session.expect("AUTH PLAIN " + plain("kevin@m3102.com", "kevin"), "235 2.7.0")
        session.expect("MAIL FROM:<kevin@m3102.com>", "250")
        session.expect("RCPT TO:<luke@starwars.univ>", "250")
        session.expect("RCPT TO:<foo@m3102.com>", "250")
        session.expect("DATA", "354")
        session.expect("Subject: s\r\n\r\nx\r\n.", "250 2.0.0")
        session.expect("QUIT", "221")
        mail, = system.wait_mails("foo", 1)
        if "with ESMTPSA id" not in mail:
            raise Failure(mail)
        implicit = secured(system.connect(465))
        implicit.expect(None, "220")
        implicit.expect("EHLO pc", "250")
        implicit.expect("AUTH LOGIN", "334 VXNlcm5hbWU6")
        implicit.expect(base64.b64encode(b"toto").decode(), "334 UGFzc3dvcmQ6")
        implicit.expect(base64.b64encode(b"toto").decode(), "235")
        implicit.expect("QUIT", "221")
        smuggler = system.connect(25)
        smuggler.expect(None, "220")
        smuggler.expect("EHLO pc", "250")
        smuggler.send(b"STARTTLS\r\nMAIL FROM:<forged@m3102.com>\r\n")
        smuggler.expect(None, "220 2.0.0")
        if smuggler.file.readline():
            raise Failure("the session goes on after plaintext before TLS")
        system.wait_log(r"warning: .*STARTTLS from .*\[127\.0\.0\.1\]")


def certificate():
    """A new certificate is served after a reload, and a broken one changes nothing."""
    def subject(system):
        text = ssl.get_server_certificate(("127.0.0.1", 465 + system.offset))
        return ssl.PEM_cert_to_DER_cert(text)

    with System(services=["master"]) as system:
        path = system.dir / "data" / "self-signed.pem"
        first, mode = subject(system), path.stat().st_mode & 0o777
        same(mode, 0o600)
        made = path.read_bytes()
        path.write_text("nonsense")
        system.children["master"].send_signal(signal.SIGHUP)
        system.wait_log(r"smtpd\[\d+\]: error: TLS certificate: .*; TLS stays as it was")
        same(subject(system), first)
        path.unlink()
        system.children["master"].send_signal(signal.SIGHUP)
        system.wait("another certificate", lambda: subject(system) != first)
        if path.read_bytes() == made:
            raise Failure("no new certificate was made")


def reload():
    """SIGHUP takes the new configuration for new sessions and drops none; a wrong one is one line and changes nothing."""
    with System(services=["master"]) as system:
        old = system.smtp()
        old.expect("EHLO pc", "250")
        system.configure(mydestination="m3102.com, starwars.univ", message_size_limit=5000)
        system.children["master"].send_signal(signal.SIGHUP)
        system.wait_log(r"master\[\d+\]: reload -- version ")

        def renewed():
            session = system.smtp()
            return "SIZE 5000\n" in session.expect("EHLO pc", "250") and session
        new = system.wait("the new limit", renewed)
        new.expect("MAIL FROM:<a@b.c>", "250")
        new.expect("RCPT TO:<luke@starwars.univ>", "550 5.1.1")
        old.expect("MAIL FROM:<a@b.c>", "250")
        old.expect("RCPT TO:<luke@starwars.univ>", "250")
        (system.etc / "facteur.yaml").write_text("mydestinations: x\n")
        system.children["master"].send_signal(signal.SIGHUP)
        system.wait_log(r"master\[\d+\]: error: reload refused, keeping the old configuration: .*facteur\.yaml:1: .*mydestination")
        system.smtp().expect("EHLO pc", "250")


def deaths():
    """kill -9 of smtpd in the middle: what was acknowledged is there, the rest is not; it is started again. Master's end ends all."""
    with System(services=["master"]) as system:
        system.send("kevin", subject="before")
        session = system.smtp()
        session.expect("EHLO pc", "250")
        session.expect("MAIL FROM:<a@b.c>", "250")
        session.expect("RCPT TO:<kevin>", "250")
        session.expect("DATA", "354")
        session.send("Subject: never\r\n\r\n" + "x" * 60 + "\r\n")
        first, = system.pids("smtpd")
        os.kill(first, signal.SIGKILL)
        system.wait_log(rf"master\[\d+\]: warning: process smtpd pid {first} killed by signal 9")
        system.wait("a new smtpd", lambda: [pid for pid in system.pids("smtpd") if pid != first])
        system.send("kevin", subject="after")
        subjects = sorted(mail.split("Subject: ")[1].split("\n")[0] for mail in system.wait_mails("kevin", 2))
        same(subjects, ["after", "before"])
        master = system.children.pop("master")
        master.kill()
        master.wait()
        system.wait("the end of the others", lambda: not any(system.pids(name) for name in ("smtpd", "qmgr", "pickup", "local")))


def start_and_stop():
    """A taken port and a second instance are one clear line and status 1; SIGTERM ends everything with status 0."""
    with System(services=[]) as system:
        def refused():
            done = subprocess.run([system.programs / "master", "-c", str(system.etc)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, **system.as_user)
            same((done.returncode, done.stderr.count("\n")), (1, 1))
            return done.stderr
        with socket.socket() as squatter:
            squatter.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            squatter.bind(("127.0.0.1", 587 + system.offset))
            squatter.listen()
            same(refused(), f"fatal: port {587 + system.offset} on 127.0.0.1 is in use by another program\n")
        system.start("master")
        if "another master is running already" not in refused():
            raise Failure("a second master started")
        session = system.smtp()
        same(system.stop("master"), 0)
        session.expect(None, "421 4.3.0 vm.m3102.com Service shutting down")
        system.wait_log(r"master\[\d+\]: terminating on signal 15")
        same([name for name in ("smtpd", "qmgr", "pickup", "local") if system.pids(name)], [])
        (system.etc / "facteur.yaml").write_text("mydestinations: x\n")
        if "mydestination" not in refused():
            raise Failure("a wrong configuration was taken")


def full_disk():
    """Too little space: a temporary refusal at once, and recovery without help."""
    with System(services=["master"], queue_minfree="1000000G") as system:
        session = system.smtp()
        session.expect("EHLO pc", "250")
        session.expect("MAIL FROM:<a@b.c>", "250")
        same(session.smtp("RCPT TO:<kevin>"), "452 4.3.1 Insufficient system storage")
        system.configure(queue_minfree="0")
        system.children["master"].send_signal(signal.SIGHUP)

        def taken():
            session = system.smtp()
            session.expect("EHLO pc", "250")
            session.expect("MAIL FROM:<a@b.c>", "250")
            return session.smtp("RCPT TO:<kevin>").startswith("250")
        system.wait("room again", taken)


run(by_hand, line_feeds, binary, own_addresses, relaying, tls_and_passwords, certificate, reload, deaths, start_and_stop, full_disk)
