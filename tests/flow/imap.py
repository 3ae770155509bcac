#!/usr/bin/env python3
"""The IMAP server with the real programs imapd, imap-login and imap: imaplib, dialogues by hand, deaths, and as root with PAM.

    tests/flow/imap.py [--system] [NAME…]

What both readers' services share comes from pop3.py beside this file; --system as there.
"""
import imaplib, os, pwd, re, signal, ssl, time

import pop3
from pop3 import LIMIT, Telnet, message

CAPABILITY = "IMAP4rev1 SASL-IR ID ENABLE IDLE LITERAL+ STARTTLS AUTH=PLAIN"
LARGE = message("Big", "".join(f"{'y' * 70}\n" for _ in range(200_000)))
MIXED = (b"From: Kevin <kevin@m3102.com>\nTo: foo@m3102.com\nSubject: =?utf-8?q?=C3=A9t=C3=A9?=\nDate: Fri, 20 Nov 2026 16:11:11 +0000\n"
         b"Message-Id: <x@vm>\nContent-Type: multipart/mixed; boundary=B\n\n--B\n\nBonjour\n--B\nContent-Type: text/plain; name=fichier.txt\n"
         b"Content-Transfer-Encoding: base64\n\nY2FjaMOp\n--B--\n")


class Imap:
    """What differs from popd."""

    SERVICE, PORT, TLS_PORT = "imapd", 143, 993

    def imap(self, user=None):
        client = imaplib.IMAP4("127.0.0.1", self.port, timeout=LIMIT)
        if user:
            client.login(user, user)
        return client

    def deliver(self, user, octets, name):
        """As any delivery agent does: written in tmp, renamed into new."""
        root = self.home / user / "Maildir"
        written = root / "tmp" / name
        written.write_bytes(octets)
        self.own(root)
        written.rename(root / "new" / name)


class Reading(Imap, pop3.Reading):
    """imapd in a directory of its own."""


class Privileged(Imap, pop3.Privileged):
    """imapd as root, with PAM and users of the machine."""


class Typed(Telnet):
    """Types commands under the tag a, and hears all lines up to the tagged one."""

    def command(self, text, end="\r\n"):
        self.say("a " + text, end)
        lines = []
        while not (line := self.hear()).startswith("a "):
            assert line or lines, f"{text!r}: closed"
            lines.append(line)
        return lines, line

    def check(self, text, *lines, end="\r\n"):
        got = self.command(text, end)
        got = [*got[0], got[1]]
        assert got == list(lines), f"{text!r}: expected {list(lines)}, got {got}"


def typed(system, user="kevin"):
    t = Typed(system.port)
    assert t.hear() == f"* OK [CAPABILITY {CAPABILITY}] Facteur ready."
    if user:
        assert re.fullmatch(r"a OK \[CAPABILITY IMAP4rev1 .*\] Logged in", t.command(f"login {user} {user}")[1])
    return t


TESTS = []


def test(**settings):
    def add(function):
        function.settings = settings
        TESTS.append(function)
        return function
    return add


@test()
def the_dialogue_of_the_labs(system):
    system.maildir("kevin", message("Test 2", "Le corps du mail\n"))
    t = typed(system, None)
    t.check("LOGIN kevin bad", "a NO [AUTHENTICATIONFAILED] Authentication failed.")
    t.command("LOGIN kevin kevin")
    t.check('list "" *', '* LIST (\\HasNoChildren) "." INBOX', "a OK List completed.")
    t.check("namespace", '* NAMESPACE (("" ".")) NIL NIL', "a OK Namespace completed.")
    lines, done = t.command("select inbox")
    assert lines[2:4] == ["* 1 EXISTS", "* 1 RECENT"] and lines[4] == "* OK [UNSEEN 1] First unseen.", lines
    assert done == "a OK [READ-WRITE] Select completed."
    t.check("uid fetch 1", "a BAD Error in IMAP command UID FETCH: Invalid arguments.")
    t.check("fetch 1 body[text]", "* 1 FETCH (FLAGS (\\Seen \\Recent) BODY[TEXT] {18}", "Le corps du mail", ")", "a OK Fetch completed.")
    t.check("fetch 1 flags", "* 1 FETCH (FLAGS (\\Seen \\Recent))", "a OK Fetch completed.", end="\n")
    t.check("search all", "* SEARCH 1", "a OK Search completed.")
    t.check("fetch 9 flags", "a BAD Error in IMAP command FETCH: Invalid messageset.")
    t.check("foo", "a BAD Error in IMAP command FOO: Unknown command.")
    t.check("store 1 +flags (\\Deleted)", "* 1 FETCH (FLAGS (\\Deleted \\Seen \\Recent))", "a OK Store completed.")
    t.check("expunge", "* 1 EXPUNGE", "a OK Expunge completed.")
    t.check("status inbox (messages unseen uidnext)", "* STATUS inbox (MESSAGES 0 UIDNEXT 2 UNSEEN 0)", "a OK Status completed.")
    t.check("close", "a OK Close completed.")
    t.check("logout", "* BYE Logging out", "a OK Logout completed.")
    assert t.rest() == b""
    system.told.wait(r"imap-login\[\d+\]: Login: user=<kevin>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1, mpid=\d+, secured, session=<\S+>$")
    system.told.wait(r"imap\[\d+\]: imap\(kevin\)<\d+><\S+>: Disconnected: Logged out in=\d+ out=\d+ deleted=1 expunged=1 trashed=0 hdr_count=0 hdr_bytes=0 body_count=1 body_bytes=18$")


@test()
def every_item_by_imaplib(system):
    system.maildir("kevin", MIXED)
    c = system.imap("kevin")
    assert c.select()[1] == [b"1"]
    assert not [x for x in c.fetch("1", "(FULL)")[1] if b"ENVELOPE" not in x]
    envelope = c.fetch("1", "(ENVELOPE)")[1][0]
    assert b'"=?utf-8?q?=C3=A9t=C3=A9?=" (("Kevin" NIL "kevin" "m3102.com"))' in envelope, envelope
    structure = c.fetch("1", "(BODYSTRUCTURE)")[1][0]
    assert b'"mixed" ("boundary" "B") NIL NIL NIL' in structure and b'("name" "fichier.txt")' in structure, structure
    whole = MIXED.replace(b"\n", b"\r\n")
    assert c.fetch("1", "(RFC822.SIZE)")[1] == [b"1 (RFC822.SIZE %d)" % len(whole)]
    assert c.fetch("1", "(BODY.PEEK[])")[1][0][1] == whole
    assert c.fetch("1", "(FLAGS)")[1] == [b"1 (FLAGS (\\Recent))"]
    assert c.fetch("1", "(BODY[1])")[1][0][1] == b"Bonjour"
    assert c.fetch("1", "(BODY[2.MIME])")[1][0][1].startswith(b"Content-Type: text/plain; name=fichier.txt\r\n")
    assert c.fetch("1", "(BODY[HEADER.FIELDS (SUBJECT)])")[1][0][1] == b"Subject: =?utf-8?q?=C3=A9t=C3=A9?=\r\n\r\n"
    assert c.fetch("1", "(BODY[]<5.8>)")[1][0][1] == whole[5:13]
    assert c.fetch("1", "(RFC822.HEADER)")[1][0][1] == whole[:whole.index(b"\r\n\r\n") + 4]
    assert re.search(rb'INTERNALDATE "[ \d]\d-\w{3}-\d{4} \d\d:\d\d:\d\d [+-]\d{4}"', c.fetch("1", "(INTERNALDATE)")[1][0])
    c.logout()


@test()
def store_copy_move_append_expunge(system):
    system.maildir("kevin", message("One"), message("Two"), message("Three"))
    c = system.imap("kevin")
    c.select()
    assert c.create("Trash")[0] == "OK" and c.create("Trash")[0] == "NO"
    assert b"\\Trash" in c.list('""', "Trash")[1][0]
    assert c.create("Work.2026")[0] == "OK" and c.subscribe("Work.2026")[0] == "OK"
    assert [line.split()[-1] for line in c.lsub()[1]] == [b"Work.2026"], c.lsub()
    assert c.store("1", "+FLAGS", "(\\Flagged $Label1)")[1] == [b"1 (FLAGS (\\Flagged \\Recent $Label1))"]
    assert c.search(None, "KEYWORD", "$label1")[1] == [b"1"]
    assert c.copy("1:2", "Trash")[0] == "OK"
    assert c.copy("1", "nowhere")[0] == "NO"
    assert c._simple_command("MOVE", "3", "Work.2026")[0] == "OK"
    assert c.response("EXPUNGE")[1] == [b"3"]
    date = '"20-Nov-2026 16:11:11 +0000"'
    assert c.append("Trash", "(\\Seen)", date, b"Subject: Four\r\n\r\nbody\r\n")[0] == "OK"
    assert c.append("nowhere", None, None, b"x")[0] == "NO"
    assert c.status("Trash", "(MESSAGES UNSEEN)")[1] == [b"Trash (MESSAGES 3 UNSEEN 2)"]
    c.select("Trash")
    assert c.fetch("3", "(UID FLAGS INTERNALDATE)")[1] == [b'3 (UID 3 FLAGS (\\Seen) INTERNALDATE "20-Nov-2026 16:11:11 +0000")']
    assert c.fetch("1", "(FLAGS)")[1] == [b"1 (FLAGS (\\Flagged $Label1))"]
    assert c.uid("STORE", "1:2", "+FLAGS.SILENT", "\\Deleted") == ("OK", [None])
    assert c.uid("EXPUNGE", "2")[0] == "OK" and c.response("EXPUNGE")[1] == [b"2"]
    assert c.close()[0] == "OK"
    assert c.status("Trash", "(MESSAGES UIDNEXT)")[1] == [b"Trash (MESSAGES 1 UIDNEXT 4)"]
    assert c.rename("Work.2026", "Old")[0] == "OK" and c.delete("Old")[0] == "OK" and c.delete("Old")[0] == "NO" and c.delete("INBOX")[0] == "NO"
    c.select(readonly=True)
    assert c.store("1", "+FLAGS", "\\Seen")[0] == "NO"
    c.logout()


@test()
def search(system):
    system.maildir("kevin", MIXED, message("Facture", "montant: 42\n"), message("Autre"))
    c = system.imap("kevin")
    c.select()
    table = [("ALL", b"1 2 3"), ("SUBJECT facture", b"2"), ("TEXT montant", b"2"), ("BODY bonjour", b"1 3"), ("FROM kevin", b"1"),
             ("OR SUBJECT autre SUBJECT facture", b"2 3"), ("NOT (SUBJECT facture)", b"1 3"), ("SENTON 20-Nov-2026", b"1"), ("LARGER 200", b"1"),
             ("HEADER Message-Id x@vm", b"1"), ("UID 2:* UNSEEN", b"2 3"), ("SINCE 1-Jan-2000", b"1 2 3"), ("DELETED", b"")]
    for key, want in table:
        assert c.search(None, key)[1] == [want], (key, c.search(None, key))
    c.literal = "été".encode()
    assert c._simple_command("SEARCH", "CHARSET", "UTF-8", "SUBJECT")[0] == "OK" and c.response("SEARCH")[1] == [b"1"]
    c.logout()


@test()
def two_sessions_and_idle(system):
    system.maildir("kevin", message("One"), message("Two"))
    a, b = typed(system), typed(system)
    a.command("select inbox")
    b.command("select inbox")
    a.say("i idle")
    assert a.hear() == "+ idling"
    b.command("store 1 +flags \\Seen")
    assert a.hear() == "* 1 FETCH (FLAGS (\\Seen \\Recent))"
    b.command("store 2 +flags \\Deleted")
    assert a.hear() == "* 2 FETCH (FLAGS (\\Deleted \\Recent))"
    b.check("expunge", "* 2 EXPUNGE", "a OK Expunge completed.")
    assert a.hear() == "* 2 EXPUNGE"
    before = time.monotonic()
    system.deliver("kevin", message("Three"), "1800000000.M1P1.vm")
    assert [a.hear(), a.hear()] == ["* 2 EXISTS", "* 2 RECENT"]
    assert time.monotonic() - before < 1
    a.say("done")
    assert a.hear() == "i OK Idle completed."
    b.check("noop", "* 2 EXISTS", "* 0 RECENT", "a OK NOOP completed.")
    root = system.home / "kevin" / "Maildir"
    for path in list((root / "cur").iterdir()):
        path.unlink()
    assert sorted(a.command("noop")[0]) == ["* 1 EXPUNGE", "* 1 EXPUNGE"]
    lines, _ = b.command("fetch 1:2 flags")
    assert not [line for line in lines if "EXPUNGE" in line]
    assert b.command("noop")[0] == ["* 1 EXPUNGE", "* 1 EXPUNGE"]
    workers = {re.search(r"mpid=(\d+)", line)[1] for line in system.told.lines if "Login: user" in line}
    assert len(workers) == 1, workers


@test(imap_idle_notify_interval="1s")
def idle_is_kept_alive(system):
    system.maildir("kevin")
    t = typed(system)
    t.say("i idle")
    assert [t.hear(), t.hear(), t.hear()] == ["+ idling", "* OK Still here", "* OK Still here"]
    t.say("done")
    assert t.hear() == "i OK Idle completed."


@test()
def literals_and_pipelining(system):
    system.maildir("kevin")
    t = typed(system, None)
    t.say("a LOGIN {5}")
    assert t.hear() == "+ OK"
    t.say("kevin {5+}\r\nkevin\r\nb APPEND INBOX (\\Seen) {8+}\r\na: b\r\n\r\n\r\nc SELECT INBOX\r\nd FETCH 1 BODY[]\r\ne LOGOUT")
    heard = [line.decode().rstrip("\r\n") for line in t.file]
    assert re.fullmatch(r"b OK \[APPENDUID \d+ 1\] Append completed\.", heard[1]), heard
    assert heard[-6:] == ["a: b", "", ")", "d OK Fetch completed.", "* BYE Logging out", "e OK Logout completed."], heard


@test()
def a_large_message_in_pieces_and_appended(system):
    system.maildir("kevin", LARGE)
    c = system.imap("kevin")
    c.select()
    whole = LARGE.replace(b"\n", b"\r\n")
    assert c.fetch("1", "(BODY.PEEK[])")[1][0][1] == whole
    assert c.fetch("1", "(BODY.PEEK[]<1000000.50000>)")[1][0][1] == whole[1000000:1050000]
    assert c.append("INBOX", None, None, whole)[0] == "OK"
    assert c.fetch("2", "(RFC822.SIZE)")[1] == [b"2 (RFC822.SIZE %d)" % len(whole)]
    c.logout()


@test()
def tls_by_starttls_and_from_the_start(system):
    system.maildir("kevin", message("Test"))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    c = system.imap()
    c.starttls(context)
    assert "STARTTLS" not in c.capabilities
    c.login("kevin", "kevin")
    assert c.select()[1] == [b"1"]
    c.logout()
    c = imaplib.IMAP4_SSL("127.0.0.1", system.tls_port, ssl_context=context, timeout=LIMIT)
    c.authenticate("PLAIN", lambda _: b"\0kevin\0kevin")
    assert c.select()[1] == [b"1"]
    c.logout()
    system.told.wait("Login: user=<kevin>.*, TLS, session=")


@test()
def much_behind_a_login_costs_nobody_else(system):
    system.maildir("kevin", message("Test"))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    other = imaplib.IMAP4_SSL("127.0.0.1", system.tls_port, ssl_context=context, timeout=LIMIT)
    other.login("kevin", "kevin")
    other.select()
    octets = b"Subject: much\r\n\r\n" + b"x" * 99_982 + b"\r\n"
    t = typed(system, None)
    t.say(f"a LOGIN kevin kevin\r\nb APPEND INBOX {{{len(octets)}+}}\r\n{octets.decode()}\r\nc LOGOUT")
    heard = t.rest().decode().split("\r\n")
    assert heard[1].startswith("b OK [APPENDUID ") and heard[-2] == "c OK Logout completed.", heard
    other.noop()
    assert other.fetch("2", "(RFC822.SIZE)")[1] == [b"2 (RFC822.SIZE %d)" % len(octets)]
    other.logout()


@test()
def a_maildir_has_room_for_26_keywords(system):
    system.maildir("kevin", message("One"), message("Two"))
    t = typed(system)
    permanent = lambda lines: next(line for line in lines if "PERMANENTFLAGS" in line)
    assert "\\*" in permanent(t.command("select inbox")[0])
    t.command(f"store 1 +flags ({' '.join(f'k{n}' for n in range(25))})")
    lines, _ = t.command("store 2 +flags k25")
    assert "k25" in permanent(lines) and "\\*" not in permanent(lines), lines
    for command in ("store 1 +flags (k3 k26)", "store 2 flags (\\Seen k26)"):
        lines, end = t.command(command)
        assert end == "a NO [LIMIT] Too many keywords in this mailbox." and not any("k26" in line for line in lines), (lines, end)
    assert t.command("store 2 +flags K3")[1].startswith("a OK")
    lines, _ = typed(system).command("select inbox")
    assert "\\*" not in permanent(lines) and "k25" in permanent(lines), lines
    assert len((system.home / "kevin/Maildir/dovecot-keywords").read_text().splitlines()) == 26


@test()
def what_another_session_unmarked_is_not_expunged(system):
    system.maildir("kevin", message("One"), message("Two"))
    one, other = typed(system), typed(system)
    one.command("select inbox")
    one.command("store 1:2 +flags.silent \\Deleted")
    other.command("select inbox")
    one.command("store 1 -flags.silent \\Deleted")
    lines, _ = other.command("expunge")
    assert "* 2 EXPUNGE" in lines and "* 1 EXPUNGE" not in lines, lines
    one.command("store 1 +flags.silent \\Deleted")
    other.command("noop")
    one.command("store 1 -flags.silent \\Deleted")
    other.command("close")
    one.command("noop")
    one.check("fetch 1 flags", "* 1 FETCH (FLAGS (\\Recent))", "a OK Fetch completed.")


@test()
def a_message_made_to_be_slow_is_searched_soon(system):
    parts = b"Subject: many\nContent-Type: multipart/mixed; boundary=B\n\n" + b"--B\n\nx\n" * 200_000 + b"--B--\n"
    words = b"Subject: " + b"=?utf-8?q?=41?= " * 50_000 + b"\n\nx\n"
    system.maildir("kevin", parts, words)
    c = system.imap("kevin")
    c.select()
    began = time.monotonic()
    assert c.search(None, "TEXT", "nowhere")[1] == [b""]
    assert time.monotonic() - began < 4, time.monotonic() - began


@test()
def there_is_one_inbox(system):
    t = typed(system)
    for name in ("inbox.one", "Inbox.Two", "INBOX.three"):
        t.command(f"create {name}")
    names = [line.split()[-1] for line in t.command('list "" inbox*')[0]]
    assert names == ["INBOX", "INBOX.Two", "INBOX.one", "INBOX.three"], names
    assert t.command("select iNBOX.one")[1].startswith("a OK") and t.command("delete inbox.Two")[1].startswith("a OK")


@test(home_mailbox="")
def an_mbox(system):
    path = system.mbox("kevin", message("One"), message("Two"))
    c = system.imap("kevin")
    assert c.select()[1] == [b"2"]
    assert c.namespace()[1] == [b'(("" "/")) NIL NIL']
    assert c.store("1", "+FLAGS", "\\Deleted")[0] == "OK" and c.expunge()[1] == [b"1"]
    assert c.fetch("1", "(BODY[TEXT])")[1][0][1] == b"Bonjour\r\n"
    c.logout()
    assert b"Subject: One" not in path.read_bytes() and b"Subject: Two" in path.read_bytes()


@test()
def a_killed_worker_costs_only_its_sessions(system):
    system.maildir("kevin", message("One"))
    t = typed(system)
    t.command("select inbox")
    os.kill(int(re.search(r"mpid=(\d+)", system.told.wait("Login: user=<kevin>"))[1]), signal.SIGKILL)
    assert t.rest() == b""
    c = system.imap("kevin")
    assert c.select()[1] == [b"1"]
    c.logout()


@test()
def a_session_on_its_way_to_a_worker_that_dies_goes_to_the_next(system):
    system.maildir("kevin", message("One"))
    t = typed(system)
    t.command("noop")
    worker = int(re.search(r"mpid=(\d+)", system.told.wait("Login: user=<kevin>"))[1])
    os.kill(worker, signal.SIGSTOP)
    late = typed(system, None)
    late.say("l login kevin kevin")
    system.told.wait("Login: user=<kevin>")
    os.kill(worker, signal.SIGKILL)
    assert late.hear().startswith("l OK "), "not logged in"
    assert late.command("select inbox")[1] == "a OK [READ-WRITE] Select completed."


@test()
def as_thunderbird_does(system):
    system.maildir("kevin", MIXED, message("Two"))
    t = typed(system, None)
    assert t.command("authenticate PLAIN AGtldmluAGtldmlu")[1].endswith("Logged in")
    t.check('ID ("name" "Thunderbird" "version" "128.0")', '* ID ("name" "Facteur")', "a OK ID completed.")
    t.check('list (subscribed) "" "*" return (special-use)', "a OK List completed.")
    t.check('list "" "INBOX"', '* LIST (\\HasNoChildren) "." INBOX', "a OK List completed.")
    t.check("create Trash", "a OK Create completed.")
    t.check("subscribe Trash", "a OK Subscribe completed.")
    t.check('lsub "" "*"', '* LSUB () "." Trash', "a OK Lsub completed.")
    t.command('select "INBOX"')
    t.check("UID fetch 1:* (FLAGS)", "* 1 FETCH (UID 1 FLAGS (\\Recent))", "* 2 FETCH (UID 2 FLAGS (\\Recent))", "a OK Fetch completed.")
    lines, _ = t.command("UID fetch 1:2 (UID RFC822.SIZE FLAGS BODY.PEEK[HEADER.FIELDS (From To Cc Subject Date Message-ID X-Spam)])")
    assert lines[0].startswith(f"* 1 FETCH (UID 1 RFC822.SIZE {len(MIXED) + MIXED.count(b'%c' % 10)} FLAGS (\\Recent) BODY[HEADER.FIELDS (FROM TO CC SUBJECT"), lines[0]
    t.command("UID fetch 2 (UID RFC822.SIZE BODY.PEEK[])")
    t.check("uid store 2 +Flags (\\Seen)", "* 2 FETCH (UID 2 FLAGS (\\Seen \\Recent))", "a OK Store completed.")
    lines, done = t.command('uid move 2 "Trash"')
    assert lines == [lines[0], "* 2 EXPUNGE"] and done == "a OK Move completed." and re.fullmatch(r"\* OK \[COPYUID \d+ 2 1\] Moved UIDs\.", lines[0]), lines
    t.check("uid search undeleted", "* SEARCH 1", "a OK Search completed.")
    t.check("logout", "* BYE Logging out", "a OK Logout completed.")


@test()
def a_maildir_in_the_place_of_another(system):
    """Removed or moved away and made anew while a worker serves its owner, as when a backup is brought back."""
    root = system.home / "kevin" / "Maildir"
    first = system.imap("kevin")
    assert first.select()[0] == "OK"
    waiting = system.imap("kevin")
    assert waiting.status("INBOX", "(MESSAGES)")[0] == "OK"
    root.rename(root.with_name("old"))
    for part in ("", "cur", "new", "tmp"):
        (root / part).mkdir()
        (root / part).chmod(0o700)
    for number in range(3):
        system.deliver("kevin", message("New"), f"{number}.M2.vm")
    assert waiting.status("INBOX", "(MESSAGES)") == ("OK", [b"INBOX (MESSAGES 3)"])
    assert waiting.select() == ("OK", [b"3"])
    new = system.imap("kevin")
    assert new.select() == ("OK", [b"3"]) and new.expunge()[0] == "OK"


@test()
def stopping_says_goodbye(system):
    system.maildir("kevin")
    t = typed(system)
    system.keeper.send_signal(signal.SIGTERM)
    assert t.hear() == "* BYE Server shutting down." and t.rest() == b""
    assert system.keeper.wait(LIMIT) == 0


def as_root_with_pam():
    with Privileged() as system:
        path = system.spool(message("One"), message("Two"))
        t = typed(system, None)
        t.check("login root wrong", "a NO [AUTHENTICATIONFAILED] Authentication failed.")
        assert t.command(f'login {system.USER} "{system.PASSWORD}"')[1].endswith("Logged in")
        worker = int(re.search(r"mpid=(\d+)", system.told.wait(f"Login: user=<{system.USER}>"))[1])
        account = pwd.getpwnam(system.USER)
        assert set(pop3.ids(worker)) == {account.pw_uid}, pop3.ids(worker)
        assert t.command("select inbox")[1] == "a OK [READ-WRITE] Select completed."
        t.say("i idle")
        assert t.hear() == "+ idling"
        with path.open("ab") as mailbox:
            mailbox.write(b"From root@vm  Fri Nov 20 16:11:07 2026\n" + message("Three") + b"\n")
        assert t.hear() == "* 3 EXISTS" and t.hear() == "* 3 RECENT"
        t.say("done")
        assert t.hear() == "i OK Idle completed."
        t.command("store 1 +flags.silent \\Deleted")
        t.check("expunge", "* 1 EXPUNGE", "a OK Expunge completed.")
        left = path.read_bytes()
        assert b"Subject: One" not in left and b"Subject: Three" in left
        assert path.stat().st_uid == account.pw_uid and path.stat().st_mode & 0o777 == 0o660
        assert t.command("create Sent")[1] == "a OK Create completed." and t.command("copy 1 Sent")[1].endswith("Copy completed.")


if __name__ == "__main__":
    pop3.main(TESTS, Reading, as_root_with_pam)
