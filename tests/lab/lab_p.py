"""The labs as they are typed for Postfix and Dovecot: with facteur-compat their commands, files and services are Facteur's.
Labs A, C and D once more, in their words."""
from stage import Lab, Screen, cable, log, session, user

OURS = ["facteur-common", "facteur-mda", "facteur-mta", "facteur-compat"]
PEOPLE = ("kevin", "eleve", "toto", "titi")


def run(folder, packages, **kind):
    with Lab("the names of Postfix and Dovecot", folder, packages, **kind) as lab:
        server = lab.server("srvdmz", "pflogsumm")
        pc = lab.client("pc")
        user(server, *PEOPLE)
        cable(server, "192.168.4.5/24", pc, "192.168.4.6/24")
        server.write("/etc/hosts", "127.0.0.1\tlocalhost\n192.168.4.5\tsrvdmz.virtualux.fr srvdmz\n")
        install(lab, server)
        maildir(lab, server)
        readers(lab, server, pc)
        queue(lab, server)
        questions(lab, server)
        domain(lab, server, pc)


def install(lab, server):
    with lab.step("apt install with facteur-compat: Internet Site, virtualux.fr"):
        command = lab.install(server, *OURS, "mailutils", "procmail", "pflogsumm")
        with Screen(server.words(f"script -qec '{command}; echo status $?' /dev/null")) as screen:
            screen.expect("General mail configuration type:")
            screen.keys("Enter")
            screen.expect("System mail name:")
            screen.keys("C-u")
            screen.type("virtualux.fr")
            screen.keys("Enter")
            screen.expect("status 0", patience=120)
        for words in ("systemctl status postfix --no-pager", "service postfix status"):
            assert "active (running)" in server.sh(words), words
        assert "is running: PID: " in server.sh("postfix status")
        assert server.sh("postfix check") == ""
    with lab.step("echo … | mail -s Test kevin; the log has Postfix's lines"):
        server.sh("echo 'Bonjour' | mail -s Test kevin")
        text = log(server, ": removed")
        at = 0
        for part in ("postfix/pickup[", ": uid=0 from=<root", "postfix/cleanup[", ": message-id=<", "postfix/qmgr[",
                     "nrcpt=1 (queue active)", "postfix/local[", "to=<kevin@virtualux.fr>, orig_to=<kevin>, relay=local, delay=",
                     ", delays=", ", dsn=2.0.0, status=sent (delivered to mailbox)", "postfix/qmgr[", ": removed"):
            if part != "postfix/cleanup[":  # pickup does this here
                assert part in text[at:], (part, text)
                at = text.index(part, at)


def append(server, file, *lines):
    server.sh(f"cat >>{file}", text="".join(f"{line}\n" for line in lines))


def maildir(lab, server):
    with lab.step("home_mailbox = Maildir/ in /etc/postfix/main.cf, service postfix reload: delivered to maildir"):
        append(server, "/etc/postfix/main.cf", "home_mailbox = Maildir/")
        server.sh("service postfix reload")
        server.sh("echo 'Encore' | mail -s 'Test 2' kevin")
        log(server, "status=sent (delivered to maildir)")
        assert server.sh("ls ~kevin/Maildir/new | wc -l").strip() == "1"
        assert server.sh("postconf home_mailbox") == "home_mailbox = Maildir/\n"
        assert "home_mailbox = Maildir/" in server.sh("postconf -n")
    with lab.step("postconf -e, postfix reload; a mistake in main.cf is named with its line and changes nothing"):
        server.sh("postconf -e 'message_size_limit = 20480000'; postfix reload")
        with session(server, "telnet localhost 25") as telnet:
            telnet.expect("220 srvdmz")
            telnet.say("EHLO pc", "250-SIZE 20480000\n")
            telnet.say("QUIT", "221 2.0.0 Bye")
        assert "message_size_limit = 20480000" in server.read("/etc/postfix/main.cf")
        server.sh("echo 'mailbox_size_limit = beaucoup' >>/etc/postfix/main.cf")
        said = server.sh("! postfix check")
        assert "/etc/postfix/main.cf:" in said and "mailbox_size_limit" in said, said
        server.sh("! service postfix reload; sed -i '$d' /etc/postfix/main.cf; postfix check; systemctl is-active postfix")


def readers(lab, server, pc):
    with lab.step("apt install POP3 and IMAP; from another machine a password in clear is refused"):
        server.sh(lab.install(server, "facteur-popd", "facteur-imapd"))
        assert "active (running)" in server.sh("systemctl status facteur-popd --no-pager")
        with session(pc, "telnet 192.168.4.5 110") as telnet:
            telnet.expect("+OK Facteur ready.")
            telnet.say("user kevin", "-ERR [AUTH] Plaintext authentication disallowed on non-secure (SSL/TLS) connections.")
            telnet.say("quit", "+OK")
    with lab.step("login_trusted_networks in /etc/dovecot/dovecot.conf, service dovecot restart"):
        append(server, "/etc/dovecot/dovecot.conf", "login_trusted_networks = 192.168.4.0/24")
        server.sh("service dovecot restart")
        pop3(pc, "kevin", "+OK 1 messages:", "Encore")
    with lab.step("the trap: mail_location of Debian's Dovecot in 10-mail.conf; said at reload, and in the log"):
        append(server, "/etc/dovecot/conf.d/10-mail.conf", "mail_location = mbox:~/mail:INBOX=/var/mail/%u")
        said = server.sh("doveadm reload")
        assert "mail is delivered to " in said and "POP3 and IMAP read /var/mail/" in said, said
        assert "mail_location = mbox:~/mail:INBOX=/var/mail/%u" in server.sh("doveconf -n")
        pop3(pc, "kevin", "+OK 1 messages:", "Bonjour")
        server.sh("sed -i 's|^mail_location.*|mail_location = maildir:~/Maildir|' /etc/dovecot/conf.d/10-mail.conf")
        assert server.sh("service dovecot restart; doveconf mail_location") == "mail_location = maildir:~/Maildir\n"
        pop3(pc, "kevin", "+OK 1 messages:", "Encore")
    with lab.step("disable_plaintext_auth = no in 10-auth.conf, systemctl restart dovecot; doveadm"):
        server.sh("sed -i '/^login_trusted/d' /etc/dovecot/dovecot.conf")
        append(server, "/etc/dovecot/conf.d/10-auth.conf", "disable_plaintext_auth = no")
        server.sh("systemctl restart dovecot")
        with session(pc, "telnet 192.168.4.5 143") as imap:
            imap.expect("* OK")
            imap.say("a LOGIN kevin kevin", "a OK")
            assert "kevin" in server.sh("doveadm who")
            imap.say("a SELECT inbox", "* 1 EXISTS", "a OK")
            imap.say("a LOGOUT", "a OK")
        assert "messages=1" in server.sh("doveadm mailbox status -u kevin messages INBOX")
        assert "auth succeeded" in server.sh("doveadm auth test kevin kevin")
        assert "auth failed" in server.sh("doveadm auth test kevin faux", check=False)
        server.sh("systemctl stop dovecot; ! nc -z localhost 110; ! nc -z localhost 143; service dovecot start; service dovecot status")
        server.until("nc -z localhost 110 && echo open", "open")


def pop3(pc, name, listed, wanted):
    with session(pc, "telnet 192.168.4.5 110") as telnet:
        telnet.expect("+OK Facteur ready.")
        telnet.say(f"user {name}", "+OK\n")
        telnet.say(f"pass {name}", "+OK Logged in.\n")
        telnet.say("list", listed, "\n.\n")
        assert wanted in telnet.say("retr 1", "+OK ", "\n.\n")
        telnet.say("quit", "+OK Logging out.")


def queue(lab, server):
    with lab.step("mail for a domain that is not there: postqueue -p, postcat, postqueue -f, postsuper -d"):
        server.sh("echo x | mail -s 'Vers le large' luke@starwars.univ")
        text = log(server, "status=deferred")
        queue_id = text.split("to=<luke@starwars.univ>")[0].rstrip(": ").split()[-1].strip(":")
        said = server.until("postqueue -p", queue_id)
        assert "luke@starwars.univ" in said and "-- 0 Kbytes in 1 Request." in said, said
        assert server.sh("mailq") == said
        assert "Subject: Vers le large" in server.sh(f"postcat -q {queue_id}")
        server.sh("postqueue -f")
        said = server.sh(f"postsuper -d {queue_id}")
        assert server.sh("postqueue -p") == "Mail queue is empty\n"
        assert "1 message" in said, said


def questions(lab, server):
    with lab.step("dpkg-reconfigure postfix: Facteur's questions; the answer is in main.cf, as what was there; other packages' are their own"):
        server.sh("postconf -e 'mydestination = $myhostname, virtualux.fr, localhost'")
        with Screen(server.words("script -qec 'dpkg-reconfigure postfix; echo status $?' /dev/null")) as screen:
            for question in QUESTIONS:
                screen.expect(question)
                if question.startswith("Domains"):
                    screen.type(", autre.fr")
                screen.keys("Enter")
                if question != QUESTIONS[-1]:
                    screen.gone(question)
            screen.expect("status 0", patience=60)
        assert "autre.fr" in server.sh("postconf -h mydestination"), server.sh("postconf -n")
        assert "autre.fr" in server.read("/etc/postfix/main.cf")
        server.sh("dpkg-reconfigure -f noninteractive debconf && dpkg --verify debconf")


QUESTIONS = ("General mail configuration type:", "System mail name:", "Recipient of mail for root", "Domains whose mail ends here",
             "Local networks:", "Largest mailbox file", "Character between", "Internet protocols to use:",
             "Where mail is kept:", "Allow passwords without encryption")
LOCAL = ("myorigin = /etc/mailname", "myhostname = srvdmz.virtualux.fr", 'mailbox_command = procmail -a "$EXTENSION"',
         "mydestination = srvdmz.virtualux.fr,localhost.virtualux.fr,localhost", "inet_interfaces = loopback-only")
DOMAIN = ("mydomain = virtualux.fr", "myhostname = srvdmz.$mydomain",
          "mydestination = $myhostname,localhost.virtualux.fr,localhost,$mydomain", "relayhost = $mydomain",
          "relay_domains = $mydestination", "mynetworks = 192.168.4.0/24 127.0.0.0/8",
          "inet_interfaces = $myhostname, localhost")


def listening(server):
    return {line.split()[3] for line in server.sh("ss -Hltn 'sport = :25'").splitlines()}


def settle(server, *lines):
    """What somebody does in an editor: each name once, with its new value."""
    for line in lines:
        server.sh(f"sed -i '/^{line.split()[0]} *=/d' /etc/postfix/main.cf")
    append(server, "/etc/postfix/main.cf", *lines)


def domain(lab, server, pc):
    with lab.step("D2. settings in main.cf, /etc/init.d/postfix restart; it listens on the loopback only"):
        server.sh("sed -i '/^home_mailbox/d' /etc/postfix/main.cf; sed -i '/^mail_location/d' /etc/dovecot/conf.d/10-mail.conf;"
                  "echo srvdmz.virtualux.fr >/etc/mailname")
        settle(server, *LOCAL)
        assert server.sh("postfix check") == ""
        server.sh("/etc/init.d/postfix restart")
        assert listening(server) == {"127.0.0.1:25", "[::1]:25"}, listening(server)
        with session(server, "telnet localhost 25") as telnet:
            telnet.expect("220 srvdmz.virtualux.fr ESMTP ")
            telnet.say("quit", "221 2.0.0 Bye")
    with lab.step("D4. /etc/aliases: root: eleve; newaliases; procmail delivers"):
        server.sh("sed -i '/^root:/d' /etc/aliases; echo 'root: eleve' >>/etc/aliases; newaliases")
        server.sh("echo 'Au secours' | mail -s 'Pour root' root", user="toto")
        log(server, "to=<eleve@srvdmz.virtualux.fr>, orig_to=<root>, relay=local")
        server.until("cat /var/mail/eleve", "Au secours")
        assert 'status=sent (delivered to command: procmail -a "$EXTENSION")' in server.read("/var/log/mail.log")
    with lab.step("D6. a domain: references in any order, service postfix restart"):
        settle(server, *DOMAIN)
        assert server.sh("postfix check") == ""
        server.sh("service postfix restart")
        assert {"192.168.4.5:25", "127.0.0.1:25"} <= listening(server), listening(server)
        assert server.sh("postconf -h myhostname") == "srvdmz.$mydomain\n"
        with session(pc, "telnet 192.168.4.5 25") as telnet:
            telnet.expect("220 srvdmz.virtualux.fr ESMTP ")
            telnet.say("HELO pc", "250 srvdmz.virtualux.fr\n")
            telnet.say("mail from: eleve@virtualux.fr", "250 2.1.0 Ok\n")
            telnet.say("rcpt to: titi@virtualux.fr", "250 2.1.5 Ok\n")
            telnet.say("data", "354 End data with <CR><LF>.<CR><LF>\n")
            telnet.type("Subject: Depuis le PC\n\nBonjour titi")
            telnet.say(".", "250 2.0.0 Ok: queued as ")
            telnet.say("quit", "221 2.0.0 Bye")
        server.until("cat /var/mail/titi", "Bonjour titi")
    with lab.step("D7. mail_location, mail_access_groups; POP3 from the client"):
        append(server, "/etc/dovecot/conf.d/10-mail.conf", "mail_location = mbox:~/mail:INBOX=/var/mail/%u",
               "mail_access_groups = mail")
        server.sh("systemctl reset-failed facteur-popd facteur-imapd")  # nobody types so fast: systemd counts starts
        server.sh("/etc/init.d/dovecot restart")
        pop3(pc, "titi", "+OK 1 messages:", "Bonjour titi")
    with lab.step("D9. pflogsumm /var/log/mail.log | less"):
        said = server.sh("pflogsumm /var/log/mail.log | less")
        numbers = {line.split()[1]: int(line.split()[0]) for line in said.split("Per-Hour")[0].splitlines()[4:20] if line[:1] == " "}
        assert (numbers["received"], numbers["delivered"], numbers["deferred"]) == (5, 4, 1), said
