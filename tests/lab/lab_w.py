"""The webmail of lab A: Debian's Roundcube with Apache, as its packages set it up, and a Chromium on another machine.
Kevin logs in, reads a mail with accents, a picture and an attachment, answers it; draft, folder, flag, search, bin.
Roundcube's own records of the talks hold no refusal."""
import json
import re
import subprocess

import letters
from remote import Chromium
from stage import Lab, cable, user

OURS = ["facteur-common", "facteur-mda", "facteur-mta", "facteur-popd", "facteur-imapd", "facteur"]
WEB = ["roundcube", "roundcube-sqlite3", "apache2", "libapache2-mod-php"]
SITE = "http://192.168.0.23/roundcube/"
SETTINGS = "$config['mail_domain'] = 'm3102.com';\n$config['imap_debug'] = true;\n$config['smtp_debug'] = true;\n"
SUBJECT = "Été à la plage"
ROWS = ("return [...document.querySelectorAll('#messagelist tbody tr.message td.subject a span')]"
        ".filter(one => one.checkVisibility()).map(one => one.textContent.trim())")
NONE = "return ![...document.querySelectorAll('#messagelist tbody tr.message')].some(one => one.checkVisibility())"


def run(folder, packages, **kind):
    with Lab("webmail", folder, packages, **kind) as lab:
        server = lab.server("vm", *WEB)
        user(server, "kevin", "foo")
        pc = lab.client("pc", "chromium", "chromium-driver", "fonts-dejavu-core")
        cable(server, "192.168.0.23/24", pc, "192.168.0.42/24")
        pictures = folder / "pictures" / f"webmail-{lab.suite}"
        with lab.step("install Facteur, then Roundcube as Debian packages it"):
            server.sh("echo 'facteur-mta facteur/mailname string m3102.com' | debconf-set-selections; "
                      "DEBIAN_FRONTEND=noninteractive " + lab.install(server, *OURS, *WEB), timeout=240)
            server.sh("sed -i 's/^# *Alias/Alias/' /etc/roundcube/apache.conf; systemctl restart apache2; facteur check")
            server.sh("cat >>/etc/roundcube/config.inc.php", text=SETTINGS)
        driver = subprocess.Popen(pc.words("exec chromedriver --port=9515 >/root/chromedriver.log 2>&1"), stdin=subprocess.DEVNULL)
        web = None
        try:
            with lab.step("Kevin logs in; his mail is there"):
                letters.send(server, "foo", "kevin@m3102.com", SUBJECT)
                server.until("cat /var/mail/kevin", "From: ")
                web = Chromium(pc)
                log_in(web)
                assert web.script(ROWS) == [SUBJECT], web.script(ROWS)
            if web:
                mail(lab, server, web, pictures)
                folders(lab, server, web, pictures)
        finally:
            if web:
                web.close()
            driver.terminate()
        with lab.step("no answer to Roundcube was a refusal"):
            said = server.sh("cat /var/log/roundcube/imap.log /var/log/roundcube/smtp.log")
            refused = re.findall(r"S: A\d+ (?:NO (?!\[TRYCREATE\])|BAD).*|Recv: [45]\d\d.*", without_tries(said))
            assert " S: A0001 OK" in said and "Recv: 250" in said and not refused, refused or said[-3000:]


def without_tries(said):
    """Roundcube tries whether a folder of messages may hold folders. In an mbox store it may not. (And it makes Trash when
    the server says TRYCREATE.)"""
    return re.sub(r"C: (A\d+) CREATE foldertest\d+/foldertest\b.*\n.* S: \1 NO \[CANNOT\].*\n", "", said)


def log_in(web):
    web.go(SITE)
    web.type("#rcmloginuser", "kevin")
    web.type("#rcmloginpwd", "kevin")
    web.click("#rcmloginsubmit")
    web.find("#messagelist tbody tr.message")


def mail(lab, server, web, pictures):
    with lab.step("it shows accents, the picture and the attachment"):
        web.click("#messagelist tbody tr.message td.subject")
        web.frame("#messagecontframe")
        web.find("#messagebody")
        web.until("return [...document.querySelectorAll('#messagebody ~ * img, .image-attachment img')].some(one => one.naturalWidth == 48)")
        text = web.script("return document.body.innerText")
        assert all(line in text for line in (SUBJECT, "François Ôter", *letters.TEXT.splitlines())), text
        names = web.script("return [...document.querySelectorAll('#attachment-list .attachment-name')].map(one => one.textContent)")
        assert names == [letters.NAME, "image.png"], names
        kept = web.tell("POST", "/execute/async", script=FETCH, args=["#attachment-list a.filename"])
        assert kept == letters.ATTACHED, kept[:200]
        web.frame()
        web.screenshot(pictures, "read")
    with lab.step("he answers; foo has the answer, Sent a copy, the message is marked as answered"):
        web.click("#toolbar-menu a.reply")
        web.type("#composebody", "Avec plaisir, à l'été prochain !")
        web.screenshot(pictures, "answer")
        web.click(".formbuttons button.send")
        server.until("cat /var/mail/foo", "In-Reply-To: ")
        found = letters.newest(server, "foo")
        assert found["Subject"] == "Re: " + SUBJECT and "<kevin@m3102.com>" in found["From"], found.items()
        assert "with ESMTPA id" in found["Received"] and "Avec plaisir, à l'été prochain !" in letters.body(found), found
        web.find("#messagelist tbody tr.message .msgicon.replied")
        assert web.until("return document.querySelector('#folderlist-content').innerText.includes('Sent')")
        assert server.sh("grep -c '^From ' ~kevin/mail/Sent").strip() == "1"


FETCH = """
    let done = arguments[1], link = [...document.querySelectorAll(arguments[0])][0].href.replace(/_frame=1/, '') + '&_download=1';
    fetch(link).then(answer => answer.text()).then(text => done(text.replaceAll('\\r', '')), error => done(String(error)));
"""


def choose(web):
    """The message is shown a moment after the click; until it is there, Roundcube is deaf to what is clicked next."""
    web.click("#messagelist tbody tr.message td.subject")
    web.until("let shown = document.querySelector('#messagecontframe').contentWindow; return rcmail.commands.delete && !rcmail.busy "
              "&& shown.document.readyState == 'complete' && shown.rcmail && shown.rcmail.env.uid == rcmail.message_list.get_single_selection()")


def folders(lab, server, web, pictures):
    with lab.step("a draft is kept in Drafts"):
        web.go(SITE + "?_task=mail&_action=compose")
        web.type("#compose-subject", "Brouillon à finir")
        web.type("#composebody", "Pas encore…")
        web.click("#toolbar-menu a.save.draft")
        server.until("cat ~kevin/mail/Drafts", "Pas encore…")
    with lab.step("a folder with an accent; a message is flagged, moved there, found by a search in it"):
        web.go(SITE + "?_task=settings&_action=folders")
        web.click("a.create")
        web.frame("#preferences-frame")
        web.type("#_name", "Reçus")
        web.click(".formbuttons button.submit")
        server.until("ls ~kevin/mail", "Re&AOc-us")
        web.frame()
        web.go(SITE + "?_task=mail&_mbox=INBOX")
        choose(web)
        web.script("rcmail.command('mark', 'flagged')")
        # The page shows the flag before the server has it, and what it asks next may come first.
        server.until("cat /var/mail/kevin", "X-Status: AF")
        web.find("#messagelist tbody tr.flagged")
        web.script("rcmail.command('move', 'Re&AOc-us')")
        web.until(NONE)
        server.until("cat ~kevin/mail/Re*", "X-Status: AF")
        web.go(SITE + "?_task=mail&_mbox=Re%26AOc-us")
        web.find("#messagelist tbody tr.flagged")
        for wanted, rows in (("été à la", [SUBJECT]), ("montagne", [])):
            web.type("#mailsearchform", wanted + "\ue007")
            web.until(f"return rcmail.env.search_request && !rcmail.busy && JSON.stringify((() => {{ {ROWS} }})()) == arguments[0]",
                      json.dumps(rows, ensure_ascii=False, separators=(",", ":")))
            web.screenshot(pictures, "search")
            web.click(".searchbar a.reset")
            web.find("#messagelist tbody tr.flagged")
    with lab.step("thrown away it is in Trash; the bin is emptied"):
        choose(web)
        web.click("#toolbar-menu a.delete")
        server.until("cat ~kevin/mail/Trash", letters.NAME_SENT)
        web.go(SITE + "?_task=mail&_mbox=Trash")
        web.find("#messagelist tbody tr.message")
        web.screenshot(pictures, "trash")
        web.script("rcmail.purge_mailbox('Trash')")
        web.click(".ui-dialog button.mainaction")
        web.until(NONE)
        server.until("stat -c %s ~kevin/mail/Trash ~kevin/mail/Re*", "0\n0")
