"""What every lab stands on: steps that say ok or FAIL with their time, machines that are taken away at the end."""
import contextlib
import sys
import time
import traceback

from box import Box, Failed, cable
from terminal import Screen, Terminal, Unseen

COMMON = ["adduser", "netbase", "mailutils", "procmail"]


class Lab:
    """One lab on one kind of Debian."""

    all_failed = 0

    def __init__(self, title, folder, packages, suite="bookworm", rsyslog=True):
        self.title, self.folder, self.suite, self.rsyslog = title, folder, suite, rsyslog
        self.packages = packages  # name: path of the .deb
        self.boxes, self.failed, self.passed = [], 0, 0

    def __enter__(self):
        where = f"Debian {self.suite}, {'with' if self.rsyslog else 'without'} rsyslog"
        print(f"=== {self.title} ({where})", flush=True)
        self.begun = time.monotonic()
        return self

    def __exit__(self, kind, error, trace):
        if kind and issubclass(kind, Exception):
            self.failed += 1
            traceback.print_exception(kind, error, trace, file=sys.stdout)
        Lab.all_failed += self.failed
        for box in self.boxes:
            box.off()
        took = time.monotonic() - self.begun
        print(f"--- {self.title}: {self.passed} steps ok, {self.failed} failed, {took:.0f} s", flush=True)
        return kind is not None and issubclass(kind, Exception)

    @contextlib.contextmanager
    def step(self, text):
        """One step; a failure is shown and the lab goes on."""
        begin = time.monotonic()
        try:
            yield
        except (AssertionError, Failed, Unseen, OSError) as error:
            self.failed += 1
            print(f"FAIL {time.monotonic() - begin:6.1f} s  {text}")
            if isinstance(error, AssertionError) and not str(error):
                error = "".join(traceback.format_exception(error))
            print("      " + str(error)[-3000:].replace("\n", "\n      "), flush=True)
            self.on_failure()
        else:
            self.passed += 1
            print(f"ok   {time.monotonic() - begin:6.1f} s  {text}", flush=True)

    def on_failure(self):
        for box in self.boxes:
            if box.init:
                tail = box.sh("tail -n 8 /var/log/mail.log", check=False)
                print(f"      {box.name}:/var/log/mail.log ends:\n      " + tail.replace("\n", "\n      "), flush=True)

    # -- machines

    def server(self, name, *extra, take=()):
        """A booted Debian without a mail server, with the packages of the labs fetched but not installed, and `take`,
        which conflict with them."""
        box = Box(self.folder, name, self.suite)
        self.boxes.append(box)
        box.make()
        wanted = [str(path) for path in self.packages.values()] + COMMON + list(extra)
        box.fetch(*wanted)
        if take:
            box.fetch(*take)
        if self.rsyslog:
            box.apt("rsyslog")
        return box.boot()

    def client(self, name, *extra):
        """Another machine, with packages installed."""
        box = Box(self.folder, name, self.suite)
        self.boxes.append(box)
        box.make()
        if extra:
            box.apt(*extra)
        return box.boot()

    def unbooted(self, name):
        """A machine that never boots: no systemd runs."""
        box = Box(self.folder, name, self.suite)
        self.boxes.append(box)
        return box.make()

    def install(self, box, *names):
        """As somebody types it: apt install ./NAME.deb …"""
        words = " ".join(box.package(self.packages, name) for name in names)
        return f"apt-get install -y -o Dpkg::Use-Pty=0 {words}"


def user(box, *names):
    """Accounts with their own names as passwords."""
    for name in names:
        box.sh(f"adduser --disabled-password --gecos '' --quiet {name} && echo {name}:{name} | chpasswd")


def log(box, wanted, patience=20):
    """Waits for a line in the log; returns the log."""
    return box.until("cat /var/log/mail.log", wanted, patience=patience)


def session(box, command):
    """A program in a box, at a terminal."""
    return Terminal(box.words(command))


__all__ = ["Lab", "Screen", "Terminal", "cable", "log", "session", "user"]
