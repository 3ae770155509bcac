use super::*;
use crate::disk::{Dir, File};
use crate::lock::{Lock, Patience};

fn place() -> (tempfile::TempDir, Dir) {
    let temp = tempfile::tempdir().unwrap();
    let dir = Dir::open(temp.path()).unwrap();
    (temp, dir)
}

fn file(dir: &Dir, name: &str, content: &[u8]) -> File {
    let file = dir.create(name, 0o600).unwrap();
    file.append(content).unwrap();
    file
}

#[test]
fn what_is_written_is_read() {
    let (_temp, dir) = place();
    let made = file(&dir, "a", b"one");
    assert_eq!(made.append(b"two").unwrap(), 3);
    let again = dir.open_file("a", Access::Append).unwrap();
    assert_eq!(again.append(b"three").unwrap(), 6);
    assert_eq!(again.read_all(100).unwrap(), b"onetwothree");
    assert!(again.read_all(3).is_err());
    made.sync().unwrap();
    dir.sync_shared().unwrap();
    assert!(dir.space().unwrap().bytes > 0);
}

#[test]
fn no_name_leads_out_and_no_symlink_is_followed() {
    let (temp, dir) = place();
    std::os::unix::fs::symlink("/etc/passwd", temp.path().join("link")).unwrap();
    std::os::unix::fs::symlink("/etc", temp.path().join("etc")).unwrap();
    for name in ["", ".", "..", "/etc/passwd", "a/b", "link", "etc"] {
        assert!(dir.open_file(name, Access::Read).is_err(), "{name}");
        assert!(dir.subdir(name).is_err(), "{name}");
    }
    assert_eq!(dir.stat("link").unwrap().kind, Kind::Symlink);
    assert!(dir.create("link", 0o600).is_err());
}

#[test]
fn a_pipe_is_refused_without_waiting() {
    let (temp, dir) = place();
    nix::unistd::mkfifo(&temp.path().join("pipe"), Mode::S_IRWXU).unwrap();
    assert!(dir.open_file("pipe", Access::Read).is_err());
}

#[test]
fn renames_replace_or_not() {
    let (_temp, dir) = place();
    let sub = dir.ensure_subdir("sub", 0o700).unwrap();
    dir.ensure_subdir("sub", 0o700).unwrap();
    file(&dir, "a", b"a");
    file(&sub, "b", b"b");
    let taken = dir.rename_new("a", &sub, "b").unwrap_err();
    assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
    dir.rename("a", &sub, "b").unwrap();
    let names: Vec<_> = sub.entries().unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, ["b"]);
    assert_eq!(sub.open_file("b", Access::Read).unwrap().read_all(9).unwrap(), b"a");
    sub.link("b", &dir, "c").unwrap();
    assert_eq!(dir.stat("c").unwrap().links, 2);
}

#[test]
fn ranges_are_copied() {
    let (_temp, dir) = place();
    let content: Vec<u8> = (0..300_000_u32).map(|n| n as u8).collect();
    let from = file(&dir, "from", &content);
    let to = file(&dir, "to", b"head");
    from.copy_range(10..200_010, &to, 4).unwrap();
    assert_eq!(to.read_all(1 << 20).unwrap()[4..], content[10..200_010]);
    assert!(from.copy_range(299_999..300_004, &to, 0).is_err());
}

#[test]
fn a_lock_shuts_out_another_opening() {
    let (_temp, dir) = place();
    let first = file(&dir, "a", b"");
    let second = dir.open_file("a", Access::ReadWrite).unwrap();
    first.lock(Lock::Exclusive, Patience::None).unwrap();
    let refused = second.lock(Lock::Shared, Patience::for_duration(Duration::from_millis(3))).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
    first.unlock().unwrap();
    second.lock(Lock::Shared, Patience::None).unwrap();
    first.flock(Lock::Exclusive, Patience::None).unwrap();
    assert!(second.flock(Lock::Shared, Patience::None).is_err());
}

#[test]
fn times_are_set() {
    let (_temp, dir) = place();
    file(&dir, "a", b"");
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_191_067);
    dir.set_mtime("a", then).unwrap();
    assert_eq!(dir.stat("a").unwrap().mtime, then);
}

#[test]
fn many_files_are_synced_each_once() {
    let (_temp, dir) = place();
    let files: Vec<File> = (0..40).map(|n| file(&dir, &n.to_string(), b"x")).collect();
    let raw: Vec<&dyn RawFile> = files.iter().map(|file| &*file.0).collect();
    let outcomes = sync_at_once(&raw);
    assert_eq!((outcomes.len(), outcomes.iter().filter(|outcome| outcome.is_ok()).count()), (40, 40));
    assert!(sync_at_once(&[]).is_empty());
    let all: Vec<&File> = files.iter().collect();
    assert!(dir.sync_before_names(&all).iter().all(Result::is_ok));
}
