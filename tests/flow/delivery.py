#!/usr/bin/env python3
"""Delivery with the real programs: mailboxes, aliases, .forward, commands, notices, and the queue's orders."""
import os, re, signal, socket

from facteur import NOBODY, Failure, System, run


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def holds(text, *parts):
    for part in parts:
        if part not in text:
            raise Failure(f"{part!r} is not in\n{text}")


def put(system, path, text, mode=0o600):
    path.write_text(text)
    path.chmod(mode)
    if system.as_user:
        os.chown(path, NOBODY, NOBODY)


def delivered(system, ident, to, text, status="sent"):
    return system.wait_log(rf"facteur/local\[\d+\]: {ident}: to=<{re.escape(to)}>, .*status={status} \({text}\)")


def gone(system, ident):
    system.wait_log(rf"facteur/qmgr\[\d+\]: {ident}: removed\n")


def started(**parameters):
    return System(services=["master"], **parameters)


def maildir():
    """What arrives in a Maildir, and the lines of its story in the log."""
    with started() as system:
        ident = system.send("kevin@m3102.com", body="bonjour été")
        mail, = system.wait_mails("kevin", 1)
        head = f"Return-Path: <sender@m3102.com>\nX-Original-To: kevin@m3102.com\nDelivered-To: kevin@m3102.com\nReceived: from pc "
        same(mail[:len(head)], head)
        holds(mail, "\n\nbonjour été\n", "Subject: Test\n")
        gone(system, ident)
        system.wait_log(rf"qmgr\[\d+\]: {ident}: from=<sender@m3102\.com>, size=\d+, nrcpt=1 \(queue active\)\n")
        system.wait_log(rf"local\[\d+\]: {ident}: to=<kevin@m3102\.com>, relay=local, delay=[\d.]+, delays=[\d.]+/[\d.]+/0/[\d.]+, dsn=2\.0\.0, status=sent \(delivered to maildir\)\n")
        name, = os.listdir(system.home / "kevin/Maildir/new")
        same(int(re.search(r",S=(\d+)", name)[1]), len(mail.encode()))
        same(system.queued(), 0)


def mbox():
    """What arrives in an mbox: the line in front, quoted From lines, the empty line behind."""
    with started(home_mailbox="") as system:
        for body in ("From here\r\nto there", "second"):
            ident = system.send("toto+x@m3102.com", body=body)
            delivered(system, ident, "toto+x@m3102.com", "delivered to mailbox")
        text = (system.dir / "mail/toto").read_text()
        same(len(re.findall(r"(?m)^From sender@m3102\.com  \w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\nReturn-Path: <sender@m3102\.com>\n", text)), 2)
        holds(text, "\n>From here\nto there\n\nFrom sender", "\nsecond\n\n")


def aliases():
    """Aliases: nested, with lists, commands and files; edited live; a broken edit changes nothing."""
    with started() as system:
        box = system.dir / "box"
        (system.dir / "list").write_text("# members\ntoto, titi@m3102.com\n")
        put(system, system.etc / "aliases",
            f"postmaster: root\nroot: eleve\nall: :include:{system.dir}/list, kevin, root\n"
            f"self: self\nkevin: kevin, bar\nloop: pool\npool: loop\nfile: {box}, foo\ncommand: \"|cat > {system.dir}/out\"\n")
        idents = system.send(["root@m3102.com"])
        system.wait_log(rf"{idents}: to=<eleve@m3102\.com>, orig_to=<root@m3102\.com>, .*status=sent \(delivered to maildir\)")
        ident = system.send("all@m3102.com")
        gone(system, ident)
        for user, count in (("toto", 1), ("titi", 1), ("kevin", 1), ("bar", 1), ("eleve", 2)):
            same(len(system.mails(user)), count)
        holds(system.mails("bar")[0], "X-Original-To: all@m3102.com\nDelivered-To: bar@m3102.com\n")
        ident = system.send("file@m3102.com")
        delivered(system, ident, "file@m3102.com", f"delivered to file: {box}")
        gone(system, ident)
        holds(box.read_text(), "From sender@m3102.com  ", "Delivered-To: file@m3102.com\n")
        delivered(system, system.send("command@m3102.com"), "command@m3102.com", rf"delivered to command: cat > {system.dir}/out")
        holds((system.dir / "out").read_text(), "From sender@m3102.com  ", "Subject: Test\n")
        delivered(system, system.send("loop@m3102.com"), "loop@m3102.com", "mail forwarding loop for loop@m3102.com", "bounced")
        put(system, system.etc / "aliases", "root kevin\nteam: titi\n")
        ident = system.send("root@m3102.com")
        system.wait_log(r"error: .*/aliases:1: a colon is missing after the alias name; mail for this alias has to wait")
        delivered(system, ident, "root@m3102.com", r".*/aliases: the line of the alias root cannot be understood", "deferred")
        system.send("team@m3102.com")
        system.wait_mails("titi", 2)
        put(system, system.etc / "aliases", "root: foo\n")
        system.send("root@m3102.com")
        system.wait_mails("foo", 2)


def forward():
    """A .forward: elsewhere, with a copy kept, to a command; unsafe or senseless: the mail waits; in a circle: returned."""
    with started() as system:
        put(system, system.home / "kevin/.forward", "toto\n")
        ident = system.send("kevin@m3102.com")
        delivered(system, ident, "kevin@m3102.com", f"forwarded as {ident}")
        holds(system.wait_mails("toto", 1)[0], "X-Original-To: kevin@m3102.com\nDelivered-To: toto@m3102.com\n")
        put(system, system.home / "kevin/.forward", f"\\kevin, titi\n\"|cat >> {system.dir}/piped\"\n")
        gone(system, system.send("kevin+x@m3102.com"))
        same((len(system.mails("kevin")), len(system.mails("titi"))), (1, 1))
        holds((system.dir / "piped").read_text(), "Delivered-To: kevin@m3102.com\n")
        put(system, system.home / "kevin/.forward", "toto\n", mode=0o666)
        delivered(system, system.send("kevin@m3102.com"), "kevin@m3102.com", ".*nobody else may write", "deferred")
        put(system, system.home / "kevin/.forward", "to to\n")
        delivered(system, system.send("kevin@m3102.com"), "kevin@m3102.com", '.*/.forward:1: "to to" has a space in it.*', "deferred")
        put(system, system.home / "foo/.forward", "bar\n")
        put(system, system.home / "bar/.forward", "foo\n")
        ident = system.send("foo@m3102.com")
        system.wait_log(rf"{ident}: to=<bar@m3102\.com>, orig_to=<foo@m3102\.com>, relay=none, .*status=bounced \(mail forwarding loop for foo@m3102\.com\)")
        gone(system, ident)


def edited():
    """A list whose item waits is edited: who has the mail gets no second copy. An address may look like such an item."""
    with started(minimal_backoff_time="1s", maximal_backoff_time="2s") as system:
        for after in (None, "\\bar\n"):
            put(system, system.home / "bar/.forward", '\\bar, "|exit 75"\n')
            ident = system.send("bar@m3102.com")
            delivered(system, ident, "bar@m3102.com", "temporary failure", "deferred")
            delivered(system, ident, "bar@m3102.com", "delivered to maildir")
            put(system, system.home / "bar/.forward", after) if after else (system.home / "bar/.forward").unlink()
            gone(system, ident)
        same(len(system.mails("bar")), 2)
        put(system, system.etc / "aliases", 'foo: foo, "|exit 75"\nfax/123: titi\n')
        ident = system.send("foo@m3102.com")
        delivered(system, ident, "foo@m3102.com", "temporary failure", "deferred")
        delivered(system, ident, "foo@m3102.com", "delivered to maildir")
        put(system, system.etc / "aliases", "fax/123: titi\n")
        gone(system, ident)
        same(len(system.mails("foo")), 1)
        for address, user in (("kevin+shop/2026", "kevin"), ("kevin+a|b", "kevin"), ("fax/123", "titi")):
            gone(system, system.send(f"{address}@m3102.com"))
        same((len(system.mails("kevin")), len(system.mails("titi"))), (2, 1))


def command():
    """mailbox_command: what it is told, and what its exit status means."""
    script = 'echo "$USER $EXTENSION $RECIPIENT $SENDER" > $HOME/env; cat > $HOME/in; exit $(cat $HOME/status)'
    with started(mailbox_command=script) as system:
        for status, result, text in (
            (0, "sent", "delivered to command: .*"), (75, "deferred", "temporary failure"), (67, "bounced", "user unknown"),
            (1, "bounced", "Command died with status 1: .*"), (127, "deferred", "Command died with status 127: .*"),
        ):
            put(system, system.home / "kevin/status", str(status))
            delivered(system, system.send("kevin+perso@m3102.com"), "kevin+perso@m3102.com", text, result)
        same((system.home / "kevin/env").read_text(), "kevin perso kevin+perso@m3102.com sender@m3102.com\n")
        holds((system.home / "kevin/in").read_text(), "From sender@m3102.com  ", "Return-Path: <sender@m3102.com>\n")


def notices():
    """An unknown user is told to the sender; a notice that fails goes to the postmaster; success is told to who asked."""
    with started() as system:
        put(system, system.etc / "aliases", "gone: nobodyx\nroot: eleve\n")
        session = system.smtp()
        session.expect("EHLO pc", "250")
        session.expect("MAIL FROM:<kevin@m3102.com> RET=HDRS ENVID=42", "250")
        session.expect("RCPT TO:<gone@m3102.com> ORCPT=rfc822;away@m3102.com", "250")
        session.expect("RCPT TO:<toto@m3102.com> NOTIFY=SUCCESS", "250")
        session.expect("DATA", "354")
        ident = session.expect("Subject: secret\r\n\r\nthe body\r\n.", "250").rsplit(" ", 1)[1]
        first, second = system.wait_mails("kevin", 2)
        failed, arrived = (first, second) if "Undelivered" in first else (second, first)
        holds(failed, "Return-Path: <>\n", "From: MAILER-DAEMON@m3102.com", '<nobodyx@m3102.com>: unknown user: "nobodyx"', "Action: failed\nStatus: 5.1.1\n",
              "Original-Recipient: rfc822;away@m3102.com\n", "Original-Envelope-Id: 42\n", "text/rfc822-headers", "Subject: secret\n")
        if "the body" in failed:
            raise Failure("RET=HDRS was not obeyed")
        holds(arrived, "Subject: Successful Mail Delivery Report\n", "Action: delivered\nStatus: 2.0.0\n", "Final-Recipient: rfc822; toto@m3102.com\n")
        system.wait_log(rf"qmgr\[\d+\]: {ident}: sender non-delivery notification: [0-9A-F]{{15}}\n")
        system.wait_log(rf"qmgr\[\d+\]: {ident}: sender delivery status notification: [0-9A-F]{{15}}\n")
        session.expect("MAIL FROM:<nobodyz@m3102.com>", "250")
        session.expect("RCPT TO:<gone@m3102.com>", "250")
        session.expect("DATA", "354")
        ident = session.expect("Subject: x\r\n\r\nx\r\n.", "250").rsplit(" ", 1)[1]
        notice = system.wait_log(rf"{ident}: sender non-delivery notification: (\w+)\n")[1]
        system.wait_log(rf"{notice}: postmaster non-delivery notification: \w+\n")
        gone(system, notice)
        holds(system.wait_mails("eleve", 1)[0], "Return-Path: <double-bounce@m3102.com>\n", "Subject: Postmaster Copy: Undelivered Mail\n", "To: postmaster@m3102.com\n")
        same(system.queued(), 0)


def orders():
    """Mail for elsewhere waits with its reason; the operator holds, releases, tries again and deletes; old mail is returned."""
    with started(delay_warning_time="1s", minimal_backoff_time="1s", maximal_queue_lifetime="1000s", defer_transports="smtp") as system:
        def tell(text):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
                s.sendto(text.encode(), str(system.queue / "public/qmgr"))
        session = system.smtp()
        session.expect("EHLO pc", "250")
        session.expect("MAIL FROM:<kevin@m3102.com>", "250")
        session.expect("RCPT TO:<luke@starwars.univ>", "250")
        session.expect("DATA", "354")
        ident = session.expect("Subject: x\r\n\r\nx\r\n.", "250").rsplit(" ", 1)[1]
        waiting = rf"qmgr\[\d+\]: {ident}: to=<luke@starwars\.univ>, relay=none, .*dsn=4\.3\.2, status=deferred \(deferred transport\)"
        system.wait_log(waiting)
        system.wait_log(rf"{ident}: sender delay notification: \w+\n")
        holds(system.wait_mails("kevin", 1)[0], "Subject: Delayed Mail (still being retried)\n", "Action: delayed\n", "Will-Retry-Until: ")
        tell(f"hold {ident}")
        system.wait_log(rf"{ident}: placed on hold\n")
        same(os.listdir(system.queue / "hold"), [ident])
        system.mark_log()
        tell(f"release {ident}")
        system.wait_log(rf"{ident}: released from hold\n")
        system.wait_log(waiting)
        system.mark_log()
        tell(f"flush {ident}\nnonsense\n")
        system.wait_log(waiting)
        system.configure(maximal_queue_lifetime="2s")
        system.children["master"].send_signal(signal.SIGHUP)
        system.wait_log(rf"{ident}: from=<kevin@m3102\.com>, status=expired, returned to sender\n")
        gone(system, ident)
        system.configure(maximal_queue_lifetime="1000s", minimal_backoff_time="1000s")
        system.children["master"].send_signal(signal.SIGHUP)
        system.wait_log(r"master\[\d+\]: reload")
        session.expect("MAIL FROM:<kevin@m3102.com>", "250")
        session.expect("RCPT TO:<luke@starwars.univ>", "250")
        session.expect("DATA", "354")
        ident = session.expect("Subject: y\r\n\r\ny\r\n.", "250").rsplit(" ", 1)[1]
        system.wait_log(rf"{ident}: to=<luke")
        tell(f"delete {ident}")
        gone(system, ident)


def trouble():
    """A home that is missing, a mailbox that cannot be written, one that is full, a command that hangs: what is said of each."""
    with started(mailbox_size_limit=2000, luser_relay="eleve+$local", command_time_limit="1s") as system:
        (system.home / "foo").rmdir()
        delivered(system, system.send("foo@m3102.com"), "foo@m3102.com", "cannot write .*: No such file or directory", "deferred")
        delivered(system, system.send("kevin@m3102.com", body="x" * 900 + "\r\n" + "y" * 990 + "\r\n" + "z" * 900), "kevin@m3102.com", "mailbox is full: .*", "bounced")
        gone(system, system.send("toto@m3102.com"))
        put(system, system.home / "toto/Maildir/new/x", "")
        for folder in ("new", "tmp"):
            (system.home / "toto/Maildir" / folder).chmod(0o500)
        if system.as_user:
            delivered(system, system.send("toto@m3102.com"), "toto@m3102.com", "cannot write .*: Permission denied", "deferred")
        session = system.smtp()
        session.expect("EHLO pc", "250")
        session.expect("MAIL FROM:<kevin@m3102.com>", "250")
        session.expect("RCPT TO:<bar@m3102.com>", "250")
        session.expect("DATA", "354")
        ident = session.expect("Delivered-To: Bar@m3102.com\r\nSubject: x\r\n\r\nx\r\n.", "250").rsplit(" ", 1)[1]
        delivered(system, ident, "bar@m3102.com", "mail forwarding loop for bar@m3102.com", "bounced")
        put(system, system.home / "titi/.forward", '"|sleep 1000"\n')
        delivered(system, system.send("titi@m3102.com"), "titi@m3102.com", "Command time limit exceeded: .*", "bounced")
        same(system.pids("sleep"), [])
        put(system, system.etc / "aliases", "gone: nobody-here\n")
        ident = system.send("gone@m3102.com")
        system.wait_log(rf"{ident}: to=<eleve\+nobody-here@m3102\.com>, orig_to=<gone@m3102\.com>, .*status=sent")
        ident = system.send("postmaster@m3102.com")
        system.wait_log(rf"{ident}: to=<eleve\+root@m3102\.com>, orig_to=<postmaster@m3102\.com>, .*status=sent")


def many():
    """A list of thousands, delivered once to each, through a restart of qmgr in the middle."""
    with started() as system:
        (system.dir / "list").write_text("".join(f"kevin+{n}\n" for n in range(3000)) + "kevin+7\n")
        put(system, system.etc / "aliases", f"list: :include:{system.dir}/list\n")
        ident = system.send(["list@m3102.com", "toto@m3102.com"])
        system.wait_mails("kevin", 500)
        for pid in system.pids("qmgr"):
            os.kill(pid, signal.SIGTERM)
        gone(system, ident)
        mails = system.mails("kevin")
        to = [re.search(r"Delivered-To: kevin\+(\d+)@", mail)[1] for mail in mails]
        same(len(set(to)), 3000)
        same((len(to), len(system.mails("toto"))), (3000, 1))


run(maildir, mbox, aliases, forward, edited, command, notices, orders, trouble, many)
