//! What a coordinator asks to learn what webhooks did not tell: runs, their jobs, repositories, runner groups.

use super::org::{Group, Kind, Repo, Repository, Run};
use super::page::{Asked, Listed, Page};
use super::payload::{self, rfc3339};
use super::rest::{Answer, Names, answer, as_installation, is_personal, refusal, scope};
use super::server::{Config, Shared};
use super::state::State;
use axum::extract::{Path, Query};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Router, extract};
use serde_json::{Value, json};
use std::sync::Arc;

type App = extract::State<Arc<Shared>>;

/// A search of runs shows no more than this, however many pages are asked for.
const MOST_RUNS: usize = 1000;
/// What `status` may be: a status or a conclusion.
const STATUSES: [&str; 14] = [
    "completed",
    "action_required",
    "cancelled",
    "failure",
    "neutral",
    "skipped",
    "stale",
    "success",
    "timed_out",
    "in_progress",
    "queued",
    "requested",
    "waiting",
    "pending",
];

pub(super) fn routes() -> Router<Arc<Shared>> {
    let run = "/repos/{owner}/{repo}/actions/runs";
    Router::new()
        .route(run, get(runs))
        .route(&format!("{run}/{{run}}"), get(run_by_id))
        .route(&format!("{run}/{{run}}/attempts/{{attempt}}/jobs"), get(jobs))
        .route("/repos/{owner}/{repo}/actions/jobs/{job}", get(job))
        .route("/orgs/{owner}/actions/runner-groups", get(groups))
        .route("/orgs/{owner}/actions/runner-groups/{group}", get(group))
        .route("/orgs/{owner}/repos", get(repositories))
        .route("/installation/repositories", get(installed))
}

async fn runs(
    extract::State(shared): App,
    Path(names): Path<Names>,
    Query(asked): Query<Asked>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    listed(&shared, &headers, || {
        let wanted = asked.get("status").map(String::as_str);
        if wanted.is_some_and(|status| !STATUSES.contains(&status)) {
            return Err(refusal(422, "Validation Failed: status"));
        }
        let page = Page::of(&asked);
        let (total, (shown, more)) = shared.look(|state| {
            let repository = repository(&shared, state, &names)?;
            let found: Vec<&Run> = repository
                .runs
                .iter()
                .rev()
                .filter_map(|id| state.org.runs.get(id))
                .filter(|run| wanted.is_none_or(|wanted| is_so(run, state, wanted)))
                .collect();
            let limit = wanted.map_or(usize::MAX, |_| MOST_RUNS);
            let shown = found.iter().take(limit).map(|run| show_run(&shared.config, state, run));
            Ok((found.len(), page.cut(shown)))
        })?;
        let body = json!({ "total_count": total, "workflow_runs": shown });
        Ok(Listed::new(&shared, uri.path(), &asked, body, more.then(|| page.next())))
    })
}

async fn run_by_id(
    extract::State(shared): App,
    Path(names): Path<Names>,
    headers: HeaderMap,
) -> Answer {
    answer(as_installation(&shared, &headers).and_then(|()| {
        shared.look(|state| {
            let repo = &repository(&shared, state, &names)?.repo;
            let run = number(&names, "run").and_then(|id| state.org.runs.get(&id));
            let run = run.filter(|run| run.repo == *repo);
            let shown = run.map(|run| (StatusCode::OK, show_run(&shared.config, state, run)));
            shown.ok_or_else(|| refusal(404, "Not Found"))
        })
    }))
}

async fn jobs(
    extract::State(shared): App,
    Path(names): Path<Names>,
    Query(asked): Query<Asked>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    listed(&shared, &headers, || {
        let page = Page::of(&asked);
        let (total, (shown, more)) = shared.look(|state| {
            let repo = &repository(&shared, state, &names)?.repo;
            let missing = || refusal(404, "Not Found");
            let run = number(&names, "run").and_then(|id| state.org.runs.get(&id));
            let run = run.filter(|run| run.repo == *repo).ok_or_else(missing)?;
            let attempt =
                number(&names, "attempt").and_then(|n| usize::try_from(n).ok()?.checked_sub(1));
            let ids = attempt.and_then(|n| run.attempts.get(n)).ok_or_else(missing)?;
            let found = ids.iter().filter_map(|id| state.jobs.get(id));
            Ok((ids.len(), page.cut(found.map(|job| payload::job(&shared.config, job)))))
        })?;
        let body = json!({ "total_count": total, "jobs": shown });
        Ok(Listed::new(&shared, uri.path(), &asked, body, more.then(|| page.next())))
    })
}

async fn job(extract::State(shared): App, Path(names): Path<Names>, headers: HeaderMap) -> Answer {
    answer(as_installation(&shared, &headers).and_then(|()| {
        shared.look(|state| {
            let repo = &repository(&shared, state, &names)?.repo;
            let job = number(&names, "job").and_then(|id| state.jobs.get(&id));
            let job = job.filter(|job| job.repo == *repo);
            let shown = job.map(|job| (StatusCode::OK, payload::job(&shared.config, job)));
            shown.ok_or_else(|| refusal(404, "Not Found"))
        })
    }))
}

async fn group(
    extract::State(shared): App,
    Path(names): Path<Names>,
    headers: HeaderMap,
) -> Answer {
    answer(as_installation(&shared, &headers).and_then(|()| {
        scope(&shared, &names)?;
        shared.look(|state| {
            let group = number(&names, "group").and_then(|id| state.org.groups.get(&id));
            let shown = group.map(|group| (StatusCode::OK, show_group(&shared.config, group)));
            shown.ok_or_else(|| refusal(404, "Not Found"))
        })
    }))
}

async fn groups(
    extract::State(shared): App,
    Path(names): Path<Names>,
    Query(asked): Query<Asked>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    listed(&shared, &headers, || {
        scope(&shared, &names)?;
        let page = Page::of(&asked);
        let (total, (shown, more)) = shared.look(|state| {
            let visible_to = asked.get("visible_to_repository");
            let repo = visible_to.map(|name| {
                let found = state.org.repository(name).map(|found| found.repo.id);
                found.ok_or_else(|| refusal(404, "Not Found"))
            });
            let repo = repo.transpose()?;
            let admits = |group: &&Group| repo.is_none_or(|repo| group.admits(repo));
            let found: Vec<&Group> = state.org.groups.values().filter(admits).collect();
            let shown = found.iter().map(|group| show_group(&shared.config, group));
            Ok((found.len(), page.cut(shown)))
        })?;
        let body = json!({ "total_count": total, "runner_groups": shown });
        Ok(Listed::new(&shared, uri.path(), &asked, body, more.then(|| page.next())))
    })
}

async fn repositories(
    extract::State(shared): App,
    Path(names): Path<Names>,
    Query(asked): Query<Asked>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    listed(&shared, &headers, || {
        scope(&shared, &names)?;
        let page = Page::of(&asked);
        let said =
            |key: &str, default: &'static str| asked.get(key).map_or(default, String::as_str);
        let sort = said("sort", "created");
        let falls = said("direction", if sort == "full_name" { "asc" } else { "desc" }) == "desc";
        let (shown, more) = shared.look(|state| {
            let mut all: Vec<&Repository> = state.org.repositories.values().collect();
            all.sort_by_key(|repository| repository.repo.id);
            match sort {
                "pushed" | "updated" => all.sort_by_key(|repository| repository.pushed),
                "full_name" => all.sort_by_key(|repository| repository.repo.name.to_lowercase()),
                _ => {}
            }
            if falls {
                all.reverse();
            }
            page.cut(
                all.into_iter().map(|one| show_repository(&shared.config, &one.repo, one.pushed)),
            )
        });
        let next = more.then(|| page.next());
        Ok(Listed::new(&shared, uri.path(), &asked, json!(shown), next))
    })
}

/// The repositories that the App was given; here that is all of them. A person has no installation.
async fn installed(
    extract::State(shared): App,
    Query(asked): Query<Asked>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    listed(&shared, &headers, || {
        if is_personal(&headers) {
            let words = "You must authenticate with an installation access token in order to list repositories for an installation.";
            return Err(refusal(403, words));
        }
        let page = Page::of(&asked);
        let (total, (shown, more)) = shared.look(|state| {
            let mut all: Vec<&Repository> = state.org.repositories.values().collect();
            all.sort_by_key(|repository| repository.repo.id);
            let shown = |one: &Repository| show_repository(&shared.config, &one.repo, one.pushed);
            (all.len(), page.cut(all.into_iter().map(shown)))
        });
        let next = more.then(|| page.next());
        let body = json!({ "total_count": total, "repositories": shown });
        Ok(Listed::new(&shared, uri.path(), &asked, body, next))
    })
}

/// The one shape of these calls: the installation's token, and then a list or a refusal.
fn listed(
    shared: &Shared,
    headers: &HeaderMap,
    list: impl FnOnce() -> Result<Listed, Answer>,
) -> Response {
    let found = as_installation(shared, headers).and_then(|()| list());
    found.map_or_else(axum::response::IntoResponse::into_response, Listed::into_response)
}

fn repository<'a>(
    shared: &Shared,
    state: &'a State,
    names: &Names,
) -> Result<&'a Repository, Answer> {
    let given = |key: &str| names.get(key).map(String::as_str).unwrap_or_default();
    let ours = given("owner").eq_ignore_ascii_case(&shared.config.organization);
    let found = state.org.repository(given("repo")).filter(|_| ours);
    found.ok_or_else(|| refusal(404, "Not Found"))
}

fn number(names: &Names, key: &str) -> Option<u64> {
    names.get(key)?.parse().ok()
}

/// GitHub's `status` asks for a status or for a conclusion.
fn is_so(run: &Run, state: &State, wanted: &str) -> bool {
    let (status, conclusion) = run.status(state);
    status == wanted || conclusion == Some(wanted)
}

fn show_run(config: &Config, state: &State, run: &Run) -> Value {
    let (status, conclusion) = run.status(state);
    let repository = format!("{}/{}", config.organization, run.repo.name);
    let url = format!("{}/repos/{repository}/actions/runs/{}", config.public_url, run.id);
    let shown = show_repository(config, &run.repo, run.created);
    let fork = Repo { id: run.repo.id + 100_000_000, kind: Kind::Private, ..run.repo.clone() };
    let head =
        if run.from_fork { show_repository(config, &fork, run.created) } else { shown.clone() };
    json!({
        "id": run.id, "name": run.workflow, "display_title": run.workflow, "run_number": run.id, "run_attempt": run.attempt(),
        "event": if run.from_fork { "pull_request" } else { "push" }, "status": status, "conclusion": conclusion, "workflow_id": run.repo.id, "path": ".github/workflows/ci.yml",
        "head_branch": "main", "head_sha": "5f2c9d1b7a3e4f60819283746556473829100abc",
        "url": url, "jobs_url": format!("{url}/jobs"),
        "html_url": format!("{}/{repository}/actions/runs/{}", config.public_url, run.id),
        "created_at": rfc3339(run.created), "updated_at": rfc3339(run.created), "run_started_at": rfc3339(run.created),
        "repository": shown, "head_repository": head,
    })
}

fn show_group(config: &Config, group: &Group) -> Value {
    let url = format!(
        "{}/orgs/{}/actions/runner-groups/{}",
        config.public_url, config.organization, group.id
    );
    json!({
        "id": group.id, "name": group.name, "visibility": if group.admits.is_some() { "selected" } else { "all" },
        "default": group.id == 1, "inherited": false, "allows_public_repositories": false,
        "restricted_to_workflows": group.restricted, "selected_workflows": [],
        "runners_url": format!("{url}/runners"), "selected_repositories_url": format!("{url}/repositories"),
    })
}

fn show_repository(config: &Config, repo: &Repo, pushed: u64) -> Value {
    let full_name = format!("{}/{}", config.organization, repo.name);
    json!({
        "id": repo.id, "name": &*repo.name, "full_name": full_name, "private": repo.kind != Kind::Public,
        "visibility": if repo.kind == Kind::Public { "public" } else { "private" },
        "fork": false, "archived": false, "disabled": false, "default_branch": "main",
        "owner": { "login": config.organization, "type": "Organization" },
        "url": format!("{}/repos/{full_name}", config.public_url), "pushed_at": rfc3339(pushed),
    })
}
