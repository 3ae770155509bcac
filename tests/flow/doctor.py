#!/usr/bin/env python3
"""`facteur doctor`: each fault is provoked, named in one sentence, and mended by the command that is told."""
import base64, os, pathlib, re, shutil, socket, struct, subprocess, tempfile, threading, time

from facteur import NOBODY, Failure, System, programs, run

HEALTHY = {"myhostname": "localhost", "myorigin": "m3102.com", "inet_interfaces": "127.0.0.1"}


def doctor(system, *checks, options=(), env=None):
    """The sentences and commands; the exit status says whether there are any."""
    words = [programs() / "facteur", "-c", system.etc, "doctor", *options, *checks]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=env)
    found = re.findall(r"^\d+\. (.*)\n   (.*)$", done.stdout, re.M)
    if done.stderr or done.returncode != (1 if found else 0) or (not found and done.stdout != "Nothing is wrong.\n"):
        raise Failure(f"exit status {done.returncode}: {done.stdout}{done.stderr}")
    return found


def named(system, sentence, command, *checks, **more):
    """The one fault that is found."""
    found = doctor(system, *checks, **more)
    if len(found) != 1 or not re.search(sentence, found[0][0]) or not re.search(command, found[0][1]):
        raise Failure(f"expected one fault like {sentence!r} and {command!r}, got {found}")
    return found[0]


def mend(command):
    """Does as told."""
    command = command.split("   #")[0].replace("facteur ", f"{programs()}/facteur ")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Failure(f"{command!r} ended with {done.returncode}: {done.stdout}{done.stderr}")


def well(system, *checks, **more):
    if found := doctor(system, *checks, **more):
        raise Failure(f"nothing should be wrong: {found}")


def own(system, path):
    if system.as_user:
        os.chown(path, NOBODY, NOBODY)


def a_healthy_system():
    with System(**HEALTHY) as system:
        system.send("kevin@m3102.com")
        system.wait_mails("kevin", 1)
        well(system)


def services():
    with System(**HEALTHY) as system:
        system.stop("popd")
        named(system, r"^popd does not run", rf"facteur -c {system.etc} start popd", "service", "port")
        with socket.socket() as taken:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", 110 + system.offset))
            taken.listen()
            named(system, rf"^Port {110 + system.offset} \(pop3\) is in use by python3 \(process {os.getpid()}\), so popd cannot start", rf"^kill {os.getpid()} &&", "port")
        system.start("popd")
        well(system, "service", "port")


def settings():
    system = System(**HEALTHY)
    with system:
        pass
    system._lay_out()
    try:
        broken(system)
    finally:
        shutil.rmtree(system.dir, ignore_errors=True)


def broken(system):
    yaml = system.etc / "facteur.yaml"
    good = yaml.read_text()
    yaml.write_text(good + "home_mailbx: x\n")
    line = len(good.splitlines()) + 1
    named(system, rf"^The configuration is wrong: .*facteur.yaml:{line}: unknown name home_mailbx, did you mean home_mailbox", rf"editor \+{line} .*facteur.yaml")
    yaml.write_text(good)
    system.configure(myhostname="nobody.invalid")
    named(system, r"^The name of this machine, nobody.invalid, has no address", r"echo '127.0.1.1 nobody.invalid nobody' >> /etc/hosts", "host-name")
    system.configure(myhostname="localhost", myorigin="elsewhere.example")
    fault = named(system, r"user@elsewhere.example, but mail to elsewhere.example is not delivered here", r"config set mydestination elsewhere.example, ", "origin")
    mend(fault[1].split(" && ")[0])
    well(system, "origin")
    system.configure(relayhost="m3102.com")
    fault = named(system, r"^Mail to other places is sent to m3102\.com \(relayhost\), which is delivered here", r"config unset relayhost", "next-hop")
    mend(fault[1].split(" && ")[0])
    well(system, "next-hop")
    del system.parameters["relayhost"], system.parameters["myorigin"]
    system.configure()
    if pathlib.Path("/etc/mailname").exists():
        well(system, "mail-name")
    else:
        named(system, r"^There is no mail name \(/etc/mailname\)", r"echo YOUR.DOMAIN > /etc/mailname", "mail-name")
    system.configure(**HEALTHY, mail_location="mbox:~/mail:INBOX=/var/mail/%u")
    fault = named(system, r"^Mail is delivered to /home/USER/Maildir/? but POP3 and IMAP read /var/mail/USER\.$", r"config unset mail_location", "places")
    mend(fault[1].split(" && ")[0])
    well(system, "places")


def mailboxes():
    with System(**HEALTHY) as system:
        system.send("kevin@m3102.com")
        system.wait_mails("kevin", 1)
        new = system.home / "kevin/Maildir/new"
        new.chmod(0o500)
        fault = named(system, r"kevin/Maildir/new may not be written, so mail for kevin", r"^chmod u\+rwX ", "mailbox")
        mend(fault[1])
        well(system, "mailbox")
        (system.home / "foo").rmdir()
        named(system, r"^The home of foo, .*, is missing", r"^install -d -o foo ", "mailbox")
        (system.home / "foo").mkdir()
        own(system, system.home / "foo")
        if system.as_user:
            os.chown(system.home / "kevin/Maildir", 0, 0)
            named(system, r"kevin/Maildir/? does not belong to kevin", r"^chown -R kevin ", "mailbox")


def spool():
    with System(**HEALTHY) as system:
        system.send("kevin@m3102.com")
        (system.queue / "deferred").chmod(0o500)
        fault = named(system, r"deferred may not be written by its owner", r"^chmod u\+rwx ", "spool")
        mend(fault[1])
        (system.queue / "hold").chmod(0o777)
        fault = named(system, r"hold may be written by everybody", r"^chmod o-rwx ", "spool")
        mend(fault[1])
        well(system, "spool")
        if system.as_user:
            os.chown(system.queue / "incoming", 0, 0)
            named(system, r"incoming belongs to root, but nobody must write there", r"^chown -R nobody ", "spool")


def full_disk():
    if os.geteuid() != 0:
        return "skipped: needs root"
    place = tempfile.mkdtemp(prefix="facteur-full-")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", place], check=True)
    try:
        os.chown(place, NOBODY, NOBODY)
        with System(queue=pathlib.Path(place) / "spool", services=["master"], **HEALTHY) as system:
            named(system, r"^The disk of the queue, .*, is full: \d MB are free, 14 MB are needed", r"^du -xh ", "disk")
    finally:
        subprocess.run(["umount", "-l", place], check=True)
        os.rmdir(place)


def logins():
    with System(**HEALTHY, disable_plaintext_auth="yes") as system:
        accounts = system.etc / "accounts"
        text = accounts.read_text()
        accounts.write_text(re.sub(r"^foo:[^:]*", "foo:!", re.sub(r"^bar:[^:]*", "bar:*", text, flags=re.M), flags=re.M))
        found = doctor(system, "password")
        if [sentence for sentence, _ in found] != [f"{user} has a locked password, so {user} cannot log in to read or send mail." for user in ("foo", "bar")]:
            raise Failure(str(found))
        accounts.write_text(text)
        # The same shapes as the readers write; from another machine this cannot come in one-directory mode.
        with system.log.open("a") as log:
            for service in ("pop3", "imap"):
                log.write(f"{time.strftime('%b %e %H:%M:%S')} vm facteur/{service}-login[7]: Disconnected: Aborted login by logging out (tried to use disallowed plaintext auth): "
                          f"user=<>, rip=192.168.7.{len(service)}, lip=192.168.7.1, session=<x>\n")
        found = doctor(system, "cleartext")
        if len(found) != 1 or "192.168.7.4 sent a password in clear by IMAP" not in found[0][0]:
            raise Failure(str(found))
        fix = re.search(r"allow it there: (.*?) && ", found[0][1])[1]
        mend(fix)
        well(system, "cleartext")


def aliases():
    with System(**HEALTHY) as system:
        (system.etc / "aliases").write_text("postmaster: root\nroot: eleve\neleve: foo, titi\ntiti: root@m3102.com\nkevin: kevin\n")
        named(system, r"^The alias root leads back to itself: root -> eleve -> titi -> root\.$", r"^editor \+2 .*/aliases && newaliases$", "alias")
        (system.etc / "aliases").write_text("postmaster: root\nroot eleve\n")
        named(system, r"^An alias cannot be understood: .*aliases:2: ", r"^editor \+2 ", "alias")


def queue_and_relay():
    with System(**HEALTHY, services=["master"], defer_transports="smtp", mynetworks="127.0.0.1/32") as system:
        system.send("luke@starwars.example")
        system.wait_log(r"status=deferred")
        named(system, r"^1 message waits in the queue: .+\.$", r"facteur -c .* trace [0-9A-Za-z]+", "queue")
        outside = system.connect(25, source="127.0.0.2")
        outside.expect(None, "220")
        outside.expect("EHLO pc", "250")
        outside.expect("MAIL FROM:<a@b.example>", "250")
        outside.expect("RCPT TO:<luke@starwars.example>", "454 4.7.1")
        fault = named(system, r"^127.0.0.2 may not send to luke@starwars.example through this machine", r"config set mynetworks '127.0.0.1/32, 127.0.0.2/32'", "relay")
        mend(re.search(r"trusted: (.*)", fault[1])[1])
        well(system, "relay")


def certificates():
    with System(**HEALTHY, services=["master"]) as system:
        pem, key = system.etc / "c.pem", system.etc / "k.pem"

        def make(name, expired=False):
            words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", pem, "-days", "30", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
            subprocess.run(words, check=True, capture_output=True)
            if expired:
                octets = base64.b64decode("".join(pem.read_text().split("-----")[2].split()))
                times = re.findall(rb"\x17\x0d(\d{12}Z)", octets)
                octets = octets.replace(times[1], times[0])
                pem.write_text("-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(octets).decode() + "-----END CERTIFICATE-----\n")

        well(system, "certificate")
        make("localhost", expired=True)
        system.configure(ssl_cert=pem, ssl_key=key)
        named(system, r"^The certificate .*c\.pem has expired on 20\d\d-\d\d-\d\d\.$", r"certbot renew", "certificate")
        make("mail.elsewhere.example")
        named(system, r"c\.pem is for mail\.elsewhere\.example, not for localhost", r"certbot renew", "certificate")
        make("localhost")
        well(system, "certificate")
        pem.write_text("nothing\n")
        named(system, r"^There is no certificate in .*c\.pem", r"certbot", "certificate")


def clock():
    with System(**HEALTHY, services=["master"]) as system:
        system.stop("master")
        later = time.time() + 3600
        os.utime(system.log, (later, later))
        named(system, r"^The clock is wrong: .*mail\.log was written (59|60) minutes in the future", r"timedatectl set-ntp true", "clock")


def other_sendmail():
    with System(**HEALTHY, services=["master"]) as system:
        folder = system.dir / "bin"
        folder.mkdir()
        (folder / "sendmail").write_text("#!/bin/sh\n")
        found = doctor(system, "sendmail", env={"PATH": f"{folder}:{programs()}:/usr/bin:/bin"})
        if len(found) != 1 or found[0][0] != f"The sendmail that programs find, {folder}/sendmail, is not Facteur's." or not found[0][1].startswith("dpkg -S "):
            raise Failure(str(found))
        well(system, "sendmail", env={"PATH": f"{programs()}:{folder}:/usr/bin:/bin"})


class Dns(threading.Thread):
    """Answers questions for MX: one record for `known`, none for `empty`, no such domain for others."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.start()

    def run(self):
        while True:
            asked, peer = self.socket.recvfrom(512)
            code, count = (0, 1) if b"\x05known" in asked else (0, 0) if b"\x05empty" in asked else (3, 0)
            answer = b"\xc0\x0c" + struct.pack(">HHIH", 15, 1, 60, 4) + b"\0\x0a\xc0\x0c" if count else b""
            self.socket.sendto(asked[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, count, 0, 0) + asked[12:] + answer, peer)


def dns():
    server = ["--dns", "127.0.0.1:%d" % Dns().socket.getsockname()[1]]
    with System(services=["master"], **HEALTHY) as system:
        for domain, words in (("known.fr", None), ("empty.fr", "has no MX record for"), ("other.fr", "does not know")):
            system.configure(mydestination=f"{domain}, localhost", myorigin=domain)
            if words:
                named(system, rf"^The DNS {words} {domain}, so other servers", rf"{domain}\. MX 10 localhost\.$", "dns", options=server)
            else:
                well(system, "dns", options=server)


run(a_healthy_system, services, settings, mailboxes, spool, full_disk, logins, aliases, queue_and_relay, certificates, clock, other_sendmail, dns)
