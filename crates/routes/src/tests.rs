use super::*;

fn router(settings: &str) -> Router {
    let dir = tempfile::tempdir().expect("a directory");
    let base = "myhostname: vm.m3102.com\nmydestination: m3102.com, localhost\n";
    std::fs::write(dir.path().join("facteur.yaml"), format!("{base}{settings}")).expect("written");
    Router::new(&Config::load(dir.path()).expect("a configuration"))
}

/// `local`, `smtp:hop`, `sent|deferred|bounced 4.3.2 text`, `hold text`.
fn shown(way: &Way) -> String {
    match way {
        Way::Local => "local".into(),
        Way::Relay { transport, hop } => format!("{transport}:{}", hop.text),
        Way::Settled(Outcome::Sent(status, text)) => format!("sent {status} {text}"),
        Way::Settled(Outcome::Deferred(status, text)) => format!("deferred {status} {text}"),
        Way::Settled(Outcome::Bounced(status, text)) => format!("bounced {status} {text}"),
        Way::Settled(other) => format!("{other:?}"),
        Way::Hold(text) => format!("hold {text}"),
    }
}

/// Settings, recipient, where the mail goes; its sender is `s@send.er`.
const TABLE: &[(&str, &str, &str)] = &[
    ("", "kevin@m3102.com", "local"),
    ("", "kevin", "local"),
    ("", "a@Else.Where", "smtp:else.where"),
    ("", "a@[192.0.2.1]", "smtp:[192.0.2.1]"),
    ("", "kevin@[127.0.0.1]", "local"),
    ("inet_interfaces: 192.0.2.1", "kevin@[192.0.2.1]", "local"),
    ("inet_interfaces: 192.0.2.1", "a@[127.0.0.1]", "smtp:[127.0.0.1]"),
    ("proxy_interfaces: 192.0.2.1", "kevin@[192.0.2.1]", "local"),
    ("", "kevin@127.0.0.1", "bounced 5.1.3 bad address syntax"),
    ("relayhost: gate", "a@192.0.2.1", "bounced 5.1.3 bad address syntax"),
    ("relay_domains: 192.0.2.1", "a@192.0.2.1", "bounced 5.1.3 bad address syntax"),
    ("relayhost: '[Gate.example]:587'", "a@x.org", "smtp:[gate.example]:587"),
    ("relayhost: gate.example", "a@m3102.com", "local"),
    ("relayhost: gate.example:25\nrelay_domains: x.org", "a@sub.x.org", "relay:gate.example:25"),
    ("relay_domains: x.org", "a@sub.x.org", "relay:sub.x.org"),
    ("relay_domains: x.org\nrelay_transport: 'lmtp:unix:/run/X'", "a@x.org", "lmtp:unix:/run/X"),
    ("relay_domains: x.org\nrelay_transport: 'lmtp:inet:h:24'", "a@x.org", "lmtp:inet:h:24"),
    ("virtual_mailbox_domains: v.org\nvirtual_transport: 'lmtp:unix:/v'", "a@v.org", "lmtp:unix:/v"),
    ("virtual_mailbox_domains: v.org\nvirtual_transport: 'lmtp:'\nrelayhost: gate", "a@v.org", "lmtp:v.org"),
    ("default_transport: 'error:5.7.1 no mail leaves here'", "a@x.org", "bounced 5.7.1 no mail leaves here"),
    ("default_transport: 'error:no mail leaves here'", "a@x.org", "bounced 5.0.0 no mail leaves here"),
    ("default_transport: 'error:4.7.1 x'", "a@x.org", "bounced 5.0.0 4.7.1 x"),
    ("default_transport: 'retry:later'", "a@x.org", "deferred 4.0.0 later"),
    ("default_transport: 'discard:silently'", "a@x.org", "sent 2.0.0 silently"),
    ("default_transport: 'hold:look at this'", "a@x.org", "hold look at this"),
    (
        "default_transport: 'pigeon:'",
        "a@x.org",
        "deferred 4.3.5 mail transport unavailable: there is no transport \"pigeon\"",
    ),
    (
        "local_transport: 'error:local mail delivery is disabled'",
        "kevin",
        "bounced 5.0.0 local mail delivery is disabled",
    ),
    (
        "local_transport: 'error:local mail delivery is disabled'",
        "kevin@localhost",
        "bounced 5.0.0 local mail delivery is disabled",
    ),
    ("defer_transports: smtp", "a@x.org", "deferred 4.3.2 deferred transport"),
    ("defer_transports: smtp", "kevin@m3102.com", "local"),
    ("transport_maps: 'inline:{x.org=smtp:[1.2.3.4]:2525}'", "a@x.org", "smtp:[1.2.3.4]:2525"),
    ("transport_maps: 'inline:{x.org=smtp:[1.2.3.4]:2525}'", "a@sub.x.org", "smtp:sub.x.org"),
    ("transport_maps: 'inline:{.x.org=smtp:[1.2.3.4]:2525}'", "a@b.sub.x.org", "smtp:[1.2.3.4]:2525"),
    ("transport_maps: 'inline:{*=lmtp:unix:/l, m3102.com=local:}'", "a@x.org", "lmtp:unix:/l"),
    ("transport_maps: 'inline:{*=lmtp:unix:/l, m3102.com=local:}'", "a@m3102.com", "local"),
    ("transport_maps: 'inline:{kevin@m3102.com=smtp:[other]}'", "Kevin+ext@m3102.com", "smtp:[other]"),
    ("transport_maps: 'inline:{x.org=:[other]}'\nrelay_domains: x.org", "a@x.org", "relay:[other]"),
    ("transport_maps: 'inline:{x.org=smtp:}'\nrelayhost: gate", "a@x.org", "smtp:x.org"),
    ("transport_maps: 'inline:{x.org=:}'\nrelayhost: gate", "a@x.org", "smtp:gate"),
    ("transport_maps: 'inline:{{x.org = error:5.1.2 gone}}'", "a@x.org", "bounced 5.1.2 gone"),
    ("transport_maps: 'fail:'", "a@x.org", "deferred 4.3.0 cannot look up the route: fail: always fails"),
    ("sender_dependent_relayhost_maps: 'inline:{s@send.er=[mine]:587}'\nrelayhost: gate", "a@x.org", "smtp:[mine]:587"),
    ("sender_dependent_relayhost_maps: 'inline:{@send.er=[mine]}'\nrelayhost: gate", "a@x.org", "smtp:[mine]"),
    ("sender_dependent_relayhost_maps: 'inline:{@send.er=DUNNO}'\nrelayhost: gate", "a@x.org", "smtp:gate"),
    ("sender_dependent_relayhost_maps: 'inline:{other@send.er=[mine]}'", "a@x.org", "smtp:x.org"),
];

#[test]
fn each_address_has_its_way() {
    let sender = Address::parse("s@send.er").expect("an address");
    for (settings, recipient, way) in TABLE {
        let route = router(settings).route(Some(&sender), &Address::parse(recipient).expect(recipient));
        assert_eq!(shown(&route.way), *way, "{settings} / {recipient}: {:?}", route.because);
    }
}

#[test]
fn what_decided_is_told() {
    let router = router("relayhost: gate\ntransport_maps: 'inline:{y.org=smtp:[h]}'");
    let because = |to: &str| router.route(None, &Address::parse(to).expect(to)).because;
    let last = |to: &str| because(to).pop().map(|(name, value)| format!("{name}: {value}"));
    assert_eq!(last("a@x.org").as_deref(), Some("relayhost: gate"));
    assert_eq!(last("a@y.org").map(|text| text.ends_with(": smtp:[h]")), Some(true));
    assert_eq!(because("kevin")[0].0, "mydestination");
}
