//! What notices say to people. One [`Words`] per language (`notice_language`).

use super::Kind;

/// The sentences of one language.
#[derive(Debug)]
pub(super) struct Words {
    /// For failures, delays, successes.
    subjects: [&'static str; 3],
    /// The same for the postmaster.
    postmaster: [&'static str; 3],
    from: &'static str,
    failed: &'static str,
    delayed: &'static str,
    delivered: &'static str,
    relayed: &'static str,
    undeliverable_notice: &'static str,
    held_subject: &'static str,
    held: &'static str,
    message: &'static str,
}

/// To whom a notice speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// The sender of the message.
    Sender,
    /// The postmaster, who gets a copy.
    Postmaster,
    /// The postmaster, since the message was a notice itself and nobody else can be told.
    LastResort,
}

impl Words {
    /// By the value of `notice_language`.
    pub(super) fn of(language: &str) -> &'static Self {
        if language == "fr" { &FRENCH } else { &ENGLISH }
    }

    pub(super) const fn subject(&self, kind: Kind, reader: Reader) -> &'static str {
        let subjects = match reader {
            Reader::Sender => &self.subjects,
            Reader::Postmaster | Reader::LastResort => &self.postmaster,
        };
        match kind {
            Kind::Failed => subjects[0],
            Kind::Delayed => subjects[1],
            Kind::Delivered => subjects[2],
        }
    }

    /// The subject of the letter about messages on hold, and what it says.
    pub(super) fn held(&self) -> (&'static str, &'static str) {
        (self.held_subject, self.held)
    }

    /// `days`: how long a message is tried.
    pub(super) fn body(&self, kind: Kind, reader: Reader, days: u64) -> String {
        if reader == Reader::LastResort {
            return self.undeliverable_notice.into();
        }
        match kind {
            Kind::Failed => self.failed.into(),
            Kind::Delayed => self.delayed.replace("{days}", &days.to_string()),
            Kind::Delivered => self.delivered.into(),
        }
    }

    pub(super) fn from(&self, host: &str) -> String {
        self.from.replace("{host}", host)
    }

    /// What is added for a recipient whose next server does not tell of deliveries.
    pub(super) const fn relayed(&self) -> &'static str {
        self.relayed
    }

    /// The last line: which message this is about.
    pub(super) fn message(&self, id: &str) -> String {
        self.message.replace("{id}", id)
    }
}

static ENGLISH: Words = Words {
    subjects: [
        "Undelivered Mail Returned to Sender",
        "Delayed Mail (still being retried)",
        "Successful Mail Delivery Report",
    ],
    postmaster: [
        "Postmaster Copy: Undelivered Mail",
        "Postmaster Warning: Delayed Mail",
        "Postmaster Copy: Successful Mail Delivery Report",
    ],
    from: "This is the mail system at host {host}.",
    failed: "Your message could not be delivered to one or more recipients. The reason\n\
             for each of them is below; the message, or its beginning, is attached.\n\n\
             If you need help, send this notice to the postmaster.",
    delayed: "Your message has not been delivered yet. THIS IS ONLY A WARNING: you need\n\
              not send it again, it will be tried until it is {days} days old.",
    delivered: "Your message was delivered to the recipients below, as you asked to be told.",
    relayed: "(the next mail server took it; that server does not report deliveries)",
    held_subject: "Mail put on hold",
    held: "A login of this mail system has sent more in an hour than it may. What it sends now is not lost: it\n\
           waits on hold until the postmaster lets it go (facteur queue release) or removes it. If you did not\n\
           send this, somebody else knows your password: change it, and tell the postmaster.",
    undeliverable_notice: "A notice of this mail system could not be delivered to the sender whom it was\n\
                           meant for. It is attached, so that somebody knows.",
    message: "(queue id {id})",
};

static FRENCH: Words = Words {
    subjects: [
        "Message non distribué, retourné à son expéditeur",
        "Message retardé (les essais continuent)",
        "Message bien distribué",
    ],
    postmaster: [
        "Copie au postmaster : message non distribué",
        "Copie au postmaster : message retardé",
        "Copie au postmaster : message bien distribué",
    ],
    from: "Ici le système de courrier de la machine {host}.",
    failed: "Votre message n'a pas pu être remis à un ou plusieurs de ses destinataires. La\n\
             raison est donnée ci-dessous pour chacun d'eux ; le message, ou son début, est\n\
             joint.\n\n\
             Si vous avez besoin d'aide, envoyez cet avis au postmaster.",
    delayed: "Votre message n'a pas encore été remis. CECI N'EST QU'UN AVERTISSEMENT : inutile\n\
              de l'envoyer à nouveau, les essais continuent jusqu'à ce qu'il ait {days} jours.",
    delivered: "Votre message a été remis aux destinataires ci-dessous ; vous aviez demandé à le\n\
                savoir.",
    relayed: "(le serveur suivant l'a accepté ; ce serveur ne confirme pas les remises)",
    held_subject: "Courrier mis en attente",
    held: "Un compte de ce système de courrier a envoyé en une heure plus qu'il ne peut. Ce qu'il envoie à présent\n\
           n'est pas perdu : il attend que le postmaster le laisse partir (facteur queue release) ou le supprime.\n\
           Si vous n'avez pas envoyé cela, quelqu'un connaît votre mot de passe : changez-le et prévenez le\n\
           postmaster.",
    undeliverable_notice: "Un avis de ce système de courrier n'a pas pu être remis à l'expéditeur auquel il\n\
                           était destiné. Il est joint, afin que quelqu'un le sache.",
    message: "(identifiant dans la file : {id})",
};
