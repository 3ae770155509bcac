"""Lab C: a domain, a DNS server on another machine, the setup dialogs, two users."""
from stage import Lab, Screen, cable, log, session, user

ZONE = """no-resolv
no-hosts
local=/mail1.com/
host-record=smtp1.mail1.com,192.168.0.1
host-record=pop1.mail1.com,192.168.0.1
host-record=mail1.com,192.168.0.1
mx-host=mail1.com,smtp1.mail1.com,10
ptr-record=1.0.168.192.in-addr.arpa,smtp1.mail1.com
"""


def run(folder, packages, **kind):
    with Lab("lab C", folder, packages, **kind) as lab:
        server = lab.server("smtp1")
        dns = lab.client("dns", "dnsmasq-base", "tcpdump")
        user(server, "foo", "bar")
        cable(server, "192.168.0.1/24", dns, "192.168.0.254/24")
        server.address("10.9.8.1/24", "eth0")
        dns.address("10.9.8.2/24", "eth0")
        with lab.step("1. the DNS server is another machine; names and MX resolve"):
            dns.write("/etc/lab-zone", ZONE)
            dns.sh("dnsmasq -C /etc/lab-zone --user=root")
            server.write("/etc/resolv.conf", "search mail1.com\nnameserver 192.168.0.254\n")
            assert "192.168.0.1" in server.sh("host smtp1.mail1.com")
            assert "mail is handled by 10 smtp1.mail1.com" in server.sh("host -t MX mail1.com")
        install(lab, server)
        relay(lab, server, dns)
        readers(lab, server, dns)


def install(lab, server):
    with lab.step("2. apt install facteur-mta"):
        server.sh("DEBIAN_FRONTEND=noninteractive " + lab.install(server, "facteur-common", "facteur-mda", "facteur-mta",
                                                                  "mailutils"))
    with lab.step("   dpkg-reconfigure: Internet Site, mail1.com, destinations, networks, ipv4"):
        with Screen(server.words("script -qec 'dpkg-reconfigure facteur-mta; echo status $?' /dev/null")) as screen:
            screen.expect("General mail configuration type:")
            screen.keys("Enter")
            answer(screen, "System mail name:", "mail1.com")
            answer(screen, "Recipient of mail for root and postmaster:", "foo")
            answer(screen, "Domains whose mail ends here", "mail1.com localhost.localdomain, localhost")
            answer(screen, "Local networks:", "127.0.0.0/8 192.168.0.0/33")
            screen.expect("is no list of networks")
            screen.keys("Enter")
            answer(screen, "Local networks:", "127.0.0.0/8 192.168.0.0/24")
            for question in ("Largest mailbox file", "Character between a user name"):
                screen.expect(question)
                screen.keys("Enter")
            screen.expect("Internet protocols to use:")
            screen.keys("Down", "Down", "Enter")
            screen.expect("Where mail is kept:")
            screen.keys("Enter")
            screen.expect("Allow passwords without encryption")
            screen.keys("Enter")
            screen.expect("status 0")
        assert server.read("/etc/mailname") == "mail1.com\n"
        config = server.read("/etc/facteur/facteur.yaml")
        for line in ("mydestination: mail1.com localhost.localdomain, localhost", "inet_protocols: ipv4",
                     "mynetworks: 127.0.0.0/8 192.168.0.0/24"):
            assert f"\n{line}\n" in config, (line, [one for one in config.splitlines() if one and one[0] != "#"])
        assert "root: foo" in server.read("/etc/aliases")
        assert server.sh("systemctl is-active facteur-mta").strip() == "active"
        assert server.sh("facteur check") == ""
    with lab.step("   asked again it shows the present values; hand edits stay"):
        server.sh("printf '# mine\\nmessage_size_limit: 20480000 # big\\n' >>/etc/facteur/facteur.yaml")
        before = server.read("/etc/facteur/facteur.yaml")
        with Screen(server.words("script -qec 'dpkg-reconfigure facteur-mta; echo status $?' /dev/null")) as screen:
            for title, value in AGAIN:
                assert value in screen.expect(title), (title, value, screen.look())
                screen.keys("Enter")
                if title != AGAIN[-1][0]:
                    screen.gone(title)
            screen.expect("status 0")
        assert server.read("/etc/facteur/facteur.yaml") == before, server.read("/etc/facteur/facteur.yaml")


AGAIN = [("General mail configuration type:", "Internet Site"), ("System mail name:", "mail1.com"),
         ("Recipient of mail for root", "foo"), ("Domains whose mail ends here", "mail1.com, localhost.localdomain"),
         ("Local networks:", "192.168.0.0/24"), ("Largest mailbox file", "0"), ("Character between", "+"),
         ("Internet protocols to use:", "ipv4"), ("Where mail is kept:", "/var/mail"),
         ("Allow passwords without encryption", "192.168.0.0/24")]


def answer(screen, question, text):
    screen.expect(question)
    screen.keys("C-u")
    screen.type(text)
    screen.keys("Enter")


def relay(lab, server, dns):
    queue_id = "(none)"
    with lab.step("3. nc 192.168.0.1 smtp: keywords; a message with bare line feeds for a foreign domain is queued"):
        with session(dns, "nc 192.168.0.1 smtp") as nc:
            nc.expect("220 smtp1 ESMTP Facteur\n")
            nc.say("ehlo 192.168.0.1", "250-smtp1\n", "250-PIPELINING\n", "250-SIZE ", "250-VRFY\n", "250-ETRN\n",
                   "250-STARTTLS\n", "250-ENHANCEDSTATUSCODES\n", "250-8BITMIME\n", "250-DSN\n", "250-SMTPUTF8\n",
                   "250-CHUNKING\n")
            nc.say("mail from: darth@starwars.univ", "250 2.1.0 Ok\n")
            nc.say("rcpt to: luke@starwars.univ", "250 2.1.5 Ok\n")
            nc.say("data", "354 End data")
            for line in ("subject: pere", "", "Je suis ton pere"):
                nc.type(line)
            nc.say(".", "250 2.0.0 Ok: queued as ")
            queue_id = nc.expect("\n").strip()
            nc.say("quit", "221 2.0.0 Bye")
    with lab.step("   it is deferred with the reason from the DNS, in the log and in mailq"):
        log(server, f"{queue_id}: to=<luke@starwars.univ>, relay=none,")
        said = server.until("mailq", "luke@starwars.univ")
        assert queue_id in said and "darth@starwars.univ" in said, said
        for text in (said, server.read("/var/log/mail.log")):
            assert "Host or domain name not found. Name service error for name=starwars.univ" in text, text
    with lab.step("   from elsewhere it is refused"):
        with session(dns, "nc -s 10.9.8.2 10.9.8.1 smtp") as nc:
            nc.expect("220 ")
            nc.say("helo ailleurs", "250 smtp1\n")
            nc.say("mail from: darth@starwars.univ", "250 2.1.0 Ok\n")
            nc.say("rcpt to: luke@starwars.univ", "454 4.7.1 <luke@starwars.univ>: Relay access denied\n")
            nc.say("rcpt to: foo@mail1.com", "250 2.1.5 Ok\n")
            nc.say("quit", "221 2.0.0 Bye")
        log(server, "454 4.7.1 <luke@starwars.univ>: Relay access denied")
    with lab.step("4. mail to a local user lands in /var/mail; mail sends and reads"):
        server.sh("echo 'Été à la plage' | mail -s 'Accentué' foo@mail1.com", user="bar")
        text = server.until("cat /var/mail/foo", "Été à la plage")
        assert "(Facteur, from userid 1001)" in text, text
        with session(server, "runuser -l foo -c mail") as mail:
            mail.expect("1 message", "?")
            mail.say("t 1", "Été à la plage", "?")
            mail.type("x")
            mail.ended()


def readers(lab, server, dns):
    with lab.step("6. POP3 and IMAP; login_trusted_networks for the LAN"):
        server.sh(lab.install(server, "facteur-popd", "facteur-imapd"))
        server.sh("facteur config set login_trusted_networks 192.168.0.0/24 && systemctl reload facteur-popd facteur-imapd")
    with lab.step("7. nc 127.0.0.1 pop3: user, pass, list, retr, quit"):
        with session(server, "nc 127.0.0.1 pop3") as nc:
            nc.expect("+OK Facteur ready.\n")
            nc.say("user foo", "+OK\n")
            nc.say("pass foo", "+OK Logged in.\n")
            nc.say("list", "+OK 1 messages:\n", "\n.\n")
            text = nc.say("retr 1", "+OK ", " octets\n", "\n.\n")
            assert "from userid 1001)" in text and "Été à la plage" in text, text
            nc.say("quit", "+OK Logging out.\n")
    with lab.step("8. IMAP from the LAN, and its dialogue in clear in tcpdump"):
        dns.sh("tcpdump -i eth0 -U -w /root/capture port 143 >/dev/null 2>/root/tcpdump & "
               "until grep -q listening /root/tcpdump; do sleep 0.05; done")
        with session(dns, "nc 192.168.0.1 imap") as nc:
            nc.expect("* OK")
            nc.say("a login foo foo", "a OK")
            nc.say("b select inbox", "* 1 EXISTS", "b OK")
            nc.say("c logout", "* BYE", "c OK")
        dns.until("cat -v /root/capture", "b select inbox")
        assert "a login foo foo" in dns.sh("cat -v /root/capture")
