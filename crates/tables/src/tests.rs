use std::path::Path;

use super::*;
use crate::address::Key;

fn texts(text: &str) -> text::Text {
    text::Text::parse(Path::new("/t"), text)
}

fn patterns(text: &str) -> Result<pattern::Patterns, Vec<Problem>> {
    pattern::Patterns::parse(Path::new("/t"), text)
}

fn networks(text: &str) -> Result<cidr::Networks, Vec<Problem>> {
    cidr::Networks::parse(Path::new("/t"), text)
}

fn said(problems: &[Problem]) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

#[test]
fn plain_tables_are_read() {
    let table = texts(
        "# comment\n\nKevin@M3102.com\t foo, bar\n  # between\n    toto@x\n\"a b@c\" value\nkevin@m3102.com second\n@d x y\n",
    );
    assert_eq!(table.passed_over(), []);
    let find = |key: &str| table.find(key).map(|found| (found.value, found.line));
    assert_eq!(find("kevin@m3102.com"), Some(("foo, bar toto@x".into(), 3)));
    assert_eq!(find("KEVIN@m3102.COM"), Some(("foo, bar toto@x".into(), 3)));
    assert_eq!(find("a b@c"), Some(("value".into(), 6)));
    assert_eq!(find("@d"), Some(("x y".into(), 8)));
    assert_eq!(find("d"), None);
    assert_eq!(table.find("@d").expect("there").place(), "/t:8");
    let table = texts(
        "\"quoted local\"@M.com foo@m.com\n\"a\\\"b\\\\\"@c\t\"v w\"@x\no\"brien@x y\n\"plain\"@d z\n\"x y\" v\n",
    );
    assert!(table.passed_over().is_empty());
    for (key, value) in [
        ("quoted local@m.com", "foo@m.com"),
        ("a\"b\\@c", "\"v w\"@x"),
        ("o\"brien@x", "y"),
        ("plain@d", "z"),
        ("x y", "v"),
    ] {
        assert_eq!(table.find(key).map(|found| found.value).as_deref(), Some(value), "{key}");
    }
    assert_eq!(table.find("quoted local"), None);
}

#[test]
fn broken_lines_of_plain_tables_are_named_and_passed_over() {
    let table = texts("a b\nkevin@x\nroot: eleve\n\"a b\n\"\" x\nlast one\n");
    let told = said(table.passed_over());
    assert!(table.find("a").is_some() && table.find("last").is_some() && table.find("kevin@x").is_none());
    assert_eq!(told.len(), 4, "{told:?}");
    assert!(told[0].starts_with("/t:2: there is nothing beside \"kevin@x\""), "{told:?}");
    assert!(told[1].starts_with("/t:3: \"root:\" ends in a colon"), "{told:?}");
    assert!(told[2].starts_with("/t:4: a double quote is missing"), "{told:?}");
    assert_eq!(told[3], "/t:5: the key is missing");
}

#[test]
fn the_first_pattern_that_matches_answers() {
    let table = patterns(
        "/^(.*)\\+(.*)@x\\.org$/  ${1}@y.org, $2-$(1)@z costs $$\n\
         !/@/ bare\n\
         if /@in\\.example$/\n/^a/ A\n!/^b/ notb\n endif\nif !/@in\\.example$/\n|^/home/|i Home\nendif\n\
         /^[[:digit:]]+@/\n  digits\n/rest/i Exact\n",
    )
    .expect_err("endif goes on with the line before");
    assert_eq!(table[0].line, 3);
    let table = patterns(
        "/^(.*)\\+(.*)@x\\.org$/  ${1}@y.org, $2-$(1)@z costs $$\n!/@/ bare\nif /@in\\.example$/\n/^a/ A\n!/^b/ notb\n\
         ENDIF\nif !/@in\\.example$/\n|^/home/@|i Home\nendif\n/^[[:digit:]]+@/\n  digits\n/rest/i Exact\n",
    )
    .expect("it is well formed");
    for (key, answer) in [
        ("kevin+Ext@X.org", Some(("kevin@y.org, Ext-kevin@z costs $", 1))),
        ("kevin", Some(("bare", 2))),
        ("abc@in.example", Some(("A", 4))),
        ("c@in.example", Some(("notb", 5))),
        ("b@in.example", None),
        ("/home/@", Some(("Home", 8))),
        ("/HOME/@", None),
        ("12@c", Some(("digits", 10))),
        ("@rest", Some(("Exact", 12))),
        ("@REST", None),
    ] {
        let found = table.find(key).map(|found| (found.value, found.line));
        assert_eq!(found, answer.map(|(value, line)| (value.to_owned(), line)), "{key}");
    }
}

#[test]
fn what_patterns_cannot_do_is_said_with_its_line() {
    for (text, part) in [
        ("/a/ ok\n/(?=a)b/ x\n", "/t:2: the pattern cannot be used: look-around"),
        ("/(a)\\1/ x\n", "/t:1: the pattern cannot be used: backreferences"),
        ("/(a/ x\n", "/t:1: the pattern cannot be used: unclosed group"),
        ("/a x\n", "/t:1: \"/\" is missing"),
        ("abc x\n", "/t:1: a pattern stands between slashes"),
        ("/a/q x\n", "/t:1: there is no flag \"q\""),
        ("/a/\n", "/t:1: the result is missing"),
        ("/a/ $1\n", "/t:1: the result names group 1"),
        ("!/(a)/ $1\n", "/t:1: a pattern with \"!\""),
        ("/a/ $x\n", "/t:1: \"$\" stands before"),
        ("/a/ ok\nendif\n", "/t:2: \"endif\" without"),
        ("if /a/\n/b/ c\n", "/t:1: \"endif\" is missing"),
        ("if /a/ b\nendif\n", "/t:1: nothing may stand"),
    ] {
        let told = said(&patterns(text).map_or_else(|problems| problems, |table| table.passed_over().to_vec()));
        assert!(told[0].starts_with(part), "{text}: {told:?}");
    }
}

#[test]
fn the_first_network_that_holds_the_address_answers() {
    let table = networks(
        "192.0.2.1 one\n192.0.2.0/24 net\nif 10.0.0.0/8\n!10.1.0.0/16 other\nendif\n2001:db8::/32 six\n[::1] self\n",
    )
    .expect("it is well formed");
    for (key, answer) in [
        ("192.0.2.1", Some("one")),
        ("192.0.2.200", Some("net")),
        ("192.0.3.1", None),
        ("10.2.0.1", Some("other")),
        ("10.1.0.1", None),
        ("2001:db8::5", Some("six")),
        ("::1", Some("self")),
        ("kevin", None),
    ] {
        assert_eq!(table.find(key).map(|found| found.value).as_deref(), answer, "{key}");
    }
    let broken = networks("192.0.2.1/24 x\n1.2.3 y\n1.2.3.4/33 z\n1.2.3.4\n0.0.0.0/0 all\n");
    let table = broken.expect("the rest makes sense");
    let told = said(table.passed_over());
    assert!(told[0].contains("write 192.0.2.0/24") && told.len() == 4, "{told:?}");
    assert_eq!(table.find("192.0.2.1").map(|found| found.value).as_deref(), Some("all"));
    assert!(networks("if 1.2.3.4\n").is_err() && networks("if x\nendif\n").is_err());
}

#[test]
fn tables_are_asked_in_order_and_combined() {
    let dir = tempfile::tempdir().expect("dir");
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let (a, b, p) = (file("a", "k one\n"), file("b", "k two\nj three\none final\n"), file("p", "/^@?x/ pattern\n"));
    let value = |list: &str, key: &str| {
        let tables = Tables::open(list).expect(list);
        tables.lookup(key).expect(list).map(|found| found.value)
    };
    assert_eq!(value(&format!("hash:{a}, {b}"), "K").as_deref(), Some("one"));
    assert_eq!(value(&format!("hash:{a}, {b}"), "j").as_deref(), Some("three"));
    assert_eq!(value(&format!("unionmap:{{{a},{b}}}"), "k").as_deref(), Some("one,two"));
    assert_eq!(value(&format!("pipemap:{{{a},{b}}}"), "k").as_deref(), Some("final"));
    assert_eq!(value(&format!("pipemap:{{{a},{b}}}"), "j"), None);
    assert_eq!(value("inline:{k=v, {J = a b}}", "j").as_deref(), Some("a b"));
    assert_eq!(value("static:{all of it}", "j").as_deref(), Some("all of it"));
    let view = Tables::open(&format!("regexp:{p}")).expect("open").view().expect("view");
    assert!(view.lookup("@x").is_some() && view.lookup_part("@x").is_none(), "patterns see whole keys only");
    assert!(Tables::open("fail:x").expect("open").lookup("k").is_err());
    assert_eq!(Tables::open("").expect("open").lookup("k"), Ok(None));
}

#[test]
fn names_are_listed_in_place_or_in_tables() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("domains");
    std::fs::write(&path, "# ours\nA.example\nb.example anything\n").expect("written");
    let names =
        Names::open(&format!("c.example, proxy:hash:{}\ninline:{{d.example=x}}", path.display())).expect("open");
    for name in ["a.example", "B.example", "C.example", "d.example"] {
        assert!(names.find(name).expect(name).is_some(), "{name}");
    }
    assert_eq!(names.find("e.example"), Ok(None));
    assert!(Names::open("!a.example").is_err() && Names::open("nis:a").is_err());
}

#[test]
fn a_broken_line_is_passed_over_and_a_lost_file_keeps_the_old_table() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("virtual");
    let tables = Tables::open(&path.display().to_string()).expect("open");
    let value = || tables.lookup("a@b").map(|found| found.map(|found| found.value));
    let trouble = value().expect_err("there is no such file");
    assert!(trouble.0.ends_with("virtual: the table cannot be read: there is no such file"), "{trouble}");
    std::fs::write(&path, "bad\na@b  good\n").expect("written");
    assert_eq!((value(), tables.problems().len()), (Ok(Some("good".into())), 1));
    for round in 0..20 {
        // As long as the one before, and in the same tick of the clock.
        std::fs::write(&path, format!("a@b  {round:02}\n")).expect("written");
        assert_eq!(value(), Ok(Some(format!("{round:02}"))));
    }
    assert_eq!(tables.problems().len(), 0);
    std::fs::remove_file(&path).expect("removed");
    assert_eq!(value(), Ok(Some("19".into())));
    let view = tables.view().expect("view");
    std::fs::write(&path, "c@d  new\n").expect("written");
    assert_eq!((value(), tables.problems().len()), (Ok(None), 0));
    assert!(view.lookup("a@b").is_some(), "a view does not change");
}

#[test]
fn passwords_that_everybody_may_read_are_not_used() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("passwords");
    std::fs::write(&path, "relay me:secret\n").expect("written");
    let mode = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("chmod");
    let tables = Tables::open_as(&format!("hash:{}", path.display()), Secrecy::Passwords).expect("open");
    mode(0o644);
    assert!(tables.lookup("relay").expect_err("open to all").0.contains("holds passwords"));
    mode(0o640);
    assert_eq!(tables.lookup("relay").map(|found| found.is_some()), Ok(true));
    mode(0o644);
    assert_eq!(tables.problems().len(), 1);
}

#[test]
fn addresses_are_looked_for_from_whole_to_domain() {
    let order = ["kevin+x@m.com", "kevin@m.com", "kevin+x", "kevin", "@m.com"];
    for (at, first) in order.iter().enumerate() {
        let list: Vec<String> = order[at..].iter().map(|key| format!("{key}={key}")).collect();
        let view = Tables::open(&format!("inline:{{{}}}", list.join(","))).expect("open").view().expect("view");
        let key = Key { local: "kevin+x", domain: "m.com", is_ours: true, delimiters: "+" };
        let hit = key.find(&view).expect(first);
        assert_eq!((hit.found.value.as_str(), hit.catch_all), (*first, at == 4));
        assert_eq!(hit.extension, if at == 1 || at == 3 { "+x" } else { "" });
        let foreign = Key { is_ours: false, ..key }.find(&view).map(|hit| hit.found.value);
        assert_eq!(foreign.as_deref(), Some(if at == 2 || at == 3 { "@m.com" } else { first }));
    }
    for (local, delimiters, extension) in [
        ("a+b-c", "-+", "+b-c"),
        ("+a", "+", ""),
        ("owner-list", "-", ""),
        ("list-request", "-", ""),
        ("postmaster", "m", ""),
        ("a+", "+", "+"),
        ("a+b", "", ""),
    ] {
        assert_eq!(address::split_extension(local, delimiters).1, extension, "{local}");
    }
}

proptest::proptest! {
    /// Whatever stands in a file, reading it ends, and what is found was there.
    #[test]
    fn any_text_is_read(text in "([/!$(){}ifend@a-c \t#\"0-9.:]{0,12}\n){0,6}", key in "[a-c@0-9.:]{0,6}") {
        let found = texts(&text).find(&key);
        proptest::prop_assert!(found.is_none_or(|found| text.contains(found.value.split(' ').next().unwrap_or_default())));
        let _ = patterns(&text).map(|table| table.find(&key));
        let _ = networks(&text).map(|table| table.find(&key));
    }
}
