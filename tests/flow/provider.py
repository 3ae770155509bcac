#!/usr/bin/env python3
"""Lab E with the relay test server of these tests as the provider: STARTTLS, a password, its own words on the terminal, in the log, in
mailq and in the notice."""
import re, subprocess

from facteur import Failure, System, programs, run
from nexthop import NextHop
from nullclient import holds, put, same

ACCOUNT = {"account": "sésame"}
SSMTP = """# Config file for sSMTP sendmail
root=account@provider.example
mailhub=127.0.0.1:{port}
AuthUser=account
AuthPass={password}
UseTLS=YES
UseSTARTTLS=YES
rewriteDomain=provider.example
hostname=pc.home.example
FromLineOverride=YES
"""
MESSAGE = "To: someone@elsewhere.example\nFrom: account@provider.example\nSubject: Essai\n\nBonjour, ça marche.\n"
UNTRUSTED = "ssmtp: warning: the certificate of 127.0.0.1 cannot be trusted: "


def provider(**script):
    return NextHop(tls="starttls", users=ACCOUNT, name="smtp.provider.example", **script)


def ssmtp(system, hop, *words, password="sésame", text=MESSAGE):
    """/usr/sbin/ssmtp as lab E sets it up: its status, and what it prints beside the warning about the test's certificate."""
    command = system.dir / "ssmtp"
    if not command.exists():
        command.symlink_to(programs() / "facteur-compat")
    conf = put(system, "ssmtp.conf", SSMTP.format(port=hop.port, password=password))
    done = subprocess.run([command, "-C", str(conf), *words], input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                          env={"FACTEUR_CONFIG": str(system.etc), "PATH": "/usr/bin:/bin"}, **system.as_user)
    said = done.stdout.decode().splitlines()
    return done.returncode, [line for line in said if not line.startswith(UNTRUSTED)]


def in_the_foreground():
    """ssmtp someone@… < msg.txt; a wrong password gives the server's own words, to the letter."""
    with System(services=[]) as system, provider() as hop:
        same(ssmtp(system, hop, "someone@elsewhere.example"), (0, []))
        mail, = hop.wait(1)
        same((mail.sender.split(">")[0], mail.to(), mail.tls, mail.user), ("<account@provider.example", ["someone@elsewhere.example"], True, "account"))
        holds(mail.content.decode(), "Subject: Essai\r\n", "From: account@provider.example\r\n", "\r\n\r\nBonjour, ça marche.\r\n")
        same(ssmtp(system, hop, "someone@elsewhere.example", password="faux"), (1, ["ssmtp: Authorization failed (535 5.7.8 Error: authentication failed)"]))
        hop.script["auth"] = lambda user: "535 5.7.9 Please log in with your web browser" if user else None
        same(ssmtp(system, hop, "someone@elsewhere.example"), (1, ["ssmtp: Authorization failed (535 5.7.9 Please log in with your web browser)"]))
        same(len(hop.wait(1)), 1)


def satellite(system, hop, password):
    """A null client with a queue, as its debconf answers make it."""
    where = f"[127.0.0.1]:{hop.port}"
    passwords = put(system, "sasl_passwd", f"{where} account:{password}\n")
    generic = put(system, "generic", "@pc.home.example account@provider.example\n")
    system.configure(myhostname="pc.home.example", myorigin="pc.home.example", mydestination="", smtpd_services="", relayhost=where,
                     local_transport="error:5.1.1 no mail is kept here", smtp_sasl_auth_enable="yes", smtp_tls_security_level="encrypt",
                     smtp_sasl_password_maps=f"hash:{passwords}", smtp_generic_maps=f"hash:{generic}", minimal_backoff_time="1s",
                     maximal_backoff_time="1s", queue_run_delay="1s")


def with_a_queue():
    """The satellite: a wrong password defers with the words in the log and in mailq; the right one sends what waits, rewritten."""
    system = System(services=[])
    with provider() as hop:
        satellite(system, hop, "faux")
        with system:
            system.start("master", wait=False)
            system.wait_log("daemon started")
            system.sendmail("-f", "kevin", "someone@elsewhere.example", text="Subject: attend\n\nx\n")
            words = r"SASL authentication failed; server 127\.0\.0\.1\[127\.0\.0\.1\] said: 535 5\.7\.8 Error: authentication failed"
            system.wait_log(rf"to=<someone@elsewhere\.example>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{hop.port}, .*, dsn=4\.7\.8, status=deferred \({words}\)")
            listed = subprocess.run([system.programs / "mailq", "-C", str(system.etc)], capture_output=True, text=True, **system.as_user).stdout
            if not re.search(words, re.sub(r"\s+", " ", listed)):
                raise Failure(listed)
            same(hop.wait(0), [])
            put(system, "sasl_passwd", f"[127.0.0.1]:{hop.port} account:{ACCOUNT['account']}\n")
            mail, = hop.wait(1)
            same((mail.sender.split(">")[0], mail.tls, mail.user), ("<account@provider.example", True, "account"))
            system.wait("an empty queue", lambda: system.queued() == 0)


run(in_the_foreground, with_a_queue)
