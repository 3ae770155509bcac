"""Install, upgrade, remove, purge, install again: no stray file, no mail lost. Over a running Postfix and Dovecot, and
back to them."""
import re
import tempfile
from pathlib import Path

from box import run as here
from stage import Lab, session, user

OURS = ["facteur-common", "facteur-mda", "facteur-mta", "facteur-popd", "facteur-imapd", "facteur"]
ALL = [*OURS, "facteur-compat"]
NAMES = " ".join(ALL)
# Mail, accounts, what all mail systems share, and what others write when anything is installed.
ANYBODYS = re.compile(r"^/(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|etc/mailname|etc/aliases|var/mail/.*|"
                      r"var/spool/mail/.*|home/.*|root/.*|var/lib/(dpkg|apt|systemd|ucf|pam|logrotate|private)(/.*)?|var/cache/.*|"
                      r"var/log/.*|var/lib/misc(/.*)?|etc/ld.so.cache|etc/\.pwd\.lock|var/backups/.*|tmp/.*|var/tmp/.*)$")

# Where mail is, as the Dovecot of each Debian is told (2.3, 2.4), and what Facteur makes of it.
PLACE = {"bookworm": ("mail_location = maildir:~/Maildir\n", "maildir:~/Maildir"),
         "trixie": ("mail_driver = maildir\nmail_path = ~/Maildir\nmail_inbox_path = ~/Maildir\n", "maildir:~/Maildir:INBOX=~/Maildir")}


def run(folder, packages, **kind):
    with Lab("packages", folder, packages, **kind) as lab:
        server = lab.server("vm")
        user(server, "kevin")
        life(lab, server)
    with Lab("over Postfix and Dovecot", folder, packages, **kind) as lab:
        server = lab.server("vm", take=("postfix", "dovecot-imapd", "dovecot-pop3d"))
        user(server, "kevin")
        over(lab, server)


def files(server):
    return {line for line in server.sh("find / -xdev -not -type d -o -xdev -type d -empty").splitlines()
            if not ANYBODYS.match(line)}


def deliver(server, subject):
    server.sh(f"printf 'Subject: {subject}\\n\\ntext\\n' | /usr/sbin/sendmail kevin")
    server.until("cat /var/mail/kevin", f"Subject: {subject}")


def life(lab, server):
    before = files(server)
    with lab.step("install without answers: services run, mail flows"):
        older(lab, server)
        server.sh("apt-get install -y -o Dpkg::Use-Pty=0 " + " ".join(f"/root/older/{name}.deb" for name in ALL))
        assert server.sh("facteur check") == "" and server.sh("facteur status")
        deliver(server, "installed")
    with lab.step("upgrade from a lower version: hand edits, changed conffiles, statoverrides, waiting mail stay; nothing is asked"):
        server.sh("facteur config set mail_name Poste; facteur config set relayhost '[192.0.2.1]'; printf '# mine\n' >>/etc/facteur/facteur.yaml; "
                  "printf '# mine\n' >>/etc/pam.d/facteur; dpkg-statoverride --update --add root adm 750 /usr/bin/facteur; facteur reload; "
                  "echo waits | sendmail luke@starwars.example")
        server.until("mailq", "luke@starwars.example")
        server.until("tail -n 3 /var/log/mail.log", "status=deferred")
        config = server.read("/etc/facteur/facteur.yaml")
        said = server.sh("DEBIAN_FRONTEND=readline " + lab.install(server, *ALL) + " -o Dpkg::Options::=--force-confold </dev/null")
        assert "Unpacking facteur-mta (0.1.0) over (0.0.9)" in said and "Configuring facteur" not in said, said
        assert server.read("/etc/facteur/facteur.yaml") == config
        # Edited by hand: kept, the new one beside it; not edited: the new one.
        assert server.read("/etc/pam.d/facteur").endswith("# of old\n# mine\n") and "of old" not in server.read("/etc/pam.d/facteur.dpkg-dist")
        assert "of old" not in server.read("/etc/fail2ban/filter.d/facteur-login.conf")
        assert server.sh("stat -c '%G %a' /usr/bin/facteur; stat -c '%G %a' /usr/lib/facteur/facteur-drop") == "adm 750\nfacteur-drop 2755\n"
        server.sh("systemctl is-active facteur-mta facteur-popd facteur-imapd")
        assert "luke@starwars.example" in server.sh("mailq")
        deliver(server, "upgraded")
    with lab.step("setup again: an explicit no to cleartext leaves networks that were set by hand, and takes back its own yes"):
        server.sh("ip link add lan0 type veth peer name lan1; ip addr add 10.9.8.1/24 dev lan0; ip link set lan0 up; ip link set lan1 up")
        server.sh("facteur config set login_trusted_networks 10.7.0.0/16")
        assert "were set by hand and stay" in answers(server, "/cleartext_lan=/s/yes/no/")
        assert server.sh("facteur config get login_trusted_networks") == "10.7.0.0/16\n"
        server.sh("facteur config unset login_trusted_networks")
        answers(server, "/cleartext_lan=/s/no/yes/")
        assert server.sh("facteur config get login_trusted_networks") == "10.9.8.0/24\n"
        answers(server, "/cleartext_lan=/s/yes/no/")
        assert server.sh("facteur config get login_trusted_networks") == "\n"
        assert server.read("/etc/facteur/facteur.yaml") == config
    with lab.step("remove: programs go, settings, users and mail stay"):
        said = server.sh(f"apt-get remove -y -o Dpkg::Use-Pty=0 {NAMES}")
        assert "1 message waits in /var/spool/facteur" in said, said
        assert not server.path("/usr/lib/facteur").exists() and server.sh("ss -Hltn 'sport = :25'") == ""
        assert server.read("/etc/facteur/facteur.yaml") == config
        assert "Subject: upgraded" in server.read("/var/mail/kevin")
        server.sh("getent passwd facteur facteur-login && getent group facteur-drop")
    with lab.step("install again: the settings and the queue are as they were"):
        server.sh("dpkg-statoverride --remove /usr/bin/facteur; " + lab.install(server, *ALL))
        assert server.read("/etc/facteur/facteur.yaml") == config
        assert "luke@starwars.example" in server.sh("mailq")
        server.sh("facteur queue delete ALL")
        deliver(server, "again")
    with lab.step("purge: nothing stays but mail"):
        server.sh(f"apt-get purge -y -o Dpkg::Use-Pty=0 {NAMES}")
        after = files(server)
        assert after <= before, "stray: " + " ".join(sorted(after - before))
        assert "Subject: again" in server.read("/var/mail/kevin")
        left = server.sh("{ dpkg -l 'facteur*' | grep ^rc; debconf-show facteur-mta; dpkg-statoverride --list | grep facteur; "
                         "systemctl list-unit-files 'facteur*' --no-legend; } 2>/dev/null", check=False)
        assert left == "", left
        # Users stay, locked, as Debian's packages do it: files may be theirs still.
        assert server.sh("getent passwd facteur facteur-login | grep -vc nologin", check=False).strip() == "0"
    with lab.step("purge with mail in the queue: the queue stays"):
        server.sh(lab.install(server, *ALL))
        server.sh("systemctl stop facteur-mta; echo waiting | sendmail kevin")
        said = server.sh(f"apt-get purge -y -o Dpkg::Use-Pty=0 {NAMES}")
        assert "mail is still in /var/spool/facteur" in said, said
        assert server.sh("find /var/spool/facteur/maildrop -type f | wc -l").strip() == "1"
        server.sh(lab.install(server, *ALL))
        server.until("cat /var/mail/kevin", "waiting")
    with lab.step("whoever gets root's mail by /etc/aliases goes on getting it, until setup is told another"):
        server.sh(f"apt-get purge -y -o Dpkg::Use-Pty=0 {NAMES}")
        server.write("/etc/aliases", "postmaster: root\nroot: carol@e.example,\n\tdan@e.example\nteam: kevin,\n  foo\n")
        server.sh(lab.install(server, *ALL))
        assert "\nroot: carol@e.example,\n\tdan@e.example\n" in server.read("/etc/aliases")
        answers(server, "/root_address=/s/carol@e.example, dan@e.example/kevin/")
        assert server.read("/etc/aliases") == "postmaster: root\nroot: kevin\nteam: kevin,\n  foo\n"


def answers(server, change):
    """The questions again, in an editor that changes the answers with a sed command."""
    server.write("/usr/local/bin/answers", f'#!/bin/sh\nexec sed -i "{change}" "$@"\n', 0o755)
    return server.sh("DEBIAN_FRONTEND=editor DEBIAN_PRIORITY=low VISUAL=/usr/local/bin/answers EDITOR=/usr/local/bin/answers dpkg-reconfigure -feditor -plow facteur-mta; "
                     "rm /usr/local/bin/answers")


def older(lab, server):
    """The same packages with a lower version number, and other conffiles."""
    server.sh("mkdir -p /root/older")
    for name in ALL:
        with tempfile.TemporaryDirectory() as folder:
            here("dpkg-deb", "-R", str(lab.packages[name]), folder)
            control = Path(folder, "DEBIAN/control")
            text = re.sub(r"^Version: .*$", "Version: 0.0.9", control.read_text(), flags=re.M)
            control.write_text(re.sub(r"= 0\.1\.0\)", "= 0.0.9)", text))
            for conffile in ("etc/pam.d/facteur", "etc/fail2ban/filter.d/facteur-login.conf"):
                if (file := Path(folder, conffile)).exists():
                    file.write_text(file.read_text() + "# of old\n")
            here("dpkg-deb", "-Znone", "--root-owner-group", "-b", folder, str(server.path(f"/root/older/{name}.deb")))


def look(server):
    """What clients know the messages by: UIDVALIDITY, UIDs and flags, and POP3's names."""
    with session(server, "nc localhost 143") as imap:
        imap.expect("* OK")
        imap.say("a login kevin kevin", "a OK")
        selected = imap.say("b select INBOX", "b OK")
        fetched = imap.say("c uid fetch 1:* (uid flags)", "c OK")
        listed = imap.say("d lsub \"\" *", "d OK")
        imap.say("e logout", "e OK")
    with session(server, "nc localhost 110") as pop3:
        pop3.expect("+OK")
        pop3.say("user kevin", "+OK")
        pop3.say("pass kevin", "+OK")
        names = pop3.say("uidl", "+OK", "\n.\n")
        pop3.say("quit", "+OK")
    flags = [(uid, sorted(set(flags.split()) - {"\\Recent"}))
             for flags, uid in re.findall(r"FLAGS \(([^)]*)\)[^\n]*UID (\d+)", fetched)
             ] or [(uid, sorted(set(flags.split()) - {"\\Recent"}))
                   for uid, flags in re.findall(r"UID (\d+) FLAGS \(([^)]*)\)", fetched)]
    return {"validity": re.search(r"UIDVALIDITY (\d+)", selected).group(1), "messages": flags,
            "names": re.findall(r"^\d+ (\S+)$", names, re.M), "subscribed": sorted(re.findall(r'LSUB .* (\S+)$', listed, re.M))}


def over(lab, server):
    with lab.step("Postfix and Dovecot run, with mail that clients know by UID, flags, keywords, subscriptions"):
        server.sh("printf 'postfix postfix/mailname string m3102.com\npostfix postfix/main_mailer_type select Internet Site\n"
                  "postfix postfix/destinations string m3102.com, vm, localhost\n' | debconf-set-selections")
        server.sh("apt-get install -y -o Dpkg::Use-Pty=0 postfix dovecot-imapd dovecot-pop3d", timeout=300)
        server.sh("postconf -e home_mailbox=Maildir/ inet_protocols=ipv4 'relayhost=[192.0.2.1]' 'mydestination = $myhostname, m3102.com, localhost'; "
                  "systemctl restart postfix")
        server.write("/etc/dovecot/local.conf", PLACE[lab.suite][0])
        server.sh("systemctl restart dovecot")
        for number in range(4):
            server.sh(f"printf 'Subject: {number}\n\n{number}\n' | sendmail kevin")
        server.until("ls ~kevin/Maildir/new | wc -l", "4")
        with session(server, "nc localhost 143") as imap:
            imap.expect("* OK")
            imap.say("a login kevin kevin", "a OK")
            imap.say("b create Projets", "b OK")
            imap.say("c subscribe Projets", "c OK")
            imap.say("d select INBOX", "d OK")
            imap.say("e store 1 +flags (\\Seen \\Flagged Travail)", "e OK")
            imap.say("f store 2 +flags (\\Deleted)", "f OK")
            imap.say("g expunge", "g OK")
            imap.say("h logout", "h OK")
        known = look(server)
        assert len(known["messages"]) == 3 and any("Travail" in flags for _, flags in known["messages"]), known
    with lab.step("and mail that cannot go out: one for two, of whom one has it; one of nobody's, one on hold, one not picked up yet"):
        server.sh("printf 'Subject: waits\n\n.\nFrom here\n' | sendmail -i -f kevin@m3102.com kevin luke@starwars.example")
        server.sh("printf 'Subject: of nobody\n\n\n' | sendmail -f '<>' leia@starwars.example")
        server.until("mailq | grep -c unreachable", "2")
        server.until("ls ~kevin/Maildir/new ~kevin/Maildir/cur | grep -c '^[0-9]'", "4")
        known = look(server)
        server.sh("printf 'Subject: held\n\n\n' | sendmail -f kevin@m3102.com han@starwars.example")
        server.until("mailq | grep -c unreachable", "3")
        server.sh("postsuper -h $(mailq | grep -B 2 han@ | grep -oE '^[0-9A-F]+')")
        server.sh("systemctl stop postfix postfix@-; printf 'Subject: dropped\n\n\n' | sendmail -f kevin@m3102.com kevin")
    with lab.step("apt install facteur takes their places, their settings and the queue"):
        said = server.sh(lab.install(server, *OURS))
        assert "3 messages of Postfix's queue taken over\n1 on hold in /var/spool/postfix left there" in said, said
        assert "facteur" in server.sh("readlink -f /usr/sbin/sendmail; dpkg -S /usr/sbin/sendmail")
        assert server.read("/etc/mailname") == "m3102.com\n"
        assert server.sh("for name in home_mailbox relayhost mydestination inet_protocols mail_location; do facteur config get $name; done") == \
            f"Maildir/\n[192.0.2.1]\nvm, m3102.com, localhost\nipv4\n{PLACE[lab.suite][1]}\n"
        assert server.sh("facteur check") == ""
    with lab.step("each message has its UID, flags, keyword and POP3 name; UIDVALIDITY and subscriptions stay"):
        server.until("ls ~kevin/Maildir/new ~kevin/Maildir/cur | grep -c '^[0-9]'", "5")
        found = look(server)
        assert all(found[name] == known[name] for name in ("validity", "subscribed")), (found, known)
        assert [found[name][:4] for name in ("messages", "names")] == [known[name] for name in ("messages", "names")], (found, known)
        assert server.sh("grep -l 'Subject: waits' -r ~kevin/Maildir | wc -l").strip() == "1"
    with lab.step("what waited waits here now: as it was, for whom it was; what was on hold stays there"):
        said = server.until("mailq", "leia@starwars.example")
        assert "luke@starwars.example" in said and "MAILER-DAEMON" in said and "kevin@m3102.com\n" in said and "han@" not in said, said
        of_luke = server.sh("facteur queue cat $(mailq | grep -B 2 luke@ | grep -oE '^[0-9A-F]+')")
        assert of_luke.endswith("\n\n.\nFrom here\n") and "Received: by vm (Postfix, from userid 0)" in of_luke, of_luke
        assert server.sh("find /var/spool/postfix/deferred /var/spool/postfix/maildrop -type f | grep -c .", check=False).strip() == "0"
        assert server.sh("facteur queue import --held") == "1 message of Postfix's queue taken over\n"
        server.until("mailq", "han@starwars.example")
    with lab.step("with facteur-compat their files count as they are, and dpkg-reconfigure changes them"):
        server.sh(lab.install(server, "facteur-compat"))
        server.sh("postconf -e 'relayhost = [192.0.2.2]'; postfix reload")
        assert server.sh("facteur config get relayhost") == "[192.0.2.2]\n"
        assert server.sh("facteur config get smtpd_services") == "smtp\n" and server.sh("ss -Hltn 'sport = :587'") == ""
        answers(server, "s/192.0.2.2/192.0.2.3/")
        assert server.sh("facteur config get relayhost; grep -c 192.0.2.3 /etc/postfix/main.cf") == "[192.0.2.3]\n1\n"
        server.sh("apt-get purge -y -o Dpkg::Use-Pty=0 facteur-compat")
        assert "192.0.2.3" in server.read("/etc/postfix/main.cf")
        server.sh("systemctl is-active facteur-mta facteur-popd facteur-imapd")
    with lab.step("and back: Dovecot finds all of it, and it is said what waits in Facteur's queue"):
        known = look(server)
        said = server.sh("apt-get install -y -o Dpkg::Use-Pty=0 postfix dovecot-imapd dovecot-pop3d", timeout=300)
        assert "3 messages wait in /var/spool/facteur" in said, said
        server.sh("systemctl restart postfix dovecot")
        found = look(server)
        assert found == known, (found, known)
    with lab.step("facteur queue export gives it to Postfix, and nothing is left here"):
        assert server.sh("facteur queue export") == "3 messages handed over to /usr/sbin/sendmail\n"
        for name in ("luke", "leia", "han"):
            server.until("mailq", f"{name}@starwars.example")
        assert "MAILER-DAEMON" in server.sh("mailq") and server.sh("facteur queue list") == "Mail queue is empty\n"
