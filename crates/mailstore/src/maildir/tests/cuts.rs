//! Power cuts in a Maildir, at every step.

use durable::forgetful::{at_every_step, at_every_step_and_sync};

use super::super::{control, delivery};
use super::*;

#[test]
fn appended_mail_and_its_uid_survive_every_cut() {
    for flags in [with(Flag::Seen), Flags::default()] {
        at_every_step_and_sync(
            4,
            with_old_mail,
            |root| -> Result<(Uid, u32), Error> {
                let mut maildir = inbox(root)?;
                let new = [NewMessage { content: MESSAGE, flags: flags.clone(), date: Moment::utc(0) }];
                Ok((maildir.append(&new)?[0], maildir.snapshot().uid_validity.get()))
            },
            |cut, promised, root| {
                // Written down, so that nobody else gets it when the message is gone again.
                if let Ok((new, _)) = promised {
                    let list = durable::forgetful::content(root, "dovecot-uidlist").expect("the list");
                    let line = format!("\n{new} ");
                    assert!(memchr::memmem::find(&list, line.as_bytes()).is_some(), "{cut:?}");
                }
                let mut maildir = inbox(root).unwrap_or_else(|e| panic!("{e} at {cut:?}"));
                assert_eq!(maildir.read(uid(1)).expect("the old message"), b"old", "{cut:?}");
                for message in maildir.snapshot().messages.clone() {
                    let text = maildir.read(message.uid).expect("listed");
                    assert!(text == b"old" || text == MESSAGE, "torn at {cut:?}");
                }
                if let Ok((new, validity)) = promised {
                    assert_eq!(maildir.snapshot().uid_validity.get(), *validity, "{cut:?}");
                    assert_eq!(maildir.read(*new).expect("acknowledged"), MESSAGE, "{cut:?}");
                }
            },
        );
    }
}

#[test]
fn what_was_expunged_stays_away_after_every_cut() {
    for gone in [1, 2] {
        at_every_step_and_sync(
            4,
            with_old_mail,
            |root| inbox(root).and_then(|mut maildir| maildir.expunge(&[uid(gone)])).is_ok(),
            |cut, promised, root| {
                let left = uids(&inbox(root).expect("open"));
                assert!(left == [3 - gone] || !promised && left == [1, 2], "{cut:?}: {left:?}");
            },
        );
    }
}

#[test]
fn mailboxes_made_renamed_and_deleted_are_so_after_every_cut() {
    let name = |text: &str| MailboxName(text.to_owned());
    let selectable = |root: &Dir| {
        let list = tree(root.clone()).list().expect("list");
        list.into_iter()
            .filter(|folder| folder.selectable && !folder.name.is_inbox())
            .map(|f| f.name.0)
            .collect::<Vec<_>>()
    };
    let old = |root: &Dir| tree(root.clone()).create(&name("Old")).expect("create");
    type Change<'a> = &'a dyn Fn(&Tree) -> Result<(), Error>;
    let changes: [(Change<'_>, &[&str]); 3] = [
        (&|tree| tree.create(&name("New")), &["New", "Old"]),
        (&|tree| tree.rename(&name("Old"), &name("Other")), &["Other"]),
        (&|tree| tree.delete(&name("Old")), &[]),
    ];
    for (change, after) in changes {
        at_every_step_and_sync(
            4,
            old,
            |root| change(&tree(root.clone())).is_ok(),
            |cut, promised, root| {
                let found = selectable(root);
                assert!(found == after || !promised && !found.is_empty(), "{cut:?}: {found:?}");
                for mailbox in &found {
                    tree(root.clone())
                        .open(&name(mailbox))
                        .unwrap_or_else(|error| panic!("{mailbox}: {error} at {cut:?}"));
                }
            },
        );
    }
}

#[test]
fn keywords_and_validities_survive_every_cut() {
    at_every_step_and_sync(
        4,
        with_old_mail,
        |root| {
            let mut flags = Flags::default();
            flags.keywords.insert("Plum".to_owned());
            inbox(root).and_then(|mut maildir| maildir.set_flags(&[uid(1)], &FlagChange::Add(flags))).is_ok()
        },
        |cut, promised, root| {
            let found = inbox(root).expect("open").keywords();
            assert!(found == ["Plum"] || !promised && found.is_empty(), "{cut:?}: {found:?}");
        },
    );
    at_every_step_and_sync(
        4,
        |root| {
            root.create("dovecot-uidvalidity", 0o600).and_then(|file| file.append(b"f0000000")).map(drop).expect("put")
        },
        |root| control::next_validity(root).ok(),
        |cut, promised, root| {
            let next = control::next_validity(root).expect("another");
            assert!(promised.is_none_or(|last| next > last) && next.get() > 0xF000_0000, "{cut:?}");
        },
    );
}

#[test]
fn a_rewritten_list_is_the_old_or_the_new_one_at_every_cut() {
    let courier = b"1 1195191091 9\n3 1.M1P1.vm\n8 2.M1P1.vm\n";
    let put = |dir: &Dir, name: &str, text: &[u8]| {
        let file = dir.create(name, 0o600).expect("create");
        file.append(text).and_then(|_| file.sync()).expect("write");
        dir.sync().expect("sync");
    };
    let steps = at_every_step(
        4,
        |root| {
            let folders = delivery::ensure_maildir(root).expect("folders");
            put(&folders.cur, "1.M1P1.vm:2,S", b"one");
            put(&folders.cur, "2.M1P1.vm:2,", b"two");
            put(&folders.new, "3.M1P1.vm", b"three");
            put(root, "dovecot-uidlist", courier);
        },
        |root| tree(root.clone()).open(&MailboxName::inbox()).map(|maildir| uids(&maildir)),
        |cut, promised, root| {
            let _ = root.unlink("dovecot-uidlist.lock");
            let again = tree(root.clone()).open(&MailboxName::inbox()).unwrap_or_else(|e| panic!("{e} at {cut:?}"));
            assert_eq!((uids(&again), again.snapshot().uid_validity.get()), (vec![3, 8, 9], 1_195_191_091), "{cut:?}");
            if let Ok(told) = promised {
                assert_eq!(*told, [3, 8, 9], "{cut:?}");
            }
        },
    );
    assert!(steps >= 5, "{steps}");
}
