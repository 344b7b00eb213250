//! GitHub's side by itself, for `flint doctor`.

use super::options;
use crate::config::{GithubOptions, Scope};
use crate::forge::{Error, GitHub, Options};

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

/// A client of an entry's App or token, for one of its scopes. Asks nobody.
///
/// # Errors
/// [`Error`] with what is wrong with its key.
pub fn github(github: &GithubOptions, scope: &Scope) -> Result<(GitHub, Options), Error> {
    let options = options::forge(github, scope);
    Ok((GitHub::new(&options, NOBODY)?, options))
}
