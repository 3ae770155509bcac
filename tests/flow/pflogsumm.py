#!/usr/bin/env python3
"""pflogsumm, Debian's log summary for Postfix, counts our traffic as it was.

Not --smtpd-stats: it tells sessions apart by process, and ours serves all sessions in one.
"""
import os, re, subprocess

from facteur import NOBODY, Failure, System, run

TOTALS = ("received", "delivered", "forwarded", "deferred", "bounced", "rejected", "reject warnings", "held", "discarded",
          "bytes received", "bytes delivered", "senders", "sending hosts/domains", "recipients", "recipient hosts/domains")


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def summary(system, *options):
    words = ["pflogsumm", "--syslog-name=facteur", *options, system.log]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/usr/sbin:/bin"})
    same(done.stderr, "")
    return done.stdout


def totals(text):
    """The numbers at the top, by name; octets where it says k."""
    found = {}
    for name in TOTALS:
        number = re.search(rf"^ *(\d+)([k ])  {re.escape(name)} *(?:\(.*\))?$", text, re.M)
        if not number:
            raise Failure(f"no {name!r} in\n{text[:2000]}")
        found[name] = int(number[1]) * (1024 if number[2] == "k" else 1)
    return found


def traffic(system):
    """Five by SMTP and four by sendmail, to all kinds of ends; three refusals."""
    session = system.smtp()
    session.expect("EHLO pc", "250")
    for unknown in ("nobodyx@m3102.com", "nobodyy"):
        session.expect("MAIL FROM:<sender@m3102.com>", "250")
        session.expect(f"RCPT TO:<{unknown}>", "550 5.1.1")
        session.expect("RSET", "250")
    outside = system.connect(25, source="127.0.0.2")
    outside.expect(None, "220")
    outside.expect("EHLO pc", "250")
    outside.expect("MAIL FROM:<a@b.example>", "250")
    outside.expect("RCPT TO:<luke@starwars.univ>", "454 4.7.1")
    outside.expect("QUIT", "221")
    sent = [system.send(to, session=session) for to in (
        "kevin@m3102.com", ["kevin@m3102.com", "foo@m3102.com"], "luke@starwars.univ", "gone@m3102.com", "titi@m3102.com")]
    session.expect("QUIT", "221")
    for to in (["toto"], ["toto", "root"], ["leia@starwars.univ"], ["gone"]):
        system.sendmail("-f", "kevin", *to, text="Subject: x\n\nx\n")
    for ident in sent[:2] + sent[3:]:
        system.wait_log(rf"{ident}: removed")
    # Two more come by themselves: notices to the two senders of what went to `gone`; one of the two does not exist.
    system.wait_log(r"to=<leia@starwars\.univ>, .*status=deferred")
    system.wait("the queue at rest", lambda: system.queued() == 2)
    system.wait_log(r"warning: \w+: undeliverable notification discarded")
    count = lambda what: system.log_text().count(what)
    system.wait("each mail's end", lambda: count("(queue active)") == count(": removed") + 2)


def counts():
    with System(services=["master"], mynetworks="127.0.0.1/32", defer_transports="smtp", notify_classes="resource") as system:
        (system.etc / "aliases").write_text("root: eleve\ngone: nobody-here\n")
        (system.home / "titi" / ".forward").write_text("bar\n")
        if system.as_user:
            os.chown(system.home / "titi" / ".forward", NOBODY, NOBODY)
        traffic(system)
        text = summary(system)
        got = totals(text)
        sizes = {ident: int(size) for ident, size in re.findall(r"qmgr\[\d+\]: (\w+): from=<[^>]*>, size=(\d+)", system.log_text())}
        came = re.findall(r"(?:smtpd|pickup)\[\d+\]: (\w+): (?:client|uid)=", system.log_text())
        same(len(came), 9)
        ends = re.findall(r"local\[\d+\]: (\w+): to=.*status=sent \(delivered", system.log_text())
        same({name: got[name] for name in TOTALS if "bytes" not in name}, {
            "received": 9, "delivered": 8, "forwarded": 1, "deferred": 2, "bounced": 3, "rejected": 3, "reject warnings": 0, "held": 0, "discarded": 0,
            "senders": 2, "sending hosts/domains": 1, "recipients": 5, "recipient hosts/domains": 1})
        same(got["bytes received"], sum(sizes[ident] for ident in came))
        same(got["bytes delivered"], sum(sizes[ident] for ident in ends))
        for line in (
            "message deferral detail\n-----------------------\n  qmgr (total: 2)\n         2   deferred transport\n",
            'message bounce detail (by relay)\n--------------------------------\n  local (total: 3)\n         2   unknown user: "nobody-here"\n         1   unknown user: "sender"\n',
            "Recipient address rejected: User unknown in local recipient table (total: 2)\n",
            "Relay access denied (total: 1)\n",
        ):
            if line not in text:
                raise Failure(f"{line!r} is not in\n{text}")
        # The same log under Postfix's name, which is pflogsumm's default.
        named = system.dir / "postfix.log"
        named.write_text(system.log_text().replace(" facteur/", " postfix/"))
        same(totals(subprocess.run(["pflogsumm", named], capture_output=True, text=True, check=True).stdout), got)


run(counts)
