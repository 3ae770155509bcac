//! A client under TLS on one side, a pipe to the worker on the other: octets both ways until either is done.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy, split};
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Runs until the worker closes its end (what it sent is delivered first) or the transport fails. A client that closes
/// only its sending side still gets the rest.
pub(crate) async fn run<S: AsyncRead + AsyncWrite>(client: S, worker: UnixStream) -> io::Result<()> {
    let (mut from_client, mut to_client) = split(client);
    let (mut from_worker, mut to_worker) = split(worker);
    let up = async {
        let _ = copy(&mut from_client, &mut to_worker).await;
        let _ = to_worker.shutdown().await;
        std::future::pending::<()>().await;
    };
    let down = async {
        copy(&mut from_worker, &mut to_client).await?;
        timeout(GOODBYE, to_client.shutdown()).await.unwrap_or(Ok(()))
    };
    tokio::select! {
        result = down => result,
        () = up => Ok(()),
    }
}

const GOODBYE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, duplex};

    use super::*;

    #[tokio::test]
    async fn the_worker_closing_ends_it_though_the_client_stays() {
        let (mut client, theirs) = duplex(64);
        let (ours, mut worker) = UnixStream::pair().expect("pair");
        let proxy = tokio::spawn(run(theirs, ours));
        client.write_all(b"QUIT\r\n").await.expect("write");
        let mut heard = [0; 6];
        worker.read_exact(&mut heard).await.expect("read");
        worker.write_all(b"+OK\r\n").await.expect("write");
        drop(worker);
        proxy.await.expect("no panic").expect("ended well");
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("read");
        assert_eq!((&heard, &answer[..]), (b"QUIT\r\n", &b"+OK\r\n"[..]));
    }
}
