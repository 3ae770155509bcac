//! A message as Postfix keeps it in its queue: typed records, the envelope first, then the content line by line.
//!
//! A record is one octet that says what it is, its length (seven bits in each octet, the lowest first, while the highest
//! bit is set), and that many octets. A pointer record goes on elsewhere in the file, where a filter put other content; how
//! often is limited. What cannot be read is `None`: such a file stays where it is. The file is somebody else's, and
//! recipients and senders in it came from the net: nothing in it is believed.

/// What is taken over of a message.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Letter {
    /// Nothing for a bounce.
    pub(super) sender: String,
    /// Those that have not got it.
    pub(super) recipients: Vec<String>,
    /// The message, lines ended by line feeds.
    pub(super) content: Vec<u8>,
    /// What the sender wants to be told: Postfix's bits, if they are the same for all recipients.
    pub(super) notify: Option<u32>,
    /// How much of the message a bounce shows: 1 all, 2 its header.
    pub(super) ret: Option<u32>,
    /// The sender's name for this message.
    pub(super) envid: Option<String>,
}

/// Reads a whole file.
pub(super) fn read(octets: &[u8]) -> Option<Letter> {
    let mut reader = Reader { octets, at: 0, jumps: 0 };
    let (mut letter, mut part, mut notify) = (Letter::default(), Part::Envelope, Vec::new());
    let (mut has_sender, mut asked) = (false, None);
    loop {
        let (kind, value) = reader.next()?;
        match (part, kind) {
            (_, b'p') => reader.jump(value)?,
            (_, b'E') => break,
            (Part::Envelope, b'M') => part = Part::Content,
            (Part::Content, b'X') => part = Part::Extracted,
            (Part::Content, b'N') => letter.content.extend(value.iter().chain(b"\n")),
            (Part::Content, b'L') => letter.content.extend(value),
            (Part::Content, _) => {}
            (_, b'S') => (letter.sender, has_sender) = (text(value)?, true),
            (_, b'R') => {
                letter.recipients.push(text(value)?);
                notify.push(asked.take());
            }
            // Who has it; what was asked for that recipient went before.
            (_, b'D') => asked = None,
            (_, b'n') => asked = number(value).filter(|bits| *bits != 0),
            (_, b'<') => letter.ret = number(value).filter(|ret| *ret != 0),
            (_, b'i') => letter.envid = Some(text(value)?),
            _ => {}
        }
    }
    let same = notify.first().copied().flatten().filter(|first| notify.iter().all(|one| *one == Some(*first)));
    letter.notify = same;
    (has_sender && part == Part::Extracted).then_some(letter)
}

#[derive(Clone, Copy, Eq, PartialEq)]
enum Part {
    Envelope,
    Content,
    /// Recipients of the header, and what else was found out from the content.
    Extracted,
}

struct Reader<'a> {
    octets: &'a [u8],
    at: usize,
    jumps: usize,
}

impl<'a> Reader<'a> {
    fn octet(&mut self) -> Option<u8> {
        let octet = *self.octets.get(self.at)?;
        self.at += 1;
        Some(octet)
    }

    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let kind = self.octet()?;
        let (mut length, mut shift) = (0_usize, 0_u32);
        loop {
            let octet = self.octet()?;
            length |= usize::from(octet & 0x7f).checked_shl(shift)?;
            if octet & 0x80 == 0 {
                break;
            }
            shift += 7;
            if shift > LONGEST_SHIFT {
                return None;
            }
        }
        let end = self.at.checked_add(length)?;
        let value = self.octets.get(self.at..end)?;
        self.at = end;
        Some((kind, value))
    }

    /// A pointer to 0 is room for one.
    fn jump(&mut self, value: &[u8]) -> Option<()> {
        let target: usize = std::str::from_utf8(value).ok()?.trim().parse().ok()?;
        self.jumps += 1;
        if self.jumps > MOST_JUMPS || target > self.octets.len() {
            return None;
        }
        if target > 0 {
            self.at = target;
        }
        Some(())
    }
}

fn text(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    (!text.chars().any(char::is_control)).then(|| text.to_owned())
}

fn number(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// Lengths of more than 28 bits are nobody's.
const LONGEST_SHIFT: u32 = 21;
/// Each changed header and recipient of a filter takes two or three.
const MOST_JUMPS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, value: &str) -> Vec<u8> {
        let mut out = vec![kind];
        let mut length = value.len();
        while length > 0x7f {
            out.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
            length >>= 7;
        }
        out.push(u8::try_from(length).unwrap());
        [out, value.as_bytes().to_vec()].concat()
    }

    fn file(records: &[(u8, &str)]) -> Vec<u8> {
        records.iter().flat_map(|(kind, value)| record(*kind, value)).collect()
    }

    #[test]
    fn a_message_that_waits_for_one_of_two() {
        let long = "x".repeat(300);
        let octets = file(&[
            (b'C', "            400             600               2               0             400               0"),
            (b'T', "1763692800 12345"),
            (b'A', "rewrite_context=local"),
            (b'S', "kevin@m3102.com"),
            (b'i', "env1"),
            (b'<', "2"),
            (b'n', "4"),
            (b'D', "gone@there.example"),
            (b'n', "12"),
            (b'o', "rfc822;luke"),
            (b'O', "luke"),
            (b'R', "luke@starwars.example"),
            (b'p', "0"),
            (b'M', ""),
            (b'N', "Subject: a"),
            (b'N', ""),
            (b'L', &long),
            (b'N', "end"),
            (b'X', ""),
            (b'E', ""),
        ]);
        let letter = read(&octets).unwrap();
        let wanted = Letter {
            sender: "kevin@m3102.com".into(),
            recipients: vec!["luke@starwars.example".into()],
            content: format!("Subject: a\n\n{long}end\n").into_bytes(),
            notify: Some(12),
            ret: Some(2),
            envid: Some("env1".into()),
        };
        assert_eq!(letter, wanted);
        // A file that was not written to its end is left alone, wherever it breaks off.
        for end in 0..octets.len() {
            assert_eq!(read(&octets[..end]), None, "{end}");
        }
    }

    #[test]
    fn content_that_a_filter_changed_is_found_where_the_pointer_says() {
        let head = file(&[(b'S', ""), (b'R', "a@b"), (b'M', "")]);
        let pointer = |target: usize| record(b'p', &format!("{target:15}"));
        let old = record(b'N', "Subject: old");
        let rest = file(&[(b'N', ""), (b'X', ""), (b'E', "")]);
        let back = head.len() + pointer(0).len();
        let new_at = back + old.len() + rest.len();
        let octets =
            [head.clone(), pointer(new_at), old.clone(), rest, record(b'N', "Subject: new"), pointer(back + old.len())]
                .concat();
        let letter = read(&octets).unwrap();
        assert_eq!((letter.sender.as_str(), letter.content.as_slice()), ("", &b"Subject: new\n\n"[..]));
        let circle = [head.clone(), pointer(head.len())].concat();
        assert_eq!(read(&circle), None);
        assert_eq!(read(&[head, pointer(1 << 40)].concat()), None);
    }

    #[test]
    fn nonsense_is_no_letter() {
        assert_eq!(read(b""), None);
        assert_eq!(read(&[b'N', 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]), None);
        assert_eq!(read(&file(&[(b'S', "a\nb"), (b'M', ""), (b'X', ""), (b'E', "")])), None);
        assert_eq!(read(&file(&[(b'R', "a"), (b'M', ""), (b'X', ""), (b'E', "")])), None);
    }
}
