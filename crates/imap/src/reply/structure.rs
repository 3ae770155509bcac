//! BODY and BODYSTRUCTURE (RFC 9051 §7.5.2: body): the parts of a message as nested lists.
//!
//! Recursion goes as deep as [`mail::mime::MAX_DEPTH`] lets parts nest.

use alloc::vec::Vec;

use mail::mime::{Disposition, Kind, Parameter, Part, Structure};

use super::envelope::envelope;
use super::write::{nstring, string};

/// Whether extension data is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `BODY`
    Plain,
    /// `BODYSTRUCTURE`
    Extended,
}

/// What does not change while the parts of one message are written.
struct Message<'a> {
    headers: &'a dyn Fn(&Part) -> &'a [u8],
    structure: &'a Structure,
    form: Form,
}

/// Writes the structure of a whole message; `headers` gives the header of a message inside.
pub fn body<'a>(out: &mut Vec<u8>, headers: &'a dyn Fn(&Part) -> &'a [u8], structure: &'a Structure, form: Form) {
    part(out, &Message { headers, structure, form }, structure.root());
}

fn part(out: &mut Vec<u8>, message: &Message<'_>, part: &Part) {
    out.push(b'(');
    match part.kind {
        Kind::Multipart => multipart(out, message, part),
        Kind::Leaf | Kind::Message => single(out, message, part),
    }
    out.push(b')');
}

/// `body-type-mpart = 1*body SP media-subtype [SP body-ext-mpart]`
fn multipart(out: &mut Vec<u8>, message: &Message<'_>, whole: &Part) {
    let children = message.structure.children(whole);
    if children.len() == 0 {
        // The grammar demands one part; clients take this for what it is.
        out.extend_from_slice(b"(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0)");
    }
    for child in children {
        part(out, message, child);
    }
    out.push(b' ');
    string(out, &whole.content.subtype);
    if message.form == Form::Extended {
        out.push(b' ');
        parameters(out, &whole.content.parameters);
        tail(out, whole);
    }
}

/// `body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]`
fn single(out: &mut Vec<u8>, message: &Message<'_>, part: &Part) {
    let content = &part.content;
    string(out, &content.kind);
    out.push(b' ');
    string(out, &content.subtype);
    out.push(b' ');
    parameters(out, &content.parameters);
    out.push(b' ');
    nstring(out, content.id.as_deref());
    out.push(b' ');
    nstring(out, content.description.as_deref());
    out.push(b' ');
    string(out, content.encoding.as_deref().unwrap_or(b"7bit"));
    put!(out, " {}", part.body_size());
    let inner = message.structure.inner(part);
    if let Some(inner) = inner {
        out.push(b' ');
        envelope(out, (message.headers)(inner));
        out.push(b' ');
        self::part(out, message, inner);
    }
    // A client reads the number of lines exactly when the type says so.
    if inner.is_some() || content.kind.eq_ignore_ascii_case(b"text") {
        put!(out, " {}", part.lines);
    }
    if message.form == Form::Extended {
        out.push(b' ');
        nstring(out, content.md5.as_deref());
        tail(out, part);
    }
}

/// `SP body-fld-dsp SP body-fld-lang SP body-fld-loc`
fn tail(out: &mut Vec<u8>, part: &Part) {
    out.push(b' ');
    disposition(out, part.content.disposition.as_ref());
    out.push(b' ');
    match part.content.language.as_slice() {
        [] => out.extend_from_slice(b"NIL"),
        [one] => string(out, one),
        several => {
            out.push(b'(');
            for (at, tag) in several.iter().enumerate() {
                out.extend_from_slice(if at > 0 { b" " } else { b"" });
                string(out, tag);
            }
            out.push(b')');
        }
    }
    out.push(b' ');
    nstring(out, part.content.location.as_deref());
}

fn disposition(out: &mut Vec<u8>, disposition: Option<&Disposition>) {
    let Some(disposition) = disposition else {
        out.extend_from_slice(b"NIL");
        return;
    };
    out.push(b'(');
    string(out, &disposition.kind);
    out.push(b' ');
    parameters(out, &disposition.parameters);
    out.push(b')');
}

/// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`
fn parameters(out: &mut Vec<u8>, list: &[Parameter]) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for (at, parameter) in list.iter().enumerate() {
        out.extend_from_slice(if at > 0 { b" " } else { b"" });
        string(out, &parameter.name);
        out.push(b' ');
        string(out, &parameter.value);
    }
    out.push(b')');
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;

    fn of(octets: &str, form: Form) -> String {
        let mut out = Vec::new();
        let header = |part: &Part| &octets.as_bytes()[part.header.clone()];
        body(&mut out, &header, &Structure::of(octets.as_bytes()), form);
        String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn a_plain_message() {
        let text = "Subject: x\r\n\r\nhello\r\n";
        assert_eq!(of(text, Form::Plain), "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 7 1)");
        assert!(of(text, Form::Extended).ends_with(" 7 1 NIL NIL NIL NIL)"));
    }

    #[test]
    fn a_message_that_is_encoded_is_octets() {
        for encoding in ["base64", "8-bit"] {
            for end in ["\r\n", ""] {
                let text = format!("Content-Type: message/rfc822\r\nContent-Transfer-Encoding: {encoding}\r\n{end}");
                let want = format!("(\"application\" \"octet-stream\" NIL NIL NIL \"{encoding}\" 0)");
                assert_eq!(of(&text, Form::Plain), want);
            }
        }
    }

    #[test]
    fn parts_within_parts() {
        let text = "Content-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\n\r\na\r\n--B\r\nContent-Type: image/png; name=\"x y\"\r\nContent-Disposition: attachment; filename=z\r\nContent-Transfer-Encoding: base64\r\n\r\nAAAA\r\n--B\r\nContent-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nb\r\n--B--\r\n";
        let want = concat!(
            "((\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0 NIL NIL NIL NIL)",
            "(\"image\" \"png\" (\"name\" \"x y\") NIL NIL \"base64\" 4 NIL (\"attachment\" (\"filename\" \"z\")) NIL NIL)",
            "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 16 (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL) ",
            "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 1 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL)",
            " \"mixed\" (\"boundary\" \"B\") NIL NIL NIL)"
        );
        assert_eq!(of(text, Form::Extended), want);
    }
}
