//! Which deliveries this process has dealt with, so that the overlap of the next question does not fetch them again.
//!
//! A fact that was told is not yet on disk: the store may refuse it. It is, once a later question looks back less far,
//! for only an answer that was committed whole moves that moment.

use flint_core::units::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Two hours of an organization with a thousand jobs an hour of which nothing is delivered.
const MOST: usize = 10_000;

/// GitHub's server may fail at one delivery for ever; it must not keep all later ones from being taken as read.
const MOST_TRIES: u32 = 3;

/// Deliveries by their GUIDs.
#[derive(Default)]
pub(super) struct Memory {
    /// On disk, or of no use.
    settled: BTreeSet<String>,
    /// In the order in which they came.
    order: VecDeque<String>,
    /// Told to the question that looked back so far, and not known to be on disk.
    told: (Timestamp, BTreeSet<String>),
    /// How often the fetching of one failed.
    failed: BTreeMap<String, u32>,
}

/// What is known of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Known {
    /// Nothing.
    New,
    /// It was told, and may be on disk.
    Told,
    /// Nothing is left to do about it.
    Settled,
}

impl Memory {
    /// A question that looks back to `since` begins.
    pub(super) fn begin(&mut self, since: Timestamp) {
        if self.told.0 < since {
            std::mem::take(&mut self.told.1).into_iter().for_each(|guid| self.settle(guid));
            self.failed.clear();
        }
        self.told.0 = since;
    }

    pub(super) fn of(&self, guid: &str) -> Known {
        match () {
            () if self.settled.contains(guid) => Known::Settled,
            () if self.told.1.contains(guid) => Known::Told,
            () => Known::New,
        }
    }

    /// Its fact is in the answer.
    pub(super) fn tell(&mut self, guid: String) {
        self.told.1.insert(guid);
        while self.told.1.len() > MOST {
            self.told.1.pop_first();
        }
    }

    /// Nothing is left to do about it.
    pub(super) fn settle(&mut self, guid: String) {
        self.failed.remove(&guid);
        if self.settled.insert(guid.clone()) {
            self.order.push_back(guid);
        }
        while self.order.len() > MOST {
            let oldest = self.order.pop_front();
            oldest.map(|guid| self.settled.remove(&guid));
        }
    }

    /// It could not be fetched. Says whether it is given up by that.
    pub(super) fn fail(&mut self, guid: &str) -> bool {
        if self.failed.len() >= MOST {
            self.failed.clear();
        }
        let tries = self.failed.entry(guid.to_owned()).or_default();
        *tries += 1;
        let over = *tries >= MOST_TRIES;
        if over {
            self.settle(guid.to_owned());
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_told_is_settled_only_when_a_later_question_looks_back_less_far() {
        let mut memory = Memory::default();
        memory.begin(Timestamp(5));
        memory.tell("a".to_owned());
        assert_eq!(memory.of("a"), Known::Told);
        memory.begin(Timestamp(5));
        assert_eq!(memory.of("a"), Known::Told, "the store did not take the answer");
        memory.begin(Timestamp(4));
        assert_eq!(memory.of("a"), Known::Told, "nor this time");
        memory.begin(Timestamp(6));
        assert_eq!((memory.of("a"), memory.of("b")), (Known::Settled, Known::New));
    }

    #[test]
    fn what_cannot_be_fetched_is_given_up_after_some_questions() {
        let mut memory = Memory::default();
        assert_eq!([memory.fail("a"), memory.fail("a"), memory.fail("a")], [false, false, true]);
        assert_eq!(memory.of("a"), Known::Settled);
    }

    #[test]
    fn it_holds_no_more_than_its_bound() {
        let mut memory = Memory::default();
        memory.begin(Timestamp(1));
        for n in 0..2 * MOST {
            memory.settle(format!("s{n}"));
            memory.tell(format!("t{n}"));
            memory.fail(&format!("f{n}"));
        }
        assert_eq!((memory.settled.len(), memory.order.len()), (MOST, MOST));
        assert!(memory.told.1.len() <= MOST && memory.failed.len() <= MOST);
        assert_eq!(
            (memory.of("s0"), memory.of(&format!("s{}", 2 * MOST - 1))),
            (Known::New, Known::Settled)
        );
    }
}
