//! What the fuzz targets share: choices taken from the input, and a driver for any protocol machine.
//!
//! Each target is `targets/NAME.rs`. `tests/fuzz-short` builds them, seeds them from the golden dialogues and runs each for
//! some seconds; a crash is an input in `fuzz/found/`. The first four octets of an input seed its choices (how the octets are
//! split, what the world answers), the rest is what the peer sends.

use wire::{Effect, Framing, Input, Machine, Piece, Reader, Security};

/// Choices that follow from the input alone.
pub struct Chance(u32);

impl Chance {
    /// Takes the seed off the front of an input.
    #[must_use]
    pub fn split(data: &[u8]) -> (Self, &[u8]) {
        match data.split_first_chunk::<4>() {
            Some((seed, rest)) => (Self(u32::from_le_bytes(*seed)), rest),
            None => (Self(0), &[]),
        }
    }

    /// A number below `limit`; always 0 from the seed 0, so that plain golden dialogues take the usual path.
    pub fn below(&mut self, limit: u32) -> u32 {
        if self.0 == 0 {
            return 0;
        }
        // xorshift32
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % limit
    }
}

/// Plays `octets` to a machine as the pump would, and checks the rules of the seam.
///
/// # Panics
/// When the machine breaks one.
pub fn drive<M: Machine>(
    machine: M,
    octets: &[u8],
    mut chance: Chance,
    world: impl Fn(M::Question, &mut Chance) -> M::Answer,
) {
    let mut run = Run { machine, reader: Reader::default(), asked: None, state: State::Open, sent: 0 };
    run.give(Input::Start(if chance.below(3) == 1 { Security::Tls } else { Security::Clear }));
    run.advance(&mut chance, &world);
    let mut rest = octets;
    while !rest.is_empty() && run.state != State::Closed {
        let size = match chance.below(3) {
            0 => rest.len().min(4096),
            1 => 1,
            _ => 1 + chance.below(40) as usize,
        };
        let (part, tail) = rest.split_at(size.min(rest.len()));
        rest = tail;
        run.reader.feed(part);
        run.advance(&mut chance, &world);
        if chance.below(20) == 1 && run.state == State::Open {
            run.give(if chance.below(2) == 0 { Input::Notice } else { Input::TimedOut });
            run.advance(&mut chance, &world);
        }
    }
    if run.state == State::Open {
        run.give(if chance.below(2) == 0 { Input::End } else { Input::Shutdown });
    }
}

#[derive(PartialEq, Eq)]
enum State {
    Open,
    Handshake,
    Closed,
}

struct Run<M: Machine> {
    machine: M,
    reader: Reader,
    asked: Option<M::Question>,
    state: State,
    sent: usize,
}

impl<M: Machine> Run<M> {
    fn advance(&mut self, chance: &mut Chance, world: &impl Fn(M::Question, &mut Chance) -> M::Answer) {
        let mut effects = Vec::new();
        let mut steps = 0;
        while self.state != State::Closed {
            steps += 1;
            assert!(steps < MAX_STEPS, "the machine goes on for ever");
            if self.state == State::Handshake {
                self.state = State::Open;
                self.machine.handle(Input::Secured, &mut effects);
            } else if let Some(question) = self.asked.take() {
                let answer = world(question, chance);
                self.machine.handle(Input::Answer(answer), &mut effects);
            } else {
                let input = match self.reader.next() {
                    None => return,
                    Some(Piece::Line(line, end)) => Input::Line(line, end),
                    Some(Piece::LineTooLong) => Input::LineTooLong,
                    Some(Piece::Chunk(octets)) => Input::Chunk(octets),
                    Some(Piece::ChunkEnd(odd)) => Input::ChunkEnd(odd),
                };
                self.machine.handle(input, &mut effects);
            }
            self.carry_out(&mut effects);
        }
    }

    fn give(&mut self, input: Input<'_, M::Answer>) {
        let mut effects = Vec::new();
        self.machine.handle(input, &mut effects);
        self.carry_out(&mut effects);
    }

    fn carry_out(&mut self, effects: &mut Vec<Effect<M::Question>>) {
        for effect in effects.drain(..) {
            assert!(self.asked.is_none(), "an effect after a question");
            assert!(
                self.state == State::Open || matches!(effect, Effect::Log(_)),
                "an effect after the end or before the handshake"
            );
            match effect {
                Effect::Send(octets) => self.sent += octets.len(),
                Effect::Ask(question) => self.asked = Some(question),
                Effect::Frame(framing) => self.frame(framing),
                Effect::StartTls if self.reader.buffered().is_empty() => self.state = State::Handshake,
                Effect::Pause(_) => {}
                Effect::Log(event) => {
                    assert!(!event.to_string().contains(['\n', '\r', '\0']), "a log line of two lines")
                }
                Effect::StartTls | Effect::Close | Effect::Detach => self.state = State::Closed,
            }
        }
        assert!(self.sent < MAX_SENT, "far more is said than was heard");
    }

    fn frame(&mut self, framing: Framing) {
        self.reader.set_framing(framing);
    }
}

/// No input of the fuzzer is longer than some kilobytes.
const MAX_STEPS: usize = 200_000;
const MAX_SENT: usize = 64 << 20;
