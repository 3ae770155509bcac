//! Paths in MAIL, RCPT and VRFY (RFC 5321 §4.1.2), with or without angle brackets.

use mail::Address;
use mail::address::AddressError;

/// Cuts a path off the front: its text as written, and what follows without blanks. Quotes hide blanks and brackets.
///
/// `None` when brackets or quotes are not closed, or something touches the closing bracket.
#[must_use]
pub fn cut(text: &str) -> Option<(&str, &str)> {
    let end = if text.starts_with('<') { closing_bracket(text)? + 1 } else { first_blank(text)? };
    let (path, rest) = text.split_at(end);
    let trimmed = rest.trim_start_matches(BLANKS);
    (rest.is_empty() || trimmed.len() < rest.len()).then_some((path, trimmed))
}

/// The address in a path as [`cut`] leaves it; `None` for `<>`. A source route is passed over (RFC 5321 appendix C).
///
/// # Errors
/// When it is no address.
pub fn parse(path: &str) -> Result<Option<Address>, AddressError> {
    let inside = path.strip_prefix('<').and_then(|path| path.strip_suffix('>')).unwrap_or(path).trim_matches(BLANKS);
    if inside.is_empty() {
        return if path.starts_with('<') { Ok(None) } else { Err(AddressError::BadLocal) };
    }
    let text = match inside.split_once(':') {
        Some((route, address)) if route.starts_with('@') => address,
        _ => inside,
    };
    let address = Address::parse(text)?;
    if !text.starts_with('"') && !address.local().chars().all(is_local) {
        return Err(AddressError::BadLocal);
    }
    Ok(Some(address))
}

/// What may stand in a local part without quotes: `atext` of RFC 5322 §3.2.3 and RFC 6532, and dots anywhere.
fn is_local(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c) || !c.is_ascii()
}

fn closing_bracket(text: &str) -> Option<usize> {
    scan(text, |octet| octet == b'>')
}

fn first_blank(text: &str) -> Option<usize> {
    let mut quotes_closed = true;
    let found = scan_quotes(text, |octet| octet == b' ' || octet == b'\t', &mut quotes_closed);
    if quotes_closed { Some(found.unwrap_or(text.len())) } else { None }
}

fn scan(text: &str, is_end: impl Fn(u8) -> bool) -> Option<usize> {
    scan_quotes(text, is_end, &mut true)
}

/// The first octet outside quotes for which `is_end` holds.
fn scan_quotes(text: &str, is_end: impl Fn(u8) -> bool, closed: &mut bool) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, octet) in text.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            octet if !quoted && is_end(octet) => return Some(at),
            _ => {}
        }
    }
    *closed = !quoted;
    None
}

const BLANKS: [char; 2] = [' ', '\t'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cutting() {
        assert_eq!(cut("<a@b> x y"), Some(("<a@b>", "x y")));
        assert_eq!(cut("a@b\tx"), Some(("a@b", "x")));
        assert_eq!(cut("\"a b>\"@c x"), Some(("\"a b>\"@c", "x")));
        assert_eq!(cut("<\"a>\\\" \"@b>"), Some(("<\"a>\\\" \"@b>", "")));
        assert_eq!(cut(""), Some(("", "")));
        for bad in ["<a", "<a>b", "\"a", "<\"a>"] {
            assert_eq!(cut(bad), None, "{bad}");
        }
    }
}
