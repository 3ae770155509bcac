//! The line in the log that tells what became of one recipient, in Postfix's shape.

use std::fmt;
use std::time::Duration;

use handover::Outcome;
use mail::{Address, QueueId};

/// Everything in the line.
pub struct Line<'a> {
    /// The message.
    pub id: QueueId,
    /// Where it went.
    pub to: &'a str,
    /// What the sender wrote.
    pub original: Option<&'a Address>,
    /// `local` or `none`.
    pub relay: &'a str,
    /// Before qmgr, within qmgr, set-up, transmission.
    pub delays: [Duration; 4],
    /// What became of it.
    pub outcome: &'a Outcome,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: to=<{}>, ", self.id, self.to)?;
        if let Some(original) = self.original.map(ToString::to_string).filter(|original| original != self.to) {
            write!(f, "orig_to=<{original}>, ")?;
        }
        let [a, b, c, d] = self.delays;
        write!(f, "relay={}, delay={}, ", self.relay, Shown(a + b + c + d))?;
        write!(f, "delays={}/{}/{}/{}, ", Shown(a), Shown(b), Shown(c), Shown(d))?;
        match self.outcome {
            Outcome::Sent(dsn, text) => write!(f, "dsn={dsn}, status=sent ({text})"),
            Outcome::Deferred(dsn, text) => write!(f, "dsn={dsn}, status=deferred ({text})"),
            Outcome::Bounced(dsn, text) => write!(f, "dsn={dsn}, status=bounced ({text})"),
            Outcome::Expanding(_) | Outcome::Expanded(_) => {
                write!(f, "dsn=2.0.0, status=sent (forwarded as {})", self.id)
            }
        }
    }
}

/// Seconds with two significant digits and at most two decimals: `0`, `0.01`, `3.9`, `120`.
struct Shown(Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hundredths = (self.0.as_millis() + 5) / 10;
        let (whole, part) = (hundredths / 100, hundredths % 100);
        match whole {
            0 if part == 0 => f.write_str("0"),
            0 if part % 10 == 0 => write!(f, "0.{}", part / 10),
            0 => write!(f, "0.{part:02}"),
            1..10 if part / 10 != 0 => write!(f, "{whole}.{}", part / 10),
            _ => write!(f, "{whole}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_is_postfix_s() {
        let line = Line {
            id: QueueId::new(5, 1),
            to: "kevin@m3102.com",
            original: Some(&Address::parse("kevin").expect("an address")),
            relay: "local",
            delays: [3900, 4, 0, 10].map(Duration::from_millis),
            outcome: &Outcome::Sent(mail::EnhancedStatus::OK, "delivered to maildir".into()),
        };
        assert_eq!(
            line.to_string(),
            "000000000000501: to=<kevin@m3102.com>, orig_to=<kevin>, relay=local, delay=3.9, delays=3.9/0/0/0.01, \
             dsn=2.0.0, status=sent (delivered to maildir)"
        );
        let shown = |millis| Shown(Duration::from_millis(millis)).to_string();
        assert_eq!(
            [0, 4, 10, 100, 390, 1000, 3900, 12_345].map(shown),
            ["0", "0", "0.01", "0.1", "0.39", "1", "3.9", "12"]
        );
    }
}
