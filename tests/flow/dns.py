#!/usr/bin/env python3
"""`facteur dns DOMAIN` against a name server of the test: each record that mail needs, right, missing and wrong."""
import copy, json, subprocess

from facteur import Failure, System, run
from nameserver import A, AAAA, CNAME, MX, PTR, SERVFAIL, SILENT, TXT, Names

US, V6, OTHER = "198.51.100.7", "2a01:db8:5::7", "198.51.100.99"
REVERSE = "7.100.51.198.in-addr.arpa"
GOOD = {
    "school.fr": {MX: [(10, "mail.school.fr")], TXT: ["site-verification=1", "v=spf1 mx -all"]},
    "mail.school.fr": {A: [US]},
    REVERSE: {PTR: ["mail.school.fr"]},
    "_dmarc.school.fr": {TXT: ["v=DMARC1; p=none"]},
    "elsewhere.fr": {MX: [(10, "mx.elsewhere.fr")], TXT: [f"v=spf1 ip4:{US} ~all"]},
    "_dmarc.elsewhere.fr": {TXT: ["v=DMARC1; p=reject"]},
}
OURS = {"myhostname": "mail.school.fr", "mydestination": "school.fr, mail.school.fr, élan.fr", "myorigin": "school.fr", "inet_protocols": "all"}


def ask(system, names, *words, domain="school.fr", server=None):
    words = ["dns", domain, "--dns", server or names.server, *(words or ("--address", US))]
    done = subprocess.run([system.programs / "facteur", "-c", system.etc, *words], capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout, done.stderr


def findings(system, names, *words, **kw):
    code, out, err = ask(system, names, "--json", *(words or ("--address", US)), **kw)
    if err:
        raise Failure(err)
    return code, {(one["record"], one["name"]): one for one in map(json.loads, out.splitlines())}


# What is changed in the good records: the record it is about, its state, words of the sentence, lines for the zone, exit status.
OUTCOMES = [
    ({}, None, None, "", [], 0),
    ({"school.fr": {TXT: ["v=spf1 mx -all"]}}, ("MX", "school.fr"), "missing", "do not find out", ["school.fr. IN MX 10 mail.school.fr."], 1),
    ({"school.fr": {MX: [(10, "mx.host.fr")], TXT: [f"v=spf1 ip4:{US} -all"]}}, ("MX", "school.fr"), "wrong", "does not come to mail.school.fr", ["school.fr. IN MX 10 mail.school.fr."], 1),
    ({"school.fr": {MX: [(0, "")], TXT: [f"v=spf1 ip4:{US} -all"]}}, ("MX", "school.fr"), "wrong", "takes no mail", ["school.fr. IN MX 10 mail.school.fr."], 1),
    ({"school.fr": SERVFAIL}, ("MX", "school.fr"), None, "", [], 75),
    ({"mail.school.fr": {}}, ("A", "mail.school.fr"), "missing", "cannot reach", [f"mail.school.fr. IN A {US}"], 1),
    ({"mail.school.fr": {A: [OTHER]}}, ("A", "mail.school.fr"), "wrong", "not the address from which", [f"mail.school.fr. IN A {US}"], 1),
    ({"mail.school.fr": {A: ["192.168.1.7"]}}, ("A", "mail.school.fr"), "wrong", "private address", [f"mail.school.fr. IN A {US}"], 1),
    ({"mail.school.fr": {CNAME: ["box.school.fr"]}, "box.school.fr": {A: [US]}}, ("A", "mail.school.fr"), "wrong", "alias (CNAME)", [f"mail.school.fr. IN A {US}"], 1),
    ({"mail.school.fr": SILENT}, ("A", "mail.school.fr"), "unknown", "no DNS server answers", [], 75),
    ({REVERSE: {}}, ("PTR", US), "missing", "without a name", [f"{REVERSE}. IN PTR mail.school.fr."], 1),
    ({REVERSE: {PTR: ["vps7.host.fr"]}}, ("PTR", US), "wrong", "does not lead back", [f"{REVERSE}. IN PTR mail.school.fr."], 1),
    ({REVERSE: {PTR: ["vps7.host.fr"]}, "vps7.host.fr": {A: [US]}}, ("PTR", US), "ok", "leads back to the address, which is enough", [], 0),
    ({REVERSE: SERVFAIL}, ("PTR", US), "unknown", "does not know now (Server Failure)", [], 75),
    ({"school.fr": {MX: [(10, "mail.school.fr")]}}, ("SPF", "school.fr"), "missing", "large providers", ['school.fr. IN TXT "v=spf1 mx -all"'], 1),
    ({"school.fr": {MX: [(10, "mail.school.fr")], TXT: ["v=spf1 ip4:192.0.2.0/24 -all"]}}, ("SPF", "school.fr"), "wrong", f"{US} sends, and the record refuses it",
     [f'school.fr. IN TXT "v=spf1 ip4:192.0.2.0/24 ip4:{US} -all"'], 1),
    ({"school.fr": {MX: [(10, "mail.school.fr")], TXT: ["v=spf1 a:mail.school.fr/24 -all"]}}, ("SPF", "school.fr"), "ok", "", [], 0),
    ({"school.fr": {MX: [(10, "mail.school.fr")], TXT: ["v=spf1 include:spf.host.fr -all"]}, "spf.host.fr": {TXT: [f"v=spf1 ip4:{US} -all"]}}, ("SPF", "school.fr"), "ok", "", [], 0),
    ({"school.fr": {MX: [(10, "mail.school.fr")], TXT: ["v=spf1 redirect=spf.host.fr"]}, "spf.host.fr": {TXT: ["v=spf1 ip4:192.0.2.1 ~all"]}}, ("SPF", "school.fr"), "wrong", "distrusts it",
     [f'school.fr. IN TXT "v=spf1 ip4:{US} redirect=spf.host.fr"'], 1),
    ({"school.fr": {MX: [(10, "mail.school.fr")], TXT: ["v=spf1 include:none.fr -all"]}}, ("SPF", "school.fr"), "wrong", "none.fr has no SPF record", [], 1),
    ({"school.fr": {MX: [(10, "mail.school.fr")], TXT: ["v=spf1 include:school.fr -all"]}}, ("SPF", "school.fr"), "wrong", "more than 10 questions", [], 1),
    ({"school.fr": {MX: [(10, "mail.school.fr")], TXT: ["v=spf1 exists:%{i}.x.fr -all"]}}, ("SPF", "school.fr"), "ok", "depends on the message", [], 0),
    ({"school.fr": {MX: [(10, "mail.school.fr")], TXT: ["v=spf1 mx -all", "v=spf1 a -all"]}}, ("SPF", "school.fr"), "wrong", "join them", [], 1),
    # Too long for a datagram: the answer is fetched over TCP.
    ({"school.fr": {MX: [(10, "mail.school.fr")], TXT: ["x" * 1500, f"v=spf1 ip4:{US} -all"]}}, ("SPF", "school.fr"), "ok", "", [], 0),
    ({"_dmarc.school.fr": {}}, ("DMARC", "_dmarc.school.fr"), "missing", "large providers", ['_dmarc.school.fr. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@school.fr"'], 1),
    ({"_dmarc.school.fr": {TXT: ["v=DMARC1; p=maybe"]}}, ("DMARC", "_dmarc.school.fr"), "wrong", "p= must be", [], 1),
    ({"_dmarc.school.fr": {TXT: ["v=DMARC1; p=none", "v=DMARC1; p=reject"]}}, ("DMARC", "_dmarc.school.fr"), "wrong", "only one record", [], 1),
    ({"key._domainkey.school.fr": {TXT: ["v=DKIM1; p=x"]}}, ("DKIM", "_domainkey.school.fr"), "note", "keys are published", [], 0),
]


def outcomes():
    """The table."""
    with System(services=(), **OURS) as system:
        for changed, which, state, words, zone, wanted in OUTCOMES:
            with Names(copy.deepcopy(GOOD) | changed) as names:
                if which and state is None:
                    code, out, err = ask(system, names)
                    if (code, out) != (wanted, "") or "does not know now" not in err:
                        raise Failure(f"{changed}: {code} {out}{err}")
                    continue
                code, found = findings(system, names)
                faults = [one for one in found.values() if one["state"] in ("missing", "wrong", "unknown") and (one["record"], one["name"]) != which and one["record"] != "HELO"]
                one = found[which] if which else {"state": None, "text": "", "zone": []}
                if code != wanted or one["state"] != state or words not in one["text"] or one["zone"] != zone:
                    raise Failure(f"{changed}: exit {code}, {one}")
                # What follows from a wrong address or exchanger is said too; anything else is not.
                if faults and which[0] not in ("A", "MX"):
                    raise Failure(f"{changed}: also {faults}")


def situations():
    """Domains that are not ours, names outside ASCII, a relay, addresses of both kinds, what the machine does not know."""
    with System(services=(), **OURS) as system, Names(copy.deepcopy(GOOD)) as names:
        code, found = findings(system, names, domain="elsewhere.fr")
        if code or found["domain", "elsewhere.fr"]["state"] != "note" or found["MX", "elsewhere.fr"]["state"] != "ok":
            raise Failure(f"{code} {found}")
        code, found = findings(system, names, domain="élan.fr")
        if code != 1 or found["MX", "xn--lan-9la.fr"]["zone"] != ["xn--lan-9la.fr. IN MX 10 mail.school.fr."]:
            raise Failure(f"{code} {found}")
        code, found = findings(system, names, "--address", US, "--address", V6)
        v6 = found["AAAA", "mail.school.fr"], found["PTR", V6], found["SPF", "school.fr"], found["HELO", "mail.school.fr"]
        if code != 1 or [one["state"] for one in v6] != ["missing", "missing", "wrong", "wrong"] or v6[0]["zone"] != [f"mail.school.fr. IN AAAA {V6}"]:
            raise Failure(f"{code} {v6}")
        names.records["mail.school.fr"][AAAA] = [V6]
        names.records["7" + ".0" * 19 + ".5.0.0.0.8.b.d.0.1.0.a.2.ip6.arpa"] = {PTR: ["mail.school.fr"]}
        code, found = findings(system, names, "--address", US, "--address", V6)
        if code:
            raise Failure(f"{code} {found}")
        system.configure(smtp_helo_name="out.school.fr")
        code, found = findings(system, names)
        if code != 1 or found["HELO", "out.school.fr"]["state"] != "missing" or found["HELO", "out.school.fr"]["zone"] != [f"out.school.fr. IN A {US}"]:
            raise Failure(f"{code} {found}")
        system.configure(smtp_helo_name="$myhostname", relayhost="[smtp.provider.fr]:587")
        del names.records[REVERSE]
        code, found = findings(system, names)
        if code or found["PTR", "mail.school.fr"]["state"] != "note" or ("HELO", "mail.school.fr") in found:
            raise Failure(f"{code} {found}")


def to_read():
    """What a person gets: a line for each record, then lines to paste."""
    with System(services=(), **OURS) as system, Names({"school.fr": {}, REVERSE: {}}) as names:
        code, out, _ = ask(system, names)
        wanted = ["MISSING  MX     school.fr", "MISSING  A      mail.school.fr", f"MISSING  PTR    {US}", "MISSING  HELO   mail.school.fr", "MISSING  SPF    school.fr",
                  "-        DKIM   _domainkey.school.fr", "MISSING  DMARC  _dmarc.school.fr"]
        zone = ["For the zone (a line that is WRONG above goes):", "school.fr. IN MX 10 mail.school.fr.", f"mail.school.fr. IN A {US}", 'school.fr. IN TXT "v=spf1 mx -all"',
                '_dmarc.school.fr. IN TXT "v=DMARC1; p=none; rua=mailto:postmaster@school.fr"', "",
                "For whoever gave you the address (the provider's reverse zone):", f"{REVERSE}. IN PTR mail.school.fr."]
        lines = [line for line in out.splitlines() if not line.startswith("   ")]
        if code != 1 or lines != [*wanted, "", *zone]:
            raise Failure(out)


def away():
    """No name server, or one that is no address: said in a line, at once enough, with a status of its own."""
    with System(services=(), **OURS) as system:
        with Names({}) as names:
            gone = names.server
        code, out, err = ask(system, None, server=gone)
        if (code, out, err) != (75, "", f"facteur: school.fr: no DNS server answers (asked {gone})\n"):
            raise Failure(f"{code} {out}{err}")
        with Names({"school.fr": SILENT}) as names:
            code, out, err = ask(system, names)
            if (code, out) != (75, "") or "no DNS server answers" not in err:
                raise Failure(f"{code} {out}{err}")
        for words in (("ns.school.fr", "school.fr"), ("127.0.0.1", "..")):
            code, out, err = ask(system, None, server=words[0], domain=words[1])
            if code != 1 or err.count("\n") != 1:
                raise Failure(f"{code} {out}{err}")
        # The configuration names the servers too.
        with Names(copy.deepcopy(GOOD)) as names:
            system.configure(dns_servers=names.server)
            done = subprocess.run([system.programs / "facteur", "-c", system.etc, "dns", "school.fr", "--address", US], capture_output=True, text=True, timeout=60)
            if done.returncode or "ok       MX     school.fr: 10 mail.school.fr" not in done.stdout:
                raise Failure(done.stdout + done.stderr)


run(outcomes, situations, to_read, away)
