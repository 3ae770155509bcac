//! A user's mailboxes, read and changed as that user.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use mail::{Flag, Uid};
use mailstore::search::Body;
use mailstore::{Mailbox, Store};

use super::people::{accounts, local_part};
use super::query::{self, Query, Test};
use crate::call::Call;

/// `doveadm mailbox list|status|create|delete|rename -u USER ...`.
pub(super) fn mailbox(call: &mut Call) -> Result<ExitCode> {
    if call.words.is_empty() {
        bail!("usage: doveadm mailbox list|status|create|delete|rename -u USER");
    }
    let deed = call.words.remove(0);
    let (_, store) = open(call, "s8t")?;
    let words = std::mem::take(&mut call.words);
    let named = |name: &String| store.name(name).map_err(|error| anyhow!("{name}: {error}"));
    match (deed.as_str(), words.as_slice()) {
        ("list", patterns) => {
            for folder in store.list()? {
                if patterns.is_empty() || patterns.iter().any(|pattern| fits(pattern, folder.name.as_str())) {
                    println!("{}", folder.name);
                }
            }
        }
        ("status", [fields, names @ ..]) => status(&store, fields, names)?,
        ("create", names) => names.iter().try_for_each(|name| anyhow::Ok(store.create(&named(name)?)?))?,
        ("delete", names) => names.iter().try_for_each(|name| anyhow::Ok(store.delete(&named(name)?)?))?,
        ("rename", [from, to]) => store.rename(&named(from)?, &named(to)?)?,
        _ => bail!("usage: doveadm mailbox list|status|create|delete|rename -u USER"),
    }
    Ok(ExitCode::SUCCESS)
}

/// `doveadm search -u USER QUERY`: the number of the mailbox and the uid of each message.
pub(super) fn search(call: &mut Call) -> Result<ExitCode> {
    let (mut mailbox, query) = asked(call)?;
    let guid = mailbox.snapshot().uid_validity.get();
    for uid in matching(&mut mailbox, &query)? {
        println!("{guid:032x} {}", uid.get());
    }
    Ok(ExitCode::SUCCESS)
}

/// `doveadm expunge -u USER QUERY`, in which the mailbox must be named, as Dovecot demands.
pub(super) fn expunge(call: &mut Call) -> Result<ExitCode> {
    let (mut mailbox, query) = asked(call)?;
    if !query.names_mailbox {
        bail!("expunge: To avoid accidents, search query must contain MAILBOX in all search branches");
    }
    let uids = matching(&mut mailbox, &query)?;
    mailbox.expunge(&uids)?;
    Ok(ExitCode::SUCCESS)
}

/// `doveadm fetch -u USER "FIELDS" QUERY`.
pub(super) fn fetch(call: &mut Call) -> Result<ExitCode> {
    let (user, store) = open(call, "")?;
    if call.words.is_empty() {
        bail!("usage: doveadm fetch -u USER \"hdr body uid flags ...\" QUERY");
    }
    let fields = call.words.remove(0);
    let query = query::parse(&call.words)?;
    let mut mailbox = at(&store, &query.mailbox)?;
    let name = store.name(&query.mailbox).map_err(|error| anyhow!("{error}"))?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    for (index, uid) in matching(&mut mailbox, &query)?.into_iter().enumerate() {
        if index > 0 {
            out.write_all(b"\x0c\n")?;
        }
        for field in fields.split_whitespace() {
            match field {
                "user" => writeln!(out, "user: {user}")?,
                "mailbox" => writeln!(out, "mailbox: {name}")?,
                _ => write_field(&mut out, &mut mailbox, uid, field)?,
            }
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write_field(out: &mut impl Write, mailbox: &mut Mailbox, uid: Uid, field: &str) -> Result<()> {
    let line = match field {
        "uid" => uid.get().to_string(),
        "mailbox-guid" => format!("{:032x}", mailbox.snapshot().uid_validity.get()),
        "seq" => mailbox.snapshot().index(uid).map_or(0, |index| index + 1).to_string(),
        "flags" => shown_flags(mailbox, uid),
        "size.virtual" | "size.physical" => mailbox.exact_size(uid)?.to_string(),
        "date.received" | "date.saved" => mailbox.date(uid)?.rfc5322(),
        "hdr" | "body" | "text" => return write_content(out, mailbox, uid, field),
        other => match other.strip_prefix("hdr.") {
            Some(name) => header(mailbox, uid, name)?,
            None => bail!("the field {other} is not known"),
        },
    };
    writeln!(out, "{field}: {line}")?;
    Ok(())
}

fn write_content(out: &mut impl Write, mailbox: &mut Mailbox, uid: Uid, field: &str) -> Result<()> {
    let message = mailbox.read(uid)?;
    let (header, body) = message.split_at(mail::header::length(&message).min(message.len()));
    let octets = match field {
        "hdr" => header,
        "body" => body,
        _ => &message,
    };
    writeln!(out, "{field}:")?;
    out.write_all(&octets.iter().copied().filter(|octet| *octet != b'\r').collect::<Vec<u8>>())?;
    Ok(())
}

fn header(mailbox: &mut Mailbox, uid: Uid, name: &str) -> Result<String> {
    let header = mailbox.read_header(uid)?;
    let found = mail::header::find(&header, name);
    Ok(found.map_or_else(String::new, |field| String::from_utf8_lossy(&field.unfolded()).trim().to_owned()))
}

fn shown_flags(mailbox: &Mailbox, uid: Uid) -> String {
    let Some(flags) = mailbox.flags(uid) else { return String::new() };
    let system = Flag::ALL.into_iter().filter(|flag| flags.has(*flag)).map(|flag| flag.name().to_owned());
    system.chain(flags.keywords.iter().cloned()).collect::<Vec<_>>().join(" ")
}

fn status(store: &Store, fields: &str, names: &[String]) -> Result<()> {
    let every = "messages recent uidnext uidvalidity unseen vsize";
    let fields: Vec<&str> = if fields == "all" { every } else { fields }.split_whitespace().collect();
    let inbox = ["INBOX".to_owned()];
    for folder in store.list()? {
        let wanted = if names.is_empty() { &inbox } else { names };
        if !wanted.iter().any(|pattern| fits(pattern, folder.name.as_str())) {
            continue;
        }
        let mut mailbox = store.mailbox(&folder.name)?;
        let told: Result<Vec<String>> = fields.iter().map(|field| figure(&mut mailbox, field)).collect();
        println!("{} {}", folder.name, told?.join(" "));
    }
    Ok(())
}

fn figure(mailbox: &mut Mailbox, field: &str) -> Result<String> {
    let shot = mailbox.snapshot().clone();
    let unseen = shot.messages.iter().filter(|message| !message.flags.has(Flag::Seen));
    let number = match field {
        "messages" => shot.messages.len() as u64,
        "recent" => shot.messages.iter().filter(|message| message.recent).count() as u64,
        "uidnext" => u64::from(shot.uid_next.get()),
        "uidvalidity" => u64::from(shot.uid_validity.get()),
        "unseen" => unseen.count() as u64,
        "vsize" => {
            let sizes = shot.messages.iter().map(|message| mailbox.exact_size(message.uid));
            sizes.sum::<Result<u64, _>>()?
        }
        other => bail!("the field {other} is not known"),
    };
    Ok(format!("{field}={number}"))
}

/// The mailbox a query is about.
fn asked(call: &mut Call) -> Result<(Mailbox, Query)> {
    let (_, store) = open(call, "d")?;
    let query = query::parse(&call.words)?;
    if call.words.is_empty() {
        bail!("say what to look for, such as: mailbox INBOX all");
    }
    Ok((at(&store, &query.mailbox)?, query))
}

fn at(store: &Store, name: &str) -> Result<Mailbox> {
    let found = store.name(name).and_then(|name| store.mailbox(&name));
    found.map_err(|error| anyhow!("{name}: {error}"))
}

fn matching(mailbox: &mut Mailbox, query: &Query) -> Result<Vec<Uid>> {
    let uids: Vec<Uid> = mailbox.snapshot().messages.iter().map(|message| message.uid).collect();
    let mut found = Vec::new();
    for uid in uids {
        if holds(mailbox, uid, &query.test)? {
            found.push(uid);
        }
    }
    Ok(found)
}

fn holds(mailbox: &mut Mailbox, uid: Uid, test: &Test) -> Result<bool> {
    Ok(match test {
        Test::And(all) => {
            for one in all {
                if !holds(mailbox, uid, one)? {
                    return Ok(false);
                }
            }
            true
        }
        Test::Or(one, other) => holds(mailbox, uid, one)? || holds(mailbox, uid, other)?,
        Test::Not(inner) => !holds(mailbox, uid, inner)?,
        Test::Body(text) => Body::open(mailbox, uid)?.contains(mailbox, text)?,
        Test::Header(criterion) => criterion.holds(&mailbox.read_header(uid)?),
        Test::Flag(flag) => mailbox.flags(uid).is_some_and(|flags| flags.has(*flag)),
        Test::Keyword(word) => {
            mailbox.flags(uid).is_some_and(|flags| flags.keywords.iter().any(|known| known.eq_ignore_ascii_case(word)))
        }
        Test::Since(second) => mailbox.date(uid)?.seconds >= *second,
        Test::Uid(ranges) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&uid.get())),
    })
}

/// Opens the user's mail after becoming that user, and tells his name; `-u USER` stands among the options, which are taken.
fn open(call: &mut Call, alone: &str) -> Result<(String, Store)> {
    let options = call.options(alone, "u")?;
    let user = options.into_iter().find(|(letter, _)| *letter == 'u').map(|(_, user)| user);
    let user = user.context("say whose mail: -u USER")?;
    let config = call.config()?;
    let found = accounts(&config).find(&local_part(&config, &user)).map_err(|error| anyhow!("{error}"))?;
    let account = found.with_context(|| format!("user {user} does not exist"))?;
    let (location, options) = (readers::mailbox::location(&config, &account), readers::mailbox::options(&config));
    let name = account.name.clone();
    if privileges::is_root() {
        let group = privileges::find_group(config.text("mail_privileged_group")).ok();
        let user = privileges::User { name: account.name, uid: account.uid, gid: account.gid };
        privileges::become_user(&user, group).map_err(|error| anyhow!("{}: {error}", user.name))?;
    }
    let store = Store::open(location, options).map_err(|error| anyhow!("{error}"))?;
    Ok((name, store))
}

/// `*` stands for anything, as in `Archive.*`.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name || (pattern.eq_ignore_ascii_case("inbox") && name == "INBOX"),
        Some((start, end)) => {
            let rest = name.strip_prefix(start);
            rest.is_some_and(|rest| (0..=rest.len()).filter_map(|at| rest.get(at..)).any(|tail| fits(end, tail)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(fits("*", "Sent") && fits("Arch*", "Archive.2026") && fits("inbox", "INBOX") && fits("*x*", "axb"));
        assert!(!fits("Sent", "Sen") && !fits("A*z", "Archive"));
    }
}
