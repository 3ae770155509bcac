#!/usr/bin/env python3
"""What a message becomes for a next hop that lacks an extension: 8BITMIME, BINARYMIME, SMTPUTF8."""
import email, email.policy

from facteur import Failure, System, run
from nexthop import NextHop

EVERYTHING = ("PIPELINING", "SIZE 10240000", "8BITMIME", "SMTPUTF8")
PNG = bytes(range(256)) + b"\r\n.\r\n\n\r"


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def to_hop(hop):
    return System(services=["master"], relayhost=f"[{hop.host}]:{hop.port}", virtual_alias_domains="")


def hand_over(system, to, content, mail=""):
    """A message as it is, in one chunk."""
    session = system.smtp()
    session.expect("EHLO pc", "250")
    session.expect(f"MAIL FROM:<sender@m3102.com>{mail}", "250")
    session.expect(f"RCPT TO:<{to}>", "250")
    session.send(f"BDAT {len(content)} LAST\r\n".encode() + content)
    ident = session.expect(None, "250 2.0.0 Ok: queued as ").rsplit(" ", 1)[1]
    session.expect("QUIT", "221")
    return ident


def part(kind, encoding, body):
    return f"Content-Type: {kind}\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n".encode() + body


def multipart(kind, *parts):
    head = f"Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/{kind}; boundary=cut\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    return head.encode() + b"".join(b"--cut\r\n" + one + b"\r\n" for one in parts) + b"--cut--\r\n"


def binary():
    """A message with binary parts goes to a host that takes only lines, and each octet is there again; a signed one comes back."""
    text = "déjà\nvu".replace("\n", "\r\n").encode()
    mixed = multipart("mixed", part("image/png", "binary", PNG), part("text/plain; charset=utf-8", "binary", text))
    for extensions, body in ((EVERYTHING, " BODY=8BITMIME"), (("SIZE",), "")):
        with NextHop(extensions=extensions) as hop, to_hop(hop) as system:
            ident = hand_over(system, "a@far.example", mixed, " BODY=BINARYMIME")
            system.wait_log(rf"{ident}: to=<a@far\.example>.*status=sent", since=0)
            message = email.message_from_bytes(hop.wait(1)[0].content, policy=email.policy.default)
            same([one.get_payload(decode=True) for one in message.iter_parts()], [PNG, text])
            same([c.split(">", 1)[1] for c in hop.commands if c.startswith("MAIL")], [body])
            if max(map(len, hop.messages[0].content.splitlines())) > 998 or not hop.messages[0].content.isascii():
                raise Failure("not made of short lines of ASCII")
            signed = multipart("signed", part("image/png", "binary", PNG), part("application/pgp-signature", "7bit", b"x"))
            ident = hand_over(system, "b@far.example", signed, " BODY=BINARYMIME")
            system.wait_log(rf"{ident}: to=<b@far\.example>.*dsn=5\.6\.3, status=bounced \(BINARYMIME is required, but was not offered by host", since=0)


def eight_bit():
    """BODY=8BITMIME is said of what is 8-bit, also when its sender did not say so."""
    with NextHop() as hop, to_hop(hop) as system:
        for content in ("Subject: x\r\n\r\ndéjà\r\n", "Subject: x\r\n\r\ndeja\r\n"):
            ident = hand_over(system, "a@far.example", content.encode())
            system.wait_log(rf"{ident}: to=.*status=sent", since=0)
        system.sendmail("a@far.example", text="Subject: y\n\nété\n")
        hop.wait(3)
        same([" BODY=8BITMIME" in c for c in hop.commands if c.startswith("MAIL")], [True, False, True])


def domains():
    """A domain beyond ASCII is said as the DNS has it where SMTPUTF8 is lacking; a local part or a header is not."""
    bounced = r"dsn=5\.6\.7, status=bounced \(SMTPUTF8 is required, but was not offered by host"
    plain = b"Subject: x\r\n\r\nx\r\n"
    table = [("b@élan.fr", plain, r"status=sent"), ("é@élan.fr", plain, bounced), ("b@élan.fr", "Subject: été\r\n\r\nx\r\n".encode(), bounced)]
    with NextHop(extensions=("PIPELINING", "DSN")) as hop, to_hop(hop) as system:
        for to, content, outcome in table:
            ident = hand_over(system, to, content, " SMTPUTF8")
            system.wait_log(rf"{ident}: to=<{to}>, .*{outcome}", since=0)
        same([c for c in hop.commands if c.startswith("RCPT TO:<b")], ["RCPT TO:<b@xn--lan-9la.fr>"])
        if any("SMTPUTF8" in c or not c.isascii() for c in hop.commands):
            raise Failure(str(hop.commands))
    with NextHop(extensions=EVERYTHING) as hop, to_hop(hop) as system:
        ident = hand_over(system, "b@élan.fr", plain, " SMTPUTF8")
        system.wait_log(rf"{ident}: to=<b@élan\.fr>, .*status=sent", since=0)
        same([c.split(" ")[1] for c in hop.commands if c.startswith("RCPT")], ["TO:<b@élan.fr>"])


run(binary, eight_bit, domains)
