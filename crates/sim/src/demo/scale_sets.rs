//! The demo without webhooks: each profile hears of its jobs by a scale set.

use super::daemon::profiles;
use crate::github::FakeGithub;

/// What is written differently.
pub(super) fn configure(config: &mut toml::Table) {
    if let Some(github) = config.get_mut("github").and_then(toml::Value::as_table_mut) {
        github.remove("webhook_secret");
    }
    for profile in profiles(config) {
        profile.insert("source".to_owned(), "scale-set".into());
    }
}

/// What is not as it should be at GitHub when the daemon has ended: the sets stay, their sessions do not.
pub(super) fn wrong(github: &FakeGithub) -> Vec<String> {
    let sets = github.sets();
    let mut wrong = Vec::new();
    if sets.len() != 3 {
        wrong.push(format!("GitHub has {} scale sets", sets.len()));
    }
    for set in &sets {
        if let Some(owner) = &set.owner {
            wrong.push(format!("{owner} still has the session of scale set {}", set.name));
        }
        if !set.unacknowledged.is_empty() {
            wrong.push(format!("messages of scale set {} were not acknowledged", set.name));
        }
    }
    if github.delivered() > 0 {
        wrong.push(format!("{} webhooks were sent", github.delivered()));
    }
    wrong
}
