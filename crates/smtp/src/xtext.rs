//! `xtext` (RFC 3461 §4): printable ASCII in which `+HH` stands for an octet.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// The text meant, or `None` when it is malformed, not UTF-8, or holds a control character.
#[must_use]
pub fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        octets.push(match octet {
            b'+' => {
                let (hex, tail) = rest.split_at_checked(2)?;
                rest = tail;
                digit(hex[0])? << 4 | digit(hex[1])?
            }
            b'=' => return None,
            b'!'..=b'~' => octet,
            _ => return None,
        });
    }
    String::from_utf8(octets).ok().filter(|text| !text.chars().any(char::is_control))
}

/// The xtext for a text.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut xtext = String::with_capacity(text.len());
    for octet in text.bytes() {
        if matches!(octet, b'!'..=b'~') && octet != b'+' && octet != b'=' {
            xtext.push(octet.into());
        } else {
            let _ = write!(xtext, "+{octet:02X}");
        }
    }
    xtext
}

/// `hexchar = ASCII "+" immediately followed by two upper case hexadecimal digits`
const fn digit(octet: u8) -> Option<u8> {
    match octet {
        b'0'..=b'9' => Some(octet - b'0'),
        b'A'..=b'F' => Some(octet - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_as_read() {
        for text in ["", "abc", "a+b=c d", "é"] {
            assert_eq!(decode(&encode(text)).as_deref(), Some(text));
        }
        for bad in ["+", "+4", "+4g", "a=b", "a b", "+0D+0A", "+FF", "+é"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
