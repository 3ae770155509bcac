"""Lab A: install SMTP, then POP3, then IMAP, and read Kevin's mail."""
import re

from stage import Lab, Screen, cable, log, session, user


def run(folder, packages, **kind):
    with Lab("lab A", folder, packages, **kind) as lab:
        server = lab.server("vm")
        user(server, "kevin")
        pc = lab.client("pc")
        cable(server, "192.168.0.23/24", pc, "192.168.0.42/24")
        smtp(lab, server)
        maildir(lab, server)
        pop3(lab, server, pc)
        imap(lab, server, pc)


def smtp(lab, server):
    with lab.step("1. apt install asks two questions, with Internet Site chosen"):
        command = lab.install(server, "facteur-common", "facteur-mda", "facteur-mta")
        with Screen(server.words(f"script -qec '{command}; echo status $?' /dev/null")) as screen:
            screen.expect("General mail configuration type:")
            screen.keys("Enter")
            screen.expect("System mail name:")
            screen.keys("C-u")
            screen.type("m3102.com")
            screen.keys("Enter")
            screen.expect("status 0", patience=120)
        assert server.read("/etc/mailname") == "m3102.com\n"
    with lab.step("   the service runs and answers on port 25"):
        assert server.sh("systemctl is-active facteur-mta").strip() == "active"
        with session(server, "telnet localhost 25") as telnet:
            telnet.expect("220 vm ESMTP Facteur")
            telnet.say("quit", "221 2.0.0 Bye")
    with lab.step("   facteur check says nothing; who is not root is told so"):
        assert server.sh("facteur check") == ""
        assert server.sh("facteur doctor", user="kevin", check=False).endswith(" that this user may see: root sees more.\n")
        assert re.fullmatch(r"facteur: only root may tell master \(process \d+\) to reload\n", server.sh("! facteur reload", user="kevin"))
    with lab.step("2. echo … | mail -s Test kevin"):
        server.sh(lab.install(server, "mailutils"))
        server.sh('echo "Bonjour Kevin, ça va ?" | mail -s "Test 1" kevin')
    with lab.step("3. the log tells it from pickup to the mailbox"):
        text = log(server, "removed")
        order = ["facteur/pickup[", "uid=0 from=<root", "message-id=<", "facteur/qmgr[", "nrcpt=1 (queue active)",
                 "facteur/local[", "to=<kevin@m3102.com>, orig_to=<kevin>, relay=local, delay=", "dsn=2.0.0",
                 "status=sent (delivered to mailbox)", "removed"]
        at = 0
        for part in order:
            at = text.index(part, at)
        assert server.sh("stat -c '%a %U %G' /var/log/mail.log").strip() == "640 root adm"
    with lab.step("4. /var/mail/kevin and /var/spool/mail/kevin hold it"):
        text = server.read("/var/mail/kevin")
        assert text.startswith("From root@") and "Subject: Test 1" in text and "ça va" in text, text
        assert server.sh("cat /var/spool/mail/kevin") == text
        assert server.sh("stat -c '%a %U %G' /var/mail/kevin").strip() == "600 kevin mail"


def maildir(lab, server):
    with lab.step("5. one line, reload: mail goes to Maildir/new"):
        server.sh("sed -i 's|^#home_mailbox:.*|home_mailbox: Maildir/|' /etc/facteur/facteur.yaml")
        server.sh("systemctl reload facteur-mta")
        server.sh('echo "Deuxième" | mail -s "Test 2" kevin')
        log(server, "status=sent (delivered to maildir)")
        assert server.sh("ls ~kevin/Maildir/new | wc -l").strip() == "1"
        assert server.sh("stat -c '%a %U' ~kevin/Maildir").strip() == "700 kevin"
    with lab.step("   a mistake in that line is named and changes nothing"):
        server.sh("sed -i 's|^home_mailbox:.*|home_mailbx: Maildir/|' /etc/facteur/facteur.yaml")
        said = server.sh("facteur reload", check=False)
        assert "facteur.yaml" in said and "home_mailbox" in said, said
        server.sh("! systemctl reload facteur-mta")
        server.sh("sed -i 's|^home_mailbx:.*|home_mailbox: Maildir/|' /etc/facteur/facteur.yaml; facteur check")
        assert server.sh("systemctl is-active facteur-mta").strip() == "active"


def pop3(lab, server, pc):
    with lab.step("6. install POP3"):
        server.sh(lab.install(server, "facteur-popd"))
        assert server.sh("systemctl is-active facteur-popd").strip() == "active"
    with lab.step("7. from another machine: a password in clear is refused"):
        with session(pc, "telnet 192.168.0.23 110") as telnet:
            telnet.expect("+OK Facteur ready.")
            telnet.say("user kevin", "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.")
            telnet.say("quit", "+OK")
    with lab.step("   one setting allows it for the network: stat, list, retr from another machine"):
        server.sh("facteur config set login_trusted_networks 192.168.0.0/24 && systemctl reload facteur-popd")
        with session(pc, "telnet 192.168.0.23 110") as telnet:
            telnet.expect("+OK Facteur ready.")
            telnet.say("user kevin", "+OK")
            telnet.say("pass kevin", "+OK Logged in.")
            telnet.say("stat", "+OK 1 ")
            telnet.say("list", "+OK 1 messages:", "\n.\n")
            assert "Subject: Test 2" in telnet.say("retr 1", "+OK ", "\n.\n")
            telnet.say("quit", "+OK Logging out.")
        log(server, "facteur/pop3-login")
        assert "rip=192.168.0.42, lip=192.168.0.23" in server.read("/var/log/mail.log")
    with lab.step("8. a new mail is the second by POP3"):
        server.sh('echo "Troisième" | mail -s "Autre sujet" kevin')
        server.until("ls ~kevin/Maildir/new ~kevin/Maildir/cur | grep -c '^[0-9]'", "2")
        with session(pc, "telnet 192.168.0.23 110") as telnet:
            telnet.expect("+OK")
            telnet.say("user kevin", "+OK")
            telnet.say("pass kevin", "+OK Logged in.")
            telnet.say("stat", "+OK 2 ")
            text = telnet.say("retr 2", "+OK ", "\n.\n")
            assert "Subject: Autre sujet" in text and "Troisi" in text, text
            telnet.say("quit", "+OK Logging out.")


def imap(lab, server, pc):
    with lab.step("9. install IMAP; LOGIN, SELECT, FETCH BODY[TEXT]; new mail shows up; LOGOUT"):
        server.sh(lab.install(server, "facteur-imapd"))
        with session(pc, "telnet 192.168.0.23 143") as telnet:
            telnet.expect("* OK [CAPABILITY IMAP4rev1", "Facteur ready.")
            telnet.say("a LOGIN kevin kevin", "a OK [CAPABILITY", "Logged in")
            telnet.say("a SELECT inbox", "* 2 EXISTS", "a OK [READ-WRITE] Select completed")
            telnet.say("a FETCH 1 BODY[TEXT]", "BODY[TEXT] {", "a OK Fetch completed")
            server.sh('echo "En direct" | mail -s "Pendant IMAP" kevin')
            server.until("ls ~kevin/Maildir/new ~kevin/Maildir/cur | grep -c '^[0-9]'", "3")
            telnet.say("a NOOP", "* 3 EXISTS", "a OK NOOP completed")
            assert "En direct" in telnet.say("a FETCH 3 BODY[TEXT]", "a OK Fetch completed")
            telnet.say("a IDLE", "+ idling")
            server.sh('echo "IDLE" | mail -s "Pendant IDLE" kevin')
            telnet.expect("* 4 EXISTS")
            telnet.say("DONE", "a OK Idle completed")
            telnet.say("a LOGOUT", "* BYE Logging out", "a OK Logout completed")
        log(server, "imap(kevin)<")
