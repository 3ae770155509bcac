#!/usr/bin/env python3
"""docs/labs.en.md, replayed: each command and each line of a dialogue gives what the page shows. The French page shows the same.

Blocks marked `console` are shell commands behind `$`; `telnet PORT` begins a dialogue, what is typed stands behind `>`. Blocks
marked `log` are lines of mail.log, in order. What differs each time (dates, queue ids, process numbers) is not compared; lines
of `...` stand for anything. UPDATE_LABS=1 writes what the machine answers into the English page, to be looked at.
"""
import os, re, subprocess

from facteur import NOBODY, TOP, Failure, System, programs, run

VARIES = [
    (r"[A-Z][a-z]{2}, [ \d]?\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d [+-]\d{4}( \([A-Z]+\))?", "DATE"), (r"[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d( \d{4})?", "DATE"),
    (r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \w+ facteur", "DATE HOST facteur"), (r"\d{14}\.", "STAMP."), (r"\b[0-9A-F]{15}\b", "ID"),
    (r"\[CAPABILITY [^]]*\]", "[CAPABILITY]"), (r"\[\d+\]: ", "[PID]: "), (r"delay=[\d.]+, delays=[\d./]+", "DELAYS"), (r"mpid=\d+", "mpid=N"), (r"session=<[^>]*>", "session=<S>"), (r"\(\w+\)<\d+><[^>]*>", "SESSION"),
    (r"\([\d.]+ \+ [\d.]+ secs\)", "(SECS)"), (r"UIDVALIDITY \d+", "UIDVALIDITY N"), (r"uid=\d+ from", "uid=N from"), (r"from userid \d+", "from userid N"),
    (r"size=\d+, nrcpt", "size=N, nrcpt"), (r"GNU Mailutils [\d.]+", "GNU Mailutils N"), (r" facteur -c \S+", " facteur"), (r"^From: \w+ <", "From: NAME <"), (r"^(\+OK \d+|1) \d+$", r"\1 SIZE"), (r"\b\d+ octets", "SIZE octets"), (r"connection established.*", "connection established"), (r"[ \t]+$", ""), (r"^ID +\d+ DATE", "ID SIZE DATE"),
]


def constant(text):
    for pattern, name in VARIES:
        text = re.sub(pattern, name, text, flags=re.M)
    return text


UPDATE = bool(os.environ.get("UPDATE_LABS"))


def compare(got, wanted, where):
    if UPDATE:
        return
    pattern = "(?:.*\n)*?".join(re.escape(constant(part)) for part in re.split(r"^\.\.\.\n", wanted, flags=re.M))
    if not re.fullmatch(pattern, constant(got)):
        raise Failure(f"after {where!r} the page shows\n{constant(wanted)}\nbut it is\n{constant(got)}")


def blocks(language):
    return re.findall(r"^```(console|log)\n(.*?)^```$", (TOP / f"docs/labs.{language}.md").read_text(), re.M | re.S)


def parts(text):
    """Each line that is typed, with what must come after it."""
    for part in re.split(r"^(?=[$>](?: |\n))", text, flags=re.M):
        typed, _, wanted = part.partition("\n")
        yield typed, wanted


class Student:
    """Types what the page says. The system is in one directory: its paths and ports stand for the usual ones."""

    def __init__(self, system):
        self.system, self.session = system, None
        self.page = []
        self.bin = system.etc / "bin"
        self.bin.mkdir()
        (self.bin / "facteur").write_text(f'#!/bin/sh\nexec {programs()}/facteur -c {system.etc} "$@"\n')
        (self.bin / "newaliases").write_text(f'#!/bin/sh\nexec {programs()}/newaliases -C {system.etc}\n')
        (self.bin / "mailq").write_text(f'#!/bin/sh\nexec {programs()}/mailq -C {system.etc}\n')
        # mailutils' `mail` calls the system's sendmail: this one calls ours. (Lab "in French" replays the page with the real one.)
        head = r'printf "Subject: %s\nTo: %s\nUser-Agent: mail (GNU Mailutils 3.15)\nDate: %s\n\n" "$2" "$3" "$(date -R)"'
        (self.bin / "mail").write_text(f'#!/bin/sh\n({head}; cat) | exec {programs()}/sendmail -C {system.etc} -f root@vm.m3102.com "$3"\n')
        for path in self.bin.iterdir():
            path.chmod(0o755)

    def places(self, text):
        return text.replace("/var/mail", str(self.system.dir / "mail")).replace("/etc/aliases", str(self.system.etc / "aliases")).replace("/home/", f"{self.system.home}/").replace("~kevin", str(self.system.home / "kevin"))

    def unplaced(self, text):
        return text.replace(str(self.system.dir / "mail"), "/var/mail").replace(str(self.system.etc / "aliases"), "/etc/aliases").replace(f"{self.system.home}/", "/home/").replace(f" -c {self.system.etc}", "")

    def console(self, text):
        for typed, wanted in parts(text):
            self.page.append(typed + "\n" if typed else "")
            if typed.startswith("$ telnet"):
                self.dialogue(int(typed.split()[-1]), wanted)
            elif typed.startswith("$ "):
                self.command(typed[2:], wanted)
            elif typed.startswith("> ") or typed == ">":
                self.session.send(typed[2:])
                self.hear(typed, wanted)

    def command(self, line, wanted):
        done = subprocess.run(["sh", "-c", self.places(line)], capture_output=True, text=True, timeout=60, env={"PATH": f"{self.bin}:/usr/bin:/bin"}, **self.system.as_user)
        self.page.append(self.unplaced(done.stdout + done.stderr))
        compare(self.page[-1], wanted, line)
        self.settle()

    def settle(self):
        """Until nothing is on its way."""
        places = [self.system.queue / name for name in ("maildrop", "incoming", "active")]
        self.system.wait("rest in the queue", lambda: not any(os.listdir(place) for place in places))

    def dialogue(self, port, wanted):
        self.session = self.system.connect(port)
        self.hear(f"telnet {port}", wanted)

    def hear(self, typed, wanted):
        """As many lines as the page shows, without those of telnet itself."""
        got = self.until_quiet() if UPDATE else "".join(self.session.line() + "\n" for _ in wanted.splitlines())
        self.page.append(got)
        compare(got, wanted, typed)
        if re.match(r"> (a )?(quit|logout)$", typed, re.I):
            self.session.close()
            self.settle()

    def until_quiet(self):
        """All that comes until nothing more does."""
        got = b""
        self.session.socket.settimeout(1)
        try:
            while octets := self.session.socket.recv(65536):
                got += octets
                self.session.socket.settimeout(0.5)
        except OSError:
            pass
        return got.decode().replace("\r\n", "\n")

    def log(self, text):
        self.page.append(text)
        self.system.wait(f"log like\n{constant(text)}", lambda: self.in_order(constant(text).splitlines()))

    def in_order(self, wanted):
        lines = iter(constant(self.system.log_text()).splitlines())
        return all(line in lines for line in wanted)


def english():
    settings = {"home_mailbox": "", "myhostname": "vm.m3102.com", "mydestination": "m3102.com, vm.m3102.com, localhost", "defer_transports": "smtp"}
    with System(**settings) as system:
        student = Student(system)
        page = TOP / "docs/labs.en.md"
        new = page.read_text()
        for kind, text in blocks("en"):
            student.page = []
            getattr(student, kind)(text)
            new = new.replace(f"```{kind}\n{text}```", f"```{kind}\n{''.join(student.page)}```", 1)
        if UPDATE:
            page.write_text(new)


def french():
    if blocks("fr") != blocks("en"):
        raise Failure("the blocks of docs/labs.fr.md are not those of docs/labs.en.md")


if __name__ == "__main__":
    run(english, french)
