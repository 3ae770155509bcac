//! The text of a part, its transfer encoding (RFC 2045 §6) and character set undone piece by piece, however it is cut.
//!
//! Nothing fails: what is no base64 is passed over, a wrong `=XX` stands for itself, octets that are no text become U+FFFD.
//! A character set nobody knows, and us-ascii, count as UTF-8.

use encoding_rs::{CoderResult, Encoding, UTF_8};
use mail::mime::ContentFields;

/// Undoes the encoding of one text part.
pub(crate) struct Decoder {
    transfer: Transfer,
    charset: encoding_rs::Decoder,
}

enum Transfer {
    Plain,
    Base64 {
        bits: u32,
        count: u8,
    },
    /// What cannot be told before more comes: `=`, `=X`, or blanks that may end a line.
    Quoted(Vec<u8>),
}

impl Decoder {
    /// For a part with these fields.
    pub(crate) fn of(content: &ContentFields) -> Self {
        let encoding = content.encoding.as_deref().unwrap_or_default().to_ascii_lowercase();
        let transfer = match encoding.as_slice() {
            b"base64" => Transfer::Base64 { bits: 0, count: 0 },
            b"quoted-printable" => Transfer::Quoted(Vec::new()),
            _ => Transfer::Plain,
        };
        let charset = content.parameter("charset").filter(|name| !name.eq_ignore_ascii_case(b"us-ascii"));
        let charset = charset.and_then(Encoding::for_label).unwrap_or(UTF_8);
        Self { transfer, charset: charset.new_decoder() }
    }

    /// The next octets, as text.
    pub(crate) fn feed(&mut self, octets: &[u8], into: &mut String) {
        let mut plain = Vec::with_capacity(octets.len());
        match &mut self.transfer {
            Transfer::Plain => return self.text(octets, false, into),
            Transfer::Base64 { bits, count } => {
                octets.iter().for_each(|octet| base64(*octet, (bits, count), &mut plain))
            }
            Transfer::Quoted(held) => quoted(octets, held, &mut plain),
        }
        self.text(&plain, false, into);
    }

    /// The part is over.
    pub(crate) fn finish(mut self, into: &mut String) {
        let held = match &mut self.transfer {
            Transfer::Quoted(held) => std::mem::take(held),
            Transfer::Plain | Transfer::Base64 { .. } => Vec::new(),
        };
        self.text(&held, true, into);
    }

    fn text(&mut self, mut octets: &[u8], last: bool, into: &mut String) {
        loop {
            into.reserve(octets.len().max(MOST_OF_ONE));
            let (result, read, _) = self.charset.decode_to_string(octets, into, last);
            octets = &octets[read..];
            match result {
                CoderResult::InputEmpty => return,
                CoderResult::OutputFull => {}
            }
        }
    }
}

/// No character and no mark for a wrong one takes more room.
const MOST_OF_ONE: usize = 16;

fn base64(octet: u8, (bits, count): (&mut u32, &mut u8), plain: &mut Vec<u8>) {
    let value = match octet {
        b'A'..=b'Z' => octet - b'A',
        b'a'..=b'z' => octet - b'a' + 26,
        b'0'..=b'9' => octet - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        // What was encoded ends; something else may be joined to it.
        b'=' => {
            (*bits, *count) = (0, 0);
            return;
        }
        _ => return,
    };
    *bits = *bits << 6 | u32::from(value);
    *count += 1;
    // A sign makes six bits: from the second on each one completes an octet.
    if *count > 1 {
        let rest = 2 * (4 - u32::from(*count));
        plain.push((*bits >> rest & 0xff) as u8);
    }
    if *count == 4 {
        (*bits, *count) = (0, 0);
    }
}

fn quoted(octets: &[u8], held: &mut Vec<u8>, plain: &mut Vec<u8>) {
    for octet in octets {
        match (held.first(), octet) {
            // The end of a line: blanks before it were added on the way (RFC 2045 §6.7, rule 3).
            (Some(b' ' | b'\t'), b'\r') => held.clear(),
            (Some(b' ' | b'\t'), b'\n') => {
                held.clear();
                plain.push(b'\n');
                continue;
            }
            (Some(b' ' | b'\t'), b' ' | b'\t') => {
                held.push(*octet);
                continue;
            }
            (Some(b'='), _) => {
                held.push(*octet);
                escape(held, plain);
                continue;
            }
            _ => plain.append(held),
        }
        match octet {
            b'=' | b' ' | b'\t' => held.push(*octet),
            _ => plain.push(*octet),
        }
    }
}

/// `=` and what follows: a line that goes on, an octet, or something wrong.
fn escape(held: &mut Vec<u8>, plain: &mut Vec<u8>) {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    match held.as_slice() {
        [_, blanks @ .., b'\n'] if blanks.iter().all(|octet| is_blank(*octet)) => held.clear(),
        [_, blanks @ ..] if blanks.iter().all(|octet| is_blank(*octet)) && blanks.len() < LONGEST_HELD => {}
        [_, high] if digit(*high).is_some() => {}
        [_, high, low] if digit(*high).is_some() && digit(*low).is_some() => {
            plain.push(digit(*high).unwrap_or(0) << 4 | digit(*low).unwrap_or(0));
            held.clear();
        }
        _ => plain.append(held),
    }
}

/// Blanks may follow the sign.
const fn is_blank(octet: u8) -> bool {
    matches!(octet, b' ' | b'\t' | b'\r')
}

/// More blanks than that end no line of quoted-printable.
const LONGEST_HELD: usize = 1000;

#[cfg(test)]
mod tests {
    use mail::mime::content::DefaultType;
    use proptest::prelude::*;

    use super::*;

    fn decoded(header: &str, pieces: &[&[u8]]) -> String {
        let mut decoder = Decoder::of(&ContentFields::of(header.as_bytes(), DefaultType::Text));
        let mut text = String::new();
        pieces.iter().for_each(|piece| decoder.feed(piece, &mut text));
        decoder.finish(&mut text);
        text
    }

    const QUOTED: &str = "Content-Transfer-Encoding: quoted-printable\r\n";
    const BASE64: &str = "Content-Transfer-Encoding: Base64\r\nContent-Type: text/plain; charset=utf-8\r\n";

    #[test]
    fn encodings_are_undone() {
        for (header, body, want) in [
            ("", &b"caf\xc3\xa9\r\n"[..], "caf\u{e9}\r\n"),
            ("Content-Type: text/plain; charset=iso-8859-1\r\n", b"caf\xe9", "caf\u{e9}"),
            ("Content-Type: text/plain; charset=nobody-knows\r\n", b"caf\xc3\xa9", "caf\u{e9}"),
            ("Content-Type: text/plain; charset=utf-16le\r\n", b"a\0b\0", "ab"),
            (QUOTED, b"a=C3=A9 b=\r\nc=  \r\nd  \r\ne =3D= \n.", "a\u{e9} bcd\r\ne =."),
            (QUOTED, b"50=% =ZZ =4", "50=% =ZZ =4"),
            (BASE64, b"w6nDqA==", "\u{e9}\u{e8}"),
            (BASE64, b"w6\r\nnD\r\n qA", "\u{e9}\u{e8}"),
            (BASE64, b"YQ==YmM=", "abc"),
        ] {
            assert_eq!(decoded(header, &[body]), want, "{header} {body:?}");
        }
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same(text in "[a= \t\r\nC39\u{e9}]{0,40}", at in 0_usize..60, which in 0..3) {
            let header = ["", QUOTED, BASE64][which as usize];
            let (first, second) = text.as_bytes().split_at(at.min(text.len()));
            prop_assert_eq!(decoded(header, &[first, second]), decoded(header, &[text.as_bytes()]));
        }
    }
}
