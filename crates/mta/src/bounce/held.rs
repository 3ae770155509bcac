//! The letter about messages put on hold because a login has sent too much.

use std::io;

use mail::{Address, Body, Envelope, Notify, QueueId, Recipient};
use spool::Spool;

use super::Sender;

impl Sender {
    /// Enters a letter to these people about a message on hold and why; durable when this returns.
    ///
    /// # Errors
    /// The disk's.
    pub fn tell_held(&self, spool: &Spool, (about, why): (QueueId, &str), to: &[Address]) -> io::Result<QueueId> {
        let id = spool.new_id();
        let silent = |to: &Address| Recipient { notify: Some(Notify::default()), ..Recipient::new(to.clone()) };
        let envelope =
            Envelope { recipients: to.iter().map(silent).collect(), body: Body::EightBitMime, ..Envelope::default() };
        let Some(first) = to.first() else { return Err(io::ErrorKind::InvalidInput.into()) };
        let mut incoming = self.begin(spool, id, &envelope)?;
        let (subject, words) = self.words.held();
        incoming.write(self.head(id, first, subject).as_bytes())?;
        incoming.write(b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n")?;
        let why: String = why.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        incoming.write(format!("{}\n\n{words}\n\n    {about}: {why}\n", self.words.from(&self.host)).as_bytes())?;
        incoming.commit()
    }
}
