//! IMAP before login, in the words of the front.

use config::Config;
use daemon::login::Outcome;
use daemon::login::front::{Cleartext, Connection, LogIn, Protocol};
use imap::login::{Permission, Settings};
use imap::question::Attempt;
use imap::{LoginAnswer, LoginQuestion};
use wire::Secret;

pub(crate) struct Imap {
    greeting: String,
    start_tls: Permission,
}

impl Imap {
    pub(crate) fn new(config: &Config) -> Self {
        let start_tls = if config.text("ssl") == "no" { Permission::Denied } else { Permission::Granted };
        Self { greeting: config.text("login_greeting").to_owned(), start_tls }
    }
}

impl Protocol for Imap {
    type Machine = imap::Login;

    fn machine(&self, connection: &Connection) -> imap::Login {
        let passwords_in_clear = match connection.cleartext {
            Cleartext::Secured | Cleartext::Allowed => Permission::Granted,
            Cleartext::Refused => Permission::Denied,
        };
        imap::Login::new(Settings { greeting: self.greeting.clone(), passwords_in_clear, start_tls: self.start_tls })
    }

    fn wish(question: LoginQuestion) -> LogIn {
        let LoginQuestion::Login(Attempt { user, password, method, tag }) = question;
        LogIn { name: user, password: Secret::new(password.expose().clone()), method, tag: tag.into_bytes() }
    }

    fn answer(outcome: Outcome) -> LoginAnswer {
        match outcome {
            Outcome::Admitted => LoginAnswer::Accepted,
            Outcome::Refused => LoginAnswer::Refused,
            Outcome::TooMany => LoginAnswer::TooMany,
            Outcome::Unavailable => LoginAnswer::Unavailable,
        }
    }

    fn no_room(&self) -> &'static [u8] {
        b"* BYE Too many connections, try again later.\r\n"
    }
}
