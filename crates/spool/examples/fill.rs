//! Enters messages in a spool, for measuring and trying: `fill QUEUE COUNT OCTETS RECIPIENT…`, one recipient each in turn.

use std::path::Path;

use durable::Dir;
use mail::{Address, Envelope, Recipient};
use spool::{Origin, Spool};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [queue, count, octets, recipients @ ..] = arguments.as_slice() else {
        panic!("fill QUEUE COUNT OCTETS RECIPIENT…")
    };
    let spool = Spool::create(&Dir::open(Path::new(queue)).expect("the queue")).expect("a spool");
    let (count, octets): (usize, usize) = (count.parse().expect("a number"), octets.parse().expect("a number"));
    let body = "x".repeat(72) + "\n";
    let content = format!(
        "Received: by fill\n\tid none; Fri, 20 Nov 2026 16:11:50 +0000\nSubject: filled\n\n{}",
        body.repeat(octets / 73 + 1)
    );
    let recipients: Vec<Address> = recipients.iter().map(|text| Address::parse(text).expect(text)).collect();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (spool, content, recipients) = (&spool, &content, &recipients);
            scope.spawn(move || {
                for number in (thread..count).step_by(8) {
                    let to = Recipient::new(recipients[number % recipients.len()].clone());
                    let envelope = Envelope {
                        reverse_path: Address::parse("sender@m3102.com").ok(),
                        recipients: vec![to],
                        ..Envelope::default()
                    };
                    let mut incoming = spool.enter(&envelope, &Origin::Internal);
                    incoming.write(content.as_bytes()).expect("written");
                    incoming.commit().expect("committed");
                }
            });
        }
    });
}
