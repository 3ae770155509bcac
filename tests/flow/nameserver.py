"""A name server for tests, of a few records. Over TCP too, for what is too long otherwise."""
import collections, contextlib, socket, struct, threading

A, CNAME, PTR, MX, TXT, AAAA = 1, 5, 12, 15, 16, 28
NXDOMAIN, SERVFAIL, SILENT = "nxdomain", "servfail", "silent"


class Names:
    """A name server of a few records: `{"x.org": {MX: [(10, "mx.x.org")], A: ["127.0.0.2"]}, "y.org": SERVFAIL}`; other names do not exist."""

    def __init__(self, records, port=0, host="127.0.0.1"):
        self.records, self.asked = records, collections.Counter()
        self.listener = socket.create_server((host, port))
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(self.listener.getsockname())
        self.server = "%s:%d" % self.socket.getsockname()
        for serve in (self.serve, self.serve_streams):
            threading.Thread(target=serve, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Frees the port; the threads that wait on it are woken."""
        for waiting in (self.socket, self.listener):
            with contextlib.suppress(OSError):
                waiting.shutdown(socket.SHUT_RDWR)
            waiting.close()

    def serve(self):
        with contextlib.suppress(OSError):
            while True:
                packet, client = self.socket.recvfrom(4096)
                if not packet:
                    return
                if answer := self.answer(packet):
                    self.socket.sendto(answer, client)

    def serve_streams(self):
        """For answers that are too long for a datagram: one question on each connection."""
        with contextlib.suppress(OSError):
            while True:
                with contextlib.suppress(ConnectionError, TimeoutError), self.listener.accept()[0] as connection:
                    connection.settimeout(5)
                    length, = struct.unpack(">H", connection.recv(2, socket.MSG_WAITALL))
                    if answer := self.answer(connection.recv(length, socket.MSG_WAITALL), most=65535):
                        connection.sendall(struct.pack(">H", len(answer)) + answer)

    def answer(self, packet, most=1200):
        labels, at = [], 12
        while packet[at]:
            labels.append(packet[at + 1:at + 1 + packet[at]].decode())
            at += 1 + packet[at]
        kind, = struct.unpack(">H", packet[at + 1:at + 3])
        name = ".".join(labels).lower()
        self.asked[name] += 1
        known = self.records.get(name)
        if known is None:
            # What is above a name exists, without records of its own.
            known = {} if any(other.endswith("." + name) for other in self.records) else NXDOMAIN
        if known == SILENT:
            return None
        code = {NXDOMAIN: 3, SERVFAIL: 2}.get(known, 0) if isinstance(known, str) else 0
        found = [] if code else self.found(name, known, kind)
        head = packet[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0)
        whole = head + packet[12:at + 5] + b"".join(found)
        if len(whole) <= most:
            return whole
        return packet[:2] + struct.pack(">HHHHH", 0x8380 | code, 1, 0, 0, 0) + packet[12:at + 5]

    def found(self, name, known, kind):
        if CNAME in known:
            target = known[CNAME][0]
            return [self.record(name, CNAME, self.packed(target))] + self.found(target, self.records[target], kind)
        pack = {A: socket.inet_aton, AAAA: lambda text: socket.inet_pton(socket.AF_INET6, text), PTR: self.packed, TXT: self.texts,
                MX: lambda mx: struct.pack(">H", mx[0]) + self.packed(mx[1])}.get(kind)
        return [self.record(name, kind, pack(value)) for value in known.get(kind, [])]

    def record(self, name, kind, data):
        return self.packed(name) + struct.pack(">HHIH", kind, 1, 60, len(data)) + data

    @staticmethod
    def packed(name):
        return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".") if label) + b"\0"

    @staticmethod
    def texts(text):
        pieces = [text[at:at + 255].encode() for at in range(0, len(text), 255)]
        return b"".join(bytes([len(piece)]) + piece for piece in pieces)
