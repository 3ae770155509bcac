#!/usr/bin/env python3
"""Addresses with the real programs: canonical and virtual maps, masquerading, copies, and which recipients exist."""
import os, re, subprocess

from facteur import NOBODY, Failure, System, run
from nexthop import NextHop

VIRTUAL = "virtual.example anything\ninfo@virtual.example kevin, toto\n@virtual.example titi\nsales kevin\nteam foo bar\n"


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def holds(text, *parts):
    for part in parts:
        if part not in text:
            raise Failure(f"{part!r} is not in\n{text}")


def put(system, name, text):
    """A file beside the configuration, replaced as editors do."""
    path = system.etc / name
    new = path.with_suffix(".new")
    new.write_text(text)
    if system.as_user:
        os.chown(new, NOBODY, NOBODY)
    new.rename(path)
    return path


def started(tables, **parameters):
    """Each table becomes a file; `{name}` in a parameter is its path."""
    system = System(services=["master"])
    paths = {name: put(system, name, text) for name, text in tables.items()}
    system.configure(**{key: value.format(**paths) for key, value in parameters.items()})
    return system


def virtual():
    """Aliases of any domain: several recipients, catch-all, local names; what the client wrote is kept."""
    with started({"virtual": VIRTUAL}, virtual_alias_maps="hash:{virtual}") as system:
        ident = system.send("info@virtual.example")
        for user in ("kevin", "toto"):
            mail, = system.wait_mails(user, 1)
            holds(mail, f"X-Original-To: info@virtual.example\nDelivered-To: {user}@m3102.com\n")
            system.wait_log(rf"local\[\d+\]: {ident}: to=<{user}@m3102\.com>, orig_to=<info@virtual\.example>, relay=local, .*status=sent")
        system.wait_log(rf"qmgr\[\d+\]: {ident}: from=<sender@m3102\.com>, size=\d+, nrcpt=2 \(queue active\)")
        system.send(["anybody@virtual.example", "team@m3102.com"])
        for user in ("titi", "foo", "bar"):
            system.wait_mails(user, 1)
        system.sendmail("sales", text="Subject: from a user\n\nx\n")
        holds(system.wait_mails("kevin", 2)[1], "X-Original-To: sales\n", "Subject: from a user")
        # A notice of ours takes the same way: its reader is an alias.
        s = system.smtp()
        s.expect("EHLO pc", "250")
        s.expect("MAIL FROM:<info@virtual.example>", "250")
        s.expect("RCPT TO:<kevin@m3102.com> NOTIFY=SUCCESS", "250")
        s.expect("DATA", "354")
        s.expect("Subject: tell me\r\n\r\nx\r\n.", "250")
        holds(system.wait_mails("toto", 2)[1], "From: MAILER-DAEMON@m3102.com", "X-Original-To: info@virtual.example\n")


def unknown():
    """Who is in no table is refused at RCPT, in each class of domain, also from elsewhere."""
    tables = {"virtual": VIRTUAL.replace("@virtual.example titi\n", ""), "relay": "boss@partner.example x\n"}
    with started(tables, virtual_alias_maps="hash:{virtual}", relay_domains="partner.example", relay_recipient_maps="hash:{relay}", mynetworks="127.0.0.9/32") as system:
        s = system.smtp()
        s.expect("EHLO pc", "250")
        s.expect("MAIL FROM:<a@elsewhere.example>", "250")
        s.expect("RCPT TO:<info@virtual.example>", "250 2.1.5 Ok")
        s.expect("RCPT TO:<boss+x@partner.example>", "250 2.1.5 Ok")
        s.expect("RCPT TO:<sales@m3102.com>", "250 2.1.5 Ok")
        for address, table in (("nobody@virtual.example", "virtual alias"), ("x@partner.example", "relay recipient"), ("x@m3102.com", "local recipient")):
            same(s.smtp(f"RCPT TO:<{address}>"), f"550 5.1.1 <{address}>: Recipient address rejected: User unknown in {table} table")
        same(s.smtp("RCPT TO:<a@third.example>"), "454 4.7.1 <a@third.example>: Relay access denied")
        system.wait_log(r"reject: RCPT from \S+: 550 5\.1\.1 <nobody@virtual\.example>: Recipient address rejected: User unknown in virtual alias table; from=<a@elsewhere\.example> to=<nobody@virtual\.example> proto=ESMTP helo=<pc>")


def live():
    """A table is read when it changes; a broken line is passed over and named once; a lost table makes mail wait."""
    with started({"virtual": VIRTUAL}, virtual_alias_maps="hash:{virtual}") as system:
        system.send("new@virtual.example")
        system.wait_mails("titi", 1)
        put(system, "virtual", VIRTUAL + "new@virtual.example eleve\n")
        system.send("new@virtual.example")
        system.wait_mails("eleve", 1)
        put(system, "virtual", VIRTUAL + "new@virtual.example: toto\nbroken\n")
        system.send("new@virtual.example")
        system.wait_mails("titi", 2)
        line = len(VIRTUAL.splitlines()) + 1
        system.wait_log(rf"smtpd\[\d+\]: .*/virtual:{line}: \"new@virtual.example:\" ends in a colon.*the line is passed over")
        system.wait_log(rf"smtpd\[\d+\]: .*/virtual:{line + 1}: there is nothing beside \"broken\"")
        checked = subprocess.run([system.programs / "facteur", "-c", str(system.etc), "check"], capture_output=True, text=True, **system.as_user)
        holds(checked.stdout, f"{system.etc}/virtual:{line + 1}: there is nothing beside \"broken\"")
        told = len(re.findall(r"smtpd\[\d+\]: .*nothing beside", system.log_text()))
        system.stop("master")
        system.etc.joinpath("virtual").unlink()
        system.start("master")
        s = system.smtp()
        s.expect("EHLO pc", "250")
        s.expect("MAIL FROM:<a@m3102.com>", "250")
        s.expect("RCPT TO:<info@virtual.example>", "451 4.3.0 <info@virtual.example>: Temporary lookup failure")
        system.sendmail("kevin", text="Subject: patience\n\nx\n")
        system.wait_log(r"pickup\[\d+\]: .*maildrop/\w+: .*virtual: ")
        same(system.queued(), 1)
        same(told, 1)
        put(system, "virtual", VIRTUAL)
        s.expect("RCPT TO:<info@virtual.example>", "250")
        system.sendmail("toto", text="Subject: look again\n\nx\n")
        holds(system.wait_mails("kevin", 1)[0], "Subject: patience")


def canonical():
    """Envelope and header fields of our people change, those of others only in the envelope."""
    tables = {"canonical": "kevin Kevin.Dupont\n", "patterns": "/^(.*)@old\\.example$/ $1@m3102.com\n", "virtual": "Kevin.Dupont kevin\n"}
    with started(tables, canonical_maps="hash:{canonical}, regexp:{patterns}", virtual_alias_maps="hash:{virtual}",
                 masquerade_domains="m3102.com", mynetworks="127.0.0.1/32") as system:
        system.sendmail("-f", "kevin", "toto@old.example", text="From: Kevin D <kevin>\nTo: toto@old.example,\n Root <root@pc.m3102.com>\nSubject: kevin@m3102.com\n\nkevin@m3102.com\n")
        mail, = system.wait_mails("toto", 1)
        holds(mail, "Return-Path: <Kevin.Dupont@m3102.com>\n", "Delivered-To: toto@m3102.com\n", "From: Kevin D <Kevin.Dupont@m3102.com>\n",
              "To: toto@m3102.com,\n Root <root@m3102.com>\n", "Subject: kevin@m3102.com\n", "\n\nkevin@m3102.com\n")
        for source, sender in (("127.0.0.1", "Kevin.Dupont@m3102.com"), ("127.0.0.2", "kevin@m3102.com")):
            s = system.smtp(source=source)
            s.expect("EHLO pc", "250")
            s.expect("MAIL FROM:<kevin@pc.m3102.com>", "250")
            s.expect("RCPT TO:<toto@m3102.com>", "250")
            s.expect("DATA", "354")
            s.expect("From: kevin@m3102.com\r\nSubject: x\r\n\r\nx\r\n.", "250")
            mails = system.wait_mails("toto", 2 if source == "127.0.0.1" else 3)
            holds([mail for mail in mails if f"\nFrom: {sender}\n" in mail and "Subject: x" in mail][0], "Return-Path: <kevin@m3102.com>\n")


def copies():
    """Copies go out silently; a recipient who gets the mail twice gets it once."""
    tables = {"sender": "kevin eleve\n", "recipient": "@m3102.com titi\n"}
    with started(tables, always_bcc="foo", sender_bcc_maps="hash:{sender}", recipient_bcc_maps="hash:{recipient}") as system:
        system.sendmail("-f", "kevin", "toto", "titi", text="Subject: copied\n\nx\n")
        for user in ("toto", "titi", "eleve", "foo"):
            holds(system.wait_mails(user, 1)[0], "Subject: copied")
        system.wait_log(r"nrcpt=\d \(queue active\)")
        system.wait("an empty queue", lambda: system.queued() == 0)
        same([len(system.mails(user)) for user in ("toto", "titi", "eleve", "foo", "kevin")], [1, 1, 1, 1, 0])


def old_forms():
    """site!user, user%site, and hosts without a domain: who may not relay may not by these either."""
    with NextHop() as hop, System(services=["master"], relayhost=f"[127.0.0.1]:{hop.port}", append_dot_mydomain="yes", mydomain="m3102.com") as system:
        system.send("far.example!a")
        system.send("b%far.example")
        system.send("kevin@vm")
        system.sendmail("c%far.example", text="Subject: x\nTo: d@pc\n\nx\n")
        same(sorted(to for mail in hop.wait(3) for to in mail.to()), ["a@far.example", "b@far.example", "c@far.example"])
        if b"To: d@pc.m3102.com" not in [mail.content for mail in hop.messages if mail.to() == ["c@far.example"]][0]:
            raise Failure(hop.messages[-1].content)
        holds(system.wait_mails("kevin", 1)[0], "X-Original-To: kevin@vm\n", "Delivered-To: kevin@vm.m3102.com\n")
        session = system.smtp()
        session.expect("EHLO pc", "250")
        session.expect("MAIL FROM:<a@b.example>", "250")
        session.expect("RCPT TO:<b%far.example@m3102.com>", "550 5.1.1")
    with System(services=["master"], mynetworks="192.0.2.0/24", local_recipient_maps="", append_dot_mydomain="yes", mydomain="elsewhere.example", mydestination="m3102.com, localhost") as system:
        session = system.smtp()
        session.expect("EHLO pc", "250")
        session.expect("MAIL FROM:<a@b.example>", "250")
        for stranger in ("far.example!a", "b%far.example", "kevin@localhost"):
            session.expect(f"RCPT TO:<{stranger}>", "454 4.7.1")
        session.expect("RCPT TO:<kevin>", "250")
    with System(services=["master"], swap_bangpath="no", allow_percent_hack="no") as system:
        session = system.smtp()
        session.expect("EHLO pc", "250")
        session.expect("MAIL FROM:<a@b.example>", "250")
        session.expect("RCPT TO:<far.example!a>", "550 5.1.1 <far.example!a>")


def explain():
    """`facteur explain` says the way of an address, with file and line of each step."""
    with started({"virtual": VIRTUAL, "transport": "far.example relay:[gate.example]:2525\n"}, virtual_alias_maps="hash:{virtual}", transport_maps="hash:{transport}") as system:
        put(system, "aliases", "postmaster: root\nroot: eleve\nstaff: foo,\n  boss@far.example, kevin\nfoo: foo, |/bin/true\n")

        def told(*words, code=0):
            done = subprocess.run([system.programs / "facteur", "-c", str(system.etc), "explain", *words], capture_output=True, text=True, **system.as_user)
            same((done.returncode, done.stderr), (code, ""))
            return done.stdout
        holds(told("info@virtual.example"), f"virtual_alias_maps {system.etc}/virtual:2: info@virtual.example -> kevin@m3102.com, toto@m3102.com\n",
              f"kevin@m3102.com:\n  mydestination ({system.etc}/facteur.yaml:", f"=> Maildir {system.home}/kevin/Maildir", f"=> Maildir {system.home}/toto/Maildir")
        holds(told("staff"), "myorigin: staff -> staff@m3102.com\n", f"alias_maps {system.etc}/aliases:3: staff\n", "boss@far.example:\n",
              f"{system.etc}/transport:1: relay:[gate.example]:2525\n", "=> relay to [gate.example]:2525\n", "=> command: /bin/true", f"=> Maildir {system.home}/foo/Maildir")
        holds(told("nobody", code=1), '=> comes back: 5.1.1 unknown user: "nobody"\n')
        holds(told("a@elsewhere.example", "--from", "kevin"), "=> smtp to elsewhere.example")
        put(system, "facteur.yaml", system.etc.joinpath("facteur.yaml").read_text() + "luser_relay: eleve+$local\nrecipient_delimiter: +\n")
        holds(told("nobody"), f"luser_relay ({system.etc}/facteur.yaml:", "): eleve+$local\neleve+nobody@m3102.com:\n", f"=> Maildir {system.home}/eleve/Maildir")


def circle():
    """Aliases that go round make mail wait outside; nothing is taken and nothing is lost."""
    with started({"virtual": "a b\nb a\n"}, virtual_alias_maps="hash:{virtual}") as system:
        s = system.smtp()
        s.expect("EHLO pc", "250")
        s.expect("MAIL FROM:<a@x.example>", "250")
        s.expect("RCPT TO:<a@m3102.com>", "250")
        s.expect("DATA", "451 4.3.0")
        system.wait_log(r"warning: .*virtual_alias_maps: the aliases of a@m3102\.com lead round in a circle -- message not accepted, try again later|virtual_alias_maps: the aliases of \w@m3102\.com lead round in a circle -- message not accepted")
        put(system, "virtual", "a kevin\n")
        s.expect("MAIL FROM:<a@x.example>", "250")
        s.expect("RCPT TO:<a@m3102.com>", "250")
        s.expect("DATA", "354")
        s.expect("Subject: x\r\n\r\nx\r\n.", "250")
        system.wait_mails("kevin", 1)


run(virtual, unknown, live, canonical, copies, old_forms, explain, circle)
