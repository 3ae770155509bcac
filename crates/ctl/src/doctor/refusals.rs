//! Clients that wanted to send through this machine and were not allowed to.

use std::collections::BTreeMap;

use super::{Fault, Patient};
use crate::record::{self, Record};

/// One fault for each address, with the last recipient it wanted.
pub(super) fn relay(patient: &Patient) -> Vec<Fault> {
    let mut refused: BTreeMap<String, String> = BTreeMap::new();
    let _ = record::read_back(&record::file(patient.config), TAIL, |line| {
        let Some(record) = Record::parse(line, patient.config.text("syslog_name")) else { return };
        if let Some((address, recipient)) = denied(record.text) {
            refused.insert(address.to_owned(), recipient.to_owned());
        }
    });
    let ours = patient.config.networks("mynetworks");
    refused.retain(|address, _| address.parse().is_ok_and(|address| !ours.contains(address)));
    let fault = |(address, recipient): (&String, &String)| {
        let sentence = format!(
            "{address} may not send to {recipient} through this machine: it is not in mynetworks and did not log in."
        );
        let more = format!(
            "{}, {address}/{}",
            patient.config.text("mynetworks"),
            if address.contains(':') { 128 } else { 32 }
        );
        let own = if address.contains(':') {
            more.replace(&format!("{address}/128"), &format!("[{address}]/128"))
        } else {
            more
        };
        let mend = format!(
            "log in on port 587 in the mail program; or, if everybody there is trusted: {}",
            patient.set(&format!("set mynetworks '{own}'"))
        );
        Fault::new(sentence, mend)
    };
    refused.iter().map(fault).collect()
}

/// Who, and to whom, of `reject: RCPT from pc[192.168.0.5]: 454 4.7.1 <a@b>: Relay access denied; ...`.
fn denied(text: &str) -> Option<(&str, &str)> {
    let (head, _) = text.split_once(": Relay access denied")?;
    let (_, rest) = head.split_once("RCPT from ")?;
    let address = rest.split_once('[')?.1.split_once(']')?.0;
    let recipient = head.rsplit_once('<')?.1.trim_end_matches('>');
    Some((address, recipient))
}

/// How much of the log counts as lately.
const TAIL: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_refused() {
        let line = "NOQUEUE: reject: RCPT from pc[192.168.0.5]: 454 4.7.1 <luke@starwars.univ>: Relay access denied; from=<a> to=<b>";
        assert_eq!(denied(line), Some(("192.168.0.5", "luke@starwars.univ")));
        assert_eq!(denied("connect from pc[192.168.0.5]"), None);
    }
}
