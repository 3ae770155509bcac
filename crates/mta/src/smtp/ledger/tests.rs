use handover::relay::{Hop, RelayRecipient, Terms};
use mail::{Address, QueueId};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;

/// An order without recipients or content.
pub(crate) fn an_order() -> RelayOrder {
    RelayOrder {
        number: 100,
        id: QueueId::new(1, 1),
        arrival: 0,
        active: 0,
        offset: 0,
        length: 0,
        hop: Hop::default(),
        terms: Terms::default(),
        recipients: Vec::new(),
    }
}

fn ledger(recipients: &[&str]) -> (Ledger, UnboundedReceiver<Report>) {
    let recipient = |(number, text): (usize, &&str)| RelayRecipient {
        number: number as u64,
        address: Address::parse(text).expect("an address"),
        original: None,
        orcpt: None,
        notify: None,
    };
    let order = RelayOrder { recipients: recipients.iter().enumerate().map(recipient).collect(), ..an_order() };
    let (reports, heard) = unbounded_channel();
    (Ledger::new(order, tempfile::tempfile().expect("a file"), reports, false), heard)
}

fn outcome(fate: Fate, blame: Option<Blame>, text: &str) -> client::Outcome {
    let class = match fate {
        Fate::Sent => 2,
        Fate::Deferred => 4,
        Fate::Bounced => 5,
    };
    let reply = Some(text.into());
    client::Outcome { fate, status: EnhancedStatus::new(class, 0, 0), text: text.into(), reply, blame }
}

fn report(recipients: Vec<client::Outcome>) -> client::Report {
    client::Report { recipients, dsn: true, uses: 1, stale: false }
}

fn visit() -> Visit {
    let host = Host { name: "mx.org".into(), address: "192.0.2.1".into() };
    Visit { host, port: 25, set_up: Duration::ZERO, sending: Duration::ZERO }
}

/// `number fate text`, and the contact at the end.
fn all(mut heard: UnboundedReceiver<Report>) -> Vec<String> {
    let mut lines = Vec::new();
    while let Ok(report) = heard.try_recv() {
        lines.push(match report {
            Report::Recipient(Reply { number, outcome }, _) => match outcome {
                Outcome::Sent(_, text) => format!("{number} sent {text}"),
                Outcome::Deferred(_, text) => format!("{number} deferred {text}"),
                Outcome::Bounced(_, text) => format!("{number} bounced {text}"),
                other => format!("{other:?}"),
            },
            Report::Order(number, Contact::Made) => format!("{number} made"),
            Report::Order(number, Contact::Untried) => format!("{number} untried"),
            Report::Order(number, Contact::Failed(_)) => format!("{number} failed"),
        });
    }
    lines
}

#[test]
fn what_one_host_puts_off_another_may_take() {
    let (mut ledger, heard) = ledger(&["a@x.org", "b@x.org", "c@x.org"]);
    let later = || outcome(Fate::Deferred, Some(Blame::Recipient), "450 later");
    let never = outcome(Fate::Bounced, Some(Blame::Recipient), "550 never");
    ledger.heard(report(vec![outcome(Fate::Sent, None, "250 ok"), later(), never]), &visit(), Others::Left);
    assert_eq!(ledger.message().envelope.recipients.len(), 1);
    // A host that cannot be reached has no better word than the one before.
    ledger.missed(EnhancedStatus::new(4, 4, 1), "connect to mx2".into());
    ledger.settle();
    assert_eq!(all(heard), ["0 sent 250 ok", "2 bounced 550 never", "1 deferred 450 later", "100 made"]);
}

#[test]
fn a_dead_destination_is_told_of() {
    let (mut first, heard) = ledger(&["a@x.org"]);
    first.missed(EnhancedStatus::new(4, 4, 1), "connect to mx1".into());
    first.refused(outcome(Fate::Deferred, Some(Blame::Host), "421 busy"), &visit());
    first.settle();
    assert_eq!(all(heard), ["0 deferred 421 busy", "100 failed"]);
    let (mut second, heard) = ledger(&["a@x.org"]);
    second.ruled(Outcome::Bounced(EnhancedStatus::new(5, 4, 4), "no such name".into()));
    assert!(second.is_finished());
    second.settle();
    assert_eq!(all(heard), ["0 bounced no such name", "100 untried"]);
}

#[test]
fn what_a_host_lacks_another_may_have() {
    let lacking = || report(vec![outcome(Fate::Bounced, Some(Blame::Lacking), "no SMTPUTF8")]);
    let (mut ledger, heard) = ledger(&["a@x.org"]);
    ledger.heard(lacking(), &visit(), Others::Left);
    assert!(!ledger.is_finished());
    ledger.heard(lacking(), &visit(), Others::None);
    ledger.settle();
    assert_eq!(all(heard), ["0 bounced no SMTPUTF8", "100 made"]);
}
