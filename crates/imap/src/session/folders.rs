//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE, LIST, LSUB, STATUS (RFC 9051 §6.3.4–6.3.11; RFC 5258, RFC 5819, RFC 6154).

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::job::{Job, not_done, refused};
use super::out::Out;
use super::pattern::{matches, parents};
use super::{Next, Session};
use crate::grammar::list::{List, Return, Select, SpecialUse, StatusItem};
use crate::grammar::mailbox::Mailbox;
use crate::question::{Answer, Children, Counts, Folder, FolderKind, Question, Trouble};
use crate::reply::write;

/// The longest patterns of a LIST, taken together with the reference each.
const MAX_PATTERN: usize = 1_000;

/// What makes a name worth telling that is not chosen itself.
const SUBSCRIBED_BELOW: &[u8] = b" (\"CHILDINFO\" (\"SUBSCRIBED\"))";

/// A LIST or LSUB under way.
#[derive(Debug)]
pub(super) struct Listing {
    tag: String,
    list: List,
    subscribed_only: bool,
    /// Mailboxes whose STATUS is still to be told, the last first.
    left: Vec<String>,
}

/// A DELETE under way.
#[derive(Debug)]
pub(super) struct Deleting {
    tag: String,
    mailbox: Mailbox,
}

/// A RENAME under way.
#[derive(Debug)]
pub(super) struct Renaming {
    tag: String,
    from: Mailbox,
}

/// A STATUS under way.
#[derive(Debug)]
pub(super) struct StatusJob {
    tag: String,
    mailbox: Mailbox,
    items: Vec<StatusItem>,
}

impl Session {
    /// A separator at the end says that the client means to put mailboxes below; it makes no difference here. INBOX is one in
    /// whatever case, also as the first level of others.
    pub(super) fn plain(&self, mailbox: &Mailbox) -> String {
        let separator = self.settings.separator;
        let name = mailbox.name.strip_suffix(separator).unwrap_or(&mailbox.name);
        let first = name.split(separator).next().unwrap_or_default();
        if first.eq_ignore_ascii_case("INBOX") { format!("INBOX{}", &name[first.len()..]) } else { name.into() }
    }

    /// The mailbox was deleted or renamed by this session: it is closed, if it is the open one.
    fn close_gone(&mut self, which: impl Fn(&str) -> bool, what: &str, out: &mut Out<'_>) {
        if self.view.as_ref().is_some_and(|view| which(&view.name)) {
            self.view = None;
            out.line(&format!("* OK [CLOSED] Mailbox was {what}."));
        }
    }

    pub(super) fn create(&mut self, tag: String, mailbox: &Mailbox, uses: Vec<SpecialUse>) -> Next {
        let question = Question::Create(self.plain(mailbox), uses);
        Next::Ask(question, Job::Done { tag, text: "Create completed.", mailbox: mailbox.clone() })
    }

    pub(super) fn delete(&mut self, tag: String, mailbox: Mailbox) -> Next {
        if mailbox.is_inbox() {
            return Next::no(tag, "[CANNOT] INBOX can't be deleted.");
        }
        Next::Ask(Question::Delete(self.plain(&mailbox)), Job::Delete(Deleting { tag, mailbox }))
    }

    /// Deleting the open mailbox closes it.
    pub(super) fn deleted(&mut self, deleting: Deleting, answer: &Answer, out: &mut Out<'_>) -> Next {
        let Deleting { tag, mailbox } = deleting;
        if *answer != Answer::Done {
            return refused_by_name(tag, answer, &mailbox);
        }
        let name = self.plain(&mailbox);
        self.close_gone(|open| open == name, "deleted", out);
        Next::ok(tag, "Delete completed.")
    }

    pub(super) fn rename(&mut self, tag: String, from: &Mailbox, to: &Mailbox) -> Next {
        let question = Question::Rename(self.plain(from), self.plain(to));
        Next::Ask(question, Job::Rename(Renaming { tag, from: from.clone() }))
    }

    /// INBOX stays and is emptied; another one takes those below it along.
    pub(super) fn renamed(&mut self, renaming: Renaming, answer: &Answer, out: &mut Out<'_>) -> Next {
        let Renaming { tag, from } = renaming;
        if *answer != Answer::Done {
            return not_done(tag, answer, &from);
        }
        let name = self.plain(&from);
        let below = format!("{name}{}", self.settings.separator);
        if name != Mailbox::inbox().name {
            self.close_gone(|open| open == name || open.starts_with(&below), "renamed", out);
        }
        Next::ok(tag, "Rename completed.")
    }

    pub(super) fn list(&mut self, tag: String, list: List, out: &mut Out<'_>) -> Next {
        // `LIST "" ""` asks for the separator only.
        if !list.extended && list.patterns.iter().all(Vec::is_empty) {
            out.line(&format!("* LIST (\\Noselect) \"{}\" \"\"", self.settings.separator));
            return Next::ok(tag, "List completed.");
        }
        Self::list_from_world(tag, list, false)
    }

    pub(super) fn lsub(tag: String, list: List) -> Next {
        Self::list_from_world(tag, list, true)
    }

    fn list_from_world(tag: String, list: List, subscribed_only: bool) -> Next {
        let length: usize = list.patterns.iter().map(|pattern| pattern.len() + list.reference.len()).sum();
        if length > MAX_PATTERN {
            return Next::bad(tag, "Error in IMAP command LIST: Too long argument.");
        }
        Next::Ask(Question::Folders, Job::List(Listing { tag, list, subscribed_only, left: Vec::new() }))
    }

    pub(super) fn listed(&mut self, mut listing: Listing, answer: Answer, out: &mut Out<'_>) -> Next {
        match answer {
            Answer::Folders(folders) if listing.subscribed_only => self.tell_subscribed(&listing.list, &folders, out),
            Answer::Folders(folders) => listing.left = self.tell_folders(&listing.list, &folders, out),
            Answer::Status(counts) => {
                if let (Some(name), Some(items)) = (listing.left.pop(), listing.list.status()) {
                    tell_status(name.as_bytes(), items, &counts, out);
                }
            }
            // A mailbox that cannot be counted now is left out of a long list.
            Answer::Refused(_) if !listing.left.is_empty() => drop(listing.left.pop()),
            answer => return not_done(listing.tag, &answer, &Mailbox::inbox()),
        }
        match listing.left.last() {
            Some(name) => Next::Ask(Question::Status(name.clone()), Job::List(listing)),
            None if listing.subscribed_only => Next::ok(listing.tag, "Lsub completed."),
            None => Next::ok(listing.tag, "List completed."),
        }
    }

    /// Tells the folders a LIST asks for; returns those whose STATUS is wanted, the last first.
    fn tell_folders(&self, list: &List, folders: &[Folder], out: &mut Out<'_>) -> Vec<String> {
        let separator = self.settings.separator;
        let mut counted = Vec::new();
        for folder in folders.iter().filter(|folder| list.names(&folder.name, separator)) {
            let below = list.select.contains(&Select::RecursiveMatch) && list.chosen_below(folder, folders, separator);
            if !list.chooses(folder) && !below {
                continue;
            }
            let marked = list.select.contains(&Select::Subscribed) || list.returns.contains(&Return::Subscribed);
            let mut words = attributes(folder);
            words.extend((marked && folder.subscribed).then_some("\\Subscribed"));
            out.text().extend_from_slice(b"* LIST ");
            tell_name(&words, &folder.name, separator, out);
            if below {
                out.text().extend_from_slice(SUBSCRIBED_BELOW);
            }
            out.line("");
            if folder.kind == FolderKind::Mailbox && list.status().is_some() {
                counted.push(folder.name.clone());
            }
        }
        if list.select.contains(&Select::RecursiveMatch) {
            self.tell_missing_parents(list, folders, out);
        }
        counted.reverse();
        counted
    }

    /// Levels of which nothing is left but what is chosen below them (RFC 5258 §3.5).
    fn tell_missing_parents(&self, list: &List, folders: &[Folder], out: &mut Out<'_>) {
        let separator = self.settings.separator;
        let mut told: BTreeSet<&str> = folders.iter().map(|folder| folder.name.as_str()).collect();
        let deeper = folders.iter().filter(|folder| list.chooses(folder) && !list.names(&folder.name, separator));
        for above in deeper.flat_map(|folder| parents(&folder.name, separator)) {
            if list.names(above, separator) && told.insert(above) {
                out.text().extend_from_slice(b"* LIST ");
                tell_name(&["\\NonExistent", "\\HasNoChildren"], above, separator, out);
                out.text().extend_from_slice(SUBSCRIBED_BELOW);
                out.line("");
            }
        }
    }

    /// LSUB: subscriptions, and with `%` the levels above those that lie deeper (RFC 3501 §6.3.9).
    fn tell_subscribed(&self, list: &List, folders: &[Folder], out: &mut Out<'_>) {
        let separator = self.settings.separator;
        let mut told = BTreeSet::new();
        let subscribed = || folders.iter().filter(|folder| folder.subscribed);
        for folder in subscribed().filter(|folder| list.names(&folder.name, separator)) {
            told.insert(folder.name.as_str());
            out.text().extend_from_slice(b"* LSUB ");
            tell_name(&[], &folder.name, separator, out);
            out.line("");
        }
        let deeper = subscribed().filter(|folder| !list.names(&folder.name, separator));
        for above in deeper.flat_map(|folder| parents(&folder.name, separator)) {
            if list.names(above, separator) && told.insert(above) {
                out.text().extend_from_slice(b"* LSUB ");
                tell_name(&["\\Noselect"], above, separator, out);
                out.line("");
            }
        }
    }
}

pub(super) fn subscribe(tag: String, mailbox: Mailbox) -> Next {
    Next::Ask(Question::Subscribe(mailbox.name.clone()), Job::Done { tag, text: "Subscribe completed.", mailbox })
}

pub(super) fn unsubscribe(tag: String, mailbox: Mailbox) -> Next {
    Next::Ask(Question::Unsubscribe(mailbox.name.clone()), Job::Done { tag, text: "Unsubscribe completed.", mailbox })
}

pub(super) fn status(tag: String, mailbox: Mailbox, items: Vec<StatusItem>) -> Next {
    Next::Ask(Question::Status(mailbox.name.clone()), Job::Status(StatusJob { tag, mailbox, items }))
}

pub(super) fn counted(job: StatusJob, answer: &Answer, out: &mut Out<'_>) -> Next {
    let Answer::Status(counts) = answer else {
        return not_done(job.tag, answer, &job.mailbox);
    };
    tell_status(&job.mailbox.written, &job.items, counts, out);
    Next::ok(job.tag, "Status completed.")
}

fn tell_status(name: &[u8], items: &[StatusItem], counts: &Counts, out: &mut Out<'_>) {
    out.text().extend_from_slice(b"* STATUS ");
    write::astring(out.text(), name);
    out.text().extend_from_slice(b" (");
    let order = [
        (StatusItem::Messages, counts.messages),
        (StatusItem::Recent, counts.recent),
        (StatusItem::UidNext, counts.uid_next.get()),
        (StatusItem::UidValidity, counts.uid_validity.get()),
        (StatusItem::Unseen, counts.unseen),
    ];
    for (at, (item, value)) in order.into_iter().filter(|(item, _)| items.contains(item)).enumerate() {
        put!(out.text(), "{}{} {value}", if at > 0 { " " } else { "" }, item.name());
    }
    out.line(")");
}

fn attributes(folder: &Folder) -> Vec<&'static str> {
    let mut words = Vec::new();
    match folder.kind {
        FolderKind::Mailbox => {}
        FolderKind::Level => words.push("\\Noselect"),
        FolderKind::Missing => words.push("\\NonExistent"),
    }
    words.push(match folder.children {
        Children::Some => "\\HasChildren",
        Children::None => "\\HasNoChildren",
        Children::Impossible => "\\NoInferiors",
    });
    words.extend(folder.uses.iter().map(|special| special.name()));
    words
}

fn tell_name(words: &[&str], name: &str, separator: char, out: &mut Out<'_>) {
    write::list(out.text(), words.iter().copied());
    put!(out.text(), " \"{separator}\" ");
    write::astring(out.text(), name.as_bytes());
}

/// As [`not_done`], with the code that scripts look for after DELETE and RENAME.
fn refused_by_name(tag: String, answer: &Answer, mailbox: &Mailbox) -> Next {
    match answer {
        Answer::Refused(Trouble::NoMailbox) => Next::no(
            tag,
            &format!("[NONEXISTENT] Mailbox doesn't exist: {}", String::from_utf8_lossy(&mailbox.written)),
        ),
        Answer::Refused(trouble) => refused(tag, trouble, mailbox),
        _ => not_done(tag, answer, mailbox),
    }
}

impl List {
    /// Whether reference and one of the patterns name this mailbox.
    fn names(&self, name: &str, separator: char) -> bool {
        self.patterns.iter().any(|pattern| matches(&[self.reference.as_slice(), pattern].concat(), name, separator))
    }

    /// Whether the selection options leave the mailbox in.
    fn chooses(&self, folder: &Folder) -> bool {
        let subscribed = self.select.contains(&Select::Subscribed);
        let special = self.select.contains(&Select::SpecialUse);
        (!subscribed || folder.subscribed)
            && (!special || !folder.uses.is_empty())
            && (subscribed || folder.kind != FolderKind::Missing)
    }

    /// Whether a mailbox below is chosen that the patterns do not name.
    fn chosen_below(&self, folder: &Folder, folders: &[Folder], separator: char) -> bool {
        let below = |other: &&Folder| {
            other.name.strip_prefix(folder.name.as_str()).is_some_and(|rest| rest.starts_with(separator))
        };
        folders.iter().filter(below).any(|other| self.chooses(other) && !self.names(&other.name, separator))
    }

    fn status(&self) -> Option<&[StatusItem]> {
        self.returns.iter().find_map(|option| match option {
            Return::Status(items) => Some(items.as_slice()),
            Return::Children | Return::SpecialUse | Return::Subscribed => None,
        })
    }
}
