"""The log: /var/log/mail.log fills with and without a syslog daemon, the group adm reads it, and rotation while mail flows
loses no line."""
import subprocess
import sys

from stage import Lab, log, user

OURS = ["facteur-common", "facteur-mda", "facteur-mta"]
SENDER = """
import smtplib, sys
with smtplib.SMTP("127.0.0.1", 25, timeout=20) as smtp:
    for number in range(int(sys.argv[1])):
        smtp.sendmail("a@b.org", ["kevin", "foo"], f"Subject: load {number}\\r\\n\\r\\n.")
"""
MANY = 1500


def run(folder, packages, **kind):
    with Lab("log", folder, packages, **kind) as lab:
        server = lab.server("vm")
        user(server, "kevin", "foo", "adm1")
        server.sh("adduser --quiet adm1 adm")
        server.sh("DEBIAN_FRONTEND=noninteractive " + lab.install(server, *OURS))
        fills(lab, server)
        rotation(lab, server)
        if lab.rsyslog:
            left_alone(lab, server)


def fills(lab, server):
    with lab.step("the log is there and the group adm reads it, others do not"):
        server.sh("echo bonjour | sendmail kevin")
        log(server, "status=sent (delivered to mailbox)")
        assert "status=sent" in server.sh("cat /var/log/mail.log", user="adm1")
        server.sh("! cat /var/log/mail.log", user="kevin")
    with lab.step("each line stands there once, and the journal has it too"):
        line = server.sh("grep status=sent /var/log/mail.log").strip().split("facteur/local")[1]
        assert "\n" not in line and line in server.sh("journalctl -q -o short --no-pager -t facteur/local"), line


def rotation(lab, server):
    # In a container `systemctl kill`, by which Debian tells rsyslog of it, fails now and then.
    force = "{ logrotate -f /etc/logrotate.d/rsyslog || kill -HUP $(systemctl show -P MainPID rsyslog); }" if lab.rsyslog else "/usr/share/facteur/rotate-log --force"
    with lab.step("forced rotation while mail flows: no line is lost, none is there twice"):
        server.sh("facteur config set home_mailbox Maildir/ && systemctl reload facteur-mta")
        sender = subprocess.Popen(["nsenter", "-t", str(server.init), "-n", sys.executable, "-c", SENDER, str(MANY)],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        rotations = 0
        while sender.poll() is None and rotations < 4:
            server.sh(f"until [ $(stat -c %s /var/log/mail.log) -gt 50000 ]; do sleep 0.05; done; {force}", timeout=60)
            rotations += 1
        said = sender.communicate(timeout=90)[0]
        assert sender.returncode == 0 and rotations > 1, (said, rotations)
        server.until("mailq", "Mail queue is empty", patience=60)
        server.until(f"{ALL} | grep -c 'from=<a@b.org>'", f"{MANY}\n", patience=30)
        for pattern in ("to=<kevin@.*status=sent", "to=<foo@.*status=sent"):
            count = server.until(f"{ALL} | grep -c '{pattern}' || true", f"{MANY + ('kevin' in pattern)}\n", patience=10)
        removed = server.until(f"{ALL} | grep -c ': removed$'", f"{MANY + 1}\n", patience=10)
        assert not server.sh(f"{ALL} | grep status=sent | sort | uniq -d"), (count, removed)
        print(f"      {MANY} messages, {rotations} rotations, {server.sh(f'{ALL} | wc -l').strip()} lines")
    with lab.step("what is rotated is compressed and readable by adm; facteur log goes on in the new file"):
        for _ in range(4):
            server.sh("echo x | sendmail foo; until [ -s /var/log/mail.log ]; do sleep 0.05; done; " + force)
        assert server.sh("ls /var/log | grep -c '^mail.log[.][2-4][.]gz$'").strip() == "3"
        server.sh("echo encore | sendmail kevin")
        log(server, "to=<kevin@")
        assert server.sh("stat -c '%a %U %G' /var/log/mail.log /var/log/mail.log.1").split("\n")[:2] == ["640 root adm"] * 2
        assert "to=<kevin@" in server.sh("timeout 3 facteur log || true")
    if not lab.rsyslog:
        with lab.step("the daily timer is set, and its service ends well with all it is forbidden"):
            assert "facteur-logrotate.timer" in server.sh("systemctl list-timers --no-pager")
            server.sh("systemctl start facteur-logrotate.service")
            server.sh("sed -i 's/weekly/size 1/' /usr/share/facteur/logrotate.conf; systemctl start facteur-logrotate.service")
            assert server.sh("stat -c %s /var/log/mail.log").strip() == "0"


def left_alone(lab, server):
    def all_stand_there(name):
        server.sh(f"printf 'Message-ID: <{name}@vm>\\n\\n.' | sendmail kevin")
        line = server.until(f"grep 'facteur/pickup.* message-id=<{name}@vm>' /var/log/mail.log || true", name)
        queue_id = line.split(": message-id=")[0].split()[-1]
        for wanted in (f"facteur/local.* {queue_id}: to=<kevin@.* status=sent", f"facteur/qmgr.* {queue_id}: removed"):
            server.until(f"grep '{wanted}' /var/log/mail.log || true", queue_id)

    with lab.step("rsyslog, which has renamed the log, is removed: all programs write the new one"):
        server.sh("apt-get remove -y -o Dpkg::Use-Pty=0 rsyslog")
        all_stand_there("gone")
    with lab.step("the nightly service rotates it, for what rsyslog left is disabled; if it is used all the same, that is noticed"):
        night = "systemctl start facteur-logrotate.service"
        server.sh(f"sed -i 's/weekly/size 1/' /usr/share/facteur/logrotate.conf; {night}; grep -q '<gone@vm>' /var/log/mail.log.1")
        assert server.sh("stat -c %s /var/log/mail.log").strip() == "0"
        all_stand_there("rotated")
        server.sh("sed -i 's/size 1/weekly/' /usr/share/facteur/logrotate.conf; ls /etc/logrotate.d/rsyslog.disabled; "
                  "logrotate -f /etc/logrotate.d/rsyslog.disabled; ! grep -q status=sent /var/log/mail.log")
        server.sh(night)
        all_stand_there("renamed")


ALL = "zcat -f /var/log/mail.log*"

