//! Tells the service manager that a daemon takes connections, as sd_notify(3) describes; so that `systemctl start` fails
//! where the daemon fails.
//!
//! Promise: never fails; without `NOTIFY_SOCKET` nothing happens.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says so, if somebody wants to know.
pub fn tell() {
    if let Some(name) = std::env::var_os("NOTIFY_SOCKET") {
        // A manager that does not listen will notice when its time is over.
        let _ = send(&name, b"READY=1");
    }
}

fn send(name: &OsStr, message: &[u8]) -> io::Result<usize> {
    let address = match name.as_bytes() {
        [b'@', abstract_name @ ..] => SocketAddr::from_abstract_name(abstract_name)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    UnixDatagram::unbound()?.send_to_addr(message, &address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_abstract_names_are_told() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("notify");
        let abstract_name = format!("facteur-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("name");
        let sockets = [UnixDatagram::bind(&path), UnixDatagram::bind_addr(&address)];
        for (socket, name) in sockets.into_iter().zip([path.into_os_string(), format!("@{abstract_name}").into()]) {
            send(&name, b"READY=1").expect("sent");
            let mut got = [0; 16];
            let length = socket.expect("bound").recv(&mut got).expect("received");
            assert_eq!(&got[..length], b"READY=1");
        }
        assert!(send(OsStr::new("/nowhere"), b"x").is_err());
    }
}
