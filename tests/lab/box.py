"""A real Debian in a container: built once, copied for each test, booted with systemd, joined to others by a cable.

Needs root, systemd-nspawn and mmdebstrap; systemd need not run on this machine. Everything is kept in one folder
(target/lab): base images as tar files, packages that apt fetched, and the machines, which are removed at the end.
"""
import fcntl
import os
import shutil
import signal
import subprocess
import time
import zlib
from pathlib import Path

INCLUDE = ("systemd,systemd-sysv,dbus,iproute2,procps,adduser,passwd,login,debconf-i18n,dialog,locales,netbase,less,"
           "logrotate,telnet,netcat-openbsd,bind9-host,ca-certificates,libpam-systemd,lsof")
# What daemons jail themselves with; nspawn refuses some of it by default.
JAILS = "--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self seccomp"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Failed(Exception):
    """A command inside a container did not end well."""


def run(*words, check=True, **more):
    """A command of this machine."""
    done = subprocess.run(words, text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          stdin=subprocess.DEVNULL, **more)
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(words)}: status {done.returncode}\n{done.stdout}")
    return done.stdout


def base(folder, suite):
    """The tar file of a bare Debian, made if it is not there."""
    tar = Path(folder, f"{suite}.{zlib.crc32(INCLUDE.encode()):08x}.tar")
    if not tar.exists():
        part = tar.with_suffix(f".{os.getpid()}.tar")
        run("mmdebstrap", "--variant=apt", f"--include={INCLUDE}", suite, str(part))
        part.rename(tar)
    return tar


class Box:
    """One machine."""

    def __init__(self, folder, name, suite="bookworm"):
        self.folder, self.name, self.suite = Path(folder), name, suite
        self.root = self.folder / "machines" / f"{name}.{os.getpid()}"
        self.nspawn = self.init = None

    def make(self):
        """Unpacks the base image; the name resolves."""
        tar = base(self.folder, self.suite)
        self.root.mkdir(parents=True)
        run("tar", "-xpf", str(tar), "-C", str(self.root), "--numeric-owner")
        self.write("/etc/hostname", f"{self.name}\n")
        self.write("/etc/hosts", f"127.0.0.1\tlocalhost\n127.0.1.1\t{self.name}\n::1\tlocalhost ip6-localhost\n")
        self.write("/etc/default/locale", "LANG=C.UTF-8\n")
        self.write("/etc/apt/apt.conf.d/99lab", 'APT::Sandbox::User "root";\nAPT::Keep-Downloaded-Packages "true";\n'
                   'Binary::apt::APT::Keep-Downloaded-Packages "true";\nAPT::Install-Recommends "false";\n')
        Path(self.root, "etc/machine-id").unlink(missing_ok=True)
        # A box has no uplink: who starts after network-online.target (Postfix, Dovecot) would wait two minutes for one.
        self.path("/etc/systemd/system/systemd-networkd-wait-online.service").symlink_to("/dev/null")
        if not (local := self.path("/etc/localtime")).is_symlink():  # else the first boot asks for it
            local.symlink_to("/usr/share/zoneinfo/Etc/UTC")
        return self

    def path(self, name):
        return self.root / name.lstrip("/")

    def write(self, name, text, mode=0o644):
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def read(self, name):
        path = self.path(name)
        return path.read_text(errors="replace") if path.exists() else ""

    # -- before it is booted: this machine's network, for apt

    def outside(self, command, **more):
        """A shell command in the machine while it is off, with the network of this machine; no service starts."""
        cache = self.folder / "apt" / self.suite
        cache.mkdir(parents=True, exist_ok=True)
        lists = self.folder / "apt-lists" / self.suite
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        self.write("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n", 0o755)
        one = open(cache.with_suffix(".lock"), "w", encoding="ascii")  # apt waits for nobody who uses the same folder
        fcntl.flock(one, fcntl.LOCK_EX)
        try:
            return run("systemd-nspawn", "-q", "--register=no", "--keep-unit", "-D", str(self.root), "--pipe",
                       f"--bind={cache}:/var/cache/apt/archives", f"--bind={lists}:/var/lib/apt/lists", "--timezone=off",
                       "--resolv-conf=replace-host", "env", "-i", f"PATH={PATH}", "HOME=/root", "TERM=linux",
                       "LANG=C.UTF-8", "DEBIAN_FRONTEND=noninteractive", "bash", "-c", command, **more)
        finally:
            one.close()
            self.path("/usr/sbin/policy-rc.d").unlink(missing_ok=True)

    def alone(self, command):
        """A shell command in the machine while it is off, without systemd and with a loopback only."""
        return run("systemd-nspawn", "-q", "--register=no", "--keep-unit", "-D", str(self.root), "--pipe", "--as-pid2",
                   "--private-network", JAILS, "env", "-i", f"PATH={PATH}", "TERM=linux",
                   "bash", "-c", command, timeout=120)

    def apt(self, *packages, options="--no-install-recommends"):
        """Installs packages: names, or paths of .deb files on this machine."""
        files = [Path(p) for p in packages if p.endswith(".deb")]
        names = [p for p in packages if not p.endswith(".deb")]
        inside = self.path("/var/local/packages")
        inside.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, inside)
        words = names + [f"/var/local/packages/{file.name}" for file in files]
        fresh = "" if self.lists_are_fresh() else "apt-get -qq update && "
        return self.outside(f"{fresh}apt-get -qq -y -o Dpkg::Use-Pty=0 {options} install {' '.join(words)}")

    def fetch(self, *packages):
        """Puts packages and all they need where `apt install` in the booted machine finds them."""
        files = [Path(p) for p in packages if p.endswith(".deb")]
        inside = self.path("/root/packages")
        inside.mkdir(parents=True, exist_ok=True)
        for file in files:
            shutil.copy(file, inside)
        words = [p for p in packages if not p.endswith(".deb")] + [f"/root/packages/{file.name}" for file in files]
        fresh = "" if self.lists_are_fresh() else "apt-get -qq update && "
        self.outside(f"{fresh}apt-get -qq -y --no-install-recommends --download-only install {' '.join(words)}")
        for kept, own in (("apt", "var/cache/apt/archives"), ("apt-lists", "var/lib/apt/lists")):
            run("cp", "-alf", f"{self.folder / kept / self.suite}/.", str(self.root / own))
            Path(self.root, own, "lock").unlink(missing_ok=True)  # else all machines share one lock

    @staticmethod
    def package(packages, name):
        """A name of ours as the path of its file inside; another as it is."""
        return f"/root/packages/{packages[name].name}" if name in packages else name

    def lists_are_fresh(self):
        lists = self.folder / "apt-lists" / self.suite
        stamps = [p.stat().st_mtime for p in lists.glob("*_InRelease")]
        return bool(stamps) and time.time() - max(stamps) < 12 * 3600

    # -- booted

    def boot(self):
        """Starts it; it has only a loopback until a cable is plugged in."""
        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", "-q", "--register=no", "--keep-unit", "-D", str(self.root), f"--machine={self.name}",
             "--private-network", "--boot", "--kill-signal=SIGRTMIN+3", "--resolv-conf=off", "--timezone=off",
             JAILS],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            children = run("ps", "-o", "pid=", "--ppid", str(self.nspawn.pid), check=False).split()
            if children:
                self.init = int(children[0])
                state = self.sh("systemctl is-system-running --wait", check=False)
                if "running" in state or "degraded" in state:
                    return self
            time.sleep(0.1)
        raise Failed(f"{self.name} does not boot")

    def words(self, command, user=None):
        """The words that run a shell command inside."""
        enter = ["nsenter", "-t", str(self.init), "-a", "env", "-i", f"PATH={PATH}", "TERM=linux", "LANG=C.UTF-8",
                 "HOME=/root"]
        if user:
            return enter + ["runuser", "-l", user, "-c", command]
        return enter + ["bash", "-c", command]

    def sh(self, command, user=None, check=True, text=None, timeout=300):
        """A shell command inside, with nobody at a keyboard; returns what it says. On a busy machine pam_systemd may wait
        two minutes for logind in vain before a user's command begins."""
        if not user:
            command = f"export DEBIAN_FRONTEND=noninteractive; {command}"
        try:
            done = subprocess.run(self.words(command, user), text=True, errors="replace", input=text or "",
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
        except subprocess.TimeoutExpired as late:
            raise Failed(f"{command}: no end after {timeout} s\n{late.output}") from None
        if check and done.returncode != 0:
            raise Failed(f"{command}: status {done.returncode}\n{done.stdout}")
        return done.stdout

    def until(self, command, wanted, user=None, patience=20):
        """Runs a command again and again until it says what is wanted; returns all it said."""
        end = time.monotonic() + patience
        while True:
            said = self.sh(command, user, check=False)
            if wanted in said:
                return said
            if time.monotonic() > end:
                raise Failed(f"{command}: never said {wanted!r}, at last:\n{said}")
            time.sleep(0.1)

    def address(self, address, device="lo"):
        self.sh(f"ip addr add {address} dev {device}")

    def off(self):
        """Ends it, whatever state it is in, and removes it."""
        if self.nspawn and self.nspawn.poll() is None:
            self.nspawn.send_signal(signal.SIGTERM)
            try:
                self.nspawn.wait(15)
            except subprocess.TimeoutExpired:
                self.nspawn.kill()
                self.nspawn.wait()
        if not os.environ.get("KEEP"):
            shutil.rmtree(self.root, ignore_errors=True)


def cable(one, its_address, other, others_address, device="eth0"):
    """A network of two machines; `device` is its name in the first, which may have several."""
    ends = [f"lab{os.getpid() % 100000}{side}" for side in "ab"]
    run("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
    for box, end, name, address in ((one, ends[0], device, its_address), (other, ends[1], "eth0", others_address)):
        run("ip", "link", "set", end, "netns", str(box.init))
        box.sh(f"ip link set {end} name {name} && ip addr add {address} dev {name} && ip link set {name} up")
