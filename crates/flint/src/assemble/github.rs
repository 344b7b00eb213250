//! GitHub's side by itself, for `flint doctor`.

use super::options;
use crate::config::GithubOptions;
use crate::forge::{Error, GitHub, Options};

/// No runner is named by it: nothing is registered here.
const NOBODY: &str = "doctor";

/// A client of the configured App. Asks nobody.
///
/// # Errors
/// [`Error`] with what is wrong with its key.
pub fn github(github: &GithubOptions) -> Result<(GitHub, Options), Error> {
    let options = options::forge(github);
    Ok((GitHub::new(&options, NOBODY)?, options))
}
