#!/usr/bin/env python3
"""Ten sessions change one mailbox at once, at random; each follows what it is told. At the end all agree with one another
and with the disk.

    tests/flow/imap_stress.py [NAME…]       environment: SEED for a certain run, STEPS per session (60)
"""
import os, random, re, select, threading

from facteur import Failure, Lines, System, run

SESSIONS = 10
STEPS = int(os.environ.get("STEPS", "60"))
FLAGS = ["\\Seen", "\\Flagged", "\\Answered", "\\Draft", "work", "$Junk"]


class Session:
    """A client that keeps its own picture of the mailbox from untagged replies, as RFC 9051 §5.2 demands it be possible."""

    def __init__(self, system, number, seed):
        self.random = random.Random(f"{seed}-{number}")
        self.number, self.tag, self.appended, self.expunged = number, 0, set(), set()
        self.lines = Lines(143 + system.offset, timeout=60)
        self.lines.line()
        self.messages = []  # [uid or None, flags or None] by message number
        self.command("LOGIN kevin kevin")
        self.command("SELECT INBOX")
        self.learn()

    def say(self, text):
        self.tag += 1
        self.lines.send(f"t{self.tag} {text}")

    def command(self, text):
        """Sends it and takes in all that comes up to its completion, which is returned."""
        self.say(text)
        return self.complete()

    def complete(self):
        while not (line := self.whole_line()).startswith(f"t{self.tag} "):
            self.take_in(line)
        return line.split(" ", 1)[1]

    def whole_line(self):
        line = self.lines.line()
        while match := re.search(r"\{(\d+)\}$", line):
            line += "\r\n" + self.lines.file.read(int(match[1])).decode() + self.lines.line()
        return line

    def take_in(self, line):
        if match := re.fullmatch(r"\* (\d+) EXISTS", line):
            count = int(match[1])
            if count < len(self.messages):
                raise Failure(f"session {self.number}: {count} EXISTS, there were {len(self.messages)}")
            self.messages += [[None, None] for _ in range(count - len(self.messages))]
        elif match := re.fullmatch(r"\* (\d+) EXPUNGE", line):
            del self.messages[int(match[1]) - 1]
        elif match := re.match(r"\* (\d+) FETCH \(", line):
            message = self.messages[int(match[1]) - 1]
            if uid := re.search(r"UID (\d+)", line):
                if message[0] not in (None, int(uid[1])):
                    raise Failure(f"session {self.number}: number {match[1]} was uid {message[0]}, now {uid[1]}")
                message[0] = int(uid[1])
            if flags := re.search(r"FLAGS \(([^)]*)\)", line):
                message[1] = frozenset(flags[1].split()) - {"\\Recent"}
        elif line.startswith("* BYE"):
            raise Failure(f"session {self.number}: {line}")

    def learn(self):
        if any(None in message for message in self.messages):
            self.command("FETCH 1:* (UID FLAGS)")

    def uids(self):
        return [message[0] for message in self.messages if message[0]]

    def step(self):
        kind = self.random.choice(["append"] * 3 + ["store"] * 4 + ["fetch", "fetch", "expunge", "idle", "noop", "copy"])
        getattr(self, kind)()

    def append(self):
        text = f"Subject: {self.number}-{self.tag}\r\n\r\nbody\r\n"
        self.say(f"APPEND INBOX ({self.random.choice(FLAGS)}) {{{len(text)}+}}\r\n{text}")
        done = self.complete()
        self.appended.add(int(re.fullmatch(r"OK \[APPENDUID \d+ (\d+)\] .*", done)[1]))

    def some(self):
        known = self.uids()
        return ",".join(map(str, self.random.sample(known, min(len(known), self.random.randint(1, 4)))))

    def store(self):
        if some := self.some():
            self.command(f"UID STORE {some} {self.random.choice(['+', '-', ''])}FLAGS ({self.random.choice(FLAGS)} {self.random.choice(FLAGS)})")

    def fetch(self):
        self.learn()
        if some := self.some():
            self.command(f"UID FETCH {some} (FLAGS BODY.PEEK[HEADER.FIELDS (SUBJECT)])")

    def expunge(self):
        known = self.uids()
        if len(known) > 5:
            uid = self.random.choice(known)
            self.command(f"UID STORE {uid} +FLAGS (\\Deleted)")
            self.command(f"UID EXPUNGE {uid}")
            # Another session may have taken the mark off again in between.
            if uid not in self.uids():
                self.expunged.add(uid)

    def copy(self):
        if some := self.some():
            done = self.command(f"UID COPY {some} INBOX")
            if match := re.match(r"OK \[COPYUID \d+ [\d:,]+ ([\d:,]+)\]", done):
                for span in match[1].split(","):
                    first, _, last = span.partition(":")
                    self.appended.update(range(int(first), int(last or first) + 1))

    def noop(self):
        self.command("NOOP")

    def idle(self):
        self.say("IDLE")
        while not (line := self.whole_line()).startswith("+"):
            self.take_in(line)
        # Until something is told, or a moment; what is told is taken in with the completion.
        select.select([self.lines.socket], [], [], self.random.random() / 20)
        self.lines.send("DONE")
        self.complete()

    def picture(self):
        self.command("NOOP")
        self.learn()
        return {uid: flags for uid, flags in self.messages}


def stressed(**parameters):
    seed = os.environ.get("SEED") or str(random.randrange(1 << 30))
    with System(services=["imapd"], mail_max_userip_connections=SESSIONS + 5, **parameters) as system:
        sessions = [Session(system, number, seed) for number in range(SESSIONS)]
        problems = []

        def work(session):
            try:
                for _ in range(STEPS):
                    session.step()
            except Exception as error:
                problems.append(f"SEED={seed}: {type(error).__name__}: {error}")

        threads = [threading.Thread(target=work, args=(session,), daemon=True) for session in sessions]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        if problems:
            raise Failure("; ".join(problems))
        fresh = Session(system, "fresh", seed).picture()
        for session in sessions:
            if (picture := session.picture()) != fresh:
                other = {uid: (picture.get(uid), fresh.get(uid)) for uid in picture.keys() | fresh.keys() if picture.get(uid) != fresh.get(uid)}
                raise Failure(f"SEED={seed}: session {session.number} sees {other}")
        there = set.union(*(session.appended for session in sessions)) - set.union(*(session.expunged for session in sessions))
        if set(fresh) != there:
            raise Failure(f"SEED={seed}: on disk but not stored or removed: {set(fresh) - there}; lost: {there - set(fresh)}")
        # Another process looks at the disk.
        system.stop("imapd")
        system.start("imapd")
        if (again := Session(system, "again", seed).picture()) != fresh:
            raise Failure(f"SEED={seed}: the disk holds {again}, sessions saw {fresh}")
        return f"{len(fresh)} messages left of {sum(len(session.appended) for session in sessions)}"


def maildir():
    return stressed()


def mbox():
    return stressed(home_mailbox="")


run(maildir, mbox)
