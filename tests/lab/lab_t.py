"""Debian's Thunderbird on another machine: by IMAP in clear over a Maildir, by POP with TLS over an mbox. It receives,
shows accents, a picture and an attachment, answers by submission; folders, flags, search and the bin. Its own records of
the talks hold no refusal."""
import re

import letters
import thunderbird
from stage import Lab, cable, log, user
from thunderbird import Thunderbird

OURS = ["facteur-common", "facteur-mda", "facteur-mta", "facteur-popd", "facteur-imapd", "facteur"]
CERTIFICATE = "/var/lib/facteur/self-signed.pem"
SERVER = "192.168.0.23"
KEVIN = dict(name="Kévin Dupré", address="kevin@m3102.com", user="kevin", password="kevin")


def run(folder, packages, **kind):
    with Lab("Thunderbird", folder, packages, **kind) as lab:
        server = lab.server("vm")
        user(server, "kevin", "foo")
        pc = lab.client("pc", "thunderbird", "xvfb", "fonts-dejavu-core")
        cable(server, f"{SERVER}/24", pc, "192.168.0.42/24")
        pictures = folder / "pictures" / f"thunderbird-{lab.suite}"
        with lab.step("install; mail for m3102.com, passwords in clear from the network"):
            server.sh("echo 'facteur-mta facteur/mailname string m3102.com' | debconf-set-selections; "
                      "DEBIAN_FRONTEND=noninteractive " + lab.install(server, *OURS))
            server.sh(f"facteur config set login_trusted_networks 192.168.0.0/24; facteur config set home_mailbox Maildir/; "
                      "facteur reload; facteur check")
        imap(lab, server, pc, pictures)
        pop(lab, server, pc, pictures)


def imap(lab, server, pc, pictures):
    letters.send(server, "foo", "kevin@m3102.com", "Été à la plage")
    bird = None
    with lab.step("IMAP: the account is set up, mail is received"):
        bird = Thunderbird(pc, "imap", SERVER, {"in": ("imap", 143, "clear"), "out": (587, "starttls")}, KEVIN)
        bird.trust(587, server.read(CERTIFICATE))
        bird.wait_for("INBOX", "Été à la plage")
    if not bird:
        return
    try:
        talk(lab, server, bird, pictures)
        folders(lab, server, bird, pictures)
    finally:
        bird.quit()
    with lab.step("no answer to Thunderbird was a refusal"):
        refused = [line for line in bird.protocol().splitlines() if re.search(r"CreateNewLineFromSocket: \S+ (NO|BAD)\b", line)]
        assert "CreateNewLineFromSocket: " in bird.protocol() and not refused, refused


def talk(lab, server, bird, pictures):
    with lab.step("it shows accents, the picture and the attachment"):
        letters.check(bird.open("INBOX", "Été à la plage"))
        bird.screenshot(pictures, "imap-read")
    with lab.step("it answers with an attachment; foo has the answer, Sent a copy, the message is marked as answered"):
        bird.box.write("/root/réponse.txt", "À bientôt\n")
        bird.answer("Avec plaisir, à l'été prochain !", "/root/réponse.txt", (pictures, "imap-answer"))
        answered(server, "Avec plaisir, à l'été prochain !", "with ESMTPSA")
        server.until("ls ~kevin/Maildir/cur", "RS")
        bird.wait_for("Sent", "Été à la plage")  # the list holds subjects without Re:
        assert server.sh("ls ~kevin/Maildir/.Sent/cur | wc -l").strip() == "1"
    with lab.step("new mail shows up without being asked for (IDLE)"):
        letters.send(server, "foo", "kevin@m3102.com", "Encore moi")
        bird.until(thunderbird.PRESENT, "INBOX", "Encore moi", patience=20)


def answered(server, text, how):
    """foo's newest message is the answer."""
    server.until("grep -rls '^In-Reply-To: ' /home/foo/Maildir/new /var/mail/foo", "foo", patience=30)
    found = letters.newest(server, "foo")
    assert found["Subject"] == "Re: Été à la plage" and found["In-Reply-To"] and found["From"] == "Kévin Dupré <kevin@m3102.com>", \
        found.items()
    assert how in found["Received"], found["Received"]
    assert text in letters.body(found), letters.body(found)
    return found


def folders(lab, server, bird, pictures):
    with lab.step("a folder with an accent is made, a message moved there; a star"):
        bird.script(thunderbird.MAKE, "Reçus")
        server.until("ls -A ~kevin/Maildir", ".Re&AOc-us")
        bird.until(thunderbird.EXISTS, "Reçus")
        bird.script(thunderbird.MOVE, "Été à la plage", "INBOX", "Reçus")
        bird.wait_for("Reçus", "Été à la plage")
        server.until("ls ~kevin/Maildir/.Re*/cur", "RS")
        bird.script(thunderbird.MARK, "Encore moi", "INBOX")
        server.until("ls ~kevin/Maildir/cur", ":2,F")
    with lab.step("a search in the bodies, done by the server, finds accents"):
        assert bird.script(thunderbird.SEARCH, "cœur brisé", "Reçus") == ["Été à la plage"]
        assert bird.script(thunderbird.SEARCH, "nulle part", "Reçus") == []
    with lab.step("a message is thrown away, the bin emptied"):
        bird.script(thunderbird.DELETE, "Encore moi", "INBOX")
        bird.wait_for("Trash", "Encore moi")
        bird.screenshot(pictures, "imap-folders")
        bird.script(thunderbird.EMPTY)
        server.until("ls ~kevin/Maildir/.Trash/cur | wc -l", "0")
        server.until("ls ~kevin/Maildir/new ~kevin/Maildir/cur | grep -c '^[0-9]'", "0")


def pop(lab, server, pc, pictures):
    server.sh("facteur config unset home_mailbox; facteur reload; rm -rf /home/foo/Maildir")
    letters.send(server, "foo", "kevin@m3102.com", "Été à la plage")
    server.until("cat /var/mail/kevin", "From: ")
    bird = None
    with lab.step("POP with TLS: mail is received from the mbox"):
        bird = Thunderbird(pc, "pop", SERVER, {"in": ("pop3", 995, "tls"), "out": (465, "tls")}, KEVIN)
        bird.trust(995, server.read(CERTIFICATE))
        bird.trust(465, server.read(CERTIFICATE))
        bird.wait_for("INBOX", "Été à la plage")
    if not bird:
        return
    try:
        with lab.step("it shows accents, the picture and the attachment; nothing stays on the server"):
            letters.check(bird.open("INBOX", "Été à la plage"))
            bird.screenshot(pictures, "pop-read")
            server.until("stat -c %s /var/mail/kevin", "0")
        with lab.step("it answers; foo has the answer"):
            bird.answer("Réponse par POP", None, (pictures, "pop-answer"))
            answered(server, "Réponse par POP", "with ESMTPSA")
    finally:
        bird.quit()
    with lab.step("no answer to Thunderbird was a refusal"):
        assert "-ERR" not in bird.protocol(), bird.protocol()[-3000:]
        log(server, "facteur/pop3-login")
