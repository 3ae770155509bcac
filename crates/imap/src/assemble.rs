//! Puts a command together from lines and the literals announced at their ends, under a budget.

use alloc::vec::Vec;

use crate::grammar::string::{Announced, announced};

/// Lines and literals of the command under way.
#[derive(Debug)]
pub struct Assembler {
    command: Vec<u8>,
    limit: usize,
}

/// What one more line makes of the command.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// It is complete: here it is, literals included as on the wire.
    Complete(Vec<u8>),
    /// A literal follows, and fits.
    Literal(Announced),
    /// More than the budget. Nothing is kept.
    TooLong(Option<Announced>),
}

impl Assembler {
    /// Commands of at most `limit` octets, literals included.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { command: Vec::new(), limit }
    }

    /// Adds a line.
    pub fn line(&mut self, line: &[u8]) -> Step {
        let announced = announced(line);
        if self.room() < line.len() {
            self.forget();
            return Step::TooLong(announced);
        }
        self.command.extend_from_slice(line);
        match announced {
            None => Step::Complete(core::mem::take(&mut self.command)),
            Some(literal) => {
                self.command.extend_from_slice(b"\r\n");
                Step::Literal(literal)
            }
        }
    }

    /// Whether a literal of that many octets fits.
    #[must_use]
    pub fn fits(&self, octets: u64) -> bool {
        usize::try_from(octets).is_ok_and(|octets| octets <= self.room())
    }

    /// Adds octets of a literal; the caller asked [`Assembler::fits`] before.
    pub fn literal(&mut self, octets: &[u8]) {
        self.command.extend_from_slice(octets);
    }

    /// What has come of the command.
    #[must_use]
    pub fn so_far(&self) -> &[u8] {
        &self.command
    }

    /// Begins anew.
    pub fn forget(&mut self) {
        // Passwords come this way: the memory is overwritten before it is given back.
        self.command.fill(0);
        self.command = Vec::new();
    }

    fn room(&self) -> usize {
        self.limit.saturating_sub(self.command.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grammar::string::Waits;

    #[test]
    fn lines_and_literals_become_one_command() {
        let mut assembler = Assembler::new(100);
        let literal = Announced { octets: 3, waits: Waits::ForNothing };
        assert_eq!(assembler.line(b"a LOGIN {3+}"), Step::Literal(literal));
        assembler.literal(b"a}b");
        assert_eq!(assembler.line(b" x"), Step::Complete(b"a LOGIN {3+}\r\na}b x".to_vec()));
        assert_eq!(assembler.line(b"b NOOP"), Step::Complete(b"b NOOP".to_vec()));
    }

    #[test]
    fn the_budget_holds() {
        let mut assembler = Assembler::new(10);
        assert_eq!(assembler.line(b"01234567890"), Step::TooLong(None));
        assert!(matches!(assembler.line(b"a {5}"), Step::Literal(_)));
        assert!(assembler.fits(3) && !assembler.fits(4));
    }
}
