//! Which recipients are served next: destinations take turns, and none has more than its window open.
//!
//! So mail for one slow user or host, or a flood for one, waits in its own line and delays nobody else's. When half of all
//! places are taken, the windows shrink: many slow destinations together do not take the rest. Those that answered with a
//! failure, or have nothing but old mail, never have more than half of the places.
//!
//! A window opens with each success and closes with each failure ([`Pace`], as Postfix's scheduler does). When failures make
//! a whole round ([`Pace::cohorts`]) the destination is parked: its line is emptied, what comes for it is told to wait, and when
//! the time is over one delivery alone tries it. Each vain try doubles the pause.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use handover::Outcome;
use mail::{Address, EnhancedStatus, QueueId};

/// A destination's name: the user, or transport and next hop.
pub type Name = Arc<str>;
/// Who waits: a message and the number of its recipient.
pub type Who = (QueueId, usize);

/// How windows open and close.
#[derive(Clone, Debug, PartialEq)]
pub struct Pace {
    /// Places in all.
    pub most: usize,
    /// What holds for a destination.
    pub each: Each,
    /// What holds instead for those whose name begins with this and a colon.
    pub by_transport: Vec<(&'static str, Each)>,
    /// What a success adds.
    pub success: Feedback,
    /// What a failure takes.
    pub failure: Feedback,
    /// So many rounds of failures park a destination; 0: none is parked.
    pub cohorts: f64,
    /// The first pause of a parked destination, and the longest.
    pub rest: (Duration, Duration),
}

/// How much one destination gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Each {
    /// The first window.
    pub initial: usize,
    /// The widest.
    pub limit: usize,
    /// Recipients of one message that are served together.
    pub together: usize,
    /// The pause after each delivery; more than none: one delivery at a time.
    pub delay: Duration,
}

/// A number that may depend on the window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Feedback {
    /// This.
    Fixed(f64),
    /// Divided by the window.
    PerWindow(f64),
    /// Divided by its square root.
    PerRoot(f64),
}

/// How a destination did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It lives.
    Lives,
    /// It could not be reached; that is what its mail waits for.
    Fails(EnhancedStatus, String),
    /// Nothing was learnt.
    Nothing,
}

/// Recipients that wait, by destination.
#[derive(Debug)]
pub struct Windows {
    pace: Pace,
    lines: HashMap<Name, Line>,
    /// Destinations that have somebody waiting and room for him.
    turns: VecDeque<Name>,
    open: usize,
    /// Of those, with destinations that are under suspicion.
    suspect: usize,
    /// Destinations that could be served but for the pause between deliveries, and when it ends.
    resting: Vec<(Instant, Name)>,
}

/// A destination.
#[derive(Debug)]
pub struct Line {
    each: Each,
    waiting: VecDeque<Who>,
    open: usize,
    /// How many of them were counted as suspect.
    suspect: usize,
    has_turn: bool,
    window: f64,
    failed_cohorts: f64,
    /// New mail waits here, or did.
    fresh: bool,
    parked: Option<Parked>,
    /// When the next delivery may begin.
    not_before: Option<Instant>,
    /// The last answer, and when it came.
    pub last: Option<(Instant, Verdict)>,
    /// Deliveries that were made, in this life of the program.
    pub made: u64,
    /// When this minute began, the deliveries in it, and those in the minute before.
    minute: (Instant, u64, u64),
}

/// A destination that is left in peace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parked {
    /// Until then.
    pub until: Instant,
    /// The pause, for the next one.
    pause: Duration,
    /// Why.
    pub status: EnhancedStatus,
    /// Why, in words.
    pub text: String,
}

/// Those to be served together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Their destination, where they are open until [`Windows::landed`].
    pub to: Name,
    /// Their message.
    pub id: QueueId,
    /// Their numbers.
    pub slots: Vec<usize>,
}

/// How old mail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// Tried for the first time.
    Fresh,
    /// Tried before.
    Again,
}

impl Feedback {
    /// Reads `1`, `0.5/concurrency`, `1/sqrt_concurrency`; nonsense counts as 1.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (number, by) = text.split_once('/').map_or((text, ""), |(number, by)| (number, by.trim()));
        let number =
            number.trim().parse().ok().filter(|n: &f64| n.is_finite() && (0.0..=1000.0).contains(n)).unwrap_or(1.0);
        match by {
            "concurrency" => Self::PerWindow(number),
            "sqrt_concurrency" => Self::PerRoot(number),
            _ => Self::Fixed(number),
        }
    }

    fn at(self, window: f64) -> f64 {
        match self {
            Self::Fixed(number) => number,
            Self::PerWindow(number) => number / window.max(1.0),
            Self::PerRoot(number) => number / window.max(1.0).sqrt(),
        }
    }
}

impl Pace {
    /// Without feedback: `most` in all, `most_each` for one destination, one recipient at a time.
    #[must_use]
    pub const fn even(most: usize, most_each: usize) -> Self {
        Self {
            most,
            each: Each { initial: most_each, limit: most_each, together: 1, delay: Duration::ZERO },
            by_transport: Vec::new(),
            success: Feedback::Fixed(0.0),
            failure: Feedback::Fixed(0.0),
            cohorts: 0.0,
            rest: (Duration::ZERO, Duration::ZERO),
        }
    }

    /// What holds for the destination of this name.
    fn of(&self, name: &str) -> Each {
        let transport = name.split_once(':').map_or("", |(transport, _)| transport);
        self.by_transport.iter().find(|(known, _)| *known == transport).map_or(self.each, |(_, each)| *each)
    }
}

impl Line {
    fn new(each: Each) -> Self {
        Self {
            each,
            waiting: VecDeque::new(),
            open: 0,
            suspect: 0,
            has_turn: false,
            window: as_real(each.initial.min(each.limit)),
            failed_cohorts: 0.0,
            fresh: false,
            parked: None,
            not_before: None,
            last: None,
            made: 0,
            minute: (Instant::now(), 0, 0),
        }
    }

    /// Deliveries in the last minute, or a little more.
    #[must_use]
    pub fn rate(&self) -> u64 {
        let (began, now, before) = self.minute;
        match began.elapsed().as_secs() {
            0..60 => now.max(before),
            60..120 => now,
            _ => 0,
        }
    }

    fn count(&mut self) {
        self.made += 1;
        let (began, now, _) = self.minute;
        self.minute = match began.elapsed().as_secs() {
            0..60 => (began, now + 1, self.minute.2),
            60..120 => (Instant::now(), 1, now),
            _ => (Instant::now(), 1, 0),
        };
    }

    /// How many may be open with it, as far as it alone is concerned.
    #[must_use]
    pub fn window(&self) -> usize {
        as_count(self.window)
    }

    /// How many wait, and how many are open.
    #[must_use]
    pub fn load(&self) -> (usize, usize) {
        (self.waiting.len(), self.open)
    }

    /// Why and until when it is left in peace.
    #[must_use]
    pub fn parked(&self) -> Option<&Parked> {
        self.parked.as_ref().filter(|parked| parked.until > Instant::now())
    }

    fn is_suspect(&self) -> bool {
        !self.fresh || self.parked.is_some() || self.failed_cohorts > 0.0
    }
}

impl Windows {
    /// Nobody waits yet.
    #[must_use]
    pub fn new(pace: Pace) -> Self {
        let (lines, turns, resting) = (HashMap::new(), VecDeque::new(), Vec::new());
        Self { pace, lines, turns, open: 0, suspect: 0, resting }
    }

    /// From now on this pace. Windows that are open stay.
    pub fn set(&mut self, pace: Pace) {
        self.lines.iter_mut().for_each(|(name, line)| line.each = pace.of(name));
        self.pace = pace;
    }

    /// The line a recipient of ours waits in.
    #[must_use]
    pub fn user(address: &Address) -> String {
        let local = address.local().trim_start_matches('\\');
        let end = local.find(['+', '\\', '|', '/']).filter(|at| *at > 0).unwrap_or(local.len());
        local[..end].to_lowercase()
    }

    /// All destinations that are known.
    pub fn lines(&self) -> impl Iterator<Item = (&Name, &Line)> {
        self.lines.iter()
    }

    /// Why mail for this destination has to wait, if it has.
    #[must_use]
    pub fn parked(&self, to: &str) -> Option<&Parked> {
        self.lines.get(to)?.parked()
    }

    /// Nobody is left in peace any more: the operator wants a try now.
    pub fn wake_all(&mut self) {
        let now = Instant::now();
        self.lines.values_mut().filter_map(|line| line.parked.as_mut()).for_each(|parked| parked.until = now);
    }

    /// How many this destination may have open, as far as it alone is concerned.
    fn widest(&self, line: &Line) -> usize {
        if line.parked.is_some() || !line.each.delay.is_zero() { 1 } else { line.window().min(line.each.limit) }
    }

    /// How many it may have open now.
    fn room(&self, line: &Line) -> usize {
        let widest = self.widest(line);
        if self.open * 2 < self.pace.most { widest } else { widest.min(line.each.limit.div_ceil(10)).max(1) }
    }

    /// Puts a recipient at the end of its line. The line's name comes back, for whoever keeps it.
    pub fn push(&mut self, to: &str, who: Who, age: Age) -> Name {
        let name = match self.lines.get_key_value(to) {
            Some((name, _)) => Arc::clone(name),
            None => {
                let name: Name = to.into();
                self.lines.insert(Arc::clone(&name), Line::new(self.pace.of(to)));
                name
            }
        };
        if let Some(line) = self.lines.get_mut(&name) {
            line.fresh |= age == Age::Fresh;
            line.waiting.push_back(who);
        }
        self.take_turn(&name, Self::room);
        name
    }

    /// Gets in line for a turn, if there is somebody to serve and room for him.
    fn take_turn(&mut self, name: &Name, room: fn(&Self, &Line) -> usize) {
        let Some(line) = self.lines.get(name) else { return };
        if line.has_turn || line.waiting.is_empty() || line.open >= room(self, line) {
            return;
        }
        let now = Instant::now();
        match line.not_before.filter(|at| *at > now) {
            Some(at) => self.resting.push((at, Arc::clone(name))),
            None => self.turns.push_back(Arc::clone(name)),
        }
        if let Some(line) = self.lines.get_mut(name) {
            line.has_turn = true;
        }
    }

    /// When somebody who rests between two deliveries may be served.
    #[must_use]
    pub fn next_rest(&self) -> Option<Instant> {
        self.resting.iter().map(|(at, _)| *at).min()
    }

    /// The next to be served.
    pub fn serve(&mut self) -> Option<Turn> {
        let now = Instant::now();
        if !self.resting.is_empty() {
            let (over, resting) = std::mem::take(&mut self.resting).into_iter().partition(|(at, _)| *at <= now);
            self.resting = resting;
            let over: Vec<(Instant, Name)> = over;
            self.turns.extend(over.into_iter().map(|(_, name)| name));
        }
        let mut passed_over = Vec::new();
        let mut found = None;
        while self.open < self.pace.most {
            let Some(name) = self.turns.pop_front() else { break };
            let Some(line) = self.lines.get_mut(&name) else { continue };
            if line.is_suspect() && self.pace.cohorts > 0.0 && self.suspect * 2 >= self.pace.most {
                passed_over.push(name);
                continue;
            }
            line.has_turn = false;
            let Some((id, first)) = line.waiting.pop_front() else { continue };
            let mut slots = vec![first];
            while slots.len() < line.each.together
                && let Some((_, slot)) = line.waiting.pop_front_if(|(other, _)| *other == id)
            {
                slots.push(slot);
            }
            let suspect = usize::from(line.is_suspect());
            (line.open, line.suspect) = (line.open + 1, line.suspect + suspect);
            (self.open, self.suspect) = (self.open + 1, self.suspect + suspect);
            if !line.each.delay.is_zero() {
                line.not_before = Some(now + line.each.delay);
            }
            self.take_turn(&name, Self::room);
            found = Some(Turn { to: name, id, slots });
            break;
        }
        for name in passed_over.into_iter().rev() {
            self.turns.push_front(name);
        }
        found
    }

    /// Those of one turn are open no more. If the destination is parked thereby, all who wait for it come back.
    pub fn landed(&mut self, to: &Name, verdict: Verdict) -> Vec<Who> {
        let Some(line) = self.lines.get_mut(to) else { return Vec::new() };
        line.open = line.open.saturating_sub(1);
        self.open = self.open.saturating_sub(1);
        if line.suspect > line.open {
            line.suspect -= 1;
            self.suspect = self.suspect.saturating_sub(1);
        }
        let out = line.learn(&self.pace, verdict);
        if line.waiting.is_empty() && line.open == 0 && line.is_forgettable(&self.pace) {
            self.lines.remove(to);
        } else {
            // One for one: what all have open does not grow thereby.
            self.take_turn(to, Self::widest);
        }
        out
    }

    /// All who wait, when nobody can serve them.
    pub fn drain(&mut self) -> Vec<Who> {
        self.lines.values_mut().flat_map(|line| std::mem::take(&mut line.waiting)).collect()
    }

    /// Forgets destinations that nothing was heard of for a long time.
    pub fn forget(&mut self, after: Duration) {
        let old = |line: &Line| line.last.as_ref().is_none_or(|(at, _)| at.elapsed() > after);
        self.lines.retain(|_, line| line.open > 0 || !line.waiting.is_empty() || line.parked().is_some() || !old(line));
    }
}

impl Line {
    /// Nothing has to be remembered about a destination without feedback.
    fn is_forgettable(&self, pace: &Pace) -> bool {
        pace.cohorts == 0.0 && self.last.is_none()
    }

    fn learn(&mut self, pace: &Pace, verdict: Verdict) -> Vec<Who> {
        let out = match &verdict {
            Verdict::Nothing => return Vec::new(),
            Verdict::Lives => {
                if self.parked.take().is_some() {
                    self.window = as_real(self.each.initial.min(self.each.limit));
                }
                self.failed_cohorts = 0.0;
                self.count();
                // Wider than there was use for it would open a flood at once later.
                if self.window < as_real(self.open + 1 + self.each.initial) {
                    self.window = (self.window + pace.success.at(self.window)).min(as_real(self.each.limit));
                }
                Vec::new()
            }
            Verdict::Fails(status, text) => {
                self.failed_cohorts += 1.0 / self.window.max(1.0);
                self.window = (self.window - pace.failure.at(self.window)).max(1.0);
                let probe = self.parked.is_some();
                if pace.cohorts > 0.0 && (probe || self.failed_cohorts >= pace.cohorts) {
                    self.park(pace, *status, text);
                    std::mem::take(&mut self.waiting).into()
                } else {
                    Vec::new()
                }
            }
        };
        self.last = Some((Instant::now(), verdict));
        out
    }

    fn park(&mut self, pace: &Pace, status: EnhancedStatus, text: &str) {
        let pause = match &self.parked {
            // Several deliveries that began before the first failure count as one try.
            Some(parked) if parked.until > Instant::now() => return,
            Some(parked) => (parked.pause * 2).min(pace.rest.1.max(pace.rest.0)),
            None => pace.rest.0,
        };
        self.window = 1.0;
        self.parked = Some(Parked { until: Instant::now() + pause, pause, status, text: text.to_owned() });
    }
}

impl Parked {
    /// What mail for the destination is told.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        let text = match self.text.strip_prefix(SUSPENDED) {
            Some(_) => self.text.clone(),
            None => format!("{SUSPENDED}{}", self.text),
        };
        Outcome::Deferred(self.status, text)
    }
}

const SUSPENDED: &str = "delivery temporarily suspended: ";

#[allow(clippy::cast_precision_loss, reason = "windows are far below 2^52")]
const fn as_real(count: usize) -> f64 {
    count as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "kept between 1 and the limit")]
const fn as_count(window: f64) -> usize {
    window as usize
}

#[cfg(test)]
mod tests;
