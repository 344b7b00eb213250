//! Sends failed webhooks again, in place of a daemon that would ask GitHub for them.

use crate::github::{FakeGithub, HookView};
use std::collections::BTreeMap;

/// Sends again what was answered by nobody, as an operator would who reads GitHub's list of failed deliveries.
pub(super) fn tell_again(github: &FakeGithub) {
    let mut last: BTreeMap<String, HookView> = BTreeMap::new();
    for sent in github.deliveries() {
        let known = last.get(&sent.guid).is_some_and(answered);
        if !known {
            last.insert(sent.guid.clone(), sent);
        }
    }
    for failed in last.values().filter(|sent| !answered(sent)) {
        // The list is the one it was taken from.
        let _there = github.redeliver(failed.id);
    }
}

fn answered(sent: &HookView) -> bool {
    (200..300).contains(&sent.status_code)
}
