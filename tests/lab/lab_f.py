"""In French: the setup questions as they are seen on the screen, nonsense asked again with its reason, and docs/labs.fr.md
replayed, command by command, with the real tools."""
import re
import sys
from pathlib import Path

from stage import Lab, Screen, Terminal, user

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "flow"))
import labs as page  # noqa: E402 (tests/flow/labs.py knows what varies on the page)

OURS = ["facteur-common", "facteur-mda", "facteur-mta"]
FRENCH = "LANG=fr_FR.UTF-8 LANGUAGE=fr"


def run(folder, packages, **kind):
    with Lab("in French", folder, packages, **kind) as lab:
        server = lab.server("vm")
        server.write("/etc/hosts", "127.0.0.1\tlocalhost\n127.0.1.1\tvm.m3102.com vm\n")
        server.write("/etc/locale.gen", "fr_FR.UTF-8 UTF-8\n")
        server.sh("locale-gen")
        user(server, "kevin", "foo", "bar", "toto", "eleve")
        questions(lab, server)
        again(lab, server)
        replay(lab, server)


def screen_of(server, command):
    return Screen(server.words(f"script -qec '{FRENCH} {command}; echo statut $?' /dev/null"))


def answer(screen, question, text=None):
    """Answers on the screen; returns what stood there."""
    seen = screen.expect(question)
    if text is not None:
        screen.keys("C-u")
        screen.type(text)
    screen.keys("Enter")
    return seen


def questions(lab, server):
    with lab.step("apt install asks in French, accents as they should be"):
        with screen_of(server, lab.install(server, *OURS, "mailutils")) as screen:
            seen = answer(screen, "Configuration type du serveur de messagerie :")
            for text in ("Choisissez ce qui convient le mieux à cette machine.", "Système satellite", "Site Internet",
                         "Internet avec un « smarthost »", "Le courrier est envoyé et reçu directement en SMTP."):
                assert text in seen, (text, seen)
            seen = answer(screen, "Nom de courrier du système :", "m3102 com")
            assert "pleinement qualifié" in seen, seen
            seen = answer(screen, "« m3102 com » n'est pas un nom de courrier")
            assert "Un nom de courrier se compose de lettres, de chiffres et de traits d'union" in seen, seen
            answer(screen, "Nom de courrier du système :", "m3102.com")
            screen.expect("statut 0", patience=120)
        assert server.read("/etc/mailname") == "m3102.com\n"


QUESTIONS = (
    ("Configuration type du serveur de messagerie :", "Site Internet", None),
    ("Nom de courrier du système :", "m3102.com", None),
    ("Destinataire du courrier de root et de postmaster :", "/etc/aliases", "eleve"),
    ("Domaines dont le courrier arrive ici (vide pour aucun) :", "séparés par des virgules", None),
    ("Réseaux locaux :", "dignes de confiance", "127.0.0.0/8, chez moi"),
    ("« 127.0.0.0/8, chez moi » n'est pas une liste de réseaux", "Indiquez des réseaux séparés par des espaces", None),
    ("Réseaux locaux :", "192.168.0.0/24", "127.0.0.0/8"),
    ("Taille maximale d'une boîte aux lettres, en octets (0 pour aucune limite) :", "au fichier d'une boîte", "beaucoup"),
    ("« beaucoup » n'est pas un nombre d'octets", "Indiquez un nombre entier ; 0 signifie aucune limite.", None),
    ("Taille maximale d'une boîte aux lettres", "Maildir", "0"),
    ("Caractère entre un nom d'utilisateur et une extension :", "kevin+listes arrive chez kevin", None),
    ("Protocoles Internet à utiliser :", "tous", None),
    ("Endroit où le courrier est gardé :", "dans le répertoire personnel", None),
    ("Autoriser les mots de passe en clair depuis le réseau local ?", "Oui", None),
)


def again(lab, server):
    with lab.step("dpkg-reconfigure facteur-mta asks all in French; nonsense is asked again with its reason"):
        with screen_of(server, "dpkg-reconfigure facteur-mta") as screen:
            for question, wanted, text in QUESTIONS:
                seen = answer(screen, question, text)
                assert wanted in seen, (question, wanted, seen)
            screen.expect("statut 0")
        assert "root: eleve" in server.read("/etc/aliases")
        assert server.sh("facteur check") == ""


class Student:
    """Types what the page says, into this machine."""

    def __init__(self, server):
        self.server, self.session, self.page, self.wrong = server, None, [], []

    def compare(self, got, wanted, where):
        self.page.append(got)
        try:
            page.compare(got, wanted, where)
        except page.Failure as failure:
            self.wrong.append(str(failure))

    def console(self, text):
        for typed, wanted in page.parts(text):
            self.page.append(typed + "\n" if typed else "")
            if typed.startswith("$ telnet"):
                self.session = Terminal(self.server.words(typed[2:]))
                self.session.expect("Escape character is '^]'.\n")
                self.hear(typed, wanted)
            elif typed.startswith("$ "):
                said = self.server.sh(f"cd; {FRENCH.split()[0]}; {typed[2:]}", check=False)
                self.compare(said, wanted, typed)
                self.settle()
            elif typed.startswith(">"):
                self.session.type(typed[2:])
                self.session.expect(typed[2:] + "\n")
                self.hear(typed, wanted)

    def hear(self, typed, wanted):
        got = "".join(self.session.expect("\n") for _ in wanted.splitlines())
        self.compare(got, wanted, typed)
        if typed in ("> quit", "> a LOGOUT"):
            self.session.close()
            self.settle()

    def settle(self):
        """Until nothing is on its way."""
        self.server.until("find /var/spool/facteur/maildrop /var/spool/facteur/incoming /var/spool/facteur/active "
                          "-type f | wc -l", "0\n")

    def log(self, text):
        self.page.append(text)
        wanted = page.constant(text).splitlines()
        # rsyslog writes the date in its own way, whoever logs.
        found = re.sub(r"(?m)^\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d)\S*", r"Nov 20 \1", self.server.read("/var/log/mail.log"))
        lines = iter(page.constant(found).splitlines())
        if not all(line in lines for line in wanted):
            self.wrong.append(f"the log has no lines like\n{text}")


def replay(lab, server):
    server.sh("facteur config unset mydestination; facteur config set myhostname vm.m3102.com; "
              "facteur config set mydestination 'm3102.com, vm.m3102.com, localhost'; "
              "facteur config set defer_transports smtp; service facteur-mta restart; : >/var/log/mail.log")
    server.sh(lab.install(server, "facteur-popd", "facteur-imapd"))
    student = Student(server)
    for number, (kind, text) in enumerate(page.blocks("fr"), 1):
        first = text.splitlines()[0]
        with lab.step(f"docs/labs.fr.md, {kind} {number}: {first[:60]}"):
            getattr(student, kind)(text)
            wrong, student.wrong = student.wrong, []
            assert not wrong, "\n".join(wrong)
