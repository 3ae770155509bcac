"""A server that mail is relayed to: SMTP or LMTP by a script, with every fault a server can have.

    with NextHop(rcpt=["550 5.1.1 who?"]) as hop:       # the first RCPT is refused, the others are not
        … relayhost=f"[{hop.host}]:{hop.port}" …
        hop.wait(1)[0].content                           # the messages it took

A step of the dialogue (`connect ehlo helo starttls auth mail rcpt data body end rset quit`; `body`: within the content, `end`:
after the dot) is given what to do there: a reply, HANG_UP, STALL (says nothing until the peer goes), NONSENSE (no reply, but
a line), FORGET (takes the message at `end`, but hangs up instead of saying so), or a function of the argument that returns one
of them or None (the usual). A list is used up, one at each time; after that, and without, all goes well.
"""
import base64, contextlib, functools, hashlib, hmac, os, pathlib, shutil, socket, ssl, subprocess, tempfile, threading, time

HANG_UP, STALL, NONSENSE, FORGET = "hang up", "stall", "nonsense", "forget"
EXTENSIONS = ("PIPELINING", "SIZE 10240000", "8BITMIME", "ENHANCEDSTATUSCODES", "DSN", "SMTPUTF8")


class Gone(Exception):
    """The connection is over."""


class Mail:
    """A message that was taken: who sent it to whom (each with its parameters), and what."""

    def __init__(self, session, sender, recipients, content):
        self.sender, self.recipients, self.content = sender, recipients, content
        self.tls, self.user = session.tls, session.user

    def to(self):
        return [recipient.split(">")[0].lstrip("<") for recipient in self.recipients]


class NextHop:
    def __init__(self, host="127.0.0.1", port=0, lmtp=False, tls=None, users=None, mechanisms="PLAIN LOGIN SCRAM-SHA-256",
                 extensions=EXTENSIONS, name="hop.example.org", **script):
        """`tls`: None, `"starttls"` or `"wrapped"`. `users`: {name: password}; then mail only after AUTH."""
        self.lmtp, self.tls, self.users, self.mechanisms = lmtp, tls, users, mechanisms
        self.extensions, self.name, self.script = list(extensions), name, script
        self.messages, self.commands, self.connections = [], [], 0
        self.changed, self.open = threading.Condition(), set()
        self.listener = socket.create_server((host, port), backlog=200)
        self.host, self.port = self.listener.getsockname()[:2]
        threading.Thread(target=self._serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Ends all at once, as a machine does that is switched off."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.changed:
            for connection in list(self.open):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def wait(self, count, seconds=20):
        """All messages taken, when there are that many."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.messages) >= count, seconds):
                raise AssertionError(f"{len(self.messages)} of {count} messages within {seconds} s; heard {self.commands[-20:]}")
            return list(self.messages)

    def wait_command(self, start, seconds=20):
        """Until a command that begins so was heard."""
        with self.changed:
            if not self.changed.wait_for(lambda: any(c.startswith(start) for c in self.commands), seconds):
                raise AssertionError(f"no {start} within {seconds} s; heard {self.commands[-20:]}")

    def note(self, command):
        with self.changed:
            self.commands.append(command)
            self.changed.notify_all()

    def take(self, mail):
        with self.changed:
            self.messages.append(mail)
            self.changed.notify_all()

    def action(self, step, argument=""):
        """What the script says for this step, this time."""
        action = self.script.get(step)
        with self.changed:
            if isinstance(action, list):
                action = action.pop(0) if action else None
        return action(argument) if callable(action) else action

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.changed:
                self.connections += 1
                self.open.add(connection)
            threading.Thread(target=self._session, args=(connection,), daemon=True).start()

    def _session(self, connection):
        connection.settimeout(120)
        session = Session(self, connection)
        try:
            session.run()
        except (Gone, OSError, ValueError):
            pass
        finally:
            with self.changed:
                self.open -= {connection, session.connection}
                self.changed.notify_all()
            # TLS has taken the socket over; and what reads from it would hold it open.
            with contextlib.suppress(OSError):
                session.connection.shutdown(socket.SHUT_RDWR)
            session.connection.close()


class Session:
    """One connection."""

    def __init__(self, hop, connection):
        self.hop, self.connection = hop, connection
        self.tls, self.user = False, None
        self.sender, self.recipients = None, []
        self.file = None

    def run(self):
        if self.hop.tls == "wrapped":
            self.secure()
        self.file = self.connection.makefile("rb")
        if not self.act("connect", f"220 {self.hop.name} ESMTP"):
            return
        while True:
            line = self.line()
            verb, _, argument = line.partition(" ")
            self.hop.note(line)
            command = getattr(self, "do_" + verb.lower(), None)
            if not command:
                self.say("500 5.5.2 what?")
            elif command(argument) == "over":
                return

    def line(self):
        line = self.file.readline(70000)
        if not line.endswith(b"\n"):
            raise Gone
        return line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")

    def say(self, text):
        self.connection.sendall((text + "\r\n").encode("utf-8", "surrogateescape"))

    def act(self, step, usual, argument=""):
        """Does what the script says, or says what is usual; tells whether it was yes."""
        action = self.hop.action(step, argument) or usual
        if action == HANG_UP:
            raise Gone
        if action == STALL:
            self.stall()
        if action == NONSENSE:
            self.say("hello, is anybody there?")
            return False
        for line in action.split("\n"):
            self.say(line)
        if action.startswith("421"):
            raise Gone
        return action[0] in "23"

    def stall(self):
        while self.file.readline(70000):
            pass
        raise Gone

    def secure(self):
        self.connection = certificate().wrap_socket(self.connection, server_side=True)
        with self.hop.changed:
            self.hop.open.add(self.connection)
        self.tls = True

    def do_ehlo(self, argument, step="ehlo"):
        lines = [self.hop.name, *self.hop.extensions]
        if self.hop.tls == "starttls" and not self.tls:
            lines.append("STARTTLS")
        if self.hop.users:
            lines.append("AUTH " + self.hop.mechanisms)
        self.sender, self.recipients = None, []
        self.act(step, "\n".join(f"250{' ' if n == len(lines) - 1 else '-'}{line}" for n, line in enumerate(lines)), argument)

    def do_lhlo(self, argument):
        self.do_ehlo(argument)

    def do_helo(self, argument):
        self.act("helo", f"250 {self.hop.name}", argument)

    def do_starttls(self, argument):
        if self.act("starttls", "220 2.0.0 go"):
            self.secure()
            self.file = self.connection.makefile("rb")
            self.user = None

    def do_auth(self, argument):
        mechanism, _, initial = argument.partition(" ")
        name = {"PLAIN": self.plain, "LOGIN": self.login, "SCRAM-SHA-256": self.scram}.get(mechanism)
        if not name or not self.hop.users or mechanism not in self.hop.mechanisms:
            return self.say("504 5.5.4 no such mechanism")
        user = name(base64.b64decode(initial).decode() if initial else None)
        if self.act("auth", "235 2.7.0 welcome" if user else "535 5.7.8 Error: authentication failed", user or ""):
            self.user = user

    def challenge(self, text):
        self.say("334 " + base64.b64encode(text.encode()).decode())
        return base64.b64decode(self.line()).decode()

    def plain(self, initial):
        _, user, password = (self.challenge("") if initial is None else initial).split("\0")
        return user if self.hop.users.get(user) == password else None

    def login(self, initial):
        user = self.challenge("Username:") if initial is None else initial
        return user if self.challenge("Password:") == self.hop.users.get(user) else None

    def scram(self, initial):
        first = (self.challenge("") if initial is None else initial).removeprefix("n,,")
        fields = dict(field.split("=", 1) for field in first.split(","))
        password = self.hop.users.get(fields["n"])
        nonce, salt = fields["r"] + os.urandom(9).hex(), os.urandom(12)
        server = f"r={nonce},s={base64.b64encode(salt).decode()},i=4096"
        final, _, proof = self.challenge(server).rpartition(",p=")
        salted = hashlib.pbkdf2_hmac("sha256", (password or "").encode(), salt, 4096)
        key, whole = sign(salted, "Client Key"), ",".join((first, server, final))
        right = bytes(a ^ b for a, b in zip(key, sign(hashlib.sha256(key).digest(), whole)))
        if password is None or base64.b64decode(proof) != right:
            return None
        self.challenge("v=" + base64.b64encode(sign(sign(salted, "Server Key"), whole)).decode())
        return fields["n"]

    def do_mail(self, argument):
        if self.hop.users and not self.user:
            return self.say("530 5.7.0 Authentication required")
        if self.act("mail", "250 2.1.0 Ok", argument):
            self.sender, self.recipients = argument.removeprefix("FROM:"), []

    def do_rcpt(self, argument):
        if self.sender is None:
            return self.say("503 5.5.1 MAIL first")
        if self.act("rcpt", "250 2.1.5 Ok", argument):
            self.recipients.append(argument.removeprefix("TO:"))

    def do_data(self, argument):
        if not self.recipients:
            return self.say("554 5.5.1 no valid recipients")
        if not self.act("data", "354 go"):
            return None
        self.content()

    def content(self):
        action, lines = self.hop.action("body"), []
        while (line := self.file.readline()) != b".\r\n":
            if not line.endswith(b"\r\n") or action == HANG_UP:
                raise Gone
            if action == STALL:
                self.stall()
            if action:
                self.say(action)
                raise Gone
            lines.append(line.removeprefix(b"."))
        mail = Mail(self, self.sender, self.recipients, b"".join(lines))
        self.sender, self.recipients = None, []
        self.end(mail)

    def end(self, mail):
        if not self.hop.lmtp:
            return self.take(mail, mail.recipients, "")
        for recipient in mail.recipients:
            self.take(mail, [recipient], recipient)

    def take(self, mail, recipients, argument):
        """What is taken is noted before that is told, as a real server does."""
        action = self.hop.action("end", argument) or f"250 2.0.0 Ok: queued as {len(self.hop.messages) + 1:X}"
        taken = Mail(self, mail.sender, recipients, mail.content)
        if action == FORGET:
            self.hop.take(taken)
            raise Gone
        if action == HANG_UP:
            raise Gone
        if action == STALL:
            self.stall()
        if action == NONSENSE:
            return self.say("hello, is anybody there?")
        if action.startswith("2"):
            self.hop.take(taken)
        self.say(action)
        if action.startswith("421"):
            raise Gone

    def do_rset(self, argument):
        self.sender, self.recipients = None, []
        self.act("rset", "250 2.0.0 Ok")

    def do_noop(self, argument):
        self.say("250 2.0.0 Ok")

    def do_quit(self, argument):
        self.act("quit", "221 2.0.0 Bye")
        return "over"


def sign(key, text):
    return hmac.digest(key, text.encode(), "sha256")


@functools.cache
def certificate():
    """A self-signed certificate of `hop.example.org`, made once."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="facteur-flow-"))
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                        "-subj", "/CN=hop.example.org", "-addext", "subjectAltName=DNS:hop.example.org,IP:127.0.0.1",
                        "-keyout", folder / "key", "-out", folder / "cert"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert", folder / "key")
        return context
    finally:
        shutil.rmtree(folder)
