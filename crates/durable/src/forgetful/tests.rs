use super::*;

fn commit(dir: &Dir) -> io::Result<()> {
    let file = dir.create("tmp", 0o600)?;
    file.append(b"whole ")?;
    file.append(b"message")?;
    file.sync()?;
    let new = dir.subdir("new")?;
    dir.rename("tmp", &new, "message")?;
    new.sync_shared()
}

fn with_new(dir: &Dir) {
    dir.make_dir("new", 0o700).unwrap();
}

#[test]
fn the_commit_rule_keeps_what_it_promised() {
    let steps = at_every_step(20, with_new, commit, |cut, promised, disk| {
        let new = disk.subdir("new").unwrap();
        match content(&new, "message") {
            Ok(octets) => assert_eq!(octets, b"whole message", "{cut:?}"),
            Err(_) => assert!(promised.is_err(), "{cut:?}"),
        }
    });
    assert_eq!(steps, 6);
}

/// The disk is worth something only if it catches each forgotten sync.
#[test]
fn forgotten_syncs_are_caught() {
    type Commit = fn(&Dir) -> io::Result<()>;
    let no_file_sync: Commit = |dir| {
        dir.create("tmp", 0o600)?.append(b"whole message")?;
        let new = dir.subdir("new")?;
        dir.rename("tmp", &new, "message")?;
        new.sync()
    };
    let no_dir_sync: Commit = |dir| {
        let file = dir.create("tmp", 0o600)?;
        file.append(b"whole message")?;
        file.sync()?;
        dir.rename("tmp", &dir.subdir("new")?, "message")
    };
    for careless in [no_file_sync, no_dir_sync] {
        let lost = std::cell::Cell::new(0);
        at_every_step(8, with_new, careless, |_, promised, disk| {
            let kept = content(&disk.subdir("new").unwrap(), "message").is_ok_and(|octets| octets == b"whole message");
            lost.set(lost.get() + u32::from(promised.is_ok() && !kept));
        });
        assert!(lost.get() > 0);
    }
}

#[test]
fn a_rename_leaves_one_name_at_least() {
    let rename = |dir: &Dir| dir.rename("a", &dir.subdir("new").unwrap(), "a");
    let prepare = |dir: &Dir| {
        with_new(dir);
        dir.create("a", 0o600).unwrap();
    };
    at_every_step(50, prepare, rename, |cut, _, disk| {
        let here = disk.stat("a").is_ok();
        assert!(here || disk.subdir("new").unwrap().stat("a").is_ok(), "{cut:?}");
    });
}

#[test]
fn a_failed_sync_is_final() {
    let disk = Forgetful::default();
    let file = disk.root().create("a", 0o600).unwrap();
    file.append(b"x").unwrap();
    disk.fail_at(disk.steps(), nix::libc::EIO);
    assert!(file.sync().is_err());
    assert!(file.sync().is_err());
}

#[test]
fn a_full_disk_writes_short() {
    let disk = Forgetful::default();
    let file = disk.root().create("a", 0o600).unwrap();
    disk.set_space(Some(3));
    let error = file.append(b"12345").unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert_eq!(file.meta().unwrap().size, 3);
}

#[test]
fn a_sync_too_many_is_found() {
    let careful = |dir: &Dir| {
        dir.sync()?;
        commit(dir)
    };
    let found = needless_syncs(8, with_new, careful, |cut, promised: &io::Result<()>, disk| {
        let octets = content(&disk.subdir("new").unwrap(), "message");
        assert!(octets.map_or(promised.is_err(), |octets| octets == b"whole message"), "{cut:?}");
    });
    assert_eq!(found, ["step 0 syncs the top"]);
}

/// A file whose content was with the disk before it got its name is whole wherever that name survives.
#[test]
fn a_name_brings_what_was_written_before_it() {
    let whole = |cut, promised: &io::Result<()>, disk: &Dir| {
        let found = content(&disk.subdir("new").unwrap(), "message");
        assert!(
            found.as_ref().is_ok_and(|octets| octets == b"whole") || found.is_err() && promised.is_err(),
            "{cut:?}"
        );
    };
    let commit = |dir: &Dir| {
        let file = dir.create("tmp", 0o600)?;
        file.append(b"whole")?;
        dir.sync_before_names(&[&file]).into_iter().collect::<io::Result<()>>()?;
        let new = dir.subdir("new")?;
        dir.rename("tmp", &new, "message")?;
        new.sync()
    };
    at_every_step_and_sync(20, with_new, commit, whole);
    let too_late = |dir: &Dir| {
        let file = dir.create("tmp", 0o600)?;
        file.append(b"whole")?;
        let new = dir.subdir("new")?;
        dir.rename("tmp", &new, "message")?;
        dir.sync_before_names(&[&file]).into_iter().collect::<io::Result<()>>()?;
        new.sync()
    };
    let torn = std::panic::catch_unwind(|| at_every_step(20, with_new, too_late, whole));
    assert!(torn.is_err(), "named before it was written");
}
