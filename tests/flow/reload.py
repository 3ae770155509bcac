#!/usr/bin/env python3
"""A reload that names tables in a directory nobody could read before: the jailed programs are replaced, and nobody notices."""
import os, pathlib, subprocess, threading

from facteur import NOBODY, Failure, System, run
from nexthop import NextHop


def new_folder(system, **tables):
    folder = system.dir / "elsewhere"
    folder.mkdir()
    for name, text in tables.items():
        (folder / name).write_text(text)
    if system.as_user:
        for path in (folder, *folder.iterdir()):
            os.chown(path, NOBODY, NOBODY)
    return folder


def pids(system):
    return {name: system.pids(name) for name in ("smtpd", "smtp", "qmgr", "pickup", "local")}


def landlock():
    return "landlock" in pathlib.Path("/sys/kernel/security/lsm").read_text() if os.path.exists("/sys/kernel/security/lsm") else None


def new_directory():
    """All programs read their tables in the new directory; open sessions and a delivery under way go on."""
    slow, begun = threading.Event(), threading.Event()

    def end(_):
        begun.set()
        slow.wait(7)  # smtp waits eight seconds for what is under way, and qmgr, which is replaced too, for smtp

    with NextHop(end=end) as hop, System(services=["master"], relayhost=f"[127.0.0.1]:{hop.port}") as system:
        before = pids(system)
        session, idle = system.smtp(), system.smtp()
        for command, code in (("EHLO pc", "250"), ("MAIL FROM:<sender@m3102.com>", "250"), ("RCPT TO:<kevin>", "250"), ("DATA", "354")):
            session.expect(command, code)
        system.send("slow@far.example")
        if not begun.wait(20):
            raise Failure("no delivery under way")
        folder = new_folder(system, virtual="info@m3102.com foo\n", transport=f"there.example smtp:[127.0.0.1]:{hop.port}\n",
                            policy=f"[127.0.0.1]:{hop.port} none\n", bcc="bcc@far.example toto\n")
        system.configure(virtual_alias_maps=f"hash:{folder}/virtual", transport_maps=f"hash:{folder}/transport", relayhost="[127.0.0.1]:1",
                         smtp_tls_policy_maps=f"hash:{folder}/policy", recipient_bcc_maps=f"hash:{folder}/bcc")
        system.reload()
        system.wait("new programs", lambda: all(set(now) - set(before[name]) for name, now in pids(system).items() if name != "local"))
        threading.Timer(1, slow.set).start()
        # the old smtpd is still there for those who talk with it
        session.expect("Subject: begun before\r\n\r\nx\r\n.", "250 2.0.0 Ok")
        session.expect("QUIT", "221")
        system.wait_mails("kevin", 1)
        system.send("info@m3102.com")
        system.wait_mails("foo", 1)
        system.sendmail("info@m3102.com", text="Subject: by pickup\n\nx\n")
        system.wait_mails("foo", 2)
        system.send("a@there.example")
        hop.wait(2)
        idle.expect("EHLO pc", "250")
        idle.expect("QUIT", "221")
        system.wait("the old smtpd gone", lambda: not set(before["smtpd"]) & set(system.pids("smtpd")))
        system.wait("an empty queue", lambda: not system.queued())
        to = sorted(address for mail in hop.messages for address in mail.to())
        if to != ["a@there.example", "slow@far.example"]:
            raise Failure(f"the next hop has mail for {to}")
        if before["local"] != system.pids("local"):
            raise Failure("local has no jail and was replaced")


def takes_hold():
    """When `facteur reload` has ended, whoever comes next meets the new settings, however busy the machine is."""
    busy = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(4)]
    try:
        with System() as system:
            for round in range(20):
                folder = system.dir / f"round{round // 5}"  # now and then one that the jailed programs may not read yet
                folder.mkdir(exist_ok=True)
                (folder / "virtual").write_text(f"info-{round}@m3102.com foo\n")
                if system.as_user:
                    os.chown(folder, NOBODY, NOBODY)
                system.configure(smtpd_banner=f"round {round}", login_greeting=f"round {round}", virtual_alias_maps=f"hash:{folder}/virtual")
                if said := system.reload():
                    raise Failure(f"reload {round}: {said}")
                for port, greeting in ((25, "220"), (110, "+OK"), (143, "* OK")):
                    line = system.connect(port).line()
                    if not line.startswith(greeting) or not line.endswith(f"round {round}"):
                        raise Failure(f"after reload {round} port {port} says {line}")
                system.send(f"info-{round}@m3102.com")
            system.wait_mails("foo", 20)
    finally:
        for one in busy:
            one.kill()
            one.wait()


def old_directory():
    """Where nothing is new, the programs stay."""
    with System(services=["master"]) as system:
        before = pids(system)
        (system.etc / "virtual").write_text("info@m3102.com foo\n")
        system.configure(virtual_alias_maps=f"hash:{system.etc}/virtual")
        system.reload()
        system.send("info@m3102.com")
        system.wait_mails("foo", 1)
        if pids(system) != before:
            raise Failure("programs were replaced")


def under_load():
    """Reloads that replace the programs again and again, while mail comes in: each that was taken is delivered once."""
    with System(services=["master"]) as system:
        done, taken = threading.Event(), []

        def client(number):
            count = 0
            while not done.is_set():
                count += 1
                subject = f"mail-{number}-{count}"
                system.send("kevin", subject=subject)
                taken.append(subject)
        clients = [threading.Thread(target=client, args=(number,)) for number in range(3)]
        for one in clients:
            one.start()
        for round in range(4):
            folder = system.dir / f"round{round}"
            folder.mkdir()
            (folder / "virtual").write_text("info@m3102.com foo\n")
            if system.as_user:
                os.chown(folder, NOBODY, NOBODY)
            before = set(system.pids("smtpd"))
            system.configure(virtual_alias_maps=f"hash:{folder}/virtual")
            system.reload()
            system.wait("another smtpd", lambda: set(system.pids("smtpd")) - before)
            sent = len(taken)
            system.wait("mail by the new programs", lambda: len(taken) >= sent + 20)
        done.set()
        for one in clients:
            one.join()
        system.wait("an empty queue", lambda: not system.queued(), 60)
        system.wait_mails("kevin", len(taken), 60)
        got = sorted(line.removeprefix("Subject: ") for mail in system.mails("kevin") for line in mail.splitlines() if line.startswith("Subject: "))
        if got != sorted(taken):
            raise Failure(f"{len(got)} mails delivered, {len(taken)} taken")
        return f"{len(taken)} mails, landlock {landlock()}"


if __name__ == "__main__":
    run(new_directory, takes_hold, old_directory, under_load)
