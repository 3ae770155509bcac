//! Where the grammar stands in one complete command, and what it may still do.
//!
//! A command is read from one buffer in which each literal stands as on the wire (`{5}`, line end, octets), so the
//! functions of this module tree read like the rules they are named after. Nothing here panics on any input.

use alloc::string::String;

/// How deep parentheses, NOT and OR may nest in one command.
pub const MAX_DEPTH: u8 = 64;

/// Why a command does not parse. The fault is the peer's; [`crate::reply`] words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Syntax {
    /// Something else was expected here.
    Arguments,
    /// A message set that is none, or that names a message that is not there.
    MessageSet,
    /// A uid set that is none.
    UidSet,
    /// A name the list of names does not know; what it was a name of, and the name.
    Unknown(&'static str, String),
    /// More nesting than [`MAX_DEPTH`].
    TooDeep,
    /// Not modified UTF-7 (RFC 3501 §5.1.3).
    MailboxName,
}

/// The result of a grammar function.
pub type Parsed<T> = Result<T, Syntax>;

/// A place in a command.
#[derive(Clone, Debug)]
pub struct Cursor<'a> {
    rest: &'a [u8],
    depth: u8,
}

impl<'a> Cursor<'a> {
    /// At the start of `text`.
    #[must_use]
    pub const fn new(text: &'a [u8]) -> Self {
        Self { rest: text, depth: 0 }
    }

    /// What has not been read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next octet, left in place.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// Takes `octet` if it is next.
    pub fn eat(&mut self, octet: u8) -> bool {
        let found = self.peek() == Some(octet);
        if found {
            self.skip(1);
        }
        found
    }

    /// Takes `text` if it is next, in any letter case.
    pub fn eat_text(&mut self, text: &str) -> bool {
        let found = self.rest.get(..text.len()).is_some_and(|head| head.eq_ignore_ascii_case(text.as_bytes()));
        if found {
            self.skip(text.len());
        }
        found
    }

    /// Takes `octet` or fails.
    ///
    /// # Errors
    /// When another octet is next.
    pub fn expect(&mut self, octet: u8) -> Parsed<()> {
        if self.eat(octet) { Ok(()) } else { Err(Syntax::Arguments) }
    }

    /// `SP`. People type more than one space by hand: all of them are taken.
    ///
    /// # Errors
    /// When no space is next.
    pub fn space(&mut self) -> Parsed<()> {
        self.expect(b' ')?;
        while self.eat(b' ') {}
        Ok(())
    }

    /// The end of the command, after any spaces.
    ///
    /// # Errors
    /// When something is left.
    pub fn end(&mut self) -> Parsed<()> {
        while self.eat(b' ') {}
        if self.rest.is_empty() { Ok(()) } else { Err(Syntax::Arguments) }
    }

    /// Takes octets as long as `wanted` says.
    pub fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.rest.iter().position(|octet| !wanted(*octet)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken
    }

    /// Takes exactly `count` octets.
    ///
    /// # Errors
    /// When fewer are left.
    pub fn take(&mut self, count: usize) -> Parsed<&'a [u8]> {
        let taken = self.rest.get(..count).ok_or(Syntax::Arguments)?;
        self.skip(count);
        Ok(taken)
    }

    /// Runs `inner` one level deeper.
    ///
    /// # Errors
    /// When that is too deep, or `inner` fails.
    pub fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= MAX_DEPTH {
            return Err(Syntax::TooDeep);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    /// `"(" item *(SP item) ")"`, also with nothing between the parentheses.
    ///
    /// # Errors
    /// When a parenthesis is missing, nesting is too deep or an item fails.
    pub fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<alloc::vec::Vec<T>> {
        self.expect(b'(')?;
        self.deeper(|cursor| {
            let mut items = alloc::vec::Vec::new();
            while cursor.eat(b' ') {}
            while !cursor.eat(b')') {
                items.push(item(cursor)?);
                if cursor.peek() != Some(b')') {
                    cursor.space()?;
                }
            }
            Ok(items)
        })
    }

    fn skip(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }
}
