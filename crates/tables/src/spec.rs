//! How tables are written in a parameter: `type:name`, a bare path, or a type with braces.

use std::path::PathBuf;

/// One table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spec {
    File(Kind, PathBuf),
    /// As written, and its pairs.
    Inline(String, Vec<(String, String)>),
    Static(String, String),
    Union(Vec<Spec>),
    Pipe(Vec<Spec>),
    Fail(String),
}

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    /// A list of names: what stands beside a key may be missing.
    Names,
    Patterns,
    Networks,
}

/// Reads a list. The error is a sentence.
pub(crate) fn parse_list(list: &str) -> Result<Vec<Spec>, String> {
    items(list, |c| c == ',' || c.is_whitespace())?.into_iter().map(parse).collect()
}

/// Reads a list in which items may also be names. The error is a sentence.
pub(crate) fn parse_names(list: &str) -> Result<(Vec<String>, Vec<Spec>), String> {
    let (mut names, mut specs) = (Vec::new(), Vec::new());
    for item in items(list, |c| c == ',' || c.is_whitespace())? {
        if item.starts_with('!') {
            return Err(format!("\"{item}\": names cannot be excluded here"));
        }
        if item.starts_with('/') || !item.starts_with('[') && item.contains(':') {
            specs.push(match parse(item)? {
                Spec::File(Kind::Text, path) => Spec::File(Kind::Names, path),
                other => other,
            });
        } else {
            names.push(item.to_lowercase());
        }
    }
    Ok((names, specs))
}

fn parse(written: &str) -> Result<Spec, String> {
    // The service that reads tables for programs in a jail elsewhere; here everybody reads them alike.
    let written = written.strip_prefix("proxy:").unwrap_or(written);
    if written.starts_with('/') {
        return Ok(Spec::File(Kind::Text, written.into()));
    }
    let Some((kind, name)) = written.split_once(':') else {
        return Err(format!(
            "\"{written}\" is not a table: write type:/path/to/file, for example hash:/etc/facteur/virtual"
        ));
    };
    let kind = match kind {
        "hash" | "btree" | "lmdb" | "cdb" | "dbm" | "sdbm" | "texthash" => Kind::Text,
        "regexp" | "pcre" => Kind::Patterns,
        "cidr" => Kind::Networks,
        "inline" => return pairs(name).map(|pairs| Spec::Inline(written.into(), pairs)),
        "static" => return Ok(Spec::Static(written.into(), inside(name).unwrap_or(name).trim().into())),
        "unionmap" => return nested(written, name).map(Spec::Union),
        "pipemap" => return nested(written, name).map(Spec::Pipe),
        "fail" => return Ok(Spec::Fail(written.into())),
        other => return Err(format!("there are no tables of type \"{other}\" here: {KNOWN}")),
    };
    if !name.starts_with('/') {
        return Err(format!("\"{written}\": the name of a table's file begins with a slash"));
    }
    Ok(Spec::File(kind, name.into()))
}

fn nested(written: &str, name: &str) -> Result<Vec<Spec>, String> {
    let inside = inside(name).ok_or_else(|| format!("\"{written}\": the tables stand in braces"))?;
    let specs = parse_list(inside)?;
    if specs.is_empty() { Err(format!("\"{written}\" lists no table")) } else { Ok(specs) }
}

/// `{k=v, {k2 = several words}}`
fn pairs(name: &str) -> Result<Vec<(String, String)>, String> {
    let inside = inside(name).ok_or_else(|| format!("\"inline:{name}\": the pairs stand in braces"))?;
    let divided = items(inside, |c| c == ',' || c.is_whitespace())?;
    divided
        .into_iter()
        .map(|item| {
            let pair = self::inside(item).unwrap_or(item);
            let (key, value) = pair.split_once('=').ok_or_else(|| format!("\"{pair}\" is not name=value"))?;
            Ok((key.trim().to_owned(), value.trim().to_owned()))
        })
        .collect()
}

fn inside(text: &str) -> Option<&str> {
    text.trim().strip_prefix('{')?.strip_suffix('}')
}

/// The items between separators that stand outside all braces.
fn items(text: &str, separates: impl Fn(char) -> bool) -> Result<Vec<&str>, String> {
    let (mut depth, mut start, mut found) = (0_usize, 0, Vec::new());
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth = depth.checked_sub(1).ok_or_else(|| format!("\"{text}\": a brace closes that was not opened"))?
            }
            c if depth == 0 && separates(c) => {
                found.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(format!("\"{text}\": a brace is not closed"));
    }
    found.push(&text[start..]);
    found.retain(|item| !item.is_empty());
    Ok(found)
}

const KNOWN: &str =
    "use hash, texthash, lmdb (all read the plain text file), regexp, pcre, cidr, inline, static, unionmap, pipemap";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_people_write_them() {
        let text = |path: &str| Spec::File(Kind::Text, path.into());
        for (list, specs) in [
            ("", vec![]),
            ("hash:/etc/a, lmdb:/etc/b\n /c", vec![text("/etc/a"), text("/etc/b"), text("/c")]),
            (
                "pcre:/p regexp:/r",
                vec![Spec::File(Kind::Patterns, "/p".into()), Spec::File(Kind::Patterns, "/r".into())],
            ),
            ("static:x", vec![Spec::Static("static:x".into(), "x".into())]),
            ("static:{ a b }", vec![Spec::Static("static:{ a b }".into(), "a b".into())]),
            (
                "unionmap:{hash:/a, cidr:/b}",
                vec![Spec::Union(vec![text("/a"), Spec::File(Kind::Networks, "/b".into())])],
            ),
            (
                "pipemap:{/a,unionmap:{/b,/c}}",
                vec![Spec::Pipe(vec![text("/a"), Spec::Union(vec![text("/b"), text("/c")])])],
            ),
        ] {
            assert_eq!(parse_list(list), Ok(specs), "{list}");
        }
        let pairs = parse_list("inline:{ a=b, {c = d e} }, /x").expect("inline");
        let Some(Spec::Inline(_, pairs)) = pairs.first() else { panic!("{pairs:?}") };
        assert_eq!(pairs, &[("a".into(), "b".into()), ("c".into(), "d e".into())]);
    }

    #[test]
    fn nonsense_is_named() {
        for (list, part) in [
            ("mysql:/etc/x", "type \"mysql\""),
            ("virtual", "is not a table"),
            ("hash:virtual", "begins with a slash"),
            ("inline:{a=b", "not closed"),
            ("a}", "not opened"),
            ("inline:{a}", "name=value"),
            ("unionmap:/a", "in braces"),
            ("pipemap:{}", "lists no table"),
        ] {
            let error = parse_list(list).expect_err(list);
            assert!(error.contains(part), "{list}: {error}");
        }
    }
}
