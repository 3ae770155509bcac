//! What notices say to people. One [`Words`] per language.

use super::Kind;

/// The sentences of one language.
pub(super) struct Words {
    subjects: [&'static str; 3],
    failed: &'static str,
    delayed: &'static str,
    delivered: &'static str,
}

impl Words {
    pub(super) const fn subject(&self, kind: Kind) -> &'static str {
        match kind {
            Kind::Failed => self.subjects[0],
            Kind::Delayed => self.subjects[1],
            Kind::Delivered => self.subjects[2],
        }
    }

    /// `days`: how long a message is tried.
    pub(super) fn body(&self, kind: Kind, days: u64) -> String {
        match kind {
            Kind::Failed => self.failed.into(),
            Kind::Delayed => self.delayed.replace("{days}", &days.to_string()),
            Kind::Delivered => self.delivered.into(),
        }
    }
}

pub(super) const ENGLISH: Words = Words {
    subjects: [
        "Undelivered Mail Returned to Sender",
        "Delayed Mail (still being retried)",
        "Successful Mail Delivery Report",
    ],
    failed: "Your message could not be delivered to one or more recipients. The reason\n\
             for each of them is below; the message, or its beginning, is attached.\n\n\
             If you need help, send this notice to the postmaster.",
    delayed: "Your message has not been delivered yet. THIS IS ONLY A WARNING: you need\n\
              not send it again, it will be tried until it is {days} days old.",
    delivered: "Your message was delivered to the recipients below, as you asked to be told.",
};
