//! ENVELOPE (RFC 9051 §7.5.2): the header as a list. Encoded words go out as they came.

use alloc::vec::Vec;

use mail::header::{self, AddressItem};

use super::write::nstring;

/// Writes the envelope of the message whose header this is.
pub fn envelope(out: &mut Vec<u8>, head: &[u8]) {
    let from = list_of(head, "From");
    out.push(b'(');
    text(out, head, "Date");
    out.push(b' ');
    text(out, head, "Subject");
    for name in ["From", "Sender", "Reply-To", "To", "Cc", "Bcc"] {
        out.push(b' ');
        let mut list = list_of(head, name);
        // RFC 9051: an absent or empty Sender or Reply-To is the From.
        if list.is_empty() && matches!(name, "Sender" | "Reply-To") {
            list.clone_from(&from);
        }
        addresses(out, &list);
    }
    out.push(b' ');
    text(out, head, "In-Reply-To");
    out.push(b' ');
    text(out, head, "Message-ID");
    out.push(b')');
}

fn text(out: &mut Vec<u8>, head: &[u8], name: &str) {
    nstring(out, header::find(head, name).map(|field| field.unfolded()).as_deref());
}

fn list_of(head: &[u8], name: &str) -> Vec<AddressItem> {
    header::find_all(head, name).flat_map(|field| header::addresses(field.value)).collect()
}

fn addresses(out: &mut Vec<u8>, list: &[AddressItem]) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for item in list {
        address(out, item);
    }
    out.push(b')');
}

/// `address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"`; a group is its name between NILs, then NILs.
fn address(out: &mut Vec<u8>, item: &AddressItem) {
    let parts = match item {
        AddressItem::GroupStart(name) => [None, None, Some(name), None],
        AddressItem::GroupEnd => [None; 4],
        // A host of NIL would mean a group: an address without one gets an empty host, as some clients need.
        AddressItem::Mailbox { name, route, local, domain } => {
            [name.as_ref(), route.as_ref(), Some(local), Some(domain.as_ref().unwrap_or(&EMPTY))]
        }
    };
    out.push(b'(');
    for (at, part) in parts.into_iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        nstring(out, part.map(Vec::as_slice));
    }
    out.push(b')');
}

static EMPTY: Vec<u8> = Vec::new();

#[cfg(test)]
mod tests {
    use super::*;

    fn of(head: &str) -> alloc::string::String {
        let mut out = Vec::new();
        envelope(&mut out, head.as_bytes());
        alloc::string::String::from_utf8(out).expect("ASCII")
    }

    #[test]
    fn as_other_servers_write_it() {
        let head = "Subject: Test 2\r\nTo: <kevin@m3102.com>\r\nMessage-Id: <x@vm>\r\nDate: Fri, 20 Nov 2026 16:11:11 +0000\r\nFrom: root <root@vm>\r\n\r\n";
        let root = "((\"root\" NIL \"root\" \"vm\"))";
        let want = alloc::format!(
            "(\"Fri, 20 Nov 2026 16:11:11 +0000\" \"Test 2\" {root} {root} {root} ((NIL NIL \"kevin\" \"m3102.com\")) NIL NIL NIL \"<x@vm>\")"
        );
        assert_eq!(of(head), want);
        assert_eq!(of("\r\n"), "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
    }
}
