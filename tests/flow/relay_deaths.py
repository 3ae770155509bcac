#!/usr/bin/env python3
"""kill -9 of each program, master among them, again and again during a relay run: every accepted message arrives or comes back with
the true reason, and no queue file is delivered more often than it was under way when a program died that could repeat it.

usage: relay_deaths.py [--messages N]       default 700: two deaths of each program; from there on one more for each 500
"""
import collections, contextlib, os, re, signal, sys, threading

from facteur import Failure, System, run
from nexthop import NextHop

SENDERS = 4  # by SMTP, and one by sendmail
PROGRAMS = ("smtp", "qmgr", "smtpd", "pickup", "local", "mda", "master")
# Whose death may repeat what was under way: to the next hop, and to a mailbox.
REPEATS = {"far": {"smtp", "qmgr", "master"}, "near": {"local", "mda", "qmgr", "master"}}
REFUSAL = "550 5.1.1 no such user here"
ENTERED = re.compile(r"(?:smtpd|pickup)\[\d+\]: (\w+): (?:client|uid)=")
REMOVED = re.compile(r"qmgr\[\d+\]: (\w+): removed")


def recipients(number):
    """Most go to the next hop, each tenth to a mailbox here too; each twenty-fifth is refused there."""
    if number % 25 == 24:
        return ["refused@far.example"]
    return ["a@far.example", "kevin@m3102.com"] if number % 10 == 9 else ["a@far.example"]


class Senders:
    """Try each mail until it is acknowledged; a lost answer makes them send again, which is their copy and not ours."""

    def __init__(self, system, count):
        self.system, self.numbers, self.lock = system, iter(range(count)), threading.Lock()
        self.acknowledged, self.doubtful, self.problems = set(), collections.Counter(), []
        self.threads = [threading.Thread(target=self.safely, args=(way,), daemon=True) for way in [self.by_smtp] * SENDERS + [self.by_sendmail]]
        [thread.start() for thread in self.threads]

    def safely(self, way):
        try:
            way()
        except Exception as error:  # told by `end`: a thread's exception is nobody's
            self.problems.append(f"{type(error).__name__}: {error}")

    def next(self):
        with self.lock:
            return next(self.numbers, None)

    def by_smtp(self):
        session = None
        while (number := self.next()) is not None:
            while number not in self.acknowledged:
                try:
                    session = session or self.system.wait("a greeting", self.greeted, 60)
                    self.one(session, number)
                except (OSError, Failure):
                    session = None

    def greeted(self):
        with contextlib.suppress(OSError, Failure):
            session = self.system.smtp()
            session.expect("EHLO pc", "250")
            return session

    def one(self, session, number):
        session.expect("MAIL FROM:<foo@m3102.com>", "250")
        [session.expect(f"RCPT TO:<{to}>", "250") for to in recipients(number)]
        session.expect("DATA", "354")
        session.send(f"Subject: number {number}.\r\n\r\nx\r\n.")
        try:
            reply = session.smtp()
        except (OSError, Failure):
            with self.lock:
                self.doubtful[number] += 1
            raise
        if not reply.startswith("250 2.0.0 Ok: queued as"):
            raise Failure(reply)
        self.acknowledged.add(number)

    def by_sendmail(self):
        while (number := self.next()) is not None:
            self.system.sendmail("-f", "foo@m3102.com", *recipients(number), text=f"Subject: number {number}.\n\nx\n")
            self.acknowledged.add(number)

    def end(self):
        [thread.join() for thread in self.threads]
        if self.problems:
            raise Failure("; ".join(self.problems))


class Killer:
    """Kills in turn, and notes with each death which messages were under way."""

    def __init__(self, system):
        self.system, self.deaths, self.dead = system, [], set()

    def strike(self, program):
        removed = set(REMOVED.findall(self.system.log_text()))
        if program == "master":
            self.strike_master()
        else:
            self.dead.add(self.system.wait(f"a {program} to kill", lambda: self.struck(program), 60))
        # What came in the moment of the death counts, what went in it too.
        self.deaths.append((program, set(ENTERED.findall(self.system.log_text())) - removed))
        if program == "master":
            self.system.start("master")

    def struck(self, program):
        for victim in set(self.system.pids(program)) - self.dead:
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)
                return victim

    def strike_master(self):
        master = self.system.children.pop("master")
        master.kill()
        master.wait()
        self.system.wait("the end of the others", lambda: not any(self.system.pids(name) for name in PROGRAMS))

    def may_repeat(self, ident, where):
        return sum(program in REPEATS[where] and ident in under_way for program, under_way in self.deaths)


def number_in(text):
    return int(re.search(r"Subject: number (\d+)\.", text)[1])


def copies(mails, killer, where):
    """Deliveries beyond the first of a queue file; each must have a death that explains it."""
    by_file = collections.Counter(re.search(r"(?:id |userid \d+\)\s+id )(\w{10,})", mail)[1] for mail in mails)
    unexplained = {ident: count for ident, count in by_file.items() if count - 1 > killer.may_repeat(ident, where)}
    if unexplained:
        raise Failure(f"delivered again without a death that explains it ({where}): {unexplained}")
    return sum(by_file.values()) - len(by_file)


def mails(system, user):
    return system.mails(user) + system.mails(user, "cur")


def arrived(count, refused, hop, system):
    """What is where it belongs: to the next hop, to kevin, and back to foo."""
    far = [mail.content.decode() for mail in hop.wait(0)]
    near, notices = mails(system, "kevin"), mails(system, "foo")
    wanted = {"far": set(range(count)) - refused, "near": {n for n in range(count) if "kevin@m3102.com" in recipients(n)}, "back": refused}
    found = {"far": far, "near": near, "back": notices}
    for where, numbers in wanted.items():
        if lost := numbers - set(map(number_in, found[where])):
            raise Failure(f"{len(lost)} of {len(numbers)} are lost ({where}): {sorted(lost)[:10]}")
        if strange := set(map(number_in, found[where])) - numbers:
            raise Failure(f"not wanted ({where}): {sorted(strange)[:10]}")
    if untrue := [notice for notice in notices if f"said: {REFUSAL}" not in re.sub(r"\s+", " ", notice)]:
        raise Failure(f"a notice without the reason:\n{untrue[0]}")
    return far, near, notices


def each_program():
    count = MESSAGES
    rounds = max(2, count // 500)
    refuse = lambda argument: REFUSAL if "refused@" in argument else None
    with NextHop(rcpt=refuse) as hop, System(services=["master"], relayhost=f"[127.0.0.1]:{hop.port}", mynetworks="127.0.0.0/8", minimal_backoff_time="1s",
                                             maximal_backoff_time="2s", queue_run_delay="1s", smtp_tls_security_level="none") as system:
        senders, killer = Senders(system, count), Killer(system)
        turns = [program for _ in range(rounds) for program in PROGRAMS]
        for turn, program in enumerate(turns, 1):
            wanted = count * turn // (len(turns) + 1)
            system.wait(f"{wanted} acknowledged", lambda: len(senders.acknowledged) >= wanted or senders.problems, 120)
            killer.strike(program)
        senders.end()
        system.wait("an empty queue", lambda: system.queued() == 0, 120)
        refused = {n for n in range(count) if recipients(n) == ["refused@far.example"]}
        far, near, notices = arrived(count, refused, hop, system)
        twice = copies(far, killer, "far"), copies(near, killer, "near")
        again = len(notices) - len(refused) - sum(senders.doubtful[n] for n in refused)
        if again > sum(program in REPEATS["far"] | REPEATS["near"] for program, _ in killer.deaths):
            raise Failure(f"{again} notices too many")
        return (f"{count} messages, {len(turns)} deaths, 0 lost; copies: {twice[0]} to the next hop, {twice[1]} to the mailbox, {max(again, 0)} notices; "
                f"{sum(senders.doubtful.values())} sent again by their senders")


MESSAGES = 700
if "--messages" in sys.argv:
    at = sys.argv.index("--messages")
    MESSAGES = int(sys.argv[at + 1])
    del sys.argv[at:at + 2]
run(each_program)
