//! POP3 before login, in the words of the front.

use config::Config;
use daemon::login::Outcome;
use daemon::login::front::{Cleartext, Connection, LogIn, Protocol};
use pop3::login::Settings;
use pop3::question::{self, LoggedIn};

pub(crate) struct Pop3 {
    greeting: String,
}

impl Pop3 {
    pub(crate) fn new(config: &Config) -> Self {
        Self { greeting: config.text("login_greeting").to_owned() }
    }
}

impl Protocol for Pop3 {
    type Machine = pop3::Login;

    fn machine(&self, connection: &Connection) -> pop3::Login {
        pop3::Login::new(Settings {
            greeting: self.greeting.clone(),
            cleartext_allowed: connection.cleartext != Cleartext::Refused,
            tls_available: connection.tls_available,
        })
    }

    fn wish(question: question::LogIn) -> LogIn {
        LogIn { name: question.user, password: question.password, method: "PLAIN", tag: Vec::new() }
    }

    fn answer(outcome: Outcome) -> LoggedIn {
        match outcome {
            Outcome::Admitted => LoggedIn::Admitted,
            Outcome::Refused => LoggedIn::Refused,
            Outcome::TooMany => LoggedIn::TooMany,
            Outcome::Unavailable => LoggedIn::Unavailable,
        }
    }

    fn no_room(&self) -> &'static [u8] {
        b"-ERR [SYS/TEMP] Too many connections, try again later.\r\n"
    }
}
