//! Runs the dialogues of `tests/login` and `tests/sessions`, a line at a time and octet by octet.
//!
//! How questions and answers are written: see [`question`] and [`answer`]. A message in an answer is
//! `UID[:flag,flag…][!]` (`!`: recent), text of a message has `\n` for its line ends.

use bytes::Bytes;
use imap::grammar::set::Ranges;
use imap::question::{
    Attempt, Changes, Children, Counts, Data, Folder, FolderKind, Known, Missing, Opened, Test, Trouble,
};
use imap::session::Settings;
use imap::{Answer, Login, LoginAnswer, LoginQuestion, Question, Session, login};
use mail::date::Moment;
use mail::{Flag, Flags, Uid, UidValidity};
use testkit::session::{Split, run_folder_split};
use testkit::{Protocol, Setup};

#[test]
fn before_login() {
    let protocol = Protocol { start: start_login, question: login_question, answer: login_answer };
    for split in [Split::Lines, Split::Octets] {
        run_folder_split("tests/login".as_ref(), protocol, split);
    }
    // Here it matters that the octets come together.
    run_folder_split("tests/one_segment".as_ref(), protocol, Split::Lines);
}

#[test]
fn after_login() {
    let protocol = Protocol { start: start_session, question, answer };
    for split in [Split::Lines, Split::Octets] {
        run_folder_split("tests/sessions".as_ref(), protocol, split);
    }
}

fn start_login(setup: &Setup) -> Login {
    let permission =
        |denied: &str| if setup.has(denied) { login::Permission::Denied } else { login::Permission::Granted };
    Login::new(login::Settings {
        greeting: "Facteur ready.".into(),
        passwords_in_clear: permission("no-cleartext"),
        start_tls: permission("no-starttls"),
    })
}

fn login_question(question: &LoginQuestion) -> String {
    let LoginQuestion::Login(Attempt { user, password, method, tag }) = question;
    format!("login {user} {} {method} {tag}", String::from_utf8_lossy(password.expose()))
}

fn login_answer(text: &str) -> LoginAnswer {
    match text {
        "accepted" => LoginAnswer::Accepted,
        "refused" => LoginAnswer::Refused,
        "unavailable" => LoginAnswer::Unavailable,
        "too many" => LoginAnswer::TooMany,
        _ => panic!("no such answer: {text}"),
    }
}

fn start_session(setup: &Setup) -> Session {
    Session::new(Settings {
        tag: setup.get("tag").unwrap_or("a").into(),
        separator: '.',
        patience: 2,
        append_limit: setup.number("append-limit", 1_000),
        line_limit: usize::try_from(setup.number("line-limit", 65_536)).expect("line-limit"),
    })
}

/// `open INBOX Select`, `read 1,2 Header`, `store 1 Add (\Deleted)`, …
fn question(question: &Question) -> String {
    match question {
        Question::Folders => "folders".into(),
        Question::Open(name, access) => format!("open {name} {access:?}"),
        Question::Close => "close".into(),
        Question::Status(name) => format!("status {name}"),
        Question::Create(name, uses) => {
            uses.iter().fold(format!("create {name}"), |text, special| text + " " + special.name())
        }
        Question::Delete(name) => format!("delete {name}"),
        Question::Rename(from, to) => format!("rename {from} {to}"),
        Question::Subscribe(name) => format!("subscribe {name}"),
        Question::Unsubscribe(name) => format!("unsubscribe {name}"),
        Question::Sync(look) => format!("sync {look:?}"),
        Question::Read(uids, need) => format!("read {} {need:?}", set(uids)),
        Question::Octets(uid, range) => format!("octets {uid} {}..{}", range.start, range.end),
        Question::Store(uids, change, flags) => format!("store {} {change:?} {}", set(uids), words(flags)),
        Question::Expunge(uids) => format!("expunge {}", set(uids)),
        Question::Copy(uids, to) => format!("copy {} {to}", set(uids)),
        Question::Move(uids, to) => format!("move {} {to}", set(uids)),
        Question::Search(uids, test) => format!("search {} {}", set(uids), shown(test)),
        Question::AppendBegin(new) => {
            let date = new.date.map(|date| format!(" {}", date.imap())).unwrap_or_default();
            format!("append {} {} {}{date}", new.mailbox, new.size, words(&new.flags))
        }
        // The chunks depend on how the octets came: their content is checked by its sum.
        Question::AppendChunk(_) => "chunk".into(),
        Question::AppendCommit => "commit".into(),
        Question::AppendCancel => "cancel".into(),
    }
}

fn shown(test: &Test) -> String {
    match test {
        Test::And(tests) => format!("and({})", tests.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Test::Or(tests) => format!("or({} {})", shown(&tests.0), shown(&tests.1)),
        Test::Not(test) => format!("not({})", shown(test)),
        Test::Uids(ranges) => format!("[{ranges}]"),
        Test::Content(content) => format!("{content:?}"),
    }
}

/// `octets TEXT`, and before a TEXT of `messages` `large SIZE ` if only its header is given;
/// `done`, `no exists|name|cannot|mailbox|readonly|quota|internal|gone|inuse|limit`, `opened VALIDITY NEXT MESSAGE…`,
/// `opened-read-only …`, `changes [+MESSAGE|~MESSAGE|-UID|lost]…`, `messages TEXT|gone|unreadable`, `stored MESSAGE…`, `expunged UID…`,
/// `copied VALIDITY FROM>TO…`, `found UID…`, `appended VALIDITY UID`, `status MESSAGES RECENT UNSEEN NEXT VALIDITY`,
/// `folders NAME[/][!][+][?][^][=\Use]…` (`/` children, `!` none ever, `+` subscribed, `?` only a level, `^` only subscribed)
fn answer(text: &str) -> Answer {
    let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
    let mut words = rest.split(' ').filter(|word| !word.is_empty());
    match word {
        "done" => Answer::Done,
        "no" => Answer::Refused(trouble(rest)),
        "opened" | "opened-read-only" => Answer::Opened(Opened {
            uid_validity: UidValidity::new(number(words.next())).expect("validity"),
            uid_next: Uid::new(number(words.next())).expect("next"),
            messages: words.map(known).collect(),
            keywords: Vec::new(),
            // Room for two, so that the dialogues show what comes of it.
            most_keywords: Some(2),
            writable: word == "opened",
        }),
        "changes" => Answer::Changes(changes(words)),
        "messages" => Answer::Messages(rest.split(" | ").map(data).collect()),
        "octets" => Answer::Octets(Bytes::from(rest.replace("\\n", "\r\n"))),
        "stored" => Answer::Stored(words.map(known).map(|message| (message.uid, message.flags)).collect()),
        "expunged" => Answer::Expunged(words.map(uid).collect()),
        "copied" => {
            let validity = UidValidity::new(number(words.next())).expect("validity");
            let pairs = words.map(|pair| pair.split_once('>').expect("from>to"));
            Answer::Copied(validity, pairs.map(|(from, to)| (uid(from), uid(to))).collect())
        }
        "found" => Answer::Found(words.map(uid).collect()),
        "appended" => {
            Answer::Appended(UidValidity::new(number(words.next())).expect("validity"), uid(words.next().expect("uid")))
        }
        "status" => {
            let all: Vec<u32> = words.map(|word| number(Some(word))).collect();
            let [messages, recent, unseen, next, validity] = all[..] else { panic!("{text}") };
            let (uid_next, uid_validity) =
                (Uid::new(next).expect("next"), UidValidity::new(validity).expect("validity"));
            Answer::Status(Counts { messages, recent, unseen, uid_next, uid_validity })
        }
        "folders" => Answer::Folders(words.map(folder).collect()),
        _ => panic!("no such answer: {text}"),
    }
}

fn trouble(word: &str) -> Trouble {
    match word {
        "exists" => Trouble::AlreadyExists,
        "name" => Trouble::BadName,
        "cannot" => Trouble::Cannot,
        "mailbox" => Trouble::NoMailbox,
        "readonly" => Trouble::ReadOnly,
        "quota" => Trouble::OverQuota,
        "internal" => Trouble::Internal,
        "gone" => Trouble::NoMessage,
        "inuse" => Trouble::InUse,
        "limit" => Trouble::KeywordLimit,
        _ => panic!("no such trouble: {word}"),
    }
}

fn changes<'a>(words: impl Iterator<Item = &'a str>) -> Changes {
    let mut changes = Changes::default();
    for word in words {
        match word.split_at(1) {
            ("+", message) => changes.appeared.push(known(message)),
            ("~", message) => changes.flags.push((known(message).uid, known(message).flags)),
            ("-", gone) => changes.vanished.push(uid(gone)),
            _ => changes.lost = true,
        }
    }
    changes
}

fn known(text: &str) -> Known {
    let (text, recent) = text.strip_suffix('!').map_or((text, false), |text| (text, true));
    let (number, names) = text.split_once(':').unwrap_or((text, ""));
    let mut flags = Flags::default();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        match Flag::ALL.into_iter().find(|flag| flag.name() == name) {
            Some(flag) => flags.set(flag),
            None => drop(flags.keywords.insert(name.into())),
        }
    }
    Known { uid: uid(number), flags, recent }
}

fn folder(text: &str) -> Folder {
    let (text, special) = text.split_once('=').unwrap_or((text, ""));
    let name = text.trim_end_matches(['/', '!', '+', '?', '^']);
    let marks = &text[name.len()..];
    let kind = match marks {
        _ if marks.contains('?') => FolderKind::Level,
        _ if marks.contains('^') => FolderKind::Missing,
        _ => FolderKind::Mailbox,
    };
    let uses = imap::grammar::list::SpecialUse::ALL.into_iter().filter(|known| known.name() == special).collect();
    let subscribed = marks.contains(['+', '^']);
    let children = match marks {
        _ if marks.contains('!') => Children::Impossible,
        _ if marks.contains('/') => Children::Some,
        _ => Children::None,
    };
    Folder { name: name.into(), kind, children, subscribed, uses }
}

/// 2026-11-20 16:11:11 +0000, like the recorded dialogues.
fn data(text: &str) -> Result<Data, Missing> {
    match text {
        "gone" => return Err(Missing::Gone),
        "unreadable" => return Err(Missing::Unreadable),
        _ => {}
    }
    let (size, text) = text
        .strip_prefix("large ")
        .and_then(|rest| rest.split_once(' '))
        .map_or((None, text), |(size, text)| (Some(size), text));
    let octets = text.replace("\\n", "\r\n");
    let large = size.map(|_| Box::default());
    let size = size.map_or(octets.len() as u64, |size| size.parse().expect("a size"));
    Ok(Data { date: Moment::utc(1_795_191_071), size, octets: Bytes::from(octets), large })
}

fn uid(text: &str) -> Uid {
    Uid::new(number(Some(text))).expect("uid")
}

fn number(text: Option<&str>) -> u32 {
    text.and_then(|text| text.parse().ok()).expect("a number")
}

fn set(uids: &[Uid]) -> String {
    Ranges::from_numbers(uids.iter().map(|uid| uid.get())).to_string()
}

fn words(flags: &Flags) -> String {
    let mut all: Vec<&str> = flags.system().map(Flag::name).collect();
    all.extend(flags.keywords.iter().map(String::as_str));
    format!("({})", all.join(" "))
}
