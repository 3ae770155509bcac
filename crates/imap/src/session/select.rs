//! SELECT, EXAMINE, CLOSE, UNSELECT (RFC 9051 §6.3.2, §6.3.3, §6.4.1, §6.4.2).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use mail::{Flag, Uid};

use super::job::{Job, not_done};
use super::messages::Expunging;
use super::out::Out;
use super::view::View;
use super::{Next, Session};
use crate::grammar::mailbox::Mailbox;
use crate::question::{Access, Answer, Question};

/// A SELECT or EXAMINE under way.
#[derive(Debug)]
pub(super) struct Selecting {
    tag: String,
    mailbox: Mailbox,
    access: Access,
}

impl Session {
    /// Whatever was open is closed, also when the new mailbox cannot be opened (RFC 9051 §6.3.2).
    pub(super) fn select(&mut self, tag: String, mailbox: Mailbox, access: Access) -> Next {
        Next::Ask(Question::Open(mailbox.name.clone(), access), Job::Select(Selecting { tag, mailbox, access }))
    }

    pub(super) fn selected(&mut self, selecting: Selecting, answer: Answer, out: &mut Out<'_>) -> Next {
        let Selecting { tag, mailbox, access } = selecting;
        if self.view.take().is_some() {
            out.line("* OK [CLOSED] Previous mailbox closed.");
        }
        let Answer::Opened(opened) = answer else {
            return not_done(tag, &answer, &mailbox);
        };
        let uid_next = opened.uid_next;
        let view = View::new(self.plain(&mailbox), opened);
        view.tell_flags(out);
        view.tell_counts(out);
        if let Some(first) = view.first_unseen() {
            out.line(&format!("* OK [UNSEEN {first}] First unseen."));
        }
        out.line(&format!("* OK [UIDVALIDITY {}] UIDs valid", view.uid_validity));
        out.line(&format!("* OK [UIDNEXT {uid_next}] Predicted next UID"));
        let code = if view.writable { "READ-WRITE" } else { "READ-ONLY" };
        let name = if access == Access::Select { "Select" } else { "Examine" };
        out.line(&format!("{tag} OK [{code}] {name} completed."));
        self.view = Some(view);
        Next::Ready
    }

    /// CLOSE removes what is marked as deleted and says nothing about it.
    pub(super) fn close(&mut self, tag: String) -> Next {
        let deleted = self.deleted_uids();
        let writable = self.view.as_ref().is_some_and(|view| view.writable);
        if writable && !deleted.is_empty() {
            return Next::Ask(Question::Expunge(deleted), Job::Expunge(Expunging::closing(tag)));
        }
        self.leave(tag, "Close completed.")
    }

    pub(super) fn unselect(&mut self, tag: String) -> Next {
        self.leave(tag, "Unselect completed.")
    }

    pub(super) fn leave(&mut self, tag: String, text: &'static str) -> Next {
        self.view = None;
        Next::Ask(Question::Close, Job::Closed { tag, text })
    }

    /// The messages marked as deleted.
    pub(super) fn deleted_uids(&self) -> Vec<Uid> {
        let messages = self.view.as_ref().map(View::messages).unwrap_or_default();
        messages.iter().filter(|message| message.flags.has(Flag::Deleted)).map(|message| message.uid).collect()
    }
}
