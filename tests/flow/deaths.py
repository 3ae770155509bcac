#!/usr/bin/env python3
"""kill -9 of each program in the middle of traffic: what was acknowledged is there, and copies are bounded by what was under way."""
import collections, contextlib, imaplib, os, poplib, re, signal, ssl, threading

from facteur import Failure, System, run

SENDERS = 4  # by SMTP, and half as many by sendmail
EACH = 40


class Traffic:
    """Senders that try each mail until it is acknowledged, as real ones do, and note what was and what may have been taken."""

    def __init__(self, system):
        self.system, self.lock = system, threading.Lock()
        self.acknowledged, self.doubtful, self.problems = set(), collections.Counter(), []
        self.threads = [threading.Thread(target=self.safely, args=(self.by_smtp, n), daemon=True) for n in range(SENDERS)]
        self.threads += [threading.Thread(target=self.safely, args=(self.by_sendmail, n), daemon=True) for n in range(SENDERS, SENDERS + SENDERS // 2)]
        [thread.start() for thread in self.threads]

    def safely(self, send, sender):
        try:
            send(sender)
        except Exception as error:  # told by `end`: a thread's exception is nobody's
            self.problems.append(f"{type(error).__name__}: {error}")

    def by_smtp(self, sender):
        session = None
        for number in range(EACH):
            name = f"{sender}-{number}."
            while name not in self.acknowledged:
                try:
                    session = session or self.greeted()
                    self.one(session, name)
                except (OSError, Failure):
                    session = None

    def greeted(self):
        session = self.system.wait("a greeting", self.try_greeting)
        session.expect("EHLO pc", "250")
        return session

    def try_greeting(self):
        try:
            return self.system.smtp()
        except (OSError, Failure):
            return None

    def one(self, session, name):
        session.expect("MAIL FROM:<sender@m3102.com>", "250")
        session.expect("RCPT TO:<kevin@m3102.com>", "250")
        session.expect("DATA", "354")
        session.send(f"Subject: {name}\r\n\r\nnumber {name}\r\n.")
        # From here on a lost connection leaves the sender in doubt, and he sends again: his copy, not ours.
        try:
            reply = session.smtp()
        except (OSError, Failure):
            with self.lock:
                self.doubtful[name] += 1
            raise
        if not reply.startswith("250 2.0.0 Ok: queued as"):
            raise Failure(reply)
        with self.lock:
            self.acknowledged.add(name)

    def by_sendmail(self, sender):
        for number in range(EACH):
            name = f"{sender}-{number}."
            self.system.sendmail("-f", "sender@m3102.com", "kevin", text=f"Subject: {name}\n\nnumber {name}\n")
            with self.lock:
                self.acknowledged.add(name)

    def half(self):
        return len(self.acknowledged) * 2 > EACH * len(self.threads)

    def end(self):
        [thread.join() for thread in self.threads]
        if self.problems:
            raise Failure("; ".join(self.problems))


def under_way(system):
    """How many messages the log does not tell the end of: what a death may repeat."""
    text = system.log_text()
    came = set(re.findall(r"(?:smtpd|pickup)\[\d+\]: (\w+): (?:client|uid)=", text))
    return len(came - set(re.findall(r"qmgr\[\d+\]: (\w+): removed", text)))


def counted(system, traffic, bound):
    """Nothing acknowledged is lost; beyond what senders repeated in doubt, at most `bound` copies."""
    got = collections.Counter(re.search(r"number (\S+)", mail)[1] for mail in system.mails("kevin") + system.mails("kevin", "cur"))
    if lost := traffic.acknowledged - set(got):
        raise Failure(f"{len(lost)} acknowledged mails are lost: {sorted(lost)[:5]}")
    copies = sum(number - 1 for number in got.values())
    bound += sum(traffic.doubtful.values())
    if copies > bound:
        raise Failure(f"{copies} copies, at most {bound} were under way")
    return f"{len(traffic.acknowledged)} mails, {copies} copies of at most {bound}"


def struck(system, name, before):
    """Kills a process of this program, if one is there that was not killed before: its pid."""
    for victim in set(system.pids(name)) - before:
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            return victim
    return None


def killed(name):
    """The program dies three times while mail comes in and is delivered; master starts it again."""
    with System(services=["master"]) as system:
        system.send("kevin", body="number first.")
        system.wait_mails("kevin", 1)
        traffic, bound, dead = Traffic(system), 0, set()
        for part in (1, 2, 3):
            system.wait(f"part {part} of the traffic", lambda: len(traffic.acknowledged) * 4 >= EACH * len(traffic.threads) * part, 60)
            dead.add(system.wait(f"a {name} to kill", lambda: struck(system, name, dead)))
            bound += under_way(system)
        traffic.end()
        system.wait("an empty queue", lambda: system.queued() == 0, 60)
        return counted(system, traffic, bound)


def smtpd():
    return killed("smtpd")


def qmgr():
    return killed("qmgr")


def pickup():
    return killed("pickup")


def local():
    return killed("local")


def mda():
    return killed("mda")


def master():
    """With master all its programs end; it is started again by hand and all goes on."""
    with System(services=["master"]) as system:
        traffic, bound = Traffic(system), 0
        system.wait("the middle", traffic.half, 60)
        dead = system.children.pop("master")
        dead.kill()
        dead.wait()
        system.wait("the end of the others", lambda: not any(system.pids(name) for name in ("smtpd", "qmgr", "pickup", "local", "mda")))
        bound += under_way(system)
        system.start("master")
        traffic.end()
        system.wait("an empty queue", lambda: system.queued() == 0, 60)
        return counted(system, traffic, bound)


class Reader:
    """A mail program that fetches all mails and removes what it has fetched, and begins again when its connection dies."""

    def __init__(self, system, wanted):
        self.system, self.wanted, self.broken = system, wanted, 0
        self.fetched, self.here, self.removed = set(), set(), set()
        self.problem = None
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        try:
            while len(self.fetched) < self.wanted:
                self.here = set()
                try:
                    self.session()
                    self.removed |= self.here
                except (OSError, EOFError, poplib.error_proto, imaplib.IMAP4.error):
                    self.broken += 1
        except Exception as error:
            self.problem = error

    def took(self, octets):
        name = re.search(rb"number (\S+)", octets)[1].decode()
        self.fetched.add(name)
        self.here.add(name)


class ByPop3(Reader):
    def connected(self):
        return poplib.POP3("127.0.0.1", 110 + self.system.offset, timeout=20)

    def session(self):
        client = self.connected()
        client.user("kevin")
        client.pass_("kevin")
        for number in range(1, client.stat()[0] + 1):
            self.took(b"\n".join(client.retr(number)[1]))
            client.dele(number)
        client.quit()


class ByPop3s(ByPop3):
    """By TLS, where the front stays in between after the login."""

    def connected(self):
        return poplib.POP3_SSL("127.0.0.1", 995 + self.system.offset, context=ssl._create_unverified_context(), timeout=20)


class ByImap(Reader):
    def connected(self):
        return imaplib.IMAP4("127.0.0.1", 143 + self.system.offset, timeout=20)

    def session(self):
        client = self.connected()
        client.login("kevin", "kevin")
        for number in range(1, int(client.select()[1][0]) + 1):
            self.took(client.fetch(str(number), "(BODY[])")[1][0][1])
            client.store(str(number), "+FLAGS", "\\Deleted")
        client.expunge()
        client.logout()


class ByImaps(ByImap):
    """As ByPop3s."""

    def connected(self):
        return imaplib.IMAP4_SSL("127.0.0.1", 993 + self.system.offset, ssl_context=ssl._create_unverified_context(), timeout=20)


def read_while_dying(kind, service, name):
    """The program dies again and again while mail arrives and is read and removed: each mail is read, and what was removed stays so."""
    with System(services=["master", service]) as system:
        names = [f"{n}." for n in range(120)]
        reader = kind(system, len(names))
        reader.thread.start()
        session, deaths = system.smtp(), 0
        session.expect("EHLO pc", "250")
        for n, one in enumerate(names):
            system.send("kevin@m3102.com", body=f"number {one}", session=session)
            if n % 30 == 7:
                deaths += die(system, service, name)
        try:
            system.wait("all mails to be read", lambda: len(reader.fetched) == len(names) or reader.problem, 60)
        except Failure as failure:
            reader.wanted = 0
            left = len(system.mails("kevin")), len(system.mails("kevin", "cur"))
            raise Failure(f"{failure}: {len(reader.fetched)} read, in new and cur {left}, {reader.broken} sessions broken")
        reader.thread.join()
        if reader.problem:
            raise reader.problem
        left = {re.search(r"number (\S+)", mail)[1] for mail in system.mails("kevin") + system.mails("kevin", "cur")}
        if again := left & reader.removed:
            raise Failure(f"removed, yet there: {sorted(again)}")
        if not deaths or len(reader.fetched) != len(names):
            raise Failure(f"{deaths} deaths, {len(reader.fetched)} read")
        reader.connected()
        return f"{deaths} deaths, {reader.broken} sessions broken, {len(left)} read mails left"


def die(system, service, name):
    if name == service:
        keeper = system.children.pop(service)
        keeper.kill()
        keeper.wait()
        system.start(service)
    else:
        system.wait(f"a {name} to kill", lambda: struck(system, name, set()))
    return 1


def popd():
    return read_while_dying(ByPop3, "popd", "popd")


def pop3_login():
    return read_while_dying(ByPop3s, "popd", "pop3-login")


def pop3():
    return read_while_dying(ByPop3, "popd", "pop3")


def imapd():
    return read_while_dying(ByImap, "imapd", "imapd")


def imap_login():
    return read_while_dying(ByImaps, "imapd", "imap-login")


def imap():
    return read_while_dying(ByImap, "imapd", "imap")


run(master, smtpd, qmgr, pickup, local, mda, popd, pop3_login, pop3, imapd, imap_login, imap)
