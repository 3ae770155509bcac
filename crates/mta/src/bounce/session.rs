//! The letter about a session in which something went wrong: the classes `policy` and `protocol` of `notify_classes`.

use std::io;

use mail::{Body, Envelope, QueueId, Recipient};
use smtp::server::Faults;
use spool::Spool;

use super::Sender;

impl Sender {
    /// Somebody wants to hear of such sessions.
    #[must_use]
    pub fn wants_sessions(&self) -> bool {
        self.wants("policy") || self.wants("protocol")
    }

    /// Enters a letter to `error_notice_recipient` with what was said in a session; durable when this returns. `None`:
    /// nobody wants to hear of it.
    ///
    /// # Errors
    /// The disk's.
    pub fn tell_session(
        &self,
        spool: &Spool,
        client: &str,
        (faults, transcript): (Faults, &str),
    ) -> io::Result<Option<QueueId>> {
        let told = [(faults.policy, "policy"), (faults.protocol, "protocol")];
        let is_wanted = told.iter().any(|(fault, class)| *fault && self.wants(class));
        let Some(to) = self.error_to.as_ref().filter(|_| is_wanted) else { return Ok(None) };
        let id = spool.new_id();
        let envelope = Envelope {
            reverse_path: self.last_resort.clone(),
            recipients: vec![Recipient::new(to.clone())],
            body: if transcript.is_ascii() { Body::SevenBit } else { Body::EightBitMime },
            ..Envelope::default()
        };
        let mut incoming = self.begin(spool, id, &envelope)?;
        let subject = format!("{} SMTP server: errors from {client}", self.mail_name);
        incoming.write(self.head(id, to, &subject).as_bytes())?;
        incoming.write(b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n")?;
        let from = self.words.from(&self.host);
        incoming.write(
            format!(
                "{from}\n\nSomething was refused in an SMTP session with {client}. This was said:\n\n{transcript}\n\
                 The mail log has the rest of it.\n"
            )
            .as_bytes(),
        )?;
        incoming.commit().map(Some)
    }
}
