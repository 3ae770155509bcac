//! Examples, and two properties: a reader that knows MIME finds the same, and no split changes anything.

use super::*;
use mail::mime::{Kind, Structure};
use proptest::prelude::*;
use std::string::{String, ToString};

fn converted(pieces: &[&[u8]]) -> Vec<u8> {
    let (mut downgrade, mut out) = (Downgrade::default(), Vec::new());
    for piece in pieces {
        downgrade.feed(piece, &mut out);
    }
    downgrade.finish(&mut out);
    out
}

fn shown(message: &str) -> String {
    String::from_utf8(converted(&[message.as_bytes()])).unwrap()
}

#[test]
fn a_single_part() {
    assert_eq!(
        shown(
            "Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-transfer-encoding:\n 8bit\nX: y\n\n\
             d\u{e9}j\u{e0} \nFrom = a\t\n.\nend"
        ),
        "Subject: x\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\nX: y\n\n\
         d=C3=A9j=C3=A0=20\nFrom =3D a=09\n.\nend=\n"
    );
}

#[test]
fn what_does_not_say_8bit_stays() {
    for message in [
        "Subject: d\u{e9}j\u{e0}\n\nd\u{e9}j\u{e0}\n",
        "Content-Transfer-Encoding: 7bit\n\nd\u{e9}j\u{e0}\n",
        "Content-Transfer-Encoding: base64\n\nAAAA\n",
        "Content-Transfer-Encoding: quoted-printable\n\n=C3\n",
        "",
        "\n",
        "no end of header",
        "Content-Transfer-Encoding: 8bit\n",
    ] {
        assert_eq!(shown(message), message);
    }
}

#[test]
fn part_by_part() {
    assert_eq!(
        shown(
            "Content-Type: multipart/mixed; boundary=\"=_a\"\nContent-Transfer-Encoding: 8bit\n\npreamble =\n\
             --=_a\nContent-Transfer-Encoding: 8bit\n\n\u{e9}\n\
             --=_a\nContent-Type: text/plain\n\n=\n\
             --=_a\nContent-Type: multipart/alternative; boundary==_ab\nContent-Transfer-Encoding: binary\n\n\
             --=_ab\nContent-Transfer-Encoding: binary\n\n\u{e9}\n--=_ab--\n=\n\
             --=_a\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nContent-Transfer-Encoding: 8bit\n\n=\n\
             --=_a--\nepilogue =\n"
        ),
        "Content-Type: multipart/mixed; boundary=\"=_a\"\nContent-Transfer-Encoding: 7bit\n\npreamble =\n\
         --=_a\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9\n\
         --=_a\nContent-Type: text/plain\n\n=\n\
         --=_a\nContent-Type: multipart/alternative; boundary==_ab\nContent-Transfer-Encoding: 7bit\n\n\
         --=_ab\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9\n--=_ab--\n=\n\
         --=_a\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\n\
         Content-Transfer-Encoding: quoted-printable\n\n=3D\n\
         --=_a--\nepilogue =\n"
    );
}

#[test]
fn lines_are_kept_short() {
    let text = ["Content-Transfer-Encoding: 8bit\n\n", &"\u{e9}".repeat(4000), "\n"].concat();
    let out = shown(&text);
    assert!(out.lines().all(|line| line.len() <= 76));
    assert_eq!(
        decoded(out.split_once("\n\n").unwrap().1.as_bytes()),
        ["\u{e9}".repeat(4000), "\n".to_string()].concat().as_bytes()
    );
}

#[test]
fn beyond_the_limits_it_passes_as_it_is() {
    let header = ["X: ", &"y".repeat(MAX_HEADER), "\nContent-Transfer-Encoding: 8bit\n\n\u{e9}=\n"].concat();
    assert_eq!(shown(&header), header);
    let many = "y: z\n".repeat(MAX_HEADER / 5 + 1) + "Content-Transfer-Encoding: 8bit\n\n\u{e9}=\n";
    assert_eq!(shown(&many), many);
}

/// Undoes quoted-printable.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some((&octet, tail)) = rest.split_first() {
        rest = tail;
        match (octet, tail) {
            (b'=', [b'\n', tail @ ..]) => rest = tail,
            (b'=', [high, low, tail @ ..]) => {
                let digits = [*high, *low];
                octets.push(u8::from_str_radix(core::str::from_utf8(&digits).unwrap(), 16).unwrap());
                rest = tail;
            }
            _ => octets.push(octet),
        }
    }
    octets
}

/// The bodies of the leaves, decoded, as a reader finds them.
fn leaves(message: &[u8]) -> Vec<Vec<u8>> {
    let structure = Structure::of(message);
    let leaves = structure.parts().iter().filter(|part| part.kind == Kind::Leaf);
    leaves
        .map(|part| {
            let body = &message[part.body.clone()];
            match part.content.encoding.as_deref() {
                Some(encoding) if encoding.eq_ignore_ascii_case(b"quoted-printable") => decoded(body),
                _ => body.to_vec(),
            }
        })
        .collect()
}

fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(
        &[
            "\n",
            "Subject: x\n",
            "Content-Transfer-Encoding: 8bit\n",
            "content-transfer-encoding: BINARY\n",
            "Content-Transfer-Encoding: 7bit\n",
            "Content-Type: multipart/mixed; boundary=a\n",
            "Content-Type: multipart/digest; boundary=\"a=\"\n",
            "Content-Type: message/rfc822\n",
            "Content-Type: text/plain\n",
            "--a\n",
            "--a--\n",
            "--a=\n",
            "--a=--\n",
            "text \u{e9} = \n",
            "\u{e9}",
            "a",
            " ",
            "\t\n",
        ][..],
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn the_same_is_found_afterwards(pieces in prop::collection::vec(piece(), 0..30)) {
        let message = pieces.concat();
        let out = converted(&[message.as_bytes()]);
        prop_assert_eq!(leaves(&out), leaves(message.as_bytes()), "{}", String::from_utf8_lossy(&out));
    }

    #[test]
    fn any_split_gives_the_same(pieces in prop::collection::vec(piece(), 0..30), cut in 0..400_usize) {
        let message = pieces.concat().into_bytes();
        let (a, b) = message.split_at(cut.min(message.len()));
        prop_assert_eq!(converted(&[a, b]), converted(&[&message]));
        let single: Vec<&[u8]> = message.chunks(1).collect();
        prop_assert_eq!(converted(&single), converted(&[&message]));
    }

    #[test]
    fn any_octets(message in prop::collection::vec(any::<u8>(), 0..300)) {
        let message = [b"Content-Transfer-Encoding: 8bit\n\n", &message[..]].concat();
        let out = converted(&[&message]);
        prop_assert!(out.is_ascii());
        prop_assert_eq!(leaves(&out), leaves(&message));
    }
}

fn of_binary(message: &[u8], takes: Takes) -> (Vec<u8>, Sealed) {
    let (mut downgrade, mut out) = (Downgrade::of_binary(takes), Vec::new());
    downgrade.feed(message, &mut out);
    downgrade.finish(&mut out);
    (out, downgrade.sealed())
}

#[test]
fn binary_parts_become_lines() {
    let message = b"Content-Type: multipart/mixed; boundary=a\r\nContent-Transfer-Encoding: binary\r\n\r\n\
        --a\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: binary\r\n\r\n\x89PNG\r\n\x1a\n\0\r\n\
        --a\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: binary\r\n\r\nd\xc3\xa9j\xc3\xa0\r\nx\ny\rz\r\n\
        --a\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xa9\r\n--a--\r\n";
    let (seven, sealed) = of_binary(message, Takes::SevenBit);
    let shown = String::from_utf8(seven).unwrap().replace("\r\n", "\n");
    let png = "Content-Type: image/png\nContent-Transfer-Encoding: base64\n\niVBORw0KGgoA\n";
    let text = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\nd=C3=A9j=C3=A0\nx=0Ay=0Dz\n";
    let head = "Content-Type: multipart/mixed; boundary=a\nContent-Transfer-Encoding: ";
    let eight = "Content-Transfer-Encoding: quoted-printable\n\n=C3=A9\n";
    assert_eq!(shown, [head, "7bit\n\n--a\n", png, "--a\n", text, "--a\n", eight, "--a--\n"].concat());
    assert_eq!(sealed, Sealed::Nothing);
    let (lines, _) = of_binary(message, Takes::EightBit);
    let shown = String::from_utf8(lines).unwrap().replace("\r\n", "\n");
    let eight = "Content-Transfer-Encoding: 8bit\n\n\u{e9}\n";
    assert_eq!(shown, [head, "8bit\n\n--a\n", png, "--a\n", text, "--a\n", eight, "--a--\n"].concat());
}

#[test]
fn what_is_signed_is_told() {
    let signed = |inner: &str| {
        let text = "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n".to_string() + inner + "\r\n--s--\r\n";
        [Takes::SevenBit, Takes::EightBit].map(|takes| of_binary(text.as_bytes(), takes).1)
    };
    let part = |encoding: &str| "Content-Transfer-Encoding: ".to_string() + encoding + "\r\n\r\nx";
    assert_eq!(signed(&part("binary")), [Sealed::Binary; 2]);
    assert_eq!(signed(&part("8bit")), [Sealed::EightBit, Sealed::Nothing]);
    assert_eq!(signed(&part("7bit")), [Sealed::Nothing; 2]);
    let deep = "Content-Type: multipart/mixed; boundary=m\r\n\r\n--m\r\n".to_string() + &part("binary") + "\r\n--m--";
    assert_eq!(signed(&deep), [Sealed::Binary; 2]);
    // Behind what is signed, and not part of it.
    let behind = "Content-Type: multipart/mixed; boundary=o\r\n\r\n--o\r\nContent-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\nx\r\n--s--\r\n--o\r\n"
        .to_string() + &part("binary");
    assert_eq!(of_binary(behind.as_bytes(), Takes::SevenBit).1, Sealed::Nothing);
}

/// Undoes base64 with line ends.
fn from_base64(text: &[u8]) -> Vec<u8> {
    text.split(|octet| *octet == b'\n').flat_map(|line| sasl::base64::decode(line).unwrap()).collect()
}

proptest! {
    #[test]
    fn each_octet_of_binary_is_kept(body in prop::collection::vec(any::<u8>(), 0..300), cut in 0..400_usize, text in any::<bool>()) {
        let kind = if text { "text/plain" } else { "application/x" };
        let head = "Content-Type: ".to_string() + kind + "\r\nContent-Transfer-Encoding: binary\r\n\r\n";
        let message = [head.as_bytes(), &body].concat();
        let (out, _) = of_binary(&message, Takes::SevenBit);
        let (mut downgrade, mut split) = (Downgrade::of_binary(Takes::SevenBit), Vec::new());
        let (a, b) = message.split_at(cut.min(message.len()));
        downgrade.feed(a, &mut split);
        downgrade.feed(b, &mut split);
        downgrade.finish(&mut split);
        prop_assert_eq!(&split, &out);
        prop_assert!(out.is_ascii());
        let encoded = &out[out.windows(3).position(|w| w == b"\n\r\n").unwrap() + 3..];
        // A line end of quoted-printable is CR LF in what was encoded.
        let lines = |octets: Vec<u8>| String::from_utf8_lossy(&octets).into_owned();
        let back = if text { decoded_exact(encoded) } else { from_base64(encoded) };
        prop_assert_eq!(&back, &body, "{}", lines(out.clone()));
    }
}

/// Undoes quoted-printable whose line ends stand for CR LF.
fn decoded_exact(text: &[u8]) -> Vec<u8> {
    let mut octets = Vec::new();
    for line in text.split_inclusive(|octet| *octet == b'\n') {
        match (line.strip_suffix(b"=\n"), line.strip_suffix(b"\n")) {
            (Some(soft), _) => octets.extend(decoded(soft)),
            (None, Some(hard)) => octets.extend([decoded(hard), b"\r\n".to_vec()].concat()),
            (None, None) => octets.extend(decoded(line)),
        }
    }
    octets
}
