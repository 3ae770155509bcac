"""Debian's Thunderbird in a machine, on a screen that nobody looks at: a profile with one account, and what one does with it."""
import json
import subprocess
import time
from pathlib import Path

from remote import Marionette

QUIET = {
    "app.update.auto": False, "datareporting.policy.dataSubmissionPolicyBypassNotification": True,
    "mail.inappnotifications.enabled": False, "mail.provider.suppress_dialog_on_startup": True,
    "mail.rights.version": 1, "mail.shell.checkDefaultClient": False, "mail.spam.version": 1,
    "mail.startup.enabledMailCheckOnce": True, "mailnews.start_page.enabled": False,
    "mailnews.start_page_override.mstone": "ignore", "network.captive-portal-service.enabled": False,
    "mail.spellcheck.inline": False, "mailnews.pop3.loglevel": "All", "mailnews.smtp.loglevel": "All",
    "browser.dom.window.dump.enabled": True, "devtools.console.stdout.chrome": True,
}
SECURITY = {"clear": 0, "starttls": 2, "tls": 3}
WINDOW, COMPOSE = "/messenger.xhtml", "/messengercompose.xhtml"


def settings(account, host, person):
    """The lines of prefs.js for an account: (kind, port, security), for sending: (port, security)."""
    (kind, port, security), (out_port, out_security) = account["in"], account["out"]
    values = {
        **QUIET,
        "mail.accountmanager.accounts": "account1,account2", "mail.accountmanager.defaultaccount": "account1",
        "mail.accountmanager.localfoldersserver": "server2",
        "mail.account.account1.server": "server1", "mail.account.account1.identities": "id1",
        "mail.account.account2.server": "server2", "mail.account.lastKey": 2,
        "mail.identity.id1.fullName": person["name"], "mail.identity.id1.useremail": person["address"],
        "mail.identity.id1.smtpServer": "smtp1", "mail.identity.id1.valid": True,
        "mail.identity.id1.compose_html": False, "mail.identity.id1.reply_on_top": 1,
        "mail.identity.id1.fcc_folder": f"imap://{person['user']}@{host}/Sent" if kind == "imap" else "mailbox://nobody@Local%20Folders/Sent",
        "mail.server.server1.type": kind, "mail.server.server1.hostname": host, "mail.server.server1.port": port,
        "mail.server.server1.userName": person["user"], "mail.server.server1.socketType": SECURITY[security],
        "mail.server.server1.authMethod": 3, "mail.server.server1.name": person["address"],
        "mail.server.server1.login_at_startup": False, "mail.server.server1.check_new_mail": False,
        "mail.server.server1.leave_on_server": False,
        "mail.server.server2.type": "none", "mail.server.server2.hostname": "Local Folders",
        "mail.server.server2.userName": "nobody",
        "mail.smtpservers": "smtp1", "mail.smtpserver.smtp1.type": "smtp", "mail.smtpserver.smtp1.hostname": host,
        "mail.smtpserver.smtp1.port": out_port, "mail.smtpserver.smtp1.try_ssl": SECURITY[out_security],
        "mail.smtpserver.smtp1.authMethod": 3 if person["password"] and out_security != "clear" else 1,
        "mail.smtpserver.smtp1.username": person["user"] if out_security != "clear" else "",
    }
    return "".join(f'user_pref("{name}", {json.dumps(value, ensure_ascii=False)});\n' for name, value in values.items())


class Thunderbird(Marionette):
    """One run of the program with one account."""

    def __init__(self, box, name, host, account, person):
        self.box, self.name, self.host, self.kind = box, name, host, account["in"][0]
        self.profile = f"/root/{name}"
        box.write(f"{self.profile}/prefs.js", settings(account, host, person))
        command = (f"export HOME=/root MOZ_LOG=IMAP:5,timestamp MOZ_LOG_FILE=/root/{name}.imap DISPLAY=:7; "
                   f"(exec Xvfb :7 -screen 0 1280x900x24 -nolisten tcp -terminate) >/dev/null 2>&1 & "
                   f"until [ -e /tmp/.X11-unix/X7 ]; do sleep 0.1; done; "
                   f"exec thunderbird --marionette --remote-allow-system-access "
                   f"--no-remote --profile {self.profile} >/root/{name}.out 2>&1")
        self.process = subprocess.Popen(box.words(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        super().__init__(box)
        self.window(WINDOW)
        self.until("return typeof MailServices != 'undefined' && MailServices.accounts.accounts.length == 2 &&"
                   " !!document.getElementById('tabmail')?.currentAbout3Pane?.folderTree")
        scheme = {"imap": "imap", "pop3": "mailbox"}[self.kind]
        for realm in (f"{scheme}://{host}", f"smtp://{host}"):
            self.script(REMEMBER, realm, person["user"], person["password"])

    def receive(self):
        """Asks the server for new mail, as its button does."""
        self.script(RECEIVE)

    def subjects(self, folder):
        """What the message list of a folder holds."""
        return self.script(LIST, folder)

    def wait_for(self, folder, subject, patience=60):
        end, again = time.monotonic() + patience, 0.0
        while subject not in (held := self.subjects(folder) or []):
            if time.monotonic() > end:
                raise AssertionError(f"{subject!r} never came to {folder}: {held}")
            if time.monotonic() > again:
                self.receive()
                again = time.monotonic() + 3
            time.sleep(0.2)
        return held

    def open(self, folder, subject):
        """Clicks on a message; returns what is read: sender, subject, text, attachments."""
        self.script(SHOW, folder)
        self.until("let about = tabmail.currentAbout3Pane; return about.gDBView?.numMsgsInView > 0")
        self.script(CHOOSE, subject)
        return self.until(SHOWN, subject)

    def answer(self, text, attachment=None, picture=None):
        """Answers the open message: Reply, types, attaches a file of the machine, looks, sends."""
        self.script("tabmail.currentAboutMessage.document.getElementById('hdrReplyButton').click()")
        self.window(COMPOSE)
        self.until("return window.composeEditorReady === true")
        self.script("GetCurrentEditor().insertText(arguments[0])", text)
        if attachment:
            self.script(ATTACH, attachment)
        if picture:
            self.screenshot(*picture)
        self.script("setTimeout(() => document.getElementById('button-send').click(), 10)")
        end = time.monotonic() + 60
        while len(self.tell("WebDriver:GetWindowHandles")) > 1:
            if time.monotonic() > end:
                raise AssertionError("the answer was not sent")
            time.sleep(0.2)
        self.window(WINDOW)

    def trust(self, port, pem):
        """What the button "Confirm Security Exception" does: the server's self-signed certificate will do."""
        octets = pem[pem.index("-----BEGIN CERTIFICATE-----"):].split("-----")[2]
        self.script(TRUST, self.host, port, "".join(octets.split()))

    def quit(self):
        """Closes it as its menu does."""
        try:
            self.script("setTimeout(() => Services.startup.quit(Services.startup.eAttemptQuit), 50)")
            self.process.wait(20)
        except (OSError, AssertionError, subprocess.TimeoutExpired):
            self.process.terminate()
            self.process.wait(20)
        self.close()

    def protocol(self):
        """All that it wrote on its talks."""
        log = "".join(self.box.read(f"/root/{path.name}") for path in sorted(Path(self.box.path("/root")).glob(f"{self.name}.imap*")))
        return log + self.box.read(f"/root/{self.name}.out")


REMEMBER = """
    let login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
    login.init(arguments[0], null, arguments[0], arguments[1], arguments[2], "", "");
    await Services.logins.addLoginAsync(login);
"""
FOLDER = """
    const server = MailServices.accounts.getAccount("account1").incomingServer;
    const named = name => name == "INBOX" ? server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox)
        : server.rootFolder.descendants.find(one => one.name == name || one.prettyName == name);
"""
TRUST = """
    let cert = Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).constructX509FromBase64(arguments[2]);
    Cc["@mozilla.org/security/certoverride;1"].getService(Ci.nsICertOverrideService)
        .rememberValidityOverride(arguments[0], arguments[1], {}, cert, false);
"""
RECEIVE = FOLDER + """
    tabmail.currentAbout3Pane.displayFolder((named("INBOX") ?? server.rootFolder).URI);
    goDoCommand("cmd_getNewMessages");
"""
LIST = FOLDER + """
    let folder = named(arguments[0]);
    if (!folder) return null;
    if (server.type == "imap") folder.updateFolder(msgWindow);
    return [...folder.messages].map(message => message.mime2DecodedSubject);
"""
SHOW = FOLDER + """
    tabmail.currentAbout3Pane.displayFolder(named(arguments[0]).URI);
"""
CHOOSE = """
    let about = tabmail.currentAbout3Pane, view = about.gDBView;
    for (let row = 0; row < view.rowCount; row++)
        if (view.getMsgHdrAt(row).mime2DecodedSubject == arguments[0]) { about.threadTree.selectedIndex = row; return; }
    throw new Error("no message " + arguments[0]);
"""
SHOWN = """
    let about = tabmail.currentAboutMessage;
    if (!about || about.gMessage?.mime2DecodedSubject != arguments[0] || !about.msgLoaded) return null;
    let page = about.getMessagePaneBrowser().contentDocument;
    if (!page?.body?.textContent.trim()) return null;
    return {author: about.gMessage.mime2DecodedAuthor, subject: about.gMessage.mime2DecodedSubject, text: page.body.textContent,
            pictures: [...page.images].map(one => one.naturalWidth),
            attachments: (about.currentAttachments ?? []).map(one => [one.name, one.size])};
"""
ATTACH = """
    let file = Cc["@mozilla.org/file/local;1"].createInstance(Ci.nsIFile), one = Cc["@mozilla.org/messengercompose/attachment;1"]
        .createInstance(Ci.nsIMsgAttachment);
    file.initWithPath(arguments[0]);
    one.url = Services.io.newFileURI(file).spec;
    one.name = file.leafName;
    await AddAttachments([one]);
"""
MAKE = FOLDER + """
    server.rootFolder.createSubfolder(arguments[0], msgWindow);
"""
MOVE = FOLDER + """
    let from = named(arguments[1]), moved = [...from.messages].filter(one => one.mime2DecodedSubject == arguments[0]);
    MailServices.copy.copyMessages(from, moved, named(arguments[2]), true, null, msgWindow, true);
"""
MARK = FOLDER + """
    let from = named(arguments[1]), marked = [...from.messages].filter(one => one.mime2DecodedSubject == arguments[0]);
    from.markMessagesFlagged(marked, true);
"""
DELETE = FOLDER + """
    let from = named(arguments[1]), gone = [...from.messages].filter(one => one.mime2DecodedSubject == arguments[0]);
    from.deleteMessages(gone, msgWindow, false, false, null, true);
"""
EMPTY = FOLDER + """
    server.rootFolder.emptyTrash(null);
"""
SEARCH = FOLDER + """
    let session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession), found = [];
    let term = session.createTerm(), value = term.value;
    value.attrib = Ci.nsMsgSearchAttrib.Body;
    value.str = arguments[0];
    Object.assign(term, {attrib: Ci.nsMsgSearchAttrib.Body, op: Ci.nsMsgSearchOp.Contains, value, booleanAnd: true});
    session.appendTerm(term);
    session.addScopeTerm(Ci.nsMsgSearchScope.onlineMail, named(arguments[1]));
    return await new Promise(done => {
        session.registerListener({onSearchHit: header => found.push(header.mime2DecodedSubject), onNewSearch() {},
            onSearchDone: () => done(found)});
        session.search(msgWindow);
    });
"""
PRESENT = FOLDER + """
    return [...named(arguments[0]).messages].some(one => one.mime2DecodedSubject == arguments[1]);
"""
EXISTS = FOLDER + """
    return !!named(arguments[0]);
"""
