//! Who is served by which sync, on the disk that forgets.

use std::time::Duration;

use durable::Dir;
use durable::forgetful::{Forgetful, Survival, content, file_system};
use handover::channel;
use tokio::task::{LocalSet, spawn_local, yield_now};

use super::*;

/// The device number of a disk that forgets.
const DEVICE: u64 = 1;

/// Syncs this disk; each call is a writer's end of a new connection. Needs a `LocalSet`.
pub(crate) fn connections(root: &Dir) -> impl Fn() -> OwnedFd + use<> {
    let syncs = of_disk(root);
    move || ask(&syncs)
}

fn of_disk(root: &Dir) -> Rc<Syncs> {
    let syncs = Syncs::default();
    let disk = Disk { at_rest: file_system(root), ..Disk::default() };
    syncs.known.borrow_mut().insert(DEVICE, disk);
    Rc::new(syncs)
}

fn ask(syncs: &Rc<Syncs>) -> OwnedFd {
    let (here, there) = channel::pair().expect("a pair");
    spawn_local(Rc::clone(syncs).serve(there));
    here
}

fn on_one_thread(work: impl AsyncFnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let work = async { tokio::time::timeout(Duration::from_secs(20), work()).await.expect("an end") };
    LocalSet::new().block_on(&runtime, work);
}

fn write(root: &Dir, name: &str) {
    root.create(name, 0o600).and_then(|file| file.append(name.as_bytes())).expect("written");
}

fn survives(disk: &Forgetful, name: &str) -> bool {
    content(&disk.survivor(Survival::Synced).root(), name).is_ok_and(|octets| octets == name.as_bytes())
}

/// The file system, as while a thread syncs it.
fn taken(syncs: &Syncs) -> FileSystem {
    syncs.known.borrow_mut().get_mut(&DEVICE).and_then(|disk| disk.at_rest.take()).expect("at rest")
}

#[test]
fn what_was_written_before_the_question_is_durable_at_the_answer() {
    on_one_thread(async || {
        let disk = Forgetful::new();
        let root = disk.root();
        let syncs = of_disk(&root);
        let writers = (0..20).map(|writer| {
            let (syncs, disk, root) = (Rc::clone(&syncs), disk.clone(), root.clone());
            spawn_local(async move {
                for round in 0..10 {
                    let name = format!("{writer}.{round}");
                    write(&root, &name);
                    assert_eq!(syncs.asked(DEVICE).await, Synced::Done);
                    assert!(survives(&disk, &name), "{name}");
                }
            })
        });
        for writer in writers.collect::<Vec<_>>() {
            writer.await.expect("no panic");
        }
        // Of the steps two are a writer's, the others syncs.
        let syncs = disk.steps() - 2 * 200;
        assert!(syncs < 100, "{syncs} syncs for 200 questions");
    });
}

/// The one that runs may have looked at the file already.
#[test]
fn a_question_during_a_sync_waits_for_the_next() {
    on_one_thread(async || {
        let disk = Forgetful::new();
        let root = disk.root();
        let syncs = of_disk(&root);
        let running = taken(&syncs);
        write(&root, "late");
        let asked = spawn_local({
            let syncs = Rc::clone(&syncs);
            async move { syncs.asked(DEVICE).await }
        });
        for _ in 0..20 {
            yield_now().await;
        }
        assert!(!asked.is_finished() && !survives(&disk, "late"));
        Rc::clone(&syncs).sync(DEVICE, running).await;
        assert_eq!(asked.await.expect("no panic"), Synced::Done);
        assert!(survives(&disk, "late"));
    });
}

/// The kernel tells of a write error once, and nobody knows whom it concerned: all who asked have failed, and from then on
/// each syncs for himself.
#[test]
fn a_failed_sync_is_told_to_all_and_not_tried_again() {
    on_one_thread(async || {
        let disk = Forgetful::new();
        let root = disk.root();
        let syncs = of_disk(&root);
        let running = taken(&syncs);
        write(&root, "lost");
        let asked = [(); 3].map(|()| {
            let syncs = Rc::clone(&syncs);
            spawn_local(async move { syncs.asked(DEVICE).await })
        });
        yield_now().await;
        disk.fail_at(disk.steps(), nix::libc::EIO);
        Rc::clone(&syncs).sync(DEVICE, running).await;
        for asked in asked {
            assert_eq!(asked.await.expect("no panic"), Synced::Failed);
        }
        assert_eq!(syncs.asked(DEVICE).await, Synced::Yourself);
    });
}

/// Nobody waits for a thread that came to grief.
#[test]
fn when_the_file_system_is_gone_nobody_waits_for_it() {
    on_one_thread(async || {
        let disk = Forgetful::new();
        let syncs = of_disk(&disk.root());
        drop(taken(&syncs));
        let asked = spawn_local({
            let syncs = Rc::clone(&syncs);
            async move { syncs.asked(DEVICE).await }
        });
        yield_now().await;
        syncs.give_up(DEVICE);
        assert_eq!(asked.await.expect("no panic"), Synced::Failed);
        assert_eq!(syncs.asked(DEVICE).await, Synced::Yourself);
    });
}

#[test]
fn a_device_that_nobody_knows_is_left_to_the_writer() {
    on_one_thread(async || {
        let syncs = of_disk(&Forgetful::new().root());
        assert_eq!(syncs.asked(u64::MAX).await, Synced::Yourself);
        for device in 2..2 * MOST as u64 {
            syncs.asked(device << 40).await;
        }
        assert!(syncs.known.borrow().len() <= MOST);
        assert_eq!(syncs.asked(DEVICE).await, Synced::Done);
    });
}

/// Writers ask over their sockets, one after another; nonsense ends that connection only.
#[test]
fn answers_go_to_who_asked() {
    on_one_thread(async || {
        let disk = Forgetful::new();
        let connect = connections(&disk.root());
        let [one, other, mad] = [(); 3].map(|()| Channel::new(connect()).expect("a socket"));
        mad.send(b"nonsense here", &[]).await.expect("sent");
        let mut buffer = [0; 8];
        assert!(!matches!(mad.receive(&mut buffer).await, Ok(Some(_))));
        for (channel, device, synced) in [(&one, DEVICE, Synced::Done), (&other, u64::MAX, Synced::Yourself)] {
            channel.send(&device.to_le_bytes(), &[]).await.expect("sent");
            let (packet, _) = channel.receive(&mut buffer).await.expect("received").expect("a packet");
            assert_eq!(Synced::read(packet), synced);
        }
    });
}

#[test]
fn few_sync_for_themselves() {
    let syncs = Syncs::default();
    assert_eq!([(); MANY].map(|()| syncs.begins()).iter().filter(|asks| **asks).count(), 1);
    syncs.end(1);
    assert!(syncs.begins());
    syncs.end(MANY);
    assert!(!syncs.begins(), "what has ended counts no more");
}
