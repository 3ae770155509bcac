"""Inside the guest: start Facteur, let the old queue drain, list every mailbox, then send in bursts until the cut."""
import itertools, os, pathlib, random, signal, smtplib, socket, subprocess, sys, threading, time

PROGRAMS = pathlib.Path(os.environ["PROGRAMS"])
LIFE, MAILBOX = os.environ["LIFE"], os.environ["MAILBOX"]
ETC, QUEUE, MAIL = pathlib.Path("/mnt/etc"), pathlib.Path("/mnt/queue/spool"), pathlib.Path("/mnt/mail")
USERS = [f"u{n}" for n in range(4)]
PORT = 2025
console = threading.Lock()


def say(line):
    with console:
        os.write(1, (line + "\n").encode())


def write_configuration():
    QUEUE.mkdir(exist_ok=True)
    (ETC / "facteur.yaml").write_text(f"""
myhostname: powercut.example
myorigin: powercut.example
mydestination: powercut.example, localhost
inet_interfaces: loopback-only
inet_protocols: ipv4
home_mailbox: {"Maildir/" if MAILBOX == "maildir" else "Mailbox"}
port_offset: 2000
queue_directory: {QUEUE}
data_directory: /tmp/data
run_directory: /tmp/run
maillog_file: /tmp/mail.log
daemon_directory: {PROGRAMS}
command_directory: {PROGRAMS}
alias_maps: /mnt/etc/aliases
accounts_file: /mnt/etc/accounts
minimal_backoff_time: 1s
queue_run_delay: 1s
""")
    for folder in ("/tmp/data", "/tmp/run"):
        os.makedirs(folder, exist_ok=True)
    (ETC / "aliases").write_text("postmaster: u0\n")
    (ETC / "accounts").write_text("".join(f"{u}:!:{os.getuid()}:{os.getgid()}::{MAIL}/{u}:/bin/sh\n" for u in USERS))
    for user in USERS:
        (MAIL / user).mkdir(exist_ok=True)


def wait_for(what, seconds, condition):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            say(f"FAILED waiting for {what}")
            for line in pathlib.Path("/tmp/mail.log").read_text(errors="replace").splitlines()[-12:]:
                say(f"  {line}")
            sys.exit(1)
        time.sleep(0.02)


def answers():
    try:
        with socket.create_connection(("127.0.0.1", PORT), 1) as s:
            return s.recv(3) == b"220"
    except OSError:
        return False


def queued(*folders):
    folders = folders or ("maildrop", "incoming", "active", "deferred")
    return sum(len([n for n in os.listdir(QUEUE / d) if not n.endswith(".tmp")]) for d in folders)


def list_mailboxes():
    for user in USERS:
        for name, text in mails(user):
            ids = [line.split(": ")[1] for line in text.splitlines() if line.startswith("Subject: ")]
            if len(ids) == 1 and text.endswith(f"end of {ids[0]}\n"):
                say(f"HAVE {ids[0]}/{user}")
            else:
                say(f"TORN {name} ({len(text)} octets)")
    for name in os.listdir(QUEUE / "corrupt"):
        say(f"TORN queue file {name}")


def mails(user):
    """What a reader would show of one user's mail."""
    if MAILBOX == "maildir":
        for part in ("new", "cur"):
            folder = MAIL / user / "Maildir" / part
            for name in os.listdir(folder) if folder.is_dir() else []:
                yield f"{user}/{part}/{name}", (folder / name).read_text(errors="replace")
        return
    box = MAIL / user / "Mailbox"
    for number, text in enumerate(box.read_text(errors="replace").split("\n\nFrom ") if box.exists() else []):
        yield f"{user} number {number}", text.rstrip("\n") + "\n"


def message(ident):
    body = "x" * 60 + "\n"
    return f"Subject: {ident}\n\n{body * random.choice([1, 20, 60, 400])}end of {ident}\n"


def smtp_burst(lane, number):
    with smtplib.SMTP("127.0.0.1", PORT) as session:
        for n in range(random.randrange(1, 6)):
            ident = f"{LIFE}-{lane}-{number}-{n}"
            users = random.sample(USERS, random.choice([1, 1, 1, 3]))
            session.ehlo_or_helo_if_needed()
            session.mail("tester@powercut.example")
            [session.rcpt(user) for user in users]
            code, reply = session.data(message(ident))
            if code == 250:
                acknowledged(ident, users, reply.decode().split()[-1])


def sendmail_one(number):
    ident = f"{LIFE}-s-{number}"
    user = random.choice(USERS)
    done = subprocess.run([PROGRAMS / "sendmail", "-C", str(ETC), user], input=message(ident).encode(), env=lying())
    if done.returncode == 0:
        acknowledged(ident, [user])


def acknowledged(ident, users, queue_id="-"):
    for user in users:
        say(f"ACK {ident}/{user} {queue_id}")


def tell_removals():
    """Prints each message that the log calls removed: from then on it must never be delivered again."""
    with open("/tmp/mail.log", errors="replace") as log:
        while True:
            line = log.readline()
            if line.endswith(": removed\n"):
                say(f"REMOVED {line.split(': ')[-2]}")
            elif not line:
                time.sleep(0.005)  # the log has no event to wait for


def lying():
    """The environment of our programs; see lying_sync.c."""
    if not os.environ["WITHOUT"]:
        return dict(os.environ)
    return dict(os.environ, LD_PRELOAD=os.environ["LYING"], LYING_SYNC=os.environ["WITHOUT"].replace(";", " "))


def load():
    number = 0
    while True:
        number += 1
        lanes = [threading.Thread(target=smtp_burst, args=(lane, number)) for lane in range(random.choice([1, 1, 2, 6]))]
        if number % 4 == 0:
            lanes.append(threading.Thread(target=sendmail_one, args=(number,)))
        [t.start() for t in lanes]
        [t.join() for t in lanes]
        time.sleep(random.choice([0, 0.1, 0.5, 1]))  # the load itself: a quiet moment in which a cut finds the last burst


def load_of_drops():
    """By sendmail alone: each sync of the file system's journal, whosesoever, takes all that came before along."""
    for number in itertools.count(1):
        sendmail_one(number)
        time.sleep(random.choice([0, 0.1, 0.5]))  # as above


def stop(program):
    """What it should take on then waits for the next life."""
    for entry in filter(str.isdigit, os.listdir("/proc")):
        if pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().split(b"\0")[0].endswith(b"/" + program):
            os.kill(int(entry), signal.SIGSTOP)


write_configuration()
subprocess.Popen([PROGRAMS / "master", "-c", str(ETC)], env=lying())
wait_for("the greeting", 30, answers)
wait_for("the queue to drain", 60, lambda: queued() == 0)
list_mailboxes()
say("LISTED")
threading.Thread(target=tell_removals, daemon=True).start()
stays = random.choices(["nothing", "what was dropped", "what was accepted"], [0.5, 0.25, 0.25])[0]
if stays == "what was dropped":
    stop(b"pickup")
elif stays == "what was accepted":
    stop(b"local")
say("LOAD")
load_of_drops() if stays == "what was dropped" else load()
