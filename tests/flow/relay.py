#!/usr/bin/env python3
"""Mail to other hosts with the real programs: relayhost, DNS, TLS, logins, connections used again, kill -9, and two systems that write to each other."""
import collections, concurrent.futures, contextlib, os, pathlib, re, shutil, signal, socket, ssl, subprocess, tempfile, threading

import nexthop
from facteur import NOBODY, Failure, System, run
from nameserver import A, CNAME, MX, SERVFAIL, SILENT, Names
from nexthop import NextHop


def same(got, wanted):
    if got != wanted:
        raise Failure(f"got {got!r}, not {wanted!r}")


def started(**parameters):
    return System(services=["master"], **parameters)


def to_hop(hop, **parameters):
    return started(relayhost=f"[127.0.0.1]:{hop.port}", **parameters)


def told(system, ident, text, since=0):
    """The line of smtp about a message that ends this way."""
    return system.wait_log(rf"facteur/smtp\[\d+\]: {ident}: to=<[^>]*>, .*{text}$", since=since)


def gone(system, ident):
    system.wait_log(rf"facteur/qmgr\[\d+\]: {ident}: removed\n", since=0)


def put(system, name, text, mode=0o600):
    path = system.etc / name
    path.write_text(text)
    path.chmod(mode)
    if system.as_user:
        os.chown(path, NOBODY, NOBODY)
    return path


def relayhost():
    """What the next hop gets, and the line in the log."""
    with NextHop() as hop, to_hop(hop) as system:
        ident = system.send(["a@far.example", "b@other.example"], body="bonjour été\r\n..point")
        mail, = hop.wait(1)
        same((mail.sender.split(">")[0], mail.to()), ("<sender@m3102.com", ["a@far.example", "b@other.example"]))
        head, _, body = mail.content.partition(b"\r\n\r\n")
        same(body, "bonjour été\r\n.point\r\n".encode())
        if not head.startswith(b"Received: from pc ") or b"Return-Path" in head:
            raise Failure(f"head {head!r}")
        place = rf"127\.0\.0\.1\[127\.0\.0\.1\]:{hop.port}"
        number = r"[\d.]+"
        for address in ("a@far.example", "b@other.example"):
            system.wait_log(rf"facteur/smtp\[\d+\]: {ident}: to=<{address}>, relay={place}, delay={number}, delays={'/'.join([number] * 4)}, "
                            r"dsn=2\.0\.0, status=sent \(250 2\.0\.0 Ok: queued as 1\)$", since=0)
        gone(system, ident)
        pid, = system.pids("smtp")
        jail = pathlib.Path(f"/proc/{pid}/status").read_text()
        same(re.findall(r"(?:NoNewPrivs|Seccomp):\t(\d)", jail), ["1", "2"])
        # mail for ourselves does not go that way
        system.send("kevin@m3102.com")
        system.wait_mails("kevin", 1)


def refusals():
    """Each refusal is told in the server's words, and what was put off comes later."""
    with NextHop(rcpt=["550 5.1.1 who?", None, "450 4.2.1 later"], connect=[None, "421 4.3.2 busy", "554 5.3.2 go away"]) as hop, \
            to_hop(hop, smtp_connection_cache_on_demand="no", default_destination_concurrency_failed_cohort_limit=0) as system:
        ident = system.send(["a@far.example", "b@far.example", "c@far.example"])
        said = rf"\(host 127\.0\.0\.1\[127\.0\.0\.1\] said: %s \(in reply to RCPT TO command\)\)"
        told(system, ident, r"dsn=5\.1\.1, status=bounced " + said % r"550 5\.1\.1 who\?")
        told(system, ident, r"status=sent \(250 .*\)")
        told(system, ident, r"dsn=4\.2\.1, status=deferred " + said % r"450 4\.2\.1 later")
        for reply in (r"421 4\.3\.2 busy", r"554 5\.3\.2 go away"):
            late = system.send("d@far.example")
            told(system, late, rf"status=deferred \(host 127\.0\.0\.1\[127\.0\.0\.1\] refused to talk to me: {reply}\)")
        flush(system)
        hop.wait(3)
        system.wait("an empty queue", lambda: system.queued() == 0 or flush(system))


def flush(system):
    """As `facteur queue flush`: everything is tried now."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as wake:
        wake.connect(str(system.queue / "public" / "qmgr"))
        wake.send(b"flush")
    return False


def nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with started(relayhost=f"[127.0.0.1]:{port}") as system:
        ident = system.send("a@far.example")
        text = rf"connect to 127\.0\.0\.1\[127\.0\.0\.1\]:{port}: Connection refused"
        system.wait_log(rf"facteur/smtp\[\d+\]: {text}$", since=0)
        told(system, ident, rf"relay=none, .*dsn=4\.4\.1, status=deferred \({text}\)")


def dns():
    """Which hosts a domain's mail goes to, and what is said when there is none."""
    system = started()
    records = {
        "far.example": {MX: [(20, "live.far.example"), (10, "dead.far.example"), (30, "unused.far.example")]},
        "dead.far.example": {A: ["127.0.0.3"]}, "live.far.example": {A: ["127.0.0.2"]}, "unused.far.example": {A: ["127.0.0.4"]},
        "plain.example": {A: ["127.0.0.2"]},
        "alias.example": {CNAME: ["far.example"]},
        "null.example": {MX: [(0, "")]},
        "noaddress.example": {MX: [(10, "missing.example")]},
        "broken.example": SERVFAIL, "silent.example": SILENT,
        "empty.example": {},
        "loop.example": {MX: [(10, "me.example")]}, "me.example": {A: ["127.0.0.1"]},
        "backup.example": {MX: [(10, "live.far.example"), (20, "me.example"), (30, "unused.far.example")]},
        "lost.example": {MX: [(10, "missing.example"), (20, "me.example")]},
    }
    port = 25 + system.offset
    nothing = r"Host or domain name not found\. Name service error for name={} type={}: {}"
    table = {
        "nowhere.example": r"dsn=5\.4\.4, status=bounced \(" + nothing.format(r"nowhere\.example", "MX", "Host not found"),
        "broken.example": r"dsn=4\.4\.3, status=deferred \(" + nothing.format(r"broken\.example", "MX", "Host not found, try again"),
        "silent.example": r"dsn=4\.4\.3, status=deferred \(" + nothing.format(r"silent\.example", "MX", "Host not found, try again"),
        "empty.example": r"dsn=5\.4\.4, status=bounced \(" + nothing.format(r"empty\.example", "A", "Host found but no data record of requested type"),
        "noaddress.example": r"dsn=5\.4\.4, status=bounced \(" + nothing.format(r"missing\.example", "A", "Host not found"),
        "null.example": r"dsn=5\.1\.10, status=bounced \(Domain null\.example does not accept mail \(nullMX\)",
        "loop.example": r"dsn=5\.4\.6, status=bounced \(mail for loop\.example loops back to myself",
        "lost.example": r"dsn=4\.4\.4, status=deferred \(unable to find primary relay for lost\.example",
    }
    with Names(records) as names, NextHop(host="127.0.0.2", port=port, name="live.far.example") as hop:
        system.configure(dns_servers=names.server, smtp_tcp_port=port)
        with system:
            waiting = {domain: system.send(f"a@{domain}") for domain in table}
            # none of these holds up the others
            live = rf"relay=live\.far\.example\[127\.0\.0\.2\]:{port}, .*status=sent \(250 2\.0\.0 Ok: queued as .*\)"
            for domain in ("far.example", "alias.example", "backup.example"):
                told(system, system.send(f"b@{domain}"), live)
            told(system, system.send("b@plain.example"), rf"relay=plain\.example\[127\.0\.0\.2\]:{port}, .*status=sent \(.*\)")
            told(system, system.send("b@[127.0.0.2]"), rf"relay=127\.0\.0\.2\[127\.0\.0\.2\]:{port}, .*status=sent \(.*\)")
            if "status=deferred (Host or domain name not found. Name service error for name=silent" in system.log_text():
                raise Failure("the silent domain was answered before the others were sent: nothing is shown")
            system.wait_log(rf"connect to dead\.far\.example\[127\.0\.0\.3\]:{port}: Connection refused$", since=0)
            for domain, text in table.items():
                told(system, waiting[domain], text + r"\)")
            same(len(hop.wait(5)), 5)
            if "127.0.0.4" in system.log_text():
                raise Failure("a host was tried that should not have been")
            # the second time the answer is known
            asked = names.asked["far.example"]
            told(system, system.send("c@far.example"), live)
            same(names.asked["far.example"], asked)


def dead_names():
    """The name server goes away: mail waits with a true reason, and goes when it is back."""
    system = started()
    port = 25 + system.offset
    with Names({"far.example": {A: ["127.0.0.2"]}}) as names, NextHop(host="127.0.0.2", port=port) as hop:
        system.configure(dns_servers=names.server, smtp_tcp_port=port)
        host, number = names.server.split(":")
        names.stop()
        with system:
            ident = system.send("a@far.example")
            told(system, ident, r"relay=none, .*dsn=4\.4\.3, status=deferred \(Host or domain name not found\. Name service error for name=far\.example type=MX: Host not found, try again\)")
            system.wait("the message among the deferred", lambda: os.listdir(system.queue / "deferred"))
            with Names(names.records, int(number)):
                flush(system)
                told(system, ident, r"status=sent \(.*\)")
                same(len(hop.wait(1)), 1)


def slow_goodbye():
    """A server that never answers QUIT keeps nobody waiting: the next message takes another connection."""
    with NextHop(quit=nexthop.STALL) as hop, to_hop(hop, smtp_skip_quit_response="no", smtp_connection_cache_time_limit="1s") as system:
        told(system, system.send("a@far.example"), r"status=sent \(.*\)")
        hop.wait_command("QUIT")
        told(system, system.send("a@far.example"), r"status=sent \(.*\)")
        same(hop.connections, 2)


def name_servers():
    """Both at once, as most of it is waiting."""
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for test in [pool.submit(dns), pool.submit(dead_names)]:
            test.result()


class Authority:
    """A certificate of ours for `hop.example.org`, and who vouches for it."""

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="facteur-flow-"))
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        self.openssl("req", "-x509", *key, "-days", "2", "-subj", "/CN=An authority", "-keyout", "ca.key", "-out", "ca.pem")
        self.openssl("req", *key, "-subj", "/CN=hop.example.org", "-keyout", "key.pem", "-out", "request")
        (self.folder / "names").write_text("subjectAltName=DNS:hop.example.org\nbasicConstraints=CA:FALSE\n")
        self.openssl("x509", "-req", "-in", "request", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "cert.pem")
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(self.folder / "cert.pem", self.folder / "key.pem")
        self.before, nexthop.certificate = nexthop.certificate, lambda: self.context
        return self

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.folder, check=True, capture_output=True)

    def __exit__(self, *_):
        nexthop.certificate = self.before
        shutil.rmtree(self.folder)


def tls():
    """Each level against a server with and without TLS, and what the log says of it."""
    hosts = {"m.example": "may", "e.example": "encrypt", "hop.example.org": "verify", "s.example": "secure match=.example.org:hop.example.org",
             "n.example": "none", "w.example": "verify", "c.example": "encrypt"}
    with Authority() as authority, Names({host: {A: ["127.0.0.1"]} for host in hosts}) as names, NextHop(tls="starttls") as hop, NextHop() as clear:
        ports = {host: (clear if host == "c.example" else hop).port for host in hosts}

        def set_up(**parameters):
            system = started(dns_servers=names.server, smtp_connection_cache_on_demand="no", **parameters)
            system.configure(smtp_tls_CAfile=put(system, "ca.pem", (authority.folder / "ca.pem").read_text(), 0o644) if not parameters else "",
                             transport_maps=put(system, "transport", "".join(f"to.{host} smtp:[{host}]:{port}\n" for host, port in ports.items()), 0o644),
                             smtp_tls_policy_maps=put(system, "policy", "".join(f"[{host}]:{ports[host]} {level}\n" for host, level in hosts.items()), 0o644))
            return system

        def sent(system, host, level):
            told(system, system.send(f"a@to.{host}"), r"status=sent \(.*\)")
            if level:
                system.wait_log(rf"facteur/smtp\[\d+\]: {level} TLS connection established to {host}\[127\.0\.0\.1\]:{hop.port}: TLSv1\.[23] with cipher TLS_\w+$", since=0)
            same(hop.messages[-1].tls, bool(level))

        def deferred(system, host, text):
            told(system, system.send(f"a@to.{host}"), rf"status=deferred \({text}\)")
        with set_up() as system:
            for host, level in (("m.example", "Trusted"), ("e.example", "Trusted"), ("hop.example.org", "Verified"), ("s.example", "Verified"), ("n.example", None)):
                sent(system, host, level)
            deferred(system, "w.example", "Server certificate not verified")
            deferred(system, "c.example", r"TLS is required, but was not offered by host c\.example\[127\.0\.0\.1\]")
            # a handshake that fails: again in clear, if that is allowed
            authority.context.set_ciphers("ALL:@SECLEVEL=0")
            authority.context.minimum_version, authority.context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
            sent(system, "m.example", None)
            system.wait_log(rf"SSL_connect error to m\.example\[127\.0\.0\.1\]:{hop.port}: ", since=0)
            deferred(system, "e.example", "Cannot start TLS: handshake failure")
            authority.context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
        with set_up(smtp_tls_CAfile="") as system:
            sent(system, "m.example", "Untrusted")
            deferred(system, "hop.example.org", "Server certificate not trusted")
            system.wait_log(rf"certificate verification failed for hop\.example\.org\[127\.0\.0\.1\]:{hop.port}: self-signed or by an unknown authority", since=0)


def tls_policies():
    """Attributes of single next hops: what they ask for is done, told in the log, or holds the mail back."""
    with Authority() as authority, NextHop(tls="starttls") as hop:
        own, rogue = (authority.folder / "ca.pem").read_text(), Authority()
        place = f"[127.0.0.1]:{hop.port}"
        with rogue, to_hop(hop, smtp_connection_cache_on_demand="no") as system:
            nexthop.certificate = lambda: authority.context
            system.configure(smtp_tls_policy_maps=put(system, "policy", f"{place} may\n", 0o644), smtp_tls_CAfile=put(system, "rogue.pem", (rogue.folder / "ca.pem").read_text(), 0o644))
            put(system, "own.pem", own, 0o644)
            system.children["master"].send_signal(signal.SIGHUP)
            system.wait_log("reload -- ", since=0)

            def line(policy):
                put(system, "policy", f"{place} {policy}\n", 0o644)
                return system.send("a@far.example"), system.mark_log()

            def secured(policy, text):
                told(system, line(policy)[0], r"status=sent \(.*\)")
                return system.wait_log(rf"facteur/smtp\[\d+\]: {text}", since=0)

            def held(policy, text, reason="client TLS configuration problem"):
                told(system, line(policy)[0], rf"status=deferred \({reason}.*\)")
                system.wait_log(text, since=0)
            secured("encrypt protocols=TLSv1.2", r"Untrusted TLS connection established to .*: TLSv1\.2 with cipher ")
            secured("encrypt protocols=>=TLSv1.3", r"Untrusted TLS connection established to .*: TLSv1\.3 with cipher ")
            secured("encrypt protocols=TLSv1.2 exclude=AESGCM", r"Untrusted TLS .*: TLSv1\.2 with cipher TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256")
            secured(f"verify match=hop.example.org tafile={system.etc}/own.pem", "Verified TLS connection established to ")
            held("verify match=hop.example.org", "certificate verification failed for", "Server certificate not trusted")
            held(f"verify match=other.example tafile={system.etc}/own.pem", "reload", "Server certificate not verified")
            held("secure tafile=/nowhere/ca.pem", r"warning: .*tafile=/nowhere/ca\.pem: ")
            held("encrypt protocols=TLSv1.1", r'attribute "protocols=TLSv1\.1" leaves neither TLSv1\.2 nor TLSv1\.3')
            held("secure fingerprint=aa", r'warning: .*invalid attribute "fingerprint"')
            secured("encrypt ciphers=null exclude=eNULL:XYZ", r'warning: .*attribute "ciphers=null" has no effect')
            system.wait_log(r'attribute "exclude=XYZ" has no effect', since=0)
            names = []
            authority.context.sni_callback = lambda _, name, __: names.append(name)
            secured("encrypt servername=sni.example", "Untrusted TLS connection")
            same(names[-1], "sni.example")
            # what is asked now is not answered with a connection made for less
            system.configure(smtp_connection_cache_on_demand="yes")
            system.children["master"].send_signal(signal.SIGHUP)
            system.wait_log("reload -- ")
            secured("none", r"\w+: to=")
            same(hop.messages[-1].tls, False)
            secured("encrypt", r"\w+: to=")
            same(hop.messages[-1].tls, True)
            put(system, "policy", f"{place} secure protocol=TLSv1.3\nb.example encrypt ciphers=null\n", 0o644)
            check = subprocess.run([system.programs / "facteur", "-c", str(system.etc), "check"], capture_output=True, text=True)
            for text, said in ((f"{system.etc}/policy:1: ", check.stdout), ('invalid attribute "protocol"', check.stdout), (f'{system.etc}/policy:2: TLS policy', check.stderr)):
                if text not in said:
                    raise Failure(f"facteur check said {said!r}")


def wrapped():
    """TLS from the first octet, with a login."""
    users = {"kevin": "été"}
    with Authority(), NextHop(tls="wrapped", users=users) as hop:
        system = to_hop(hop, smtp_tls_wrappermode="yes", smtp_tls_security_level="encrypt", smtp_sasl_auth_enable="yes")
        system.configure(smtp_sasl_password_maps=put(system, "passwords", f"[127.0.0.1]:{hop.port} kevin:été\n"))
        with system:
            told(system, system.send("a@far.example"), r"status=sent \(.*\)")
            mail, = hop.wait(1)
            same((mail.tls, mail.user), (True, "kevin"))


def login():
    """The right password, a wrong one, none that may travel in clear, and a file that everybody may read."""
    users = {"kevin": "secret"}
    with NextHop(users=users) as hop, NextHop(users=users, mechanisms="PLAIN LOGIN") as plain:
        def set_up(**parameters):
            system = to_hop(hop, smtp_sasl_auth_enable="yes", smtp_connection_cache_on_demand="no", **parameters)
            system.configure(smtp_sasl_password_maps=put(system, "passwords", f"[127.0.0.1]:{hop.port} kevin:secret\n[127.0.0.1]:{plain.port} kevin:secret\n"),
                             transport_maps=put(system, "transport", f"plain.example smtp:[127.0.0.1]:{plain.port}\n"))
            return system
        with set_up() as system:
            told(system, system.send("a@far.example"), r"status=sent \(.*\)")
            same(hop.wait(1)[0].user, "kevin")
            same([c for c in hop.commands if c.startswith("AUTH")][0].split()[1], "SCRAM-SHA-256")
            told(system, system.send("a@plain.example"), r"status=deferred \(SASL authentication failed: server 127\.0\.0\.1\[127\.0\.0\.1\] offered no compatible .*\)")
            put(system, "passwords", f"[127.0.0.1]:{hop.port} kevin:wrong one\n")
            told(system, system.send("a@far.example"),
                 r"dsn=4\.7\.8, status=deferred \(SASL authentication failed; server 127\.0\.0\.1\[127\.0\.0\.1\] said: 535 5\.7\.8 Error: authentication failed\)")
        with set_up(smtp_sasl_security_options="noanonymous") as system:
            told(system, system.send("a@plain.example"), r"status=sent \(.*\)")
            same(plain.wait(1)[0].user, "kevin")
        system = set_up()
        (system.etc / "passwords").chmod(0o644)
        with system:
            told(system, system.send("a@far.example"), r"status=deferred \(SASL authentication failed; the password table cannot be used\)")
            system.wait_log(rf"{re.escape(str(system.etc / 'passwords'))}: .*holds passwords and everybody may use it", since=0)
            if "secret" in system.log_text():
                raise Failure("the password is in the log")


def reuse():
    """One connection carries many messages, and ends when nothing more comes."""
    with NextHop() as hop, to_hop(hop, smtp_connection_cache_time_limit="2s") as system:
        for number in range(10):
            told(system, system.send("a@far.example"), r"status=sent \(.*\)")
        hop.wait(10)
        same(hop.connections, 1)
        system.wait_log(r"relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, conn_use=10, delay=", since=0)
        hop.wait_command("QUIT")
        # one that the server has closed meanwhile costs nothing but a new one
        told(system, system.send("a@far.example"), r"status=sent \(.*\)")
        for connection in list(hop.open):
            connection.shutdown(socket.SHUT_RDWR)
        told(system, system.send("a@far.example"), r"status=sent \(.*\)")


def lmtp():
    """The other dialect, by TCP: one answer for each recipient."""
    with NextHop(lmtp=True, end=[None, "550 5.2.2 full"]) as hop:
        system = started()
        system.configure(default_transport=f"lmtp:inet:127.0.0.1:{hop.port}")
        with system:
            ident = system.send(["a@far.example", "b@far.example"])
            told(system, ident, r"status=sent \(250 .*\)")
            told(system, ident, r"dsn=5\.2\.2, status=bounced \(host 127\.0\.0\.1\[127\.0\.0\.1\] said: 550 5\.2\.2 full \(in reply to end of DATA command\)\)")


def local_lmtp():
    """LMTP to a program on this machine, by a socket below the queue directory or anywhere."""
    with NextHop(lmtp=True) as hop:
        system = started()
        system.configure(default_transport="lmtp:unix:public/lmtp")
        with system:
            with socket.socket(socket.AF_UNIX) as door:
                door.bind(str(system.queue / "public/lmtp"))
                os.chmod(system.queue / "public/lmtp", 0o777)
                door.listen()
                hop.listener.close()
                threading.Thread(target=lambda: hop._session(door.accept()[0]), daemon=True).start()
                ident = system.send("a@far.example")
                told(system, ident, r"relay=vm\.m3102\.com\[\S+/public/lmtp\], .*status=sent \(250 .*\)")
                same(hop.wait(1)[0].to(), ["a@far.example"])


def generic():
    """Addresses of this machine become others as mail leaves, in envelope and header; mail that stays is as it was."""
    with NextHop() as hop:
        system = to_hop(hop)
        system.configure(smtp_generic_maps=put(system, "generic", "kevin@m3102.com kevin.durand@isp.example\n@m3102.com all@isp.example\n", 0o644))
        with system:
            text = "From: Kevin <kevin@m3102.com>\nTo: a@far.example, toto@m3102.com\nSubject: kevin@m3102.com\n\nkevin@m3102.com\n"
            system.sendmail("-f", "kevin@m3102.com", "a@far.example", "toto@m3102.com", text=text)
            mail, = hop.wait(1)
            head, _, body = mail.content.partition(b"\r\n\r\n")
            same((mail.sender.split(">")[0], mail.to(), body), ("<kevin.durand@isp.example", ["a@far.example"], b"kevin@m3102.com\r\n"))
            for line in (b"From: Kevin <kevin.durand@isp.example>", b"To: a@far.example, all@isp.example", b"Subject: kevin@m3102.com"):
                if line not in head.split(b"\r\n"):
                    raise Failure(f"{line} is not in {head}")
            stays, = system.wait_mails("toto", 1)
            if "From: Kevin <kevin@m3102.com>" not in stays:
                raise Failure(stays)


def manners():
    """Settings that show on the wire: who we say we are, from where we come, what we take as not offered, how often a connection is used."""
    with NextHop() as hop:
        seen = []
        hop.script["mail"] = lambda argument: seen.append(argument)
        peers = []
        hop.script["ehlo"] = lambda argument: peers.append([c.getpeername()[0] for c in hop.open])
        with to_hop(hop, smtp_helo_name="other.name.example", smtp_bind_address="127.0.0.9", smtp_discard_ehlo_keywords="size, dsn",
                    smtp_connection_reuse_count_limit=2) as system:
            for _ in range(4):
                told(system, system.send("a@far.example"), r"status=sent \(.*\)")
            same((hop.commands.count("EHLO other.name.example"), peers[0], hop.connections), (2, ["127.0.0.9"], 2))
            if any("SIZE" in argument or "ENVID" in argument for argument in seen):
                raise Failure(f"{seen}")
        hop.script.clear()
        with to_hop(hop, smtp_never_send_ehlo="yes", soft_bounce="yes") as system:
            hop.script["rcpt"] = ["550 5.1.1 who?"]
            told(system, system.send("a@far.example"), r"dsn=4\.1\.1, status=deferred \(host .* said: 550 5\.1\.1 who\? \(in reply to RCPT TO command\)\)")
            if "HELO vm.m3102.com" not in hop.commands:
                raise Failure(f"{hop.commands}")


def limits():
    """So many hosts are tried, and no more; and what is done about names that nobody can look up."""
    system = started()
    port = 25 + system.offset
    many = {f"mx{n}.many.example": {A: [f"127.0.0.{n}"]} for n in range(2, 7)}
    records = many | {"many.example": {MX: [(n * 10, f"mx{n}.many.example") for n in range(2, 7)]}, "broken.example": SERVFAIL,
                      "noaddress.example": {MX: [(10, "missing.example")]}}
    with Names(records) as names, contextlib.ExitStack() as stack:
        hops = [stack.enter_context(NextHop(host=f"127.0.0.{n}", port=port, rcpt=lambda argument: "450 4.2.1 later")) for n in range(3, 6)]
        system.configure(dns_servers=names.server, smtp_tcp_port=port, smtp_mx_address_limit=3, smtp_mx_session_limit=2,
                         ignore_mx_lookup_error="yes", smtp_defer_if_no_mx_address_found="yes", proxy_interfaces="127.0.0.6")
        with system:
            # the first is dead, two talk: that is the limit of both kinds
            told(system, system.send("a@many.example"), r"relay=mx4\.many\.example\[127\.0\.0\.4\]:\d+, .*status=deferred \(host mx4.* said: 450 4\.2\.1 later .*\)")
            same([hop.connections for hop in hops], [1, 1, 0])
            told(system, system.send("a@noaddress.example"), r"dsn=4\.4\.3, status=deferred \(.*name=missing\.example type=A: Host not found, try again\)")
            told(system, system.send("a@broken.example"), r"status=deferred \(.*name=broken\.example type=A: Host not found, try again\)")
            # a router hands mail for that address on to us
            names.records["many.example"] = {MX: [(10, "mx6.many.example"), (20, "mx3.many.example")]}
            names.records["behind.example"] = names.records["many.example"]
            told(system, system.send("a@behind.example"), r"dsn=5\.4\.6, status=bounced \(mail for behind\.example loops back to myself\)")


def own_logins():
    """A sender who has a login of his own uses it, over a connection of his own."""
    users = {"kevin": "one", "relay": "two"}
    with NextHop(users=users) as hop:
        system = to_hop(hop, smtp_sasl_auth_enable="yes", smtp_sender_dependent_authentication="yes", smtp_sasl_mechanism_filter="login", smtp_sasl_security_options="")
        system.configure(smtp_sasl_password_maps=put(system, "passwords", f"kevin@m3102.com kevin:one\n[127.0.0.1]:{hop.port} relay:two\n"))
        with system:
            told(system, system.send("a@far.example"), r"status=sent \(.*\)")
            system.sendmail("-f", "kevin@m3102.com", "a@far.example", text="Subject: x\n\nx\n")
            same([mail.user for mail in hop.wait(2)], ["relay", "kevin"])
            same({c.split()[1] for c in hop.commands if c.startswith("AUTH")}, {"LOGIN"})


def host_logins():
    """The login for a host is found by the name of the host, and for a sender also without his extension."""
    users = {"first": "one", "kevin": "two"}
    system = started(smtp_sasl_auth_enable="yes", smtp_sender_dependent_authentication="yes", smtp_sasl_mechanism_filter="login", smtp_sasl_security_options="")
    port = 25 + system.offset
    records = {"a.example": {MX: [(10, "mx1.a.example")]}, "mx1.a.example": {A: ["127.0.0.2"]}}
    with Names(records) as names, NextHop(host="127.0.0.2", port=port, users=users, name="mx1.a.example") as hop:
        lines = "mx1.a.example first:one\nkevin@m3102.com kevin:two\n"
        system.configure(dns_servers=names.server, smtp_tcp_port=port, smtp_sasl_password_maps=put(system, "passwords", lines))
        with system:
            for sender in ("toto@m3102.com", "kevin+news@m3102.com", "foo@m3102.com"):
                system.sendmail("-f", sender, "a@a.example", text="Subject: x\n\nx\n")
                system.wait("an empty queue", lambda: system.queued() == 0)
            same([mail.user for mail in hop.wait(3)], ["first", "kevin", "first"])
            same(hop.connections, 2)


def lists():
    """Next hops of a list are tried in turn; a refusal for good ends that."""
    with NextHop(rcpt=["450 4.2.1 later", "550 5.1.1 who?"]) as first, NextHop() as second:
        with started(relayhost=f"[127.0.0.1]:1, [127.0.0.1]:{first.port} [127.0.0.1]:{second.port}") as system:
            told(system, system.send("a@far.example"), rf"relay=127\.0\.0\.1\[127\.0\.0\.1\]:{second.port}, .*status=sent \(.*\)")
            told(system, system.send("b@far.example"), r"dsn=5\.1\.1, status=bounced \(.*\)")
            same([mail.to() for mail in second.wait(1)], [["a@far.example"]])


def killed():
    """kill -9 of smtp in the middle of 500 messages: all arrive, and copies are bounded by what was under way."""
    count = 500
    with NextHop() as hop, to_hop(hop) as system:
        def send():
            session = system.smtp()
            session.expect("EHLO pc", "250")
            for number in range(count):
                system.send("a@far.example", subject=f"number {number}.", session=session)
        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        kills = 0
        for point in (count // 5, count // 2, count * 4 // 5):
            hop.wait(point, 60)
            for pid in system.pids("smtp"):
                os.kill(pid, signal.SIGKILL)
                kills += 1
        sender.join(60)
        subjects = lambda: collections.Counter(re.search(rb"Subject: number (\d+)\.", mail.content)[1] for mail in hop.wait(0))
        system.wait("all messages", lambda: len(subjects()) == count, 60)
        system.wait("an empty queue", lambda: system.queued() == 0, 60)
        copies = sum(subjects().values()) - count
        if kills < 3 or copies > kills * 20:
            raise Failure(f"{copies} copies after {kills} kills")
        return f"{copies} copies after {kills} kills"


def two_systems():
    """Two systems write to each other; each finds the other by DNS."""
    a = started()
    with Names({f"mx.{side}.example": {A: ["127.0.0.1"]} for side in "ab"}) as names:
        b = started()
        for system, domain, other in ((a, "a.example", b), (b, "b.example", a)):
            theirs = {"a.example": "b.example", "b.example": "a.example"}[domain]
            table = put(system, "transport", f"{theirs} smtp:[mx.{theirs}]:{25 + other.offset}\n")
            system.configure(dns_servers=names.server, transport_maps=table, mydestination=domain, myhostname=f"vm.{domain}", myorigin=domain)
        with a, b:
            for here, there, domain in ((a, b, "b.example"), (b, a, "a.example")):
                ident = here.send(f"kevin@{domain}", body="accent é")
                mail, = there.wait_mails("kevin", 1)
                if "accent é" not in mail or mail.count("Received: ") != 2:
                    raise Failure(mail)
                gone(here, ident)
            # a refusal comes back as a notice
            a.sendmail("-f", "toto@a.example", "nobody@b.example", text="Subject: x\n\nx\n")
            notice, = a.wait_mails("toto", 1)
            for part in ("Undelivered Mail Returned to Sender", "said: 550 5.1.1", "Remote-MTA: dns; mx.b.example", "Diagnostic-Code: smtp; 550 5.1.1"):
                if part not in notice:
                    raise Failure(f"{part!r} is not in\n{notice}")


if __name__ == "__main__":
    run(relayhost, refusals, nobody_there, name_servers, limits, tls, tls_policies, wrapped, login, own_logins, host_logins, lists, reuse, slow_goodbye, manners, lmtp, local_lmtp, generic, killed, two_systems)
