//! IMAP before login.
#![no_main]

use fuzz::{Chance, drive};
use imap::{Login, LoginAnswer, login};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (mut chance, octets) = Chance::split(data);
    let mut permission = || if chance.below(3) == 1 { login::Permission::Denied } else { login::Permission::Granted };
    let settings =
        login::Settings { greeting: "ready.".into(), passwords_in_clear: permission(), start_tls: permission() };
    drive(Login::new(settings), octets, chance, |_, chance| {
        [LoginAnswer::Refused, LoginAnswer::Unavailable, LoginAnswer::TooMany, LoginAnswer::Accepted]
            [chance.below(4) as usize]
    });
});
