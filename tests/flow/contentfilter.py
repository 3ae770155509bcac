#!/usr/bin/env python3
"""A content filter behind the mail system (content_filter): what comes in goes to it first, comes back by SMTP, and is delivered once."""
import contextlib, smtplib, socket

from facteur import Failure, System, run
from nexthop import NextHop


class Filter(NextHop):
    """As amavisd does: says yes when it has given the mail back, with a header field in front."""

    def __init__(self, back, **script):
        self.back = back
        super().__init__(**script)

    def take(self, mail):
        sender = mail.sender.split(">")[0].lstrip("<")
        with smtplib.SMTP("127.0.0.1", self.back, timeout=30) as smtp:
            smtp.sendmail(sender, mail.to(), b"X-Spam-Status: No\r\n" + mail.content)
        super().take(mail)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextlib.contextmanager
def filtered(transport="smtp-amavis", lmtp=False, script=None, **parameters):
    """The system and its filter."""
    back = free_port()
    with Filter(back, lmtp=lmtp, **(script or {})) as hop:
        system = System(services=["master"], content_filter=f"{transport}:[127.0.0.1]:{hop.port}", content_filter_reinject=f"127.0.0.1:{back}",
                        minimal_backoff_time="1s", maximal_backoff_time="1s", queue_run_delay="1s", **parameters)
        with system:
            yield system, hop


def once(system, user, count=1):
    """So many mails, each through the filter, and nothing is left."""
    mails = system.wait_mails(user, count)
    system.wait("an empty queue", lambda: not system.queued())
    mails = system.mails(user)
    if len(mails) != count:
        raise Failure(f"{len(mails)} mails for {user}, not {count}")
    for mail in mails:
        if mail.count("X-Spam-Status: No\n") != 1:
            raise Failure(f"not once through the filter:\n{mail}")
    return mails


def everything_once():
    """From the net, for here and for elsewhere, and from sendmail."""
    with NextHop() as far, filtered(relayhost=f"[127.0.0.1]:{far.port}") as (system, hop):
        ident = system.send(["kevin", "foo"])
        system.wait_log(rf"facteur/smtp\[\d+\]: {ident}: to=<kevin@m3102.com>,.* relay=127\.0\.0\.1\[127\.0\.0\.1\]:{hop.port}, .*status=sent", since=0)
        mail, = once(system, "kevin")
        once(system, "foo")
        if mail.count("Received: ") != 2 or "Return-Path: <sender@m3102.com>" not in mail:
            raise Failure(mail)
        system.sendmail("kevin", text="Subject: by sendmail\n\nx\n")
        once(system, "kevin", 2)
        system.send("a@far.example")
        there, = far.wait(1)
        if there.content.count(b"X-Spam-Status: No\r\n") != 1:
            raise Failure(there.content)
        if len(hop.messages) != 3:
            raise Failure(f"the filter had {len(hop.messages)} mails, not 3")


def by_lmtp():
    """A filter that speaks LMTP gives each recipient's mail back."""
    with filtered(transport="lmtp", lmtp=True) as (system, hop):
        system.send(["kevin", "foo"])
        once(system, "kevin")
        once(system, "foo")


def down():
    """The filter is away: mail waits, and goes when it is back."""
    with filtered() as (system, hop):
        hop.close()
        first, = [system.send("kevin")]
        system.wait_log(rf"facteur/smtp\[\d+\]: {first}: .*status=deferred \(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:{hop.port}: Connection refused\)", since=0)
        system.sendmail("kevin", text="Subject: second\n\nx\n")
        system.wait_log(r"status=deferred .*", since=None)
        if system.mails("kevin"):
            raise Failure("delivered without the filter")
        with Filter(hop.back, port=hop.port):
            once(system, "kevin", 2)


def refused():
    """What the filter refuses goes back to its sender, with its words; the notice does not go through the filter."""
    with filtered(script={"end": ["554 5.7.0 Reject, id=1 - spam"]}) as (system, hop):
        system.sendmail("-f", "toto@m3102.com", "kevin", text="Subject: buy\n\nx\n")
        notice, = system.wait_mails("toto", 1)
        if "said: 554 5.7.0 Reject, id=1 - spam" not in notice or "X-Spam-Status" in notice:
            raise Failure(notice)
        if system.mails("kevin") or hop.messages:
            raise Failure("delivered")


def addresses():
    """Virtual aliases and copies are made once, before the filter or after it."""
    for options, there in (("", "kevin@m3102.com"), ("no_address_mappings", "info@v.example")):
        with filtered(always_bcc="eleve", virtual_alias_maps="inline:{{info@v.example=kevin@m3102.com}}", virtual_alias_domains="v.example",
                      receive_override_options=options) as (system, hop):
            system.send("info@v.example")
            once(system, "kevin")
            copies = system.wait_mails("eleve", 1)
            if len(copies) != 1 or there not in hop.messages[0].to():
                raise Failure(f"{options}: {len(copies)} copies; the filter saw {hop.messages[0].to()}")


def strangers():
    """Ports have filters of their own; where mail comes back only this machine is let in, whatever else is asked of clients and next hops."""
    with filtered(pickup_content_filter="", smtpd_tls_security_level="encrypt", smtp_tls_security_level="encrypt", mynetworks="192.0.2.0/24",
                  message_size_limit=2000, virtual_alias_maps="", smtp_generic_maps="inline:{{sender@m3102.com=x@y.example}}") as (system, hop):
        system.sendmail("kevin", text="Subject: past the filter\n\nx\n")
        mail, = system.wait_mails("kevin", 1)
        if "X-Spam-Status" in mail or hop.messages:
            raise Failure("through the filter")
    with filtered(smtp_tls_security_level="encrypt", mynetworks="192.0.2.0/24", message_size_limit=2000,
                  smtp_generic_maps="inline:{{sender@m3102.com=x@y.example}}") as (system, hop):
        system.send("kevin", body="x" * 70 + ("\r\n" + "y" * 70) * 21)
        mail, = once(system, "kevin")
        if "Return-Path: <sender@m3102.com>" not in mail:
            raise Failure(mail)
        with smtplib.SMTP("127.0.0.1", hop.back) as smtp:
            smtp.ehlo()
            if smtp.has_extn("starttls") or smtp.has_extn("auth"):
                raise Failure("STARTTLS and AUTH for a filter")


if __name__ == "__main__":
    run(everything_once, by_lmtp, down, refused, addresses, strangers)
