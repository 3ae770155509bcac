//! Power cuts in an mbox, at every step.

use durable::forgetful::{at_every_step, at_every_step_and_sync};

use super::*;

#[test]
fn no_cut_loses_or_tears_a_message() {
    let content: &[u8] = b"Subject: n\n\nnew\n";
    let new = |mbox: &mut Mbox| {
        mbox.append(&[NewMessage { content, flags: Flags::default(), date: Moment::utc(0) }]).map(drop)
    };
    let run = |changes: &[Change<'_>]| {
        let stages = stages(changes);
        let start = |dir: &Dir| put(dir, DOVECOT);
        at_every_step(
            6,
            start,
            |dir| change(dir, changes),
            |cut, promised, dir| {
                none_is_lost(cut, *promised, &stages, dir);
            },
        )
    };
    assert!(run(&[&expunge(3)]) >= 4);
    run(&[&expunge(9)]);
    run(&[&flag(3, Flag::Flagged), &flag(9, Flag::Draft), &flag(9, Flag::Seen)]);
    run(&[&new, &flag(10, Flag::Deleted), &expunge(9)]);
}

/// The second change fits where it stands: a journal of the first one that comes back would undo it.
#[test]
fn each_sync_of_a_rewrite_counts() {
    let changes: [Change<'_>; 2] = [&expunge(3), &flag(9, Flag::Deleted)];
    let stages = stages(&changes);
    let start = |dir: &Dir| put(dir, DOVECOT);
    at_every_step_and_sync(
        6,
        start,
        |dir| change(dir, &changes),
        |cut, promised, dir| {
            none_is_lost(cut, *promised, &stages, dir);
        },
    );
}

/// Of messages longer than the pieces in which they are written: their first uids, and one that goes from before them.
#[test]
fn a_mailbox_of_others_is_taken_over_whenever_the_power_goes() {
    let body = |number: u32| format!("Line {number} of some length, again and again.\n").repeat(9);
    let message = |number| format!("From root@vm  Fri Nov 20 16:11:07 2026\nSubject: {number}\n\n{}\n", body(number));
    let foreign: String = (1..=3).map(message).collect();
    let shown = |number| format!("Subject: {number}\r\n\r\n{}", body(number).replace('\n', "\r\n"));
    at_every_step(
        6,
        |dir| put(dir, &foreign),
        |dir| try_open(dir).is_ok_and(|mut mbox| mbox.expunge(&[uid(1)]).is_ok()),
        |cut, promised, dir| {
            let found = bodies(dir);
            let all: Vec<String> = (1..=3).map(shown).collect();
            assert!(found == all[1..] || !promised && found == all, "{cut:?}: {found:?}");
            assert_eq!(uids(&open(dir)).last(), Some(&3), "{cut:?}");
        },
    );
}

#[test]
fn what_others_append_after_a_crash_is_kept() {
    let late = "From x@y  Fri Nov 20 16:12:00 2026\nSubject: late\n\nlate\n\n";
    at_every_step(
        3,
        |dir| put(dir, DOVECOT),
        |dir| try_open(dir).and_then(|mut mbox| mbox.expunge(&[uid(3)])).is_ok(),
        |cut, _, dir| {
            let file = dir.open_file("kevin", durable::Access::Append).expect("open");
            file.append(format!("\n{late}").as_bytes()).expect("append");
            let found = bodies(dir);
            assert_eq!(found.last().map(String::as_str), Some("Subject: late\r\n\r\nlate\r\n"), "{cut:?}: {found:?}");
            assert!(found.len() == 2 || found.len() == 3, "{cut:?}: {found:?}");
        },
    );
}
