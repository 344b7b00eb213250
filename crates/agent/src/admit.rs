//! Whether a job may run here: what the started hook asks, as the job's user, before the first step.
//!
//! GitHub gives a queued job to any idle runner with its labels, so only here it is known whose job came. The runner has
//! written the webhook's payload that began the run (`GITHUB_EVENT_PATH`); where it does not tell, the job is refused.
//!
//! Source of the fields: GitHub's pages on webhook payloads. A run on a schedule has no webhook; since September 2022 its
//! event names the repository all the same (GitHub's changelog of the 27th).

use flint_wire::host::{Admits, Repositories};
use serde_json::Value;
use std::env;
use std::fs::File;
use std::io::{Read, Write};

/// What the hook says in place of a path.
pub(crate) const COMMAND: &str = "admit";

/// Before the name of a repository that is served, and of one that is not.
const ONLY: &str = "only=";
const EXCEPT: &str = "except=";

/// GitHub's payloads have at most 25 MiB.
const EVENT_MAX: u64 = 32 << 20;

/// The hook's last line for what a profile admits; nothing is asked where all is let in.
pub(crate) fn line(
    program: &str,
    admits: Option<Admits>,
    repositories: Option<&Repositories>,
) -> String {
    let Admits { public, forks } = admits.unwrap_or(Admits { public: true, forks: true });
    if public && forks && repositories.is_none() {
        return "exit 0".to_owned();
    }
    let words = [(public, "public"), (forks, "forks")];
    let words = words.iter().filter(|(on, _)| *on).map(|(_, word)| (*word).to_owned());
    let lists = repositories.into_iter().flat_map(|Repositories { only, except }| {
        let only = only.iter().map(|name| quoted(ONLY, name));
        only.chain(except.iter().map(|name| quoted(EXCEPT, name)))
    });
    let words: Vec<String> = words.chain(lists).collect();
    format!("exec {program} {COMMAND} {}", words.join(" "))
}

/// A word that a shell takes as it is: `*` stands for nothing there.
fn quoted(kind: &str, name: &str) -> String {
    format!("'{kind}{}'", name.replace('\'', "'\\''"))
}

/// Answers the hook: 0, or 1 with the reason in the job's own log.
pub(crate) fn answer(words: impl Iterator<Item = String>) -> i32 {
    let mut admits = Admits { public: false, forks: false };
    let mut repositories = Repositories::default();
    for word in words {
        admits.public |= word == "public";
        admits.forks |= word == "forks";
        repositories.only.extend(word.strip_prefix(ONLY).map(str::to_owned));
        repositories.except.extend(word.strip_prefix(EXCEPT).map(str::to_owned));
    }
    let said = |name: &str| env::var(name).unwrap_or_default();
    let known = listed(&said("GITHUB_REPOSITORY"), &repositories);
    let from = || event().and_then(|event| judge(&event, admits));
    match known.and_then(|()| if admits.public && admits.forks { Ok(()) } else { from() }) {
        Ok(()) => 0,
        Err(why) => {
            let line = format!("::error title=Flint refuses this job::{why}\n");
            // The code says it as well.
            let _said = std::io::stdout().write_all(line.as_bytes());
            1
        }
    }
}

/// Whether jobs of a repository (`owner/name`, as the runner says) may run here.
fn listed(repository: &str, Repositories { only, except }: &Repositories) -> Result<(), String> {
    let name = repository.to_ascii_lowercase();
    let all = format!("{}/*", name.split_once('/').map_or("", |(owner, _)| owner));
    let is_in = |list: &[String]| list.iter().any(|listed| *listed == name || *listed == all);
    if (only.is_empty() || is_in(only)) && !is_in(except) {
        return Ok(());
    }
    Err("its repository is not one that this profile serves".into())
}

fn event() -> Result<Value, String> {
    let unread = |why: String| format!("it cannot be told where it comes from: {why}");
    let path = env::var("GITHUB_EVENT_PATH").map_err(|_| unread("there is no event".into()))?;
    let mut text = Vec::new();
    let read = File::open(path).and_then(|file| file.take(EVENT_MAX).read_to_end(&mut text));
    read.map_err(|error| unread(error.to_string()))?;
    serde_json::from_slice(&text).map_err(|error| unread(error.to_string()))
}

fn judge(event: &Value, admits: Admits) -> Result<(), String> {
    let repository = &event["repository"]["id"];
    if !repository.is_number() {
        return Err("it cannot be told where it comes from: its event names no repository".into());
    }
    // Everything that is not said to be private counts as public.
    if !admits.public && event["repository"]["private"] != true {
        return Err("its repository is public, and public_repositories is not allowed here".into());
    }
    let heads = [
        ("pull_request", &event["pull_request"]["head"]["repo"]),
        ("workflow_run", &event["workflow_run"]["head_repository"]),
    ];
    let theirs = |(of, head): &(&str, &Value)| event[*of].is_object() && head["id"] != *repository;
    if !admits.forks && heads.iter().any(theirs) {
        return Err("it comes from a fork, and fork_pull_requests is not allowed here".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{judge, line, listed};
    use flint_wire::host::{Admits, Repositories};
    use serde_json::{Value, json};

    const NOTHING: Admits = Admits { public: false, forks: false };

    fn refused(event: Value, admits: Admits) -> Option<String> {
        let word = |why: String| why.split(", and ").next().unwrap_or_default().to_owned();
        judge(&event, admits).err().map(word)
    }

    #[test]
    fn a_private_repositorys_own_job_runs() {
        let private = json!({ "id": 1, "private": true });
        let own =
            json!({ "repository": private, "pull_request": { "head": { "repo": { "id": 1 } } } });
        for event in [json!({ "repository": private }), own] {
            assert_eq!(refused(event, NOTHING), None);
        }
    }

    #[test]
    fn a_public_repositorys_job_runs_where_it_is_allowed() {
        let public = Some("its repository is public".to_owned());
        for repository in [json!({ "id": 1, "private": false }), json!({ "id": 1 })] {
            let event = json!({ "repository": repository });
            assert_eq!(refused(event.clone(), NOTHING), public);
            assert_eq!(refused(event, Admits { public: true, forks: false }), None);
        }
    }

    #[test]
    fn a_forks_job_runs_where_it_is_allowed() {
        let private = json!({ "id": 1, "private": true });
        let fork = Some("it comes from a fork".to_owned());
        let head = |repo: Value| json!({ "repository": private, "pull_request": { "head": { "repo": repo } } });
        let after =
            json!({ "repository": private, "workflow_run": { "head_repository": { "id": 2 } } });
        for event in [head(json!({ "id": 2 })), head(Value::Null), after] {
            assert_eq!(refused(event.clone(), NOTHING), fork, "{event}");
            assert_eq!(refused(event, Admits { public: false, forks: true }), None);
        }
    }

    #[test]
    fn what_cannot_be_told_is_refused() {
        let admits = Admits { public: false, forks: true };
        let unnamed = json!({ "schedule": "0 4 * * *" });
        let private = json!({ "repository": { "private": true } });
        for event in [json!({}), json!(null), json!([]), private, unnamed] {
            assert!(refused(event.clone(), admits).is_some(), "{event}");
        }
    }

    #[test]
    fn a_scheduled_job_is_judged_by_its_repository_like_any_other() {
        let at = |private: bool| json!({ "schedule": "0 4 * * *", "repository": { "id": 1, "private": private } });
        assert_eq!(refused(at(true), NOTHING), None);
        assert_eq!(refused(at(false), NOTHING), Some("its repository is public".to_owned()));
    }

    #[test]
    fn nothing_is_asked_where_everybody_is_let_in() {
        let admits = |public, forks| Some(Admits { public, forks });
        assert_eq!(line("/a", None, None), "exit 0");
        assert_eq!(line("/a", admits(true, true), None), "exit 0");
        assert_eq!(line("/a", admits(false, true), None), "exec /a admit forks");
        assert_eq!(line("/a", admits(false, false), None), "exec /a admit ");
        let some = Repositories { only: vec!["acme/*".into()], except: vec!["acme/it's".into()] };
        let asked = line("/a", admits(true, true), Some(&some));
        assert_eq!(asked, r"exec /a admit public forks 'only=acme/*' 'except=acme/it'\''s'");
    }

    #[test]
    fn a_job_runs_where_its_repository_is_served() {
        let lists = |only: &[&str], except: &[&str]| {
            let all = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            Repositories { only: all(only), except: all(except) }
        };
        let served = |lists: &Repositories| {
            ["acme/web", "Acme/Old", "beta/app", ""].map(|name| listed(name, lists).is_ok())
        };
        assert_eq!(served(&lists(&[], &[])), [true; 4]);
        assert_eq!(served(&lists(&["acme/*"], &[])), [true, true, false, false]);
        assert_eq!(served(&lists(&["acme/*"], &["acme/old"])), [true, false, false, false]);
        assert_eq!(served(&lists(&[], &["acme/*"])), [false, false, true, true]);
    }
}
