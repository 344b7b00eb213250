//! GitHub's side by itself, for `flint doctor`.

use super::options;
use crate::config::{GithubOptions, Scope};
use crate::forge::{Error, GitHub, Options, runner_rule};
use flint_core::runner_version::Rule;

/// No runner is named by it: nothing is registered here.
const NOBODY: &str = "doctor";

/// A client of an entry's App or token, for what is the same in all of its scopes. Asks nobody.
///
/// # Errors
/// [`Error`] with what is wrong with its key.
pub fn of_entry(github: &GithubOptions) -> Result<GitHub, Error> {
    let scope = github.scopes.first().expect("an entry without a scope is refused");
    self::github(github, scope).map(|(client, _)| client)
}

/// The entry that says how new a runner has to be. Images serve all entries alike, so it is one whose GitHub gives no jobs to
/// old runners, and which lists the newest: an Enterprise Server names the version that came with it.
#[must_use]
pub fn strictest(entries: &[GithubOptions]) -> Option<&GithubOptions> {
    entries.iter().find(|entry| runner_rule(&entry.url) == Rule::Enforced).or(entries.first())
}

/// A client of an entry's App or token, for one of its scopes. Asks nobody.
///
/// # Errors
/// [`Error`] with what is wrong with its key.
pub fn github(github: &GithubOptions, scope: &Scope) -> Result<(GitHub, Options), Error> {
    let options = options::forge(github, scope);
    Ok((GitHub::new(&options, NOBODY)?, options))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Credentials, RunnerGroup, Webhooks};
    use flint_wire::Secret;

    fn entry(url: &str) -> GithubOptions {
        GithubOptions {
            ca_certificates: None,
            url: url::Url::parse(url).expect("it is one"),
            scopes: vec![Scope::Organization("acme".to_owned())],
            credentials: Credentials::Token(Secret::new(String::new())),
            webhooks: Webhooks::Refused,
            runner_group: RunnerGroup::Number(1),
        }
    }

    #[test]
    fn an_enterprise_server_does_not_say_how_new_a_runner_of_github_com_has_to_be() {
        let server = entry("https://ghes.example/api/v3");
        let (cloud, tenant) = (entry("https://api.github.com"), entry("https://api.acme.ghe.com"));
        let chosen = |entries: &[&GithubOptions]| {
            let entries: Vec<GithubOptions> =
                entries.iter().map(|entry| (*entry).clone()).collect();
            strictest(&entries).map(|entry| entry.url.to_string())
        };
        assert_eq!(chosen(&[&server, &cloud]).as_deref(), Some("https://api.github.com/"));
        assert_eq!(chosen(&[&server, &tenant]).as_deref(), Some("https://api.acme.ghe.com/"));
        assert_eq!(chosen(&[&server]).as_deref(), Some("https://ghes.example/api/v3"));
        assert_eq!(chosen(&[]), None);
    }
}
