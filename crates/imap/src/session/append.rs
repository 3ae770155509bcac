//! APPEND (RFC 9051 §6.3.12): the message goes to the world chunk by chunk as it comes.

use alloc::format;
use alloc::string::String;

use bytes::Bytes;
use wire::Framing;

use super::job::{Job, not_done};
use super::out::Out;
use super::{Next, Session, State};
use crate::command::{self, Head};
use crate::grammar::append::Append;
use crate::grammar::mailbox::Mailbox;
use crate::grammar::string::{Announced, Waits, announced};
use crate::grammar::{Cursor, Syntax};
use crate::question::{Answer, NewMessage, Question, Trouble};

/// A message that is coming.
#[derive(Debug)]
pub(super) struct Appending {
    tag: String,
    mailbox: Mailbox,
    /// The world refused a chunk; the rest is thrown away.
    refused: Option<Trouble>,
}

/// A message that may come if the world agrees.
#[derive(Debug)]
pub(super) struct Begun {
    tag: String,
    mailbox: Mailbox,
    literal: Announced,
}

impl Session {
    /// Takes a literal as the message of an APPEND, if the command under way is one that is complete up to it.
    pub(super) fn append_literal(&mut self, literal: Announced, out: &mut Out<'_>) -> Option<Next> {
        let mut cursor = Cursor::new(self.assembler.so_far());
        let Head { tag, name } = command::head(&mut cursor).ok()?;
        let row = command::find(&name).filter(|row| row.name == "APPEND")?;
        let Append { mailbox, flags, date } = row.parse_append(&mut cursor).ok()?;
        self.assembler.forget();
        if literal.octets == 0 {
            return Some(self.refuse_literal(literal, format!("{tag} NO Can't save a zero byte message."), out));
        }
        if literal.octets > self.settings.append_limit {
            return Some(self.refuse_literal(literal, format!("{tag} NO {}", worded(&Trouble::TooBig, &mailbox)), out));
        }
        let begun = Begun { tag, mailbox, literal };
        let message = NewMessage { mailbox: begun.mailbox.name.clone(), size: literal.octets, flags, date };
        Some(Next::Ask(Question::AppendBegin(message), Job::AppendBegin(begun)))
    }

    pub(super) fn append_begun(&mut self, begun: Begun, answer: &Answer, out: &mut Out<'_>) -> Next {
        let Begun { tag, mailbox, literal } = begun;
        let trouble = match answer {
            Answer::Done => {
                if literal.waits == Waits::ForContinuation {
                    out.line("+ OK");
                }
                out.frame(Framing::Octets(literal.octets));
                return Next::Wait(State::Append(Appending { tag, mailbox, refused: None }));
            }
            Answer::Refused(trouble) => trouble.clone(),
            _ => Trouble::Internal,
        };
        self.refuse_literal(literal, format!("{tag} NO {}", worded(&trouble, &mailbox)), out)
    }

    /// The line after the message: nothing may be on it.
    pub(super) fn append_line(&mut self, line: &[u8], appending: Appending, out: &mut Out<'_>) -> Next {
        let Appending { tag, mailbox, refused } = appending;
        let text = match refused {
            Some(trouble) => format!("NO {}", worded(&trouble, &mailbox)),
            None if line.trim_ascii().is_empty() => {
                return Next::Ask(Question::AppendCommit, Job::AppendCommit { tag, mailbox });
            }
            None => {
                let error = crate::reply::text::syntax(&Syntax::Arguments);
                format!("BAD Error in IMAP command APPEND: {error}")
            }
        };
        if announced(line).is_some() {
            // A second message, which we did not offer to take, may follow without being asked for.
            out.line("* BYE Unexpected literal.");
            return Next::Close("Unexpected literal");
        }
        Next::Ask(Question::AppendCancel, Job::AppendCancel { tag, text })
    }

    pub(super) fn appended(tag: String, mailbox: &Mailbox, answer: &Answer) -> Next {
        match answer {
            Answer::Appended(validity, uid) => {
                Next::ok(tag, &format!("[APPENDUID {validity} {uid}] Append completed."))
            }
            Answer::Refused(trouble) => Next::no(tag, &worded(trouble, mailbox)),
            _ => not_done(tag, answer, mailbox),
        }
    }
}

impl Appending {
    pub(super) fn chunk(self, octets: &[u8]) -> Next {
        if self.refused.is_some() {
            return Next::Wait(State::Append(self));
        }
        Next::Ask(Question::AppendChunk(Bytes::copy_from_slice(octets)), Job::AppendChunk(self))
    }

    pub(super) fn stored(self, answer: Answer) -> Self {
        match answer {
            Answer::Done => self,
            Answer::Refused(trouble) => Self { refused: Some(trouble), ..self },
            _ => Self { refused: Some(Trouble::Internal), ..self },
        }
    }
}

/// A missing mailbox is told with TRYCREATE (RFC 9051 §6.3.12).
fn worded(trouble: &Trouble, mailbox: &Mailbox) -> String {
    let name = String::from_utf8_lossy(&mailbox.written);
    let text = crate::reply::text::trouble(trouble, &name);
    if *trouble == Trouble::NoMailbox { format!("[TRYCREATE] {text}") } else { text }
}
