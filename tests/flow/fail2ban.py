#!/usr/bin/env python3
"""The fail2ban filters find who tried wrong passwords, in a log as our programs write it. Skipped without fail2ban."""
import base64, re, shutil, subprocess

from facteur import TOP, Failure, System, run

FILTERS = TOP / "etc/fail2ban/filter.d"


def matches(system, name):
    """The addresses a filter finds, in order. It is laid beside fail2ban's own, which it builds on."""
    folder = system.dir / "filter.d"
    if not folder.exists():
        shutil.copytree("/etc/fail2ban/filter.d", folder)
        for path in FILTERS.iterdir():
            shutil.copy(path, folder)
    bare, _, options = name.partition("[")
    words = ["fail2ban-regex", "-o", "<ip>", str(system.log), f"{folder / bare}.conf" + (f"[{options}" if options else "")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if done.returncode or "ERROR" in done.stderr:
        raise Failure(f"{name}: {done.stdout}{done.stderr}")
    return re.findall(r"^[\d.]+$", done.stdout, re.M)


def wrong_passwords():
    if not shutil.which("fail2ban-regex"):
        return "skipped: fail2ban is not installed"
    with System(auth_failure_delay="0s", smtpd_tls_auth_only="no", mynetworks="127.0.0.1/32") as system:
        pop = system.connect(110, source="127.0.0.3")
        pop.line()
        for command in ("USER kevin", "PASS wrong", "QUIT"):
            pop.send(command)
            pop.line()
        imap = system.connect(143, source="127.0.0.4")
        imap.line()
        imap.send("a LOGIN kevin wrong")
        imap.line()
        imap.send("b LOGOUT")
        imap.line()
        smtp = system.connect(587, source="127.0.0.5")
        smtp.expect(None, "220")
        smtp.expect("EHLO pc", "250")
        smtp.expect("AUTH PLAIN " + base64.b64encode(b"\0kevin\0wrong").decode(), "535")
        smtp.expect("QUIT", "221")
        other = system.connect(25, source="127.0.0.6")
        other.expect(None, "220")
        other.expect("EHLO pc", "250")
        other.expect("MAIL FROM:<a@b.example>", "250")
        other.expect("RCPT TO:<luke@starwars.univ>", "454 4.7.1")
        other.expect("RCPT TO:<nobody-here@m3102.com>", "550 5.1.1")
        other.expect("QUIT", "221")
        good = system.pop3()
        for command in (None, "USER kevin", "PASS kevin", "QUIT"):
            if command:
                good.send(command)
            good.line()
        for place in ("127.0.0.3", "127.0.0.4"):
            system.wait_log(rf"Disconnected.*auth failed.*rip={place}")
        system.wait_log(r"disconnect from \S*\[127.0.0.6\]")
        for name, wanted in (("facteur-login", ["127.0.0.3", "127.0.0.4"]), ("facteur-smtpd", ["127.0.0.5"]),
                             ("facteur-smtpd[mode=aggressive]", ["127.0.0.5", "127.0.0.6", "127.0.0.6"])):
            if (got := matches(system, name)) != wanted:
                raise Failure(f"{name} found {got}, not {wanted}\n{system.log_text()}")


run(wrong_passwords)
