//! What the outside is asked now, and when next. Levels like all orders: each is named until its answer is here.

use super::Action;
use crate::ask::{Budget, Question};
use crate::forge::{Due, Installation, budget_of};
use crate::id::JobKey;
use crate::job::{Job, JobRequest};
use crate::planted::{Fault, is};
use crate::scale_set::Source;
use crate::units::Timestamp;
use crate::world::World;
use std::collections::BTreeSet;

/// GitHub takes 100 calls at once (its page on rate limits); a few are enough here, and leave room for the rest.
const REPOSITORIES_AT_ONCE: usize = 4;
const JOBS_AT_ONCE: usize = 8;

pub(super) fn due(world: &World, now: Timestamp) -> Vec<Action> {
    let mut actions = Vec::new();
    for (id, host) in world.hosts.iter().filter(|(_, host)| host.scan_at <= now) {
        if host.slots > 0 || world.vms.values().any(|vm| vm.host == *id) {
            actions.push(Action::Scan { host: *id });
        }
    }
    let hooks = has_webhooks(world);
    actions.extend(deliveries(world, now).filter(|_| hooks));
    actions.extend(lists(world, now, hooks));
    actions.extend(releases(world, now));
    actions
        .extend(repositories(world, now).filter(|_| hooks).filter(|_| !is(Fault::JobsNeverListed)));
    actions.extend(jobs(world, now).filter(|_| !is(Fault::NeverAskedSingly)));
    actions
}

fn deliveries(world: &World, now: Timestamp) -> impl Iterator<Item = Action> {
    let readers = world.installations.iter().filter(|(_, known)| known.deliveries.is_some());
    let most = if is(Fault::OneAppIsAsked) { 1 } else { usize::MAX };
    let due = readers.take(most).filter_map(move |(id, installation)| {
        let deliveries = installation.deliveries.as_ref()?;
        let open = may_ask(installation, &deliveries.due, Budget::App, now);
        open.then(|| deliveries.question(id))
    });
    due.map(|question| Action::Ask { question })
}

fn releases(world: &World, now: Timestamp) -> impl Iterator<Item = Action> {
    let due = world.installations.iter().filter(move |(_, installation)| {
        may_ask(installation, &installation.releases_due, Budget::Installation, now)
    });
    due.map(|(id, _)| Action::Ask {
        question: Question::RunnerReleases { installation: id.clone() },
    })
}

/// What is asked of a scope as a whole.
fn lists(world: &World, now: Timestamp, hooks: bool) -> impl Iterator<Item = Action> {
    let most = if is(Fault::OneScopeIsAsked) { 1 } else { usize::MAX };
    let questions = world.scopes.iter().take(most).flat_map(move |(id, scope)| {
        let installation = world.installations.get(&scope.installation);
        let may = |due: &Due| {
            installation.is_some_and(|known| may_ask(known, due, Budget::Installation, now))
        };
        let runners = may(&scope.runners).then(|| Question::Runners { scope: id.clone() });
        // An enterprise's jobs are told by scale sets alone.
        let active = hooks && !id.is_enterprise() && may(&scope.repositories);
        let active = active.then(|| Question::Repositories { scope: id.clone() });
        [runners, active].into_iter().flatten()
    });
    questions.map(|question| Action::Ask { question })
}

/// When whoever is asked a question takes it; nobody else knows the answer.
fn open_at(world: &World, question: &Question) -> Option<Timestamp> {
    let installation = world.installations.get(world.asked_of(question)?)?;
    Some(installation.silent_until(budget_of(question)))
}

/// Whether any installation is silent now: most of the time none is, and no question need be looked at for that.
fn any_silent(world: &World, now: Timestamp) -> bool {
    let silent = |known: &Installation| known.silent_until(Budget::Installation) > now;
    world.installations.is_empty() || world.installations.values().any(silent)
}

/// Whether anybody hears of jobs by webhooks. Scale sets need none of what is asked because webhooks get lost.
fn has_webhooks(world: &World) -> bool {
    world.profiles.values().any(|profile| profile.source == Source::Webhook)
}

fn may_ask(installation: &Installation, due: &Due, budget: Budget, now: Timestamp) -> bool {
    due.at.max(installation.silent_until(budget)) <= now
}

fn repositories(world: &World, now: Timestamp) -> impl Iterator<Item = Action> {
    let due = world.repositories.iter().filter(move |(_, repository)| repository.jobs.at <= now);
    let questions = due.map(|(name, _)| Question::Jobs { repository: name.clone() });
    let open = move |question: &Question| open_at(world, question).is_some_and(|at| at <= now);
    let questions = questions.filter(open).take(REPOSITORIES_AT_ONCE);
    questions.map(|question| Action::Ask { question })
}

fn jobs(world: &World, now: Timestamp) -> impl Iterator<Item = Action> {
    let due = world.jobs.asks().take_while(move |(at, _)| *at <= now);
    let questions = due.filter_map(|(_, job)| about(job, world.jobs.get(&job)?));
    let silent = any_silent(world, now);
    let open =
        move |question: &Question| !silent || open_at(world, question).is_some_and(|at| at <= now);
    let questions = questions.filter(open);
    // A run has many jobs, and is asked about once.
    let mut seen = BTreeSet::new();
    let questions = questions.filter(move |question| seen.insert(question.clone()));
    questions.take(JOBS_AT_ONCE).map(|question| Action::Ask { question })
}

/// What is asked about a job: first of all where it comes from, if that decides whether it is let in.
fn about(job: JobKey, row: &Job) -> Option<Question> {
    let JobRequest { repository, run_id, .. } = &row.request;
    let repository = repository.clone();
    if row.asks_for_run() {
        let question = Question::Run { run: *run_id, repository };
        Some(question).filter(|_| !is(Fault::OriginNeverAsked))
    } else {
        Some(Question::Job { job, repository })
    }
}

/// When something is asked next, of what is not due already.
pub(super) fn next(world: &World, now: Timestamp) -> Option<Timestamp> {
    let scans = world.hosts.values().map(|host| host.scan_at);
    let hooks = has_webhooks(world);
    let app = world.installations.values().filter(|_| hooks).filter_map(|known| {
        let due = &known.deliveries.as_ref()?.due;
        Some(due.at.max(known.silent_until(Budget::App)))
    });
    let ours = world.scopes.iter().flat_map(|(id, scope)| {
        let installation = world.installations.get(&scope.installation);
        let open = installation.map(|known| known.silent_until(Budget::Installation));
        let active = (hooks && !id.is_enterprise()).then_some(scope.repositories.at);
        let lists = [Some(scope.runners.at), active].into_iter().flatten();
        open.into_iter().flat_map(move |open| lists.clone().map(move |at| at.max(open)))
    });
    let releases = world.installations.values();
    let releases =
        releases.map(|known| known.releases_due.at.max(known.silent_until(Budget::Installation)));
    let repositories = world.repositories.iter().filter(|_| hooks).filter_map(|(name, known)| {
        let question = Question::Jobs { repository: name.clone() };
        Some(known.jobs.at.max(open_at(world, &question)?))
    });
    let all = scans
        .chain(app)
        .chain(ours)
        .chain(releases)
        .chain(repositories)
        .chain(next_job(world, now));
    all.filter(|at| *at > now).min()
}

/// When the next job is asked about that is not due already.
fn next_job(world: &World, now: Timestamp) -> Option<Timestamp> {
    if !any_silent(world, now) {
        return world.jobs.asks().map(|(at, _)| at).find(|at| *at > now);
    }
    let mut first: Option<Timestamp> = None;
    // They come by their times, and are asked about when whoever is asked takes questions again.
    for (at, job) in world.jobs.asks() {
        if first.is_some_and(|first| first <= at) {
            break;
        }
        let question = world.jobs.get(&job).and_then(|row| about(job, row));
        let open = question.and_then(|question| open_at(world, &question));
        let asked = open.map(|open| at.max(open)).filter(|asked| *asked > now);
        first = asked.into_iter().chain(first).min();
    }
    first
}
