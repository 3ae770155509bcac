"""Lab D: mail on one machine only, with procmail and aliases; then the server of a domain."""
from stage import Lab, Screen, log, session, user

PEOPLE = ("eleve", "toto", "titi")


def run(folder, packages, **kind):
    with Lab("lab D", folder, packages, **kind) as lab:
        server = lab.server("srvdmz", "pflogsumm", "openssh-server", "openssh-client")
        user(server, *PEOPLE)
        server.address("192.168.4.5/24")
        server.sh("printf '192.168.4.5\\tsrvdmz.virtualux.fr srvdmz\\n127.0.0.1\\tlocalhost\\n' >/etc/hosts")
        local_only(lab, server)
        scenario(lab, server)
        domain(lab, server)


def local_only(lab, server):
    with lab.step("1. install: Local only, srvdmz.virtualux.fr"):
        command = lab.install(server, "facteur-common", "facteur-mda", "facteur-mta", "mailutils", "procmail", "pflogsumm")
        with Screen(server.words(f"script -qec '{command}; echo status $?' /dev/null")) as screen:
            screen.expect("General mail configuration type:")
            screen.type("L")
            screen.keys("Enter")
            screen.expect("System mail name:")
            screen.keys("C-u")
            screen.type("srvdmz.virtualux.fr")
            screen.keys("Enter")
            screen.expect("status 0", patience=120)
    with lab.step("   it listens on the loopback only"):
        assert listening(server) == {"127.0.0.1:25", "[::1]:25"}, listening(server)
    with lab.step("2. settings; check says nothing when they are right and a clear line when not"):
        for words in ("myorigin /etc/mailname", "myhostname srvdmz.virtualux.fr", "inet_interfaces loopback-only",
                      "mailbox_command 'procmail -a \"$EXTENSION\"'",
                      "mydestination srvdmz.virtualux.fr,localhost.virtualux.fr,localhost"):
            server.sh(f"facteur config set {words}")
        assert server.sh("facteur check") == ""
        server.sh("echo 'mailbox_size_limit: beaucoup' >>/etc/facteur/facteur.yaml")
        said = server.sh("! facteur check")
        assert "facteur.yaml:" in said and "mailbox_size_limit" in said and len(said.splitlines()) == 1, said
        server.sh("sed -i '$d' /etc/facteur/facteur.yaml; facteur reload; service facteur-mta restart")
        assert "active (running)" in server.sh("service facteur-mta status")
    with lab.step("3. telnet localhost 25"):
        with session(server, "telnet localhost 25") as telnet:
            telnet.expect("220 srvdmz.virtualux.fr ESMTP Facteur")
            telnet.say("quit", "221 2.0.0 Bye")
    with lab.step("4. root: eleve; newaliases"):
        server.sh("sed -i '/^root:/d' /etc/aliases; echo 'root: eleve' >>/etc/aliases; newaliases")


def listening(server):
    return {line.split()[3] for line in server.sh("ss -Hltn 'sport = :25'").splitlines()}


def count(server, name, number):
    """Waits for so many deliveries. (Not by a look into the mailbox: then its mail is no longer new.)"""
    server.until(f"grep -c ' to=<{name}@.*status=sent' /var/log/mail.log", f"{number}\n")


def scenario(lab, server):
    with lab.step("5. eleve writes to toto and titi, toto to titi, toto to root"):
        server.sh("echo 'Salut à vous' | mail -s 'Pour deux' toto titi", user="eleve")
        server.sh("echo 'Salut titi' | mail -s 'Pour titi' titi", user="toto")
        server.sh("echo 'Au secours' | mail -s 'Pour root' root", user="toto")
        for name, number in (("toto", 1), ("titi", 2), ("eleve", 1)):
            count(server, name, number)
        text = log(server, "orig_to=<root>")
        assert "to=<eleve@srvdmz.virtualux.fr>, orig_to=<root>, relay=local" in text, text
        assert "status=sent (delivered to command: procmail -a \"$EXTENSION\")" in text, text
    with lab.step("   who logs in is told: You have new mail"):
        # By ssh, as `login` hangs up the terminal it runs on and stays alone with it.
        server.sh("apt-get install -y -o Dpkg::Use-Pty=0 openssh-server openssh-client")
        with session(server, "ssh -o StrictHostKeyChecking=no titi@127.0.0.1") as login:
            login.expect("password:")
            login.say("titi", "You have new mail", "$")
            login.type("exit")
            login.ended()
    with lab.step("   mail: t 1, d 1, ?, q"):
        with session(server, "runuser -l titi -c mail") as mail:
            mail.expect("2 messages", "Pour deux", "Pour titi", "? ")
            mail.say("t 1", "Subject: Pour deux", "Salut", "? ")
            mail.say("d 1", "? ")
            mail.say("?", "d[elete] [msglist]", "--More--")
            mail.say("q", "? ")
            mail.type("q")
            mail.ended()
        assert "Pour deux" not in server.read("/var/mail/titi")


DOMAIN = """
myhostname: srvdmz.$mydomain
mydestination: $myhostname,localhost.virtualux.fr,localhost,$mydomain
relayhost: $mydomain
relay_domains: $mydestination
mydomain: virtualux.fr
mynetworks: 192.168.4.0/24 127.0.0.0/8
inet_interfaces: $myhostname, localhost
"""


def domain(lab, server):
    with lab.step("6. the server of a domain; references work whatever their order"):
        server.sh("sed -i -E '/^(mydestination|myhostname|inet_interfaces):/d' /etc/facteur/facteur.yaml")
        server.sh("cat >>/etc/facteur/facteur.yaml", text=DOMAIN)
        assert server.sh("facteur check") == ""
        assert server.sh("facteur config get myhostname") == "srvdmz.virtualux.fr\n"
        server.sh("/etc/init.d/facteur-mta restart")
        assert {"192.168.4.5:25", "127.0.0.1:25"} <= listening(server), listening(server)
        server.sh("echo 'Au domaine' | mail -s domaine toto@virtualux.fr", user="titi")
        count(server, "toto", 2)
    with lab.step("7. POP3 with the settings of the lab; the dialogue as in C"):
        server.sh(lab.install(server, "facteur-popd", "facteur-imapd"))
        for words in ("disable_plaintext_auth no", "mail_location 'mbox:~/mail:INBOX=/var/mail/%u'",
                      "mail_access_groups mail"):
            server.sh(f"facteur config set {words}")
        server.sh("service facteur-popd restart; service facteur-imapd restart")
        with session(server, "telnet 192.168.4.5 110") as telnet:
            telnet.expect("+OK Facteur ready.")
            telnet.say("user toto", "+OK")
            telnet.say("pass toto", "+OK Logged in.")
            telnet.say("list", "+OK 2 messages:", "\n.\n")
            telnet.say("retr 2", "Au domaine", "\n.\n")
            telnet.say("quit", "+OK Logging out.")
    with lab.step("9. pflogsumm counts what was done"):
        said = server.sh("pflogsumm --syslog-name=facteur /var/log/mail.log")
        received, delivered = (line for line in said.splitlines() if line.endswith(("  received", "  delivered")))
        assert received.split()[0] == "4" and delivered.split()[0] == "5", said
