use super::*;
use alloc::format;
use alloc::string::String;
use proptest::prelude::*;

/// `multipart/mixed(text/plain text/plain)`
fn shown(message: &[u8]) -> String {
    fn show(structure: &Structure, part: &Part) -> String {
        let text = |octets: &[u8]| String::from_utf8_lossy(octets).to_lowercase();
        let inside: Vec<String> = structure.children(part).map(|child| show(structure, child)).collect();
        let inside = if part.kind == Kind::Leaf { String::new() } else { format!("({})", inside.join(" ")) };
        format!("{}/{}{inside}", text(&part.content.kind), text(&part.content.subtype))
    }
    let structure = Structure::of(message);
    show(&structure, structure.root())
}

const LAB_B: &str = "Subject: x\nMIME-Version: 1.0\nContent-type: multipart/mixed; boundary=-----0000000000\n\npreamble\n\
    -------0000000000\n\nBonjour,\nà toi\n\n-------0000000000\nContent-Type: text/plain; name=\"fichier.txt\"\n\
    Content-Disposition: attachment; filename=mon fichier.txt; size=3\n\nabc\n-------0000000000--\nepilogue\n";

#[test]
fn a_mail_typed_by_hand() {
    for message in [LAB_B.into(), LAB_B.replace('\n', "\r\n")] {
        let crlf = message.replace("\r\n", "\n").replace('\n', "\r\n");
        let structure = Structure::of(message.as_bytes());
        assert_eq!(shown(message.as_bytes()), "multipart/mixed(text/plain text/plain)");
        let first = structure.find(&[1]).expect("1");
        assert_eq!(message[first.body.clone()].replace('\r', ""), "Bonjour,\nà toi\n");
        assert_eq!((first.lines, first.body_size()), (2, 18));
        assert_eq!(first.header_size(), 2);
        let second = structure.find(&[2]).expect("2");
        assert_eq!(&message[second.body.clone()], "abc");
        let disposition = second.content.disposition.as_ref().expect("disposition");
        assert_eq!(disposition.parameters[0].value, b"mon fichier.txt");
        assert_eq!(disposition.parameters[1].name, b"size");
        assert_eq!(structure.root().header_size() + structure.root().body_size(), crlf.len());
        assert!(structure.find(&[3]).is_none() && structure.find(&[1, 1]).is_none() && structure.find(&[0]).is_none());
    }
}

#[test]
fn the_longest_open_boundary_wins() {
    let message = "Content-Type: multipart/mixed; boundary=BB\n\n--BB\nContent-Type: multipart/alternative; boundary=BB2\n\n\
        --BB2\n\na\n--BB2\n\nb\n--BB2--\n--BB\n\nc\n--BB--\n";
    assert_eq!(shown(message.as_bytes()), "multipart/mixed(multipart/alternative(text/plain text/plain) text/plain)");
}

#[test]
fn messages_inside() {
    let message = "Content-Type: multipart/digest; boundary=b\n\n--b\n\nSubject: one\n\nfirst\n--b\nContent-Type: message/rfc822\n\n\
        Content-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c--\n--b--\n";
    assert_eq!(
        shown(message.as_bytes()),
        "multipart/digest(message/rfc822(text/plain) message/rfc822(multipart/mixed(text/plain)))"
    );
    let structure = Structure::of(message.as_bytes());
    let text = |part: &Part| &message[part.body.clone()];
    assert_eq!(text(structure.find(&[1, 1]).expect("1.1")), "first");
    assert_eq!(text(structure.find(&[2, 1]).expect("2.1")), "x");
    assert!(structure.find(&[2, 2]).is_none() && structure.find(&[2, 1, 1]).is_none());
    let simple = "Content-Type: message/rfc822\n\nSubject: in\n\nbody";
    let structure = Structure::of(simple.as_bytes());
    assert_eq!(structure.find(&[1]), Some(structure.root()));
    assert_eq!(structure.find(&[1, 1]).map(|part| &simple[part.body.clone()]), Some("body"));
}

#[test]
fn malformed_is_a_leaf() {
    for (message, want) in [
        ("", "text/plain"),
        ("no header at all", "text/plain"),
        ("Content-Type: multipart/mixed\n\n--x\n\n", "text/plain"),
        ("Content-Type: multipart/mixed; boundary=x\n\nnothing", "multipart/mixed()"),
        ("Content-Type: multipart/mixed; boundary=x", "application/octet-stream"),
        ("Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\nAAAA", "application/octet-stream"),
        ("Content-Type: nonsense\n\n", "text/plain"),
        ("Content-Type: text (c) / (d) html ; a = b\n\n", "text/html"),
        (
            "Content-Type: multipart/mixed; boundary=x\n\n--x\n--x\nA: b\n--x--",
            "multipart/mixed(text/plain text/plain)",
        ),
    ] {
        assert_eq!(shown(message.as_bytes()), want, "{message:?}");
    }
}

#[test]
fn budgets_hold() {
    let nested: String =
        (0..300).map(|n| format!("Content-Type: multipart/mixed; boundary=b{n}x\n\n--b{n}x\n")).collect();
    let structure = Structure::of(nested.as_bytes());
    assert_eq!(structure.parts().len(), MAX_DEPTH);
    assert!(structure.parts()[MAX_DEPTH - 1].content.is("application", "octet-stream"));
    let many = format!("Content-Type: multipart/mixed; boundary=b\n\n{}", "--b\n\nx\n".repeat(20_000));
    assert_eq!(Structure::of(many.as_bytes()).parts().len(), MAX_PARTS);
    let parameters = format!("Content-Type: text/plain{}\n\n", "; a=b".repeat(5_000));
    assert_eq!(Structure::of(parameters.as_bytes()).root().content.parameters.len(), MAX_PARAMETERS);
}

/// Every part lies inside its parent, siblings follow one another, sizes fit the CRLF form.
fn check(message: &[u8]) -> Result<(), TestCaseError> {
    let structure = Structure::of(message);
    for part in structure.parts() {
        prop_assert!(part.header.start <= part.header.end && part.header.end == part.body.start);
        prop_assert!(part.body.start <= part.body.end && part.body.end <= message.len());
        let mut last = part.body.start;
        for child in structure.children(part) {
            prop_assert!(child.header.start >= last && child.body.end <= part.body.end);
            last = child.body.end;
        }
        let body = &message[part.body.clone()];
        prop_assert_eq!(part.lines, body.iter().filter(|b| **b == b'\n').count());
        prop_assert_eq!(part.body_size(), crlf_length(body, part.body.start.checked_sub(1).map(|at| message[at])));
    }
    prop_assert_eq!(structure.root().body.end, message.len());
    Ok(())
}

fn crlf_length(octets: &[u8], before: Option<u8>) -> usize {
    let mut last = before;
    let mut length = octets.len();
    for byte in octets {
        length += usize::from(*byte == b'\n' && last != Some(b'\r'));
        last = Some(*byte);
    }
    length
}

fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("\n".into()),
        Just("\r\n".into()),
        Just("--".into()),
        Just("\n--b".into()),
        Just("\r\n--bb--\n".into()),
        Just("Content-Type: multipart/mixed; boundary=b\n\n".into()),
        Just("Content-Type: multipart/digest; boundary=\"bb\"\r\n\r\n".into()),
        Just("Content-Type: message/rfc822\n\n".into()),
        "[ -~]{0,10}",
    ]
}

proptest! {
    #[test]
    fn ranges_nest(pieces in proptest::collection::vec(piece(), 0..60)) {
        check(pieces.concat().as_bytes())?;
    }

    #[test]
    fn any_cut_gives_the_same(pieces in proptest::collection::vec(piece(), 0..40), cuts in proptest::collection::vec(any::<usize>(), 0..8)) {
        let message = pieces.concat().into_bytes();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut % (message.len() + 1)).collect();
        cuts.extend([0, message.len()]);
        cuts.sort_unstable();
        let mut scanner = Scanner::default();
        cuts.windows(2).for_each(|pair| scanner.feed(&message[pair[0]..pair[1]]));
        let found = scanner.finish();
        prop_assert_eq!(&found.structure, &Structure::of(&message));
        let inner = found.structure.parts().iter().filter_map(|part| found.structure.inner(part));
        let messages: Vec<&Part> = core::iter::once(found.structure.root()).chain(inner).collect();
        prop_assert_eq!(found.headers.len(), messages.len());
        for part in messages {
            let kept = found.headers.iter().find(|(start, _)| *start == part.header.start).map(|(_, header)| &header[..]);
            prop_assert_eq!(kept, Some(&message[part.header.clone()]));
        }
    }

    #[test]
    fn any_octets(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        check(&octets)?;
    }
}
