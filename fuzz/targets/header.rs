//! Header fields, address lists and dates.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::Address;
use mail::date::Moment;
use mail::header;

fuzz_target!(|text: &[u8]| {
    assert!(header::length(text) <= text.len());
    let mut end = 0;
    for field in header::fields(text) {
        assert!(field.offset >= end);
        end = field.range().end;
        assert_eq!(&text[field.range()], field.raw);
        let _ = header::addresses(&field.unfolded());
    }
    let _ = header::addresses(text);
    if let Some(moment) = Moment::parse_rfc5322(text) {
        assert_eq!(Moment::parse_rfc5322(moment.rfc5322().as_bytes()), Some(moment));
    }
    if let Some(moment) = Moment::parse_imap(text) {
        assert_eq!(Moment::parse_imap(moment.imap().as_bytes()), Some(moment));
    }
    if let Ok(text) = std::str::from_utf8(text)
        && let Ok(address) = Address::parse(text)
    {
        assert_eq!(Address::parse(&address.to_string()), Ok(address));
    }
});
