//! What is to be taken up: new messages and those to be tried again take turns, so that a long queue which comes due at
//! once, or an operator who flushes it, delays no new mail, and a flood of new mail stops no retry.

use std::collections::VecDeque;

use mail::QueueId;
use spool::Queue;

/// Messages, and where they are.
#[derive(Debug, Default)]
pub(super) struct Ready {
    fresh: VecDeque<(QueueId, Queue)>,
    again: VecDeque<(QueueId, Queue)>,
    again_is_next: bool,
}

impl Ready {
    /// Puts a message at the end of its line.
    pub(super) fn push(&mut self, message: (QueueId, Queue)) {
        match message.1 {
            Queue::Deferred => self.again.push_back(message),
            Queue::Incoming | Queue::Active | Queue::Hold | Queue::Corrupt => self.fresh.push_back(message),
        }
    }

    /// The next to be taken up; of those to be tried again only if there is room for `retries`.
    pub(super) fn next(&mut self, retries: bool) -> Option<(QueueId, Queue)> {
        if !retries {
            return self.fresh.pop_front();
        }
        let again_is_next = self.again_is_next;
        self.again_is_next = !again_is_next;
        let (first, other) =
            if again_is_next { (&mut self.again, &mut self.fresh) } else { (&mut self.fresh, &mut self.again) };
        first.pop_front().or_else(|| other.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_mail_and_retries_take_turns() {
        let mut ready = Ready::default();
        let id = |number| QueueId::new(number, 0);
        (0..4).for_each(|number| ready.push((id(number), Queue::Deferred)));
        assert_eq!(ready.next(false), None);
        ready.push((id(8), Queue::Incoming));
        ready.push((id(9), Queue::Active));
        let order: Vec<u64> = std::iter::from_fn(|| ready.next(true)).map(|(id, _)| id.micros()).collect();
        assert_eq!(order, [8, 0, 9, 1, 2, 3]);
    }
}
