#!/usr/bin/env python3
"""Mailboxes on an ext4 with a journal (root; a loop device): one sync for the mail of many users, and one that fails or is not lived to see."""
import contextlib, os, pathlib, signal, subprocess, sys, tempfile, threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "flow"))
import inject
from facteur import NOBODY, Failure, System, run

USERS = ["kevin", "foo", "bar", "toto", "titi", "eleve"]
SOON = {"minimal_backoff_time": "1s", "maximal_backoff_time": "1s", "queue_run_delay": "1s"}
SYNCS = "fsync,fdatasync,syncfs"


@contextlib.contextmanager
def homes_on_ext4():
    """A system whose users' homes are there, each of whom has a Maildir and a writer."""
    with tempfile.TemporaryDirectory(prefix="facteur-ext4-") as folder:
        image, disk = pathlib.Path(folder) / "image", pathlib.Path(folder) / "disk"
        disk.mkdir()
        os.chmod(folder, 0o755)
        subprocess.run(["truncate", "--size=64M", image], check=True)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, disk], check=True)
        try:
            with System(services=["master"], **SOON) as system:
                move_homes(system, disk)
                for user in USERS:
                    system.send(user)
                    system.wait_mails(user, 1)
                yield system
        finally:
            subprocess.run(["umount", disk], check=True)


def move_homes(system, disk):
    accounts = system.etc / "accounts"
    accounts.write_text(accounts.read_text().replace(f":{system.home}/", f":{disk}/"))
    for user in USERS:
        (disk / user).mkdir(mode=0o700)
        os.chown(disk / user, NOBODY, NOBODY)
        (system.home / user).rmdir()
        (system.home / user).symlink_to(disk / user)


def send_to_all(system):
    senders = [threading.Thread(target=system.send, args=(user,)) for user in USERS]
    [sender.start() for sender in senders]
    [sender.join() for sender in senders]


def one_sync_for_many():
    """While a sync takes its time, the mail of all others waits for one more, and no writer syncs itself."""
    with homes_on_ext4() as system:
        slow = ["-e", f"trace={SYNCS}", "-e", f"inject={SYNCS}:delay_enter=50000"]
        with inject.traced(system.pids("mda"), "-e", f"trace={SYNCS}") as writers, inject.traced(system.pids("local"), *slow) as local:
            send_to_all(system)
            for user in USERS:
                system.wait_mails(user, 2)
            system.wait("an empty queue", lambda: system.queued() == 0)
            if inject.seen(writers) or not 1 <= inject.seen(local)["fsync"] <= 3:
                raise Failure(f"syncs of local: {inject.seen(local)}, of writers: {inject.seen(writers)}")


def a_sync_that_fails():
    """The mail is tried again: nothing is promised that is not durable."""
    with homes_on_ext4() as system:
        system.mark_log()
        with inject.traced(system.pids("local"), "-e", f"trace={SYNCS}", "-e", f"inject={SYNCS}:error=EIO:when=1"):
            ident = system.send("kevin")
            system.wait_log(rf"{ident}: to=<kevin@m3102.com>.* dsn=4\.2\.0, status=deferred \(the mailbox cannot be synced: (I/O error|Input/output error)\)")
            system.wait_log(rf"{ident}: to=<kevin@m3102.com>.* status=sent ")
            system.wait_log(f"{ident}: removed")


def local_dies_before_the_sync():
    """What was named and not synced is delivered once more."""
    with homes_on_ext4() as system:
        old = system.pids("local")
        with inject.traced(old, "-e", f"trace={SYNCS}", "-e", f"inject={SYNCS}:delay_enter=20000000"):
            sent = []
            sender = threading.Thread(target=lambda: sent.append(system.send("kevin")))
            sender.start()
            system.wait_mails("kevin", 2)
            [os.kill(pid, signal.SIGKILL) for pid in old]
        sender.join()
        system.wait_log(f"{sent[0]}: to=<kevin@m3102.com>.* status=sent ")
        system.wait_log(f"{sent[0]}: removed")
        if len(system.mails("kevin")) != 3:
            raise Failure(f"{len(system.mails('kevin'))} messages")


run(one_sync_for_many, a_sync_that_fails, local_dies_before_the_sync)
