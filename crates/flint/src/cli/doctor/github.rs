//! The App's credentials: whether the key is one and, if that is wanted, whether GitHub knows the App.

use super::Line;
use crate::assemble;
use crate::cli::block_on;
use crate::config::GithubOptions;
use crate::error::chain;

/// All lines about GitHub.
pub(super) fn look(github: &GithubOptions, ask: bool) -> Vec<Line> {
    let key = match assemble::github_key(github) {
        Ok(()) => Line::ok("private key", "an RSA key".to_owned()),
        Err(error) => {
            let fix = "make a new one on the App's page (Private keys) and download its .pem file";
            return vec![Line::bad(
                "private key",
                chain(&error),
                error.help().as_deref().unwrap_or(fix),
            )];
        }
    };
    let mut lines = vec![key];
    lines.extend(ask.then(|| known(github)));
    lines
}

/// One token, one list of runners: what registering needs, and nothing is changed by it.
fn known(github: &GithubOptions) -> Line {
    let asked = block_on(assemble::ask_github(github));
    match asked {
        Ok(Ok(())) => Line::ok("app", format!("{} lets it list runners", github.url)),
        Ok(Err(error)) => {
            let fix = "look at the App's permissions and where it is installed";
            Line::bad("app", chain(&error), error.help().as_deref().unwrap_or(fix))
        }
        Err(problem) => Line::bad("app", problem.error.to_string(), "free memory or threads"),
    }
}
