use super::*;
use mail::{Address, Notify};
use proptest::prelude::*;

fn address() -> impl Strategy<Value = Address> {
    ("[a-z+. \"\\\\@é]{1,12}", proptest::option::of("[a-z]{1,8}(\\.[a-z]{2,3})?")).prop_filter_map(
        "an address",
        |(local, domain)| {
            let domain = domain.map(|text| mail::Domain::parse(&text)).transpose().ok()?;
            let address = Address::new(&local, domain).ok()?;
            (Address::parse(&address.to_string()).as_ref() == Ok(&address)).then_some(address)
        },
    )
}

fn recipient() -> impl Strategy<Value = Recipient> {
    let notify = (any::<bool>(), any::<bool>(), any::<bool>());
    let notify = notify.prop_map(|(success, failure, delay)| Notify { success, failure, delay });
    (address(), proptest::option::of(address()), proptest::option::of(".{0,20}"), proptest::option::of(notify))
        .prop_map(|(address, original, orcpt, notify)| Recipient { address, original, orcpt, notify })
}

fn envelope() -> impl Strategy<Value = Envelope> {
    let body = prop_oneof![Just(Body::SevenBit), Just(Body::EightBitMime), Just(Body::BinaryMime)];
    let ret = prop_oneof![Just(None), Just(Some(Ret::Full)), Just(Some(Ret::Headers))];
    let lists = (proptest::option::of(address()), proptest::collection::vec(recipient(), 0..5));
    let texts = (proptest::option::of(".{0,20}"), proptest::option::of("[a-z:\\[\\]0-9.]{0,20}"));
    (lists, body, any::<bool>(), ret, texts).prop_map(
        |((reverse_path, recipients), body, smtputf8, ret, (envid, filter))| Envelope {
            reverse_path,
            recipients,
            body,
            smtputf8,
            ret,
            envid,
            filter,
        },
    )
}

fn origin() -> impl Strategy<Value = Origin> {
    let word = || proptest::option::of("[a-z]{0,9}");
    let sasl = (word(), word()).prop_map(|(mechanism, submitter)| Sasl { mechanism, submitter });
    let network = (".{0,9}", ".{0,9}", "E?SMTPS?A?", word(), sasl);
    prop_oneof![
        network.prop_map(|(client, helo, protocol, user, sasl)| Origin::Network { client, helo, protocol, user, sasl }),
        any::<u32>().prop_map(|uid| Origin::Local { uid }),
        Just(Origin::Internal),
    ]
}

fn appended() -> impl Strategy<Value = Appended> {
    let moments = (0..4_000_000_000_000_000_u64).prop_map(|micros| moment(micros).unwrap());
    prop_oneof![
        (any::<u32>(), any::<bool>()).prop_map(|(slot, bounced)| Appended::Done { slot, bounced }),
        (any::<u32>(), moments.clone(), ".{0,40}").prop_map(|(slot, at, reason)| Appended::Deferred {
            slot,
            at,
            status: EnhancedStatus::new(4, 4, 1),
            reason
        }),
        (any::<u32>(), proptest::collection::vec(recipient(), 0..4), proptest::option::of(address()))
            .prop_map(|(slot, into, owner)| Appended::Expanded { slot, into, owner }),
        moments.prop_map(|at| Appended::Warned { at }),
    ]
}

proptest! {
    #[test]
    fn a_prologue_is_read_as_written(envelope in envelope(), origin in origin()) {
        let id = QueueId::new(1_795_191_067_123_456, 0xA7);
        let octets = prologue(id, &envelope, &origin);
        let (read, end) = read_prologue(&octets).unwrap().unwrap();
        prop_assert_eq!(end, octets.len());
        prop_assert_eq!(micros(read.arrival), id.micros());
        prop_assert_eq!((read.envelope, &read.origin, read.content), (envelope, &origin, 0));
        for cut in 0..octets.len() {
            prop_assert_eq!(read_prologue(&octets[..cut]), Ok(None));
            prop_assert!(read_origin(&octets[..cut]).is_none_or(|early| early == origin));
        }
        prop_assert_eq!(read_origin(&octets), Some(origin.clone()));
    }

    #[test]
    fn appended_records_are_read_as_written(records in proptest::collection::vec(appended(), 0..5), cut in any::<prop::sample::Index>()) {
        let (mut octets, mut ends) = (Vec::new(), vec![0]);
        for record in &records {
            record.write(&mut octets);
            ends.push(octets.len());
        }
        prop_assert_eq!(read_appended(&octets), (records.clone(), octets.len()));
        let cut = cut.index(octets.len() + 1);
        let whole = ends.iter().filter(|end| **end <= cut).count() - 1;
        prop_assert_eq!(read_appended(&octets[..cut]), (records[..whole].to_vec(), ends[whole]));
    }

    #[test]
    fn a_changed_octet_is_noticed(envelope in envelope(), at in any::<prop::sample::Index>(), flip in 1..=255_u8) {
        let mut octets = prologue(QueueId::new(1, 2), &envelope, &Origin::Internal);
        let at = at.index(octets.len());
        octets[at] ^= flip;
        prop_assert!(!matches!(read_prologue(&octets), Ok(Some(_))));
    }

    #[test]
    fn no_octets_make_it_panic(octets in proptest::collection::vec(any::<u8>(), 0..200), kind in any::<u8>()) {
        read_prologue(&octets).ok();
        read_prologue(&[MAGIC.as_slice(), &octets].concat()).ok();
        read_end(&octets, 1).ok();
        read_appended(&octets);
        let mut framed = Vec::new();
        record(&mut framed, kind, &octets);
        read_appended(&framed);
        read_prologue(&[MAGIC.as_slice(), &framed].concat()).ok();
    }
}

#[test]
fn a_huge_length_costs_nothing() {
    let huge = [b"X".as_slice(), &u32::MAX.to_le_bytes(), b"abcdefgh"].concat();
    assert_eq!(read_appended(&huge), (Vec::new(), 0));
    // A count that promises more recipients than there are octets.
    let mut liar = Vec::new();
    record(&mut liar, b'X', &[0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert_eq!(read_appended(&liar), (Vec::new(), 0));
}

#[test]
fn later_versions_are_named() {
    assert_eq!(read_prologue(b"Facteur\x02"), Err(Damage::Version(2)));
    assert_eq!(read_prologue(b"From root"), Err(Damage::Magic));
}
