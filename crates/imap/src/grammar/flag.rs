//! Flags (RFC 9051 §9: flag, flag-list, flag-keyword).

use alloc::vec::Vec;

use mail::{Flag, Flags};

use super::cursor::{Cursor, Parsed, Syntax};
use super::string::atom;

/// The longest keyword taken.
const MAX_KEYWORD: usize = 100;

/// `flag-list = "(" [flag *(SP flag)] ")"`
///
/// # Errors
/// When it is none or holds a flag that cannot be set.
pub fn flag_list(cursor: &mut Cursor<'_>) -> Parsed<Flags> {
    let mut flags = Flags::default();
    cursor.list(|cursor| flag(cursor, &mut flags))?;
    Ok(flags)
}

/// `store-att-flags`: a list, or flags without parentheses.
///
/// # Errors
/// When a flag cannot be set or is none.
pub fn store_flags(cursor: &mut Cursor<'_>) -> Parsed<Flags> {
    if cursor.peek() == Some(b'(') {
        return flag_list(cursor);
    }
    let mut flags = Flags::default();
    loop {
        flag(cursor, &mut flags)?;
        if cursor.peek() != Some(b' ') {
            return Ok(flags);
        }
        cursor.space()?;
    }
}

/// `flag = "\Answered" / … / flag-keyword / flag-extension`. `\Recent` cannot be set and is passed over, as
/// clients copy flags from a FETCH into an APPEND.
fn flag(cursor: &mut Cursor<'_>, flags: &mut Flags) -> Parsed<()> {
    let system = cursor.eat(b'\\');
    let name = atom(cursor)?;
    if !system {
        let known = flags.keywords.iter().any(|keyword| keyword.eq_ignore_ascii_case(name));
        if name.len() > MAX_KEYWORD {
            return Err(Syntax::Arguments);
        }
        if !known {
            flags.keywords.insert(name.into());
        }
        return Ok(());
    }
    match system_flag(name) {
        Some(flag) => flags.set(flag),
        None if name.eq_ignore_ascii_case("Recent") => {}
        None => return Err(Syntax::Unknown("system flag", alloc::format!("\\{}", name.to_ascii_uppercase()))),
    }
    Ok(())
}

fn system_flag(name: &str) -> Option<Flag> {
    let all: Vec<Flag> = Flag::ALL.into();
    all.into_iter().find(|flag| flag.name().get(1..).is_some_and(|known| known.eq_ignore_ascii_case(name)))
}
