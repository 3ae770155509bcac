"""Starts the built programs in a temporary directory for a flow test, and waits for events instead of sleeping.

    with System() as system:            # master, popd, imapd in one-directory mode, free ports
        system.smtp() / .pop3() / .imap()   sockets that speak lines
        system.wait_log(r"status=sent")     the next matching line of the log, or a failure that shows the log's end

Environment: FACTEUR_BIN (default target/release, else target/debug); QUIET: only failures and the counts are printed;
TRACE: a failure shows where. Run as root, the programs run as `nobody`. Several runs at once do not meet.
"""
import contextlib, faulthandler, functools, os, pathlib, random, re, select, shutil, signal, socket, subprocess, sys, tempfile, time, traceback

TOP = pathlib.Path(__file__).resolve().parents[2]
USERS = ["kevin", "foo", "bar", "toto", "titi", "eleve"]
NOBODY = 65534
LONGEST = 300  # seconds for one test


def programs():
    named = os.environ.get("FACTEUR_BIN")
    folders = [pathlib.Path(named)] if named else [TOP / "target" / kind for kind in ("release", "debug")]
    for folder in folders:
        if (folder / "master").exists():
            return folder.resolve()
    sys.exit("build first: no master in " + " or ".join(map(str, folders)))


class Ports:
    """A port_offset with which all standard ports are free, and stay ours until `release`: other runs of these tests see
    the name that each claims for it. Below the ports which the kernel gives to clients."""

    STANDARD = (25, 587, 465, 110, 995, 143, 993)

    def __init__(self):
        for offset in random.sample(range(10000, 31000, 10), 2000):
            self.claims, self.offset = [], offset
            try:
                for port in self.STANDARD:
                    self.claim(port + offset)
                return
            except OSError:
                self.release()
        sys.exit("no free ports")

    def claim(self, port):
        name = socket.socket(socket.AF_UNIX)
        self.claims.append(name)
        name.bind(f"\0facteur-flow-{port}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))

    def release(self):
        for name in self.claims:
            name.close()


@functools.cache
def hashes(users):
    """Each user's name as his password, as /etc/shadow has it; few rounds, as tests log in often."""
    words = ["openssl", "passwd", "-6", "-salt", "rounds=1000$facteurtests", "-stdin"]
    done = subprocess.run(words, input="\n".join(users), check=True, capture_output=True, text=True)
    return done.stdout.split()


class Failure(AssertionError):
    pass


class Lines:
    """A connection that speaks lines."""

    def __init__(self, port, timeout=20, source=None, host="127.0.0.1"):
        self.socket = socket.create_connection((host, port), timeout, (source, 0) if source else None)
        self.file = self.socket.makefile("rb")

    def line(self):
        data = self.file.readline()
        if not data:
            raise Failure("connection closed by the server")
        return data.decode("utf-8", "replace").rstrip("\r\n")

    def send(self, text, end="\r\n"):
        self.socket.sendall((text + end).encode() if isinstance(text, str) else text)

    def smtp(self, text=None, end="\r\n"):
        """Sends a command, if given, and returns the reply: its lines joined by a line feed."""
        if text is not None:
            self.send(text, end)
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "\n".join(lines)

    def expect(self, command, start):
        reply = self.smtp(command)
        if not reply.startswith(start):
            raise Failure(f"{command!r} got {reply!r}, not {start!r}…")
        return reply

    def close(self):
        self.file.close()
        self.socket.close()


class System:
    """The whole mail system in a directory of its own."""

    def __init__(self, services=("master", "popd", "imapd"), queue=None, **parameters):
        self.programs, self.services = programs(), services
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="facteur-flow-"))
        self.ports = Ports()
        self.offset = self.ports.offset
        self.as_user = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
        self.etc, self.home = self.dir / "etc", self.dir / "home"
        self.queue = pathlib.Path(queue) if queue else self.dir / "spool"
        self.log = self.dir / "mail.log"
        self.parameters = {
            "myhostname": "vm.m3102.com", "mydestination": "m3102.com, vm.m3102.com, localhost", "myorigin": "m3102.com",
            "inet_interfaces": "loopback-only", "inet_protocols": "ipv4", "listen": "127.0.0.1", "home_mailbox": "Maildir/", "port_offset": self.offset,
            "queue_directory": self.queue, "data_directory": self.dir / "data", "run_directory": self.dir / "run", "maillog_file": self.log,
            "daemon_directory": self.programs, "command_directory": self.programs, "alias_maps": self.etc / "aliases",
            "accounts_file": self.etc / "accounts", "mail_spool_directory": self.dir / "mail"} | parameters
        self.children = {}
        self.text, self.read_to, self.read_from = "", 0, 0
        self._lay_out()

    def _lay_out(self):
        for folder in (self.etc, self.home, self.queue, self.dir / "data", self.dir / "run", self.dir / "mail"):
            folder.mkdir(parents=True, exist_ok=True)
        self.configure()
        (self.etc / "aliases").write_text("postmaster: root\nroot: eleve\n")
        (self.etc / "accounts").write_text("".join(map(self.account, USERS, hashes(tuple(USERS)))))
        for user in USERS:
            (self.home / user).mkdir(exist_ok=True)
        if self.as_user:
            for path in [self.dir, *self.dir.rglob("*"), self.queue]:
                os.chown(path, NOBODY, NOBODY)

    def account(self, user, password):
        uid = NOBODY if self.as_user else os.getuid()
        gid = NOBODY if self.as_user else os.getgid()
        return f"{user}:{password}:{uid}:{gid}:{user.title()}:{self.home / user}:/bin/sh\n"

    def configure(self, **changes):
        self.parameters |= changes
        (self.etc / "facteur.yaml").write_text("".join(f"{k}: {str(v)!r}\n" if isinstance(v, str) else f"{k}: {v}\n" for k, v in self.parameters.items()))

    def __enter__(self):
        for service in self.services:
            self.start(service)
        return self

    def __exit__(self, kind, *_):
        for service in list(self.children):
            self.stop(service)
        if kind is not None:
            print(f"--- end of {self.log}", *self.log_text().splitlines()[-40:], sep="\n", file=sys.stderr)
        self.ports.release()
        panics = re.findall(r".*panic(?:ked at|: ).*", self.log_text())
        shutil.rmtree(self.dir, ignore_errors=True)
        if panics and kind is None:
            raise Failure(panics[0])
        return False

    def start(self, service, wait=True):
        self.children[service] = subprocess.Popen([self.programs / service, "-c", str(self.etc)], stdin=subprocess.DEVNULL, **self.as_user)
        if wait:
            self.wait_port({"master": 25, "popd": 110, "imapd": 143}[service], self.children[service])

    def stop(self, service, how=signal.SIGTERM):
        child = self.children.pop(service)
        if child.poll() is None:
            child.send_signal(how)
        try:
            return child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise Failure(f"{service} did not stop within 20 s")

    def wait_port(self, port, child):
        def greeted():
            if child.poll() is not None:
                raise Failure(f"{child.args[0]} ended with {child.returncode}\n{self.log_text()[-3000:]}")
            try:
                with socket.create_connection(("127.0.0.1", port + self.offset), 2) as s:
                    s.settimeout(5)
                    return s.recv(1) in (b"2", b"+", b"*")
            except OSError:
                return False
        self.wait(f"a greeting on port {port}", greeted)

    def wait(self, what, condition, seconds=20):
        """Polls a condition that has no event of its own; fails after `seconds`."""
        end = time.monotonic() + seconds
        while not (result := condition()):
            if time.monotonic() > end:
                raise Failure(f"no {what} within {seconds} s")
            select.select([], [], [], 0.02)
        return result

    def log_text(self):
        """The whole log; only what is new is read."""
        if self.log.exists():
            with self.log.open("rb") as file:
                file.seek(self.read_to)
                new = file.read()
            whole = new[:new.rfind(b"\n") + 1]
            self.read_to += len(whole)
            self.text += whole.decode(errors="replace")
        return self.text

    def mark_log(self):
        """From here on `wait_log` looks."""
        self.read_from = len(self.log_text())

    def wait_log(self, pattern, seconds=20, since=None):
        """The first line that matches, from `since` on (a place in the log) or from the mark."""
        pattern, at = re.compile(pattern, re.M), self.read_from if since is None else since

        def found():
            nonlocal at
            text = self.log_text()
            match, at = pattern.search(text, at), len(text)
            return match
        return self.wait(f"log line like {pattern.pattern!r}", found, seconds)

    def pids(self, name):
        """Running processes of one of our programs, of this system only."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                with contextlib.suppress(OSError):
                    line = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")
                    mine = line[0].endswith(b"/" + name.encode()) and (str(self.etc).encode() in line or self._mine(int(entry)))
                    if mine:
                        found.append(int(entry))
        return found

    def _mine(self, pid):
        tops = {c.pid for c in self.children.values()}
        while pid > 1:
            if pid in tops:
                return True
            pid = int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        return False

    def reload(self):
        """`facteur reload`; returns what it had to say."""
        done = subprocess.run([self.programs / "facteur", "-c", str(self.etc), "reload"], capture_output=True, text=True, **self.as_user)
        if done.returncode:
            raise Failure(f"reload ended with {done}")
        return done.stdout + done.stderr

    def connect(self, port, **kw):
        return Lines(port + self.offset, **kw)

    def smtp(self, **kw):
        session = self.connect(25, **kw)
        session.expect(None, "220 ")
        return session

    def pop3(self):
        return self.connect(110)

    def imap(self):
        return self.connect(143)

    def send(self, to, subject="Test", body="bonjour", session=None):
        """One mail by SMTP; returns its queue id."""
        s = session or self.smtp()
        if session is None:
            s.expect("EHLO pc", "250")
        s.expect("MAIL FROM:<sender@m3102.com>", "250 2.1.0")
        for recipient in [to] if isinstance(to, str) else to:
            s.expect(f"RCPT TO:<{recipient}>", "250 2.1.5")
        s.expect("DATA", "354")
        reply = s.expect(f"Subject: {subject}\r\n\r\n{body}\r\n.", "250 2.0.0 Ok: queued as ")
        if session is None:
            s.expect("QUIT", "221")
            s.close()
        return reply.rsplit(" ", 1)[1]

    def sendmail(self, *arguments, text, check=True):
        done = subprocess.run([self.programs / "sendmail", "-C", str(self.etc), *arguments], input=text.encode(), capture_output=True, **self.as_user)
        if check and done.returncode:
            raise Failure(f"sendmail ended with {done.returncode}: {done.stderr.decode()}")
        return done

    def mails(self, user, part="new"):
        """In the order in which they came: the numbers in their names are not padded."""
        folder = self.home / user / "Maildir" / part
        names = sorted(os.listdir(folder), key=lambda name: [int(number) for number in re.findall(r"\d+", name)[:2]]) if folder.is_dir() else []
        return [(folder / name).read_text(errors="replace") for name in names]

    def wait_mails(self, user, count, seconds=30):
        self.wait(f"{count} mails for {user}", lambda: len(self.mails(user)) >= count, seconds)
        return self.mails(user)

    def queued(self):
        return sum(not n.endswith(".tmp") for d in ("maildrop", "incoming", "active", "deferred") for n in os.listdir(self.queue / d))


def stuck(*_):
    raise Failure(f"not at its end after {LONGEST} s")


def run(*tests, call=lambda test: test()):
    """Runs the given test functions (or those named on the command line) and ends with the counts."""
    chosen = [t for t in tests if len(sys.argv) < 2 or t.__name__ in sys.argv[1:]]
    failed, begin = [], time.monotonic()
    signal.signal(signal.SIGALRM, stuck)
    for test in chosen:
        start = time.monotonic()
        signal.alarm(LONGEST)
        try:
            said = call(test)
            if not os.environ.get("QUIET"):
                print(f"ok   {test.__name__} ({time.monotonic() - start:.1f} s){f': {said}' if said else ''}", flush=True)
        except Exception as error:
            failed.append(test.__name__)
            print(f"FAIL {test.__name__}: {type(error).__name__}: {error}", flush=True)
            if os.environ.get("TRACE") or not isinstance(error, Failure):
                traceback.print_exc()
    name = pathlib.Path(sys.argv[0]).stem
    print(f"{name}: {len(chosen) - len(failed)} passed, {len(failed)} failed in {time.monotonic() - begin:.0f} s", flush=True)
    signal.alarm(0)
    # A failed test may have left threads that wait for its system: they keep nobody from learning of it for long.
    faulthandler.dump_traceback_later(60, exit=True)
    sys.exit(1 if failed or not chosen else 0)
