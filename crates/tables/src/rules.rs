//! Rules in their order, some of them between `if` and `endif`: what tables of patterns and of networks have in common.

use std::path::Path;
use std::sync::Arc;

use crate::text::logical_lines;
use crate::{Found, Problem};

/// The rules of a file: tests of type `T`, answers of type `A`.
#[derive(Debug)]
pub(crate) struct Rules<T, A> {
    file: Arc<Path>,
    rules: Vec<Rule<T, A>>,
    /// Lines that make no sense, left out.
    pub(crate) passed_over: Vec<Problem>,
}

#[derive(Debug)]
struct Rule<T, A> {
    line: usize,
    test: T,
    then: Then<A>,
}

#[derive(Debug)]
enum Then<A> {
    Answer(A),
    /// Else go on with the rule of this number, behind `endif`.
    If(usize),
}

/// What a line says.
pub(crate) enum Line<T, A> {
    Answer(T, A),
    If(T),
}

impl<T, A> Rules<T, A> {
    /// Reads the text of a table; `parse_line` understands all lines but `endif`. A rule that makes no sense is passed over,
    /// as in Postfix.
    ///
    /// # Errors
    /// An `if` or `endif` that makes no sense: nobody knows then what the other rules are about.
    pub(crate) fn parse(
        file: &Path,
        text: &str,
        parse_line: impl Fn(&str) -> Result<Line<T, A>, String>,
    ) -> Result<Self, Vec<Problem>> {
        let mut rules: Vec<Rule<T, A>> = Vec::new();
        let (mut open, mut problems, mut passed_over) = (Vec::new(), Vec::new(), Vec::new());
        let problem = |line, text: String| Problem { file: file.into(), line, text };
        for (line, text) in logical_lines(text) {
            if text.eq_ignore_ascii_case("endif") {
                let end = rules.len();
                match open.pop().and_then(|at: usize| rules.get_mut(at)) {
                    Some(opened) => opened.then = Then::If(end),
                    None => problems.push(problem(line, "\"endif\" without \"if\"".into())),
                }
                continue;
            }
            match parse_line(&text) {
                Ok(Line::Answer(test, answer)) => rules.push(Rule { line, test, then: Then::Answer(answer) }),
                Ok(Line::If(test)) => {
                    open.push(rules.len());
                    rules.push(Rule { line, test, then: Then::If(0) });
                }
                Err(why) if is_condition(&text) => problems.push(problem(line, why)),
                Err(why) => passed_over.push(problem(line, why)),
            }
        }
        if problems.is_empty() {
            let opened = open.iter().filter_map(|at| rules.get(*at));
            problems.extend(opened.map(|rule| problem(rule.line, "\"endif\" is missing for this \"if\"".into())));
        }
        if problems.is_empty() { Ok(Self { file: file.into(), rules, passed_over }) } else { Err(problems) }
    }

    /// What the first rule says that has an answer and stands in no `if` whose test fails.
    pub(crate) fn find(&self, holds: impl Fn(&T) -> bool, answer: impl Fn(&T, &A) -> Option<String>) -> Option<Found> {
        let mut at = 0;
        while let Some(rule) = self.rules.get(at) {
            at += 1;
            match &rule.then {
                Then::If(end) if !holds(&rule.test) => at = *end,
                Then::If(_) => {}
                Then::Answer(it) => {
                    if let Some(value) = answer(&rule.test, it) {
                        return Some(Found { value, file: self.file.clone(), line: rule.line });
                    }
                }
            }
        }
        None
    }
}

fn is_condition(text: &str) -> bool {
    text.get(..2).is_some_and(|word| word.eq_ignore_ascii_case("if"))
}
