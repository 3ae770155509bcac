//! Base64 as SASL uses it (RFC 4648 §4): padded, no line breaks, nothing lenient.

use alloc::string::String;
use alloc::vec::Vec;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text for these octets.
#[must_use]
pub fn encode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len().div_ceil(3) * 4);
    for group in octets.chunks(3) {
        let word =
            group.iter().chain([0, 0].iter()).take(3).fold(0_usize, |word, octet| word << 8 | usize::from(*octet));
        for place in 0..4 {
            let sextet = word >> (18 - 6 * place) & 63;
            text.push(if place <= group.len() { ALPHABET[sextet].into() } else { '=' });
        }
    }
    text
}

/// The octets of a text, or `None` when it is not exactly canonical base64.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let padding = text.iter().rev().take_while(|octet| **octet == b'=').count();
    if padding > 2 {
        return None;
    }
    let mut octets = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0_u32, 0);
    for &letter in &text[..text.len() - padding] {
        word = word << 6 | value(letter)?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            octets.push((word >> bits & 0xFF) as u8);
        }
    }
    // The bits left over must be zero, else two texts would mean the same octets.
    (word & ((1 << bits) - 1) == 0).then_some(octets)
}

fn value(letter: u8) -> Option<u32> {
    Some(u32::from(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_rfc_4648() {
        for (octets, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(octets.as_bytes()), text);
            assert_eq!(decode(text.as_bytes()).as_deref(), Some(octets.as_bytes()));
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in
            ["Z", "Zg", "Zg=", "Zg===", "Z===", "====", "Zh==", "Zm9=", "Zm 9v", "Zg==Zg==", "Zm9v\n", "Zm\u{e9}"]
        {
            assert_eq!(decode(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn every_pair_of_octets() {
        for number in 0..=u16::MAX {
            let octets = number.to_be_bytes();
            assert_eq!(decode(encode(&octets).as_bytes()).as_deref(), Some(&octets[..]));
        }
    }
}
