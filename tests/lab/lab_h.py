"""Health: on a real machine each fault that `facteur doctor` knows is provoked, the command it prints is run as it stands,
and the finding goes. What only a person can do (an editor, a decision, a DNS zone) is done between."""
import base64
import re

from stage import Lab, session, user

OURS = ["facteur-common", "facteur-mda", "facteur-mta", "facteur-popd", "facteur-imapd"]
# A message as Postfix keeps it: type, length, value.
LEFT = b"S\x03a@bR\x05kevinM\x00N\x0dSubject: leftN\x00N\x04textX\x00E\x00"


def run(folder, packages, **kind):
    with Lab("health", folder, packages, **kind) as lab:
        server = lab.server("vm", "dnsmasq")
        user(server, "kevin")
        with lab.step("a new system: nothing is wrong"):
            server.sh("echo 'facteur-mta facteur/mailname string m3102.com' | debconf-set-selections")
            server.sh(lab.install(server, *OURS))
            server.sh("apt-get install -y -o Dpkg::Use-Pty=0 dnsmasq")
            names(server, "mx-host=m3102.com,vm,10")
            said = server.sh("facteur doctor", check=False)
            assert said == "Nothing is wrong.\n", said
        of_programs(lab, server)
        of_names(lab, server)
        of_mail(lab, server)
        of_people(lab, server)
        with lab.step("in the end: nothing is wrong"):
            said = server.sh("facteur doctor", check=False)
            assert said == "Nothing is wrong.\n", said


def names(server, *records):
    server.write("/etc/dnsmasq.conf", "no-resolv\nno-hosts\nlocal=/com/\nlisten-address=127.0.0.1\n" + "".join(f"{record}\n" for record in records))
    server.write("/etc/resolv.conf", "nameserver 127.0.0.1\n")
    server.sh("systemctl restart dnsmasq")


def faults(server, check):
    return re.findall(r"^\d+\. (.*)\n   (.*)$", server.sh(f"facteur doctor {check}", check=False), re.M)


def cured(lab, server, check, title, provoke, sentence, by_hand=lambda command: command):
    """Provoke, find, do as told, look again."""
    with lab.step(f"{check}: {title}"):
        if provoke:
            server.sh(provoke)
        found = faults(server, check)
        assert len(found) == 1 and re.search(sentence, found[0][0]), found
        server.sh(by_hand(found[0][1]))
        assert server.sh(f"facteur doctor {check}", check=False) == "Nothing is wrong.\n", server.sh(f"facteur doctor {check}", check=False)


def delete_line(command):
    """What somebody does in the editor: the line goes."""
    return re.sub(r"editor \+(\d+) (\S+)", r"sed -i \1d \2", command)


def of_programs(lab, server):
    cured(lab, server, "port", "another program has port 25", "systemctl stop facteur-mta; (nc -l -k -p 25 >/dev/null 2>&1 </dev/null &) ; "
          "until ss -Hltn 'sport = :25' | grep -q .; do sleep 0.1; done", r"^Port 25 \(smtp\) is in use by nc \(process \d+\), so master cannot start\.$")
    cured(lab, server, "service", "popd was stopped", "systemctl stop facteur-popd", r"^popd does not run")
    cured(lab, server, "service", "the configuration has a mistake", "echo 'home_mailbx: x' >>/etc/facteur/facteur.yaml",
          r"^The configuration is wrong: .*unknown name home_mailbx, did you mean home_mailbox", delete_line)
    cured(lab, server, "sendmail", "another sendmail comes first", "printf '#!/bin/sh\\n' >/usr/local/sbin/sendmail; chmod 755 /usr/local/sbin/sendmail",
          r"^The sendmail that programs find, /usr/local/sbin/sendmail, is not Facteur's\.$",
          lambda command: command.replace("dpkg -S", "dpkg -S /usr/sbin/sendmail; rm"))
    cured(lab, server, "certificate", "it is for another name", "facteur config set myhostname mail.m3102.com",
          r"^The certificate /var/lib/facteur/self-signed\.pem is for vm.*, not for mail\.m3102\.com")
    server.sh("facteur config unset myhostname; rm /var/lib/facteur/self-signed.pem; facteur stop; facteur start")
    new = ("openssl req -x509 -newkey rsa:2048 -nodes -keyout /etc/facteur/k.pem -out /etc/facteur/c.pem -subj /CN=vm "
               "-addext subjectAltName=DNS:$(facteur config get myhostname) ")
    server.sh(f"{new} -days 30; facteur config set ssl_cert /etc/facteur/c.pem; facteur config set ssl_key /etc/facteur/k.pem")
    assert faults(server, "certificate") == []
    octets = base64.b64decode("".join(server.read("/etc/facteur/c.pem").split("-----")[2].split()))
    begin, end = re.findall(rb"\x17\x0d(\d{12}Z)", octets)
    server.write("/etc/facteur/c.pem", "-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(octets.replace(end, begin)).decode()
                 + "-----END CERTIFICATE-----\n")
    cured(lab, server, "certificate", "it has expired", "", r"^The certificate /etc/facteur/c\.pem has expired on 20\d\d-\d\d-\d\d\.$",
          lambda command: new + "-days 30 && " + command.rsplit("then: ", 1)[1])
    server.sh("facteur config unset ssl_cert; facteur config unset ssl_key; facteur reload")
    # A container cannot set the clock: the file from the future is what is taken back.
    cured(lab, server, "clock", "the configuration is from the future", "touch -d '+1 hour' /etc/facteur",
          r"^The clock is wrong: /etc/facteur was written (59|60) minutes in the future\.$",
          lambda command: "touch /etc/facteur" if command.startswith("timedatectl set-ntp true") else "false")


def of_names(lab, server):
    cured(lab, server, "host-name", "it has no address", "facteur config set myhostname pc.nowhere.com", r"^The name of this machine, pc\.nowhere\.com, has no address\.$")
    server.sh("facteur config unset myhostname; facteur reload")
    cured(lab, server, "mail-name", "there is none", "rm /etc/mailname", r"^There is no mail name \(/etc/mailname\)",
          lambda command: command.replace("YOUR.DOMAIN", "m3102.com"))
    cured(lab, server, "origin", "mail here cannot be answered", "facteur config set mydestination localhost",
          r"^Mail from users here is from user@m3102\.com, but mail to m3102\.com is not delivered here\.$")
    cured(lab, server, "next-hop", "the relay is this machine", "facteur config set relayhost m3102.com", r"which is delivered here: it would come back\.$")
    with lab.step("dns: no MX record"):
        names(server, "host-record=vm.m3102.com,192.0.2.7", "txt-record=m3102.com,x")
        found = faults(server, "dns")
        assert len(found) == 1 and found[0][0] == "The DNS has no MX record for m3102.com, so other servers cannot send mail here.", found
        host = re.fullmatch(r"add to the zone: m3102\.com\. MX 10 (\S+)\.", found[0][1]).group(1)
        names(server, f"mx-host=m3102.com,{host},10")
        assert faults(server, "dns") == []


def of_mail(lab, server):
    cured(lab, server, "disk", "the queue's is full", "systemctl stop facteur-mta; mount -t tmpfs -o size=4m tmpfs /var/spool/facteur",
          r"^The disk of the queue, /var/spool/facteur, is full: \d MB are free, \d+ MB are needed",
          lambda command: command + "\numount /var/spool/facteur; systemctl start facteur-mta")
    cured(lab, server, "spool", "everybody may write", "chmod 777 /var/spool/facteur/hold", r"hold may be written by everybody\.$")
    cured(lab, server, "spool", "a directory has another owner", "chown root /var/spool/facteur/deferred", r"deferred belongs to root, but facteur must write there")
    cured(lab, server, "mailbox", "it belongs to somebody else", "facteur config set home_mailbox Maildir/; facteur reload; echo x | sendmail kevin; "
          "until ls ~kevin/Maildir/new/* >/dev/null 2>&1; do sleep 0.1; done; chown -R root ~kevin/Maildir",
          r"^/home/kevin/Maildir/? does not belong to kevin, so mail for kevin cannot be delivered or read\.$")
    cured(lab, server, "mailbox", "it may not be written", "chmod 500 ~kevin/Maildir/new", r"^/home/kevin/Maildir/new may not be written")
    cured(lab, server, "mailbox", "the home is missing", "mv /home/kevin /home/away", r"^The home of kevin, /home/kevin, is missing")
    server.sh("rmdir /home/kevin && mv /home/away /home/kevin")
    cured(lab, server, "places", "mail is delivered to one place and read from another", "facteur config set mail_location mbox:~/mail:INBOX=/var/mail/%u",
          r"^Mail is delivered to /home/USER/Maildir/? but POP3 and IMAP read /var/mail/USER\.$",
          lambda command: command.replace("editor", "facteur config unset mail_location; true") if "editor" in command else command)
    cured(lab, server, "alias", "a circle", "printf 'eleve: foo\\nfoo: titi\\ntiti: eleve@m3102.com\\n' >>/etc/aliases", r"^The alias \S+ leads back to itself: ", delete_line)
    server.sh("printf 'postmaster: root\\n' >/etc/aliases")
    cured(lab, server, "queue", "it waits, and on what", "facteur config set defer_transports local; facteur reload; echo waits | sendmail kevin; "
          "until facteur doctor queue | grep -q 'in the queue'; do sleep 0.1; done", r"^1 message waits in the queue: ",
          lambda command: command.split("   #")[0] + " && facteur config unset defer_transports && facteur reload && " + command.rsplit(": ", 1)[1]
          + " && until mailq | grep -q empty; do sleep 0.1; done")
    server.path("/var/spool/postfix/deferred/A").mkdir(parents=True)
    server.path("/var/spool/postfix/deferred/A/ABC").write_bytes(LEFT)
    server.path("/var/spool/postfix/deferred/A/ABC").chmod(0o700)
    cured(lab, server, "postfix-queue", "Postfix left mail behind", "", r"^1 message waits in Postfix's queue, /var/spool/postfix, and Postfix does not run\.$")
    server.sh("until grep -lr 'Subject: left' ~kevin/Maildir/new; do sleep 0.1; done; rm -r /var/spool/postfix")


def of_people(lab, server):
    server.sh("ip addr add 192.168.0.23/24 dev lo; ip addr add 192.168.0.24/24 dev lo")
    with lab.step("cleartext: refused from another machine; allowed there as told; the login succeeds"):
        with session(server, "nc -s 192.168.0.23 192.168.0.24 143") as imap:
            imap.expect("* OK")
            imap.say("a login kevin kevin", "a NO")
            imap.say("b logout", "b OK")
        server.until("facteur doctor cleartext", "sent a password in clear by IMAP")
        command = faults(server, "cleartext")[0][1]
        server.sh(re.search(r"allow it there: (.*)", command).group(1))
        assert faults(server, "cleartext") == []
        with session(server, "nc -s 192.168.0.23 192.168.0.24 143") as imap:
            imap.expect("* OK")
            imap.say("a login kevin kevin", "a OK")
        server.sh("facteur config unset login_trusted_networks; facteur reload")
    new_password = "{ echo kevin; echo kevin; } | "
    cured(lab, server, "password", "the account is locked", "passwd -l kevin", r"^kevin has a locked password, so kevin cannot log in",
          lambda command: new_password + command)
    cured(lab, server, "password", "there is none", "passwd -d kevin", r"^kevin has no password, so kevin cannot log in", lambda command: new_password + command)
    with lab.step("relay: refused, trusted as told, accepted"):
        server.sh("facteur config set mynetworks 127.0.0.1/32; facteur reload")
        with session(server, "nc -s 192.168.0.23 192.168.0.23 25") as smtp:
            smtp.expect("220 ")
            smtp.say("ehlo pc", "250 ")
            smtp.say("mail from:<a@b.example>", "250")
            smtp.say("rcpt to:<luke@starwars.example>", "454 4.7.1")
        found = faults(server, "relay")
        assert len(found) == 1 and "192.168.0.23 may not send to luke@starwars.example through this machine" in found[0][0], found
        server.sh(re.search(r"trusted: (.*)", found[0][1]).group(1))
        assert faults(server, "relay") == []
        with session(server, "nc -s 192.168.0.23 192.168.0.23 25") as smtp:
            smtp.expect("220 ")
            smtp.say("ehlo pc", "250 ")
            smtp.say("mail from:<a@b.example>", "250")
            smtp.say("rcpt to:<luke@starwars.example>", "250")
