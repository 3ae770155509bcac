"""Programs with windows, driven from outside: Thunderbird by Mozilla's Marionette, Chromium by WebDriver (chromedriver).

Both run inside a machine; only the connection reaches in. A script is JavaScript in the window, a screenshot a PNG file.
"""
import base64
import ctypes
import http.client
import json
import socket
import threading
import time
from pathlib import Path

NEWNET = 0x40000000


class Unheard(AssertionError):
    """The program did not do what it was told."""


def dial(box, port, patience=60):
    """A connection to a port of the machine's own loopback: only the dialling thread enters its network."""
    libc = ctypes.CDLL(None, use_errno=True)
    got, end = [], time.monotonic() + patience

    def inside():
        with open(f"/proc/{box.init}/ns/net", encoding="ascii") as net:
            if libc.setns(net.fileno(), NEWNET):
                got.append(OSError(ctypes.get_errno(), "setns"))
                return
        while True:
            try:
                got.append(socket.create_connection(("127.0.0.1", port), timeout=60))
                return
            except ConnectionRefusedError as error:
                if time.monotonic() > end:
                    got.append(error)
                    return
                time.sleep(0.1)
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if isinstance(got[0], Exception):
        raise Unheard(f"{box.name}: port {port}: {got[0]}")
    return got[0]


class Remote:
    """What both have in common."""

    def tell(self, command, **parameters):
        raise NotImplementedError

    def script(self, text, *arguments):
        raise NotImplementedError

    def until(self, text, *arguments, patience=60):
        """Runs a script again and again until its value is true; returns the value."""
        end = time.monotonic() + patience
        while not (value := self.script(text, *arguments)):
            if time.monotonic() > end:
                raise Unheard(f"never true: {text} {arguments}")
            time.sleep(0.1)
        return value

    @staticmethod
    def keep(folder, name, picture):
        Path(folder).mkdir(parents=True, exist_ok=True)
        Path(folder, f"{name}.png").write_bytes(base64.b64decode(picture))


class Marionette(Remote):
    """A program of Mozilla started with --marionette --remote-allow-system-access."""

    def __init__(self, box, port=2828):
        self.socket = dial(box, port)
        self.stream, self.number = self.socket.makefile("rb"), 0
        self.read()  # who it is
        self.tell("WebDriver:NewSession", capabilities={"alwaysMatch": {}})
        self.tell("Marionette:SetContext", value="chrome")
        self.tell("WebDriver:SetTimeouts", script=60000)

    def read(self):
        length = b""
        while (octet := self.stream.read(1)) not in (b":", b""):
            length += octet
        if not length:
            raise Unheard("the program has ended")
        return json.loads(self.stream.read(int(length)))

    def tell(self, command, **parameters):
        self.number += 1
        text = json.dumps([0, self.number, command, parameters]).encode()
        self.socket.sendall(b"%d:%s" % (len(text), text))
        while (answer := self.read())[1] != self.number:
            pass
        if answer[2]:
            raise Unheard(f"{command}: {answer[2].get('error')}: {answer[2].get('message')} {answer[2].get('data') or ''}")
        return answer[3]

    def script(self, text, *arguments):
        """The value of a function body; what it promises is waited for."""
        text = f"let done = arguments[arguments.length - 1]; (async (...arguments) => {{ {text} }})" \
               "(...Array.from(arguments).slice(0, -1)).then(value => done([true, value])," \
               " error => done([false, String(error) + error.stack]))"
        answer = self.tell("WebDriver:ExecuteAsyncScript", script=text, args=list(arguments), sandbox="system",
                                newSandbox=False)["value"]
        if not answer:
            raise Unheard("no such window any more")
        good, value = answer
        if not good:
            raise Unheard(value)
        return value

    def window(self, wanted, patience=30):
        """Turns to the window whose document's address ends so."""
        end = time.monotonic() + patience
        while not self.turn(wanted):
            if time.monotonic() > end:
                raise Unheard(f"no window {wanted}")
            time.sleep(0.1)

    def turn(self, wanted):
        """The same if there is such a window now."""
        for handle in self.tell("WebDriver:GetWindowHandles"):
            try:
                self.tell("WebDriver:SwitchToWindow", handle=handle, focus=True)
                if self.script("return window.location.href").endswith(wanted):
                    return True
            except Unheard as error:
                if "no such window" not in str(error):
                    raise
        return False

    def screenshot(self, folder, name):
        self.keep(folder, name, self.tell("WebDriver:TakeScreenshot", full=False, hash=False)["value"])

    def close(self):
        self.socket.close()


class Chromium(Remote):
    """A headless Chromium that a chromedriver in the machine starts."""

    OPTIONS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--window-size=1280,900",
               "--lang=fr", "--disable-background-networking", "--no-first-run"]

    def __init__(self, box, port=9515):
        self.box, self.port, self.session = box, port, ""
        made = self.tell("POST", "", capabilities={"alwaysMatch": {
            "goog:chromeOptions": {"args": self.OPTIONS}, "acceptInsecureCerts": True,
            "timeouts": {"script": 60000, "pageLoad": 60000, "implicit": 0}}})
        self.session = "/" + made["sessionId"]

    def tell(self, command, path="", **parameters):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.sock = dial(self.box, self.port)
        body = json.dumps(parameters) if command == "POST" else None
        connection.request(command, f"/session{self.session}{path}", body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(answer, dict) and "error" in answer:
            raise Unheard(f"{path}: {answer['error']}: {answer['message'][:500]}")
        return answer

    def go(self, address):
        self.tell("POST", "/url", url=address)

    def script(self, text, *arguments):
        return self.tell("POST", "/execute/sync", script=text, args=list(arguments))

    def find(self, selector, patience=30):
        """The first visible element; waits for it."""
        return self.until("return [...document.querySelectorAll(arguments[0])].find(one => one.checkVisibility()) || null",
                          selector, patience=patience)

    def click(self, selector):
        self.tell("POST", f"/element/{self.key(self.find(selector))}/click")

    def type(self, selector, text):
        self.tell("POST", f"/element/{self.key(self.find(selector))}/value", text=text)

    @staticmethod
    def key(element):
        return next(iter(element.values()))

    def frame(self, selector=None):
        """Turns to a frame of the page, or to the page itself."""
        self.tell("POST", "/frame", id=self.find(selector) if selector else None)

    def screenshot(self, folder, name):
        self.keep(folder, name, self.tell("GET", "/screenshot"))

    def close(self):
        self.tell("DELETE", "")


__all__ = ["Chromium", "Marionette", "Unheard", "dial"]
