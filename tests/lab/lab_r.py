"""Mail in every direction with Debian's Postfix and Exim, each on a machine of its own, found by MX in a DNS of their own:
TLS, notices of success, unknown users, messages and mailboxes that are too big, a relay that wants a password."""
import re

from stage import Lab, cable, log, user

ZONE = """no-resolv
no-hosts
local=/example/
mx-host=facteur.example,mx.facteur.example,10
mx-host=postfix.example,mx.postfix.example,10
mx-host=exim.example,away.exim.example,10
mx-host=exim.example,mx.exim.example,20
host-record=mx.facteur.example,198.51.100.1
host-record=mx.postfix.example,198.51.100.2
host-record=mx.exim.example,203.0.113.2
host-record=away.exim.example,203.0.113.9
"""
FACTEUR = {"myhostname": "mx.facteur.example", "mydestination": "facteur.example, mx.facteur.example, localhost",
           "inet_protocols": "ipv4", "inet_interfaces": "all", "smtp_connect_timeout": "3s", "mailbox_size_limit": "0"}
POSTFIX = ("myhostname=mx.postfix.example", "mydomain=postfix.example", "myorigin=postfix.example",
           "mydestination=postfix.example, mx.postfix.example, localhost", "inet_protocols=ipv4", "inet_interfaces=all",
           "mynetworks=127.0.0.1/32", "smtpd_tls_security_level=may", "smtp_tls_security_level=may",
           "smtp_tls_loglevel=1", "smtpd_tls_auth_only=yes", "smtpd_sasl_auth_enable=yes",
           "smtpd_sasl_local_domain=postfix.example", "message_size_limit=200000", "mailbox_size_limit=300000")
EXIM = """dc_eximconfig_configtype='internet'
dc_other_hostnames='exim.example'
dc_local_interfaces='0.0.0.0'
dc_readhost=''
dc_relay_domains=''
dc_relay_nets='127.0.0.1'
dc_minimaldns='false'
dc_use_split_config='false'
dc_hide_mailname='true'
dc_mailname_in_oh='true'
dc_localdelivery='mail_spool'
"""
EXIM_MACROS = """MAIN_TLS_ENABLE = yes
MAIN_HARDCODE_PRIMARY_HOSTNAME = mx.exim.example
MESSAGE_SIZE_LIMIT = 200000
"""
# Without a macro of Debian's.
EXIM_OPTIONS = "disable_ipv6 = true\ndsn_advertise_hosts = *\n"
CERTIFICATE = ("openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=mx.exim.example "
               "-keyout /etc/exim4/exim.key -out /etc/exim4/exim.crt && chown root:Debian-exim /etc/exim4/exim.* && "
               "chmod 640 /etc/exim4/exim.*")


def run(folder, packages, **kind):
    with Lab("Facteur, Postfix and Exim", folder, packages, **kind) as lab:
        ours = lab.server("facteur", "dnsmasq-base")
        postfix = lab.client("postfix", "postfix", "sasl2-bin", "libsasl2-modules", "ssl-cert", "rsyslog")
        exim = lab.client("exim", "exim4-daemon-light", "openssl", "rsyslog")
        cable(ours, "198.51.100.1/24", postfix, "198.51.100.2/24")
        cable(ours, "203.0.113.1/24", exim, "203.0.113.2/24", device="eth1")
        with lab.step("three mail systems and a DNS"):
            network(ours, postfix, exim)
            set_up(lab, ours)
            set_up_postfix(postfix)
            set_up_exim(exim)
        for peer in (postfix, exim):
            exchange(lab, ours, peer)
            refusals(lab, ours, peer)
        full_mailboxes(lab, ours, postfix)
        provider(lab, ours, postfix)


def network(ours, postfix, exim):
    ours.write("/etc/lab-zone", ZONE)
    ours.sh("apt-get install -y -o Dpkg::Use-Pty=0 dnsmasq-base && dnsmasq -C /etc/lab-zone --user=root")
    for box, server in ((ours, "127.0.0.1"), (postfix, "198.51.100.1"), (exim, "203.0.113.1")):
        box.write("/etc/resolv.conf", f"nameserver {server}\n")
    for box, gate in ((postfix, "198.51.100.1"), (exim, "203.0.113.1")):
        box.sh(f"ip route add default via {gate}")
        assert "198.51.100.1" in box.sh("host mx.facteur.example")
    user(ours, "kevin", "foo")
    user(postfix, "anna", "otto")
    user(exim, "anna", "otto")


def set_up(lab, ours):
    ours.sh(lab.install(ours, "facteur-common", "facteur-mda", "facteur-mta"))
    for name, value in FACTEUR.items():
        ours.sh(f"facteur config set {name} '{value}'")
    ours.write("/etc/mailname", "facteur.example\n")
    ours.sh("systemctl restart facteur-mta")
    ours.until("ss -Hltn 'sport = :25'", "0.0.0.0:25")


def set_up_postfix(postfix):
    for words in POSTFIX:
        postfix.sh(f"postconf -e '{words}'")
    postfix.sh("echo -n secret | saslpasswd2 -c -p -u postfix.example account && chown postfix /etc/sasldb2")
    postfix.write("/etc/postfix/sasl/smtpd.conf", "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN\n")
    postfix.sh("postconf -M submission/inet='submission inet n - n - - smtpd' && postconf -P "
               "submission/inet/smtpd_tls_security_level=encrypt submission/inet/smtpd_recipient_restrictions="
               "permit_sasl_authenticated,reject && systemctl restart postfix")
    postfix.until("ss -Hltn", "0.0.0.0:587")


def set_up_exim(exim):
    exim.write("/etc/exim4/update-exim4.conf.conf", EXIM)
    exim.write("/etc/exim4/exim4.conf.localmacros", EXIM_MACROS)
    exim.write("/etc/mailname", "exim.example\n")
    template = exim.read("/etc/exim4/exim4.conf.template")
    exim.write("/etc/exim4/exim4.conf.template", EXIM_OPTIONS + template)
    exim.sh(f"{CERTIFICATE} && update-exim4.conf && systemctl restart exim4; ln -s exim4/mainlog /var/log/mail.log")
    exim.until("ss -Hltn", ":25")


def letter(subject, text="Salut, ça va ?"):
    return f"Subject: {subject}\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{text}\n"


def arrives(box, who, *wanted):
    """The last letter of this user's mailbox in which all of that stands."""
    for text in wanted:
        box.until(f"cat /var/mail/{who}", text, patience=40)
    letters = re.split(r"^From ", box.read(f"/var/mail/{who}"), flags=re.M)
    found = [one for one in letters if all(text in one for text in wanted)]
    assert found, (wanted, letters[-1])
    return found[-1]


def show(notice):
    """Prints what the notice says to a human."""
    print("      " + re.split(r"\n\n", notice.split("Content-Description: Notification")[1], maxsplit=1)[1]
          .split("\n--")[0].strip().replace("\n", "\n      "))


def send(box, sender, to, text, *options):
    return box.sh(f"/usr/sbin/sendmail {' '.join(options)} -f {sender} {to}", text=text)


def exchange(lab, ours, peer):
    domain = f"{peer.name}.example"
    with lab.step(f"facteur to {peer.name}: by MX, covered by TLS, with a notice of success"):
        send(ours, "kevin@facteur.example", f"anna@{domain}", letter(f"To {peer.name}"), "-N success,failure")
        got = arrives(peer, "anna", f"Subject: To {peer.name}")
        assert "Salut, ça va ?" in got and re.search("with esmtps", got, re.I), got
        log(ours, f"to=<anna@{domain}>, relay=mx.{domain}[")
        assert "TLS connection established to mx." + domain in ours.read("/var/log/mail.log")
        notice = arrives(ours, "kevin", "Action: delivered", f"<anna@{domain}>")
        assert re.search(f"Final-Recipient: rfc822; ?anna@{domain}", notice), notice
    with lab.step(f"{peer.name} to facteur: the same way back"):
        options = ["-N success,failure"] if peer.name == "postfix" else []
        send(peer, f"anna@{domain}", "kevin@facteur.example", letter(f"From {peer.name}"), *options)
        got = arrives(ours, "kevin", f"Subject: From {peer.name}")
        assert "Salut, ça va ?" in got and "with ESMTPS id" in got and f"Return-Path: <anna@{domain}>" in got, got
        if options:
            assert "Action: delivered" in arrives(peer, "anna", "Successful Mail Delivery Report"), peer.read("/var/mail/anna")


def refusals(lab, ours, peer):
    domain = f"{peer.name}.example"
    with lab.step(f"an unknown user of {peer.name}: the notice names him and the server's words"):
        send(ours, "foo@facteur.example", f"nobody.here@{domain}", letter("Who?"))
        notice = arrives(ours, "foo", "Undelivered Mail Returned to Sender", f"nobody.here@{domain}")
        for part in (f"Remote-MTA: dns; mx.{domain}", "Action: failed", "Subject: Who?"):
            assert part in notice, (part, notice)
        assert re.search(r"said:\s+550\s", notice) and "Diagnostic-Code: smtp; 550" in notice, notice
        show(notice)
    with lab.step(f"an unknown user of ours: {peer.name} tells its user what we said"):
        send(peer, f"otto@{domain}", "nobody.here@facteur.example", letter("And who?"))
        notice = arrives(peer, "otto", "nobody.here@facteur.example", "Recipient address rejected")
        assert "550 5.1.1" in re.sub(r"\s+", " ", notice), notice
    with lab.step(f"a message that {peer.name} finds too big comes back at once, with its limit's words"):
        send(ours, "foo@facteur.example", f"anna@{domain}", letter("Big", "0123456789012345678901234567890123456789\n" * 7000))
        notice = arrives(ours, "foo", "Undelivered Mail Returned to Sender", "Subject: Big", f"anna@{domain}")
        assert "5.3.4" in notice, notice[:3000]


def full_mailboxes(lab, ours, postfix):
    with lab.step("a full mailbox at postfix: its notice reaches our user"):
        for number in range(2):
            send(ours, "foo@facteur.example", "otto@postfix.example", letter(f"Fill {number}", "filling it up, line by line\n" * 6000))
        notice = arrives(ours, "foo", "5.2.2", "otto@postfix.example")
        assert "Undelivered Mail Returned to Sender" in notice, notice[:3000]
    with lab.step("a full mailbox of ours: our notice reaches postfix's user"):
        ours.sh("facteur config set mailbox_size_limit 300000; facteur config set message_size_limit 250000; systemctl reload facteur-mta")
        for number in range(2):
            send(postfix, "anna@postfix.example", "foo@facteur.example", letter(f"Fill {number}", "filling it up, line by line\n" * 6000))
        notice = arrives(postfix, "anna", "Undelivered Mail Returned to Sender", "foo@facteur.example")
        assert "5.2.2" in notice, notice[:3000]
        show(notice)
        ours.sh("facteur config set mailbox_size_limit 0; systemctl reload facteur-mta")


def provider(lab, ours, postfix):
    hop = "[mx.postfix.example]:587"
    with lab.step("postfix as the provider, with a wrong password: deferred with its words; the user is told"):
        ours.write("/etc/facteur/sasl_passwd", f"{hop} account:wrong\n", 0o600)
        for name, value in {"relayhost": hop, "smtp_sasl_auth_enable": "yes", "smtp_tls_security_level": "encrypt",
                            "smtp_sasl_password_maps": "hash:/etc/facteur/sasl_passwd", "delay_warning_time": "1s",
                            "minimal_backoff_time": "2s", "maximal_backoff_time": "2s", "queue_run_delay": "1s"}.items():
            ours.sh(f"facteur config set {name} '{value}'")
        ours.sh("chgrp facteur /etc/facteur/sasl_passwd; chmod 640 /etc/facteur/sasl_passwd; systemctl restart facteur-mta")
        send(ours, "kevin@facteur.example", "anna@postfix.example", letter("By the provider"))
        log(ours, "status=deferred (SASL authentication failed; server mx.postfix.example[198.51.100.2] said: 535 5.7.8 Error: authentication failed")
        notice = arrives(ours, "kevin", "Delayed Mail", "535 5.7.8 Error: authentication failed")
        show(notice)
    with lab.step("   mended, it goes by login and TLS"):
        ours.write("/etc/facteur/sasl_passwd", f"{hop} account:secret\n", 0o640)
        ours.sh("chgrp facteur /etc/facteur/sasl_passwd; facteur flush || sendmail -q")
        got = arrives(postfix, "anna", "Subject: By the provider")
        assert "with ESMTPSA" in got, got
        assert "sasl_username=account@postfix.example" in postfix.read("/var/log/mail.log")
