"""Services: units, rights seen in /proc, jails tried from inside, restart and reload under load, no systemd."""
import errno
import os
import re
import subprocess
import sys
from collections import Counter

import refusal
from stage import Lab, session, user

OURS = ["facteur-common", "facteur-mda", "facteur-mta", "facteur-popd", "facteur-imapd"]
UNITS = ["facteur-mta", "facteur-popd", "facteur-imapd"]
# Program: user, jailed?
RIGHTS = {"master": ("root", False), "local": ("root", False), "smtpd": ("facteur", True), "qmgr": ("facteur", True),
          "pickup": ("facteur", True), "popd": ("root", False), "pop3-login": ("facteur-login", True),
          "pop3": ("kevin", True), "imapd": ("root", False), "imap-login": ("facteur-login", True),
          "imap": ("kevin", True)}
# What nobody of ours may: modules, raw network, tracing, mounting and the rest of SYS_ADMIN.
FORBIDDEN = [12, 13, 16, 17, 19, 21]


def run(folder, packages, **kind):
    with Lab("services", folder, packages, **kind) as lab:
        server = lab.server("vm", "zsh", "fish", take=("postfix", "dovecot-core"))
        user(server, "kevin")
        server.sh("echo 'facteur-mta facteur/mailname string m3102.com' | debconf-set-selections")
        server.sh("DEBIAN_FRONTEND=noninteractive " + lab.install(server, *OURS))
        units(lab, server)
        rights(lab, server)
        ports(lab, server)
        completion(lab, server)
        restarts(lab, server)
        trouble(lab, server)
        tricks(lab, server)
        without_systemd(lab)


def units(lab, server):
    with lab.step("systemd-analyze security, beside Postfix's and Dovecot's units"):
        own = {unit: score(server.sh(f"systemd-analyze security --no-pager {unit}")) for unit in UNITS}
        server.sh("mkdir /root/peers && cd /root/peers && for deb in /var/cache/apt/archives/{postfix,dovecot-core}_*.deb; "
                  "do dpkg-deb -x $deb .; done")
        found = server.sh("find /root/peers -name 'postfix@.service' -o -name postfix.service -o -name dovecot.service")
        peers = {path.split("/")[-1]: score(server.sh(f"systemd-analyze security --no-pager --offline=yes {path}",
                                                      check=False)) for path in found.split()}
        print("      " + ", ".join(f"{name} {value}" for name, value in (own | peers).items()))
        # Postfix of Debian 13 is hardened nearly as far as setgid commands of users allow; there is little below.
        assert max(own.values()) + (1 if lab.suite == "bookworm" else 0.3) < min(peers.values()), (own, peers)
    with lab.step("service NAME status, reload, restart, stop, start"):
        for unit in UNITS:
            for word in ("status", "reload", "restart", "stop", "start"):
                server.sh(f"service {unit} {word}")
            assert server.sh(f"systemctl is-active {unit}").strip() == "active"


def score(text):
    return float(re.search(r"exposure level for \S+: ([0-9.]+)", text).group(1))


def processes(server):
    """Our running programs by name: pid here, and what /proc says."""
    found = {}
    for line in subprocess.run(["ps", "-eo", "pid=,comm="], text=True, stdout=subprocess.PIPE, check=True).stdout.splitlines():
        pid, name = line.split(None, 1)
        try:
            same = os.readlink(f"/proc/{pid}/ns/pid") == os.readlink(f"/proc/{server.init}/ns/pid")
            exe = os.readlink(f"/proc/{pid}/exe")
        except OSError:
            continue
        if same and exe.startswith("/usr/lib/facteur/"):
            text = open(f"/proc/{pid}/status", encoding="ascii").read()
            found[name] = int(pid), dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)
    return found


def rights(lab, server):
    with lab.step("/proc: user, capabilities, NoNewPrivs, Seccomp of each program"):
        with session(server, "telnet localhost 143") as imap, session(server, "telnet localhost 110") as pop3:
            imap.expect("* OK")
            imap.say("a login kevin kevin", "a OK")
            pop3.expect("+OK")
            pop3.say("user kevin", "+OK")
            pop3.say("pass kevin", "+OK Logged in.")
            found = processes(server)
            people = dict(line.split(":")[0:3:2] for line in server.read("/etc/passwd").splitlines())
            for name, (owner, jailed) in RIGHTS.items():
                assert name in found, (name, sorted(found))
                pid, status = found[name]
                assert status["Uid"].split() == [people[owner]] * 4, (name, owner, status["Uid"])
                capable = int(status["CapEff"], 16)
                assert not (capable if owner != "root" else sum(capable >> bit & 1 for bit in FORBIDDEN)), (name, status)
                assert not any(int(status["CapBnd"], 16) >> bit & 1 for bit in FORBIDDEN), (name, status["CapBnd"])
                if jailed:
                    assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", (name, status)
    with lab.step("the mail transport works in batches: what the unit forbids does not forbid that"):
        for name in ("master", "smtpd", "qmgr", "pickup", "local"):
            assert os.sched_getscheduler(found[name][0]) == os.SCHED_BATCH, name
        assert os.sched_getscheduler(found["imapd"][0]) == os.SCHED_OTHER
    with lab.step("Landlock: jailed programs cannot open a file that everybody may read"):
        server.write("/srv/public", "for everybody\n")
        assert server.sh("runuser -u nobody cat /srv/public") == "for everybody\n"
        found = processes(server)
        for name in ("smtpd", "qmgr", "pickup", "pop3-login", "imap-login"):
            pid = found[name][0]
            assert refusal.opens(pid, "/dev/null") == 0, f"{name}: the test itself does not work"
            for path in ("/srv/public", "/etc/passwd") if name.endswith("login") else ("/srv/public",):
                got = refusal.opens(pid, path)
                assert got == errno.EACCES, f"{name}: {path}: {errno.errorcode.get(got, got)}"
        server.sh("systemctl is-active facteur-mta facteur-popd facteur-imapd")
    with lab.step("log of the start: no warning about a jail"):
        assert "jail" not in server.read("/var/log/mail.log")


# Who listens where.
PORTS = {25: "master", 587: "master", 465: "master", 110: "popd", 995: "popd", 143: "imapd", 993: "imapd"}


def ports(lab, server):
    with lab.step("/proc: each port is held by its root keeper and by whom that gave it to; no other port is open"):
        listening = {}
        for table in ("tcp", "tcp6"):
            for line in open(f"/proc/{server.init}/net/{table}", encoding="ascii").read().splitlines()[1:]:
                words = line.split()
                if words[3] == "0A":
                    listening[f"socket:[{words[9]}]"] = int(words[1].rsplit(":")[1], 16)
        held = {}
        for name, (pid, _) in processes(server).items():
            for fd in os.listdir(f"/proc/{pid}/fd"):
                if port := listening.get(os.readlink(f"/proc/{pid}/fd/{fd}")):
                    held.setdefault(port, set()).add(name)
        assert set(held) == set(PORTS), held
        assert all(PORTS[port] in names for port, names in held.items()), held
        ours = {"master", "smtpd", "popd", "pop3-login", "imapd", "imap-login"}
        assert set().union(*held.values()) <= ours, held


def completion(lab, server):
    with lab.step("completion in real shells: bash, zsh, fish"):
        server.sh("apt-get install -y -o Dpkg::Use-Pty=0 zsh fish")
        with session(server, "bash --norc -i") as bash:
            bash.say(". /usr/share/bash-completion/completions/facteur; echo rea''dy", "ready")
            os.write(bash.fd, b"facteur queue fl\t")
            bash.expect("facteur queue flush")
        with session(server, "zsh -f -i") as zsh:
            zsh.say("autoload -Uz compinit; compinit -u -d /root/zcompdump; echo rea''dy", "ready\n")
            os.write(zsh.fd, b"facteur queue fl\t")
            zsh.expect("facteur queue flush")
            os.write(zsh.fd, b"\x15facteur config get home_mailb\t")
            zsh.expect("home_mailbox")
        assert server.sh("fish -c 'complete -C \"facteur queue fl\"'").split() == ["flush"]
        assert "home_mailbox" in server.sh("fish -c 'complete -C \"facteur config get home\"'").split()


# Prints the numbers of the messages that were accepted. A number is tried once: what was not answered may have come in.
SENDER = """
import itertools, smtplib, sys, time
number, accepted = itertools.count(), []
end = time.monotonic() + float(sys.argv[1])
while time.monotonic() < end:
    try:
        with smtplib.SMTP("127.0.0.1", 25, timeout=10) as smtp:
            for _ in range(50):
                tried = next(number)
                smtp.sendmail("a@b.org", ["kevin"], f"Subject: load {tried}\\r\\n\\r\\n.")
                accepted.append(tried)
                if time.monotonic() > end: break
    except (OSError, smtplib.SMTPException):
        time.sleep(0.02)
print(*accepted)
"""


def restarts(lab, server):
    with lab.step("restart and reload under load: all accepted mail is delivered, none twice"):
        server.sh("facteur config set home_mailbox Maildir/ && systemctl reload facteur-mta")
        sender = subprocess.Popen(["nsenter", "-t", str(server.init), "-n", sys.executable, "-c", SENDER, "8"], text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for number in range(3):
            server.sh(f"systemctl {('restart', 'reload')[number % 2]} facteur-mta")
        said = sender.communicate(timeout=60)[0]
        accepted = {int(number) for number in said.split()}
        assert len(accepted) > 20, said
        server.until("mailq", "Mail queue is empty", patience=60)
        copies = Counter(map(int, server.sh(
            "find ~kevin/Maildir/new -type f -exec sed -n 's/^Subject: load //p' {} +").split()))
        assert not accepted - copies.keys(), f"lost: {sorted(accepted - copies.keys())}"
        twice = [number for number, times in copies.items() if times > 1]
        assert not twice, f"more than one copy of {twice}"
        print(f"      {len(accepted)} messages accepted during two restarts and a reload")
    with lab.step("reload drops no session"):
        with session(server, "telnet localhost 143") as imap, session(server, "telnet localhost 110") as pop3, \
                session(server, "telnet localhost 25") as smtp:
            imap.expect("* OK")
            imap.say("a login kevin kevin", "a OK")
            pop3.expect("+OK")
            pop3.say("user kevin", "+OK")
            smtp.expect("220 ")
            smtp.say("mail from: kevin", "250 2.1.0 Ok")
            server.sh("systemctl reload facteur-mta facteur-popd facteur-imapd")
            imap.say("b select inbox", "b OK")
            pop3.say("pass kevin", "+OK Logged in.")
            smtp.say("rcpt to: kevin", "250 2.1.5 Ok")


def trouble(lab, server):
    with lab.step("a port that is taken: start fails, and says by whom"):
        server.sh("systemctl stop facteur-mta; nc -l -k -p 25 >/dev/null 2>&1 </dev/null & "
                  "until lsof -t -i :25 -s TCP:LISTEN; do sleep 0.1; done")
        server.sh("! systemctl start facteur-mta", timeout=60)
        said = server.sh("facteur check", check=False)
        assert "port 25" in said and "nc" in said, said
        assert "25" in server.sh("tail -n 5 /var/log/mail.log")
        server.sh("kill $(lsof -t -i :25 -s TCP:LISTEN); systemctl reset-failed facteur-mta; systemctl start facteur-mta")
    with lab.step("a daemon that is killed comes back"):
        server.sh("old=$(systemctl show -P MainPID facteur-imapd); kill -9 $old; until systemctl -q is-active facteur-imapd "
                  "&& [ $(systemctl show -P MainPID facteur-imapd) != $old ]; do sleep 0.05; done", timeout=30)
        with session(server, "nc localhost 143") as imap:
            imap.expect("* OK")


WITHOUT = """
set -e
ip link set lo up
service facteur-mta start
service facteur-popd start
echo 'Sans systemd' | /usr/sbin/sendmail kevin
for _ in $(seq 100); do grep -q 'status=sent' /var/log/mail.log && break; sleep 0.1; done
grep 'status=sent (delivered to mailbox)' /var/log/mail.log
service facteur-mta status
service facteur-mta reload
service facteur-mta restart
printf 'user kevin\\npass kevin\\nstat\\nquit\\n' | nc -q 3 localhost 110
service facteur-popd stop
service facteur-mta stop
! service facteur-mta status
facteur start
facteur status
facteur stop
"""


def tricks(lab, server):
    """What a user of the machine tries with the lists and files that are his."""
    user(server, "bob")
    server.sh("facteur config unset home_mailbox; facteur config unset mail_location; facteur reload")
    server.sh("printf 'liste: :include:/home/kevin/list\\n' >>/etc/aliases")
    with lab.step("a list that is a link to /etc/shadow shows nothing of it, one that is a pipe holds nobody up"):
        secret = re.search(r"^kevin:([^:]+)", server.read("/etc/shadow"), re.MULTILINE)[1]
        server.sh("ln -s /etc/shadow ~/list; echo x | /usr/sbin/sendmail liste", user="kevin")
        server.until("cat /var/log/mail.log", "to=<liste@m3102.com>")
        server.sh("rm ~/list; mkfifo ~/list; echo x | /usr/sbin/sendmail liste; echo past-the-pipe | /usr/sbin/sendmail bob", user="kevin")
        server.until("cat /var/mail/bob", "past-the-pipe")
        shown = server.sh("cat /var/log/mail.log /var/mail/kevin; facteur queue list", check=False)
        assert secret not in shown and "root:" not in shown, shown
        server.sh("rm ~/list; echo bob >~/list; facteur queue flush >/dev/null 2>&1; echo through-the-list | /usr/sbin/sendmail liste", user="kevin", check=False)
        server.until("cat /var/mail/bob", "through-the-list")
    with lab.step("a .forward makes no file in /var/mail; addresses with signs of commands are addresses"):
        server.sh("rm /var/mail/bob; echo /var/mail/bob >~kevin/.forward; chown kevin: ~kevin/.forward; echo x | /usr/sbin/sendmail kevin")
        server.until("tail -n 4 /var/log/mail.log", "status=deferred")
        assert not server.path("/var/mail/bob").exists()
        server.sh("rm ~kevin/.forward; facteur config set recipient_delimiter +; facteur reload; facteur queue delete ALL")
        for extension in ("shop/2026", "a|b"):
            server.sh(f"printf 'Subject: to {extension}\\n\\nx\\n' | /usr/sbin/sendmail 'kevin+{extension}'")
            server.until("cat /var/mail/kevin", f"Subject: to {extension}")


def without_systemd(lab):
    with lab.step("without systemd: service NAME start|status|reload|restart|stop, and facteur start"):
        box = lab.unbooted("bare")
        box.apt(*(str(lab.packages[name]) for name in OURS))
        box.outside("adduser --disabled-password --gecos '' --quiet kevin && echo kevin:kevin | chpasswd")
        said = box.alone(WITHOUT)
        assert "+OK 1 " in said and "facteur/local[" in said, said
