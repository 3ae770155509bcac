#!/usr/bin/env python3
"""The POP3 server with the real programs popd, pop3-login and pop3: poplib, dialogues by hand, deaths, and as root with PAM.

    tests/flow/pop3.py [--system] [NAME…]

With --system (as root, on a machine to spare) the keeper also runs privileged, with PAM and users made and removed again.
"""
import base64, os, poplib, pwd, re, resource, select, shutil, signal, socket, ssl, subprocess, sys, time
from pathlib import Path

from facteur import TOP, Lines, run
import facteur

LIMIT = 20  # seconds until something that should happen is given up
USERS = ["kevin", "foo", "bar", "toto"]


class Log:
    """The log of a system; `wait` returns the first line from `mark` on that matches."""

    def __init__(self, system):
        self.system = system

    @property
    def lines(self):
        return self.system.log_text().splitlines()

    def mark(self):
        return len(self.system.log_text())

    def wait(self, pattern, mark=0):
        found = self.system.wait_log(pattern, LIMIT, mark)
        text = found.string
        return text[text.rfind("\n", 0, found.start()) + 1:text.find("\n", found.start())]


class Reading(facteur.System):
    """One readers' service in a directory of its own."""

    SERVICE, PORT, TLS_PORT = "popd", 110, 995
    privileged = False

    def __init__(self, **settings):
        super().__init__([self.SERVICE], **settings)
        self.told = Log(self)
        if self.privileged:
            self.as_user = {}

    def own(self, top):
        if self.as_user:
            for path in [top, *top.rglob("*")]:
                os.chown(path, facteur.NOBODY, facteur.NOBODY, follow_symlinks=False)

    @property
    def keeper(self):
        return self.children[self.SERVICE]

    def again(self):
        self.start(self.SERVICE)

    @property
    def port(self):
        return self.PORT + self.offset

    @property
    def tls_port(self):
        return self.TLS_PORT + self.offset

    def maildir(self, user, *messages):
        root = self.home / user / "Maildir"
        for name in ("cur", "new", "tmp"):
            (root / name).mkdir(parents=True, exist_ok=True)
        for number, message in enumerate(messages):
            (root / "new" / f"{1700000000 + number}.M{number}P1.vm").write_bytes(message)
        self.own(root)
        return root

    def mbox(self, user, *messages):
        path = self.dir / "mail" / user
        path.write_bytes(b"".join(b"From root@vm  Fri Nov 20 16:11:07 2026\n" + message + b"\n" for message in messages))
        os.chmod(path, 0o600)
        self.own(path)
        return path

    def pop(self, user=None, password=None):
        client = poplib.POP3("127.0.0.1", self.port, timeout=LIMIT)
        if user:
            client.user(user)
            client.pass_(password or user)
        return client

    def telnet(self):
        return Telnet(self.port)


class Telnet(Lines):
    """A client that types lines and reads lines; "" when the server has closed."""

    def say(self, line, end="\r\n"):
        self.send(line, end)

    def hear(self):
        return self.file.readline().decode().rstrip("\r\n")

    def ask(self, line, end="\r\n"):
        self.say(line, end)
        return self.hear()

    def rest(self):
        return self.file.read()

    def expect(self, line, answer, end="\r\n"):
        got = self.ask(line, end)
        assert got == answer, f"{line!r}: expected {answer!r}, got {got!r}"

    def multi(self):
        lines = []
        while (line := self.hear()) != ".":
            lines.append(line)
        return lines


def message(subject, body="Bonjour\n"):
    return f"Return-Path: <root@vm>\nFrom: root@vm\nSubject: {subject}\n\n{body}".encode()


def crlf(octets):
    return octets.replace(b"\n", b"\r\n")


TESTS = []


def test(**settings):
    def add(function):
        function.settings = settings
        TESTS.append(function)
        return function
    return add


@test()
def the_dialogue_of_the_labs(system):
    system.maildir("kevin", message("Test"))
    size = len(crlf(message("Test")))
    t = system.telnet()
    assert t.hear() == "+OK Facteur ready."
    t.say("capa")
    assert t.hear() == "+OK"
    assert t.multi() == ["CAPA", "TOP", "UIDL", "RESP-CODES", "PIPELINING", "AUTH-RESP-CODE", "STLS", "USER", "SASL PLAIN", "UTF8 USER"]
    t.expect("user kevin", "+OK")
    t.expect("pass kevin", "+OK Logged in.")
    t.expect("stat", f"+OK 1 {size}")
    t.expect("list", "+OK 1 messages:")
    assert t.multi() == [f"1 {size}"]
    t.expect("uidl", "+OK")
    assert re.fullmatch("1 [0-9a-f]{16}", t.multi()[0])
    t.expect("retr 1", f"+OK {size} octets")
    assert t.multi() == message("Test").decode().splitlines()
    t.expect("foo", "-ERR Unknown command: FOO")
    t.expect("retr 9", "-ERR There's no message 9.")
    t.expect("dele 0", "-ERR There's no message 0.")
    t.expect("dele 1", "+OK Marked to be deleted.")
    t.expect("quit", "+OK Logging out, messages deleted.")
    assert t.rest() == b""
    system.told.wait(r"pop3-login\[\d+\]: Login: user=<kevin>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, mpid=\d+, secured, session=<\S{16}>$")
    system.told.wait(rf"pop3\[(\d+)\]: pop3\(kevin\)<\d+><\S+>: Disconnected: Logged out top=0/0, retr=1/{size + len(f'+OK {size} octets') + 2}, del=1/1, size={size}$")
    assert system.pop("kevin").stat() == (0, 0)


@test()
def messages_stay_unless_quit_and_uidls_are_stable(system):
    system.maildir("kevin", message("One"), message("Two"))
    first = system.pop("kevin")
    uidls = first.uidl()[1]
    first.dele(1)
    first.close()
    system.told.wait("Disconnected: Connection closed top=0/0, retr=0/0, del=0/2")
    second = system.pop("kevin")
    assert second.uidl()[1] == uidls
    second.dele(1)
    second.quit()
    assert system.pop("kevin").uidl()[1][0].split()[1] == uidls[1].split()[1]


@test(home_mailbox="")
def an_mbox(system):
    path = system.mbox("kevin", message("One", "From here\n.dot\n"), message("Two", "é\n"))
    client = system.pop("kevin")
    assert client.stat()[0] == 2
    assert client.retr(1)[1][-1] == b".dot"
    uidls = client.uidl()[1]
    client.dele(1)
    assert client.quit() == b"+OK Logging out, messages deleted."
    assert b"Subject: One" not in path.read_bytes() and b"Subject: Two" in path.read_bytes()
    again = system.pop("kevin")
    assert [line.split()[1] for line in again.uidl()[1]] == [uidls[1].split()[1]]
    again.quit()


@test()
def line_feed_client(system):
    system.maildir("foo", message("A"), message("B"))
    t = system.telnet()
    t.hear()
    for line, answer in [("user foo", "+OK"), ("pass foo", "+OK Logged in."), ("list", "+OK 2 messages:")]:
        t.expect(line, answer, "\n")
    t.multi()
    t.expect("quit", "+OK Logging out.", "\n")


@test()
def pipelined_through_the_login(system):
    system.maildir("bar", message("A"))
    t = system.telnet()
    t.say("USER bar\r\nPASS bar\r\nSTAT\r\nNOOP\r\nQUIT")
    lines = [line.decode().rstrip() for line in t.file]
    size = len(crlf(message("A")))
    assert lines == ["+OK Facteur ready.", "+OK", "+OK Logged in.", f"+OK 1 {size}", "+OK", "+OK Logging out."], lines


@test()
def wrong_passwords_look_alike(system):
    system.maildir("kevin")
    took = {}
    for user, password in [("kevin", "wrong"), ("nobody-here", "wrong")]:
        t = system.telnet()
        t.hear()
        t.expect(f"user {user}", "+OK")
        before = time.monotonic()
        t.expect(f"pass {password}", "-ERR [AUTH] Authentication failed.")
        took[user] = time.monotonic() - before
        t.close()
        system.told.wait(rf"pop3-login\[\d+\]: Disconnected: Connection closed \(auth failed, 1 attempts in 2 secs\): user=<{user}>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, secured, session=<\S+>$")
    assert all(1.9 < seconds < 3 for seconds in took.values()), took


@test()
def names_with_our_domain_and_auth_plain(system):
    system.maildir("kevin")
    system.pop("kevin@M3102.com", "kevin").quit()
    t = system.telnet()
    t.hear()
    t.expect("AUTH PLAIN " + base64.b64encode(b"\0kevin\0kevin").decode(), "+OK Logged in.")
    t.close()


@test()
def tls_by_stls_and_from_the_start(system):
    system.maildir("kevin", message("Test", "x" * 70 + "\n") )
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = system.pop()
    client.stls(context)
    assert "STLS" not in client.capa()
    client.user("kevin")
    client.pass_("kevin")
    assert client.stat()[0] == 1
    client.quit()
    system.told.wait("Login: user=<kevin>.*, TLS, session=")
    client = poplib.POP3_SSL("127.0.0.1", system.tls_port, context=context, timeout=LIMIT)
    client.user("kevin")
    client.pass_("kevin")
    assert client.retr(1)[1][-1] == b"x" * 70
    client.quit()
    t = system.telnet()
    t.hear()
    t.say("STLS\r\nUSER kevin")
    assert t.hear() == "+OK Begin TLS negotiation now." and t.rest() == b""
    system.told.wait("plaintext after the command that starts TLS")


@test()
def a_large_message_over_tls_and_in_clear(system):
    body = "".join(f".{'y' * 60}\n" for _ in range(200_000))
    system.maildir("kevin", message("Big", body))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    secured = poplib.POP3_SSL("127.0.0.1", system.tls_port, context=context, timeout=LIMIT)
    secured.user("kevin")
    secured.pass_("kevin")
    for client in (secured, system.pop("kevin")):
        _, lines, octets = client.retr(1)
        assert b"\n".join(lines) + b"\n" == message("Big", body), octets
        client.quit()


@test()
def two_hundred_sessions_at_once(system):
    system.maildir("kevin", message("Test"))
    users = USERS
    for user in users:
        system.maildir(user, message("Test"))
    clients = [system.telnet() for _ in range(200)]
    for client in clients:
        assert client.hear() == "+OK Facteur ready."
    admitted = refused = 0
    for number, client in enumerate(clients):
        client.say(f"USER {users[number % len(users)]}\r\nPASS {users[number % len(users)]}")
    for client in clients:
        client.hear()
        answer = client.hear()
        admitted += answer == "+OK Logged in."
        refused += answer.startswith("-ERR [SYS/TEMP] Maximum number of connections")
    assert (admitted, refused) == (10 * len(users), 200 - 10 * len(users)), (admitted, refused)
    workers = {re.search(r"mpid=(\d+)", line)[1] for line in system.told.lines if "Login: user" in line}
    assert len(workers) <= len(users), workers
    for client in clients:
        client.close()
    system.told.wait(r"pop3-login.*Disconnected: Connection closed \(too many connections of this user from this address\): user=<kevin>")
    assert system.pop("kevin", "kevin").quit()


@test(mail_max_userip_connections=300)
def two_hundred_sessions_of_one_user(system):
    system.maildir("kevin", message("Test"))
    clients = [system.pop() for _ in range(200)]
    for client in clients:
        client._putcmd("USER kevin\r\nPASS kevin\r\nRETR 1")
    for client in clients:
        assert [client._getresp() for _ in range(2)] == [b"+OK", b"+OK Logged in."]
        assert client._getlongresp()[1][-1] == b"Bonjour"
    for client in clients:
        client._putcmd("QUIT")
    for client in clients:
        assert client._getresp() == b"+OK Logging out."


@test()
def silent_connections_do_not_delay_a_greeting(system):
    system.maildir("kevin")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most if most == resource.RLIM_INFINITY else max(2048, min(most, 4096)), most))
    silent = [socket.create_connection(("127.0.0.1", system.port)) for _ in range(1000)]
    before = time.monotonic()
    assert system.pop("kevin").stat() == (0, 0)
    assert time.monotonic() - before < 1
    for connection in silent:
        connection.close()


@test()
def a_mailbox_that_cannot_be_written_is_no_false_success(system):
    root = system.maildir("kevin", message("Test"))
    client = system.pop("kevin")
    client.dele(1)
    for name in ("new", "cur", "tmp"):
        os.chmod(root / name, 0o500)
    os.chmod(root, 0o500)
    try:
        client.quit()
        raise AssertionError("QUIT was answered well")
    except poplib.error_proto as error:
        assert re.match(rb"-ERR \[SYS/(PERM|TEMP)\] ", error.args[0]), error
    finally:
        for path in (root, root / "new", root / "cur", root / "tmp"):
            os.chmod(path, 0o700)
    system.told.wait("pop3.*Disconnected: Logged out, deletion failed .*del=0/1")
    assert system.pop("kevin").stat()[0] == 1


@test()
def a_missing_home_is_temporary(system):
    shutil.rmtree(system.home / "foo")
    t = system.telnet()
    t.hear()
    t.expect("USER foo", "+OK")
    t.expect("PASS foo", "-ERR [SYS/TEMP] Mailbox cannot be opened now.")
    assert t.rest() == b""
    system.told.wait(r"pop3\[\d+\]: error: pop3\(foo\)<\d+><\S+>: ")


@test()
def a_message_another_program_removes_is_gone(system):
    root = system.maildir("kevin", message("One"), message("Two"))
    t = system.telnet()
    t.hear()
    for line in ("USER kevin", "PASS kevin"):
        t.ask(line)
    for folder in ("new", "cur"):
        for path in (root / folder).iterdir():
            if b"Subject: One" in path.read_bytes():
                path.unlink()
    t.expect("RETR 1", "-ERR [SYS/TEMP] Message is gone: another program removed it.")
    t.expect("DELE 1", "+OK Marked to be deleted.")
    t.expect("QUIT", "+OK Logging out, messages deleted.")
    assert system.pop("kevin").stat()[0] == 1


@test()
def a_renewed_certificate_is_used(system):
    system.maildir("kevin")
    fetch = lambda: ssl.get_server_certificate(("127.0.0.1", system.tls_port))
    before, pem = fetch(), system.dir / "data" / "self-signed.pem"
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=vm", "-keyout", "-"]
    pem.write_bytes(subprocess.run(make, capture_output=True, check=True).stdout)
    system.reload()
    renewed = fetch()
    assert renewed != before, "the new certificate was not shown"
    pem.write_bytes(b"")
    system.reload()
    assert fetch() == renewed, "what does not work took the place of what did"
    other = system.dir / "other.pem"
    other.write_bytes(subprocess.run(make, capture_output=True, check=True).stdout)
    other.chmod(0o644)
    system.configure(ssl_cert=other)
    system.reload()
    assert fetch() not in (before, renewed), "the certificate of another file was not shown"


@test()
def a_reload_keeps_nobody_out(system):
    """Whoever comes while a new front takes over is greeted, by the old one or the new one."""
    system.maildir("kevin")
    for _ in range(40):
        system.keeper.send_signal(signal.SIGHUP)
        for _ in range(10):
            with socket.create_connection(("127.0.0.1", system.port), LIMIT) as client:
                greeting = client.recv(100)
                assert greeting.startswith(b"+OK"), f"greeted with {greeting!r}"


@test()
def a_dead_front_and_a_dead_worker_are_replaced(system):
    system.maildir("kevin", message("Test"))
    client = system.pop("kevin")
    worker = int(re.search(r"mpid=(\d+)", system.told.wait("Login: user=<kevin>"))[1])
    front = int(re.search(r"pop3-login\[(\d+)\]", system.told.wait("Login: user=<kevin>"))[1])
    os.kill(front, signal.SIGKILL)
    system.told.wait(f"process pop3-login pid {front}")
    assert client.stat()[0] == 1, "a session in clear lives on without its front"
    mark = system.told.mark()
    assert system.pop("kevin").stat()[0] == 1
    os.kill(worker, signal.SIGKILL)
    system.told.wait(f"process pop3 pid {worker}", mark)
    assert system.pop("kevin").stat()[0] == 1


@test()
def a_killed_keeper_leaves_nobody_behind(system):
    system.maildir("kevin", message("Test"))
    client = system.pop("kevin")
    login = system.told.wait("Login: user=<kevin>")
    others = [int(re.search(pattern, login)[1]) for pattern in (r"mpid=(\d+)", r"pop3-login\[(\d+)\]")]
    handles = [os.pidfd_open(pid) for pid in others]
    client.dele(1)
    keeper = system.children.pop("popd")
    keeper.kill()
    keeper.wait()
    for handle in handles:
        assert select.select([handle], [], [], LIMIT)[0], "a process outlived its keeper"
        os.close(handle)
    assert client.file.read() == b"-ERR [SYS/TEMP] Server shutting down.\r\n"
    system.again()
    assert system.pop("kevin").stat()[0] == 1


@test()
def stopping_says_goodbye_and_starting_again_works(system):
    system.maildir("kevin", message("Test"))
    idle, busy = system.telnet(), system.pop("kevin")
    idle.hear()
    busy.dele(1)
    assert system.stop("popd") == 0
    assert idle.hear() == "-ERR [SYS/TEMP] Server shutting down." and idle.rest() == b""
    assert busy.file.read() == b"-ERR [SYS/TEMP] Server shutting down.\r\n"
    system.told.wait("terminating on signal 15")
    system.again()
    assert system.pop("kevin").stat()[0] == 1


@test()
def reload_takes_new_settings_and_keeps_sessions(system):
    system.maildir("kevin", message("Test"))
    client = system.pop("kevin")
    with open(system.etc / "facteur.yaml", "a") as config:
        config.write('login_greeting: "Bonjour."\n')
    mark = system.told.mark()
    system.keeper.send_signal(signal.SIGHUP)
    system.told.wait("reload -- version", mark)
    deadline = time.monotonic() + LIMIT
    while system.telnet().hear() != "+OK Bonjour.":
        assert time.monotonic() < deadline, "the new greeting never came"
    assert client.stat()[0] == 1
    assert system.pop("kevin").stat()[0] == 1


@test()
def after_a_reload_new_sessions_have_the_new_settings(system):
    system.maildir("kevin", message("One"), message("Two"))
    old, idle = system.pop("kevin"), system.pop("kevin")
    idle.quit()
    system.pop("foo").quit()
    system.wait("two workers", lambda: len(system.pids("pop3")) == 2)
    mark = system.told.mark()
    system.configure(home_mailbox="Elsewhere/")
    system.keeper.send_signal(signal.SIGHUP)
    system.told.wait("reload -- version", mark)
    system.wait("the worker without sessions to end", lambda: len(system.pids("pop3")) == 1)
    new = system.pop("kevin")
    assert new.stat()[0] == 0 and old.stat()[0] == 2
    old.dele(1)
    old.quit()
    system.wait("the old worker to end", lambda: len(system.pids("pop3")) == 1)
    assert new.stat()[0] == 0


@test()
def a_port_in_use_is_one_clear_line(system):
    second = subprocess.run([system.programs / "popd", "-c", system.etc], capture_output=True, text=True, timeout=LIMIT)
    assert second.returncode == 1 and second.stderr.splitlines() == [f"fatal: port {system.port} on 127.0.0.1 is in use by another program"], second


@test(listen="127.0.0.1, 127.0.0.2", ssl="required")
def cleartext_refused(system):
    t = system.telnet()
    t.hear()
    t.expect("USER kevin", "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.")
    t.expect("PASS kevin", "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.")
    t.expect("QUIT", "+OK Logging out")
    system.told.wait(r"Disconnected: Aborted login by logging out \(tried to use disallowed plaintext auth\): user=<>, rip=127.0.0.1")


@test(listen="0.0.0.0")
def cleartext_from_elsewhere(system):
    """Needs a second address of this machine: root makes one; otherwise any address that is not loopback will do."""
    with second_address() as address:
        if address is None:
            return "skipped: no second address"
        for source, allowed in [("127.0.0.1", True), (address, True)]:
            t = Telnet(system.port, host=source)
            t.hear()
            assert t.ask("USER kevin").startswith("+OK") is allowed
            t.close()
        elsewhere = Telnet(system.port, host=address, source=address.rsplit(".", 1)[0] + ".24")
        elsewhere.hear()
        elsewhere.expect("USER kevin", "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.")
        elsewhere.close()


class Privileged(Reading):
    """The keeper as root, accounts from PAM. Makes two users and the PAM service, and takes them away again."""

    privileged = True
    USER, FRONT, PASSWORD = "facteur-t1", "facteur-t2", "Pässwort 1"
    PAM = Path("/etc/pam.d/facteur")

    def __init__(self, **settings):
        system = {"accounts_file": "", "default_login_user": self.FRONT, "mail_spool_directory": "/var/mail", "home_mailbox": ""}
        super().__init__(**{**system, **settings})
        self.dir.chmod(0o755)

    def __enter__(self):
        self.made_pam = not self.PAM.exists()
        try:
            for command in (["useradd", "-m", "-s", "/bin/sh", self.USER], ["useradd", "-r", "-M", "-s", "/usr/sbin/nologin", self.FRONT]):
                subprocess.run(command, check=True)
            subprocess.run(["chpasswd"], input=f"{self.USER}:{self.PASSWORD}\n", text=True, check=True)
            if self.made_pam:
                shutil.copy(TOP / "etc" / "pam.d" / "facteur", self.PAM)
            return super().__enter__()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def own(self, top):
        pass

    def __exit__(self, *how):
        try:
            return super().__exit__(*how)
        finally:
            for user in (self.USER, self.FRONT):
                subprocess.run(["userdel", "-r", "-f", user], capture_output=True)
            if self.made_pam:
                self.PAM.unlink(missing_ok=True)

    def spool(self, *messages):
        path = Path("/var/mail") / self.USER
        path.write_bytes(b"".join(b"From root@vm  Fri Nov 20 16:11:07 2026\n" + message + b"\n" for message in messages))
        account = pwd.getpwnam(self.USER)
        os.chown(path, account.pw_uid, 8)
        os.chmod(path, 0o660)
        return path


def ids(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return [int(field) for field in re.search(r"Uid:\s(.*)", status)[1].split()]


def groups(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return {int(field) for field in re.search(r"Groups:(.*)", status)[1].split()}


def as_root_with_pam():
    with Privileged(mail_access_groups="daemon root nosuchgroup") as system:
        path = system.spool(message("One"), message("Two"))
        t = system.telnet()
        t.hear()
        t.expect(f"user {system.USER}", "+OK")
        t.expect("pass wrong", "-ERR [AUTH] Authentication failed.")
        t.expect("user root", "+OK")
        t.expect("pass wrong", "-ERR [AUTH] Authentication failed.")
        t.expect(f"user {system.USER}", "+OK")
        t.expect(f"pass {system.PASSWORD}", "+OK Logged in.")
        login = system.told.wait(f"Login: user=<{system.USER}>")
        worker, front = int(re.search(r"mpid=(\d+)", login)[1]), int(re.search(r"pop3-login\[(\d+)\]", login)[1])
        assert set(ids(worker)) == {pwd.getpwnam(system.USER).pw_uid}, ids(worker)
        assert groups(worker) == {1, pwd.getpwnam(system.USER).pw_gid} | set(os.getgrouplist(system.USER, pwd.getpwnam(system.USER).pw_gid)), groups(worker)
        assert set(ids(front)) == {pwd.getpwnam(system.FRONT).pw_uid}, ids(front)
        for pid in (worker, front):
            assert "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text()
        t.expect("dele 1", "+OK Marked to be deleted.")
        t.expect("quit", "+OK Logging out, messages deleted.")
        left = path.read_bytes()
        assert b"Subject: One" not in left and b"Subject: Two" in left
        assert path.stat().st_uid == pwd.getpwnam(system.USER).pw_uid and path.stat().st_mode & 0o777 == 0o660


class second_address:
    def __enter__(self):
        self.made = []
        if os.getuid() != 0:
            return None
        for host in ("192.168.77.23/24", "192.168.77.24/24"):
            if subprocess.run(["ip", "addr", "add", host, "dev", "lo"], capture_output=True).returncode == 0:
                self.made.append(host)
        return "192.168.77.23" if len(self.made) == 2 else None

    def __exit__(self, *_):
        for host in reversed(self.made):
            subprocess.run(["ip", "addr", "del", host, "dev", "lo"], capture_output=True)


def with_system(kind):
    """How `run` calls a test: with a system of its own."""
    def call(test):
        with kind(**test.settings) as system:
            return test(system)
    return call


def main(tests, kind, as_root):
    if "--system" in sys.argv:
        sys.argv.remove("--system")
        as_root()
        print("ok   as_root_with_pam", flush=True)
    run(*tests, call=with_system(kind))


if __name__ == "__main__":
    main(TESTS, Reading, as_root_with_pam)
