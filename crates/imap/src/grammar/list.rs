//! LIST and STATUS (RFC 9051 §9: list, list-select-opts, list-return-opts, status-att; RFC 6154 use-attr).

use alloc::string::String;
use alloc::vec::Vec;

use super::cursor::{Cursor, Parsed, Syntax};
use super::string::{astring, keyword, list_mailbox};

/// A LIST or LSUB command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    /// What to look among; several may be named.
    pub select: Vec<Select>,
    /// The reference name.
    pub reference: Vec<u8>,
    /// The patterns; one, unless the extended form gives a list.
    pub patterns: Vec<Vec<u8>>,
    /// What to tell besides.
    pub returns: Vec<Return>,
    /// Written with selection options, a list of patterns or return options.
    pub extended: bool,
}

/// `list-select-opt`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// Also those with a matching child.
    RecursiveMatch,
    /// Remote ones too; we have none.
    Remote,
    /// Those with a special use.
    SpecialUse,
    /// The subscribed ones.
    Subscribed,
}

/// `return-option`
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Return {
    /// `\HasChildren`, `\HasNoChildren` or `\NoInferiors`; always told.
    Children,
    /// The special use; always told.
    SpecialUse,
    /// A STATUS reply each (RFC 5819).
    Status(Vec<StatusItem>),
    /// `\Subscribed`
    Subscribed,
}

/// `status-att`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusItem {
    /// MESSAGES
    Messages,
    /// RECENT (RFC 3501)
    Recent,
    /// UIDNEXT
    UidNext,
    /// UIDVALIDITY
    UidValidity,
    /// UNSEEN
    Unseen,
}

/// What a mailbox is for (RFC 6154).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpecialUse {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl StatusItem {
    /// The item's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::Recent => "RECENT",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
        }
    }
}

impl SpecialUse {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::All, Self::Archive, Self::Drafts, Self::Flagged, Self::Junk, Self::Sent, Self::Trash];

    /// The attribute's name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "\\All",
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Flagged => "\\Flagged",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }
}

/// `list = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]`, from after the name and its space.
///
/// # Errors
/// When it is none.
pub fn list(cursor: &mut Cursor<'_>) -> Parsed<List> {
    let mut list = List::default();
    if cursor.peek() == Some(b'(') {
        list.extended = true;
        list.select = cursor.list(select_option)?;
        cursor.space()?;
    }
    list.reference = astring_or_empty(cursor)?;
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        list.extended = true;
        list.patterns = cursor.list(list_mailbox)?;
    } else {
        list.patterns.push(list_mailbox(cursor)?);
    }
    if cursor.peek() == Some(b' ') {
        cursor.space()?;
        if cursor.eat_text("RETURN") {
            list.extended = true;
            cursor.space()?;
            list.returns = cursor.list(return_option)?;
        }
    }
    let alone = list.select.iter().all(|option| matches!(option, Select::RecursiveMatch | Select::Remote));
    if list.select.contains(&Select::RecursiveMatch) && alone { Err(Syntax::Arguments) } else { Ok(list) }
}

/// LSUB's arguments: a reference and one pattern.
///
/// # Errors
/// When they are none.
pub fn lsub(cursor: &mut Cursor<'_>) -> Parsed<List> {
    let reference = astring_or_empty(cursor)?;
    cursor.space()?;
    Ok(List { reference, patterns: alloc::vec![list_mailbox(cursor)?], ..List::default() })
}

/// The reference is an astring, but may hold wildcards in the hands of some clients; they stand for themselves.
fn astring_or_empty(cursor: &mut Cursor<'_>) -> Parsed<Vec<u8>> {
    list_mailbox(cursor)
}

fn select_option(cursor: &mut Cursor<'_>) -> Parsed<Select> {
    let name = keyword(cursor)?;
    match name.as_str() {
        "RECURSIVEMATCH" => Ok(Select::RecursiveMatch),
        "REMOTE" => Ok(Select::Remote),
        "SPECIAL-USE" => Ok(Select::SpecialUse),
        "SUBSCRIBED" => Ok(Select::Subscribed),
        _ => Err(Syntax::Unknown("select options", name)),
    }
}

fn return_option(cursor: &mut Cursor<'_>) -> Parsed<Return> {
    let name = keyword(cursor)?;
    match name.as_str() {
        "CHILDREN" => Ok(Return::Children),
        "SPECIAL-USE" => Ok(Return::SpecialUse),
        "STATUS" => {
            cursor.space()?;
            status_items(cursor).map(Return::Status)
        }
        "SUBSCRIBED" => Ok(Return::Subscribed),
        _ => Err(Syntax::Unknown("return options", name)),
    }
}

/// `"(" status-att *(SP status-att) ")"`
///
/// # Errors
/// When it is none, or empty.
pub fn status_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<StatusItem>> {
    let items = cursor.list(status_item)?;
    if items.is_empty() { Err(Syntax::Arguments) } else { Ok(items) }
}

fn status_item(cursor: &mut Cursor<'_>) -> Parsed<StatusItem> {
    let name = keyword(cursor)?;
    match name.as_str() {
        "MESSAGES" => Ok(StatusItem::Messages),
        "RECENT" => Ok(StatusItem::Recent),
        "UIDNEXT" => Ok(StatusItem::UidNext),
        "UIDVALIDITY" => Ok(StatusItem::UidValidity),
        "UNSEEN" => Ok(StatusItem::Unseen),
        _ => Err(Syntax::Unknown("status item", name)),
    }
}

/// `SP "(" "USE" SP "(" [use-attr *(SP use-attr)] ")" ")"`, if it is there (RFC 6154 §3).
///
/// # Errors
/// When something else is there.
pub fn create_use(cursor: &mut Cursor<'_>) -> Parsed<Vec<SpecialUse>> {
    if cursor.peek() != Some(b' ') {
        return Ok(Vec::new());
    }
    cursor.space()?;
    if cursor.peek().is_none() {
        return Ok(Vec::new());
    }
    let uses = cursor.list(|cursor| {
        if !cursor.eat_text("USE ") {
            return Err(Syntax::Arguments);
        }
        cursor.list(use_attribute)
    })?;
    Ok(uses.into_iter().flatten().collect())
}

fn use_attribute(cursor: &mut Cursor<'_>) -> Parsed<SpecialUse> {
    cursor.expect(b'\\')?;
    let name = keyword(cursor)?;
    let named = |known: &SpecialUse| known.name().get(1..).is_some_and(|text| text.eq_ignore_ascii_case(&name));
    SpecialUse::ALL.into_iter().find(named).ok_or_else(|| Syntax::Unknown("special-use attribute", name_of(&name)))
}

fn name_of(name: &str) -> String {
    alloc::format!("\\{name}")
}

/// `mailbox` where any astring will do: the parts of ID.
///
/// # Errors
/// When it is none.
pub fn id_parameters(cursor: &mut Cursor<'_>) -> Parsed<Vec<Option<Vec<u8>>>> {
    if cursor.eat_text("NIL") {
        return Ok(Vec::new());
    }
    cursor.list(|cursor| if cursor.eat_text("NIL") { Ok(None) } else { astring(cursor).map(Some) })
}
