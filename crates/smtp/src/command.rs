//! The commands: one table, and one function per command that reads its arguments.
//!
//! Tolerant where people type (RFC 5321 wants none of it): any letter case, blanks before the verb and around the colon,
//! paths without angle brackets. A wrong command is a [`Reply`] to send; nothing else can happen.

use alloc::format;
use alloc::string::{String, ToString};

use mail::{Address, Body, Domain, Notify, Ret};

use crate::{Reply, path, unitext, xtext};

/// The verbs we know, in the order the session summary lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // RFC 5321 §4.1, RFC 3207, RFC 4954, RFC 3030, RFC 1985
pub enum Verb {
    Helo,
    Ehlo,
    StartTls,
    Auth,
    Mail,
    Rcpt,
    Data,
    Bdat,
    Rset,
    Noop,
    Vrfy,
    Etrn,
    Quit,
    Help,
    Expn,
}

/// What holds for a verb whatever its arguments.
#[derive(Debug)]
pub struct Rule {
    /// Which.
    pub verb: Verb,
    /// As on the wire, in capitals.
    pub name: &'static str,
    /// It moves no mail: many of them without a mail between count as errors.
    pub junk: bool,
    /// May be used before STARTTLS or AUTH where those are demanded.
    pub always: bool,
    /// No command may follow before its reply (RFC 2920 §3.1).
    pub ends_pipeline: bool,
    /// The reply when its arguments are not what it wants.
    syntax: &'static str,
}

/// All commands.
pub const RULES: [Rule; 15] = [
    rule(Verb::Helo, "HELO", HELLO, "Syntax: HELO hostname"),
    rule(Verb::Ehlo, "EHLO", HELLO, "Syntax: EHLO hostname"),
    rule(Verb::StartTls, "STARTTLS", OPEN, "Syntax: STARTTLS"),
    rule(Verb::Auth, "AUTH", OPEN, "Syntax: AUTH mechanism"),
    rule(Verb::Mail, "MAIL", MAIL, "Syntax: MAIL FROM:<address>"),
    rule(Verb::Rcpt, "RCPT", MAIL, "Syntax: RCPT TO:<address>"),
    rule(Verb::Data, "DATA", DATA, "Syntax: DATA"),
    rule(Verb::Bdat, "BDAT", MAIL, "Syntax: BDAT count [LAST]"),
    rule(Verb::Rset, "RSET", IDLE, "Syntax: RSET"),
    rule(Verb::Noop, "NOOP", NOOP, "Syntax: NOOP"),
    rule(Verb::Vrfy, "VRFY", PROBE, "Syntax: VRFY address"),
    rule(Verb::Etrn, "ETRN", FLUSH, "Syntax: ETRN domain"),
    rule(Verb::Quit, "QUIT", OPEN, "Syntax: QUIT"),
    rule(Verb::Help, "HELP", IDLE, "Syntax: HELP"),
    rule(Verb::Expn, "EXPN", PROBE, "Syntax: EXPN list"),
];

/// `(junk, always, ends_pipeline)` of a [`Rule`].
type Kind = (bool, bool, bool);
const OPEN: Kind = (false, true, false);
const HELLO: Kind = (false, true, true);
const MAIL: Kind = (false, false, false);
const DATA: Kind = (false, false, true);
const IDLE: Kind = (true, true, false);
const NOOP: Kind = (true, true, true);
const PROBE: Kind = (true, false, true);
const FLUSH: Kind = (true, false, false);

const fn rule(verb: Verb, name: &'static str, (junk, always, ends_pipeline): Kind, syntax: &'static str) -> Rule {
    Rule { verb, name, junk, always, ends_pipeline, syntax }
}

impl Verb {
    /// Its row in the table.
    #[must_use]
    pub const fn rule(self) -> &'static Rule {
        &RULES[self as usize]
    }

    /// `501 5.5.4 Syntax: …`; HELO, EHLO and ETRN without enhanced status, as ever.
    #[must_use]
    pub fn syntax(self) -> Reply {
        match self {
            Self::Helo | Self::Ehlo => Reply::bare(501, self.rule().syntax),
            Self::Etrn => Reply::bare(500, self.rule().syntax),
            _ => Reply::new(501, 5, 4, self.rule().syntax),
        }
    }

    /// Refuses any argument.
    ///
    /// # Errors
    /// The reply to send.
    pub fn alone(self, arguments: &str) -> Result<(), Reply> {
        if arguments.is_empty() { Ok(()) } else { Err(self.syntax()) }
    }
}

/// Splits a line into its verb, when we know it, and the arguments without blanks around them.
///
/// # Errors
/// The first word when we do not know it.
pub fn split(line: &str) -> Result<(Verb, &str), &str> {
    let line = line.trim_matches([' ', '\t']);
    let (word, arguments) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    match RULES.iter().find(|rule| rule.name.eq_ignore_ascii_case(word)) {
        Some(rule) => Ok((rule.verb, arguments.trim_start_matches([' ', '\t']))),
        None => Err(word),
    }
}

/// The parameters of MAIL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// RFC 1870
    pub size: Option<u64>,
    /// RFC 6152, RFC 3030
    pub body: Body,
    /// RFC 6531
    pub smtputf8: bool,
    /// RFC 3461
    pub ret: Option<Ret>,
    /// RFC 3461, decoded
    pub envid: Option<String>,
    /// RFC 4954, decoded: who first submitted the message, if one believes it
    pub auth: Option<String>,
}

/// The parameters of RCPT (RFC 3461).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RcptParameters {
    /// When to tell the sender.
    pub notify: Option<Notify>,
    /// `rfc822;kevin@…`, decoded.
    pub orcpt: Option<String>,
}

/// Why MAIL or RCPT was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadPath {
    /// Its path is no address: the reply, and what was written.
    Address(Reply, String),
    /// Anything else.
    Other(Reply),
}

impl From<Reply> for BadPath {
    fn from(reply: Reply) -> Self {
        Self::Other(reply)
    }
}

/// `MAIL FROM:<path> [parameters]`. No address is the null sender.
///
/// # Errors
/// What to reply.
pub fn mail(arguments: &str) -> Result<(Option<Address>, MailParameters), BadPath> {
    let rest = after_keyword(arguments, "from").ok_or_else(|| Verb::Mail.syntax())?;
    let (text, rest) = path::cut(rest).ok_or_else(|| bad_sender(rest))?;
    if text.is_empty() {
        return Err(Verb::Mail.syntax().into());
    }
    let address = path::parse(text).map_err(|_| bad_sender(text))?;
    let mut parameters = MailParameters::default();
    for parameter in words(rest) {
        mail_parameter(parameter, &mut parameters)?;
    }
    Ok((address, parameters))
}

fn bad_sender(text: &str) -> BadPath {
    BadPath::Address(Reply::new(501, 1, 7, "Bad sender address syntax"), text.to_string())
}

fn mail_parameter(parameter: &str, into: &mut MailParameters) -> Result<(), Reply> {
    let (name, value) = parameter.split_once('=').map_or((parameter, None), |(name, value)| (name, Some(value)));
    match (name.to_ascii_uppercase().as_str(), value) {
        ("SIZE", Some(value)) => {
            into.size = Some(size(value).ok_or_else(|| Reply::new(501, 5, 4, "Bad message size syntax"))?)
        }
        ("BODY", Some(value)) => {
            into.body = body(value).ok_or_else(|| Reply::new(501, 5, 4, format!("Unsupported body type: {value}")))?
        }
        ("SMTPUTF8", None) => into.smtputf8 = true,
        ("RET", Some(value)) => {
            into.ret = Some(ret(value).ok_or_else(|| Reply::new(501, 5, 4, "Bad RET parameter syntax"))?)
        }
        ("ENVID", Some(value)) => {
            let decoded =
                (value.len() <= MAX_ENVID).then(|| xtext::decode(value)).flatten().filter(|envid| !envid.is_empty());
            into.envid = Some(decoded.ok_or_else(|| Reply::new(501, 5, 4, "Bad ENVID parameter syntax"))?);
        }
        ("AUTH", Some(value)) => {
            let decoded = xtext::decode(value).ok_or_else(|| Reply::new(501, 5, 4, "Bad AUTH parameter syntax"))?;
            into.auth = Some(decoded);
        }
        _ => return Err(unsupported(parameter)),
    }
    Ok(())
}

/// `RCPT TO:<path> [parameters]`
///
/// # Errors
/// What to reply.
pub fn rcpt(arguments: &str) -> Result<(Address, RcptParameters), BadPath> {
    let rest = after_keyword(arguments, "to").ok_or_else(|| Verb::Rcpt.syntax())?;
    let (text, rest) = path::cut(rest).ok_or_else(|| bad_recipient(rest))?;
    if text.is_empty() {
        return Err(Verb::Rcpt.syntax().into());
    }
    let Ok(Some(address)) = path::parse(text) else {
        return Err(bad_recipient(text));
    };
    let mut parameters = RcptParameters::default();
    for parameter in words(rest) {
        rcpt_parameter(parameter, &mut parameters)?;
    }
    Ok((address, parameters))
}

fn bad_recipient(text: &str) -> BadPath {
    BadPath::Address(Reply::new(501, 1, 3, "Bad recipient address syntax"), text.to_string())
}

fn rcpt_parameter(parameter: &str, into: &mut RcptParameters) -> Result<(), Reply> {
    let (name, value) = parameter.split_once('=').map_or((parameter, None), |(name, value)| (name, Some(value)));
    match (name.to_ascii_uppercase().as_str(), value) {
        ("NOTIFY", Some(value)) => {
            into.notify =
                Some(notify(value).ok_or_else(|| Reply::new(501, 5, 4, "Error: Bad NOTIFY parameter syntax"))?)
        }
        ("ORCPT", Some(value)) => {
            into.orcpt = Some(orcpt(value).ok_or_else(|| Reply::new(501, 5, 4, "Error: Bad ORCPT parameter syntax"))?)
        }
        _ => return Err(unsupported(parameter)),
    }
    Ok(())
}

fn unsupported(parameter: &str) -> Reply {
    Reply::new(555, 5, 4, format!("Unsupported option: {parameter}"))
}

/// `SIZE=` of RFC 1870 §4: 1 to 20 digits.
fn size(value: &str) -> Option<u64> {
    let ok = (1..=20).contains(&value.len()) && value.bytes().all(|octet| octet.is_ascii_digit());
    // Twenty nines are a right size, only larger than anything we could count.
    ok.then(|| value.parse().unwrap_or(u64::MAX))
}

const fn body(value: &str) -> Option<Body> {
    if value.eq_ignore_ascii_case("7BIT") {
        Some(Body::SevenBit)
    } else if value.eq_ignore_ascii_case("8BITMIME") {
        Some(Body::EightBitMime)
    } else if value.eq_ignore_ascii_case("BINARYMIME") {
        Some(Body::BinaryMime)
    } else {
        None
    }
}

const fn ret(value: &str) -> Option<Ret> {
    if value.eq_ignore_ascii_case("FULL") {
        Some(Ret::Full)
    } else if value.eq_ignore_ascii_case("HDRS") {
        Some(Ret::Headers)
    } else {
        None
    }
}

/// `"NEVER" / 1#("SUCCESS" / "FAILURE" / "DELAY")`
fn notify(value: &str) -> Option<Notify> {
    let mut notify = Notify::default();
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(notify);
    }
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => notify.success = true,
            "FAILURE" => notify.failure = true,
            "DELAY" => notify.delay = true,
            _ => return None,
        }
    }
    Some(notify)
}

/// `original-recipient-address = addr-type ";" xtext`, and RFC 6533 §3
fn orcpt(value: &str) -> Option<String> {
    let (kind, address) = value.split_once(';')?;
    let kind_ok = !kind.is_empty() && kind.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    let address = unitext::decode(kind, address).filter(|address| !address.is_empty())?;
    (kind_ok && value.len() <= MAX_ORCPT).then(|| format!("{kind};{address}"))
}

/// `BDAT size [LAST]`
///
/// # Errors
/// What to reply. The octets that the client sends on after such a line cannot be told from commands.
pub fn bdat(arguments: &str) -> Result<(u64, bool), Reply> {
    let mut words = words(arguments);
    let count = words.next().and_then(size);
    let last = match words.next() {
        None => Some(false),
        Some(word) => word.eq_ignore_ascii_case("LAST").then_some(true),
    };
    match (count, last, words.next()) {
        (Some(count), Some(last), None) => Ok((count, last)),
        _ => Err(Verb::Bdat.syntax()),
    }
}

/// `HELO name`, `EHLO name`: the first word; people and programs put anything there.
///
/// # Errors
/// What to reply.
pub fn hello(verb: Verb, arguments: &str) -> Result<String, Reply> {
    let name = words(arguments).next().ok_or_else(|| verb.syntax())?;
    let name: String = name.chars().filter(|c| !c.is_control()).take(MAX_HELO).collect();
    if name.is_empty() { Err(verb.syntax()) } else { Ok(name) }
}

/// `VRFY address [SMTPUTF8]`
///
/// # Errors
/// What to reply.
pub fn vrfy(arguments: &str) -> Result<Address, BadPath> {
    let (text, rest) = path::cut(arguments).ok_or_else(|| bad_recipient(arguments))?;
    if text.is_empty() || !(rest.is_empty() || rest.eq_ignore_ascii_case("SMTPUTF8")) {
        return Err(Verb::Vrfy.syntax().into());
    }
    path::parse(text).ok().flatten().ok_or_else(|| bad_recipient(text))
}

/// `ETRN domain` (RFC 1985); the `@` before it means its subdomains, `#` a queue: those we have not.
///
/// # Errors
/// What to reply.
pub fn etrn(arguments: &str) -> Result<Domain, Reply> {
    if arguments.is_empty() || arguments.contains([' ', '\t']) {
        return Err(Verb::Etrn.syntax());
    }
    Domain::parse(arguments).map_err(|_| Reply::bare(501, "Error: invalid parameter syntax"))
}

/// `AUTH mechanism [initial response]`
///
/// # Errors
/// What to reply.
pub fn auth(arguments: &str) -> Result<(&str, Option<&str>), Reply> {
    let mut words = words(arguments);
    match (words.next(), words.next(), words.next()) {
        (Some(mechanism), initial, None) => Ok((mechanism, initial)),
        _ => Err(Verb::Auth.syntax()),
    }
}

/// What follows `FROM:` or `TO:`.
fn after_keyword<'a>(arguments: &'a str, keyword: &str) -> Option<&'a str> {
    let (word, rest) = arguments.split_once(':')?;
    word.trim_end_matches([' ', '\t']).eq_ignore_ascii_case(keyword).then(|| rest.trim_matches([' ', '\t']))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', '\t']).filter(|word| !word.is_empty())
}

/// RFC 3461 §4.4
const MAX_ENVID: usize = 100;
/// RFC 3461 §4.2
const MAX_ORCPT: usize = 500;
/// As long as a domain name can be.
const MAX_HELO: usize = 255;

#[cfg(test)]
mod tests;
