//! Front and worker against a keeper played by the test: what each says, hands over, and refuses.

use std::future::pending;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

use bytes::Bytes;
use sys::channel::{self, MAX_PACKET};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::{Effect, Input, Machine, Secret, Security};

use super::front::{self, Cleartext, Connection, LogIn, Protocol};
use super::message::{FromWorker, Message, Outcome, Session, ToFront, ToKeeper, ToWorker};
use super::worker::{self, Mail};
use crate::channel::Channel;
use crate::pump::World;

/// Before login: every line is a password.
struct Door;
struct Words;

impl Machine for Words {
    type Question = String;
    type Answer = Outcome;

    fn handle(&mut self, input: Input<'_, Outcome>, effects: &mut Vec<Effect<String>>) {
        match input {
            Input::Start(_) => effects.push(Effect::Send(Bytes::from_static(b"hello\n"))),
            Input::Line(line, _) => effects.push(Effect::Ask(String::from_utf8_lossy(line).into_owned())),
            Input::Answer(Outcome::Admitted) => effects.push(Effect::Detach),
            Input::Answer(_) => effects.push(Effect::Send(Bytes::from_static(b"no\n"))),
            Input::Shutdown => effects.push(Effect::Close),
            _ => {}
        }
    }
}

impl Protocol for Door {
    type Machine = Words;

    fn machine(&self, _: &Connection) -> Words {
        Words
    }
    fn wish(question: String) -> LogIn {
        let password = Secret::new(question.into_bytes());
        LogIn { name: "kevin".into(), password, method: "PLAIN", tag: b"a1".to_vec() }
    }
    fn answer(outcome: Outcome) -> Outcome {
        outcome
    }
    fn no_room(&self) -> &'static [u8] {
        b"full\n"
    }
}

/// The keeper's end, and the front.
struct Scene {
    channel: Channel,
    address: SocketAddr,
    front: JoinHandle<std::io::Result<()>>,
}

impl Scene {
    async fn new(most: usize) -> Self {
        let (ours, theirs) = channel::pair().expect("pair");
        let channel = Channel::new(ours).expect("channel");
        let settings = front::Settings { cleartext: Box::new(|_, _| Cleartext::Secured), most };
        let theirs = Channel::new(theirs).expect("channel");
        let front = tokio::spawn(front::run(Door, settings, theirs, CancellationToken::new()));
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let message = ToFront::Listen(Security::Clear).encode();
        channel.send(message.as_bytes(), &[listener.as_fd()]).await.expect("send");
        Self { channel, address, front }
    }

    async fn client(&self) -> TcpStream {
        let mut client = TcpStream::connect(self.address).await.expect("connect");
        assert_eq!(read(&mut client, 6).await, b"hello\n");
        client
    }

    async fn receive(&self) -> (ToKeeper, Vec<OwnedFd>) {
        let mut buffer = vec![0; MAX_PACKET];
        let (message, descriptors) = self.channel.receive(&mut buffer).await.expect("receive").expect("not the end");
        (ToKeeper::decode(message).expect("a message"), descriptors)
    }

    async fn answer(&self, outcome: Outcome) -> u64 {
        let (ToKeeper::LogIn { id, .. }, _) = self.receive().await else { panic!("no login") };
        let answer = ToFront::Admission { id, outcome, user: "kevin".into(), pid: 1 };
        self.channel.send(answer.encode().as_bytes(), &[]).await.expect("send");
        id
    }
}

async fn read(stream: &mut TcpStream, length: usize) -> Vec<u8> {
    let mut octets = vec![0; length];
    stream.read_exact(&mut octets).await.expect("read");
    octets
}

#[tokio::test]
async fn a_login_is_handed_over_with_what_the_client_sent_after_it() {
    let scene = Scene::new(10).await;
    let mut client = scene.client().await;
    client.write_all(b"wrong\n").await.expect("write");
    scene.answer(Outcome::Refused).await;
    assert_eq!(read(&mut client, 3).await, b"no\n");
    client.write_all(b"right\nSTAT\r\nQU").await.expect("write");
    let id = scene.answer(Outcome::Admitted).await;
    let (ToKeeper::HandOver { id: used, session }, mut descriptors) = scene.receive().await else {
        panic!("no session")
    };
    assert_eq!(
        (used, session.user.as_str(), &session.tag[..], &session.buffered[..]),
        (id, "kevin", &b"a1"[..], &b"STAT\r\nQU"[..])
    );
    assert_eq!((session.rip, session.security), (IpAddr::from([127, 0, 0, 1]), Security::Clear));
    let connection = std::net::TcpStream::from(descriptors.pop().expect("the connection"));
    connection.set_nonblocking(true).expect("non-blocking");
    let mut connection = TcpStream::from_std(connection).expect("adopt");
    connection.write_all(b"+OK\n").await.expect("write");
    assert_eq!(read(&mut client, 4).await, b"+OK\n");
}

#[tokio::test]
async fn what_comes_in_one_go_with_the_login_fits_the_packet_and_nothing_of_it_is_lost() {
    let scene = Scene::new(10).await;
    let mut client = scene.client().await;
    let after: Vec<u8> = (0..100_000_u32).map(|at| b'a' + (at % 23) as u8).collect();
    let all = [b"right\n", &after[..]].concat();
    let writer = tokio::spawn(async move {
        client.write_all(&all).await.expect("write");
        client
    });
    scene.answer(Outcome::Admitted).await;
    let (ToKeeper::HandOver { session, .. }, mut descriptors) = scene.receive().await else { panic!("no session") };
    let connection = std::net::TcpStream::from(descriptors.pop().expect("the connection"));
    connection.set_nonblocking(true).expect("non-blocking");
    let mut connection = TcpStream::from_std(connection).expect("adopt");
    let rest = read(&mut connection, after.len() - session.buffered.len()).await;
    assert!([session.buffered, rest].concat() == after);
    drop(writer.await.expect("written"));
    // The front lives on.
    scene.client().await;
}

#[tokio::test]
async fn a_new_client_gets_the_place_of_the_silent_one_and_may_not_talk_for_ever() {
    let scene = Scene::new(1).await;
    let mut old = scene.client().await;
    let mut new = scene.client().await;
    assert_eq!(old.read(&mut [0; 9]).await.expect("closed"), 0);
    // Three lines over the limit are more than anybody needs to log in.
    let long = [&[b'x'; 5000][..], b"\n"].concat().repeat(3);
    let _ = new.write_all(&long).await;
    let mut rest = Vec::new();
    let _ = new.read_to_end(&mut rest).await;
    assert!(rest.is_empty(), "closed for saying too much: {rest:?}");
}

#[tokio::test]
async fn the_keeper_hanging_up_or_talking_nonsense_ends_the_front() {
    let scene = Scene::new(10).await;
    let mut client = scene.client().await;
    drop(scene.channel);
    scene.front.await.expect("no panic").expect("ended well");
    assert_eq!(client.read(&mut [0; 9]).await.expect("closed"), 0);
    let scene = Scene::new(10).await;
    scene.channel.send(b"nonsense", &[]).await.expect("send");
    assert!(scene.front.await.expect("no panic").is_err());
}

#[tokio::test]
async fn a_retired_front_ends_with_its_last_visitor() {
    let scene = Scene::new(10).await;
    let mut client = scene.client().await;
    scene.channel.send(ToFront::Retire.encode().as_bytes(), &[]).await.expect("send");
    let mut buffer = [0; 100];
    let (message, _) = scene.channel.receive(&mut buffer).await.expect("receive").expect("word");
    assert!(matches!(ToKeeper::decode(message), Ok(ToKeeper::Retired)));
    client.write_all(b"wrong\n").await.expect("write");
    scene.answer(Outcome::Refused).await;
    assert_eq!(read(&mut client, 3).await, b"no\n");
    drop(client);
    scene.front.await.expect("no panic").expect("ended well");
}

/// After login: says hello, then closes at the first line.
struct Mailbox;
struct Quiet;

impl Machine for Mailbox {
    type Question = ();
    type Answer = ();

    fn handle(&mut self, input: Input<'_, ()>, effects: &mut Vec<Effect<()>>) {
        match input {
            Input::Start(_) => effects.push(Effect::Send(Bytes::from_static(b"+OK\n"))),
            Input::Line(..) | Input::Shutdown => effects.push(Effect::Close),
            _ => {}
        }
    }
}

impl World for Quiet {
    type Question = ();
    type Answer = ();

    async fn answer(&mut self, (): ()) {
        pending::<()>().await;
    }
}

impl Mail for Quiet {
    type Machine = Mailbox;
    type World = Self;

    fn open(&self, _: &Session) -> (Mailbox, Self) {
        (Mailbox, Self)
    }
}

#[tokio::test]
async fn a_worker_serves_tells_of_the_end_offers_to_leave_and_leaves() {
    let (ours, theirs) = channel::pair().expect("pair");
    let (channel, theirs) = (Channel::new(ours).expect("channel"), Channel::new(theirs).expect("channel"));
    let idle = std::time::Duration::from_millis(1);
    let settings = worker::Settings { idle, ..worker::Settings::new("pop3", 512, std::time::Duration::from_secs(9)) };
    let worker = tokio::spawn(worker::run(Quiet, settings, theirs, CancellationToken::new()));
    let (mut client, connection) = std::os::unix::net::UnixStream::pair().expect("pair");
    let session = Session {
        user: "kevin".into(),
        id: "x".into(),
        rip: IpAddr::from([127, 0, 0, 1]),
        lip: IpAddr::from([127, 0, 0, 1]),
        security: Security::Tls,
        tag: vec![],
        buffered: b"QUIT\n".to_vec(),
    };
    let serve = ToWorker::Serve { number: 7, session };
    channel.send(serve.encode().as_bytes(), &[connection.as_fd()]).await.expect("send");
    drop(connection);
    let mut heard = Vec::new();
    loop {
        let mut buffer = [0; 64];
        let (message, _) = channel.receive(&mut buffer).await.expect("receive").expect("not the end");
        let message = FromWorker::decode(message).expect("a message");
        heard.push(message);
        if message == (FromWorker::Idle { received: 1 }) {
            break;
        }
    }
    assert_eq!(heard[0], FromWorker::Taken { number: 7 });
    assert!(heard.contains(&FromWorker::Ended { number: 7 }), "{heard:?}");
    let mut answer = Vec::new();
    std::io::Read::read_to_end(&mut client, &mut answer).expect("read");
    assert_eq!(answer, b"+OK\n");
    drop(channel);
    worker.await.expect("no panic").expect("ended well");
}
