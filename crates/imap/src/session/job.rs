//! What a session does with the answer to its open question.

use alloc::format;
use alloc::string::String;

use super::append::{Appending, Begun};
use super::fetch::Fetching;
use super::folders::{Deleting, Listing, Renaming, StatusJob, counted};
use super::messages::{Copying, Expunging, Storing};
use super::out::Out;
use super::search::Searching;
use super::select::Selecting;
use super::view::Expunges;
use super::{Next, Session, State};
use crate::grammar::mailbox::Mailbox;
use crate::question::{Answer, Trouble};
use crate::reply::text;

/// A command that waits for an answer.
#[derive(Debug)]
pub(super) enum Job {
    /// May the message come?
    AppendBegin(Begun),
    /// It is coming.
    AppendChunk(Appending),
    /// Was it stored?
    AppendCommit {
        tag: String,
        mailbox: Mailbox,
    },
    /// It was given up; this is said then.
    AppendCancel {
        tag: String,
        text: String,
    },
    /// The mailbox was closed; the command is complete with this text.
    Closed {
        tag: String,
        text: &'static str,
    },
    /// Changes by others, before the command is complete.
    Complete(Completing),
    Copy(Copying),
    /// A command with nothing to tell: its completion, and the mailbox it is about.
    Done {
        tag: String,
        text: &'static str,
        mailbox: Mailbox,
    },
    /// A mailbox is deleted; perhaps the open one.
    Delete(Deleting),
    Expunge(Expunging),
    /// A mailbox is renamed; perhaps the open one, or one above it.
    Rename(Renaming),
    Fetch(Fetching),
    /// Changes by others while idling.
    Idle {
        tag: String,
    },
    List(Listing),
    Search(Searching),
    Select(Selecting),
    Status(StatusJob),
    Store(Storing),
}

/// A command that is done but for the changes by others.
#[derive(Debug)]
pub(super) struct Completing {
    pub(super) tag: String,
    pub(super) text: String,
    pub(super) expunges: Expunges,
}

impl Session {
    pub(super) fn answer(&mut self, answer: Answer, out: &mut Out<'_>) -> Next {
        let State::Answer(job) = core::mem::replace(&mut self.state, State::Command) else {
            return Next::Ready;
        };
        match job {
            Job::AppendBegin(begun) => self.append_begun(begun, &answer, out),
            Job::AppendChunk(appending) => Next::Wait(State::Append(appending.stored(answer))),
            Job::AppendCommit { tag, mailbox } => Self::appended(tag, &mailbox, &answer),
            Job::AppendCancel { tag, text } => {
                Next::Complete { tag, text, expunges: Expunges::Held, look: crate::question::Look::Memory }
            }
            Job::Closed { tag, text } => Next::ok(tag, text),
            Job::Complete(completing) => self.complete(&completing, answer, out),
            Job::Copy(copying) => self.copied(copying, answer, out),
            Job::Done { tag, text, .. } if answer == Answer::Done => Next::ok(tag, text),
            Job::Done { tag, mailbox, .. } => not_done(tag, &answer, &mailbox),
            Job::Delete(deleting) => self.deleted(deleting, &answer, out),
            Job::Rename(renaming) => self.renamed(renaming, &answer, out),
            Job::Expunge(expunging) => self.expunged(expunging, answer, out),
            Job::Fetch(fetching) => self.fetched(fetching, answer, out),
            Job::Idle { tag } => self.idle_news(tag, answer, out),
            Job::List(listing) => self.listed(listing, answer, out),
            Job::Search(searching) => self.found(searching, answer, out),
            Job::Select(selecting) => self.selected(selecting, answer, out),
            Job::Status(status) => counted(status, &answer, out),
            Job::Store(storing) => self.stored(storing, answer, out),
        }
    }

    fn complete(&mut self, completing: &Completing, answer: Answer, out: &mut Out<'_>) -> Next {
        if let Some(next) = self.news(answer, completing.expunges, out) {
            return next;
        }
        out.line(&format!("{} {}", completing.tag, completing.text));
        Next::Ready
    }

    fn idle_news(&mut self, tag: String, answer: Answer, out: &mut Out<'_>) -> Next {
        self.news(answer, Expunges::Told, out).unwrap_or(Next::Wait(State::Idle { tag }))
    }

    /// Tells what others did. `Some`: the mailbox is lost, and the session with it.
    fn news(&mut self, answer: Answer, expunges: Expunges, out: &mut Out<'_>) -> Option<Next> {
        match (answer, &mut self.view) {
            (Answer::Changes(changes), Some(_)) if changes.lost => {
                out.line("* BYE Mailbox was deleted or renumbered by another program.");
                Some(Next::Close("Mailbox was deleted or renumbered"))
            }
            (Answer::Changes(changes), Some(view)) => {
                view.apply(changes, expunges, out);
                None
            }
            _ => None,
        }
    }
}

/// A refusal as the completion of a command.
pub(super) fn refused(tag: String, trouble: &Trouble, mailbox: &Mailbox) -> Next {
    Next::no(tag, &text::trouble(trouble, &String::from_utf8_lossy(&mailbox.written)))
}

/// A refusal, or an answer of the wrong kind, which is our own fault.
pub(super) fn not_done(tag: String, answer: &Answer, mailbox: &Mailbox) -> Next {
    match answer {
        Answer::Refused(trouble) => refused(tag, trouble, mailbox),
        _ => refused(tag, &Trouble::Internal, mailbox),
    }
}
