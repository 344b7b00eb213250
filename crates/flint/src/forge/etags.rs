//! What GitHub answered before, to be used again when it says that nothing has changed. Bounded in number and size.

use reqwest::header::HeaderValue;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Some hundred repositories with a few runs each.
const MOST: usize = 1_000;
/// Together, in bytes.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// One that is longer is not kept: it would push out everything else.
const LONGEST: usize = MOST_BYTES / 8;

/// Answers by their URL, the oldest of which goes first.
#[derive(Default)]
pub(super) struct Etags {
    kept: BTreeMap<String, Kept>,
    /// In the order in which they came.
    order: VecDeque<String>,
    bytes: usize,
}

/// One answer.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) etag: HeaderValue,
    pub(super) body: Arc<Zeroizing<Vec<u8>>>,
    pub(super) next: Option<String>,
}

impl Etags {
    pub(super) fn get(&self, url: &str) -> Option<Kept> {
        self.kept.get(url).cloned()
    }

    pub(super) fn put(&mut self, url: String, kept: Kept) {
        self.remove(&url);
        if kept.body.len() > LONGEST {
            return;
        }
        self.bytes += kept.body.len();
        self.order.push_back(url.clone());
        self.kept.insert(url, kept);
        while self.order.len() > MOST || self.bytes > MOST_BYTES {
            let Some(oldest) = self.order.front().cloned() else { return };
            self.remove(&oldest);
        }
    }

    fn remove(&mut self, url: &str) {
        if let Some(kept) = self.kept.remove(url) {
            self.bytes -= kept.body.len();
            self.order.retain(|known| known != url);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(length: usize) -> Kept {
        let etag = HeaderValue::from_static("\"a\"");
        Kept { etag, body: Arc::new(Zeroizing::new(vec![0; length])), next: None }
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let mut etags = Etags::default();
        (0..=MOST).for_each(|n| etags.put(n.to_string(), kept(1)));
        assert_eq!((etags.kept.len(), etags.bytes), (MOST, MOST));
        assert!(etags.get("0").is_none() && etags.get("1").is_some());
    }

    #[test]
    fn the_oldest_go_when_they_are_too_long_together() {
        let mut etags = Etags::default();
        (0..40).for_each(|n| etags.put(n.to_string(), kept(LONGEST)));
        assert_eq!((etags.kept.len(), etags.bytes), (8, MOST_BYTES));
        etags.put("39".to_owned(), kept(LONGEST + 1));
        assert!(etags.get("39").is_none(), "its answer is another one now");
        assert_eq!(etags.bytes, 7 * LONGEST);
    }

    #[test]
    fn a_new_answer_takes_the_place_of_the_old_one() {
        let mut etags = Etags::default();
        etags.put("u".to_owned(), kept(5));
        etags.put("u".to_owned(), kept(7));
        assert_eq!((etags.bytes, etags.order.len()), (7, 1));
    }
}
