//! The pump with a small machine: `say X` answers X, `ask X` asks the world, `body N` takes N octets, `tls`, `leave`,
//! `pause N` sleeps N seconds, `ahead` tells what came before its time, `quit`.

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::tls;

#[derive(Default)]
struct Parrot {
    ends: usize,
    body: Vec<u8>,
    ahead: Vec<u8>,
}

impl Machine for Parrot {
    type Question = String;
    type Answer = String;

    fn handle(&mut self, input: Input<'_, String>, effects: &mut Vec<Effect<String>>) {
        let say = |text: String| Effect::Send(Bytes::from(text + "\n"));
        match input {
            Input::Start(_) => effects.push(say("hello".into())),
            Input::Line(line, _) => match String::from_utf8_lossy(line).split_once(' ').unwrap_or(("", "")) {
                ("say", what) => effects.push(say(what.into())),
                ("ask", what) => effects.push(Effect::Ask(what.into())),
                ("body", count) => effects.push(Effect::Frame(Framing::Octets(count.parse().expect("count")))),
                ("tls", _) => effects.extend([say("go".into()), Effect::StartTls]),
                ("pause", seconds) => {
                    let time = Duration::from_secs(seconds.parse().expect("seconds"));
                    effects.extend([Effect::Pause(time), say("awake".into())]);
                }
                ("ahead", _) => effects.push(say(String::from_utf8_lossy(&self.ahead).replace('\n', "|"))),
                ("leave", _) => effects.extend([say("left".into()), Effect::Detach]),
                _ => effects.extend([say("bye".into()), Effect::Close]),
            },
            Input::Chunk(octets) => self.body.extend_from_slice(octets),
            Input::ChunkEnd(_) => effects.push(say(format!("{} octets", self.body.len()))),
            Input::Answer(answer) => effects.push(say(answer)),
            Input::Secured => effects.push(say("secured".into())),
            Input::Notice => effects.push(say("news".into())),
            Input::TimedOut => effects.extend([say("timeout".into()), Effect::Close]),
            Input::Shutdown => effects.extend([say("stopping".into()), Effect::Close]),
            Input::LineTooLong => effects.push(say("too long".into())),
            Input::End => self.ends += 1,
        }
    }

    fn ahead(&mut self, octets: &[u8]) {
        self.ahead = octets.to_vec();
    }
}

struct Echo {
    news: bool,
}

impl World for Echo {
    type Question = String;
    type Answer = String;

    async fn answer(&mut self, question: String) -> String {
        if question == "slow" {
            tokio::task::yield_now().await;
        }
        format!("you asked {question}")
    }

    async fn notice(&mut self) {
        if !std::mem::take(&mut self.news) {
            pending::<()>().await;
        }
    }
}

async fn session(input: &[u8], options: Options<'_>) -> (String, Ended<DuplexStream>, Parrot) {
    let (client, server) = duplex(1 << 20);
    let (mut read, mut write) = tokio::io::split(client);
    write.write_all(input).await.expect("write");
    if options.read_timeout > Duration::from_secs(1) {
        write.shutdown().await.expect("shutdown");
    }
    let mut machine = Parrot::default();
    let ended = serve(Stream::Clear(server), &mut machine, &mut Echo { news: false }, options).await;
    let mut output = vec![0; 1 << 16];
    let length = read.read(&mut output).await.expect("read");
    output.truncate(length);
    (String::from_utf8(output).expect("text"), ended, machine)
}

#[tokio::test]
async fn a_pipelined_session_is_answered_in_order() {
    let input = b"say a\nask b\nask slow\nbody 3\nxyzsay c\r\nquit \n";
    let (output, ended, machine) = session(input, Options::default()).await;
    assert_eq!(output, "hello\na\nyou asked b\nyou asked slow\n3 octets\nc\nbye\n");
    assert!(matches!(ended.why, Why::Closed));
    assert_eq!((machine.ends, ended.octets_in, ended.octets_out), (0, input.len() as u64, output.len() as u64));
}

#[tokio::test]
async fn detaching_gives_back_what_was_not_read() {
    let (output, ended, _) = session(b"leave now\nfor the next one", Options::default()).await;
    assert_eq!(output, "hello\nleft\n");
    assert!(matches!(ended.why, Why::Detached) && ended.stream.is_some());
    assert_eq!(ended.buffered, b"for the next one");
}

#[tokio::test]
async fn plaintext_after_starttls_ends_the_session() {
    let dir = tempfile::tempdir().expect("dir");
    let files = tls::ensure_certificate(dir.path(), &["vm".into()]).expect("certificate");
    let tls = Tls::load(&files).expect("load");
    let options = Options { tls: Some(Handshake::Accept(&tls)), ..Options::default() };
    let (output, ended, machine) = session(b"tls now\nsay forged\n", options).await;
    assert_eq!(output, "hello\ngo\n");
    assert!(matches!(ended.why, Why::PlaintextBeforeTls));
    assert_eq!(machine.ends, 1);
}

#[tokio::test]
async fn the_peer_leaving_is_told_once() {
    let (output, ended, machine) = session(b"say a\nhalf a line", Options::default()).await;
    assert_eq!(output, "hello\na\n");
    assert!(matches!(ended.why, Why::PeerGone));
    assert_eq!(machine.ends, 1);
}

#[tokio::test(start_paused = true)]
async fn a_pause_delays_what_follows_and_ends_with_the_server() {
    let begin = Instant::now();
    let (output, ..) = session(b"pause 60\nquit \n", Options::default()).await;
    assert_eq!((output.as_str(), begin.elapsed()), ("hello\nawake\nbye\n", Duration::from_secs(60)));
    let options = Options::default();
    let stop = options.stop.clone();
    let stopping = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        stop.cancel();
    };
    let begin = Instant::now();
    let ((output, ..), ()) = tokio::join!(session(b"pause 3600\n", options), stopping);
    assert_eq!((output.as_str(), begin.elapsed()), ("hello\nawake\nstopping\n", Duration::from_secs(5)));
}

#[tokio::test]
async fn what_came_ahead_of_a_reply_is_told() {
    let (output, ..) = session(b"ahead ?\nsay a\nquit \n", Options::default()).await;
    assert_eq!(output, "hello\nsay a|quit |\na\nbye\n");
}

#[tokio::test(start_paused = true)]
async fn silence_and_shutdown_are_told() {
    let short = Options { read_timeout: Duration::from_millis(900), ..Options::default() };
    let (output, ended, _) = session(b"say a\n", short).await;
    assert_eq!(output, "hello\na\ntimeout\n");
    assert!(matches!(ended.why, Why::Closed));
    let stopping = Options::default();
    stopping.stop.cancel();
    let (output, _, _) = session(b"", stopping).await;
    assert_eq!(output, "hello\nstopping\n");
}

#[tokio::test]
async fn news_comes_between_commands() {
    let (client, server) = duplex(1 << 16);
    let (mut read, mut write) = tokio::io::split(client);
    let mut machine = Parrot::default();
    let mut world = Echo { news: true };
    let serving = serve(Stream::Clear(server), &mut machine, &mut world, Options::default());
    let talking = async {
        let mut output = vec![0; 11];
        read.read_exact(&mut output).await.expect("news");
        write.write_all(b"quit \n").await.expect("write");
        output
    };
    let (ended, output) = tokio::join!(serving, talking);
    assert_eq!(output, b"hello\nnews\n");
    assert!(matches!(ended.why, Why::Closed));
}

#[tokio::test(start_paused = true)]
async fn dawdling_within_a_line_is_silence() {
    let (mut client, server) = duplex(1 << 16);
    let mut machine = Parrot::default();
    let mut world = Echo { news: false };
    let options = Options { read_timeout: Duration::from_secs(10), ..Options::default() };
    let serving = serve(Stream::Clear(server), &mut machine, &mut world, options);
    let dawdling = async {
        let mut seconds = 0;
        while client.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
            seconds += 1;
        }
        seconds
    };
    let (ended, seconds) = tokio::join!(serving_then_closed(serving), dawdling);
    assert!(matches!(ended, Why::Closed));
    assert!((9..=12).contains(&seconds), "{seconds}");
}

async fn serving_then_closed(serving: impl Future<Output = Ended<DuplexStream>>) -> Why {
    serving.await.why
}

/// A client that sends much when told to go, and keeps what it is told.
#[derive(Default)]
struct Sender {
    heard: Vec<String>,
    ends: usize,
}

impl Machine for Sender {
    type Question = String;
    type Answer = String;

    fn handle(&mut self, input: Input<'_, String>, effects: &mut Vec<Effect<String>>) {
        match input {
            Input::Line(b"go", _) | Input::Answer(_) => {
                effects.extend([Effect::Send(vec![b'x'; 1 << 17].into()), Effect::Ask("more".into())]);
            }
            Input::Line(line, _) => self.heard.push(String::from_utf8_lossy(line).into_owned()),
            Input::End => self.ends += 1,
            _ => {}
        }
    }

    fn patience(&self) -> Option<Duration> {
        Some(Duration::from_secs(10))
    }
}

#[tokio::test]
async fn the_last_words_of_a_peer_that_hangs_up_are_heard() {
    let (ours, theirs) = duplex(1 << 10);
    let (read, mut write) = tokio::io::split(theirs);
    let mut machine = Sender::default();
    let mut world = Echo { news: false };
    let session = serve(Stream::Clear(ours), &mut machine, &mut world, Options::default());
    let server = async {
        write.write_all(b"go\n552 too big\n").await.expect("write");
        write.write_all(b"221 bye\n").await.expect("write");
        drop((read, write));
    };
    let (ended, ()) = tokio::join!(session, server);
    assert!(matches!(ended.why, Why::PeerGone), "{:?}", ended.why);
    assert_eq!((machine.heard, machine.ends), (vec!["552 too big".to_owned(), "221 bye".to_owned()], 1));
}
