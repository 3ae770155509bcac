//! What was said in a session, for a letter to the postmaster when something in it went wrong (`notify_classes`).
//!
//! Kept only when somebody may want it; the last [`MOST`] lines. What tells passwords is left out, and so is all content.

use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::{String, ToString};

/// The lines, and what went wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Transcript {
    lines: VecDeque<String>,
    left_out: bool,
    faults: Faults,
}

/// What went wrong in a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The client asked for what it may not have.
    pub policy: bool,
    /// The client did not speak as it should.
    pub protocol: bool,
}

impl Transcript {
    /// A line of the client; `secret`: an answer in an AUTH exchange.
    pub(super) fn heard(&mut self, line: &[u8], secret: bool) {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split(' ');
        let (verb, mechanism) = (words.next().unwrap_or_default(), words.next());
        let shown = match mechanism {
            _ if secret => "(hidden)".to_string(),
            Some(mechanism) if verb.eq_ignore_ascii_case("AUTH") && words.next().is_some() => {
                format!("{verb} {mechanism} (hidden)")
            }
            _ => text.to_string(),
        };
        self.add("In:  ", &shown);
    }

    /// Replies to the client.
    pub(super) fn said(&mut self, octets: &[u8]) {
        for line in String::from_utf8_lossy(octets).lines() {
            let fault = Faults::of(line);
            self.faults.policy |= fault.policy;
            self.faults.protocol |= fault.protocol;
            self.add("Out: ", line);
        }
    }

    fn add(&mut self, side: &str, text: &str) {
        if self.lines.len() == MOST {
            self.lines.pop_front();
            self.left_out = true;
        }
        let text: String = text.chars().take(LONGEST).map(|c| if c.is_control() { '?' } else { c }).collect();
        self.lines.push_back(format!(" {side}{text}\n"));
    }

    /// What went wrong, and the lines as a text.
    pub(super) fn report(&self) -> (Faults, String) {
        let begin = if self.left_out { " (earlier lines are left out)\n" } else { "" };
        (self.faults, self.lines.iter().fold(begin.to_string(), |text, line| text + line))
    }
}

impl Faults {
    /// By the enhanced status of a refusal (RFC 3463): 5 is the protocol, 7 and 1 are rules and addresses. A wrong password
    /// is neither: there are too many of them.
    fn of(line: &str) -> Self {
        let mut words = line.split([' ', '-']);
        let code = words.next().unwrap_or_default();
        let status = words.next().unwrap_or_default();
        let subject = status.split('.').nth(1);
        let about_login = code == "535" || (code, status) == ("454", "4.7.0");
        if !code.starts_with(['4', '5']) || code == "421" || about_login {
            return Self::default();
        }
        Self { policy: matches!(subject, Some("1" | "7")), protocol: subject == Some("5") }
    }
}

const MOST: usize = 200;
const LONGEST: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_left_out_and_faults_are_told_apart() {
        let mut transcript = Transcript::default();
        for (line, secret) in [("AUTH PLAIN AGEAYg==", false), ("auth login", false), ("c2VjcmV0", true)] {
            transcript.heard(line.as_bytes(), secret);
        }
        transcript.said(b"535 5.7.8 Error: authentication failed\r\n");
        let text = " In:  AUTH PLAIN (hidden)\n In:  auth login\n In:  (hidden)\n Out: 535 5.7.8 Error: authentication failed\n";
        assert_eq!(transcript.report(), (Faults::default(), text.to_string()));
        transcript.said(b"250-vm\r\n250 OK\r\n550 5.1.1 <x>: no\r\n");
        assert_eq!(transcript.report().0, Faults { policy: true, protocol: false });
        transcript.said(b"503 5.5.1 Error: need MAIL command\r\n");
        assert_eq!(transcript.report().0, Faults { policy: true, protocol: true });
        (0..MOST).for_each(|_| transcript.heard(b"NOOP", false));
        assert!(transcript.report().1.starts_with(" (earlier lines are left out)\n In:  NOOP\n"));
    }
}
