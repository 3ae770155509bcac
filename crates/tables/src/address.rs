//! In which order an address is looked for in a table (Postfix: canonical(5), virtual(5), generic(5)).

use crate::{Found, View};

/// An address, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key<'a> {
    /// The local part, unquoted.
    pub local: &'a str,
    /// The domain; empty if it has none.
    pub domain: &'a str,
    /// The domain is delivered here, or is our origin: the table may leave it out.
    pub is_ours: bool,
    /// The signs that divide a user from an extension (`recipient_delimiter`).
    pub delimiters: &'a str,
}

/// What was found, and what of the address the table did not see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The table's words.
    pub found: Found,
    /// The extension with its delimiter, where the table knows the address without it; else empty.
    pub extension: String,
    /// The table knows the whole domain: `@domain`.
    pub catch_all: bool,
}

impl Key<'_> {
    /// Looks for `user+ext@domain`, `user@domain`, `user+ext`, `user` (the last two where the domain is ours), `@domain`.
    #[must_use]
    pub fn find(&self, view: &View) -> Option<Hit> {
        let Self { local, domain, is_ours, delimiters } = *self;
        let at = if domain.is_empty() { "" } else { "@" };
        let (user, extension) = split_extension(local, delimiters);
        let hit = |found, extension: &str| Hit { found, extension: extension.to_owned(), catch_all: false };
        if let Some(found) = view.lookup(&format!("{local}{at}{domain}")) {
            return Some(hit(found, ""));
        }
        let short = !extension.is_empty();
        if short && let Some(found) = view.lookup_part(&format!("{user}{at}{domain}")) {
            return Some(hit(found, extension));
        }
        if is_ours && !domain.is_empty() {
            if let Some(found) = view.lookup_part(local) {
                return Some(hit(found, ""));
            }
            if short && let Some(found) = view.lookup_part(user) {
                return Some(hit(found, extension));
            }
        }
        if domain.is_empty() {
            return None;
        }
        view.lookup_part(&format!("@{domain}")).map(|found| Hit { catch_all: true, ..hit(found, "") })
    }
}

/// The user and the extension with its delimiter in front; a delimiter at the very beginning divides nothing.
#[must_use]
pub fn split_extension<'a>(local: &'a str, delimiters: &str) -> (&'a str, &'a str) {
    // Addresses with a meaning of their own are not divided.
    if delimiters.is_empty() || RESERVED.iter().any(|name| local.eq_ignore_ascii_case(name)) {
        return (local, "");
    }
    match local.char_indices().skip(1).find(|(_, c)| delimiters.contains(*c)) {
        // As the owners of lists have it: `owner-list`, `list-request`.
        Some(_) if delimiters.contains('-') && is_list_role(local) => (local, ""),
        Some((at, _)) => local.split_at(at),
        None => (local, ""),
    }
}

fn is_list_role(local: &str) -> bool {
    let start = local.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("owner-"));
    start || local.len() > 8 && local.get(local.len() - 8..).is_some_and(|end| end.eq_ignore_ascii_case("-request"))
}

const RESERVED: [&str; 3] = ["postmaster", "mailer-daemon", "double-bounce"];
