#!/usr/bin/env python3
"""The `facteur` command on a running system: try, its refusals, config, reload, queue, trace, stop and start again."""
import json, os, pathlib, re, shutil, signal, socket, subprocess, tempfile

import facteur
from facteur import Failure


class Trial:
    """`facteur try` in a directory of its own."""

    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="facteur-try-"))
        self.top.chmod(0o755)
        self.dir, self.programs = self.top / "t", facteur.programs()
        self.ports = facteur.Ports()
        self.offset = self.ports.offset
        self.child = None

    def words(self, **changes):
        return [self.programs / "facteur", "try", "--dir", changes.get("dir", self.dir), "--port-base", str(changes.get("offset", self.offset))]

    def start(self):
        self.child = subprocess.Popen(self.words(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        return "".join(iter(lambda: self.line(), "\n")) + "".join(iter(lambda: self.line(), "\n"))

    def line(self):
        line = self.child.stdout.readline()
        if not line:
            raise Failure("facteur try ended too early")
        return line

    def stop(self):
        self.child.send_signal(signal.SIGINT)
        rest, _ = self.child.communicate(timeout=40)
        code, self.child = self.child.returncode, None
        return code, rest

    def command(self, *words, code=0):
        done = subprocess.run([self.programs / "facteur", "-c", self.dir / "etc", *words], capture_output=True, text=True, timeout=60)
        if done.returncode != code:
            raise Failure(f"facteur {words} ended with {done.returncode}, not {code}: {done.stdout}{done.stderr}")
        return done.stdout + done.stderr

    def sendmail(self, text, *recipients):
        words = [self.programs / "sendmail", "-C", self.dir / "etc", *recipients]
        subprocess.run(words, input=text, text=True, check=True, timeout=60)

    def wait_log(self, pattern):
        """Reads what `facteur try` shows until a line matches."""
        while not (found := re.search(pattern, self.line())):
            pass
        return found

    def messages(self, user):
        return list((self.dir / "home" / user / "Maildir/new").glob("*"))

    def end(self):
        if self.child:
            self.stop()
        self.ports.release()
        shutil.rmtree(self.top, ignore_errors=True)


def refused(words, pattern):
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    if done.returncode == 0 or len(done.stderr.splitlines()) != 1 or not re.search(pattern, done.stderr):
        raise Failure(f"expected one line like {pattern!r} and a failure, got {done.returncode}: {done.stdout}{done.stderr}")


def same(got, expected):
    if got != expected:
        raise Failure(f"expected {expected!r}, got {got!r}")


def first_life(trial):
    hello = trial.start()
    for port in (25, 587, 465, 110, 995, 143, 993):
        if not re.search(rf"[ :]{port + trial.offset}\b", hello):
            raise Failure(f"port {port + trial.offset} is not in the greeting:\n{hello}")
    refused(trial.words(), r"runs already in ")
    refused(trial.words(dir=trial.top / "other"), r"port \d+ \(smtp\) is in use by master \(process \d+\)")
    trial.command("status")
    same(trial.command("check"), "")
    trial.sendmail("Subject: one\n\nHello\n", "kevin")
    queue_id = trial.wait_log(r"facteur/local\[\d+\]: (\w+): to=<kevin@m3102.com>, .*status=sent \(delivered to maildir\)")[1]
    trial.wait_log(rf"{queue_id}: removed")
    same(len(trial.messages("kevin")), 1)
    story = trial.command("trace", queue_id).splitlines()
    order = [re.search(r"facteur/(\w+)\[", line)[1] for line in story]
    same(order, ["pickup", "pickup", "qmgr", "local", "qmgr"])


def settings(trial):
    refused([trial.programs / "facteur", "-c", trial.dir / "etc", "config", "set", "home_mailbx", "x"], "did you mean home_mailbox")
    trial.command("config", "set", "home_mailbox", "Other/")
    trial.command("reload")
    trial.wait_log(r"facteur/master\[\d+\]: reload -- version ")
    trial.sendmail("Subject: two\n\nHello\n", "titi")
    trial.wait_log(r"to=<titi@m3102.com>, .*status=sent \(delivered to maildir\)")
    same(len(list((trial.dir / "home/titi/Other/new").glob("*"))), 1)
    trial.command("config", "set", "home_mailbox=Maildir/")
    trial.command("reload")


def queue(trial):
    # Sending is put off: what the DNS of this machine says is no matter here.
    trial.stop()
    trial.command("config", "set", "defer_transports", "smtp")
    trial.start()
    trial.sendmail("Subject: three\n\nHello\n", "luke@starwars.example")
    trial.wait_log(r"to=<luke@starwars.example>, .*status=deferred")
    mailq = subprocess.run([trial.programs / "mailq", "-C", trial.dir / "etc"], capture_output=True, text=True, check=True, timeout=60).stdout
    same(trial.command("queue", "list"), mailq)
    row = json.loads(trial.command("queue", "list", "--json"))
    same((row["queue_name"], row["recipients"][0]["address"]), ("deferred", "luke@starwars.example"))
    queue_id = row["queue_id"]
    if "Subject: three" not in trial.command("queue", "cat", queue_id):
        raise Failure("queue cat does not show the message")
    trial.command("queue", "hold", queue_id)
    trial.wait_log(rf"facteur/queue\[\d+\]: {queue_id}: placed on hold")
    same(json.loads(trial.command("queue", "show", queue_id, "--json"))["queue_name"], "hold")
    trial.command("queue", "release", queue_id)
    trial.wait_log(rf"{queue_id}: to=<luke@starwars.example>, .*status=deferred")
    trial.command("queue", "flush")
    trial.wait_log(rf"{queue_id}: to=<luke@starwars.example>, .*status=deferred")
    trial.command("queue", "delete", "NOSUCH", code=1)
    trial.command("queue", "delete", queue_id)
    same(trial.command("queue", "list"), "Mail queue is empty\n")


def second_life(trial):
    code, rest = trial.stop()
    same(code, 0)
    same([line for line in rest.splitlines() if "panic" in line or "fatal" in line], [])
    same(trial.command("status", code=3).count("does not run"), 3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", trial.offset + 110))
        taken.listen()
        refused(trial.words(), rf"port {trial.offset + 110} \(pop3\) is in use")
    settings = trial.dir / "etc/facteur.yaml"
    kept = settings.read_text()
    settings.write_text(kept + "home_mailbox = Maildir/\n")
    refused(trial.words(), rf"facteur.yaml:{len(kept.splitlines()) + 1}: write \"home_mailbox: Maildir/\"")
    settings.write_text(kept)
    trial.start()
    same(len(trial.messages("kevin")), 1)
    same(settings.read_text(), kept)


def main():
    os.chdir("/")
    trial = Trial()
    try:
        facteur.run(first_life, settings, queue, second_life, call=lambda part: part(trial))
    finally:
        trial.end()


if __name__ == "__main__":
    main()
