//! What an alias or a `.forward` lists and is no address, as a recipient of its own, so that the queue can keep it.
//!
//! `owner|command` and `owner/file` are items of the alias `owner`, `owner\|command` and `owner\/file` those of the
//! `.forward` of the user `owner`; `owner\` is `owner` behind an alias that lists itself, `\user` a mailbox with neither
//! alias nor `.forward`. An item that does not fit a local part bears a number made from it: `owner|\0123456789abcdef`.
//!
//! Such a name gives no rights by itself, because anybody may write it in an envelope: it is obeyed only while the list of
//! `owner` still has that item. Nor is every such name an item: `kevin+a/b` is a good address of kevin's.

use mail::Address;

use crate::Target;

/// Which list has an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// An alias.
    Alias,
    /// A user's `.forward`.
    Forward,
}

/// What stands behind the name of an owner who is meant himself.
pub const ITSELF: &str = "\\";

/// Where an item may begin in a local part.
const SIGNS: [char; 3] = ['\\', '|', '/'];

/// What stands behind the owner's name for this item of his list; `None` for what is an address or stands for others.
#[must_use]
pub fn sign(list: List, owner: &str, target: &Target) -> Option<String> {
    let (kind, whole) = match target {
        Target::Command(command) => ('|', format!("|{command}")),
        Target::File(file) => ('/', file.clone()),
        Target::Address(_) | Target::Include(_) | Target::Mailbox(_) => return None,
    };
    let before = match list {
        List::Alias => "",
        List::Forward => "\\",
    };
    let fits = Address::new(&format!("{owner}{before}{whole}"), None).is_ok();
    Some(if fits { format!("{before}{whole}") } else { format!("{before}{kind}\\{:016x}", number(&whole)) })
}

/// Whether `text`, which stands behind the owner's name, is this item of his `.forward`. Queue files of earlier versions
/// have such items without the sign of their list.
#[must_use]
pub fn is_forwards(owner: &str, target: &Target, text: &str) -> bool {
    [List::Forward, List::Alias].iter().any(|list| sign(*list, owner, target).as_deref() == Some(text))
}

/// `\user`
#[must_use]
pub fn mailbox(user: &str) -> String {
    format!("\\{user}")
}

/// Every way to divide a local part into an owner and an item of his.
pub fn splits(local: &str) -> impl Iterator<Item = (&str, &str)> {
    local.match_indices(SIGNS).filter(|(at, _)| *at > 0).map(|(at, _)| local.split_at(at))
}

/// A number that other items hardly have: FNV-1a, whose value never changes, as queue files hold it.
fn number(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, octet| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_named_as_they_stand_while_they_fit() {
        let command = Target::Command("cat >x".into());
        assert_eq!(sign(List::Alias, "staff", &command).as_deref(), Some("|cat >x"));
        assert_eq!(sign(List::Forward, "kevin", &Target::File("/x".into())).as_deref(), Some("\\/x"));
        assert_eq!(sign(List::Alias, "staff", &Target::Mailbox("kevin".into())), None);
        assert!(is_forwards("kevin", &command, "|cat >x") && is_forwards("kevin", &command, "\\|cat >x"));
    }

    /// Queue files hold the number: it must never change.
    #[test]
    fn long_items_and_tabs_have_a_number() {
        let long = Target::Command("x".repeat(300));
        assert_eq!(number("a"), 0xaf63_dc4c_8601_ec8c);
        for target in [long.clone(), Target::Command("a\tb".into()), Target::File(format!("/{}", "y".repeat(300)))] {
            let name = sign(List::Alias, "staff", &target).expect("an item");
            assert!(name.len() == 18 && Address::new(&format!("staff{name}"), None).is_ok(), "{name}");
            assert_ne!(sign(List::Alias, "staff", &Target::Command("z".repeat(300))), Some(name));
        }
        assert!(is_forwards("kevin", &long, &sign(List::Forward, "kevin", &long).expect("an item")));
    }

    #[test]
    fn a_local_part_is_divided_in_every_way() {
        let divided = |local| splits(local).collect::<Vec<_>>();
        assert_eq!(divided("fax/1|x"), [("fax", "/1|x"), ("fax/1", "|x")]);
        assert_eq!(divided("kevin\\"), [("kevin", ITSELF)]);
        assert_eq!(divided("\\kevin"), []);
        assert_eq!(divided("kevin+x"), []);
    }
}
