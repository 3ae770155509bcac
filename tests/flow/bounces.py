#!/usr/bin/env python3
"""What senders, owners of lists and postmasters are told, and what a command is told about a message."""
import base64, os, signal

from facteur import NOBODY, Failure, System, run
from nexthop import NextHop


def started(**parameters):
    return System(services=["master"], **parameters)


def put(system, path, text):
    path.write_text(text)
    if system.as_user:
        os.chown(path, NOBODY, NOBODY)


def holds(text, *parts):
    for part in parts:
        if part not in text:
            raise Failure(f"{part!r} is not in\n{text}")


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def mail(system, sender, recipients, session=None):
    """A message with parameters as they stand; its queue id."""
    session = session or system.smtp()
    session.expect("EHLO pc", "250")
    session.expect(f"MAIL FROM:{sender}", "250")
    for recipient in recipients:
        session.expect(f"RCPT TO:{recipient}", "250")
    session.expect("DATA", "354")
    return session.expect("Subject: here\r\n\r\nthe body\r\n.", "250").rsplit(" ", 1)[1]


def remote_words():
    """A refusal elsewhere comes back with that host's own words; in French when asked; RET, ENVID and ORCPT are honoured."""
    with NextHop(name="mx.far.example") as hop, started(relayhost=f"[127.0.0.1]:{hop.port}") as system:
        hop.script["rcpt"] = ["550 5.1.1 who?", "550 5.1.1 who?"]
        mail(system, "<kevin@m3102.com> RET=HDRS ENVID=E42", ["<luke@far.example> ORCPT=rfc822;l@x.example"])
        notice, = system.wait_mails("kevin", 1)
        holds(notice, "Subject: Undelivered Mail Returned to Sender\n", "Your message could not be delivered", "who?", "Final-Recipient: rfc822; luke@far.example\n",
              "Original-Recipient: rfc822;l@x.example\n", "Action: failed\nStatus: 5.1.1\n", "Remote-MTA: dns; ", "Diagnostic-Code: smtp; 550 5.1.1 who?\n",
              "Original-Envelope-Id: E42\n", "text/rfc822-headers", "Subject: here\n")
        if "the body" in notice:
            raise Failure("RET=HDRS was not obeyed")
        system.configure(notice_language="fr")
        system.children["master"].send_signal(signal.SIGHUP)
        system.wait_log(r"master\[\d+\]: reload")
        mail(system, "<kevin@m3102.com>", ["<leia@far.example>"])
        notice = next(m for m in system.wait_mails("kevin", 2) if "leia" in m)
        holds(notice, "Votre message n'a pas pu être remis", "Subject: =?utf-8?Q?Message_non_distribu=C3=A9", "the body")


def success():
    """NOTIFY=SUCCESS: "relayed" where the next hop cannot tell, its own affair where it can, "expanded" for an alias of many, "delivered" here."""
    with NextHop(extensions=["PIPELINING", "8BITMIME"]) as plain, NextHop() as able, started(transport_maps=f"inline:{{plain.example=smtp:[127.0.0.1]:{plain.port}, able.example=smtp:[127.0.0.1]:{able.port}}}") as system:
        put(system, system.etc / "aliases", "both: foo, bar\n")
        mail(system, "<kevin@m3102.com>", ["<a@plain.example> NOTIFY=SUCCESS"])
        holds(system.wait_mails("kevin", 1)[0], "Action: relayed\nStatus: 2.0.0\n", "does not report deliveries", "Subject: Successful Mail Delivery Report\n")
        ident = mail(system, "<kevin@m3102.com>", ["<b@able.example> NOTIFY=SUCCESS,FAILURE"])
        system.wait_log(f"{ident}: removed", since=0)
        holds(able.wait(1)[0].recipients[0], "NOTIFY=SUCCESS,FAILURE")
        ident = mail(system, "<kevin@m3102.com>", ["<both@m3102.com> NOTIFY=SUCCESS"])
        expanded = next(m for m in system.wait_mails("kevin", 2) if "relayed" not in m)
        holds(expanded, "Final-Recipient: rfc822; both@m3102.com\nAction: expanded\n" if "Original-Recipient" not in expanded else "Action: expanded\n")
        system.wait_log(f"{ident}: removed", since=0)
        same(len(system.mails("kevin")), 2)


def owners():
    """Members of a list with an owner get him as their sender, and he hears of those who fail; the sender hears nothing."""
    with started() as system:
        put(system, system.etc / "aliases", "all: team, bar\nteam: foo, nobodyx\nowner-team: toto\n")
        ident = mail(system, "<kevin@m3102.com>", ["<all@m3102.com>"])
        holds(system.wait_mails("foo", 1)[0], "Return-Path: <owner-team@m3102.com>\n")
        holds(system.wait_mails("bar", 1)[0], "Return-Path: <kevin@m3102.com>\n")
        holds(system.wait_mails("toto", 1)[0], "To: owner-team@m3102.com\n", 'unknown user: "nobodyx"')
        system.wait_log(f"{ident}: removed", since=0)
        same(system.mails("kevin"), [])


def once():
    """A recipient who is named twice gets one copy: by SMTP, by sendmail, and as a member of an alias."""
    with started() as system:
        put(system, system.etc / "aliases", "both: foo, Foo, kevin\n")
        for step, recipients in enumerate((["<foo@m3102.com>", "<foo>", "<FOO@M3102.com>"], ["<foo>", "<both>"]), 1):
            ident = mail(system, "<a@m3102.com>", recipients)
            system.wait_log(f"{ident}: removed", since=0)
            same(len(system.mails("foo")), step)
        system.sendmail("foo", "foo", "foo@m3102.com", text="Subject: x\n\nx\n")
        system.wait_log(r"qmgr\[\d+\]: \w+: from=<[^>]*>, size=\d+, nrcpt=1 \(queue active\)\n")
        system.wait_mails("foo", 3)


def loops():
    """A message that has passed too many servers comes back to its sender, from SMTP at once and from sendmail by a notice; one that was here is a loop."""
    with started(hopcount_limit=5) as system:
        trace = "Received: from a by b; Fri, 20 Nov 2026 16:11:07 +0000\n" * 6
        system.sendmail("-f", "kevin", "foo", text=f"{trace}Subject: round\n\nx\n")
        system.wait_log(r"pickup\[\d+\]: \w+: to=<foo@m3102\.com>, .*relay=none, .*dsn=5\.4\.6, status=bounced \(too many hops\)")
        holds(system.wait_mails("kevin", 1)[0], "<foo@m3102.com>: too many hops\n", "Status: 5.4.6\n", "Subject: round\n")
        same(os.listdir(system.queue / "maildrop"), [])
        system.sendmail("-f", "kevin", "foo", text="Delivered-To: foo@m3102.com\nSubject: again\n\nx\n")
        system.wait_log(r"status=bounced \(mail forwarding loop for foo@m3102\.com\)")
        same(system.mails("foo"), [])


def postmaster():
    """notify_classes: copies of bounces, trouble of this machine once; a delay is told."""
    with started(notify_classes="bounce, software", delay_warning_time="1s", minimal_backoff_time="1s", default_transport="pigeon:", bounce_notice_recipient="foo", error_notice_recipient="bar") as system:
        put(system, system.etc / "aliases", "gone: nobodyx\n")
        mail(system, "<kevin@m3102.com>", ["<gone@m3102.com>"])
        holds(system.wait_mails("foo", 1)[0], "Return-Path: <double-bounce@m3102.com>\n", "Subject: Postmaster Copy: Undelivered Mail\n", "text/rfc822-headers")
        for n in range(2):
            ident = mail(system, "<kevin@m3102.com>", [f"<u{n}@far.example>"])
            system.wait_log(f"{ident}: to=.*status=deferred .mail transport unavailable", since=0)
        holds(system.wait_mails("bar", 1)[0], "Subject: Postmaster Warning: software trouble\n", 'there is no transport "pigeon"')
        system.wait("a delay notice", lambda: any("Action: delayed\n" in m for m in system.mails("kevin")))
        same(len(system.mails("bar")), 1)


def sessions():
    """notify_classes policy and protocol: the postmaster reads what was said, without passwords; nobody hears of it otherwise."""
    def said(system, *commands, port=25):
        session = system.connect(port)
        session.smtp()
        for command in ("EHLO pc", *commands):
            session.smtp(command)
        session.expect("QUIT", "221")

    with started(notify_classes="policy", error_notice_recipient="bar", mynetworks="192.0.2.0/24") as system:
        said(system, "RCPT TO:<kevin>")
        said(system, "AUTH PLAIN " + base64.b64encode(b"\0kevin\0wrong").decode(), port=587)
        said(system, "AUTH PLAIN " + base64.b64encode(b"\0kevin\0kevin").decode(), "MAIL FROM:<foo@m3102.com>", "RCPT TO:<bar>", port=587)
        said(system, "MAIL FROM:<a@far.example>", "RCPT TO:<b@far.example>")
        letters = system.wait_mails("bar", 2)
        letters.sort(key=lambda letter: "far.example" in letter)
        holds(letters[0], " In:  AUTH PLAIN (hidden)\n", " Out: 553 5.7.1 <foo@m3102.com>: Sender address rejected: not owned by user kevin\n")
        holds(letters[1], "Return-Path: <double-bounce@m3102.com>\n", "Subject: Facteur SMTP server: errors from localhost[127.0.0.1]\n", " In:  RCPT TO:<b@far.example>\n",
              " Out: 454 4.7.1 <b@far.example>: Relay access denied\n", " Out: 221 2.0.0 Bye\n")
        system.configure(notify_classes="protocol")
        system.children["master"].send_signal(signal.SIGHUP)
        system.wait_log("reload -- ", since=0)
        system.wait("a letter about the protocol", lambda: said(system, "FOO") or len(system.mails("bar")) > 2)
        if not any(" Out: 500 5.5.2 Error: command not recognized\n" in letter for letter in system.mails("bar")):
            raise Failure(system.mails("bar"))


def told_to_commands():
    """What a command finds in its environment (local(8))."""
    with started() as system:
        out = system.dir / "environment"
        put(system, system.home / "foo" / ".forward", f'"|env > {out}; cat > /dev/null"\n')
        session = system.smtp()
        mail(system, "<kevin@m3102.com>", ["<foo+list@m3102.com>"], session)
        system.wait("the command's output", lambda: out.exists() and "USER=" in out.read_text())
        got = dict(line.split("=", 1) for line in out.read_text().splitlines() if "=" in line)
        wanted = {"SENDER": "kevin@m3102.com", "RECIPIENT": "foo+list@m3102.com", "ORIGINAL_RECIPIENT": "foo+list@m3102.com", "LOCAL": "foo+list", "EXTENSION": "list", "DOMAIN": "m3102.com",
                  "USER": "foo", "LOGNAME": "foo", "HOME": str(system.home / "foo"), "SHELL": "/bin/sh", "CLIENT_ADDRESS": "127.0.0.1", "CLIENT_HOSTNAME": "localhost", "CLIENT_HELO": "pc",
                  "CLIENT_PROTOCOL": "ESMTP"}
        same({name: got.get(name) for name in wanted}, wanted)
        same([name for name in got if name.startswith("SASL_")], [])
        # of somebody who has logged in, and says who submitted the message first
        out.unlink()
        session = system.connect(587)
        session.smtp()
        session.expect("EHLO pc", "250")
        session.expect("AUTH PLAIN " + base64.b64encode(b"\0kevin\0kevin").decode(), "235")
        mail(system, "<kevin@m3102.com> AUTH=toto@m3102.com", ["<foo@m3102.com>"], session)
        system.wait("the command's output", lambda: out.exists() and "SASL_USERNAME=" in out.read_text())
        got = dict(line.split("=", 1) for line in out.read_text().splitlines() if "=" in line)
        same({name: text for name, text in got.items() if name.startswith("SASL_")}, {"SASL_METHOD": "PLAIN", "SASL_USERNAME": "kevin", "SASL_SENDER": "toto@m3102.com"})


run(remote_words, success, owners, once, loops, postmaster, sessions, told_to_commands)
