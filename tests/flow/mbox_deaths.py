#!/usr/bin/env python3
"""mda is killed in the middle of writing to an mbox: the part it wrote is gone when the next message comes, and each message
is there, whole."""
import contextlib, os, re, signal, threading

from facteur import Failure, System, run

LINES = 60_000  # per message: long enough to be interrupted
KILLS = 4


def killed_while_writing(system, mbox, since):
    """Kills the mda as soon as the mbox has grown."""
    system.wait("the mbox to grow", lambda: mbox.exists() and mbox.stat().st_size > since, 30)
    for victim in system.pids("mda"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    return mbox.stat().st_size


def mda():
    with System(services=["master"], home_mailbox="", minimal_backoff_time="1s", queue_run_delay="1s") as system:
        mbox = system.dir / "mail" / "kevin"
        body = "\r\n".join(["a line of this message, number NNN, and a bit more"] * LINES)
        names, torn, size = [], 0, 0
        for kill in range(KILLS):
            names.append(f"{kill}.")
            sender = threading.Thread(target=system.send, args=("kevin@m3102.com", f"mail {kill}.", body.replace("NNN", f"{kill}.")))
            sender.start()
            cut = killed_while_writing(system, mbox, size)
            sender.join()
            system.wait("an empty queue", lambda: system.queued() == 0, 60)
            torn += 0 < cut - size < len(body) * 0.9
            size = mbox.stat().st_size
        text = mbox.read_text()
        mails = re.split(r"(?m)^From (?=\S+  \w{3} )", text)[1:]
        for mail in mails:
            name = re.search(r"Subject: mail (\S+)", mail)
            if not name or mail.count(f"number {name[1]},") != LINES:
                raise Failure(f"a torn message of {len(mail)} octets is left: {mail[:300]!r}")
        got = [re.search(r"Subject: mail (\S+)", mail)[1] for mail in mails]
        if set(got) != set(names) or len(got) > len(names) + KILLS - torn:
            raise Failure(f"delivered: {got}, {torn} times in the middle")
        if os.listdir(mbox.parent) != ["kevin"]:
            raise Failure(f"left: {os.listdir(mbox.parent)}")
        return f"{torn} of {KILLS} in the middle, {len(got) - len(names)} copies"


run(mda)
