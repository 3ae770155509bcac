"""The container of the bench: a Debian with Postfix and the programs of Facteur, one of them started at a time.

CPU time and memory are those of all processes of the mail system (cgroups cpuacct and memory); what sends to it and what it
sends to runs in its network, but outside its cgroup.
"""
import contextlib, os, pathlib, re, shutil, signal, subprocess, sys, threading, time

TOP = pathlib.Path(__file__).resolve().parents[2]
WORK = TOP / "target" / "bench"
ROOT = WORK / "root"
CGROUP = "facteur-bench"
SINK = 2525
USERS = [f"u{n:02}" for n in range(40)]
DOMAINS = [f"d{n:02}.example" for n in range(40)]
PROGRAMS = ["master", "smtpd", "pickup", "qmgr", "local", "smtp", "mda", "sendmail", "facteur-drop"]
MAIN_CF = """compatibility_level = 3.6
myhostname = bench.example
mydestination = bench.example, localhost
inet_interfaces = loopback-only
inet_protocols = ipv4
home_mailbox = Maildir/
mailbox_size_limit = 0
biff = no
alias_maps = hash:/etc/aliases
"""
FACTEUR_YAML = """myhostname: bench.example
mydestination: bench.example, localhost
inet_interfaces: loopback-only
inet_protocols: ipv4
home_mailbox: Maildir/
maillog_file: /var/log/facteur.log
"""


@contextlib.contextmanager
def disk():
    """A file system as Debian makes it, ext4 with a journal, of the bench's own: nobody else's data hang on its syncs."""
    WORK.mkdir(parents=True, exist_ok=True)
    image = WORK.with_suffix(".disk")
    if not image.exists():
        sh("truncate", "--size=8G", str(image))
        sh("mkfs.ext4", "-q", "-F", str(image))
    loop = sh("losetup", "--find", "--show", "--direct-io=on", str(image), stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        sh("mount", loop, str(WORK))
        try:
            yield
        finally:
            sh("umount", str(WORK))
    finally:
        sh("losetup", "--detach", loop)


def sh(*command, **kw):
    return subprocess.run(command, check=True, **kw)


def build_container():
    if (ROOT / "ready").exists():
        return
    shutil.rmtree(ROOT, ignore_errors=True)
    (WORK / "debconf").write_text("postfix postfix/main_mailer_type select Local only\npostfix postfix/mailname string bench.example\n")
    sh("mmdebstrap", "--quiet", "--variant=apt", "--include=procps,iproute2,adduser,libpam0g,libpam-modules",
       "--customize-hook=printf '#!/bin/sh\\nexit 101\\n' >$1/usr/sbin/policy-rc.d; chmod +x $1/usr/sbin/policy-rc.d",
       f"--customize-hook=chroot $1 debconf-set-selections <{WORK}/debconf",
       "--customize-hook=DEBIAN_FRONTEND=noninteractive chroot $1 apt-get install -y -qq --no-install-recommends postfix >/dev/null",
       "bookworm", str(ROOT))
    for user in USERS:
        sh("chroot", str(ROOT), "useradd", "-m", user)
    for user in ("facteur", "facteur-login"):
        sh("chroot", str(ROOT), "useradd", "-r", "-M", "-s", "/usr/sbin/nologin", user)
    sh("chroot", str(ROOT), "groupadd", "-r", "facteur-drop")
    (ROOT / "etc/aliases").write_text("postmaster: root\n")
    (ROOT / "etc/postfix/main.cf").write_text(MAIN_CF)
    sh("chroot", str(ROOT), "newaliases")
    (ROOT / "ready").touch()


def install_facteur(programs):
    lib = ROOT / "usr/lib/facteur"
    lib.mkdir(parents=True, exist_ok=True)
    for program in PROGRAMS:
        shutil.copy2(programs / program, lib / program)
    (ROOT / "etc/facteur").mkdir(exist_ok=True)


def configure(postfix_log, **relay):
    """Both systems deliver here, or relay by these settings."""
    log = dict(maillog_file="/var/log/postfix.log") if postfix_log else {}
    (ROOT / "etc/postfix/main.cf").write_text(MAIN_CF + "".join(f"{name} = {value}\n" for name, value in (log | relay).items()))
    (ROOT / "etc/facteur/facteur.yaml").write_text(FACTEUR_YAML + "".join(f'{name}: "{value}"\n' for name, value in relay.items()))
    (ROOT / "etc/bench-transport").write_text("".join(f"{domain} smtp:[127.0.1.{n}]:{SINK}\n" for n, domain in enumerate(DOMAINS)))


def cgroup(controller, name, value=None):
    path = f"/sys/fs/cgroup/{controller}/{CGROUP}/{name}"
    if value is None:
        return pathlib.Path(path).read_text()
    pathlib.Path(path).write_text(value)


class System:
    """One mail system, started in the container."""

    def __init__(self, name):
        self.name = name
        command = {"postfix": "exec /usr/sbin/postfix start-fg",
                   "facteur": "exec /usr/lib/facteur/master -c /etc/facteur"}[name]
        for controller in ("cpuacct", "memory"):
            os.makedirs(f"/sys/fs/cgroup/{controller}/{CGROUP}", exist_ok=True)

        def enter():
            for controller in ("cpuacct", "memory"):
                cgroup(controller, "cgroup.procs", str(os.getpid()))

        self.nspawn = subprocess.Popen(
            ["systemd-nspawn", "-q", "--register=no", "--keep-unit", "-D", str(ROOT), "--private-network", "--as-pid2",
             "--machine=facteur-bench", "bash", "-c", command],
            stdin=subprocess.DEVNULL, stdout=open(WORK / f"{name}.out", "w"), stderr=subprocess.STDOUT, preexec_fn=enter)
        try:
            self.init = self.wait_for_init()
            self.wait_for_port()
        except BaseException:
            self.nspawn.kill()
            raise

    def wait_for_init(self):
        children = pathlib.Path(f"/proc/{self.nspawn.pid}/task/{self.nspawn.pid}/children")
        for _ in range(300):
            if self.nspawn.poll() is not None:
                sys.exit(f"{self.name} did not start, see {WORK}/{self.name}.out")
            pids = children.read_text().split()
            with contextlib.suppress(FileNotFoundError):  # its first child is soon replaced
                if pids and os.readlink(f"/proc/{pids[0]}/ns/net") != os.readlink("/proc/self/ns/net"):
                    return pids[0]
            time.sleep(0.05)
        sys.exit("container did not come up")

    def way_in(self):
        return ["nsenter", "-t", self.init, "-m", "-n", "-u", "-i", "--"]

    def inside(self, *command, **kw):
        return subprocess.run([*self.way_in(), *command], **kw)

    def wait_for_port(self):
        for _ in range(200):
            if self.inside("bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/25 && read -r -t 2 line <&3", stderr=subprocess.DEVNULL).returncode == 0:
                return
            time.sleep(0.1)
        sys.exit(f"{self.name} does not answer on port 25, see {WORK}/{self.name}.out")

    def source(self, recipient, sessions, messages):
        self.inside("/usr/sbin/smtp-source", "-s", str(sessions), "-m", str(messages), "-l", "4096",
                    "-f", "sender@bench.example", "-t", recipient, "127.0.0.1:25", check=True)

    def stop(self):
        os.kill(int(self.nspawn.pid), signal.SIGTERM)
        try:
            self.nspawn.wait(20)
        except subprocess.TimeoutExpired:
            self.nspawn.kill()
            self.nspawn.wait()


class Sink:
    """Postfix's smtp-sink in the system's network, on every address of its loopback; counts what it took."""

    def __init__(self, system):
        self.taken, self.at, self.ended, self.changed = 0, 0.0, False, threading.Condition()
        self.process = subprocess.Popen([*system.way_in(), "/usr/sbin/smtp-sink", "-u", "nobody", "-m", "4000", "-c", f":{SINK}", "1000"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        while told := os.read(self.process.stdout.fileno(), 65536):
            counts = re.findall(rb"mesg=(\d+)", told)
            with self.changed:
                self.taken, self.at = int(counts[-1]) if counts else self.taken, time.time()
                self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def wait(self, count):
        """When the last of so many came."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.taken >= count or self.ended, 300) or self.taken < count:
                sys.exit(f"only {self.taken} of {count} messages arrived within 300 s")
            return self.at

    def stop(self):
        self.process.terminate()
        self.process.wait()


class MemoryPeak(threading.Thread):
    """The largest rss of the container, looked at five times a second."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.done = 0, threading.Event()
        self.start()

    def run(self):
        while not self.done.wait(0.2):
            stat = dict(line.split() for line in cgroup("memory", "memory.stat").splitlines())
            self.peak = max(self.peak, int(stat["total_rss"]))
