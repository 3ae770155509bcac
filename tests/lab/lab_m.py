"""Mutt: Maildir and mbox on the server itself, IMAP and POP from another machine; reading, answering, sending, all on the
screen and typed; accents in names, subjects and bodies."""
from mutt import Mutt
from stage import Lab, cable, log, user

OURS = ["facteur-common", "facteur-mda", "facteur-mta", "facteur-popd", "facteur-imapd"]


def run(folder, packages, **kind):
    with Lab("mutt", folder, packages, **kind) as lab:
        server = lab.server("mail", "mutt", "nano")
        pc = lab.client("pc", "mutt", "nano", "openssl")
        user(server, "kevin", "foo")
        user(pc, "kevin")
        cable(server, "192.168.0.10/24", pc, "192.168.0.11/24")
        server.sh("echo 'facteur-mta facteur/mailname string m3102.com' | debconf-set-selections")
        server.sh(lab.install(server, *OURS, "mailutils", "mutt", "nano"))
        server.sh("facteur config set mynetworks '127.0.0.0/8 192.168.0.0/24'; "
                  "facteur config set login_trusted_networks 192.168.0.0/24; facteur reload")
        mbox(lab, server)
        maildir(lab, server)
        imap(lab, server, pc)
        pop(lab, server, pc)


def mbox(lab, server):
    with lab.step("mbox: mutt reads /var/mail/kevin, its flags stay; written and sent, it arrives"):
        server.sh("echo 'Une première lettre, à lire.' | mail -s 'Été' kevin", user="foo")
        log(server, "to=<kevin@m3102.com>")
        with Mutt(server, "kevin", "-f /var/mail/kevin") as mutt:
            mutt.expect("Été")
            mutt.read(1, "Une première lettre, à lire.", "Subject: Été")
            mutt.to_index()
            mutt.compose("foo", "Réponse écrite à la main", "Ceci vient de mutt, déjà.")
            mutt.expect("Mail sent.")
            mutt.quit()
            mutt.leave()
        server.until("cat /var/mail/foo", "To: foo@")
        assert "Status: RO" in server.read("/var/mail/kevin")


def maildir(lab, server):
    with lab.step("Maildir: new mail shows up in mutt while it is open; answered, deleted, seen by IMAP"):
        server.sh("facteur config set home_mailbox Maildir/; facteur reload")
        # Of another second: mutt lists them by that.
        server.sh("echo 'Un' | mail -s 'Premier' kevin; sleep 1.1; echo 'Deux' | mail -s 'Deuxième' kevin; sleep 1.1", user="foo")
        server.until("ls ~kevin/Maildir/new | wc -l", "2")
        with Mutt(server, "kevin", "-f Maildir") as mutt:
            mutt.expect("Deuxième")
            server.sh("echo 'Trois' | mail -s 'Pendant ce temps' kevin", user="foo")
            mutt.expect("Pendant ce temps")
            mutt.read(1, "Subject: Premier")
            mutt.answer("Je te réponds. ")
            mutt.to_index()
            mutt.keys("2", "Enter", "d")
            mutt.quit()
            mutt.expect("Purge 1 deleted message?")
            mutt.keys("y")
            mutt.leave()
        server.until("cat ~foo/Maildir/new/*", "Je te réponds.")
        assert "In-Reply-To: <" in server.sh("cat ~foo/Maildir/new/*")
        names = server.sh("ls ~kevin/Maildir/new ~kevin/Maildir/cur")
        assert names.count(",S=") == 2 and ":2,RS" in names, names


def imap(lab, server, pc):
    with lab.step("IMAP from another machine: listed, read, answered through the server's port 25"):
        with Mutt(pc, "kevin", "-f imap://kevin:kevin@192.168.0.10/INBOX", "set smtp_url=smtp://192.168.0.10/\n"
                  "set from=kevin@m3102.com\n") as mutt:
            mutt.expect("Pendant ce temps")
            mutt.read(2, "Subject: Pendant ce temps", "Trois")
            mutt.answer("Par IMAP, évidemment. ")
            mutt.to_index()
            server.sh("echo 'Quatre' | mail -s 'En direct' kevin", user="foo")
            mutt.expect("En direct", patience=90)
            mutt.quit()
            mutt.leave()
        server.until("cat ~foo/Maildir/new/*", "Par IMAP, évidemment.")
        names = server.sh("ls ~kevin/Maildir/cur")
        assert names.count(":2,RS\n") == 2, names
    with lab.step("IMAP over TLS: the certificate is shown, once accepted the mail is read"):
        with Mutt(pc, "kevin", "-f imaps://kevin:kevin@192.168.0.10/INBOX") as mutt:
            mutt.expect("accept (o)nce")
            mutt.keys("o")
            mutt.expect("En direct")
            mutt.quit()
            mutt.leave()
        log(server, "TLS")


def pop(lab, server, pc):
    with lab.step("POP from another machine: all messages, read"):
        with Mutt(pc, "kevin", "-f pop://kevin:kevin@192.168.0.10/") as mutt:
            mutt.expect("Premier")
            mutt.read(3, "Subject: En direct", "Quatre")
            mutt.to_index()
            mutt.quit()
            mutt.leave()
        log(server, "facteur/pop3[")
