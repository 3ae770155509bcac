#!/usr/bin/env python3
"""Too much of everything: recipients, octets, sessions, silence. Each has a documented outcome and the next client is served."""
import os, pathlib, resource, signal, socket, subprocess, threading, time

from facteur import Failure, Lines, System, run


def ten_thousand_recipients():
    """One message, ten thousand addresses of one mailbox: the limit answers 452, the sender comes back with the rest."""
    with System(services=["master"], smtpd_recipient_limit=10000) as system:
        session = system.smtp()
        session.expect("EHLO pc", "250")
        session.expect("MAIL FROM:<a@m3102.com>", "250")
        batch = "".join(f"RCPT TO:<kevin+{n}@m3102.com>\r\n" for n in range(10000))
        sender = threading.Thread(target=session.send, args=(batch, ""))
        sender.start()
        for n in range(10000):
            if not session.smtp().startswith("250 2.1.5"):
                raise Failure(f"recipient {n} refused")
        sender.join()
        session.expect("RCPT TO:<foo@m3102.com>", "452 4.5.3")
        session.expect("DATA", "354")
        ident = session.expect("Subject: many\r\n\r\nx\r\n.", "250 2.0.0").rsplit(" ", 1)[1]
        system.wait_log(f"{ident}: removed", 180)
        if len(system.mails("kevin")) != 10000:
            raise Failure(f"{len(system.mails('kevin'))} of 10000 arrived")


def fifty_megabytes():
    """Over message_size_limit: 552 at MAIL with SIZE, 552 after the data without. With the limit lifted: it arrives whole."""
    line = b"x" * 70 + b"\r\n"
    body = b"Subject: big\r\n\r\n" + line * (50_000_000 // len(line))

    def data(session, size=""):
        session.expect("EHLO pc", "250")
        session.expect(f"MAIL FROM:<a@m3102.com>{size}", "250")
        session.expect("RCPT TO:<kevin>", "250")
        session.expect("DATA", "354")
        session.send(body)
        return session.smtp(".")

    with System(services=["master"]) as system:
        session = system.smtp()
        session.expect("EHLO pc", "250")
        session.expect("MAIL FROM:<a@m3102.com> SIZE=50000000", "552 5.3.4")
        refused = data(session)
        if not refused.startswith("552 5.3.4"):
            raise Failure(refused)
        system.send("kevin", subject="small", session=session)
        system.wait_mails("kevin", 1)
    with System(services=["master"], message_size_limit=60_000_000) as system:
        taken = data(system.smtp())
        if not taken.startswith("250 2.0.0"):
            raise Failure(taken)
        text = system.wait_mails("kevin", 1, 60)[0]
        if text.count("x" * 70 + "\n") != 50_000_000 // len(line):
            raise Failure("the message is not whole")
        biggest = max(peak_memory(pid) for name in ("smtpd", "qmgr", "local", "mda") for pid in system.pids(name))
        if biggest > 64 << 20:
            raise Failure(f"a program took {biggest >> 20} MiB for it")


def peak_memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(l for l in status.splitlines() if l.startswith("VmHWM")).split()[1]) * 1024


def two_hundred_sessions():
    """Two hundred clients at once, each with two mails: all accepted, all delivered, once."""
    with System(services=["master"]) as system:
        errors = []

        def client(n):
            try:
                session = system.smtp(timeout=60)
                session.expect("EHLO pc", "250")
                for k in range(2):
                    system.send("kevin", subject=f"{n}-{k}", session=session)
                session.expect("QUIT", "221")
            except Exception as error:
                errors.append(f"{n}: {error}")

        threads = [threading.Thread(target=client, args=(n,)) for n in range(200)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        if errors:
            raise Failure("; ".join(errors[:3]))
        system.wait_mails("kevin", 400, 60)
        subjects = [l for m in system.mails("kevin") for l in m.splitlines() if l.startswith("Subject: ")]
        if len(set(subjects)) != 400 or len(subjects) != 400:
            raise Failure(f"{len(subjects)} mails, {len(set(subjects))} different")


def silent_crowd():
    """A thousand connections that say nothing, to each protocol; a new client is greeted within a second and served."""
    with System() as system:
        for port, first in ((25, "220"), (110, "+OK"), (143, "* OK")):
            crowd = []
            for _ in range(1000):
                crowd.append(socket.create_connection(("127.0.0.1", port + system.offset)))
            start = time.monotonic()
            client = Lines(port + system.offset)
            if not client.line().startswith(first):
                raise Failure(f"port {port}: no greeting")
            took = time.monotonic() - start
            if took > 1:
                raise Failure(f"port {port}: greeted after {took:.1f} s")
            client.send("QUIT" if port != 143 else "a LOGOUT")
            client.line()
            [s.close() for s in crowd]
        system.send("kevin")
        system.wait_mails("kevin", 1)


def byte_by_byte():
    """A client that sends one octet at a time gets its mail through, and keeps nobody else waiting."""
    with System(services=["master"]) as system:
        slow, quick = system.smtp(), system.smtp()
        quick.expect("EHLO pc", "250")
        for command, start in (("EHLO slow", "250"), ("MAIL FROM:<a@m3102.com>", "250"), ("RCPT TO:<kevin>", "250"), ("DATA", "354"), ("Subject: s\r\n\r\nx\r\n.", "250")):
            for octet in (command + "\r\n").encode():
                slow.send(bytes([octet]))
                quick.expect("NOOP", "250")
            slow.expect(None, start)
        system.wait_mails("kevin", 1)


def slow_client_times_out():
    """smtpd_timeout ends a session that stands still: 421 4.4.2, and a log line."""
    with System(services=["master"], smtpd_timeout="1s") as system:
        session = system.smtp()
        session.expect("EHLO pc", "250")
        session.send("MAIL FR", end="")
        session.expect(None, "421 4.4.2")
        system.wait_log(r"timeout after .* from localhost\[127\.0\.0\.1\]")


def few_descriptors():
    """Twenty-four descriptors: clients over that get 421 or wait their turn; the mail of those inside goes through."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with System(services=[]) as system:
        resource.setrlimit(resource.RLIMIT_NOFILE, (48, hard))
        try:
            system.start("master")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        crowd = [socket.create_connection(("127.0.0.1", 25 + system.offset)) for _ in range(60)]
        client = Lines(25 + system.offset, timeout=10)
        reply = client.smtp()
        if not reply.startswith(("220", "421")):
            raise Failure(f"got {reply!r}")
        [s.close() for s in crowd]

        def served():
            try:
                return system.send("kevin")
            except (Failure, OSError):
                return None
        system.wait("service again", served)
        system.wait_mails("kevin", 1)


def missing_home_and_read_only_mailbox():
    """Nothing is bounced for a local fault: the mail waits, the log says why, and it arrives when mended."""
    with System(services=["master"], minimal_backoff_time="1s", maximal_backoff_time="2s", queue_run_delay="1s") as system:
        (system.home / "foo").rmdir()
        home = system.home / "bar" / "Maildir"
        for folder in (home, home / "tmp", home / "new", home / "cur"):
            folder.mkdir()
            os.chown(folder, *([65534] * 2 if system.as_user else [os.getuid(), os.getgid()]))
        (home / "tmp").chmod(0o500)
        (home / "new").chmod(0o500)
        for user in ("foo", "bar"):
            ident = system.send(user)
            system.wait_log(f"{ident}: to=<{user}@m3102.com>.*dsn=4.*status=deferred")
        (system.home / "foo").mkdir()
        if system.as_user:
            os.chown(system.home / "foo", 65534, 65534)
        (home / "tmp").chmod(0o700)
        (home / "new").chmod(0o700)
        system.wait_mails("foo", 1)
        system.wait_mails("bar", 1)


def hundred_thousand_queued():
    """100,000 deferred messages: the queue is up within ten seconds, and new mail is not held up, not even when all are tried at once."""
    count = int(os.environ.get("QUEUED", "100000"))
    with System(services=["master"], minimal_backoff_time="1h", defer_transports="smtp") as system:
        ident = system.send("someone@elsewhere.example")
        system.wait_log(f"{ident}: to=<someone@elsewhere.example>.*status=deferred")
        system.wait("deferred message", (system.queue / "deferred" / ident).exists)
        system.stop("master")
        multiply(system.queue / "deferred" / ident, count)
        start = time.monotonic()
        system.start("master")
        system.send("kevin")
        system.wait_mails("kevin", 1, 60)
        took = time.monotonic() - start
        qmgr, = system.pids("qmgr")
        memory = peak_memory(qmgr)
        if took > 10 or memory > 20_000_000 + 500 * count:
            raise Failure(f"new mail arrived {took:.1f} s after the start, qmgr took {memory >> 20} MiB")
        listed = subprocess.run([system.programs / "mailq", "-C", str(system.etc)], capture_output=True, text=True, **system.as_user)
        if not listed.stdout.endswith(f" in {count} Requests.\n"):
            raise Failure(f"mailq: {listed.stdout[-200:]!r} {listed.stderr[-200:]!r}")
        system.mark_log()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.sendto(b"flush\n", str(system.queue / "public/qmgr"))
        system.wait_log("to=<someone@elsewhere.example>.*status=deferred")
        ident = system.send("foo")
        mark = system.read_from
        system.wait_log(f"{ident}: to=<foo@m3102.com>.*status=sent")
        tried = system.log_text()[mark:].split(f"{ident}: to=", 1)[0].count("status=deferred")
        if tried > count / 2:
            raise Failure(f"new mail waited until {tried} others had been tried")
        return f"qmgr took {memory >> 20} MiB"


def clients_that_ask_too_often():
    """Connections at one time and in a time, messages and recipients: refused in Postfix's words; exceptions are not concerned."""
    def warned(system, text):
        system.wait_log(rf"facteur/smtpd\[\d+\]: warning: {text} from \S+\[127\.0\.0\.1\] for service smtp$", since=0)

    def refused(system):
        session = system.connect(25)
        reply = session.smtp()
        if reply != "421 4.7.0 vm.m3102.com Error: too many connections from 127.0.0.1":
            raise Failure(reply)

    with System(services=["master"], mynetworks="192.0.2.0/24", smtpd_client_connection_count_limit=2) as system:
        first, second = system.smtp(), system.smtp()
        refused(system)
        warned(system, "Connection concurrency limit exceeded: 3")
        first.expect("QUIT", "221")
        system.wait("a place", lambda: system.connect(25).smtp().startswith("220"))
    rates = {f"smtpd_client_{name}_rate_limit": 3 for name in ("message", "recipient")}
    with System(services=["master"], mynetworks="192.0.2.0/24", anvil_rate_time_unit="3s", **rates) as system:
        session = system.smtp()
        session.expect("EHLO pc", "250")
        for _ in range(3):
            session.expect("MAIL FROM:<sender@m3102.com>", "250")
            session.expect("RSET", "250")
        session.expect("MAIL FROM:<sender@m3102.com>", "450 4.7.1 Error: too much mail from 127.0.0.1")
        warned(system, "Message delivery request rate limit exceeded: 4")
        system.wait("another time", lambda: session.smtp("MAIL FROM:<sender@m3102.com>").startswith("250"))
        for name in ("kevin", "foo", "bar"):
            session.expect(f"RCPT TO:<{name}>", "250")
        session.expect("RCPT TO:<toto>", "450 4.7.1 Error: too many recipients from 127.0.0.1")
        warned(system, "Recipient address rate limit exceeded: 4")
        session.expect("DATA", "354")
        session.expect("Subject: three\r\n\r\nx\r\n.", "250")
        system.wait_mails("bar", 1)
    with System(services=["master"], mynetworks="192.0.2.0/24", smtpd_client_connection_rate_limit=4) as system:
        system.wait("too many", lambda: not system.connect(25).smtp().startswith("220"))
        refused(system)
        warned(system, r"Connection rate limit exceeded: \d+")
        system.configure(smtpd_client_event_limit_exceptions="127.0.0.0/8")
        system.children["master"].send_signal(signal.SIGHUP)
        system.wait("an exception", lambda: system.connect(25).smtp().startswith("220"))


def multiply(sample, count):
    """Makes `count` messages of one: what is in a queue file does not name it."""
    octets, at = sample.read_bytes(), sample.stat()
    for number in range(1, count):
        path = sample.with_name(f"{int(sample.name, 16) - (number << 8):015X}")
        path.write_bytes(octets)
        path.chmod(at.st_mode & 0o777)
        os.chown(path, at.st_uid, at.st_gid)
        os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))


run(ten_thousand_recipients, fifty_megabytes, two_hundred_sessions, silent_crowd, clients_that_ask_too_often, byte_by_byte, slow_client_times_out, few_descriptors,
    missing_home_and_read_only_mailbox, hundred_thousand_queued)
