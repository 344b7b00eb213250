//! The credentials of each scope: whether the key is one and, if that is wanted, what GitHub says of the App.

use super::Line;
use super::app::{self, Seen};
use crate::assemble;
use crate::cli::block_on;
use crate::config::{GithubOptions, Scope};
use crate::error::{Problem, chain};
use crate::forge::scale_set::ScaleSets;
use crate::forge::{Credentials, Error, GitHub, Options, Proxy, Unready, clock};
use flint_core::id::ScopeId;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The first Enterprise Server whose scale sets may have labels besides their name.
const MORE_LABELS: (u32, u32) = (3, 21);

/// How much is asked of GitHub.
#[derive(Clone, Copy)]
pub(in crate::cli) enum Asking<'a> {
    /// Nothing.
    Nothing,
    /// Everything; these scopes have scale sets.
    All(&'a BTreeSet<ScopeId>),
}

/// All lines about GitHub: a group for each scope, which names it if there are several.
pub(in crate::cli) fn look(entries: &[GithubOptions], asking: Asking<'_>) -> Vec<Line> {
    let scopes =
        entries.iter().flat_map(|entry| entry.scopes.iter().map(move |scope| (entry, scope)));
    let mut groups: Vec<(String, Vec<Line>)> =
        scopes.map(|(entry, scope)| (scope.id().to_string(), one(entry, scope, asking))).collect();
    if let [(_, lines)] = groups.as_mut_slice() {
        return std::mem::take(lines);
    }
    let named = groups.into_iter().flat_map(|(scope, lines)| {
        lines.into_iter().map(move |line| line.of(&scope)).collect::<Vec<_>>()
    });
    named.collect()
}

fn one(github: &GithubOptions, scope: &Scope, asking: Asking<'_>) -> Vec<Line> {
    let (client, options) = match assemble::github(github, scope) {
        Ok(made) => made,
        Err(error @ Error::Client { source: Unready::Proxy { .. } }) => {
            return vec![bad("proxy", &error, "unset it")];
        }
        Err(error) => {
            let fix = "make a new one on the App's page (Private keys) and download its .pem file";
            return vec![bad("private key", &error, fix)];
        }
    };
    let mut lines: Vec<Line> = Proxy::of(&github.url).map(proxy).into_iter().collect();
    let is_token = matches!(options.credentials, Credentials::Token(_));
    lines.push(if is_token { token() } else { Line::ok("private key", "an RSA key".to_owned()) });
    let Asking::All(sets) = asking else { return lines };
    lines.extend(if is_token { proofs(&client, &options) } else { asked(&client, &options) });
    if sets.contains(&scope.id()) {
        lines.push(scale_sets(&client, &options));
    }
    // After the answers, which tell it.
    lines.extend(
        client.caller().server().map(|version| server(version, sets.contains(&scope.id()))),
    );
    let skew = client.caller().skew();
    lines.extend(skew.map(|skew| Line::bad("clock", clock::words(skew), clock::FIX)));
    lines
}

/// The daemon's own variables may be others than this command's.
fn proxy(proxy: Proxy) -> Line {
    Line::ok(
        "proxy",
        format!("GitHub is asked through {proxy}, as this command's environment has it"),
    )
}

fn token() -> Line {
    let fix = "an App has rights of its own, and its lost webhooks are found sooner: `flint init` makes one";
    Line::note("token", "a personal access token, in place of an App", fix)
}

/// What a person's token is good for.
fn proofs(client: &GitHub, options: &Options) -> Vec<Line> {
    match block_on(client.prove()) {
        Ok(proofs) => app::proved(&proofs, &options.scope),
        Err(problem) => vec![idle("runners", &problem)],
    }
}

/// Whether the service that scale sets are asked of lets us in: it is on a host of its own.
fn scale_sets(client: &GitHub, options: &Options) -> Line {
    const ITEM: &str = "scale sets";
    let asked = block_on(async {
        let sets = ScaleSets::new(Arc::clone(client.caller()), options.scope.clone())?;
        sets.check().await
    });
    match asked {
        Ok(Ok(())) => Line::ok(ITEM, "GitHub's service for them lets us in"),
        Ok(Err(error)) => {
            let fix = "let this host reach it: *.actions.githubusercontent.com";
            Line::bad(ITEM, chain(&error), error.help().as_deref().unwrap_or(fix))
        }
        Err(problem) => idle(ITEM, &problem),
    }
}

/// What it answers with each call.
fn server(version: &str, has_sets: bool) -> Line {
    const ITEM: &str = "server";
    let reading = format!("GitHub Enterprise Server {version}");
    let mut parts = version.split('.').map(str::parse::<u32>);
    let old = matches!((parts.next(), parts.next()), (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < MORE_LABELS);
    if has_sets && old {
        let (major, minor) = MORE_LABELS;
        let fix = format!("ask for a set by its name alone; {major}.{minor} takes more labels");
        return Line::note(ITEM, format!("{reading}: a scale set has no label but its name"), &fix);
    }
    Line::ok(ITEM, reading)
}

/// Nothing can be asked.
fn idle(item: &'static str, problem: &Problem) -> Line {
    Line::bad(item, problem.error.to_string(), "free memory or threads")
}

/// Reads only: nothing at GitHub is changed by it.
fn asked(client: &GitHub, options: &Options) -> Vec<Line> {
    let asked = block_on(async {
        let app = match client.app().await {
            Ok(app) => app,
            Err(error) => return Err(error),
        };
        let (installed, hook) = (client.installed().await, client.hook().await);
        // Without an installation there is no token to list runners with.
        let proofs = match &installed {
            Ok(_) => Some(client.prove().await),
            Err(_) => None,
        };
        Ok(Seen { app, installed, hook, proofs })
    });
    match asked {
        Ok(Ok(seen)) => app::lines(options, &seen),
        Ok(Err(error)) => vec![bad("app", &error, "look at the App's id and its key")],
        Err(problem) => vec![idle("app", &problem)],
    }
}

/// A line of an error, with the error's own advice if it has one.
pub(super) fn bad(item: &'static str, error: &Error, fix: &str) -> Line {
    Line::bad(item, chain(error), error.help().as_deref().unwrap_or(fix))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::{Verdict, show};
    use crate::config::{self, RunnerGroup, Webhooks};
    use flint_wire::Secret;

    /// By a token: no key has to be made for it.
    fn entry(names: &[&str]) -> GithubOptions {
        let scope = |name: &&str| Scope::Organization((*name).to_owned());
        GithubOptions {
            ca_certificates: None,
            url: url::Url::parse("https://api.github.com/").expect("it is one"),
            scopes: names.iter().map(scope).collect(),
            credentials: config::Credentials::Token(Secret::new("ghp_secret".to_owned())),
            webhooks: Webhooks::Refused,
            runner_group: RunnerGroup::Number(1),
        }
    }

    #[test]
    fn an_old_server_is_told_of_where_a_scale_set_is() {
        assert_eq!(server("3.20.1", true).verdict, Verdict::Note);
        for (version, has_sets) in
            [("3.20.1", false), ("3.21.0", true), ("4.0.0", true), ("?", true)]
        {
            assert_eq!(server(version, has_sets).verdict, Verdict::Ok, "{version}");
        }
    }

    #[test]
    fn a_line_says_whose_it_is_where_there_are_several() {
        let items = |entries: &[GithubOptions]| {
            let lines = look(entries, Asking::Nothing);
            lines.into_iter().map(|line| line.item.into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(items(&[entry(&["acme"])]), ["token"]);
        assert_eq!(
            items(&[entry(&["acme", "Beta"]), entry(&["gamma"])]),
            ["acme: token", "beta: token", "gamma: token"]
        );
        let shown = show(&look(&[entry(&["acme", "beta"])], Asking::Nothing), false);
        assert!(shown.contains("  help: beta: token: an App has rights of its own"), "{shown}");
    }
}
