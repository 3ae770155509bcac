//! Power once given up stays away. Each test runs itself again as a child, which gives its own power up and then tries
//! what it must not be able to do; the child's exit status is the verdict.

use std::fs;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, exit};

use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use privileges::{Error, Exec, Jail, Network, User, as_group, become_user, become_user_in, is_root, jail};

/// Runs this test in a child and returns true, or returns false in that child.
fn in_child(test: &str) -> bool {
    if std::env::var_os(CHILD).is_some() {
        return false;
    }
    let me = std::env::current_exe().expect("own name");
    let run = Command::new(me).args(["--exact", test, "--nocapture"]).env(CHILD, "1").status().expect("child");
    assert!(run.success(), "the child of {test} says no");
    true
}

fn nobody() -> User {
    User { name: "nobody".into(), uid: 65534, gid: 65534 }
}

#[test]
fn root_does_not_come_back() {
    if !is_root() || in_child("root_does_not_come_back") {
        return;
    }
    become_user(&nobody(), Some(8)).expect("become");
    let root = nix::unistd::Uid::from_raw(0);
    let regained = [
        nix::unistd::setuid(root).is_ok(),
        nix::unistd::seteuid(root).is_ok(),
        nix::unistd::setresuid(root, root, root).is_ok(),
        nix::unistd::setgid(nix::unistd::Gid::from_raw(0)).is_ok(),
        nix::unistd::setgroups(&[]).is_ok(),
        fs::read("/etc/shadow").is_ok(),
    ];
    let mail = as_group(8, || nix::unistd::getegid().as_raw()).expect("group mail");
    let after = nix::unistd::getegid().as_raw();
    let other = as_group(0, || ()).is_err();
    exit(i32::from(regained.contains(&true) || mail != 8 || after != 65534 || !other));
}

#[test]
fn groups_that_are_named_come_along_and_no_others() {
    if !is_root() || in_child("groups_that_are_named_come_along_and_no_others") {
        return;
    }
    let refused = become_user_in(&nobody(), None, &[8, 0]);
    become_user_in(&nobody(), None, &[8]).expect("become");
    let groups: Vec<u32> =
        nix::unistd::getgroups().expect("groups").into_iter().map(nix::unistd::Gid::as_raw).collect();
    let others = groups.iter().any(|group| ![8, 65534].contains(group));
    exit(i32::from(refused != Err(Error::Root) || !groups.contains(&8) || others));
}

#[test]
fn nobody_becomes_root_here() {
    if !is_root() || in_child("nobody_becomes_root_here") {
        return;
    }
    let root = User { name: "root".into(), uid: 0, gid: 0 };
    exit(i32::from(become_user(&root, None) != Err(Error::Root)));
}

#[test]
fn the_jail_holds() {
    if in_child("the_jail_holds") {
        return;
    }
    let dir = tempfile::tempdir().expect("dir");
    let (open, shut) = (dir.path().join("open"), dir.path().join("shut"));
    for folder in [&open, &shut] {
        fs::create_dir(folder).expect("folder");
        fs::write(folder.join("file"), "text").expect("file");
    }
    let absent = dir.path().join("absent");
    let lacking = jail(&Jail {
        read_only: &[Path::new("/proc/self"), &absent],
        read_write: &[&open],
        exec: Exec::Never,
        network: Network::Deny,
    });
    let denied = |kind: ErrorKind| kind == ErrorKind::PermissionDenied;
    let files = !lacking.iter().any(|text| text.contains("Landlock"));
    let calls = !lacking.iter().any(|text| text.contains("seccomp"));
    let verdicts = [
        (
            "write inside",
            fs::write(open.join("new"), "x").is_ok() && fs::rename(open.join("new"), open.join("newer")).is_ok(),
        ),
        ("read outside", !files || fs::read(shut.join("file")).is_err_and(|e| denied(e.kind()))),
        ("write outside", !files || fs::write(shut.join("new"), "x").is_err_and(|e| denied(e.kind()))),
        ("the password file", !files || fs::read("/etc/passwd").is_err_and(|e| denied(e.kind()))),
        ("exec", Command::new("/bin/true").status().is_err()),
        ("internet", !calls || TcpStream::connect("127.0.0.1:9").is_err_and(|e| denied(e.kind()))),
        ("local sockets", std::os::unix::net::UnixStream::pair().is_ok()),
    ];
    for (what, ok) in verdicts {
        if !ok {
            eprintln!("jail: {what}; lacking {lacking:?}");
            exit(1);
        }
    }
    exit(0);
}

#[test]
fn a_jail_may_see_the_addresses_of_the_machine() {
    if in_child("a_jail_may_see_the_addresses_of_the_machine") {
        return;
    }
    let lacking = jail(&Jail { read_only: &[], read_write: &[], exec: Exec::Never, network: Network::Look });
    let calls = !lacking.iter().any(|text| text.contains("seccomp"));
    let netlink = |protocol| socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol).is_ok();
    let seen = netlink(SockProtocol::NetlinkRoute) && std::os::unix::net::UnixStream::pair().is_ok();
    let more = netlink(SockProtocol::NetlinkKObjectUEvent)
        || TcpStream::connect("127.0.0.1:9").is_err_and(|e| e.kind() != ErrorKind::PermissionDenied);
    if !seen || calls && more {
        eprintln!("jail: seen {seen}, more {more}; lacking {lacking:?}");
        exit(1);
    }
    exit(0);
}

const CHILD: &str = "FACTEUR_TEST_CHILD";
