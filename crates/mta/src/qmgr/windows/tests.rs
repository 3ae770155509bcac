use super::*;

fn id(number: u64) -> QueueId {
    QueueId::new(number, 0)
}

fn hosts() -> Pace {
    Pace {
        most: 100,
        each: EACH,
        by_transport: Vec::new(),
        success: Feedback::parse("1"),
        failure: Feedback::parse("1"),
        cohorts: 1.0,
        rest: (Duration::from_secs(300), Duration::from_secs(1000)),
    }
}

const EACH: Each = Each { initial: 5, limit: 20, together: 3, delay: Duration::ZERO };

fn fails() -> Verdict {
    Verdict::Fails(EnhancedStatus::new(4, 4, 1), "connect to x[192.0.2.1]:25: Connection refused".into())
}

fn served(windows: &mut Windows) -> Vec<String> {
    std::iter::from_fn(|| windows.serve()).map(|turn| turn.to.to_string()).collect()
}

#[test]
fn a_flood_for_one_delays_nobody_else() {
    let mut windows = Windows::new(Pace::even(100, 3));
    for number in 0..100 {
        windows.push("kevin", (id(number), 0), Age::Fresh);
    }
    windows.push("toto", (id(500), 0), Age::Fresh);
    assert_eq!(served(&mut windows), ["kevin", "toto", "kevin", "kevin"]);
    windows.landed(&"kevin".into(), Verdict::Nothing);
    assert_eq!(windows.serve(), Some(Turn { to: "kevin".into(), id: id(3), slots: vec![0] }));
    assert_eq!(windows.serve(), None);
    windows.landed(&"toto".into(), Verdict::Nothing);
    assert_eq!(windows.serve(), None);
}

#[test]
fn the_whole_is_bounded() {
    let mut windows = Windows::new(Pace::even(2, 2));
    for name in ["a", "b", "c"] {
        windows.push(name, (id(1), 0), Age::Fresh);
    }
    assert_eq!(served(&mut windows).len(), 2);
    windows.landed(&"a".into(), Verdict::Nothing);
    assert_eq!(served(&mut windows), ["c"]);
    windows.landed(&"b".into(), Verdict::Nothing);
    windows.landed(&"c".into(), Verdict::Nothing);
    assert!(windows.lines.is_empty());
}

#[test]
fn many_slow_users_leave_room() {
    let mut windows = Windows::new(Pace::even(100, 20));
    for number in 0..1000 {
        windows.push(&format!("slow{}", number % 10), (id(number), 0), Age::Fresh);
    }
    let served_now = served(&mut windows).len();
    assert!((50..80).contains(&served_now), "{served_now}");
    windows.push("toto", (id(5000), 0), Age::Fresh);
    assert_eq!(served(&mut windows), ["toto"]);
    windows.landed(&"slow1".into(), Verdict::Nothing);
    assert_eq!(served(&mut windows), ["slow1"]);
}

#[test]
fn an_extension_is_the_same_user() {
    for text in ["Kevin@x", "kevin+a@x", "\\kevin@x"] {
        assert_eq!(Windows::user(&Address::parse(text).expect(text)), "kevin");
    }
    let item = Address::new("kevin|/bin/cat", None).expect("printable");
    assert_eq!(Windows::user(&item), "kevin");
}

#[test]
fn recipients_of_one_message_go_together() {
    let mut windows = Windows::new(hosts());
    for slot in 0..4 {
        windows.push("x", (id(1), slot), Age::Fresh);
    }
    windows.push("x", (id(2), 0), Age::Fresh);
    let turns: Vec<_> = std::iter::from_fn(|| windows.serve()).map(|turn| (turn.id, turn.slots)).collect();
    assert_eq!(turns, [(id(1), vec![0, 1, 2]), (id(1), vec![3]), (id(2), vec![0])]);
}

#[test]
fn a_window_opens_with_success_up_to_its_limit() {
    let mut windows = Windows::new(Pace { most: 1000, ..hosts() });
    (0..500).for_each(|number| drop(windows.push("x", (id(number), 0), Age::Fresh)));
    assert_eq!(served(&mut windows).len(), 5);
    for _ in 0..40 {
        windows.landed(&"x".into(), Verdict::Lives);
        served(&mut windows);
    }
    assert_eq!(windows.lines["x"].open, 20);
}

#[test]
fn a_round_of_failures_parks_and_one_success_frees() {
    let mut windows = Windows::new(hosts());
    (0..50).for_each(|number| drop(windows.push("x", (id(number), 0), Age::Fresh)));
    assert_eq!(served(&mut windows).len(), 5);
    let name: Name = "x".into();
    let mut out = Vec::new();
    for failure in 1..=4 {
        assert_eq!(out.len(), 0, "before failure {failure}");
        out = windows.landed(&name, fails());
    }
    assert_eq!(out.len(), 45, "all who waited are told to go");
    let parked = windows.parked("x").expect("parked").clone();
    assert!(matches!(parked.outcome(), Outcome::Deferred(status, text)
        if status.subject == 4 && text.starts_with("delivery temporarily suspended: connect to x[192.0.2.1]")));
    // The fifth was under way before: no second try, the pause stays.
    windows.landed(&name, fails());
    assert_eq!(windows.parked("x"), Some(&parked));
    // One who is sent there all the same is alone, and no try that counts.
    windows.push("x", (id(50), 0), Age::Again);
    assert_eq!(served(&mut windows), ["x"]);
    windows.landed(&name, fails());
    assert_eq!(windows.parked("x"), Some(&parked));
    // When the operator or time ends it, one probes.
    windows.wake_all();
    (60..70).for_each(|number| drop(windows.push("x", (id(number), 0), Age::Again)));
    assert_eq!(served(&mut windows), ["x"]);
    assert_eq!(windows.landed(&name, fails()).len(), 9);
    let again = windows.parked("x").expect("parked again");
    assert_eq!(again.pause, Duration::from_secs(600));
    windows.wake_all();
    (70..90).for_each(|number| drop(windows.push("x", (id(number), 0), Age::Again)));
    assert_eq!(served(&mut windows), ["x"]);
    assert_eq!(windows.landed(&name, Verdict::Lives), []);
    assert_eq!(served(&mut windows).len(), 6, "the first window and what the success adds");
}

#[test]
fn a_success_in_between_keeps_it_open() {
    let mut windows = Windows::new(hosts());
    (0..50).for_each(|number| drop(windows.push("x", (id(number), 0), Age::Fresh)));
    let name: Name = "x".into();
    for _ in 0..10 {
        served(&mut windows);
        assert_eq!(windows.landed(&name, fails()), []);
        served(&mut windows);
        assert_eq!(windows.landed(&name, Verdict::Lives), []);
    }
}

#[test]
fn dead_destinations_leave_half_of_the_places() {
    let mut windows = Windows::new(hosts());
    for number in 0..1000 {
        windows.push(&format!("dead{number}"), (id(number), 0), Age::Again);
    }
    assert_eq!(served(&mut windows).len(), 50);
    windows.push("alive", (id(5000), 0), Age::Fresh);
    assert_eq!(served(&mut windows), ["alive"]);
}

#[test]
fn a_pause_between_deliveries_is_kept() {
    let mut windows = Windows::new(Pace { each: Each { delay: Duration::from_secs(3600), ..EACH }, ..hosts() });
    windows.push("x", (id(1), 0), Age::Fresh);
    windows.push("x", (id(2), 0), Age::Fresh);
    assert_eq!(served(&mut windows).len(), 1);
    windows.landed(&"x".into(), Verdict::Lives);
    assert_eq!(windows.serve(), None);
    assert!(windows.next_rest().is_some_and(|at| at > Instant::now() + Duration::from_secs(3000)));
}

#[test]
fn a_transport_may_have_limits_of_its_own() {
    let slow = Each { initial: 1, limit: 2, together: 1, delay: Duration::ZERO };
    let mut windows = Windows::new(Pace { by_transport: vec![("relay", slow)], ..hosts() });
    for to in ["smtp:x", "relay:x"] {
        (1..=30).for_each(|number| drop(windows.push(to, (id(number), 0), Age::Fresh)));
    }
    let open = served(&mut windows);
    assert_eq!(open.iter().filter(|to| *to == "smtp:x").count(), 5);
    assert_eq!(open.iter().filter(|to| *to == "relay:x").count(), 1);
    (0..5).for_each(|_| drop(windows.landed(&"relay:x".into(), Verdict::Lives)));
    assert_eq!(served(&mut windows).len(), 2);
    // A reload makes it narrower, and a window that is open already counts no more.
    windows.set(Pace { by_transport: vec![("relay", Each { limit: 1, ..slow })], ..hosts() });
    (0..2).for_each(|_| drop(windows.landed(&"relay:x".into(), Verdict::Lives)));
    assert_eq!(served(&mut windows).len(), 1);
}

#[test]
fn feedback_is_read_as_postfix_writes_it() {
    for (text, at_four) in [("1", 1.0), ("0.5/concurrency", 0.125), ("1/sqrt_concurrency", 0.5), ("junk", 1.0)] {
        assert!((Feedback::parse(text).at(4.0) - at_four).abs() < 1e-9, "{text}");
    }
}
