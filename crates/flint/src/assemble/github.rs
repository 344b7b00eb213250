//! Whether GitHub's side would work, for `flint doctor`.

use super::options;
use crate::config::GithubOptions;
use crate::forge::{Error, GitHub};

/// No runner is named by it: nothing is registered here.
const NOBODY: &str = "doctor";

/// Whether the App's key can be used. Asks nobody.
///
/// # Errors
/// [`Error`] with what is wrong with it.
pub fn github_key(github: &GithubOptions) -> Result<(), Error> {
    GitHub::new(&options::forge(github), NOBODY).map(drop)
}

/// Whether GitHub knows the App and lets it list runners.
///
/// # Errors
/// [`Error`] with whatever stands in the way.
pub async fn ask_github(github: &GithubOptions) -> Result<(), Error> {
    GitHub::new(&options::forge(github), NOBODY)?.check().await
}
