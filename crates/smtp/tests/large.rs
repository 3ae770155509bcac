//! Messages larger than one write block: handed over in blocks, refused in the middle without losing the thread.

use mail::{Domain, QueueId};
use smtp::Reply;
use smtp::server::{Answer, Client, Limits, Policy, Question, Session, Settings};
use wire::{Effect, Input, Machine, Oddities, Security};

/// Plays a message of `blocks` chunks of 48 KiB; the world refuses the write number `refuse`.
/// Returns the sizes written and committed, and all that was sent.
fn play(blocks: usize, refuse: Option<usize>) -> (Vec<usize>, String) {
    let mut session = Session::new(Settings {
        hostname: "vm".into(),
        banner: "ESMTP".into(),
        origin: Domain::parse("vm").expect("a domain"),
        client: Client { name: "localhost".into(), address: "127.0.0.1".into() },
        policy: Policy::default(),
        limits: Limits::default(),
        discarded: Vec::new(),
    });
    let (mut sizes, mut sent) = (Vec::new(), String::new());
    let mut give = |input: Input<'_, Answer>| {
        let mut effects = Vec::new();
        session.handle(input, &mut effects);
        while let Some(Effect::Ask(question)) = effects.pop_if(|last| matches!(last, Effect::Ask(_))) {
            let written = match &question {
                Question::Write(octets) | Question::Commit(octets) => Some(octets.len()),
                _ => None,
            };
            let answer = match question {
                Question::Name => Answer::Named(QueueId::new(1, 2)),
                Question::Write(_) if refuse == Some(sizes.len()) => Answer::Refused(Reply::no_space()),
                _ => Answer::Accepted,
            };
            sizes.extend(written);
            session.handle(Input::Answer(answer), &mut effects);
        }
        for effect in effects {
            if let Effect::Send(octets) = effect {
                sent += std::str::from_utf8(&octets).expect("replies are UTF-8");
            }
        }
    };
    give(Input::Start(Security::Clear));
    for line in ["MAIL FROM:<>", "RCPT TO:<k>", "DATA"] {
        give(Input::Line(line.as_bytes(), wire::LineEnd::CrLf));
    }
    for _ in 0..blocks {
        give(Input::Chunk(&[b'x'; 48 * 1024]));
    }
    give(Input::ChunkEnd(Oddities::default()));
    give(Input::Line(b"NOOP", wire::LineEnd::CrLf));
    (sizes, sent)
}

#[test]
fn written_in_blocks() {
    let (sizes, sent) = play(5, None);
    assert_eq!(sizes, [96 * 1024, 96 * 1024, 48 * 1024]);
    assert!(sent.ends_with("250 2.0.0 Ok: queued as 000000000000102\r\n250 2.0.0 Ok\r\n"), "{sent}");
}

#[test]
fn a_refused_write_is_told_at_the_end_and_nothing_more_is_written() {
    let (sizes, sent) = play(9, Some(1));
    assert_eq!(sizes.len(), 2);
    assert!(
        sent.ends_with(
            "354 End data with <CR><LF>.<CR><LF>\r\n452 4.3.1 Insufficient system storage\r\n250 2.0.0 Ok\r\n"
        ),
        "{sent}"
    );
}

#[test]
fn an_oversize_message_is_read_to_its_end() {
    let (sizes, sent) = play(300, None);
    assert!(sizes.iter().sum::<usize>() <= 10_240_000);
    assert!(sent.ends_with("552 5.3.4 Error: message file too big\r\n250 2.0.0 Ok\r\n"), "{sent}");
}
