//! What other programs say to qmgr, as datagrams to `QUEUE/public/qmgr`.
//!
//! A datagram holds one word per line: queue ids of messages that came in, or orders of the operator: `wake`, `flush`,
//! `flush ID`, `urgent ID` (one that stands in `incoming` by the operator's hand), `flush DOMAIN`, `hold ID`, `release ID`, `delete ID`, `requeue ID`. Anything else, and the empty datagram, means: look at
//! your directory. Who may write to that socket is settled by its directory.

use mail::{Domain, QueueId};

/// One line of a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// This message came in.
    Came(QueueId),
    /// Look at `incoming`.
    Look,
    /// Leave no next hop in peace any more, and look at `incoming`.
    Wake,
    /// Try everything deferred now.
    FlushAll,
    /// Try this one now.
    Flush(QueueId),
    /// This one came in by the operator's hand: try it now, whatever its next hops did.
    Urgent(QueueId),
    /// Try what waits for this domain now.
    FlushDomain(Domain),
    /// Put it aside.
    Hold(QueueId),
    /// No longer aside: try it.
    Release(QueueId),
    /// Remove it, tell nobody.
    Delete(QueueId),
    /// Take it up anew, as if it had just come.
    Requeue(QueueId),
}

/// Reads a datagram.
#[must_use]
pub fn read(datagram: &[u8]) -> Vec<Said> {
    let text = String::from_utf8_lossy(datagram);
    let mut list: Vec<Said> = text.lines().map(|line| read_line(line.trim())).collect();
    if list.is_empty() {
        list.push(Said::Look);
    }
    list
}

fn read_line(line: &str) -> Said {
    match line {
        "flush" => return Said::FlushAll,
        "wake" => return Said::Wake,
        _ => {}
    }
    let (word, id) = line.split_once(' ').unwrap_or(("", line));
    let Some(id) = QueueId::parse(id.trim()) else {
        return match Domain::parse(id.trim()) {
            Ok(domain) if word == "flush" => Said::FlushDomain(domain),
            _ => Said::Look,
        };
    };
    match word {
        "" => Said::Came(id),
        "flush" => Said::Flush(id),
        "urgent" => Said::Urgent(id),
        "hold" => Said::Hold(id),
        "release" => Said::Release(id),
        "delete" => Said::Delete(id),
        "requeue" => Said::Requeue(id),
        _ => Said::Look,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_order_is_understood() {
        let id = QueueId::new(77, 7);
        let table = [
            (String::new(), vec![Said::Look]),
            ("wake".into(), vec![Said::Wake]),
            ("wake\0\u{7f}".into(), vec![Said::Look]),
            (format!("{id}\n{id}\n"), vec![Said::Came(id), Said::Came(id)]),
            ("flush".into(), vec![Said::FlushAll]),
            (format!("flush {id}"), vec![Said::Flush(id)]),
            ("flush x.org".into(), vec![Said::FlushDomain(Domain::parse("x.org").expect("a domain"))]),
            ("flush a b".into(), vec![Said::Look]),
            (format!("urgent {id}"), vec![Said::Urgent(id)]),
            (format!("hold {id}"), vec![Said::Hold(id)]),
            (format!("release {id}"), vec![Said::Release(id)]),
            (format!("delete {id}"), vec![Said::Delete(id)]),
            (format!("requeue {id}"), vec![Said::Requeue(id)]),
            ("delete x".into(), vec![Said::Look]),
        ];
        for (text, said) in table {
            assert_eq!(read(text.as_bytes()), said, "{text}");
        }
    }
}
