#!/usr/bin/env python3
"""A machine that only sends: no listening port, no local delivery, everything through a provider with TLS and a login."""
import os

from facteur import NOBODY, Failure, System, run


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def holds(text, *parts):
    for part in parts:
        if part not in text:
            raise Failure(f"{part!r} is not in\n{text}")


def put(system, name, text):
    """A file beside the configuration that only we read, replaced as editors do."""
    path, new = system.etc / name, system.etc / f"{name}.new"
    new.write_text(text)
    new.chmod(0o600)
    if system.as_user:
        os.chown(new, NOBODY, NOBODY)
    new.rename(path)
    return path


def client(provider, password="kevin", **parameters):
    """Set up as a satellite: it sends as kevin of the provider, whoever its users are."""
    system = System(services=[], myhostname="pc.lan", myorigin="pc.lan", mydestination="", local_transport="error:5.1.1 no mail is kept here",
                    smtpd_services="", smtp_sasl_auth_enable="yes", smtp_tls_security_level="encrypt", **parameters)
    hop = f"[127.0.0.1]:{587 + provider.offset}"
    passwords = put(system, "sasl_passwd", f"{hop} kevin:{password}\n")
    generic = put(system, "generic", "root@pc.lan kevin+root@m3102.com\n@pc.lan kevin@m3102.com\n")
    system.configure(relayhost=hop, smtp_sasl_password_maps=f"hash:{passwords}", smtp_generic_maps=f"hash:{generic}")
    return system


def provided():
    return System(services=["master"])


def sends():
    """A user's mail arrives at the provider, under the provider's address, with login and TLS; nothing listens here."""
    with provided() as provider, client(provider) as system:
        system.start("master", wait=False)
        system.wait_log(r"daemon started")
        system.sendmail("-f", "root", "toto@m3102.com", text="From: root\nTo: toto@m3102.com\nSubject: from a satellite\n\nx\n")
        mail, = provider.wait_mails("toto", 1)
        holds(mail, "Return-Path: <kevin+root@m3102.com>\n", "with ESMTPSA id", "\nFrom: kevin+root@m3102.com\n", "\nSubject: from a satellite\n")
        provider.wait_log(r"sasl_method=\S+, sasl_username=kevin")
        system.wait_log(rf"smtp\[\d+\]: \w+: to=<toto@m3102\.com>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:{587 + provider.offset}, .*dsn=2\.\d\.\d, status=sent \(250 2\.0\.0 Ok: queued as")
        listening = {line.split()[1].split(":")[1] for table in ("tcp", "tcp6") for line in open(f"/proc/net/{table}") if line.split()[3] == "0A"}
        same([port for port in (25, 465, 587) if f"{port + system.offset:04X}" in listening], [])


def refused():
    """A wrong password waits with the provider's words; mended, the mail goes."""
    with provided() as provider, client(provider, password="wrong", auth_failure_delay="0s") as system:
        system.start("master", wait=False)
        system.wait_log(r"daemon started")
        system.sendmail("-f", "kevin", "toto@m3102.com", text="Subject: patience\n\nx\n")
        system.wait_log(r"smtp\[\d+\]: \w+: to=<toto@m3102\.com>, .*status=deferred \(SASL authentication failed; server 127\.0\.0\.1\[127\.0\.0\.1\] said: 535 5\.7\.8 ")
        put(system, "sasl_passwd", f"[127.0.0.1]:{587 + provider.offset} kevin:kevin\n")
        system.sendmail("-q", text="")
        holds(provider.wait_mails("toto", 1)[0], "Subject: patience")


def away():
    """The provider is away: the queue keeps the mail, over a new start too."""
    with provided() as provider, client(provider) as system:
        provider.stop("master")
        system.start("master", wait=False)
        system.wait_log(r"daemon started")
        system.sendmail("-f", "kevin", "toto@m3102.com", text="Subject: later\n\nx\n")
        system.wait_log(r"to=<toto@m3102\.com>, relay=none, .*status=deferred \(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:\d+: Connection refused\)")
        system.stop("master")
        same(system.queued(), 1)
        provider.start("master")
        system.mark_log()
        system.start("master", wait=False)
        system.wait_log(r"daemon started")
        system.wait("the queue manager", lambda: system.sendmail("-q", text="", check=False).returncode == 0)
        holds(provider.wait_mails("toto", 1)[0], "Subject: later")


if __name__ == "__main__":
    run(sends, refused, away)
