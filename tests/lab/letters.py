"""The message that clients are shown in the labs, accents, picture, attachment; and how what they send is looked at."""
import email
import email.policy
import struct
import zlib
from email.message import EmailMessage

TEXT = "Été à la plage, cœur brisé.\nÇa coûte 5 € par ligne, « œuf » compris.\n"
ATTACHED = "Une pièce jointe, déjà vue.\n" * 40
NAME, NAME_SENT = "pièce jointe.txt", "pi%C3%A8ce%20jointe.txt"


def picture():
    """A small PNG, a blue field with a red stripe."""
    rows = b"".join(b"\0" + (b"\xd0\x20\x30" if 12 <= y < 20 else b"\x20\x50\xc0") * 48 for y in range(32))
    chunks = ((b"IHDR", struct.pack(">2I5B", 48, 32, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
                                           for kind, data in chunks)


def letter(sender, recipient, subject):
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = f"François Ôter <{sender}@m3102.com>", recipient, subject
    message.set_content(TEXT, cte="quoted-printable")
    message.add_attachment(ATTACHED, filename=NAME)
    message.add_attachment(picture(), "image", "png", filename="image.png", disposition="inline")
    return message


def send(server, sender, recipient, subject):
    """As a program of the sender would."""
    text = letter(sender, recipient, subject).as_string()
    server.sh("/usr/sbin/sendmail -t -i", user=sender, text=text)


def check(shown):
    """What a client says it shows of it."""
    assert "François Ôter" in shown["author"], shown
    for line in TEXT.splitlines():
        assert line in shown["text"], shown
    assert [name for name, _ in shown["attachments"]][0] == NAME, shown
    size = len(ATTACHED.encode())
    assert abs(shown["attachments"][0][1] - size) < size // 20, (shown["attachments"], size)
    assert 48 in shown["pictures"], shown


def newest(server, name):
    """The newest message in somebody's new/ or mbox, parsed."""
    new = sorted(server.path(f"/home/{name}/Maildir/new").glob("*"), key=lambda path: path.stat().st_mtime)
    octets = new[-1].read_bytes() if new else b"From " + server.path(f"/var/mail/{name}").read_bytes().split(b"\n\nFrom ")[-1]
    return email.message_from_bytes(octets, policy=email.policy.default)


def body(message):
    return message.get_body(("plain",)).get_content()
