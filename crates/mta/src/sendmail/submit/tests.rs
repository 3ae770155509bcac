use super::*;
use std::ffi::OsString;

fn lines(text: &[u8], dots: Dots) -> (Vec<u8>, Vec<u8>) {
    let mut input = Lines { input: text, dots, ended: false };
    let (header, mut body) = read_header(&mut input).unwrap();
    while let Some(line) = input.next().unwrap() {
        body.extend(line);
    }
    (header, body)
}

#[test]
fn header_and_body_are_told_apart() {
    let cases: [(&[u8], &[u8], &[u8]); 7] = [
        (b"To: a\nSubject: x\n y\n\nbody\n", b"To: a\nSubject: x\n y\n", b"body\n"),
        (b"To: a\r\n\r\nbody\r\n", b"To: a\n", b"body\n"),
        (b"no header\nat all\n", b"", b"no header\nat all\n"),
        (b"From root Fri Nov 20\nTo: a\n\nb", b"To: a\n", b"b\n"),
        (b"To: a\nnot a field\n\nb\n", b"To: a\n", b"not a field\n\nb\n"),
        (b"", b"", b""),
        (b"\nbody\n", b"", b"body\n"),
    ];
    for (text, header, body) in cases {
        assert_eq!(lines(text, Dots::End), (header.to_vec(), body.to_vec()), "{}", text.escape_ascii());
    }
}

#[test]
fn a_lone_dot_ends_unless_told_otherwise() {
    let text = b"To: a\n\none\n.\ntwo\n..\n";
    assert_eq!(lines(text, Dots::End).1, b"one\n");
    assert_eq!(lines(text, Dots::Content).1, b"one\n.\ntwo\n..\n");
}

fn recipients(line: &[&str], header: &str) -> Result<Vec<String>, Exit> {
    let words: Vec<OsString> = line.iter().map(Into::into).collect();
    let options = super::super::options::read("sendmail", &words).unwrap();
    let envelope = envelope(&options, header.as_bytes())?;
    Ok(envelope.recipients.iter().map(|recipient| recipient.address.to_string()).collect())
}

#[test]
fn recipients_from_everywhere_and_each_once() {
    let header = "To: kevin, \"X, Y\" <toto@vm>\nCc: list: a@b.c, d;\nBcc: kevin\nSubject: no@one.here\n";
    assert_eq!(recipients(&["-t"], header).unwrap(), ["kevin", "toto@vm", "a@b.c", "d"]);
    assert_eq!(recipients(&["-t", "eleve"], header).unwrap(), ["eleve", "kevin", "toto@vm", "a@b.c", "d"]);
    assert_eq!(recipients(&["eleve, kevin", "Prof <prof@vm>"], header).unwrap(), ["eleve", "kevin", "prof@vm"]);
    assert_eq!(recipients(&["-t"], "To: a\nResent-To: b\n").unwrap(), ["b"]);
}

#[test]
fn no_recipient_is_an_error_that_says_which() {
    assert_eq!(
        recipients(&["-t"], "Subject: x\n").unwrap_err(),
        Exit::usage("No recipient addresses found in message header")
    );
    assert!(recipients(&[], "To: kevin\n").unwrap_err().to_string().contains("-t option"));
}

#[test]
fn senders() {
    let sender_of = |argument: &str| {
        let words: Vec<OsString> = vec!["-f".into(), argument.into(), "kevin".into()];
        sender(&super::super::options::read("sendmail", &words).unwrap())
    };
    assert_eq!(sender_of("<>").unwrap(), None);
    assert_eq!(sender_of("").unwrap(), None);
    assert_eq!(sender_of("Kevin <kevin@vm>").unwrap().unwrap().to_string(), "kevin@vm");
    assert!(sender_of("a, b").is_err());
}
