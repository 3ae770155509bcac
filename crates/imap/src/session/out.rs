//! Gathers what one input makes the session send and ask, in order.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::Range;

use bytes::Bytes;
use wire::{Effect, Framing};

use crate::question::Question;
use crate::reply::fetch::Piece;

/// Octets of a message below this are copied into the reply around them.
const SMALL: usize = 4096;

/// Effects under way.
pub(super) struct Out<'a> {
    effects: &'a mut Vec<Effect<Question>>,
    text: Vec<u8>,
    sent: u64,
}

impl<'a> Out<'a> {
    pub(super) const fn new(effects: &'a mut Vec<Effect<Question>>) -> Self {
        Self { effects, text: Vec::new(), sent: 0 }
    }

    /// A whole line; its end is added.
    pub(super) fn line(&mut self, line: &str) {
        self.text.extend_from_slice(line.as_bytes());
        self.text.extend_from_slice(b"\r\n");
    }

    /// Where text is written piece by piece.
    pub(super) const fn text(&mut self) -> &mut Vec<u8> {
        &mut self.text
    }

    /// Takes pieces up to octets that must be asked for first.
    pub(super) fn pieces(&mut self, pieces: &mut VecDeque<Piece>) -> Option<Range<u64>> {
        while let Some(piece) = pieces.pop_front() {
            match piece {
                Piece::Range(range) if range.is_empty() => {}
                Piece::Range(range) => return Some(range),
                piece => self.piece(piece),
            }
        }
        None
    }

    /// One that is at hand.
    pub(super) fn piece(&mut self, piece: Piece) {
        match piece {
            Piece::Range(_) => {}
            Piece::Text(text) => self.text.extend_from_slice(&text),
            Piece::Octets(octets) if octets.len() < SMALL => self.text.extend_from_slice(&octets),
            Piece::Octets(octets) => {
                self.flush();
                self.sent += octets.len() as u64;
                self.effects.push(Effect::Send(octets));
            }
        }
    }

    pub(super) fn frame(&mut self, framing: Framing) {
        self.flush();
        self.effects.push(Effect::Frame(framing));
    }

    pub(super) fn log(&mut self, event: mail::Event) {
        self.effects.push(Effect::Log(event));
    }

    pub(super) fn close(&mut self) {
        self.flush();
        self.effects.push(Effect::Close);
    }

    /// Octets that will be sent so far.
    pub(super) const fn pending(&self) -> u64 {
        self.sent + self.text.len() as u64
    }

    /// Ends the gathering; returns how many octets will be sent.
    pub(super) fn finish(mut self, ask: Option<Question>) -> u64 {
        self.flush();
        if let Some(question) = ask {
            self.effects.push(Effect::Ask(question));
        }
        self.sent
    }

    fn flush(&mut self) {
        if !self.text.is_empty() {
            self.sent += self.text.len() as u64;
            self.effects.push(Effect::Send(Bytes::from(core::mem::take(&mut self.text))));
        }
    }
}
