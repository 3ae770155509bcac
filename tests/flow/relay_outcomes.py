#!/usr/bin/env python3
"""Every fault a next hop can have, at every point of the dialogue: what the log says of each recipient, and in the end nothing is
lost and nothing comes twice. One message to two recipients for each row of the table and each manner of speaking, all at once.
"""
import collections, contextlib, email, os, re, socket

import nexthop
from facteur import NOBODY, Failure, System, run
from nexthop import FORGET, HANG_UP, NONSENSE, STALL, EXTENSIONS, NextHop

HOST = r"127\.0\.0\.1\[127\.0\.0\.1\]"
PATIENCE = 10  # seconds; all who stall do so at the same time
MANNERS = {
    "step by step": dict(extensions=[word for word in EXTENSIONS if word != "PIPELINING"]),
    "pipelining": {},
    "TLS and AUTH": dict(tls="starttls", users={"kevin": "secret"}),
    "LMTP": dict(lmtp=True),
}
ALL, SMTP, CLEAR, SECURE = tuple(MANNERS), tuple(MANNERS)[:3], tuple(MANNERS)[:2], ("TLS and AUTH",)


def said(reply, command):
    return rf"host {HOST} said: {re.escape(reply)} \(in reply to {command} command\)"


def refused(reply):
    return f"host {HOST} refused to talk to me: {re.escape(reply)}"


def lost(doing):
    return f"lost connection with {HOST} while {doing}"


def late(doing):
    return f"conversation with {HOST} timed out while {doing}"


def nonsense(command):
    return rf"Protocol error: host {HOST} said: hello, is anybody there\? \(in reply to {command}\)"


SENT = ("2.0.0", "sent", r"250 2\.0\.0 Ok: queued as \w+")
END = "sending end of data -- message may be sent more than once"


def deferred(status, text):
    return status, "deferred", text


def bounced(status, text):
    return status, "bounced", text


# step, what happens there, in which manners; what becomes of the first recipient, and of the second if that is another
TABLE = [
    ("connect", None, ALL, SENT),
    ("connect", "554 5.3.2 no", ALL, deferred("4.3.2", refused("554 5.3.2 no"))),
    ("connect", "421 4.3.2 busy", ALL, deferred("4.3.2", refused("421 4.3.2 busy"))),
    ("connect", HANG_UP, ALL, deferred("4.4.2", lost("receiving the initial server greeting"))),
    ("connect", STALL, ALL, deferred("4.4.2", late("receiving the initial server greeting"))),
    ("connect", NONSENSE, ALL, deferred("4.5.0", nonsense("connection"))),
    ("ehlo", "502 5.5.1 what?", CLEAR, SENT),
    ("ehlo", "421 4.3.2 busy", ALL, deferred("4.3.2", refused("421 4.3.2 busy"))),
    ("ehlo", HANG_UP, SMTP, deferred("4.4.2", lost("performing the EHLO handshake"))),
    ("ehlo", HANG_UP, ("LMTP",), deferred("4.4.2", lost("performing the LHLO handshake"))),
    ("ehlo", STALL, CLEAR, deferred("4.4.2", late("performing the EHLO handshake"))),
    ("ehlo", NONSENSE, CLEAR, deferred("4.5.0", nonsense("EHLO command"))),
    ("starttls", "454 4.7.0 no key", SECURE, SENT),
    ("starttls", HANG_UP, SECURE, deferred("4.4.2", lost("receiving the STARTTLS response"))),
    ("starttls", STALL, SECURE, deferred("4.4.2", late("receiving the STARTTLS response"))),
    ("auth", "535 5.7.8 no", SECURE, deferred("4.7.8", rf"SASL authentication failed; server {HOST} said: 535 5\.7\.8 no")),
    ("auth", "454 4.7.0 later", SECURE, deferred("4.7.0", rf"SASL authentication failed; server {HOST} said: 454 4\.7\.0 later")),
    ("auth", HANG_UP, SECURE, deferred("4.4.2", lost("performing the AUTH handshake"))),
    ("mail", "451 4.3.0 later", ALL, deferred("4.3.0", said("451 4.3.0 later", "MAIL FROM"))),
    ("mail", "550 5.7.1 no", ALL, bounced("5.7.1", said("550 5.7.1 no", "MAIL FROM"))),
    ("mail", "421 4.3.2 busy", ALL, deferred("4.3.2", said("421 4.3.2 busy", "MAIL FROM"))),
    ("mail", HANG_UP, ALL, deferred("4.4.2", lost("sending MAIL FROM"))),
    ("mail", STALL, ALL, deferred("4.4.2", late("sending MAIL FROM"))),
    ("mail", NONSENSE, ALL, deferred("4.5.0", nonsense("MAIL FROM command"))),
    ("rcpt", ["550 5.1.1 who?"], ALL, bounced("5.1.1", said("550 5.1.1 who?", "RCPT TO")), SENT),
    ("rcpt", ["450 4.2.1 later"], ALL, deferred("4.2.1", said("450 4.2.1 later", "RCPT TO")), SENT),
    ("rcpt", [None, "552 5.2.2 full"], ALL, SENT, bounced("5.2.2", said("552 5.2.2 full", "RCPT TO"))),
    ("rcpt", [None, "452 4.5.3 too many"], ALL, SENT),
    ("rcpt", ["550 5.1.1 who?", HANG_UP], ALL, bounced("5.1.1", said("550 5.1.1 who?", "RCPT TO")), deferred("4.4.2", lost("sending RCPT TO"))),
    ("rcpt", [None, "421 4.3.2 busy"], ALL, deferred("4.3.2", said("421 4.3.2 busy", "RCPT TO"))),
    ("rcpt", STALL, ALL, deferred("4.4.2", late("sending RCPT TO"))),
    ("rcpt", [None, NONSENSE], ALL, deferred("4.5.0", nonsense("RCPT TO command"))),
    ("data", "451 4.3.0 later", ALL, deferred("4.3.0", said("451 4.3.0 later", "DATA"))),
    ("data", "554 5.7.1 no", ALL, bounced("5.7.1", said("554 5.7.1 no", "DATA"))),
    ("data", HANG_UP, ALL, deferred("4.4.2", lost("sending DATA command"))),
    ("data", STALL, ALL, deferred("4.4.2", late("sending DATA command"))),
    ("body", HANG_UP, ALL, deferred("4.4.2", lost(f"(sending message body|{END})"))),
    ("body", STALL, ALL, deferred("4.4.2", late(END))),
    ("end", "451 4.3.0 later", ALL, deferred("4.3.0", said("451 4.3.0 later", "end of DATA"))),
    ("end", "554 5.7.1 spam", ALL, bounced("5.7.1", said("554 5.7.1 spam", "end of DATA"))),
    ("end", "421 4.3.2 busy", ALL, deferred("4.3.2", said("421 4.3.2 busy", "end of DATA"))),
    ("end", ["250 2.0.0 Ok: queued as 1", "452 4.2.2 full"], ("LMTP",), SENT, deferred("4.2.2", said("452 4.2.2 full", "end of DATA"))),
    ("end", HANG_UP, ALL, deferred("4.4.2", lost(END))),
    ("end", FORGET, ALL, deferred("4.4.2", lost(END))),
    ("end", STALL, ALL, deferred("4.4.2", late(END))),
    ("end", NONSENSE, ALL, deferred("4.5.0", nonsense("end of DATA command"))),
    ("quit", HANG_UP, ALL, SENT),
]


class Case:
    """One row in one manner: a next hop of its own, and a domain whose mail goes there."""

    def __init__(self, number, row, manner):
        self.step, self.fault, _, self.first, *rest = row
        self.wanted = [self.first, rest[0] if rest else self.first]
        self.name = f"{manner}: {self.fault!r} at {self.step}"
        self.domain = f"case{number}.example"
        self.addresses = [f"a@{self.domain}", f"b@{self.domain}"]
        fault = list(self.fault) if isinstance(self.fault, list) else lambda argument: self.fault
        self.hop = NextHop(**MANNERS[manner], **{self.step: fault})

    def route(self):
        dialect = "lmtp:inet:" if self.hop.lmtp else "smtp:"
        host = "127.0.0.1" if self.hop.lmtp else "[127.0.0.1]"
        return f"{self.domain} {dialect}{host}:{self.hop.port}\n"

    def check(self, system):
        for address, (status, fate, text) in zip(self.addresses, self.wanted):
            line = rf"facteur/smtp\[\d+\]: {self.ident}: to=<{address}>, .*"
            try:
                found = system.wait_log(line, seconds=3 * PATIENCE, since=0).group()
            except Failure as failure:
                raise Failure(f"{self.name}: {failure}; heard {self.hop.commands}") from None
            if not re.search(rf", dsn={re.escape(status)}, status={fate} \({text}\)$", found):
                raise Failure(f"{self.name}: {found}\n     not {status} {fate} ({text})")

    def check_copies(self):
        copies = collections.Counter(address for mail in self.hop.messages for address in mail.to())
        for number, (address, (_, fate, _)) in enumerate(zip(self.addresses, self.wanted)):
            # What the server took and did not tell of comes again: the design's promise, for that one case.
            forgotten = self.fault == FORGET and not (self.hop.lmtp and number)
            wanted = 0 if fate == "bounced" else 2 if forgotten else 1
            if copies[address] != wanted:
                raise Failure(f"{self.name}: {copies[address]} copies for {address}, not {wanted}")


def set_up(cases):
    steps = ("helo", "starttls", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset", "quit")
    system = System(services=["master"], smtp_sasl_auth_enable="yes", default_destination_concurrency_failed_cohort_limit=0,
                    minimal_backoff_time="1000s", maximal_backoff_time="1000s", **{f"smtp_{step}_timeout": f"{PATIENCE}s" for step in steps})
    passwords = "".join(f"[127.0.0.1]:{case.hop.port} kevin:secret\n" for case in cases if case.hop.users)
    system.configure(transport_maps=put(system, "transport", "".join(case.route() for case in cases)),
                     smtp_sasl_password_maps=put(system, "passwords", passwords))
    return system


def put(system, name, text):
    path = system.etc / name
    path.write_text(text)
    path.chmod(0o600)
    if system.as_user:
        os.chown(path, NOBODY, NOBODY)
    return path


def flush(system):
    """As `facteur queue flush`: everything is tried now."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wake:
        wake.connect(str(system.queue / "public" / "qmgr"))
        wake.send(b"flush")


def send(system, cases):
    session = system.smtp()
    session.expect("EHLO pc", "250")
    for case in cases:
        session.expect("MAIL FROM:<kevin@m3102.com>", "250")
        for address in case.addresses:
            session.expect(f"RCPT TO:<{address}>", "250")
        session.expect("DATA", "354")
        case.ident = session.expect(f"Subject: {case.domain}\r\n\r\nbonjour\r\n.", "250 ").rsplit(" ", 1)[1]
    session.close()


def outcomes():
    """The table; then all faults are mended, and all that was put off arrives."""
    nexthop.certificate()
    rows = [(row, manner) for row in TABLE for manner in row[2]]
    cases = [Case(number, row, manner) for number, (row, manner) in enumerate(rows)]
    with contextlib.ExitStack() as stack:
        for case in cases:
            stack.enter_context(case.hop)
        with set_up(cases) as system:
            send(system, cases)
            for case in cases:
                case.check(system)
            for case in cases:
                case.hop.script.clear()
            flush(system)
            system.wait("empty queue", lambda: system.queued() == 0, 3 * PATIENCE)
            for case in cases:
                case.check_copies()
            failed = [case for case in cases if any(fate == "bounced" for _, fate, _ in case.wanted)]
            bounces = system.wait_mails("kevin", len(failed))
            for case in failed:
                told = [mail for mail in bounces if case.domain in mail]
                if len(told) != 1:
                    raise Failure(f"{case.name}: {len(told)} reports to the sender")
            if len(bounces) != len(failed):
                raise Failure(f"{len(bounces)} reports for {len(failed)} messages that bounced")
    return f"{len(cases)} cases"


def refused_within_the_content():
    """A server that has enough of a large message says so and hangs up: its words count, not the lost connection."""
    with NextHop(body=["552 5.3.4 too big"]) as hop, System(services=["master"], relayhost=f"[127.0.0.1]:{hop.port}") as system:
        ident = system.send("a@far.example", body=("x" * 70 + "\r\n") * 100_000)
        said_so = said("552 5.3.4 too big", "end of DATA")
        system.wait_log(rf"facteur/smtp\[\d+\]: {ident}: to=<a@far\.example>, .*dsn=5\.3\.4, status=bounced \({said_so}\)$", since=0)


def made_7bit():
    """A server without 8BITMIME gets what means the same in seven bits; one with it gets the message as it was."""
    text = ("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary==_b\nContent-Transfer-Encoding: 8bit\n\n--=_b\n"
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\ndéjà vu =\n.\n\n--=_b--\n")
    for extensions, encoding in ((EXTENSIONS, "8bit"), (["PIPELINING", "SIZE 10240000"], "quoted-printable")):
        with NextHop(extensions=extensions) as hop, System(services=["master"], relayhost=f"[127.0.0.1]:{hop.port}") as system:
            system.sendmail("-i", "-f", "kevin@m3102.com", "-B", "8BITMIME", "a@far.example", text=text)
            mail, = hop.wait(1)
            part = email.message_from_bytes(mail.content).get_payload(0)
            if (part["Content-Transfer-Encoding"], part.get_payload(decode=True)) != (encoding, "déjà vu =\r\n.\r\n".encode()):
                raise Failure(f"{encoding}: {mail.content}")
            if encoding != "8bit" and not mail.content.isascii():
                raise Failure(f"not 7-bit: {mail.content}")


if __name__ == "__main__":
    run(outcomes, refused_within_the_content, made_7bit)
