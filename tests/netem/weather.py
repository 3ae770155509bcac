#!/usr/bin/env python3
"""Mail over a bad network: loss, delay, doubled and overtaking packets, cuts, and a name server that dies and comes back. Every
accepted message arrives or comes back with the true reason; a second copy only where the log says that an answer was lost.

Needs root and a kernel with netem (tests/netem/run boots one). Two network namespaces are joined by a veth pair: this side's, with
Facteur, and that of one thread, `Far`, in which the next hop and the name server are.
"""
import collections, concurrent.futures, ctypes, os, pathlib, re, subprocess, sys, threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "flow"))
from facteur import Failure, System, run
from nexthop import NextHop
from nameserver import A, MX, Names

NEAR, FAR = "10.9.0.1", "10.9.0.2"
MESSAGES = int(os.environ.get("MESSAGES", 150))
DOMAINS = [f"d{n}.example" for n in range(8)]
REFUSAL = "550 5.1.1 no such user here"
BAD_WEATHER = "delay 30ms 15ms loss 6% duplicate 2% reorder 10%"
SHORT = {f"smtp_{step}_timeout": "8s" for step in ("connect", "helo", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset", "quit")}
CLONE_NEWNET = 0x40000000


def load_module(name):
    """As insmod; a kernel that has it built in has no such file."""
    for path in pathlib.Path("/usr/lib/uml/modules", os.uname().release).rglob(f"{name}.ko"):
        with path.open("rb") as file:
            ctypes.CDLL(None).syscall(313, file.fileno(), b"", 0)


def tool(*words):
    done = subprocess.run(words, text=True, capture_output=True)
    if done.returncode:
        raise Failure(f"{' '.join(words)}: {done.stderr}")


class Far:
    """The other side of the cable: what this thread starts is in a network of its own."""

    def __init__(self):
        self.thread = concurrent.futures.ThreadPoolExecutor(1)
        number = self.here(self.leave)
        tool("ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0")
        tool("ip", "link", "set", "far0", "netns", str(number))
        for call, device, address in ((tool, "near0", NEAR), (self.tool, "far0", FAR)):
            call("ip", "addr", "add", f"{address}/24", "dev", device)
            call("ip", "link", "set", device, "up")
        self.tool("ip", "link", "set", "lo", "up")

    def leave(self):
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        return threading.get_native_id()

    def here(self, call, *words, **more):
        return self.thread.submit(call, *words, **more).result()

    def tool(self, *words):
        self.here(tool, *words)

    def dropped(self):
        """Packets that the weather took, in both directions."""
        words = ("tc", "-s", "qdisc", "show", "dev")
        told = subprocess.run([*words, "near0"], text=True, capture_output=True).stdout
        told += self.here(subprocess.run, [*words, "far0"], text=True, capture_output=True).stdout
        return sum(map(int, re.findall(r"\(dropped (\d+)", told)))

    def weather(self, text):
        for call, device in ((tool, "near0"), (self.tool, "far0")):
            call("tc", "qdisc", "replace", "dev", device, "root", "netem", *text.split())


def records():
    known = {"mx.far.example": {A: [FAR]}}
    return known | {domain: {MX: [(10, "mx.far.example")]} for domain in DOMAINS}


class Run:
    """One relay run: what was accepted, and at the end what became of it."""

    def __init__(self, far, messages=MESSAGES, **parameters):
        self.far, self.messages = far, messages
        self.hop = far.here(NextHop, host=FAR, port=25, rcpt=lambda argument: REFUSAL if "refused@" in argument else None)
        self.names = far.here(Names, records(), port=53, host=FAR)
        self.system = System(services=["master"], dns_servers=self.names.server, minimal_backoff_time="1s", maximal_backoff_time="2s",
                             queue_run_delay="1s", mynetworks="127.0.0.0/8", **SHORT | parameters)
        self.accepted = {}

    def __enter__(self):
        self.system.__enter__()
        return self

    def __exit__(self, *error):
        self.system.__exit__(*error)
        self.hop.close()
        self.names.stop()
        self.far.weather("loss 0%")

    def recipient(self, number):
        if number % 20 == 19:
            return f"refused@{DOMAINS[number % 8]}"
        return "a@missing.example" if number % 20 == 9 else f"a@{DOMAINS[number % 8]}"

    def send(self, share=1.0):
        """Sends until that share of all is accepted."""
        session = self.system.smtp()
        session.expect("EHLO pc", "250")
        for number in range(len(self.accepted), int(self.messages * share)):
            session.expect("MAIL FROM:<foo@m3102.com>", "250")
            session.expect(f"RCPT TO:<{self.recipient(number)}>", "250")
            session.expect("DATA", "354")
            reply = session.expect(f"Subject: number {number}.\r\n\r\n" + "x" * 60 * (number % 50) + "\r\n.", "250 2.0.0 Ok: queued as ")
            self.accepted[number] = reply.split()[-1]
        session.close()

    def arrived(self):
        return len({mail.content.split(b"\r\n\r\n")[0] for mail in self.hop.wait(0)})

    def end(self, seconds=240):
        """Every message where it belongs."""
        self.system.wait("an empty queue", lambda: self.system.queued() == 0, seconds)
        got = collections.Counter(self.number(mail.content.decode()) for mail in self.hop.wait(0))
        notices = collections.defaultdict(list)
        for mail in self.system.mails("foo"):
            notices[self.number(mail)].append(re.sub(r"\s+", " ", mail))
        reasons = {"refused": f"said: {REFUSAL}", "a@missing": "Host or domain name not found. Name service error for name=missing.example"}
        for number in self.accepted:
            why = next((reason for start, reason in reasons.items() if self.recipient(number).startswith(start)), None)
            if why is None and (not got[number] or notices[number]):
                raise Failure(f"number {number} came {got[number]} times, with notices {notices[number]}")
            if why and (got[number] or len(notices[number]) != 1 or why not in notices[number][0]):
                raise Failure(f"number {number} came {got[number]} times, its notices do not say {why!r}: {notices[number]}")
        return (f"{len(self.accepted)} messages, {sum(map(bool, notices.values()))} came back, {self.copies(got)} copies, {self.deferrals()} deferrals, "
                f"{self.far.dropped()} packets lost")

    @staticmethod
    def number(text):
        return int(re.search(r"Subject: number (\d+)\.", text)[1])

    def copies(self, got):
        """A second copy is there only where the answer to the first was lost."""
        log = self.system.log_text()
        for number, count in got.items():
            doubts = len(re.findall(rf"{self.accepted[number]}: to=.*status=deferred \(.*message may be sent more than once", log))
            if count - 1 > doubts:
                raise Failure(f"number {number} came {count} times, {doubts} answers were lost")
        return sum(got.values()) - len(got)

    def deferrals(self):
        return len(re.findall("status=deferred", self.system.log_text()))


def loss(far):
    """Loss, delay, doubled and overtaking packets for the whole run."""
    far.weather(BAD_WEATHER)
    with Run(far) as mail:
        mail.send()
        told = mail.end()
        if not far.dropped():
            raise Failure("the weather was fine")
        return told


def silence(far):
    """Three times all packets are lost for longer than our time limits."""
    with Run(far) as mail:
        far.weather("delay 5ms")
        for part in (1, 2, 3):
            mail.send(part / 3)
            far.weather("loss 100%")
            since = len(mail.system.log_text())
            # What was sent before may have gone already.
            ident = mail.system.send(f"b@{DOMAINS[part]}", subject=f"number {20000 + part}.")
            mail.accepted[20000 + part] = ident
            mail.system.wait_log(rf"{ident}: .*status=deferred \(.*(timed out|timeout|No route|unreachable)", 60, since=since)
            far.weather("delay 5ms")
        return mail.end()


def unplugged(far):
    """The cable is pulled and put back in the middle, again and again."""
    with Run(far) as mail:
        for part in range(1, 6):
            mail.send(part / 5)
            mail.system.wait("half of what was sent", lambda: mail.arrived() * 2 > len(mail.accepted) * 0.9, 60)
            tool("ip", "link", "set", "near0", "down")
            since = len(mail.system.log_text())
            ident = mail.system.send(f"b@{DOMAINS[part]}", subject=f"number {10000 + part}.")
            mail.accepted[10000 + part] = ident
            mail.system.wait_log(rf"{ident}: .*status=deferred", 60, since=since)
            tool("ip", "link", "set", "near0", "up")
        return mail.end()


def name_server(far):
    """The name server dies: mail waits, and nothing comes back for that; it lives again: all goes."""
    with Run(far) as mail:
        mail.send(0.3)
        mail.names.stop()
        mail.send(0.7)
        late = mail.system.send("a@d9.example", subject="number 20000.")
        mail.accepted[20000] = late
        mail.system.wait_log(rf"{late}: .*status=deferred \(Host or domain name not found\. Name service error for name=d9\.example type=MX: Host not found, try again\)", 90)
        mail.names = far.here(Names, records() | {"d9.example": {MX: [(10, "mx.far.example")]}}, port=53, host=FAR)
        mail.send()
        return mail.end()


if __name__ == "__main__":
    for module in ("veth", "sch_netem"):
        load_module(module)
    far = Far()
    run(loss, silence, unplugged, name_server, call=lambda test: test(far))
