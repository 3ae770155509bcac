//! The commands: one table says each one's name, when it is allowed, and which grammar function reads its arguments.

use alloc::string::String;
use alloc::vec::Vec;

use mail::Flags;
use wire::Secret;

use crate::grammar::append::{Append, append};
use crate::grammar::fetch::{Item, fetch_items};
use crate::grammar::flag::store_flags;
use crate::grammar::list::{self, List, SpecialUse, StatusItem};
use crate::grammar::mailbox::{Mailbox, mailbox};
use crate::grammar::search::{self, Program};
use crate::grammar::set::{Set, sequence_set};
use crate::grammar::string::{astring, atom, keyword, tag};
use crate::grammar::{Cursor, Parsed, Syntax};

/// A command with its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant is the command of that name
pub enum Command {
    Capability,
    Noop,
    Logout,
    Id,
    StartTls,
    Authenticate { mechanism: String, initial: Option<Secret<Vec<u8>>> },
    Login { user: Vec<u8>, password: Secret<Vec<u8>> },
    Enable(Vec<String>),
    Select(Mailbox),
    Examine(Mailbox),
    Create(Mailbox, Vec<SpecialUse>),
    Delete(Mailbox),
    Rename { from: Mailbox, to: Mailbox },
    Subscribe(Mailbox),
    Unsubscribe(Mailbox),
    List(List),
    Lsub(List),
    Namespace,
    Status(Mailbox, Vec<StatusItem>),
    Append(Append),
    Idle,
    Check,
    Close,
    Unselect,
    Expunge(Option<Set>),
    Search(Numbers, Program),
    Fetch(Numbers, Set, Vec<Item>),
    Store(Numbers, Set, Store),
    Copy(Numbers, Set, Mailbox),
    Move(Numbers, Set, Mailbox),
}

/// What the numbers of a command count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Messages, from 1, in the session's view.
    Messages,
    /// Unique identifiers.
    Uids,
}

/// The change of a STORE.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// What to do with the flags.
    pub change: Change,
    /// Which flags.
    pub flags: Flags,
    /// Whether the client wants to hear of it.
    pub echo: Echo,
}

/// How flags change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

impl Change {
    /// What it makes of flags.
    #[must_use]
    pub fn of(self, had: &Flags, named: &Flags) -> Flags {
        let mut flags = if self == Self::Replace { Flags::default() } else { had.clone() };
        if self == Self::Remove {
            flags.remove(named)
        } else {
            flags.add(named)
        }
        flags
    }
}

/// Whether a STORE is answered with the new flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// With FETCH replies.
    Told,
    /// `.SILENT`
    Silent,
}

/// When a command is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// In every state.
    Always,
    /// Before login only.
    BeforeLogin,
    /// After login, with or without a mailbox.
    AfterLogin,
    /// With a mailbox selected.
    Selected,
}

/// One row of the table.
pub struct Row {
    /// In capitals.
    pub name: &'static str,
    /// When.
    pub allowed: Allowed,
    /// Reads everything after the name, its space included.
    arguments: fn(&mut Cursor<'_>) -> Parsed<Command>,
}

/// The commands in the order of RFC 9051 §6.
pub static TABLE: &[Row] = &[
    row("CAPABILITY", Allowed::Always, |_| Ok(Command::Capability)),
    row("NOOP", Allowed::Always, |_| Ok(Command::Noop)),
    row("LOGOUT", Allowed::Always, |_| Ok(Command::Logout)),
    row("ID", Allowed::Always, |c| {
        c.space()?;
        list::id_parameters(c).map(|_| Command::Id)
    }),
    row("STARTTLS", Allowed::BeforeLogin, |_| Ok(Command::StartTls)),
    row("AUTHENTICATE", Allowed::BeforeLogin, authenticate),
    row("LOGIN", Allowed::BeforeLogin, login),
    row("ENABLE", Allowed::AfterLogin, enable),
    row("SELECT", Allowed::AfterLogin, |c| one_mailbox(c).map(Command::Select)),
    row("EXAMINE", Allowed::AfterLogin, |c| one_mailbox(c).map(Command::Examine)),
    row("CREATE", Allowed::AfterLogin, |c| Ok(Command::Create(one_mailbox(c)?, list::create_use(c)?))),
    row("DELETE", Allowed::AfterLogin, |c| one_mailbox(c).map(Command::Delete)),
    row("RENAME", Allowed::AfterLogin, |c| Ok(Command::Rename { from: one_mailbox(c)?, to: one_mailbox(c)? })),
    row("SUBSCRIBE", Allowed::AfterLogin, |c| one_mailbox(c).map(Command::Subscribe)),
    row("UNSUBSCRIBE", Allowed::AfterLogin, |c| one_mailbox(c).map(Command::Unsubscribe)),
    row("LIST", Allowed::AfterLogin, |c| {
        c.space()?;
        list::list(c).map(Command::List)
    }),
    row("LSUB", Allowed::AfterLogin, |c| {
        c.space()?;
        list::lsub(c).map(Command::Lsub)
    }),
    row("NAMESPACE", Allowed::AfterLogin, |_| Ok(Command::Namespace)),
    row("STATUS", Allowed::AfterLogin, |c| {
        let mailbox = one_mailbox(c)?;
        c.space()?;
        Ok(Command::Status(mailbox, list::status_items(c)?))
    }),
    row("APPEND", Allowed::AfterLogin, |c| {
        c.space()?;
        append(c).map(Command::Append)
    }),
    row("IDLE", Allowed::AfterLogin, |_| Ok(Command::Idle)),
    row("CHECK", Allowed::Selected, |_| Ok(Command::Check)),
    row("CLOSE", Allowed::Selected, |_| Ok(Command::Close)),
    row("UNSELECT", Allowed::Selected, |_| Ok(Command::Unselect)),
    row("EXPUNGE", Allowed::Selected, |_| Ok(Command::Expunge(None))),
    row("UID EXPUNGE", Allowed::Selected, |c| set(c, Numbers::Uids).map(|set| Command::Expunge(Some(set)))),
    row("SEARCH", Allowed::Selected, |c| search(c, Numbers::Messages)),
    row("UID SEARCH", Allowed::Selected, |c| search(c, Numbers::Uids)),
    row("FETCH", Allowed::Selected, |c| fetch(c, Numbers::Messages)),
    row("UID FETCH", Allowed::Selected, |c| fetch(c, Numbers::Uids)),
    row("STORE", Allowed::Selected, |c| store(c, Numbers::Messages)),
    row("UID STORE", Allowed::Selected, |c| store(c, Numbers::Uids)),
    row("COPY", Allowed::Selected, |c| {
        Ok(Command::Copy(Numbers::Messages, set(c, Numbers::Messages)?, one_mailbox(c)?))
    }),
    row("UID COPY", Allowed::Selected, |c| Ok(Command::Copy(Numbers::Uids, set(c, Numbers::Uids)?, one_mailbox(c)?))),
    row("MOVE", Allowed::Selected, |c| {
        Ok(Command::Move(Numbers::Messages, set(c, Numbers::Messages)?, one_mailbox(c)?))
    }),
    row("UID MOVE", Allowed::Selected, |c| Ok(Command::Move(Numbers::Uids, set(c, Numbers::Uids)?, one_mailbox(c)?))),
];

const fn row(name: &'static str, allowed: Allowed, arguments: fn(&mut Cursor<'_>) -> Parsed<Command>) -> Row {
    Row { name, allowed, arguments }
}

/// The tag and the name of a command, read before anything else so that every error can be told by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The client's tag.
    pub tag: String,
    /// The name in capitals, `UID FETCH` included.
    pub name: String,
}

/// `tag SP command`, and for UID the command after it. The name is empty when there is none.
///
/// # Errors
/// When not even the tag is there.
pub fn head(cursor: &mut Cursor<'_>) -> Parsed<Head> {
    let tag = String::from(tag(cursor)?);
    if cursor.end().is_ok() {
        return Ok(Head { tag, name: String::new() });
    }
    let mut name = keyword(cursor).unwrap_or_default();
    let mut ahead = cursor.clone();
    let second = if name == "UID" { ahead.space().and_then(|()| keyword(&mut ahead)).ok() } else { None };
    if let Some(second) = second {
        name = alloc::format!("UID {second}");
        *cursor = ahead;
    }
    Ok(Head { tag, name })
}

/// The row of a name in capitals.
#[must_use]
pub fn find(name: &str) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.name == name)
}

impl Row {
    /// Reads the arguments up to the end of the command.
    ///
    /// # Errors
    /// When they are not what the command takes.
    pub fn parse(&self, cursor: &mut Cursor<'_>) -> Parsed<Command> {
        let command = (self.arguments)(cursor)?;
        cursor.end()?;
        Ok(command)
    }

    /// Reads the arguments of an APPEND up to its literal.
    ///
    /// # Errors
    /// When they are not what the command takes, or something other than the literal's announcement follows.
    pub fn parse_append(&self, cursor: &mut Cursor<'_>) -> Parsed<Append> {
        match (self.arguments)(cursor)? {
            Command::Append(append) if cursor.peek() == Some(b'{') => Ok(append),
            _ => Err(Syntax::Arguments),
        }
    }
}

fn one_mailbox(cursor: &mut Cursor<'_>) -> Parsed<Mailbox> {
    cursor.space()?;
    mailbox(cursor)
}

fn set(cursor: &mut Cursor<'_>, numbers: Numbers) -> Parsed<Set> {
    cursor.space()?;
    let set = sequence_set(cursor);
    match numbers {
        Numbers::Messages => set,
        Numbers::Uids => set.map_err(|_| Syntax::UidSet),
    }
}

fn login(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let user = astring(cursor)?;
    cursor.space()?;
    Ok(Command::Login { user, password: Secret::new(astring(cursor)?) })
}

/// `authenticate = "AUTHENTICATE" SP auth-type [SP initial-resp]`
fn authenticate(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    cursor.space()?;
    let mechanism = keyword(cursor)?;
    let mut initial = None;
    if cursor.peek() == Some(b' ') {
        cursor.space()?;
        let coded = cursor.take_while(|octet| octet > b' ');
        initial = Some(Secret::new(coded.to_vec())).filter(|_| !coded.is_empty());
    }
    Ok(Command::Authenticate { mechanism, initial })
}

fn enable(cursor: &mut Cursor<'_>) -> Parsed<Command> {
    let mut names = Vec::new();
    while cursor.peek() == Some(b' ') {
        cursor.space()?;
        if cursor.peek().is_some() {
            names.push(atom(cursor)?.to_ascii_uppercase());
        }
    }
    if names.is_empty() { Err(Syntax::Arguments) } else { Ok(Command::Enable(names)) }
}

fn search(cursor: &mut Cursor<'_>, numbers: Numbers) -> Parsed<Command> {
    cursor.space()?;
    search::program(cursor).map(|program| Command::Search(numbers, program))
}

fn fetch(cursor: &mut Cursor<'_>, numbers: Numbers) -> Parsed<Command> {
    let set = set(cursor, numbers)?;
    cursor.space()?;
    Ok(Command::Fetch(numbers, set, fetch_items(cursor)?))
}

/// `store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))`
fn store(cursor: &mut Cursor<'_>, numbers: Numbers) -> Parsed<Command> {
    let set = set(cursor, numbers)?;
    cursor.space()?;
    let change = match cursor.peek() {
        Some(b'+') => Change::Add,
        Some(b'-') => Change::Remove,
        _ => Change::Replace,
    };
    if change != Change::Replace {
        cursor.take(1)?;
    }
    if !cursor.eat_text("FLAGS") {
        return Err(Syntax::Arguments);
    }
    let echo = if cursor.eat_text(".SILENT") { Echo::Silent } else { Echo::Told };
    cursor.space()?;
    Ok(Command::Store(numbers, set, Store { change, flags: store_flags(cursor)?, echo }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Parsed<Command> {
        let mut cursor = Cursor::new(text.as_bytes());
        let head = head(&mut cursor)?;
        find(&head.name).ok_or(Syntax::Arguments)?.parse(&mut cursor)
    }

    #[test]
    fn every_row_reads_an_example() {
        let examples = [
            "a capability",
            "a noop ",
            "a logout",
            "a id nil",
            "a id (\"name\" \"x\" \"version\" nil)",
            "a starttls",
            "a authenticate plain",
            "a authenticate PLAIN AGEAYg==",
            "a login kevin \"a b\"",
            "a enable condstore x",
            "a select inbox",
            "a examine \"a b\"",
            "a create Sent (USE (\\Sent))",
            "a create x",
            "a delete x",
            "a rename x y",
            "a subscribe x",
            "a unsubscribe x",
            "a list \"\" *",
            "a list (subscribed) \"\" (a b%) return (children status (messages))",
            "a lsub \"\" %",
            "a namespace",
            "a status inbox (messages recent)",
            "a idle",
            "a check",
            "a close",
            "a unselect",
            "a expunge",
            "a uid expunge 1:*",
            "a search all",
            "a uid search 1:2 unseen",
            "a fetch 1 flags",
            "a uid fetch 1:* (flags uid)",
            "a store 1 +flags (\\Deleted)",
            "a uid store 1 -flags.silent \\Seen $x",
            "a copy 1 x",
            "a uid copy 1 x",
            "a move 1 x",
            "a uid move 1 x",
        ];
        for example in examples {
            assert!(parse(example).is_ok(), "{example}: {:?}", parse(example));
        }
        for row in TABLE.iter().filter(|row| row.name != "APPEND") {
            assert!(
                examples.iter().any(|e| e[2..].to_ascii_uppercase().starts_with(row.name)),
                "no example of {}",
                row.name
            );
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "a uid fetch 1",
            "a fetch 0 flags",
            "a fetch",
            "a noop x",
            "a select",
            "a select x y",
            "a store 1 flags",
            "a login x",
            "a store 1 +flags (\\Bogus)",
            "a status inbox ()",
            "a status inbox",
            "a enable",
            "a rename x",
            "a list \"\"",
            "a uid",
            "a uid noop",
            "a select &AGE-",
            "a list (recursivematch) \"\" *",
            "a create x (use (\\Bogus))",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
