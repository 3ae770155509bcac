#!/usr/bin/env python3
"""Large messages are read and stored as they pass: many sessions at once take little memory, and every octet is right.

Environment: SESSIONS of one user at a time (80).
"""
import hashlib, imaplib, os, pathlib, re

from facteur import NOBODY, Failure, System, run

SIZE = 50 * 1024 * 1024
SESSIONS = int(os.environ.get("SESSIONS", "80"))
MOST = 200 * 1024  # KiB for a worker with all its sessions; whole messages would be gigabytes


def peak(system, name):
    """KiB of the largest process of that name."""
    status = [pathlib.Path(f"/proc/{pid}/status").read_text() for pid in system.pids(name)]
    return max(int(re.search(r"VmHWM:\s*(\d+)", text)[1]) for text in status)


def content(size=SIZE):
    """A message of so many octets on disk, lines ending in LF."""
    line = b"Noch eine Zeile; .From here on the lines are all alike, but for their number: %08d\n"
    head = b"Subject: large\nContent-Type: multipart/mixed; boundary=xyz\n\n--xyz\n\n"
    tail = b"--xyz\nContent-Type: message/rfc822\n\nSubject: inner\n\nsmall\n--xyz--\n"
    count = (size - len(head) - len(tail)) // len(line % 0)
    return head + b"".join(line % number for number in range(count)) + tail


def own(path):
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)


def in_maildir(system, octets):
    folder = system.home / "kevin" / "Maildir"
    for part in ("", "tmp", "new", "cur"):
        (folder / part).mkdir(exist_ok=True)
        own(folder / part)
    name = folder / "new" / f"1795191067.M1P1.vm,S={len(octets)},W={len(octets) + octets.count(10)}"
    name.write_bytes(octets)
    own(name)


def in_mbox(system, octets):
    path = system.dir / "mail" / "kevin"
    path.write_bytes(b"From root@vm  Fri Nov 20 16:11:07 2026\n" + octets + b"\n")
    own(path)


def many_sessions(service, worker, begin, announced, layout, count=SESSIONS, octets_each=SIZE, **parameters):
    """All sessions have asked for the message and none takes it; then one takes it all."""
    with System(services=[service], mail_max_userip_connections=SESSIONS + 10, **parameters) as system:
        octets = content(octets_each)
        layout(system, octets)
        sessions = [begin(system) for _ in range(count)]
        for session in sessions:
            size = announced(session)
        wide = octets.replace(b"\n", b"\r\n")
        if size != len(wide):
            raise Failure(f"{size} octets announced, {len(wide)} are to come")
        took = sessions[0].file.read(size)
        if hashlib.sha256(took).digest() != hashlib.sha256(wide).digest():
            raise Failure("other octets came")
        if (used := peak(system, worker)) > MOST:
            raise Failure(f"{count} sessions took {used // 1024} MiB")
        return f"{used // 1024} MiB"


def pop3_session(system):
    session = system.pop3()
    session.line()
    for command in ("USER kevin", "PASS kevin", "RETR 1"):
        session.send(command)
    return session


def pop3_size(session):
    lines = [session.line() for _ in range(3)]
    return int(re.fullmatch(r"\+OK (\d+) octets", lines[2])[1])


def pop3():
    return many_sessions("popd", "pop3", pop3_session, pop3_size, in_maildir, count=SESSIONS // 2)


def pop3_mbox():
    return many_sessions("popd", "pop3", pop3_session, pop3_size, in_mbox, count=8, octets_each=SIZE // 4, home_mailbox="")


def imap_session(system):
    session = system.imap()
    session.line()
    for command in ("a login kevin kevin", "b select inbox", "c fetch 1 body.peek[]"):
        session.send(command)
    return session


def imap_size(session):
    while not (match := re.search(r"BODY\[\] \{(\d+)\}", line := session.line())):
        if line.startswith("c "):
            raise Failure(line)
    return int(match[1])


def imap():
    return many_sessions("imapd", "imap", imap_session, imap_size, in_maildir)


def parts():
    """Ranges, parts and the structure of a message that is never in memory."""
    with System(services=["imapd"]) as system:
        octets = content()
        in_maildir(system, octets)
        wide = octets.replace(b"\n", b"\r\n")
        client = imaplib.IMAP4("127.0.0.1", 143 + system.offset, timeout=60)
        client.login("kevin", "kevin")
        client.select()
        for first, count in ((0, 100), (SIZE // 2, 300_000), (SIZE // 2 + 300_000, 200_000), (7, 9), (len(wide) - 5, 100), (len(wide), 9)):
            got = client.fetch("1", f"(BODY.PEEK[]<{first}.{count}>)")[1][0][1]
            if got != wide[first:first + count]:
                raise Failure(f"other octets at {first}")
        structure = client.fetch("1", "(BODYSTRUCTURE RFC822.SIZE)")[1][0].decode()
        if f"RFC822.SIZE {len(wide)}" not in structure or '(NIL "inner" NIL' not in structure:
            raise Failure(structure)
        for section, want in (("2.HEADER", b"Subject: inner\r\n\r\n"), ("2.HEADER.FIELDS (SUBJECT)", b"Subject: inner\r\n\r\n"),
                              ("2.TEXT", b"small"), ("2.1", b"small"), ("HEADER", wide[:wide.index(b"\r\n\r\n") + 4])):
            if (got := client.fetch("1", f"(BODY.PEEK[{section}])")[1][0][1]) != want:
                raise Failure(f"{section}: {got[:200]}")
        begin = wide.index(b"\r\n--xyz\r\nContent-Type: message")
        if client.fetch("1", "(BODY.PEEK[1])")[1][0][1] != wide[wide.index(b"--xyz\r\n\r\n") + 9:begin]:
            raise Failure("part 1 is another")
        if (used := peak(system, "imap")) > MOST // 4:
            raise Failure(f"took {used // 1024} MiB")
        return f"{used // 1024} MiB"


def append_in(system, left):
    """Many clients send large messages: all are interrupted but one, and nothing of the others is left."""
    octets = content().replace(b"\n", b"\r\n")
    sessions = []
    for number in range(20):
        session = system.imap()
        session.line()
        session.send("a login kevin kevin")
        session.line()
        session.send(f"b append inbox (\\Flagged $work) {{{len(octets)}{'+' if number % 2 else ''}}}")
        if number % 2 == 0 and not (line := session.line()).startswith("+"):
            raise Failure(line)
        session.send(octets[:SIZE // 2])
        sessions.append(session)
    sessions[0].send(octets[SIZE // 2:] + b"\r\n")
    if not re.fullmatch(r"b OK \[APPENDUID \d+ 1\] Append completed\.", line := sessions[0].line()):
        raise Failure(line)
    used = peak(system, "imap")
    [session.close() for session in sessions[1:]]
    system.wait("nothing to be left", lambda: not left())
    sessions[0].send("c select inbox")
    while not sessions[0].line().startswith("c OK"):
        pass
    sessions[0].send("d fetch 1 (flags body.peek[])")
    size = imap_size(sessions[0])
    got = sessions[0].file.read(size)
    if got.replace(b"\r\n>From ", b"\r\nFrom ") != octets:
        raise Failure("another message was stored")
    return used


def append():
    with System(services=["imapd"], mail_max_userip_connections=30) as system:
        used = append_in(system, lambda: os.listdir(system.home / "kevin" / "Maildir" / "tmp"))
        if used > MOST // 4:
            raise Failure(f"took {used // 1024} MiB")
        session = system.imap()
        session.line()
        session.send("a login kevin kevin")
        session.line()
        session.send("b append inbox {300000000}")
        if (line := session.line()) != "b NO [TOOBIG] Message is too large.":
            raise Failure(line)
        return f"{used // 1024} MiB"


def append_mbox():
    with System(services=["imapd"], mail_max_userip_connections=30, home_mailbox="") as system:
        used = append_in(system, lambda: os.listdir(system.home / "kevin" / "mail"))
        if used > MOST:
            raise Failure(f"took {used // 1024} MiB")
        return f"{used // 1024} MiB"


def found(client, *words):
    return client.search(None, *words)[1][0].decode()


def looked_through(layout, **parameters):
    """Searched, copied and moved, of which the worker never has much in memory."""
    with System(services=["imapd"], **parameters) as system:
        octets = content()
        layout(system, octets)
        client = imaplib.IMAP4("127.0.0.1", 143 + system.offset, timeout=60)
        client.login("kevin", "kevin")
        client.select()
        last = re.findall(rb"number: (\d+)\n", octets[-1000:])[-1].decode()
        for words, want in ((("BODY", f'"NUMBER: {last}"'), "1"), (("TEXT", '"nowhere"'), ""), (("BODY", '"subject: inner"'), "1"),
                            (("BODY", '"large"'), ""), (("TEXT", '"subject: large"'), "1")):
            if (got := found(client, *words)) != want:
                raise Failure(f"{words}: {got!r}")
        client.create("other")
        for say in (lambda: client.copy("1", "other"), lambda: client.copy("1", "inbox"), lambda: client.uid("MOVE", "2", "other")):
            if (said := say())[0] != "OK":
                raise Failure(str(said))
        client.select("other")
        wide = octets.replace(b"\n", b"\r\n")
        if (sizes := [int(re.search(rb"SIZE (\d+)", line)[1]) for line in client.fetch("1:*", "(RFC822.SIZE)")[1]]) != [len(wide)] * 2:
            raise Failure(f"{sizes}, not twice {len(wide)}")
        if (used := peak(system, "imap")) > MOST // 4:
            raise Failure(f"took {used // 1024} MiB")
        for number in "12":
            if client.fetch(number, "(BODY.PEEK[])")[1][0][1] != wide:
                raise Failure(f"copy {number} is another message")
        return f"{used // 1024} MiB"


def search_copy_move():
    return looked_through(in_maildir)


def search_copy_move_mbox():
    return looked_through(in_mbox, home_mailbox="")


def expunge_mbox():
    """The first uids of an mbox, and what goes from before large mail: neither holds what follows in memory."""
    with System(services=["imapd"], home_mailbox="") as system:
        octets = content()
        path = system.dir / "mail" / "kevin"
        start = b"From root@vm  Fri Nov 20 16:11:07 2026\n"
        path.write_bytes(start + b"Subject: small\n\nsmall\n\n" + (start + octets + b"\n") * 2)
        own(path)
        client = imaplib.IMAP4("127.0.0.1", 143 + system.offset, timeout=60)
        client.login("kevin", "kevin")
        client.select()
        client.store("1", "+FLAGS", r"(\Deleted)")
        if (said := client.expunge()) != ("OK", [b"1"]):
            raise Failure(str(said))
        for number in "12":
            if client.fetch(number, "(BODY.PEEK[])")[1][0][1] != octets.replace(b"\n", b"\r\n"):
                raise Failure(f"{number} is another message")
        if (used := peak(system, "imap")) > MOST // 4:
            raise Failure(f"took {used // 1024} MiB")
        return f"{used // 1024} MiB"


run(pop3, pop3_mbox, imap, parts, append, append_mbox, search_copy_move, search_copy_move_mbox, expunge_mbox)
