//! Accounts from a file, hashes, and the messages about passwords.

use std::fs;
use std::os::unix::net::UnixDatagram;

use proptest::prelude::*;

use super::*;
use crate::check::{MAX_MESSAGE, Outcome, Reply, Request};

fn secret(text: &str) -> Secret<Vec<u8>> {
    Secret::new(text.as_bytes().to_vec())
}

fn file_with(text: &str) -> (tempfile::TempDir, Accounts) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accounts");
    fs::write(&path, text).unwrap();
    let accounts = Accounts::file(path);
    (dir, accounts)
}

#[test]
fn a_user_of_the_file_is_found_and_verified() {
    let hash = hash("pass é").unwrap();
    let (_dir, accounts) =
        file_with(&format!("# people\n\nkevin:{{SHA512-CRYPT}}{hash}:1000:1001:Kevin,,:/home/kevin:/bin/sh\n"));
    let account = accounts.find("Kevin").unwrap().unwrap();
    assert_eq!((account.name.as_str(), account.uid, account.gid), ("kevin", 1000, 1001));
    assert_eq!(account.home, Path::new("/home/kevin"));
    assert_eq!(accounts.verify("kevin", &secret("pass é"), "127.0.0.1").unwrap(), Verdict::Right);
    assert_eq!(accounts.verify("KEVIN", &secret("pass é"), "127.0.0.1").unwrap(), Verdict::Right);
    for wrong in ["pass e", "", "pass é\0", "\0"] {
        assert_eq!(accounts.verify("kevin", &secret(wrong), "127.0.0.1").unwrap(), Verdict::Wrong, "{wrong:?}");
    }
    for name in ["nobody", "", "ke:vin", "../kevin", "-kevin", "kevin\n"] {
        assert_eq!(accounts.verify(name, &secret("pass é"), "127.0.0.1").unwrap(), Verdict::Wrong, "{name:?}");
    }
}

#[test]
fn hashes_made_by_openssl_are_read() {
    // openssl passwd -6 -salt saltsalt secret; openssl passwd -5 -salt saltsalt secret
    let (_dir, accounts) = file_with(concat!(
        "six:$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1:1:1::/h:/s\n",
        "five:$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA:1:1::/h:/s\n",
        "locked:!:1:1::/h:/s\n"
    ));
    assert_eq!(accounts.verify("locked", &secret("secret"), "").unwrap(), Verdict::Wrong);
    assert_eq!(accounts.verify("six", &secret("wrong"), "").unwrap(), Verdict::Wrong);
    assert_eq!(accounts.verify("five", &secret("wrong"), "").unwrap(), Verdict::Wrong);
    assert_eq!(accounts.verify("six", &secret("secret"), "").unwrap(), Verdict::Right);
    assert_eq!(accounts.verify("five", &secret("secret"), "").unwrap(), Verdict::Right);
}

#[test]
fn a_changed_file_is_read_again() {
    let (dir, accounts) = file_with("kevin:*:1:1::/h:/s\n");
    assert!(accounts.find("foo").unwrap().is_none());
    fs::write(dir.path().join("accounts"), "foo:*:1:1::/h:/s\nkevin:*:1:1::/h:/s\n").unwrap();
    assert!(accounts.find("foo").unwrap().is_some());
    fs::remove_file(dir.path().join("accounts")).unwrap();
    assert!(matches!(accounts.find("foo"), Err(Error::Unreadable(..))));
}

#[test]
fn a_wrong_line_is_named() {
    for (line, text) in [
        (2, "kevin:*:1:1::/h:/s\nfoo:*:1:1::/h\n"),
        (1, "kevin:$y$j9T$x$y:1:1::/h:/s\n"),
        (1, "kevin:*:one:1::/h:/s\n"),
        (1, "kevin:*:1:1::home:/s\n"),
        (2, "kevin:*:1:1::/h:/s\nkevin:*:1:1::/h:/s\n"),
        (1, "kevin:*:1:1::/h:/s:more\n"),
    ] {
        let (_dir, accounts) = file_with(text);
        assert!(matches!(accounts.find("kevin"), Err(Error::Malformed(_, found)) if found == line), "{text}");
    }
}

#[test]
fn unknown_users_take_as_long_as_known_ones() {
    let (_dir, accounts) = file_with(&format!("kevin:{}:1:1::/h:/s\n", hash("kevin").unwrap()));
    let time = |name: &str| {
        let fastest = (0..5).map(|_| {
            let start = std::time::Instant::now();
            accounts.verify(name, &secret("wrong"), "").unwrap();
            start.elapsed()
        });
        fastest.min().unwrap()
    };
    let (known, unknown) = (time("kevin"), time("nobody"));
    assert!(known < unknown * 3 && unknown < known * 3, "known {known:?}, unknown {unknown:?}");
}

#[test]
fn messages_survive_a_socket() {
    let (asker, checker) = UnixDatagram::pair().unwrap();
    let request = Request { id: 7, name: "kevin".into(), password: secret("pw"), peer: "192.168.0.23".into() };
    asker.send(request.encode().as_bytes()).unwrap();
    let mut buffer = [0; MAX_MESSAGE];
    let length = checker.recv(&mut buffer).unwrap();
    let got = Request::decode(&buffer[..length]).unwrap();
    assert_eq!((got.id, got.name.as_str(), got.password.expose().as_slice()), (7, "kevin", &b"pw"[..]));
    let reply = Reply { id: 7, outcome: Outcome::Wrong };
    assert_eq!(Reply::decode(reply.encode().as_bytes()), Ok(reply));
}

proptest! {
    #[test]
    fn no_message_makes_the_decoder_panic(message in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Request::decode(&message);
        let _ = Reply::decode(&message);
    }

    #[test]
    fn every_cut_of_a_request_is_refused(name in "[a-z]{1,9}", password in prop::collection::vec(any::<u8>(), 0..40), cut in 0usize..30) {
        let request = Request { id: 1, name, password: Secret::new(password), peer: "::1".into() };
        let message = request.encode();
        let whole = message.as_bytes();
        prop_assert!(Request::decode(whole).is_ok());
        prop_assert!(Request::decode(&whole[..whole.len().saturating_sub(1 + cut)]).is_err());
        prop_assert!(Request::decode(&[whole, &[0]].concat()).is_err());
    }
}
