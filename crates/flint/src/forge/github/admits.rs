//! Which repositories the runner group admits, as GitHub said in the last minutes.

use flint_core::units::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// An administrator who changes the group sees it in `flint why` after this at the latest.
const HOLDS: Duration = Duration::from_secs(10 * 60);
/// As many repositories as are followed.
const MOST: usize = 500;

/// Answers by repository.
#[derive(Default)]
pub(super) struct Admits(BTreeMap<String, (Timestamp, Option<bool>)>);

impl Admits {
    /// What is known; `None`: it must be asked.
    pub(super) fn get(&self, repository: &str, now: Timestamp) -> Option<Option<bool>> {
        let (at, admitted) = self.0.get(repository)?;
        // A clock that was set back makes it old, not everlasting.
        (*at <= now && now < at.after(HOLDS)).then_some(*admitted)
    }

    pub(super) fn put(&mut self, repository: &str, now: Timestamp, admitted: Option<bool>) {
        self.0.retain(|_, (at, _)| *at <= now && now < at.after(HOLDS));
        if self.0.len() < MOST {
            self.0.insert(repository.to_owned(), (now, admitted));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_for_ten_minutes_and_not_before_it_was_given() {
        let mut admits = Admits::default();
        let at = Timestamp(1_000_000_000);
        admits.put("o/r", at, Some(false));
        admits.put("o/silent", at, None);
        assert_eq!(admits.get("o/r", at), Some(Some(false)));
        assert_eq!(admits.get("o/silent", at), Some(None));
        assert_eq!(admits.get("o/r", at.after(HOLDS)), None);
        assert_eq!(admits.get("o/r", Timestamp(at.0 - 1)), None);
        assert_eq!(admits.get("o/other", at), None);
    }

    #[test]
    fn it_holds_no_more_than_its_bound() {
        let mut admits = Admits::default();
        (0..2 * MOST).for_each(|n| admits.put(&n.to_string(), Timestamp(5), Some(true)));
        assert_eq!(admits.0.len(), MOST);
        admits.put("new", Timestamp(5).after(HOLDS), Some(true));
        assert_eq!(admits.0.len(), 1, "the old ones have gone");
    }
}
