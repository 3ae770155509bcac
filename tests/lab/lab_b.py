"""Lab B: speak SMTP, POP3 and IMAP by hand, and look at what arrives."""
import base64

from stage import Lab, cable, log, session, user


def run(folder, packages, **kind):
    with Lab("lab B", folder, packages, **kind) as lab:
        server = lab.server("mail")
        user(server, "kevin", "foo", "bar", "tech")
        server.sh("echo 'facteur-mta facteur/mailname string m3102.com' | debconf-set-selections")
        with lab.step("the whole system installs without a question (noninteractive)"):
            server.sh("DEBIAN_FRONTEND=noninteractive " + lab.install(server, *OURS, "mailutils"))
        pc = lab.client("pv")
        cable(server, "192.168.0.10/24", pc, "192.168.0.11/24")
        server.sh("facteur config set mynetworks '127.0.0.0/8 192.168.0.0/24' && facteur reload")
        smtp(lab, server, pc)
        attachments(lab, server, pc)
        readers(lab, server, pc)


OURS = ["facteur-common", "facteur-mda", "facteur-mta", "facteur-popd", "facteur-imapd", "facteur"]


def send(pc, sender, recipients, text, patience=20):
    """A message typed by hand; returns its queue id."""
    with session(pc, "telnet 192.168.0.10 25") as telnet:
        telnet.expect("220 mail ESMTP Facteur\n")
        telnet.say("HELO PV", "250 mail\n")
        telnet.say(f"mail from: {sender}", "250 2.1.0 Ok\n")
        for recipient in recipients:
            telnet.say(f"rcpt to: {recipient}", "250 2.1.5 Ok\n")
        telnet.say("data", "354 End data with <CR><LF>.<CR><LF>\n")
        for line in text.splitlines():
            telnet.type(line)
        telnet.say(".", "250 2.0.0 Ok: queued as ")
        queue_id = telnet.expect("\n").strip()
        telnet.say("quit", "221 2.0.0 Bye\n")
    return queue_id


def smtp(lab, server, pc):
    with lab.step("1. a message typed by hand, followed in the log"):
        queue_id = send(pc, "kevin@m3102.com", ["kevin"], "Bonjour\n")
        text = log(server, f"{queue_id}: removed")
        assert "connect from " in text and f"{queue_id}: client=" in text and "[192.168.0.11]" in text
        assert f"{queue_id}: to=<kevin@m3102.com>, orig_to=<kevin>, relay=local," in text, text
        assert "disconnect from " in text and "helo=1 mail=1 rcpt=1 data=1 quit=1 commands=5" in text
    with lab.step("6. Return-Path, X-Original-To, Delivered-To, Received; Message-Id, Date, From are added"):
        text = server.read("/var/mail/kevin")
        fields = ["From kevin@m3102.com", "\nReturn-Path: <kevin@m3102.com>", "\nX-Original-To: kevin",
                  "\nDelivered-To: kevin@m3102.com", "\nReceived: from PV (", "\n\tby mail (Facteur) with SMTP id ",
                  "\nMessage-Id: <", "\nDate: ", "\nFrom: kevin@m3102.com", "\n\nBonjour\n"]
        at = 0
        for field in fields:
            assert field in text[at:], (field, text)
            at = text.index(field, at)
    with lab.step("2. two recipients; Cc: alone delivers to nobody"):
        send(pc, "kevin@m3102.com", ["foo", "bar@m3102.com"], "Subject: deux\nTo: foo\nCc: kevin\n\nBonjour\n")
        before = server.read("/var/mail/kevin")
        server.until("grep -c '^Subject: deux' /var/mail/foo /var/mail/bar", "/var/mail/foo:1\n/var/mail/bar:1")
        assert server.read("/var/mail/kevin") == before
    with lab.step("3. a forged sender is taken from an allowed network"):
        send(pc, "president@elysee.fr", ["kevin"], "From: President <president@elysee.fr>\nTo: tous\n\nBonjour\n")
        server.until("cat /var/mail/kevin", "Return-Path: <president@elysee.fr>")
    with lab.step("5. any letter case, with and without brackets, EHLO as well; refusals in the right words"):
        with session(pc, "telnet 192.168.0.10 25") as telnet:
            telnet.expect("220 ")
            telnet.say("EhLo PV", "250-PIPELINING\n", "250-SIZE 10240000\n", "250-VRFY\n", "250-ETRN\n", "250-STARTTLS\n",
                       "250-ENHANCEDSTATUSCODES\n", "250-8BITMIME\n", "250-DSN\n", "250-SMTPUTF8\n", "250-CHUNKING\n")
            telnet.say("rcpt to: kevin", "503 5.5.1 Error: need MAIL command\n")
            telnet.say("MAIL FROM:<kevin@m3102.com>", "250 2.1.0 Ok\n")
            telnet.say("RCPT to:<personne@m3102.com>", "550 5.1.1 <personne@m3102.com>: Recipient address rejected: "
                       "User unknown in local recipient table\n")
            telnet.say("vrfy kevin", "252 2.0.0 kevin\n")
            telnet.say("foo", "500 5.5.2 Error: command not recognized\n")
            telnet.say("QUIT", "221 2.0.0 Bye\n")


ATTACHMENT = """Subject: piece jointe
MIME-Version: 1.0
Content-type: multipart/mixed; boundary=-----0000000000

-------0000000000
Content-type: text/plain

Voici le fichier.
-------0000000000
Content-type: text/plain; name="fichier.txt"
Content-Disposition: attachment; filename="fichier.txt"

Contenu du fichier
-------0000000000
Content-type: image/jpeg; name="photo.jpg"
Content-Transfer-Encoding: base64

{image}
-------0000000000--
"""


def attachments(lab, server, pc):
    with lab.step("4. attachments typed by hand: text and a JPEG in base64, seen by IMAP as three parts"):
        image = base64.encodebytes(b"\xff\xd8\xff\xe0" + bytes(range(256)) + b"\xff\xd9").decode().strip()
        send(pc, "foo@m3102.com", ["tech"], ATTACHMENT.format(image=image))
        server.until("cat /var/mail/tech", "-------0000000000--")
        with session(server, "telnet localhost 143") as telnet:
            telnet.expect("* OK")
            telnet.say("1234 LOGIN tech tech", "1234 OK")
            telnet.say("2 select INBOX", "2 OK")
            text = telnet.say("3 fetch 1 bodystructure", "3 OK Fetch completed")
            for part in ('"text" "plain"', '"name" "fichier.txt"', '"image" "jpeg"', '"base64"', '"mixed"'):
                assert part in text, text
            assert "Contenu du fichier" in telnet.say("4 fetch 1 body[2]", "4 OK")
            telnet.say("5 logout", "5 OK")


def readers(lab, server, pc):
    with lab.step("7. IMAP as the lab types it: namespace, uid fetch 1 refused, BODY[HEADER], close"):
        with session(server, "telnet localhost 143") as telnet:
            telnet.expect("* OK")
            telnet.say("1234 LOGIN kevin kevin", "1234 OK")
            telnet.say("1 namespace", "* NAMESPACE ((", "1 OK")
            telnet.say("2 select INBOX", "EXISTS", "2 OK [READ-WRITE]")
            telnet.say("3 uid fetch 1", "3 BAD ")
            assert "Return-Path: <kevin@m3102.com>" in telnet.say("4 uid fetch 1 BODY[HEADER]", "4 OK")
            telnet.say("5 CLOSE", "5 OK Close completed")
            telnet.say("6 LOGOUT", "* BYE Logging out", "6 OK")
    with lab.step("8. mail (mailutils) reads the same mailbox"):
        with session(server, "runuser -l foo -c mail") as mail:
            mail.expect("1 message", "deux", "?")
            assert "Bonjour" in mail.say("t 1", "Subject: deux", "Bonjour", "?")
            mail.type("q")
            mail.ended()
    with lab.step("   a wrong password is refused in the right words, and said in the log"):
        with session(server, "telnet localhost 110") as telnet:
            telnet.expect("+OK Facteur ready.")
            telnet.say("user kevin", "+OK")
            telnet.say("pass faux", "-ERR [AUTH] Authentication failed.")
            telnet.say("quit", "+OK")
        log(server, "auth failed")
