//! `facteur complete -- WORDS`: what could stand in the place of the last word. The shells' completion files ask this.
//!
//! Prints one candidate on each line; a single `/` means file names. Walks the command line that clap knows, so a new
//! command needs nothing here.

use clap::{Arg, Command};
use config::param;

/// `facteur complete`.
pub(crate) fn run(command: &Command, words: &[String]) {
    candidates(command, words).iter().for_each(|word| println!("{word}"));
}

/// Those that begin like the last word.
fn candidates(top: &Command, words: &[String]) -> Vec<String> {
    let Some((last, before)) = words.split_last() else { return Vec::new() };
    let place = Place::after(top, before);
    let mut found = match place.wants(last) {
        Wanted::Words(words) => words,
        Wanted::Files => return vec!["/".to_owned()],
    };
    found.retain(|word| word.starts_with(last.as_str()));
    found.sort();
    found.dedup();
    found
}

enum Wanted {
    Words(Vec<String>),
    Files,
}

/// Where the words before have led to.
struct Place<'a> {
    command: &'a Command,
    /// Options that may stand in any command.
    everywhere: &'a Command,
    /// The option that waits for its value.
    open: Option<&'a Arg>,
    /// How many plain words the command has got.
    plain: usize,
}

impl<'a> Place<'a> {
    fn after(top: &'a Command, words: &[String]) -> Place<'a> {
        let mut place = Place { command: top, everywhere: top, open: None, plain: 0 };
        for word in words {
            match (place.open.take(), place.command.find_subcommand(word)) {
                (Some(_), _) => {}
                (None, _) if word.starts_with('-') => place.open = place.option(word).filter(|arg| takes_value(arg)),
                (None, Some(command)) => (place.command, place.plain) = (command, 0),
                (None, None) => place.plain += 1,
            }
        }
        place
    }

    fn options(&self) -> impl Iterator<Item = &'a Arg> {
        let global = self.everywhere.get_arguments().filter(|arg| arg.is_global_set());
        self.command.get_arguments().chain(global).filter(|arg| !arg.is_hide_set())
    }

    fn option(&self, word: &str) -> Option<&'a Arg> {
        let short = |arg: &Arg| arg.get_short().is_some_and(|letter| word == format!("-{letter}"));
        let long = |arg: &Arg| arg.get_long().is_some_and(|name| word.strip_prefix("--") == Some(name));
        self.options().find(|arg| short(arg) || long(arg))
    }

    fn wants(&self, word: &str) -> Wanted {
        if let Some(arg) = self.open {
            return values(arg);
        }
        if word.starts_with('-') {
            let longs = self.options().filter_map(Arg::get_long).map(|name| format!("--{name}"));
            return Wanted::Words(longs.chain(["--help".to_owned()]).collect());
        }
        let shown = self.command.get_subcommands().filter(|command| !command.is_hide_set());
        let commands: Vec<String> = shown.map(|command| command.get_name().to_owned()).collect();
        match (commands.is_empty(), self.command.get_positionals().nth(self.plain)) {
            (false, _) | (true, None) => Wanted::Words(commands),
            (true, Some(arg)) => values(arg),
        }
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

/// What an argument stands for, by its name: names of parameters and programs can be listed, directories looked up.
fn values(arg: &Arg) -> Wanted {
    match arg.get_id().as_str() {
        "name" => Wanted::Words(param::TABLE.iter().map(|row| row.name.to_owned()).collect()),
        "program" => Wanted::Words(PROGRAMS.iter().map(|name| (*name).to_owned()).collect()),
        "config" | "dir" | "file" | "postfix" | "dovecot" => Wanted::Files,
        _ => Wanted::Words(Vec::new()),
    }
}

const PROGRAMS: [&str; 13] = [
    "imap",
    "imap-login",
    "imapd",
    "local",
    "master",
    "mda",
    "pickup",
    "pop3",
    "pop3-login",
    "popd",
    "qmgr",
    "smtp",
    "smtpd",
];

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::arguments::Arguments;

    fn after(line: &str) -> Vec<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        candidates(&Arguments::command(), &words)
    }

    #[test]
    fn commands_options_and_names() {
        assert_eq!(after("rel"), ["reload"]);
        assert_eq!(after("-c /etc/facteur rel"), ["reload"]);
        assert_eq!(after("queue re"), ["release", "requeue"]);
        assert_eq!(after("config set home_m"), ["home_mailbox"]);
        assert_eq!(after("config set home_mailbox M"), Vec::<String>::new());
        assert_eq!(after("-c e"), ["/"]);
        assert_eq!(after("queue list --j"), ["--json"]);
        assert!(!after("").contains(&"complete".to_owned()));
    }
}
