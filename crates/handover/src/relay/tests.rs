use mail::EnhancedStatus;
use proptest::option::of;
use proptest::prelude::*;

use super::*;

fn address() -> impl Strategy<Value = Address> {
    ("[ -~é]{1,40}", "[a-z]{1,9}")
        .prop_map(|(local, domain)| Address::new(&local, mail::Domain::parse(&domain).ok()).expect("printable"))
}

fn recipient() -> impl Strategy<Value = RelayRecipient> {
    let notify = of(any::<[bool; 3]>().prop_map(|[success, failure, delay]| Notify { success, failure, delay }));
    (any::<u64>(), address(), of(address()), of(".{0,30}"), notify).prop_map(
        |(number, address, original, orcpt, notify)| RelayRecipient { number, address, original, orcpt, notify },
    )
}

fn terms() -> impl Strategy<Value = Terms> {
    let ret = prop_oneof![Just(None), Just(Some(Ret::Full)), Just(Some(Ret::Headers))];
    let body = prop_oneof![Just(Body::SevenBit), Just(Body::EightBitMime), Just(Body::BinaryMime)];
    (of(address()), of(".{0,30}"), ret, body, any::<bool>()).prop_map(|(sender, envid, ret, body, smtputf8)| Terms {
        sender,
        envid,
        ret,
        body,
        smtputf8,
        stage: if smtputf8 { Stage::Filter } else { Stage::Leaving },
    })
}

fn order() -> impl Strategy<Value = RelayOrder> {
    let hop = (".{0,30}", prop_oneof![Just(Dialect::Smtp), Just(Dialect::Lmtp)])
        .prop_map(|(text, dialect)| Hop { text, dialect });
    (any::<[u32; 5]>(), hop, terms(), proptest::collection::vec(recipient(), 1..5)).prop_map(
        |(n, hop, terms, recipients)| RelayOrder {
            number: n[0].into(),
            id: QueueId::new(n[1].into(), 7),
            arrival: n[1].into(),
            active: n[2].into(),
            offset: n[3].into(),
            length: n[4].into(),
            hop,
            terms,
            recipients,
        },
    )
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let status = EnhancedStatus::new(4, 4, 1);
    prop_oneof![
        ".{0,80}".prop_map(move |text| Outcome::Sent(EnhancedStatus::OK, text)),
        ".{0,80}".prop_map(move |text| Outcome::Deferred(status, text)),
        ".{0,80}".prop_map(move |text| Outcome::Bounced(EnhancedStatus::new(5, 1, 1), text)),
    ]
}

fn report() -> impl Strategy<Value = Report> {
    let dsn = prop_oneof![Just(DsnSupport::Passed), Just(DsnSupport::Lacking)];
    let remote = of((".{0,30}", ".{0,30}", dsn).prop_map(|(name, words, dsn)| Remote { name, words, dsn }));
    let contact = prop_oneof![
        Just(Contact::Made),
        ".{0,80}".prop_map(|text| Contact::Failed(Outcome::Deferred(EnhancedStatus::new(4, 4, 1), text))),
        Just(Contact::Untried)
    ];
    prop_oneof![
        (any::<u64>(), outcome(), remote)
            .prop_map(|(number, outcome, remote)| Report::Recipient(Reply { number, outcome }, remote)),
        (any::<u64>(), contact).prop_map(|(number, contact)| Report::Order(number, contact)),
    ]
}

proptest! {
    #[test]
    fn an_order_is_read_as_written(order in order()) {
        let mut packet = Writer::default();
        order.write(&mut packet);
        prop_assert_eq!(RelayOrder::read(&mut Reader::new(packet.octets())), Ok(order));
        for cut in 0..packet.octets().len() {
            prop_assert_eq!(RelayOrder::read(&mut Reader::new(&packet.octets()[..cut])), Err(Malformed));
        }
    }

    #[test]
    fn reports_are_read_as_written(reports in proptest::collection::vec(report(), 0..9)) {
        let mut packet = Writer::default();
        reports.iter().for_each(|report| report.write(&mut packet));
        let mut reader = Reader::new(packet.octets());
        for report in reports {
            prop_assert_eq!(Report::read(&mut reader), Ok(report));
        }
        prop_assert!(reader.is_empty());
    }

    #[test]
    fn garbage_never_panics(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = RelayOrder::read(&mut Reader::new(&octets));
        let _ = Report::read(&mut Reader::new(&octets));
    }
}

#[test]
fn an_order_that_has_no_more_room_fits_a_packet() {
    let domain = mail::Domain::parse(&format!("{}.org", ["a"; 120].join("."))).expect("a domain");
    let local = "\"".repeat(mail::address::MAX_LOCAL);
    let worst = Address::new(&local, Some(domain)).expect("printable");
    let recipient = RelayRecipient {
        number: u64::MAX,
        address: worst.clone(),
        original: Some(worst.clone()),
        orcpt: Some("é".repeat(250)),
        notify: None,
    };
    let mut order = RelayOrder {
        number: 1,
        id: QueueId::new(1, 1),
        arrival: 0,
        active: 0,
        offset: 0,
        length: 0,
        hop: Hop { text: "x".repeat(300), dialect: Dialect::Smtp },
        terms: Terms { sender: Some(worst), envid: Some("e".repeat(500)), ..Terms::default() },
        recipients: vec![recipient.clone()],
    };
    while order.has_room_for(&recipient) {
        order.recipients.push(recipient.clone());
    }
    let mut packet = Writer::default();
    order.write(&mut packet);
    assert!((MAX_PACKET * 3 / 4..=MAX_PACKET).contains(&packet.octets().len()), "{}", packet.octets().len());
}

#[test]
fn a_long_text_is_cut_at_a_character() {
    let text = "é".repeat(MAX_TEXT);
    let reply = Reply { number: 1, outcome: Outcome::Bounced(EnhancedStatus::new(5, 0, 0), format!("x{text}")) };
    let mut packet = Writer::default();
    Report::Recipient(reply, Some(Remote { name: text.clone(), words: text, dsn: DsnSupport::Passed }))
        .write(&mut packet);
    let Ok(Report::Recipient(Reply { outcome: Outcome::Bounced(_, cut), .. }, _)) =
        Report::read(&mut Reader::new(packet.octets()))
    else {
        panic!("not read")
    };
    assert_eq!(cut.len(), MAX_TEXT - 1);
}
