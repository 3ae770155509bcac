"""People at a keyboard: a line-wise terminal (telnet, nc, mail), and a whole screen (setup dialogs) kept by tmux."""
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import time

PATIENCE = 20


class Unseen(Exception):
    """What was waited for did not appear."""


class Terminal:
    """A program on a terminal of its own: type lines, wait for text."""

    def __init__(self, words):
        self.all, self.at = "", 0
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvp(words[0], words)

    def expect(self, *wanted, patience=PATIENCE):
        """Waits until each text has appeared, in order; returns what was written up to the last."""
        begin = self.at
        for one in wanted:
            end = time.monotonic() + patience
            while (where := self.all.find(one, self.at)) < 0:
                if not self._read(end - time.monotonic()):
                    raise Unseen(f"{one!r} did not appear in:\n{self.all[begin:]}")
            self.at = where + len(one)
        return self.all[begin:self.at]

    def type(self, line):
        os.write(self.fd, (line + "\n").encode())

    def say(self, line, *wanted, patience=PATIENCE):
        """Types a line and waits for what must come."""
        self.type(line)
        return self.expect(*wanted, patience=patience)

    def ended(self, patience=PATIENCE):
        """Waits for the end; returns all that was written and not yet waited for."""
        begin, end = self.at, time.monotonic() + patience
        while self._read(end - time.monotonic()):
            pass
        self.close()
        self.at = len(self.all)
        return self.all[begin:]

    def _read(self, patience):
        if patience <= 0 or not select.select([self.fd], [], [], patience)[0]:
            return False
        try:
            got = os.read(self.fd, 65536)
        except OSError:
            return False
        self.all += got.decode(errors="replace").replace("\r", "")
        return bool(got)

    def close(self):
        if self.pid:
            try:
                os.kill(self.pid, signal.SIGHUP)
            except ProcessLookupError:
                pass
            os.close(self.fd)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Screen:
    """A program on a whole screen, as somebody sees it."""

    def __init__(self, words, width=100, height=40):
        self.socket = f"lab{os.getpid()}.{id(self)}"
        command = " ".join(shlex.quote(word) for word in words)
        self._tmux("new-session", "-d", "-x", str(width), "-y", str(height), command + "; read -r finished")

    def _tmux(self, *words, check=True):
        done = subprocess.run(["tmux", "-u", "-L", self.socket, "-f", "/dev/null", *words], text=True, errors="replace",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        if check and done.returncode:
            raise Unseen(f"tmux {words}: {done.stdout}")
        return done.stdout

    def look(self):
        """The text on the screen, with frames taken away and runs of blanks as one."""
        text = self._tmux("capture-pane", "-p")
        return re.sub(r"[\s│┌┐└┘─┤├▒█▀▄|]+", " ", text)

    def expect(self, wanted, patience=60):
        end = time.monotonic() + patience
        while wanted not in self.look():
            if time.monotonic() > end:
                raise Unseen(f"{wanted!r} is not on the screen:\n{self._tmux('capture-pane', '-p')}")
            time.sleep(0.1)
        return self.look()

    def gone(self, text, patience=30):
        """Waits until a text is no longer there."""
        end = time.monotonic() + patience
        while text in self.look():
            if time.monotonic() > end:
                raise Unseen(f"{text!r} stays on the screen")
            time.sleep(0.05)

    def keys(self, *keys):
        """Named keys (Enter, Down, Tab, C-u) or text."""
        self._tmux("send-keys", *keys)

    def type(self, text):
        self._tmux("send-keys", "-l", text)

    def close(self):
        self._tmux("kill-server", check=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
