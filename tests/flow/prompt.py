#!/usr/bin/env python3
"""Small mail reaches its mailbox before it is promised; what takes longer, or goes elsewhere, is in the queue first."""
import os, signal

from facteur import Failure, System, run


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def started(**parameters):
    return System(services=["master"], **parameters)


def forward(system, user, text):
    path = system.home / user / ".forward"
    path.write_text(text)
    path.chmod(0o600)
    owner = (system.home / user).stat()
    os.chown(path, owner.st_uid, owner.st_gid)


def copies(system, user):
    return len(system.mails(user))


def at_once():
    """When the 250 comes the mail is in the mailbox, and no file is left in the queue but free ones."""
    with started() as system:
        session = system.smtp()
        session.expect("EHLO pc", "250")
        seen = []
        for number in range(50):
            system.send(["kevin", "toto"], session=session)
            # On a loaded machine the patience of some may end.
            seen.append(copies(system, "kevin") == copies(system, "toto") == number + 1)
            system.wait_mails("kevin", number + 1), system.wait_mails("toto", number + 1)
        if not any(seen):
            raise Failure("nothing was in its mailboxes at its 250")
        for name in ("incoming", "active", "deferred"):
            system.wait(f"an empty {name}", lambda: not os.listdir(system.queue / name))
        same((copies(system, "kevin"), copies(system, "toto")), (50, 50))


def in_batches():
    """The programs on the mail's way do not interrupt one another."""
    with started() as system:
        system.send(["kevin"])
        system.wait_mails("kevin", 1)
        for name in ("master", "smtpd", "qmgr", "local", "mda"):
            same({os.sched_getscheduler(pid) for pid in system.pids(name)}, {os.SCHED_BATCH})


def a_slow_command():
    """Whose mailbox is slow keeps nobody waiting: his mail is in the queue by then, and comes once."""
    with started() as system:
        gate, out = system.dir / "gate", system.dir / "out"
        os.mkfifo(gate)
        gate.chmod(0o666)
        out.mkdir(mode=0o777)
        out.chmod(0o777)
        forward(system, "toto", f'"|cat {gate} >/dev/null; cat >{out}/$$"\n')
        ident = system.send(["toto", "kevin"])
        same(system.queued(), 1)
        system.wait_mails("kevin", 1)
        gate.write_text("go\n")
        system.wait_log(rf"{ident}: removed\n")
        same((copies(system, "kevin"), len(os.listdir(out))), (1, 1))


def one_has_to_wait():
    """Of two recipients one has to wait: the other's copy is not repeated, not even after a death."""
    with started(minimal_backoff_time="1000s") as system:
        blocked = system.home / "toto/Maildir"
        blocked.write_text("in the way\n")
        ident = system.send(["kevin", "toto"])
        system.wait_log(rf"{ident}: to=<toto>?.*status=deferred|{ident}: to=<toto@m3102.com>.*status=deferred")
        system.wait("the message in deferred", lambda: os.listdir(system.queue / "deferred") == [ident])
        for pid in system.pids("qmgr"):
            os.kill(pid, signal.SIGKILL)
        blocked.unlink()
        system.wait("another qmgr", lambda: system.pids("qmgr"))
        system.wait("the flush", lambda: system.sendmail("-q", text="", check=False).returncode == 0 and copies(system, "toto") == 1)
        system.wait_log(rf"{ident}: removed\n")
        same((copies(system, "kevin"), copies(system, "toto")), (1, 1))


def elsewhere():
    """An alias that leads to another machine: the queue has it when the client hears of it, and says why it waits."""
    with started(defer_transports="smtp", minimal_backoff_time="1000s") as system:
        (system.etc / "aliases").write_text("all: kevin, luke@starwars.univ\n")
        ident = system.send("all")
        system.wait_log(rf"{ident}: to=<luke@starwars\.univ>, .*status=deferred \(deferred transport\)")
        system.wait("the message in deferred", lambda: os.listdir(system.queue / "deferred") == [ident])
        same(copies(system, "kevin"), 1)


def an_orderly_end():
    """qmgr is told to end while a message is half delivered: nobody gets a second copy."""
    with started() as system:
        forward(system, "toto", '"|sleep 1; cat >>$HOME/out"\n')
        for _ in range(3):
            before = copies(system, "kevin")
            ident = system.send(["kevin", "toto"])
            old = system.pids("qmgr")
            for pid in old:
                os.kill(pid, signal.SIGTERM)
            system.wait_log(rf"{ident}: removed\n")
            system.wait("another qmgr", lambda: system.pids("qmgr") not in ([], old))
            same(copies(system, "kevin"), before + 1)
        same((system.home / "toto/out").read_text().count("Subject: Test"), 3)


def deaths():
    """smtpd or qmgr dies with messages on loan: what was promised is there, what was not may be."""
    with started() as system:
        promised = 0
        for number in range(8):
            victim = ("smtpd", "qmgr")[number % 2]
            session = None
            try:
                session = system.smtp()
                session.expect("EHLO pc", "250")
                session.expect("MAIL FROM:<a@m3102.com>", "250")
                session.expect("RCPT TO:<kevin>", "250")
                session.expect("DATA", "354")
                session.send(f"Subject: {number}\r\n\r\nx\r\n.")
                for pid in system.pids(victim):
                    os.kill(pid, signal.SIGKILL)
                promised += session.line().startswith("250")
            except (OSError, Failure, EOFError):
                pass
        system.wait("a server that answers", lambda: answers(system), seconds=60)
        system.wait_mails("kevin", promised, seconds=60)
        system.wait("an empty queue", lambda: system.queued() == 0, seconds=60)


def answers(system):
    try:
        system.send("toto")
        return True
    except (OSError, Failure, EOFError):
        return False


if __name__ == "__main__":
    run(at_once, in_batches, a_slow_command, one_has_to_wait, elsewhere, an_orderly_end, deaths)
