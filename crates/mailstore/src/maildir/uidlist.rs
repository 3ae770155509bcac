//! `dovecot-uidlist`: which file has which uid. Version 3 (Dovecot) is read and written, version 1 (old Dovecot and Courier's
//! `courierimapuiddb`) is read.
//!
//! ```text
//! 3 V1195191091 N4 G0f3a…            version, UIDVALIDITY, next uid, mailbox GUID
//! 1 W385 :1195191067.M1P42.vm,S=375  uid, fields (S, W sizes, P POP3 id, …), file name without flags
//! ```
//! New records are appended and synced; a record without its line end was torn by a crash and does not count. Anything else
//! rewrites the file under a temporary name. Both only while holding `dovecot-uidlist.lock`.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use mail::{Uid, UidValidity};

use super::name;

pub(crate) const FILE: &str = "dovecot-uidlist";
pub(crate) const LOCK: &str = "dovecot-uidlist.lock";
pub(crate) const COURIER: &str = "courierimapuiddb";

/// The whole list. Records ascend by uid.
#[derive(Clone, Debug)]
pub(crate) struct UidList {
    pub(crate) validity: UidValidity,
    next: u32,
    /// The header's fields besides V and N, such as `G…`.
    header: Vec<String>,
    records: Vec<Record>,
    by_key: HashMap<String, usize>,
    /// The file is of version 3 and whole: records may be appended.
    appendable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) uid: Uid,
    /// `W385 Pabc`, as they stand.
    fields: String,
    name: String,
    key: String,
}

impl Record {
    /// What identifies the file ([`name::key`]).
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// The value of a field such as `P`.
    pub(crate) fn field(&self, letter: char) -> Option<&str> {
        self.fields.split(' ').find_map(|field| field.strip_prefix(letter))
    }
}

impl UidList {
    pub(crate) fn new(validity: UidValidity, guid: &str) -> Self {
        Self {
            validity,
            next: 1,
            header: vec![format!("G{guid}")],
            records: Vec::new(),
            by_key: HashMap::new(),
            appendable: false,
        }
    }

    /// `None` when the header is not one: then uids cannot be kept.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (header, body) = text.split_once('\n')?;
        let mut words = header.split(' ').filter(|word| !word.is_empty());
        let version: u32 = words.next()?.parse().ok()?;
        let mut list = match version {
            1 => Self::header_v1(&mut words)?,
            3 => Self::header_v3(words)?,
            _ => return None,
        };
        list.appendable = version == 3 && (body.is_empty() || body.ends_with('\n'));
        list.records.reserve(body.len() / 64);
        list.by_key.reserve(body.len() / 64);
        for line in body.split_inclusive('\n') {
            let record =
                line.strip_suffix('\n').and_then(|line| if version == 1 { record_v1(line) } else { record_v3(line) });
            let good = record.is_some_and(|record| list.push(record));
            list.appendable &= good;
        }
        Some(list)
    }

    fn header_v1<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<Self> {
        let validity = UidValidity::new(words.next()?.parse().ok()?)?;
        let next = words.next()?.parse().ok()?;
        Some(Self { next, header: Vec::new(), ..Self::new(validity, "") })
    }

    fn header_v3<'a>(words: impl Iterator<Item = &'a str>) -> Option<Self> {
        let (mut validity, mut next, mut others) = (None, 1, Vec::new());
        for word in words {
            match word.split_at_checked(1)? {
                ("V", value) => validity = UidValidity::new(value.parse().ok()?),
                ("N", value) => next = value.parse().ok()?,
                _ => others.push(word.to_owned()),
            }
        }
        Some(Self { next, header: others, ..Self::new(validity?, "") })
    }

    /// Whether the record fits: uids ascend and no file has two.
    fn push(&mut self, record: Record) -> bool {
        let ascends = self.records.last().is_none_or(|last| last.uid < record.uid);
        let Some(next) = record.uid.get().checked_add(1).filter(|_| ascends) else { return false };
        if self.by_key.contains_key(&record.key) {
            return false;
        }
        self.by_key.insert(record.key.clone(), self.records.len());
        self.records.push(record);
        self.next = self.next.max(next);
        true
    }

    pub(crate) fn next(&self) -> Option<Uid> {
        Uid::new(self.next)
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn find(&self, key: &str) -> Option<&Record> {
        self.by_key.get(key).map(|at| &self.records[*at])
    }

    pub(crate) fn get(&self, uid: Uid) -> Option<&Record> {
        self.records.binary_search_by_key(&uid, |record| record.uid).ok().map(|at| &self.records[at])
    }

    pub(crate) fn records(&self) -> &[Record] {
        &self.records
    }

    /// The file on disk is gone or not as it should be.
    pub(crate) const fn must_be_rewritten(&mut self) {
        self.appendable = false;
    }

    pub(crate) const fn is_appendable(&self) -> bool {
        self.appendable
    }

    /// Gives a file the next uid; `None` when there are none left or it has one.
    pub(crate) fn assign(&mut self, file: &str) -> Option<Uid> {
        let uid = Uid::new(self.next)?;
        let (name, key) = (name::base(file).to_owned(), name::key(file).into_owned());
        let record = Record { uid, fields: String::new(), name, key };
        self.push(record).then_some(uid)
    }

    /// Forgets records whose key `keep` refuses.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.records.retain(|record| keep(&record.key));
        self.index();
    }

    /// Forgets the records of messages that are gone; the file must be rewritten then.
    pub(crate) fn forget(&mut self, gone: &HashSet<Uid>) {
        if self.records.iter().any(|record| gone.contains(&record.uid)) {
            self.records.retain(|record| !gone.contains(&record.uid));
            self.index();
            self.appendable = false;
        }
    }

    fn index(&mut self) {
        let keys = self.records.iter().enumerate();
        self.by_key = keys.map(|(at, record)| (record.key.clone(), at)).collect();
    }

    /// Gives the list a GUID where it has none, and makes it fit to be appended to once written.
    pub(crate) fn complete(&mut self, guid: impl FnOnce() -> String) {
        if !self.header.iter().any(|field| field.starts_with('G')) {
            self.header.push(format!("G{}", guid()));
        }
        self.appendable = true;
    }

    /// The whole file.
    pub(crate) fn text(&self) -> String {
        let mut text = format!("3 V{} N{}", self.validity, self.next);
        for field in &self.header {
            let _ = write!(text, " {field}");
        }
        text.push('\n');
        text + &self.tail(0)
    }

    /// The lines of the records from `from` on.
    pub(crate) fn tail(&self, from: usize) -> String {
        let mut text = String::new();
        for record in self.records.get(from..).unwrap_or_default() {
            let gap = if record.fields.is_empty() { "" } else { " " };
            let _ = writeln!(text, "{} {}{gap}:{}", record.uid, record.fields, record.name);
        }
        text
    }
}

/// `1 file`
fn record_v1(line: &str) -> Option<Record> {
    let (uid, name) = line.split_once(' ')?;
    record(uid, "", name)
}

/// `1 W385 P… :file`
fn record_v3(line: &str) -> Option<Record> {
    let (front, name) = line.split_once(':')?;
    let (uid, fields) = front.split_once(' ')?;
    record(uid, fields.trim_end_matches(' '), name)
}

fn record(uid: &str, fields: &str, name: &str) -> Option<Record> {
    let uid = Uid::new(uid.parse().ok()?)?;
    let name = name::base(name);
    let key = name::key(name).into_owned();
    if name.is_empty() { None } else { Some(Record { uid, fields: fields.to_owned(), name: name.to_owned(), key }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DOVECOT: &str = "3 V1795191091 N26 G8a3b2f0c5d6e7f80123456789abcdef0\n\
        1 :1795191067.M123456P42.vm,S=375,W=385\n\
        7 W400 Pold-uidl :1795191068.M1P42.vm,S=390:2,S\n\
        25 :1795191069.M1P42.vm,S=1355,W=1394\n";

    #[test]
    fn dovecots_file() {
        let list = UidList::parse(DOVECOT).expect("a list");
        assert_eq!((list.validity.get(), list.next().map(Uid::get), list.len()), (1_795_191_091, Some(26), 3));
        let record = list.find("1795191068.M1P42.vm").expect("by key");
        assert_eq!(
            (record.uid.get(), record.field('P'), record.field('W'), record.field('S')),
            (7, Some("old-uidl"), Some("400"), None)
        );
        assert!(list.is_appendable());
        assert_eq!(list.text(), DOVECOT.replace(":2,S", ""));
    }

    #[test]
    fn couriers_file() {
        let list = UidList::parse("1 1195191091 5\n2 1195191067.M1P4.vm,S=3\n4 1195191068.M1P4.vm\n").expect("a list");
        assert_eq!((list.validity.get(), list.next().map(Uid::get)), (1_195_191_091, Some(5)));
        assert_eq!(list.find("1195191067.M1P4.vm").map(|record| record.uid.get()), Some(2));
        assert!(!list.is_appendable());
        let mut list = list;
        list.complete(|| "0".repeat(32));
        assert!(list.text().starts_with("3 V1195191091 N5 G000"));
    }

    #[test]
    fn what_a_crash_tore_is_left_out() {
        let torn = format!("{DOVECOT}26 :17951");
        let list = UidList::parse(&torn).expect("a list");
        assert_eq!((list.len(), list.is_appendable()), (3, false));
        for text in ["", "3", "3 N5\n", "2 V1 N1\n", "3 V0 N1\n", "x\n"] {
            assert!(UidList::parse(text).is_none(), "{text:?}");
        }
        let zeros = UidList::parse("3 V1 N1\n\0\0\0\0").expect("a list");
        assert!(zeros.len() == 0 && !zeros.is_appendable());
        let backwards = UidList::parse("3 V1 N1\n5 :a\n4 :b\n6 :a\n7 :c\n").expect("a list");
        assert_eq!((backwards.len(), backwards.next().map(Uid::get)), (2, Some(8)));
    }

    proptest! {
        #[test]
        fn read_as_written(names in proptest::collection::btree_set("[a-z0-9.]{1,20}", 0..30), gone in 0_usize..30) {
            let mut list = UidList::new(UidValidity::new(7).expect("not zero"), &"a".repeat(32));
            for name in &names {
                list.assign(&format!("{name},S=5:2,S")).expect("fresh");
            }
            let lost = names.iter().nth(gone).cloned().unwrap_or_default();
            list.retain(|key| key != lost);
            list.complete(String::new);
            let again = UidList::parse(&list.text()).expect("a list");
            prop_assert_eq!(&again.records, &list.records);
            prop_assert_eq!((again.next, again.validity, again.appendable), (list.next, list.validity, true));
            for name in names.iter().filter(|name| **name != lost) {
                prop_assert!(again.find(name).is_some());
            }
        }

        #[test]
        fn never_panics(text in "[0-9VNG :a-z,\n=]{0,200}") {
            let _ = UidList::parse(&text);
        }
    }
}
