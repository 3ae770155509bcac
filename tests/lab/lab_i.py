"""Install, upgrade, remove, purge, install again: no stray file, no mail lost. Over a running Postfix and Dovecot, and
back to them."""
import re
import tempfile
from pathlib import Path

from box import run as here
from stage import Lab, session, user

OURS = ["facteur-common", "facteur-mda", "facteur-mta", "facteur-popd", "facteur-imapd", "facteur"]
NAMES = " ".join(OURS)
# Mail, accounts, what all mail systems share, and what others write when anything is installed.
ANYBODYS = re.compile(r"^/(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|etc/mailname|etc/aliases|var/mail/.*|"
                      r"var/spool/mail/.*|home/.*|root/.*|var/lib/(dpkg|apt|systemd|ucf|pam|logrotate|private)(/.*)?|var/cache/.*|"
                      r"var/log/.*|var/lib/misc(/.*)?|etc/ld.so.cache|etc/\.pwd\.lock|var/backups/.*|tmp/.*|var/tmp/.*)$")


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
        server.sh("DEBIAN_FRONTEND=noninteractive " + lab.install(server, *OURS))
        assert server.sh("facteur check") == "" and server.sh("facteur status")
        deliver(server, "installed")
    with lab.step("upgrade: hand edits, mail in the queue and running services survive; nothing is asked"):
        server.sh("facteur config set mail_name Poste; printf '# my own words\\n' >>/etc/facteur/facteur.yaml")
        server.sh("facteur config set defer_transports local 2>/dev/null; echo held | sendmail kevin; true")
        config = server.read("/etc/facteur/facteur.yaml")
        newer(lab, server)
        said = server.sh("apt-get install -y -o Dpkg::Use-Pty=0 " + " ".join(f"/root/newer/{name}.deb" for name in OURS))
        assert "0.1.0+lab" in said
        assert server.read("/etc/facteur/facteur.yaml") == config
        server.sh("systemctl is-active facteur-mta facteur-popd facteur-imapd")
        server.sh("facteur config unset defer_transports 2>/dev/null; facteur reload")
        deliver(server, "upgraded")
    with lab.step("remove: programs go, settings and mail stay"):
        server.sh(f"apt-get remove -y -o Dpkg::Use-Pty=0 {NAMES}")
        assert not server.path("/usr/lib/facteur").exists() and server.sh("ss -Hltn 'sport = :25'") == ""
        assert server.read("/etc/facteur/facteur.yaml") == config
        assert "Subject: upgraded" in server.read("/var/mail/kevin")
    with lab.step("install again: the settings are as they were"):
        server.sh("DEBIAN_FRONTEND=noninteractive " + lab.install(server, *OURS))
        assert server.read("/etc/facteur/facteur.yaml") == config
        deliver(server, "again")
    with lab.step("purge: nothing stays but mail"):
        server.sh(f"apt-get purge -y -o Dpkg::Use-Pty=0 {NAMES}")
        after = files(server)
        assert after <= before, "stray: " + " ".join(sorted(after - before))
        assert "Subject: again" in server.read("/var/mail/kevin")
    with lab.step("purge with mail in the queue: the queue stays"):
        server.sh("DEBIAN_FRONTEND=noninteractive " + lab.install(server, *OURS))
        server.sh("systemctl stop facteur-mta; echo waiting | sendmail kevin")
        said = server.sh(f"apt-get purge -y -o Dpkg::Use-Pty=0 {NAMES}")
        assert "mail is still in /var/spool/facteur" in said, said
        assert server.sh("find /var/spool/facteur/maildrop -type f | wc -l").strip() == "1"
        server.sh("DEBIAN_FRONTEND=noninteractive " + lab.install(server, *OURS))
        server.until("cat /var/mail/kevin", "waiting")


def newer(lab, server):
    """The same packages with a higher version number."""
    server.sh("mkdir -p /root/newer")
    for name in OURS:
        with tempfile.TemporaryDirectory() as folder:
            here("dpkg-deb", "-R", str(lab.packages[name]), folder)
            control = Path(folder, "DEBIAN/control")
            text = re.sub(r"^Version: .*$", "Version: 0.1.0+lab", control.read_text(), flags=re.M)
            control.write_text(re.sub(r"= 0\.1\.0\)", "= 0.1.0+lab)", text))
            here("dpkg-deb", "-Znone", "--root-owner-group", "-b", folder, str(server.path(f"/root/newer/{name}.deb")))


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
        server.sh("DEBIAN_FRONTEND=noninteractive apt-get install -y -o Dpkg::Use-Pty=0 postfix dovecot-imapd dovecot-pop3d")
        server.sh("postconf -e home_mailbox=Maildir/ inet_protocols=ipv4; systemctl restart postfix; "
                  "echo 'mail_location = maildir:~/Maildir' >/etc/dovecot/local.conf; systemctl restart dovecot")
        for number in range(4):
            server.sh(f"printf 'Subject: {number}\\n\\n{number}\\n' | sendmail kevin")
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
    with lab.step("apt install facteur takes their places and their debconf answers"):
        server.sh("DEBIAN_FRONTEND=noninteractive " + lab.install(server, *OURS))
        assert "facteur" in server.sh("readlink -f /usr/sbin/sendmail; dpkg -S /usr/sbin/sendmail")
        assert server.read("/etc/mailname") == "m3102.com\n"
        server.sh("facteur config set home_mailbox Maildir/; facteur reload; facteur check")
    with lab.step("each message has its UID, flags, keyword and POP3 name; UIDVALIDITY and subscriptions stay"):
        found = look(server)
        assert found == known, (found, known)
        server.sh("printf 'Subject: new\\n\\nnew\\n' | sendmail kevin")
        server.until("ls ~kevin/Maildir/new ~kevin/Maildir/cur | grep -c '^[0-9]'", "4")
        known = look(server)
        assert len(known["messages"]) == 4, known
    with lab.step("and back: Dovecot finds all of it"):
        server.sh("DEBIAN_FRONTEND=noninteractive apt-get install -y -o Dpkg::Use-Pty=0 postfix dovecot-imapd dovecot-pop3d")
        server.sh("systemctl restart postfix dovecot")
        found = look(server)
        assert found == known, (found, known)
