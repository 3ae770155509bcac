"""Other clients that Debian packages, from another machine, with TLS: mbsync and offlineimap both ways, fetchmail and
getmail by POP and IMAP, alpine on a screen, s-nail, and swaks, msmtp and s-nail for submission."""
import re
import subprocess
import sys

import letters
from box import Failed
from stage import Lab, Screen, cable, user

OURS = ["facteur-common", "facteur-mda", "facteur-mta", "facteur-popd", "facteur-imapd", "facteur"]
CLIENTS = ["isync", "offlineimap3", "fetchmail", "getmail6", "alpine", "s-nail", "swaks", "msmtp", "openssl",
           "libnet-ssleay-perl", "libio-socket-ssl-perl", "libauthen-sasl-perl"]
HOST = "192.168.0.23"
MANY = 1000


def run(folder, packages, **kind):
    with Lab("other clients", folder, packages, **kind) as lab:
        server = lab.server("vm")
        user(server, "kevin", "foo", "bar")
        pc = lab.client("pc", *CLIENTS)
        user(pc, "kevin")
        cable(server, f"{HOST}/24", pc, "192.168.0.42/24")
        with lab.step("install; one line for Maildir"):
            server.sh("echo 'facteur-mta facteur/mailname string m3102.com' | debconf-set-selections; "
                      "DEBIAN_FRONTEND=noninteractive " + lab.install(server, *OURS))
            server.sh("facteur config set home_mailbox Maildir/; facteur reload; facteur check")
        pem = server.read("/var/lib/facteur/self-signed.pem")
        pc.write("/home/kevin/server.pem", pem[pem.index("-----BEGIN CERT"):].split("-----END")[0] + "-----END CERTIFICATE-----\n")
        both_ways(lab, server, pc)
        offline(lab, server, pc)
        fetchers(lab, server, pc)
        senders(lab, server, pc)
        readers(lab, server, pc)


def mine(pc, name, text):
    pc.write(f"/home/kevin/{name}", text, 0o600)
    pc.sh(f"chown -R kevin: /home/kevin/{name}")


# -- mbsync

MBSYNC = f"""IMAPAccount facteur
Host {HOST}
User kevin
Pass kevin
SSLType IMAPS
CertificateFile /home/kevin/server.pem

IMAPStore far
Account facteur

MaildirStore near
Path /home/kevin/mail/
Inbox /home/kevin/mail/INBOX
SubFolders Verbatim

Channel all
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
SyncState *
"""
SENDER = """
import smtplib, sys
with smtplib.SMTP("127.0.0.1", 25, timeout=30) as smtp:
    for n in range(int(sys.argv[1])):
        smtp.sendmail("foo@m3102.com", ["kevin"], f"From: foo@m3102.com\\r\\nSubject: mail {n}\\r\\n\\r\\nNum\\u00e9ro {n}\\r\\n".encode())
"""

# A folder's name as mbsync has it in files: as on the wire, from 1.5 on as people write it.
RECEIVED = {"bookworm": "Re\\&AOc-us", "trixie": "Reçus"}


def sync(pc):
    """Runs mbsync; returns what it did, on our side and here: made, flagged, thrown away."""
    said = pc.sh("script -qec 'mbsync -a' /dev/null", user="kevin", timeout=200)  # it counts only at a terminal
    sums = re.findall(r"F: \+(\d+)/\d+ \*(\d+)/\d+ #(\d+)/\d+ +N: \+(\d+)/\d+ \*(\d+)/\d+ #(\d+)/\d+", said)
    # From 1.5 on what it shows meanwhile may lag behind, and the sums stand in the last line.
    sums += re.findall(r"Far: \+(\d+) \*(\d+) #(\d+) -\d+ +Near: \+(\d+) \*(\d+) #(\d+)", said)
    assert sums, said[-2000:]
    return tuple(int(number) for number in sums[-1])


def flags_in(box, folder):
    """The flags of each message."""
    return [name.partition(":2,")[2] for name in box.sh(f"find {folder}/cur {folder}/new -type f -printf '%f\\n'").split()]


def both_ways(lab, server, pc):
    inbox = "/home/kevin/Maildir"
    with lab.step(f"mbsync: {MANY} mails come here; a second time nothing"):
        subprocess.run(["nsenter", "-t", str(server.init), "-n", sys.executable, "-c", SENDER, str(MANY)], check=True, timeout=120)
        server.until(f"ls {inbox}/new | wc -l", str(MANY), patience=60)
        mine(pc, ".mbsyncrc", MBSYNC)
        pc.sh("mkdir -p /home/kevin/mail && chown kevin: /home/kevin/mail")
        assert sync(pc) == (0, 0, 0, MANY, 0, 0)
        assert len(flags_in(pc, "/home/kevin/mail/INBOX")) == MANY
        assert sync(pc) == (0, 0, 0, 0, 0, 0)
    with lab.step("flags, deletions and new folders go both ways"):
        pc.sh("cd ~/mail/INBOX && for f in $(ls -d cur/* new/* | head -n 30); do b=$(basename $f); mv $f cur/${b%%:2,*}:2,FS; done; "
              "for f in $(ls -d cur/*:2,FS | head -n 10); do mv $f ${f%%:2,*}:2,ST; done; "
              f"mkdir ~/mail/{RECEIVED[lab.suite]}; cd ~/mail/{RECEIVED[lab.suite]}; mkdir cur new tmp; printf 'Subject: ici\\n\\nfait ici\\n' >new/1.1.pc", user="kevin")
        server.sh(f"cd {inbox} && ls -d cur/* new/* | grep -v F | tail -n 5 | while read -r f; do b=$(basename $f); "
                  "mv $f cur/${b%%:2,*}:2,RS; done", user="kevin")
        letters.send(server, "foo", "kevin@m3102.com", "Été à la plage")
        server.until(f"ls {inbox}/new {inbox}/cur | grep -c '^[0-9]'", str(MANY + 1))
        done = sync(pc)
        assert done == (1, 30, 0, 1, 5, 0), done
        for box, folder in ((server, inbox), (pc, "/home/kevin/mail/INBOX")):
            flags = flags_in(box, folder)
            assert (len(flags), flags.count("FS"), flags.count("RS")) == (MANY - 9, 20, 5), (folder, len(flags), set(flags))
        assert "fait ici" in server.sh(f"cat {inbox}/.Re\\&AOc-us/*/*")
        assert sync(pc) == (0, 0, 0, 0, 0, 0)
    with lab.step("UIDs and UIDVALIDITY stay over a restart"):
        server.sh("systemctl restart facteur-imapd; until systemctl -q is-active facteur-imapd; do sleep 0.2; done")
        assert sync(pc) == (0, 0, 0, 0, 0, 0)


# -- offlineimap

OFFLINE = f"""[general]
accounts = kevin
ui = basic
[Account kevin]
localrepository = here
remoterepository = there
[Repository here]
type = Maildir
localfolders = ~/offline
[Repository there]
type = IMAP
remotehost = {HOST}
remoteuser = bar
remotepass = bar
ssl = yes
cert_fingerprint = FINGERPRINT
"""


def offline(lab, server, pc):
    with lab.step("offlineimap: both ways, a folder of its own too"):
        for number in range(20):
            letters.send(server, "foo", "bar@m3102.com", f"Été {number}")
        server.until("ls ~bar/Maildir/new | wc -l", "20")
        print_ = pc.sh("openssl x509 -in /home/kevin/server.pem -noout -fingerprint -sha256").strip().split("=")[1].replace(":", "").lower()
        mine(pc, ".offlineimaprc", OFFLINE.replace("FINGERPRINT", print_))
        pc.sh("offlineimap -o 2>&1", user="kevin")
        assert pc.sh("ls ~/offline/INBOX/cur ~/offline/INBOX/new | grep -c '^[0-9]'", user="kevin").strip() == "20"
        pc.sh("cd ~/offline/INBOX; f=$(ls new | head -n 1); mv new/$f cur/${f%%:2,*}:2,FS; "
              "mkdir -p ~/offline/Projets/cur ~/offline/Projets/new ~/offline/Projets/tmp; "
              "printf 'Subject: ici\\nMessage-Id: <1@pc>\\n\\nfait ici\\n' >~/offline/Projets/new/1.1.pc:2,", user="kevin")
        said = pc.sh("offlineimap -o 2>&1", user="kevin")
        assert "ERROR" not in said, said
        assert "fait ici" in server.sh("cat ~bar/Maildir/.Projets/*/*")
        assert server.sh("ls ~bar/Maildir/cur | grep -c 'FS$'").strip() == "1"


# -- fetchmail, getmail

GETMAIL = """[retriever]
type = Simple{kind}SSLRetriever
server = 192.168.0.23
username = foo
password = foo
{more}
[destination]
type = Maildir
path = ~/{folder}/
[options]
delete = {delete}
read_all = {all}
"""


def fetchers(lab, server, pc):
    for number in range(10):
        letters.send(server, "kevin", "foo@m3102.com", f"Été {number}")
    server.until("ls ~foo/Maildir/new | wc -l", "10")
    md5 = pc.sh("openssl x509 -in /home/kevin/server.pem -noout -fingerprint -md5").strip().split("=")[1]
    with lab.step("fetchmail by POP3S keeps and remembers, by IMAPS takes all"):
        fetch = f'user foo pass foo ssl sslfingerprint "{md5}" no sslcertck'
        mine(pc, ".fetchmailrc", f'poll {HOST} proto POP3 uidl {fetch} keep mda "cat >>~/popped"\n')
        said = pc.sh("fetchmail -v --nodetach 2>&1", user="kevin")
        assert "-ERR" not in said and pc.sh("grep -c ^Subject: ~/popped", user="kevin").strip() == "10", said[-2000:]
        assert "10 seen" in pc.sh("fetchmail --nodetach", user="kevin", check=False)
        mine(pc, ".fetchmailrc", f'poll {HOST} proto IMAP {fetch} fetchall keep mda "cat >>~/imaped"\n')
        said = pc.sh("fetchmail -v --nodetach 2>&1", user="kevin")
        assert not re.search(r"IMAP< \S+ (NO|BAD)", said) and pc.sh("grep -c ^Subject: ~/imaped", user="kevin").strip() == "10", said[-2000:]
    with lab.step("getmail by POP3S remembers, by IMAPS takes and deletes all"):
        pc.sh("mkdir -p ~/.config/getmail; for d in one two; do mkdir -p ~/$d/cur ~/$d/new ~/$d/tmp; done", user="kevin")
        mine(pc, ".config/getmail/pop", GETMAIL.format(kind="POP3", folder="one", delete="false", all="false", more=""))
        mine(pc, ".config/getmail/imap", GETMAIL.format(kind="IMAP", folder="two", delete="true", all="true", more='mailboxes = ("INBOX",)'))
        for expected in ("10", "10"):
            pc.sh("getmail -r ~/.config/getmail/pop 2>&1", user="kevin")
            assert pc.sh("ls ~/one/new | wc -l", user="kevin").strip() == expected
        pc.sh("getmail -r ~/.config/getmail/imap 2>&1", user="kevin")
        assert pc.sh("ls ~/two/new | wc -l", user="kevin").strip() == "10"
        server.until("ls ~foo/Maildir/new ~foo/Maildir/cur | grep -c '^[0-9]'", "0")


# -- submission

MSMTP = f"""account default
host {HOST}
port 587
auth on
user kevin
password kevin
from kevin@m3102.com
tls on
tls_starttls on
tls_trust_file /home/kevin/server.pem
tls_host_override NAME
logfile ~/msmtp.log
"""


def senders(lab, server, pc):
    with lab.step("swaks: STARTTLS and TLS at once, PLAIN and LOGIN; a wrong password, no password, another's address"):
        count = 0
        for words in ("--tls --port 587 --auth PLAIN", "--tls --port 587 --auth LOGIN", "--tlsc --port 465 --auth PLAIN"):
            said = pc.sh(f"swaks --server {HOST} {words} --au kevin --ap kevin --from kevin@m3102.com --to foo@m3102.com "
                         f"--h-Subject 'swaks {count}' --body 'Déjà vu'", user="kevin")
            assert "250 2.0.0 Ok: queued as" in said, said
            count += 1
        server.until("ls ~foo/Maildir/new | wc -l", str(count))
        for words, reply in (("--au kevin --ap faux", "535 5.7.8"), ("--au '' --ap '' --auth-optional", "530 5.7.0"),
                             ("--au kevin --ap kevin --from president@m3102.com", "553 5.7.1")):
            said = pc.sh(f"swaks --server {HOST} --tls --port 587 --from kevin@m3102.com --to foo@m3102.com {words}", user="kevin", check=False)
            assert reply in said, said
    with lab.step("swaks: STARTTLS on 25, pipelined, an attachment"):
        said = pc.sh(f"swaks --server {HOST} --tls --pipeline --from a@b.example --to foo@m3102.com --attach-type text/plain "
                     "--attach-body 'Pièce jointe' --body 'Corps'", user="kevin")
        assert "250 2.0.0 Ok: queued as" in said, said
    with lab.step("msmtp and s-nail send through submission"):
        mine(pc, ".msmtprc", MSMTP.replace("NAME", server.name))
        pc.sh("printf 'To: foo@m3102.com\\nSubject: msmtp\\n\\nÇa marche\\n' | msmtp -t", user="kevin")
        pc.sh("echo 'Ça marche aussi' | LANG=C.UTF-8 s-nail -:/ -Sv15-compat -Stls-verify=ignore -Ssmtp-auth=plain -Sfrom=kevin@m3102.com "
              f"-Smta=submissions://kevin:kevin@{HOST}:465 -s 'Très simple' foo@m3102.com", user="kevin")
        server.until("cat ~foo/Maildir/new/*", "=C3=87a marche aussi")
        server.until("cat ~foo/Maildir/new/*", "Ça marche\n")


# -- alpine, s-nail

PINE = f"""personal-name=Kevin
user-domain=m3102.com
smtp-server={HOST}:587/user=kevin/tls/novalidate-cert
inbox-path={{{HOST}/ssl/novalidate-cert/user=kevin}}INBOX
default-fcc=
feature-list=enable-alternate-editor-cmd,no-compose-send-offers-first-filter,quit-without-confirm
disable-these-authenticators=
last-version-used=9.99
"""


def readers(lab, server, pc):
    with lab.step("alpine: IMAP on a screen; reads accents, answers, deletes"):
        server.sh("rm -rf ~kevin/Maildir ~foo/Maildir")
        letters.send(server, "foo", "kevin@m3102.com", "Été à la plage")
        server.until("ls ~kevin/Maildir/new | wc -l", "1")
        mine(pc, ".pinerc", PINE)
        with Screen(pc.words("script -qec 'env LANG=C.UTF-8 TERM=screen alpine -i' /dev/null", user="kevin")) as screen:
            screen.expect("PASSWORD")
            screen.type("kevin")
            screen.keys("Enter")
            try:
                alpine(screen, server)
            except Failed as error:
                raise Failed(f"{error}\n{screen.look()}") from None
    with lab.step("s-nail: reads by POP3S"):
        letters.send(server, "foo", "kevin@m3102.com", "Encore")
        server.until("ls ~kevin/Maildir/new ~kevin/Maildir/cur | grep -c '^[0-9]'", "1")
        said = pc.sh(f"printf 'type 1\\nxit\\n' | LANG=C.UTF-8 s-nail -:/ -Sv15-compat -Stls-verify=ignore -Sttycharset=utf-8 "
                     f"-f pop3s://kevin:kevin@{HOST} 2>&1", user="kevin")
        assert "Été à la plage, cœur brisé." in said and letters.NAME_SENT in said and letters.ATTACHED.splitlines()[0] in said, said


def alpine(screen, server):
    screen.expect("Preserve password on DISK")
    screen.keys("n")
    screen.expect("Été à la plage")
    screen.keys("Enter")
    screen.expect("cœur brisé")
    screen.keys("r")
    screen.expect("Include original message")
    screen.keys("n")
    screen.expect("To :")
    screen.type("Réponse d'alpine")
    screen.keys("C-x")
    screen.expect("Send message")
    screen.keys("y")
    screen.expect("sent-mail")
    screen.keys("y")
    screen.expect("PASSWORD")
    screen.type("kevin")
    screen.keys("Enter")
    screen.expect("Preserve password on DISK")
    screen.keys("n")
    server.until("cat ~foo/Maildir/new/*", "In-Reply-To: ")
    assert "Réponse d'alpine" in letters.body(letters.newest(server, "foo"))
    server.until("ls ~kevin/Maildir/cur", ":2,RS")
    screen.keys("d")
    screen.keys("q")
    screen.expect("xpunge")
    screen.keys("y")
    server.until("ls ~kevin/Maildir/cur | wc -l", "0")
