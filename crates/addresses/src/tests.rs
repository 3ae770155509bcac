use super::*;

fn rewriter(text: &str) -> Arc<Rewriter> {
    let text = format!("mydestination: m.com, vm.m.com\nmyorigin: m.com\nmyhostname: vm.m.com\n{text}");
    let config = Config::parse(std::path::Path::new("/nowhere"), &text).expect("configuration");
    Arc::new(Rewriter::new(&config))
}

fn address(text: &str) -> Address {
    Address::parse(text).expect(text)
}

fn envelope(sender: &str, recipients: &[&str]) -> Envelope {
    let recipients = recipients.iter().map(|text| Recipient::new(address(text))).collect();
    Envelope { reverse_path: Some(address(sender)), recipients, ..Envelope::default() }
}

/// The sender, and each recipient with what it was.
fn shown(entered: Result<Envelope, Trouble>) -> (String, Vec<String>) {
    let entered = entered.expect("it is known");
    let recipient = |recipient: &Recipient| {
        let was = recipient.original.as_ref().map(|original| format!(" was {original}")).unwrap_or_default();
        let silent = recipient.notify.map_or("", |_| " silent");
        format!("{}{was}{silent}", recipient.address)
    };
    (
        entered.reverse_path.map(|it| it.to_string()).unwrap_or_default(),
        entered.recipients.iter().map(recipient).collect(),
    )
}

fn entered(settings: &str, sender: &str, recipients: &[&str]) -> (String, Vec<String>) {
    shown(rewriter(settings).now().expect("tables").envelope(&envelope(sender, recipients), Entering::Mail))
}

fn expanded(table: &str, recipient: &str) -> Result<Vec<String>, String> {
    let now = rewriter(&format!("virtual_alias_maps: 'inline:{{{table}}}'\n")).now().expect("tables");
    let ends = now.expand(&address(recipient), &mut Trail::new());
    ends.map(|ends| ends.iter().map(ToString::to_string).collect()).map_err(|trouble| trouble.0)
}

#[test]
fn nothing_configured_is_nothing_done() {
    let plain = rewriter("");
    assert!(plain.is_idle() && !plain.sees_headers());
    assert_eq!(entered("", "a@b", &["c@d"]), ("a@b".into(), vec!["c@d".into()]));
}

#[test]
fn virtual_aliases_lead_on_until_they_end() {
    for (table, recipient, ends) in [
        ("info@v.org=kevin", "info@v.org", vec!["kevin@m.com"]),
        ("info@v.org=kevin, kevin=kevin", "info@v.org", vec!["kevin@m.com"]),
        ("@v.org=@m.com", "toto@v.org", vec!["toto@m.com"]),
        ("@v.org=@m.com", "toto+x@v.org", vec!["toto+x@m.com"]),
        ("{@v.org=kevin, foo@x.net}", "any@v.org", vec!["kevin@m.com", "foo@x.net"]),
        ("{a@v.org=b@v.org c@v.org}, b@v.org=B@m.com, c@v.org=b@m.com", "a@v.org", vec!["B@m.com"]),
        ("{kevin=kevin, copy@x.net}", "kevin@m.com", vec!["kevin@m.com", "copy@x.net"]),
        ("kevin=toto", "kevin+lists@vm.m.com", vec!["toto+lists@m.com"]),
        ("kevin+lists=foo, kevin=toto", "kevin+lists@m.com", vec!["foo@m.com"]),
        ("kevin=toto", "kevin@elsewhere.org", vec!["kevin@elsewhere.org"]),
        ("{a=b, d}, {b=a, c}", "a@m.com", vec!["c@m.com", "d@m.com"]),
        ("{a@v.org=\"x y\"@z.org}", "a@v.org", vec!["\"x y\"@z.org"]),
        ("{a@v.org=Kevin <k@z.org>}", "a@v.org", vec!["k@z.org"]),
    ] {
        assert_eq!(expanded(table, recipient), Ok(ends.into_iter().map(str::to_owned).collect()), "{table}");
    }
}

#[test]
fn aliases_without_end_make_mail_wait() {
    for (table, recipient, part) in
        [("a=b, b=a", "a@m.com", "lead round in a circle"), ("a=b@c..d", "a@m.com", "\"b@c..d\" is no address")]
    {
        let error = expanded(table, recipient).expect_err(table);
        assert!(error.contains(part), "{error}");
    }
    let deep: Vec<String> = (0..30).map(|n| format!("a{n}=a{}", n + 1)).collect();
    let limits = "virtual_alias_recursion_limit: 20\nvirtual_alias_expansion_limit: 3\n";
    let maps = format!("{limits}virtual_alias_maps: \"inline:{{{}, {{many=b c d e}}}}\"\n", deep.join(","));
    let now = rewriter(&maps).now().expect("tables");
    let told = |from: &str| now.expand(&address(from), &mut Trail::new()).map_err(|trouble| trouble.0);
    assert!(told("a0@m.com").expect_err("deep").contains("map nesting"));
    assert!(told("a15@m.com").is_ok());
    assert!(told("many@m.com").expect_err("wide").contains("expansion size"));
}

#[test]
fn what_the_client_wrote_is_kept() {
    let maps = "virtual_alias_maps: \"inline:{info@v.org=kevin}\"\n";
    assert_eq!(entered(maps, "a@b", &["info@v.org", "foo@m.com"]).1, ["kevin@m.com was info@v.org", "foo@m.com"]);
    let mut said = envelope("a@b", &["info@v.org"]);
    said.recipients[0].original = Some(address("info"));
    assert_eq!(
        shown(rewriter(maps).now().expect("tables").envelope(&said, Entering::Mail)).1,
        ["kevin@m.com was info"]
    );
}

#[test]
fn canonical_tables_apply_where_they_are_told() {
    let maps = "canonical_maps: \"inline:{kevin=Kevin.Dupont, @old.org=@new.org}\"\n\
                sender_canonical_maps: \"inline:{root=admin}\"\nrecipient_canonical_maps: \"inline:{boss@x.org=kevin}\"\n";
    let said = entered(maps, "root@vm.m.com", &["root@m.com", "boss@x.org", "toto@old.org"]);
    let recipients = ["root@m.com", "Kevin.Dupont@m.com was boss@x.org", "toto@new.org was toto@old.org"];
    assert_eq!(said, ("admin@m.com".into(), recipients.map(str::to_owned).to_vec()));
    let now = rewriter(maps).now().expect("tables");
    assert_eq!(now.header(Place::HeaderSender, "root@m.com").as_deref(), Some("admin@m.com"));
    assert_eq!(now.header(Place::HeaderRecipient, "root@m.com"), None);
    let classes = "canonical_classes: envelope_recipient\n";
    assert_eq!(entered(&format!("{maps}{classes}"), "kevin@m.com", &["kevin@m.com"]).0, "kevin@m.com");
    assert!(!rewriter("canonical_maps: /x\ncanonical_classes: envelope_sender\n").sees_headers());
    assert!(rewriter(maps).sees_headers());
    let circle = "canonical_maps: \"inline:{a=b, b=a}\"\n";
    let told = rewriter(circle).now().expect("tables").envelope(&envelope("a@m.com", &[]), Entering::Mail);
    assert!(told.expect_err("a circle").0.contains("leads on without end"));
}

#[test]
fn hosts_are_hidden_behind_their_domain() {
    let maps = "masquerade_domains: \"!keep.m.com, m.com, x.org\"\nmasquerade_exceptions: root\n";
    for (sender, hidden) in [
        ("kevin@pc.lab.m.com", "kevin@m.com"),
        ("kevin@pc.keep.m.com", "kevin@pc.keep.m.com"),
        ("kevin@notm.com", "kevin@notm.com"),
        ("Root@pc.m.com", "Root@pc.m.com"),
        ("kevin@pc.x.org", "kevin@x.org"),
        ("kevin@[192.0.2.1]", "kevin@[192.0.2.1]"),
    ] {
        assert_eq!(entered(maps, sender, &["a@pc.m.com"]), (hidden.to_owned(), vec!["a@pc.m.com".into()]));
    }
    let recipients = format!("{maps}masquerade_classes: envelope_recipient\n");
    assert_eq!(entered(&recipients, "a@pc.m.com", &["a@pc.m.com"]).1, ["a@m.com was a@pc.m.com"]);
}

#[test]
fn copies_are_silent_and_notices_have_none() {
    let maps = "always_bcc: archive\nsender_bcc_maps: \"inline:{kevin=boss}\"\nrecipient_bcc_maps: \"inline:{@x.org=log@y.org}\"\n\
                virtual_alias_maps: \"inline:{archive=store@z.org}\"\n";
    let all = ["toto@x.org", "log@y.org silent", "boss@m.com silent", "store@z.org was archive@m.com silent"];
    assert_eq!(entered(maps, "kevin@m.com", &["toto@x.org"]).1, all);
    let notice =
        rewriter(maps).now().expect("tables").envelope(&envelope("kevin@m.com", &["toto@x.org"]), Entering::Notice);
    assert_eq!(shown(notice).1, ["toto@x.org"]);
}

#[test]
fn domains_of_aliases_only_are_known() {
    let rewriter = rewriter("virtual_alias_maps: \"inline:{v.org=anything, info@v.org=kevin, m.com=x}\"\n");
    let domain = |text: &str| rewriter.virtual_domain(&Domain::parse(text).expect(text)).expect("tables");
    assert!(matches!(domain("v.org"), VirtualDomain::Yes(Listed::In(_))));
    assert_eq!((domain("w.org"), domain("m.com")), (VirtualDomain::No, VirtualDomain::No));
    let now = rewriter.now().expect("tables");
    assert!(
        now.knows(&address("info@v.org"))
            && now.knows(&address("info+x@v.org"))
            && !now.knows(&address("nobody@v.org"))
    );
}

#[test]
fn on_the_way_out_local_names_become_others() {
    let text = "mydestination: vm.lan\nmyorigin: vm.lan\nsmtp_generic_maps: \"inline:{kevin@vm.lan=k.dupont@provider.example, @vm.lan=box@provider.example}\"\n";
    let config = Config::parse(std::path::Path::new("/nowhere"), text).expect("configuration");
    let generic = Arc::new(Generic::new(&config, "smtp_generic_maps"));
    let now = generic.now().expect("tables");
    assert_eq!(now.header("kevin@vm.lan").as_deref(), Some("k.dupont@provider.example"));
    assert_eq!(now.header("root@vm.lan").as_deref(), Some("box@provider.example"));
    assert_eq!(now.header("a@b.c"), None);
}

#[test]
fn every_step_leaves_its_place() {
    let dir = tempfile::tempdir().expect("dir");
    let path = dir.path().join("virtual");
    std::fs::write(&path, "# ours\nv.org x\ninfo@v.org kevin\n").expect("written");
    let rewriter = rewriter(&format!("virtual_alias_maps: hash:{}\n", path.display()));
    let mut trail = Trail::new();
    rewriter.now().expect("tables").expand(&address("info@v.org"), &mut trail).expect("known");
    assert_eq!(trail[0].place, format!("{}:3", path.display()));
    std::fs::remove_file(&path).expect("removed");
    assert!(rewriter.now().is_ok(), "the table as it was stays");
}

#[test]
fn domains_without_a_dot_get_ours() {
    let on = "append_dot_mydomain: yes\nmydomain: m.com\n";
    let of = |settings: &str| entered(settings, "a@pc", &["kevin@vm", "b@[192.0.2.1]", "c@x.org"]);
    assert_eq!(of("").1, ["kevin@vm", "b@[192.0.2.1]", "c@x.org"]);
    assert_eq!(
        of(on),
        ("a@pc.m.com".into(), vec!["kevin@vm.m.com was kevin@vm".into(), "b@[192.0.2.1]".into(), "c@x.org".into()])
    );
    let rewriter = rewriter(on);
    assert!(rewriter.sees_headers() && rewriter.completed(&address("a@x.org")).is_none());
    assert_eq!(rewriter.now().expect("tables").header(Place::HeaderRecipient, "a@pc"), Some("a@pc.m.com".into()));
}
