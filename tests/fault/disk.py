#!/usr/bin/env python3
"""Disks that are full, read-only or slow (root; small tmpfs): refused for now within a second, nothing half-written, and all goes on by
itself when there is room again."""
import contextlib, os, pathlib, re, signal, subprocess, sys, tempfile, threading, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "flow"))
import inject
from facteur import NOBODY, Failure, System, run

SOON = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s"}


@contextlib.contextmanager
def disk(size, inodes=0):
    """A file system of its own in memory."""
    with tempfile.TemporaryDirectory(prefix="facteur-disk-") as folder:
        os.chmod(folder, 0o755)
        options = f"size={size},mode=755,uid={NOBODY},gid={NOBODY}" + (f",nr_inodes={inodes}" if inodes else "")
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
        try:
            yield pathlib.Path(folder)
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


@contextlib.contextmanager
def full(folder, but=0):
    """No room but for so many octets."""
    ballast = folder / "ballast"
    with open(ballast, "wb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(65536))
        file.truncate(max(0, os.stat(ballast).st_size - but))
    try:
        yield
    finally:
        ballast.unlink()


@contextlib.contextmanager
def no_inodes(folder, but=0):
    made = []
    with contextlib.suppress(OSError):
        while True:
            (folder / f"empty-{len(made)}").touch()
            made.append(folder / f"empty-{len(made)}")
    for _ in range(but):
        made.pop().unlink()
    try:
        yield
    finally:
        for path in made:
            path.unlink()


def within(seconds, what, action):
    start = time.monotonic()
    result = action()
    if (took := time.monotonic() - start) > seconds:
        raise Failure(f"{what} took {took:.1f} s")
    return result


def refused_at(system, command_start, expected):
    """A client's dialogue up to the refusal, each reply within a second."""
    session = system.smtp()
    replies = {}
    for command in ["EHLO pc", "MAIL FROM:<bar@m3102.com>", "RCPT TO:<kevin>"]:
        replies[command] = within(1, command, lambda: session.smtp(command))
        if replies[command][0] != "2":
            break
    if not command.startswith(command_start) or not replies[command].startswith(expected):
        raise Failure(f"{command} got {replies[command]!r}")
    if replies["EHLO pc"][0] != "2":
        raise Failure("even EHLO was refused")
    session.close()


def nothing_left(system, *folders):
    left = [path for folder in folders for path in folder.iterdir() if path.is_file()]
    if left:
        raise Failure(f"left behind: {left}")


def sendmail_is_put_off(system, text="Subject: x\n\nx\n"):
    """Exit status 75, one clear line, nothing in the maildrop."""
    done = within(5, "sendmail", lambda: system.sendmail("kevin", text=text, check=False))
    line = done.stderr.decode()
    if done.returncode != 75 or not re.fullmatch(r"sendmail: [^\n]*No space left on device[^\n]*\n", line):
        raise Failure(f"sendmail ended with {done.returncode}: {line!r}")
    nothing_left(system, system.queue / "maildrop")


def works_again(system, user="kevin"):
    before = len(system.mails(user))
    system.send(user, subject="after")
    system.sendmail(user, text="Subject: after\n\nx\n")
    system.wait_mails(user, before + 2)
    system.wait("an empty queue", lambda: system.queued() == 0)
    if aside := os.listdir(system.queue / "corrupt"):
        raise Failure(f"put aside: {aside}")


def the_queue_is_full():
    with disk("40m") as folder, System(services=["master"], queue=folder, **SOON) as system:
        with full(folder):
            refused_at(system, "RCPT", "452 4.3.1 ")
            sendmail_is_put_off(system)
        works_again(system)
        with full(folder, but=15_000_000):
            refused_at(system, "RCPT", "452 4.3.1 ")
            system.sendmail("kevin", text="Subject: small\n\nx\n")
            system.wait_mails("kevin", 3)
        works_again(system)


def the_queue_fills_up_in_a_message():
    """Nobody could tell before: the write is short, the reply 452, the session lives, and nothing is left."""
    big = "Subject: big\r\n\r\n" + "\r\n".join(["x" * 98] * 40_000) + "\r\n."
    with disk("10m") as folder, System(services=["master"], queue=folder, message_size_limit=0, **SOON) as system:
        with full(folder, but=2_000_000):
            session = system.smtp()
            session.expect("EHLO pc", "250")
            for _ in range(2):
                for command, expected in [("MAIL FROM:<bar@m3102.com>", "250"), ("RCPT TO:<kevin>", "250"), ("DATA", "354"), (big, "452 4.3.1")]:
                    session.expect(command, expected)
            nothing_left(system, folder / "incoming")
            system.send("kevin", subject="small", session=session)
            sendmail_is_put_off(system, big.replace("\r\n", "\n").removesuffix("."))
        works_again(system)


def no_inodes_are_left():
    with disk("40m", inodes=200) as folder, System(services=["master"], queue=folder, **SOON) as system:
        with no_inodes(folder):
            refused_at(system, "RCPT", "452 4.3.1 ")
            sendmail_is_put_off(system)
        works_again(system)
        with no_inodes(folder, but=5):
            refused_at(system, "RCPT", "452 4.3.1 ")
            system.sendmail("kevin", text="Subject: small\n\nx\n")
            system.wait_mails("kevin", 3)
        works_again(system)


def the_queue_becomes_read_only():
    with disk("40m") as folder, System(services=["master"], queue=folder, **SOON) as system:
        works_again(system)
        subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
        refused_at(system, "RCPT", "452 4.3.1 ")
        done = system.sendmail("kevin", text="x\n", check=False)
        if done.returncode != 75 or b"Read-only file system" not in done.stderr:
            raise Failure(f"sendmail ended with {done.returncode}: {done.stderr.decode()}")
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)
        works_again(system)


def the_queue_is_full_while_mail_waits_in_it():
    """What was accepted is delivered though nothing can be written in the queue."""
    with disk("40m") as folder, System(services=["master"], queue=folder, **SOON) as system:
        with stopped(system, "qmgr"):
            for n in range(20):
                system.send(["kevin", "foo"], subject=str(n))
            ballast = contextlib.ExitStack()
            ballast.enter_context(full(folder))
        with ballast:
            system.wait_mails("kevin", 20)
            system.wait_mails("foo", 20)
            system.wait("an empty queue", lambda: system.queued() == 0)
        works_again(system)


@contextlib.contextmanager
def stopped(system, program):
    for pid in system.pids(program):
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in system.pids(program):
            os.kill(pid, signal.SIGCONT)


def no_room_for_a_bounce():
    """The message waits in the queue, its recipients without a record, until the notice can be written: then there is one."""
    with disk("40m") as folder, System(services=["master"], queue=folder, **SOON) as system:
        with stopped(system, "qmgr"):
            system.sendmail("-f", "bar@m3102.com", "nosuch", text="Subject: x\n\n" + ("x" * 70 + "\n") * 10_000)
            system.wait("pickup", lambda: not os.listdir(folder / "maildrop") and system.queued() == 1)
            ballast = contextlib.ExitStack()
            ballast.enter_context(full(folder))
            system.mark_log()
        with ballast:
            system.wait_log("cannot record what became of it: .*No space left")
            nothing_left(system, folder / "incoming")
        text = system.wait_mails("bar", 1)[0]
        if "Undelivered Mail Returned to Sender" not in text:
            raise Failure(text)
        works_again(system)
        if len(system.mails("bar")) != 1:
            raise Failure("more than one notice")


def the_maildir_is_full():
    with disk("3m") as home, System(services=["master"], **SOON) as system:
        accounts = system.etc / "accounts"
        accounts.write_text(accounts.read_text().replace(f":{system.home / 'kevin'}:", f":{home}:"))
        (system.home / "kevin").rmdir()
        (system.home / "kevin").symlink_to(home)
        works_again(system)
        with full(home, but=500_000):
            ident = system.send("kevin", subject="big", body="\r\n".join(["x" * 98] * 10_000))
            system.wait_log(rf"{ident}: to=<kevin@m3102.com>.* dsn=4\.2\.\d, status=deferred \(.*(?i:no space left on device)")
            nothing_left(system, home / "Maildir/tmp")
            system.send("kevin", subject="small")
            system.wait_mails("kevin", 3)
        system.wait_mails("kevin", 4)
        works_again(system)
        nothing_left(system, home / "Maildir/tmp")


def the_maildir_cannot_be_made():
    """Not one octet for the first mail: no half of a Maildir stops the second try."""
    with disk("3m", inodes=20) as home, System(services=["master"], **SOON) as system:
        accounts = system.etc / "accounts"
        accounts.write_text(accounts.read_text().replace(f":{system.home / 'kevin'}:", f":{home}:"))
        (system.home / "kevin").rmdir()
        (system.home / "kevin").symlink_to(home)
        for but in range(4):
            with no_inodes(home, but=but):
                ident = system.send("kevin", subject=f"first-{but}")
                system.wait_log(rf"{ident}: to=<kevin@m3102.com>.* status=(deferred|sent) ")
            system.wait_mails("kevin", but + 1)
        works_again(system)


def the_mbox_is_full():
    """The old mailbox stays as it was, to the octet."""
    with disk("3m") as spool, System(services=["master"], home_mailbox="", mail_spool_directory=spool, **SOON) as system:
        box = spool / "kevin"
        first = system.send("kevin", subject="first")
        system.wait_log(f"{first}: removed")
        before = box.read_bytes()
        with full(spool, but=500_000):
            ident = system.send("kevin", subject="big", body="\r\n".join(["x" * 98] * 10_000))
            system.wait_log(rf"{ident}: to=<kevin@m3102.com>.* status=deferred \(.*(?i:no space left on device)")
            with stopped(system, "local"):
                if box.read_bytes() != before:
                    raise Failure("the mailbox was changed")
        system.wait_log(f"{ident}: removed")
        text = box.read_text()
        if not text.startswith(before.decode()) or text.count("\nSubject: big\n") != 1 or text.count("x" * 98 + "\n") != 10_000:
            raise Failure("the mailbox is not the first message and the big one")
        if sorted(os.listdir(spool)) != ["kevin"]:
            raise Failure(f"left behind: {os.listdir(spool)}")


def the_log_is_full():
    """Mail flows without its lines, and the lines come back."""
    with disk("1m") as logs, System(services=["master"], maillog_file=logs / "mail.log", **SOON) as system:
        system.log = logs / "mail.log"
        with full(logs):
            with open(system.log, "ab", buffering=0) as log, contextlib.suppress(OSError):
                while True:
                    log.write(b"\n")
            for n in range(3):
                system.send("kevin", subject=str(n))
            system.sendmail("kevin", text="x\n")
            system.wait_mails("kevin", 4)
            system.wait("an empty queue", lambda: system.queued() == 0)
        ident = system.send("kevin")
        system.wait_log(f"{ident}: removed")


def a_user_may_write_little():
    """`ulimit -f`: the message cannot be dropped as a whole, so not at all."""
    with System(services=["master"], **SOON) as system:
        text = ("x" * 70 + "\n") * 10_000
        command = ["sh", "-c", 'ulimit -f 8; exec "$@"', "sh", system.programs / "sendmail", "-C", system.etc, "kevin"]
        done = subprocess.run(command, input=text.encode(), capture_output=True, **system.as_user)
        if done.returncode != 75 or not done.stderr.startswith(b"sendmail: ") or done.stderr.count(b"\n") != 1:
            raise Failure(f"sendmail ended with {done.returncode}: {done.stderr.decode()}")
        works_again(system)
        if len(system.mails("kevin")) != 2:
            raise Failure("a part of it arrived")


def a_slow_disk():
    """Each sync takes three seconds: who waits for one gets his 250, and nobody else waits."""
    with System(services=["master"], **SOON) as system:
        works_again(system)
        calls = "fsync,fdatasync,syncfs"
        slow = [pid for program in ("smtpd", "local", "mda") for pid in system.pids(program)]
        with inject.traced(slow, "-e", f"trace={calls}", "-e", f"inject={calls}:delay_enter=3000000") as out:
            errors = []
            senders = [threading.Thread(target=guarded, args=(errors, system.send, "kevin", str(n))) for n in range(10)]
            start = time.monotonic()
            for sender in senders:
                sender.start()
            system.wait("a sync", lambda: inject.seen(out))
            for _ in range(5):
                session = within(1, "a greeting", lambda: system.smtp())
                within(1, "EHLO", lambda: session.expect("EHLO pc", "250"))
                within(1, "RCPT", lambda: [session.expect(c, "250") for c in ("MAIL FROM:<a@m3102.com>", "RCPT TO:<kevin>")])
                session.close()
            for sender in senders:
                sender.join()
            took = time.monotonic() - start
        if errors or not 3 < took < 19:
            raise Failure(f"ten messages took {took:.1f} s; {errors}")
        system.wait_mails("kevin", 12)


def guarded(errors, action, *arguments):
    try:
        action(*arguments)
    except Exception as error:
        errors.append(error)


run(the_queue_is_full, the_queue_fills_up_in_a_message, no_inodes_are_left, the_queue_becomes_read_only, the_queue_is_full_while_mail_waits_in_it,
    no_room_for_a_bounce, the_maildir_is_full, the_maildir_cannot_be_made, the_mbox_is_full, the_log_is_full, a_user_may_write_little, a_slow_disk)
