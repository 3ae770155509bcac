//! What the grammar takes and what it refuses.

use super::*;

#[test]
fn the_table_is_in_order() {
    for (index, rule) in RULES.iter().enumerate() {
        assert_eq!(rule.verb as usize, index, "{}", rule.name);
    }
}

#[test]
fn verbs_in_any_case_with_blanks_around() {
    assert_eq!(split("mail from: a@b"), Ok((Verb::Mail, "from: a@b")));
    assert_eq!(split("  QuIt\t "), Ok((Verb::Quit, "")));
    assert_eq!(split("foo bar"), Err("foo"));
    assert_eq!(split(""), Err(""));
}

#[test]
fn senders() {
    for text in [
        "FROM:<a@b.c>",
        "from: a@b.c",
        "from :<a@b.c>",
        "From: <a@b.c>  ",
        "from:a@b.c",
        "from:<@x,@y:a@b.c>",
        "from:< a@b.c >",
        "from:<\"a\"@b.c>",
    ] {
        assert_eq!(mail(text), Ok((Address::parse("a@b.c").ok(), MailParameters::default())), "{text}");
    }
    assert_eq!(mail("from:<>"), Ok((None, MailParameters::default())));
    assert_eq!(mail("FROM:<kevin>").map(|it| it.0), Ok(Address::parse("kevin").ok()));
}

#[test]
fn wrong_senders() {
    for text in ["", "a@b", "from", "from:", "from a@b", "to:<a@b>"] {
        assert_eq!(mail(text), Err(BadPath::Other(Verb::Mail.syntax())), "{text}");
    }
    for text in [
        "from:<a b>",
        "from:<a@b",
        "from:<a@>",
        "from:<@b>",
        "from:a@b..c",
        "from:<a@b>c",
        "from:<<a@b>>",
        "from:a@b@c",
        "from:\"a@b",
        "from:<a\\ b@c>",
        "from:<a@b\u{7f}>",
    ] {
        assert!(matches!(mail(text), Err(BadPath::Address(..))), "{text}");
    }
}

#[test]
fn mail_parameters() {
    let (_, parameters) =
        mail("FROM:<> SIZE=99999999999999999999 body=8bitmime SMTPUTF8 RET=hdrs ENVID=a+2Bb AUTH=<>").expect("right");
    assert_eq!(
        parameters,
        MailParameters {
            size: Some(u64::MAX),
            body: Body::EightBitMime,
            smtputf8: true,
            ret: Some(Ret::Headers),
            envid: Some("a+b".into()),
            auth: Some("<>".into()),
        }
    );
    for (text, reply) in [
        ("SIZE=1x", "501 5.5.4 Bad message size syntax"),
        ("SIZE=", "501 5.5.4 Bad message size syntax"),
        ("BODY=9BIT", "501 5.5.4 Unsupported body type: 9BIT"),
        ("RET=x", "501 5.5.4 Bad RET parameter syntax"),
        ("ENVID=+0", "501 5.5.4 Bad ENVID parameter syntax"),
        ("SMTPUTF8=1", "555 5.5.4 Unsupported option: SMTPUTF8=1"),
        ("b", "555 5.5.4 Unsupported option: b"),
    ] {
        match mail(&format!("FROM:<a@b> {text}")) {
            Err(BadPath::Other(came)) => assert_eq!(came.to_string(), reply),
            other => panic!("{text}: {other:?}"),
        }
    }
}

#[test]
fn recipients() {
    let (address, parameters) = rcpt("TO: kevin NOTIFY=SUCCESS,delay ORCPT=rfc822;k+2Bx@y").expect("right");
    assert_eq!(address.to_string(), "kevin");
    assert_eq!(
        parameters,
        RcptParameters {
            notify: Some(Notify { success: true, failure: false, delay: true }),
            orcpt: Some("rfc822;k+x@y".into())
        }
    );
    for text in ["TO:<k> ORCPT=utf-8;é\\x{2B}x@y", "TO:<k> ORCPT=UTF-8;\\x{E9}\\x{2B}x@y"] {
        let orcpt = rcpt(text).expect("right").1.orcpt.expect("given");
        assert_eq!(orcpt.split_once(';').map(|(_, address)| address), Some("é+x@y"), "{text}");
    }
    assert_eq!(rcpt("TO:<k> NOTIFY=NEVER").expect("right").1.notify, Some(Notify::default()));
    for text in ["TO:<>", "TO:<a b>"] {
        assert!(matches!(rcpt(text), Err(BadPath::Address(..))), "{text}");
    }
    for text in [
        "TO:<k> NOTIFY=NEVER,DELAY",
        "TO:<k> NOTIFY=",
        "TO:<k> ORCPT=x",
        "TO:<k> ORCPT=;x",
        "TO:<k> SIZE=1",
        "TO:",
        "FROM:<k>",
    ] {
        assert!(matches!(rcpt(text), Err(BadPath::Other(_))), "{text}");
    }
}

#[test]
fn chunks() {
    assert_eq!(bdat("86"), Ok((86, false)));
    assert_eq!(bdat("0 last"), Ok((0, true)));
    for text in ["", "x", "-1", "1 LASTS", "1 LAST 2", "+1", "123456789012345678901"] {
        assert!(bdat(text).is_err(), "{text}");
    }
}
