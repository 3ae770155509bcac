"""Lab E: a machine that only sends, through a provider: sSMTP's files and command, then a satellite with a queue. The
provider is Debian's Postfix, which wants TLS and a password."""
from mutt import Mutt
from stage import Lab, Screen, cable, log, session, user

HOSTS = "10.0.5.1\tsmtp.provider.example provider\n10.0.5.2\tpc.home.example pc\n127.0.0.1\tlocalhost\n"

SSMTP = """# Config file for sSMTP sendmail
root=account@provider.example
mailhub=smtp.provider.example:587
AuthUser=account
AuthPass=sésame ouvre-toi
UseTLS=YES
UseSTARTTLS=YES
rewriteDomain=provider.example
hostname=pc.home.example
FromLineOverride=YES
"""

MESSAGE = """To: someone@provider.example
From: account@provider.example
Subject: Essai de sSMTP

Bonjour, ça marche.
"""


def run(folder, packages, **kind):
    with Lab("lab E", folder, packages, **kind) as lab:
        provider = lab.client("provider", "postfix", "sasl2-bin", "libsasl2-modules", "ssl-cert", "mailutils", "rsyslog")
        with lab.step("the provider: Postfix with TLS and a password on port 587"):
            provide(provider)
        pc = lab.server("pc", "mutt", "nano")
        user(pc, "kevin")
        cable(provider, "10.0.5.1/24", pc, "10.0.5.2/24")
        for box in (provider, pc):
            box.write("/etc/hosts", HOSTS)
        install(lab, pc)
        ssmtp(lab, pc, provider)
        satellite(lab, pc, provider)


def provide(provider):
    user(provider, "account", "someone", "titi")
    provider.sh("echo -n 'sésame ouvre-toi' | saslpasswd2 -c -p -u provider.example account")
    provider.sh("chown postfix /etc/sasldb2")
    provider.write("/etc/postfix/sasl/smtpd.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n")
    for words in ("myhostname=smtp.provider.example", "mydomain=provider.example", "myorigin=provider.example",
                  "mydestination=provider.example, smtp.provider.example, localhost", "inet_protocols=ipv4",
                  "smtpd_sasl_auth_enable=yes", "smtpd_sasl_local_domain=provider.example", "mynetworks=127.0.0.1/32",
                  "smtpd_tls_security_level=may", "smtpd_tls_auth_only=yes"):
        provider.sh(f"postconf -e '{words}'")
    provider.sh("postconf -M submission/inet='submission inet n - n - - smtpd' && postconf -P "
                "submission/inet/smtpd_tls_security_level=encrypt submission/inet/smtpd_recipient_restrictions="
                "permit_sasl_authenticated,reject && systemctl restart postfix")
    with session(provider, "sh -c 'until nc -z localhost 587; do sleep 0.1; done; nc localhost 587'") as nc:
        nc.expect("220 smtp.provider.example ESMTP Postfix")
        nc.say("quit", "221 ")


def install(lab, pc):
    with lab.step("the machine that only sends: Local only, with facteur-compat for ssmtp"):
        pc.sh("printf 'facteur-mta facteur/main_mailer_type select Local only\\nfacteur-mta facteur/mailname string "
              "pc.home.example\\n' | debconf-set-selections")
        pc.sh("DEBIAN_FRONTEND=noninteractive " + lab.install(pc, "facteur-common", "facteur-mda", "facteur-mta",
                                                              "facteur-compat", "mailutils", "mutt", "nano"))
        assert pc.sh("command -v ssmtp").strip() == "/usr/sbin/ssmtp"


def arrives(provider, who, *wanted):
    """The mailbox of a provider's user, with what must be in it."""
    for text in wanted:
        provider.until(f"cat /var/mail/{who}", text)
    return provider.read(f"/var/mail/{who}")


def ssmtp(lab, pc, provider):
    pc.write("/etc/ssmtp/ssmtp.conf", SSMTP, 0o640)
    pc.sh("chgrp mail /etc/ssmtp/ssmtp.conf; adduser --quiet kevin mail")
    pc.write("/etc/ssmtp/revaliases", "# local:outgoing:mailhub\nroot:account@provider.example:smtp.provider.example:587\n"
             "kevin:titi@provider.example:smtp.provider.example:587\n")
    pc.write("/root/msg.txt", MESSAGE)
    with lab.step("1. and 2. ssmtp.conf and revaliases; /usr/sbin/ssmtp someone@… < msg.txt"):
        pc.sh("cd; /usr/sbin/ssmtp someone@provider.example < msg.txt")
        text = arrives(provider, "someone", "Bonjour, ça marche.")
        for part in ("Return-Path: <account@provider.example>", "From: account@provider.example", "Subject: Essai de sSMTP",
                     "by smtp.provider.example (Postfix) with ESMTPSA"):
            assert part in text, (part, text)
        log(pc, "ssmtp[")
        assert "Sent mail for account@provider.example (250 2.0.0 Ok: queued as " in pc.read("/var/log/mail.log")
        assert "sasl_username=account@provider.example" in provider.sh("grep sasl_username /var/log/mail.log")
    with lab.step("   without FromLineOverride the sender is the one of revaliases"):
        pc.sh("sed -i 's/^FromLineOverride=.*/FromLineOverride=NO/' /etc/ssmtp/ssmtp.conf")
        pc.sh("printf 'Subject: Alias\\nFrom: president@elysee.fr\\n\\nx\\n' | /usr/sbin/ssmtp someone@provider.example",
              user="kevin")
        text = arrives(provider, "someone", "Subject: Alias")
        assert "Return-Path: <titi@provider.example>" in text and "elysee" not in text, text
    with lab.step("   mail to root goes to root="):
        pc.sh("printf 'Subject: Pour root\\n\\nx\\n' | /usr/sbin/ssmtp root")
        arrives(provider, "account", "Subject: Pour root")
    with lab.step("3. a wrong password: the server's own words"):
        pc.sh("sed -i 's/^AuthPass=.*/AuthPass=faux/' /etc/ssmtp/ssmtp.conf")
        said = pc.sh("cd; ! /usr/sbin/ssmtp someone@provider.example < msg.txt")
        assert "ssmtp: Authorization failed (535 5.7.8 Error: authentication failed" in said, said
    with lab.step("   a provider that is not there, and one without such a user: one line each"):
        pc.sh("sed -i 's/^AuthPass=.*/AuthPass=sésame ouvre-toi/' /etc/ssmtp/ssmtp.conf")
        said = pc.sh("cd; ! /usr/sbin/ssmtp personne@provider.example < msg.txt")
        assert "550 5.1.1 <personne@provider.example>" in said, said
        pc.sh("sed -i 's/^mailhub=.*/mailhub=smtp.provider.example:588/' /etc/ssmtp/ssmtp.conf; : >/etc/ssmtp/revaliases")
        said = pc.sh("cd; ! /usr/sbin/ssmtp someone@provider.example < msg.txt")
        assert "Cannot open smtp.provider.example:588" in said, said


QUESTIONS = (("System mail name:", "pc.home.example"), ("SMTP relay host", "[smtp.provider.example]:587"),
             ("Recipient of mail for root", ""), ("Domains whose mail ends here", ""), ("Local networks:", ""),
             ("Largest mailbox file", ""), ("Character between", ""), ("Internet protocols to use:", ""),
             ("Where mail is kept:", ""), ("Allow passwords without encryption", ""))
# As courses and web pages have it for Postfix.
SATELLITE = """
smtp_sasl_auth_enable = yes
smtp_sasl_security_options = noanonymous
smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd
smtp_tls_security_level = encrypt
smtp_generic_maps = hash:/etc/postfix/generic
mydestination =
local_transport = error:5.1.1 no mail is kept here
"""


def satellite(lab, pc, provider):
    with lab.step("dpkg-reconfigure to Satellite system, relay with port, and Postfix's settings for a login"):
        with Screen(pc.words("script -qec 'dpkg-reconfigure facteur-mta; echo status $?' /dev/null")) as screen:
            screen.expect("General mail configuration type:")
            screen.type("S")
            screen.keys("Enter")
            for question, answer in QUESTIONS:
                screen.expect(question)
                if answer:
                    screen.keys("C-u")
                    screen.type(answer)
                screen.keys("Enter")
            screen.expect("status 0")
        pc.sh("cat >>/etc/postfix/main.cf", text=SATELLITE)
        pc.write("/etc/postfix/sasl_passwd", "[smtp.provider.example]:587 account:sésame ouvre-toi\n", 0o600)
        pc.write("/etc/postfix/generic", "@pc.home.example account@provider.example\n")
        pc.sh("postmap /etc/postfix/sasl_passwd && postmap /etc/postfix/generic && postfix check && postfix reload")
    with lab.step("mail: the user's message goes through the provider, under the provider's address"):
        pc.sh("echo 'Été' | mail -s 'Par mail' someone@provider.example", user="kevin")
        text = arrives(provider, "someone", "Subject: Par mail", "Été")
        assert "Return-Path: <account@provider.example>" in text and "kevin@pc.home.example" not in text.split("Par mail")[1]
        log(pc, "relay=smtp.provider.example[10.0.5.1]:587, ")
        assert "dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as " in pc.read("/var/log/mail.log")
    with lab.step("mutt: written on the screen, sent, arrived"):
        with Mutt(pc, "kevin") as mutt:
            mutt.expect("q:Quit")
            mutt.compose("someone@provider.example", "Par mutt", "Une phrase accentuée.")
            mutt.expect("Mail sent.")
            mutt.quit()
        arrives(provider, "someone", "Subject: Par mutt", "Une phrase accentu")
    with lab.step("a wrong password: the mail waits, mailq and the log have the provider's words; mended, it goes"):
        pc.sh("sed -i 's/:sésame.*/:faux/' /etc/postfix/sasl_passwd; postmap /etc/postfix/sasl_passwd; postfix reload")
        pc.sh("echo x | mail -s 'Patience' someone@provider.example", user="kevin")
        log(pc, "said: 535 5.7.8 Error: authentication failed")
        assert "535 5.7.8 Error: authentication failed" in pc.until("mailq", "535 5.7.8")
        pc.sh("sed -i 's/:faux/:sésame ouvre-toi/' /etc/postfix/sasl_passwd; postmap /etc/postfix/sasl_passwd; postqueue -f")
        arrives(provider, "someone", "Subject: Patience")
        pc.until("mailq", "Mail queue is empty")
    with lab.step("the provider is away: the mail waits and goes when it is back"):
        provider.sh("systemctl stop postfix postfix@-")  # the second is who has the port
        pc.sh("echo x | mail -s 'Plus tard' someone@provider.example", user="kevin")
        log(pc, "Connection refused")
        provider.sh("systemctl start postfix")
        provider.until("nc -z localhost 587 && echo open", "open")
        pc.sh("postqueue -f")
        arrives(provider, "someone", "Subject: Plus tard")
    with lab.step("nothing listens for the network, nothing is kept here"):
        listening = {line.split()[3] for line in pc.sh("ss -Hltn 'sport = :25 or sport = :587'").splitlines()}
        assert all(place.startswith(("127.", "[::1]")) for place in listening), listening
        assert pc.sh("ls /var/mail").strip() == "", pc.sh("ls /var/mail")
