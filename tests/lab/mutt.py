"""Mutt on a whole screen, as somebody uses it: read, write, answer. The editor is nano."""
from stage import Screen

SETTINGS = """set editor=nano
set mail_check=1
set timeout=1
set sendmail_wait=0
set copy=no
set folder=~
set wait_key=no
set beep=no
set send_charset=us-ascii:utf-8
set ssl_starttls=no
set ssl_force_tls=no
unset mark_old
"""


class Mutt(Screen):
    """`mutt WORDS` in a box; its settings are in the user's .muttrc."""

    def __init__(self, box, user, words="", settings=""):
        home = box.sh(f"getent passwd {user} | cut -d: -f6").strip()
        box.write(f"{home}/.muttrc", SETTINGS + settings)
        super().__init__(box.words(f"script -qec 'runuser -l {user} -c \"TERM=xterm LANG=C.UTF-8 mutt {words}\"; echo left' /dev/null"))

    def read(self, number, *wanted):
        """Opens a message by its number; leaves it open."""
        self.keys(str(number), "Enter")
        self.keys("Enter")
        for text in wanted:
            self.expect(text)

    def to_index(self):
        self.keys("i")
        self.expect("q:Quit")

    def compose(self, to, subject, text):
        """Writes a message and sends it."""
        self.keys("m")
        self.expect("To:")
        self.type(to)
        self.keys("Enter")
        self.expect("Subject:")
        self.type(subject)
        self.keys("Enter")
        self.edit_and_send(text)

    def answer(self, text):
        """Answers the open message: to its sender, with its subject, including it."""
        self.keys("r")
        self.expect("To:")
        self.keys("Enter")
        self.expect("Subject: Re:")
        self.keys("Enter")
        self.expect("Include message in reply?")
        self.keys("y")
        self.edit_and_send(text)

    def edit_and_send(self, text):
        self.expect("GNU nano")
        self.type(text)
        self.expect(text)
        self.keys("C-o", "Enter")
        self.expect("Wrote")
        self.keys("C-x")
        self.expect("y:Send")
        self.keys("y")
        self.gone("y:Send")

    def quit(self):
        self.keys("q")

    def leave(self):
        """Waits until it has ended, with everything written."""
        self.expect("left")
