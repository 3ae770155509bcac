#!/usr/bin/env python3
"""Which way mail goes, and how the queue treats next hops that are slow, dead or many."""
import json, os, pathlib, signal, socket, subprocess, time

from facteur import NOBODY, Failure, System, run
from nexthop import STALL, NextHop


def started(**parameters):
    return System(services=["master"], **parameters)


def place(hop):
    return f"[{hop.host}]:{hop.port}"


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def told(system, ident, text, seconds=20):
    system.wait_log(rf"{ident}: to=<.*{text}", seconds, since=0)


def facteur(system, *words):
    done = subprocess.run([system.programs / "facteur", "-c", str(system.etc), *words], capture_output=True, text=True, timeout=60, **system.as_user)
    if done.returncode:
        raise Failure(f"facteur {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def destinations(system):
    return {row["name"]: row for row in map(json.loads, facteur(system, "destinations", "--json").splitlines())}


def flush(system, text=b"flush"):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as qmgr:
        qmgr.sendto(text, str(system.queue / "public/qmgr"))


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def multiply(sample, count):
    """Makes `count` messages of one: what is in a queue file does not name it. Each is a second older than the one before."""
    octets, at = sample.read_bytes(), sample.stat()
    for number in range(1, count):
        path = sample.with_name(f"{int(sample.name, 16) - (number << 28):015X}")
        path.write_bytes(octets)
        path.chmod(at.st_mode & 0o777)
        os.chown(path, at.st_uid, at.st_gid)
        os.utime(path, ns=(at.st_atime_ns, at.st_mtime_ns))


def peak_memory(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(l for l in status.splitlines() if l.startswith("VmHWM")).split()[1]) * 1024


def ways():
    """transport_maps is read live; relayhost, the sender's relayhost, LMTP, error, discard, hold and local_transport each do what they say."""
    with NextHop() as mapped, NextHop() as gate, NextHop() as mine, NextHop(lmtp=True) as boxes:
        system = started(relayhost=place(gate), sender_dependent_relayhost_maps=f"inline:{{boss@m3102.com={place(mine)}}}", virtual_mailbox_domains="box.example",
                         virtual_transport=f"lmtp:inet:{boxes.host}:{boxes.port}", transport_maps="")
        maps = system.etc / "transport"
        maps.write_text(f"x.example smtp:{place(mapped)}\nno.example error:5.1.2 this domain is gone\nnull.example discard:nobody wants it\nlook.example hold:look at this\n")
        system.configure(transport_maps=str(maps))
        with system:
            told(system, system.send("a@x.example"), rf"relay=127\.0\.0\.1\[127\.0\.0\.1\]:{mapped.port}, .*status=sent")
            told(system, system.send("a@other.example"), rf"relay=127\.0\.0\.1\[127\.0\.0\.1\]:{gate.port}, .*status=sent")
            told(system, system.send("a@box.example"), rf"relay=127\.0\.0\.1\[127\.0\.0\.1\]:{boxes.port}, .*status=sent")
            told(system, system.send("a@no.example"), r"relay=none, .*dsn=5\.1\.2, status=bounced \(this domain is gone\)")
            told(system, system.send("a@null.example"), r"relay=none, .*dsn=2\.0\.0, status=sent \(nobody wants it\)")
            held = system.send("a@look.example")
            told(system, held, r"status=deferred \(look at this\)")
            system.wait("it on hold", (system.queue / "hold" / held).exists)
            system.sendmail("-f", "boss@m3102.com", "b@other.example", text="Subject: x\n\nx\n")
            mine.wait(1)
            maps.write_text(maps.read_text().replace("x.example smtp", "x.example error:moved\nunused smtp"))
            told(system, system.send("again@x.example"), r"status=bounced \(moved\)")
            system.configure(local_transport="error:5.7.1 local mail delivery is disabled")
            system.children["master"].send_signal(signal.SIGHUP)
            system.wait_log(r"master\[\d+\]: reload")
            told(system, system.send("kevin@m3102.com"), r"dsn=5\.7\.1, status=bounced \(local mail delivery is disabled\)")


def together():
    """A hundred and twenty recipients at one next hop: three deliveries, each recipient once."""
    with NextHop() as hop, started(relayhost=place(hop)) as system:
        ident = system.send([f"u{n}@far.example" for n in range(120)])
        system.wait_log(rf"{ident}: removed")
        same(sorted(len(mail.to()) for mail in hop.messages), [20, 50, 50])
        same(sorted(to for mail in hop.messages for to in mail.to()), sorted(f"u{n}@far.example" for n in range(120)))


def limits_by_transport():
    """What default_destination_* says holds for all transports but those that have their own word."""
    with NextHop(mail=[STALL] * 50, lmtp=True) as slow, NextHop(mail=[STALL] * 50) as relayed, NextHop() as paced, NextHop(lmtp=True) as boxes:
        by_lmtp = {hop: f"lmtp:inet:{hop.host}:{hop.port}" for hop in (slow, boxes)}
        maps = f"inline:{{slow.example={by_lmtp[slow]}, relayed.example=relay:{place(relayed)}, paced.example=smtp:{place(paced)}, box.example={by_lmtp[boxes]}}}"
        with started(transport_maps=maps, initial_destination_concurrency=4, relay_initial_destination_concurrency=2,
                     lmtp_destination_recipient_limit=2, smtp_destination_rate_delay="1h") as system:
            for n in range(8):
                system.send(f"u{n}@slow.example")
                system.send(f"u{n}@relayed.example")
            for name, most in ((by_lmtp[slow], 4), (f"relay:{place(relayed)}", 2)):
                def row():
                    return destinations(system).get(name, {"open": None, "waiting": None})
                system.wait(f"{most} deliveries to {name}", lambda: (row()["open"], row()["waiting"]) == (most, 8 - most))
            ident = system.send([f"u{n}@box.example" for n in range(5)])
            system.wait_log(rf"{ident}: removed")
            same(sorted(sum(c.startswith(verb) for c in boxes.commands) for verb in ("MAIL", "RCPT")), [3, 5])
            told(system, system.send("u@paced.example"), "status=sent")
            system.send("v@paced.example")
            system.wait("the second resting", lambda: destinations(system)[f"smtp:{place(paced)}"]["waiting"] == 1)
            told(system, system.send("w@box.example"), "status=sent")
            same(len(paced.messages), 1)
            slow.close()
            relayed.close()


def dead_and_slow():
    """Mail for dead and for a silent next hop delays nobody; the dead are left in peace, and the one that is named is tried when told to."""
    port, other = closed_port(), closed_port()
    with NextHop(connect=[STALL] * 50) as slow, NextHop() as live:
        maps = f"inline:{{dead.example=smtp:[127.0.0.1]:{port}, gone.example=smtp:[127.0.0.1]:{other}, slow.example=smtp:{place(slow)}, live.example=smtp:{place(live)}}}"
        with started(transport_maps=maps, minimal_backoff_time="1h", maximal_backoff_time="2h", fast_flush_domains="dead.example") as system:
            late = [system.send(f"u{n}@dead.example") for n in range(12)]
            [system.send(f"u{n}@gone.example") for n in range(12)]
            [system.send(f"u{n}@slow.example") for n in range(12)]
            start = time.monotonic()
            for n in range(5):
                told(system, system.send(f"u{n}@live.example"), "status=sent")
            if time.monotonic() - start > 10:
                raise Failure(f"mail for a next hop that lives took {time.monotonic() - start:.1f} s")
            for ident in late:
                told(system, ident, rf"status=deferred \(.*connect to 127\.0\.0\.1\[127\.0\.0\.1\]:{port}: Connection refused\)")
            told(system, system.send("more@dead.example"), r"relay=none, .*status=deferred \(delivery temporarily suspended: connect to ")
            name = f"smtp:[127.0.0.1]:{port}"
            system.wait("thirteen messages tied to it", lambda: destinations(system)[name]["deferred"] == 13)
            row = destinations(system)[name]
            same((row["parked"], row["window"], row["open"], 3000 < row["next_try"] <= 3600), (True, 1, 0, True))
            gone = f"smtp:[127.0.0.1]:{other}"
            system.wait("the other one left in peace", lambda: destinations(system)[gone]["parked"])
            alive = destinations(system)[f"smtp:{place(live)}"]
            same((alive["parked"], alive["delivered"], alive["rate"]), (False, 5, 5))
            why = facteur(system, "why", late[0])
            for part in ("waits: the next try is in ", "u0@dead.example\n", "Connection refused", f"by smtp to [127.0.0.1]:{port}", "  because    ", "left in peace for "):
                if part not in why:
                    raise Failure(f"{part!r} is not in {why}")
            with NextHop(port=port) as risen:
                session = system.smtp()
                session.expect("EHLO pc", "250")
                session.expect("ETRN dead.example", "250 ")
                session.expect("ETRN else.example", "459 ")
                system.wait("all of it there", lambda: len(risen.messages) >= 13)
            same([destinations(system)[which]["parked"] for which in (name, gone)], [False, True])
            slow.close()


def one_message():
    """`facteur queue flush ID` tries that message and leaves every next hop, its own too, in peace as far as others are concerned."""
    port, other = closed_port(), closed_port()
    maps = f"inline:{{dead.example=smtp:[127.0.0.1]:{port}, gone.example=smtp:[127.0.0.1]:{other}}}"
    with started(transport_maps=maps, minimal_backoff_time="1h", maximal_backoff_time="2h", initial_destination_concurrency=1) as system:
        ids = [system.send(f"{name}@{domain}") for domain in ("dead.example", "gone.example") for name in "ab"]
        for ident in ids:
            told(system, ident, r"status=deferred \(.*\)")
        hops = [f"smtp:[127.0.0.1]:{which}" for which in (port, other)]
        parked = lambda: [destinations(system)[hop]["parked"] for hop in hops]
        system.wait("both left in peace", lambda: parked() == [True, True])
        since = system.mark_log()
        facteur(system, "queue", "flush", ids[0])
        system.wait_log(rf"{ids[0]}: to=<a@dead\.example>, relay=none, .*status=deferred \(connect to 127\.0\.0\.1\[127\.0\.0\.1\]:{port}: Connection refused\)$", since=since)
        same(parked(), [True, True])
        for domain in ("dead.example", "gone.example"):
            told(system, system.send(f"new@{domain}"), r"relay=none, .*status=deferred \(delivery temporarily suspended: connect to .*\)")
        with NextHop(port=port) as risen:
            facteur(system, "queue", "flush", ids[1])
            same(risen.wait(1)[0].to(), ["b@dead.example"])
            told(system, ids[1], r"status=sent \(.*\)")
            same(parked(), [False, True])


def killed():
    """qmgr is killed three times while three hundred messages leave: each arrives, and the queue is empty."""
    with NextHop() as hop, started(relayhost=place(hop)) as system:
        session = system.smtp()
        session.expect("EHLO pc", "250")
        for n in range(300):
            system.send(f"u{n}@far.example", session=session)
            if n in (100, 180, 260):
                hop.wait(n // 3, 60)
                for pid in system.pids("qmgr"):
                    os.kill(pid, signal.SIGKILL)
        system.wait("an empty queue", lambda: system.queued() == 0, 60)
        same({to for mail in hop.messages for to in mail.to()}, {f"u{n}@far.example" for n in range(300)})
        return f"{len(hop.messages)} messages for 300"


def many_dead_domains():
    """DEFERRED messages (5000) over a hundredth as many dead domains: up within ten seconds, new mail to a live next hop within a second, memory below 500 octets each."""
    count, port = int(os.environ.get("DEFERRED", "5000")), closed_port()
    with NextHop() as live:
        domains = count // 100
        maps = "".join(f"d{n}.example smtp:[127.{n // 250 + 1}.{n % 250 + 1}.1]:{port}\n" for n in range(domains))
        system = started(transport_maps="", minimal_backoff_time="1h", maximal_backoff_time="1h", smtp_connect_timeout="2s", defer_transports="smtp")
        (system.etc / "transport").write_text(maps + f"live.example smtp:{place(live)}\n")
        system.configure(transport_maps=str(system.etc / "transport"))
        with system:
            session = system.smtp()
            session.expect("EHLO pc", "250")
            samples = [system.send(f"u@d{n}.example", session=session) for n in range(domains)]
            for ident in (samples[0], samples[-1]):
                system.wait_log(f"{ident}: to=.*status=deferred", 60, since=0)
            system.wait("all deferred", lambda: len(os.listdir(system.queue / "deferred")) == domains, 60)
            before = peak_memory(system.pids("qmgr")[0])
            system.stop("master")
            for ident in samples:
                multiply(system.queue / "deferred" / ident, 100)
            system.configure(defer_transports="")
            start = time.monotonic()
            system.start("master")
            told(system, system.send("first@live.example"), "status=sent", 60)
            up = time.monotonic() - start
            flush(system)
            system.wait_log("status=deferred .*Connection refused", 30)
            slowest = 0
            for n in range(10):
                begin = time.monotonic()
                told(system, system.send(f"u{n}@live.example"), "status=sent", 60)
                slowest = max(slowest, time.monotonic() - begin)
            memory = peak_memory(system.pids("qmgr")[0])
            each = (memory - before) / count
            said = f"{count} messages: up after {up:.1f} s, slowest new mail {slowest:.2f} s, qmgr took {memory >> 20} MiB at most, {before >> 20} MiB before, {each:.0f} octets each"
            if up > 10 or slowest > 3 or memory > 30_000_000 + 500 * count:
                raise Failure(said)
            return said


run(ways, together, limits_by_transport, dead_and_slow, one_message, killed, many_dead_domains)
