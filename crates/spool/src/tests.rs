use std::cell::Cell;
use std::path::Path;

use durable::forgetful::{Forgetful, at_every_step_and_sync, content};
use mail::{Address, EnhancedStatus, Recipient};

use super::*;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

fn envelope(recipients: &[&str]) -> Envelope {
    let recipients = recipients.iter().map(|text| Recipient::new(address(text))).collect();
    Envelope { reverse_path: Some(address("root@vm")), recipients, ..Envelope::default() }
}

fn spool(root: &Dir) -> Spool {
    Spool::create(root).unwrap()
}

fn enter(spool: &Spool, octets: &[u8]) -> io::Result<QueueId> {
    let mut incoming = spool.enter(&envelope(&["kevin", "toto"]), &Origin::Local { uid: 0 });
    for chunk in octets.chunks(70_000) {
        incoming.write(chunk)?;
    }
    incoming.commit()
}

fn octets(file: &QueueFile) -> Vec<u8> {
    let mut octets = vec![0; usize::try_from(file.size()).unwrap()];
    file.file.read_exact_at(&mut octets, file.content.start).unwrap();
    octets
}

fn anywhere(spool: &Spool, id: QueueId) -> Option<(Queue, QueueFile)> {
    Queue::ALL.into_iter().find_map(|queue| Some((queue, spool.read(queue, id).ok()?)))
}

#[test]
fn what_was_committed_is_read_again() {
    let temp = tempfile::tempdir().unwrap();
    let spool = spool(&Dir::open(temp.path()).unwrap());
    for size in [0, 12, 127 * 1024, 128 * 1024, 300_000] {
        let content: Vec<u8> = (0..size).map(|n: usize| n as u8).collect();
        let id = enter(&spool, &content).unwrap();
        let file = spool.read(Queue::Incoming, id).unwrap();
        assert_eq!(octets(&file), content);
        file.verify().unwrap();
        assert_eq!(file.envelope, envelope(&["kevin", "toto"]));
        assert_eq!((file.origin, file.slots.len()), (Origin::Local { uid: 0 }, 2));
    }
    assert_eq!(spool.scan(Queue::Incoming).unwrap().len(), 5);
    assert_eq!(spool.dir(Queue::Incoming).entries().unwrap().len(), 5);
}

#[test]
fn a_message_given_up_leaves_nothing() {
    let disk = Forgetful::default();
    let spool = spool(&disk.root());
    let mut incoming = spool.enter(&envelope(&["kevin"]), &Origin::Internal);
    incoming.write(&vec![b'x'; 500_000]).unwrap();
    assert_eq!(spool.dir(Queue::Incoming).entries().unwrap().len(), 1);
    drop(incoming);
    assert_eq!(spool.dir(Queue::Incoming).entries().unwrap(), []);
}

/// Each step of a commit fails once, with a full disk's and with a broken disk's error.
#[test]
fn a_failed_commit_says_so_and_leaves_nothing() {
    for size in [10, 300_000] {
        for errno in [28, 5] {
            let steps = {
                let disk = Forgetful::default();
                let spool = spool(&disk.root());
                let begin = disk.steps();
                enter(&spool, &vec![b'x'; size]).unwrap();
                disk.steps() - begin
            };
            for step in 0..steps {
                let disk = Forgetful::default();
                let spool = spool(&disk.root());
                disk.fail_at(disk.steps() + step, errno);
                let error = enter(&spool, &vec![b'x'; size]).unwrap_err();
                assert!(error.raw_os_error() == Some(errno) || size > 10, "{error}");
                assert_eq!(spool.dir(Queue::Incoming).entries().unwrap(), [], "step {step}");
            }
        }
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let disk = Forgetful::default();
    let spool = spool(&disk.root());
    disk.set_space(Some(100));
    assert_eq!(enter(&spool, &[b'x'; 4096]).unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.set_space(None);
    enter(&spool, &[b'x'; 4096]).unwrap();
    assert_eq!(spool.dir(Queue::Incoming).entries().unwrap().len(), 1);
}

/// After every cut: a promised message is whole; one that was not promised is whole, absent, or a stale temporary file.
#[test]
fn a_power_cut_loses_no_promised_message() {
    for size in [100, 300_000] {
        let message = vec![b'm'; size];
        let steps = at_every_step_and_sync(
            12,
            |root| drop(spool(root)),
            |root| enter(&Spool::open(root).unwrap(), &message).ok(),
            |cut, promised, root| {
                let spool = Spool::open(root).unwrap();
                spool.clean(Duration::ZERO).unwrap();
                let found = spool.scan(Queue::Incoming).unwrap();
                for id in &found {
                    assert_eq!(octets(&spool.read(Queue::Incoming, *id).unwrap()), message, "{cut:?}");
                }
                assert!(promised.is_none_or(|id| found == [id]), "{cut:?}");
                assert_eq!(spool.dir(Queue::Incoming).entries().unwrap().len(), found.len(), "{cut:?}");
            },
        );
        assert!(steps >= 5);
    }
}

/// As above, for mail that waits for somebody to release it.
#[test]
fn a_power_cut_loses_no_held_message() {
    at_every_step_and_sync(
        12,
        |root| drop(spool(root)),
        |root| {
            let spool = Spool::open(root).unwrap();
            let mut message = spool.enter(&envelope(&["kevin"]), &Origin::Internal);
            message.write(b"held").and_then(|()| message.commit_into(spool.dir(Queue::Hold))).ok()
        },
        |cut, promised, root| {
            let spool = Spool::open(root).unwrap();
            let found = spool.scan(Queue::Hold).unwrap();
            for id in &found {
                assert_eq!(octets(&spool.read(Queue::Hold, *id).unwrap()), b"held", "{cut:?}");
            }
            assert!(promised.is_none_or(|id| found == [id]), "{cut:?}");
            assert_eq!(spool.scan(Queue::Incoming).unwrap(), [], "{cut:?}");
        },
    );
}

fn prepared(root: &Dir) {
    enter(&spool(root), b"Received: here\n\nhello\n").unwrap();
}

/// One message's whole life. What has been promised: the recipients reported as done, and that it was removed.
fn life(root: &Dir) -> (Vec<&'static str>, bool) {
    let mut done = Vec::new();
    let mut removed = false;
    let mut steps = || -> io::Result<()> {
        let spool = Spool::open(root)?;
        let id = spool.scan(Queue::Incoming)?[0];
        spool.shift(id, Queue::Incoming, Queue::Active)?;
        let mut file = spool.read_or_set_aside(Queue::Active, id)?.ok_or(io::ErrorKind::NotFound)?;
        let first = file.append_expanded(1, vec![Recipient::new(address("eleve"))], None)?;
        file.append_done(&[0])?;
        done.push("kevin");
        file.append_deferred(first, EnhancedStatus::new(4, 2, 0), "mailbox is locked")?;
        spool.defer(id, Queue::Active, SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000))?;
        spool.shift(id, Queue::Deferred, Queue::Active)?;
        let mut file = spool.read_or_set_aside(Queue::Active, id)?.ok_or(io::ErrorKind::NotFound)?;
        file.append_done(&[first])?;
        done.push("eleve");
        spool.remove(Queue::Active, id)?;
        removed = true;
        Ok(())
    };
    steps().ok();
    (done, removed)
}

#[test]
fn a_message_is_somewhere_whole_until_it_is_removed() {
    let (seen_gone, seen_torn) = (Cell::new(false), Cell::new(false));
    let steps = at_every_step_and_sync(16, prepared, life, |cut, (done, removed), root| {
        let spool = Spool::open(root).unwrap();
        let ids: std::collections::BTreeSet<_> =
            Queue::ALL.into_iter().flat_map(|queue| spool.scan(queue).unwrap()).collect();
        let Some(id) = ids.first().copied() else {
            seen_gone.set(true);
            assert!(done.len() == 2, "lost: {cut:?}");
            return;
        };
        assert!(!removed, "came back: {cut:?}");
        let (queue, mut file) = anywhere(&spool, id).unwrap();
        assert_eq!(octets(&file), b"Received: here\n\nhello\n", "{cut:?}");
        let left: Vec<_> = file.open_slots().map(|(_, slot)| slot.recipient.address.to_string()).collect();
        assert!(done.iter().all(|name| !left.contains(&(*name).to_owned())), "{cut:?}");
        assert!(!left.is_empty() || file.slots.len() > 2, "{cut:?}");
        // The tail a crash tore off does not stand in the way of the next record.
        let open: Vec<_> = file.open_slots().map(|(number, _)| number).collect();
        seen_torn.set(seen_torn.get() || file.file.meta().unwrap().size > file.content.end + 17);
        file.append_done(&open).unwrap();
        assert_eq!(spool.read(queue, id).unwrap().open_slots().count(), 0, "{cut:?}");
        // Whatever names it has, one more move ends with one.
        if let Queue::Incoming | Queue::Deferred = queue {
            spool.shift(id, queue, Queue::Active).unwrap();
            assert!(spool.read(queue, id).is_err());
        }
    });
    assert!(steps >= 10 && seen_gone.get() && seen_torn.get());
}

/// A finished message's file becomes that of the next: after every cut each name there is has its own octets, whole.
#[test]
fn a_file_used_again_never_shows_a_stranger() {
    let (old, new) = (vec![b'o'; 6000], vec![b'n'; 300]);
    let prepare = |root: &Dir| {
        let spool = spool(root);
        let id = enter(&spool, &old).unwrap();
        spool.shift(id, Queue::Incoming, Queue::Active).unwrap();
        spool.dir(Queue::Active).sync().unwrap();
    };
    let reused = Cell::new(false);
    let run = |root: &Dir| -> io::Result<(bool, Option<QueueId>)> {
        let spool = Spool::open(root)?;
        let id = spool.scan(Queue::Active)?[0];
        let before = spool.dir(Queue::Active).stat(&id.name())?.inode;
        let finished = spool.take_out(id, Readers::None)?;
        spool.make_last(&[finished])?;
        let id = enter(&spool, &new)?;
        reused.set(spool.dir(Queue::Incoming).stat(&id.name())?.inode == before);
        Ok((true, Some(id)))
    };
    let steps = at_every_step_and_sync(24, prepare, run, |cut, promised, root| {
        let spool = Spool::open(root).unwrap();
        spool.empty_pool().unwrap();
        spool.clean(Duration::ZERO).unwrap();
        for id in spool.scan(Queue::Active).unwrap() {
            assert!(promised.is_err(), "came back: {cut:?}");
            let file = spool.read(Queue::Active, id).unwrap();
            file.verify().unwrap();
            assert_eq!(octets(&file), old, "{cut:?}");
        }
        let found = spool.scan(Queue::Incoming).unwrap();
        for id in &found {
            let file = spool.read(Queue::Incoming, *id).unwrap();
            assert_eq!((octets(&file), file.open_slots().count()), (new.clone(), 2), "{cut:?}");
        }
        if let Ok((_, Some(id))) = promised {
            assert_eq!(found, [*id], "{cut:?}");
        }
    });
    assert!(steps >= 8 && reused.get());
}

/// What a file held before, behind the end of the new message, is never read as records of it.
#[test]
fn records_of_a_former_life_are_not_read() {
    let disk = Forgetful::default();
    let spool = spool(&disk.root());
    let id = enter(&spool, &[b'o'; 4000]).unwrap();
    spool.shift(id, Queue::Incoming, Queue::Active).unwrap();
    spool.read(Queue::Active, id).unwrap().append_done(&[0, 1]).unwrap();
    let finished = spool.take_out(id, Readers::None).unwrap();
    spool.make_last(&[finished]).unwrap();
    let id = enter(&spool, &[b'n'; 4000]).unwrap();
    let mut file = spool.read(Queue::Incoming, id).unwrap();
    assert_eq!(file.open_slots().count(), 2);
    file.append_done(&[1]).unwrap();
    assert_eq!(spool.read(Queue::Incoming, id).unwrap().open_slots().count(), 1);
}

#[test]
fn a_file_that_may_have_readers_is_not_used_again() {
    let disk = Forgetful::default();
    let spool = spool(&disk.root());
    let id = enter(&spool, b"x\n").unwrap();
    spool.shift(id, Queue::Incoming, Queue::Active).unwrap();
    let finished = spool.take_out(id, Readers::Perhaps).unwrap();
    spool.make_last(&[finished]).unwrap();
    assert_eq!(disk.root().subdir(FREE).unwrap().entries().unwrap(), []);
}

#[test]
fn one_damaged_file_is_put_aside_and_the_rest_goes_on() {
    let disk = Forgetful::default();
    let spool = spool(&disk.root());
    let good = enter(&spool, b"x\n").unwrap();
    let incoming = spool.dir(Queue::Incoming);
    let bad = spool.new_id();
    incoming.create(&bad.name(), 0o600).unwrap().append(b"Facteur\x01A\xFF\xFF\xFF\xFF").unwrap();
    let cut = spool.new_id();
    let whole = content(incoming, &good.name()).unwrap();
    incoming.create(&cut.name(), 0o600).unwrap().append(&whole[..whole.len() / 32]).unwrap();
    for id in [bad, cut] {
        assert!(spool.read_or_set_aside(Queue::Incoming, id).unwrap().is_none());
    }
    assert_eq!(spool.scan(Queue::Incoming).unwrap(), [good]);
    assert_eq!(spool.scan(Queue::Corrupt).unwrap(), [bad, cut]);
    assert!(spool.read_or_set_aside(Queue::Incoming, cut).unwrap().is_none());
}

#[test]
fn names_ascend_and_moves_replace_nothing() {
    let disk = Forgetful::default();
    let spool = spool(&disk.root());
    let ids: Vec<_> = (0..1000).map(|_| spool.new_id()).collect();
    assert!(ids.is_sorted_by(|a, b| a < b));
    let id = enter(&spool, b"one\n").unwrap();
    spool.dir(Queue::Active).create(&id.name(), 0o600).unwrap();
    let taken = spool.shift(id, Queue::Incoming, Queue::Active).unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
}

#[test]
fn the_next_try_is_the_files_time() {
    let disk = Forgetful::default();
    let spool = spool(&disk.root());
    let id = enter(&spool, b"one\n").unwrap();
    let next = SystemTime::UNIX_EPOCH + Duration::from_secs(1_900_000_000);
    spool.defer(id, Queue::Incoming, next).unwrap();
    assert_eq!(spool.scan_times(Queue::Deferred).unwrap(), [(id, next)]);
    spool.remove(Queue::Deferred, id).unwrap();
    spool.remove(Queue::Deferred, id).unwrap();
}

/// A file written by version 0.1.0 of the program. It must stay readable; write a new sample for a new version, keep this.
#[test]
fn an_old_sample_is_read() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    let file = Dir::open(&samples).unwrap().open_file("queue-file-1", Access::Read).unwrap();
    let file = QueueFile::read(file, QueueId::parse("660B83BE32240A7").unwrap()).unwrap();
    file.verify().unwrap();
    assert_eq!(octets(&file), b"Received: by vm (Facteur, from userid 0)\nSubject: sample\n\nhello\n");
    assert_eq!(file.envelope.reverse_path, Some(address("root@m3102.com")));
    assert_eq!(file.envelope.envid.as_deref(), Some("sample+1"));
    let progress: Vec<_> = file.slots.iter().map(|slot| (slot.recipient.address.to_string(), &slot.progress)).collect();
    let names: Vec<_> = progress.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["kevin@m3102.com", "root@m3102.com", "luke@starwars.univ", "eleve@m3102.com"]);
    assert!(matches!(progress[0].1, Progress::Sent) && matches!(progress[1].1, Progress::Expanded));
    assert!(matches!(progress[2].1, Progress::Deferred { reason, .. } if reason == "Host not found, try again"));
    assert!(matches!(progress[3].1, Progress::New));
    assert!(file.warned.is_some());
}

/// Makes the sample; `cargo test -- --ignored` once per version.
#[test]
#[ignore = "writes tests/samples/queue-file-1"]
fn write_the_sample() {
    let temp = tempfile::tempdir().unwrap();
    let spool = spool(&Dir::open(temp.path()).unwrap());
    let mut envelope = envelope(&["kevin@m3102.com", "root@m3102.com", "luke@starwars.univ"]);
    envelope.reverse_path = Some(address("root@m3102.com"));
    envelope.envid = Some("sample+1".to_owned());
    envelope.recipients[0].original = Some(address("kevin"));
    envelope.recipients[0].orcpt = Some("rfc822;kevin@m3102.com".to_owned());
    envelope.recipients[0].notify = Some(mail::Notify { success: false, failure: true, delay: true });
    let id = QueueId::new(1_795_191_067_123_456, 0xA7);
    let mut incoming = spool.enter_as(id, &envelope, &Origin::Local { uid: 0 });
    incoming.write(b"Received: by vm (Facteur, from userid 0)\nSubject: sample\n\nhello\n").unwrap();
    incoming.commit().unwrap();
    let mut file = spool.read(Queue::Incoming, id).unwrap();
    file.append_expanded(1, vec![Recipient::new(address("eleve@m3102.com"))], None).unwrap();
    file.append_done(&[0]).unwrap();
    file.append_deferred(2, EnhancedStatus::new(4, 4, 3), "Host not found, try again").unwrap();
    file.append_warned().unwrap();
    let to = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/queue-file-1");
    std::fs::copy(temp.path().join("incoming").join(id.name()), to).unwrap();
}
