//! What the outside is asked now, and when next. Levels like all orders: each is named until its answer is here.

use super::Action;
use crate::ask::{Budget, Question};
use crate::forge::{Due, Forge};
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
    let forge = &world.forge;
    let hooks = has_webhooks(world);
    if hooks && may_ask(forge, &forge.deliveries, Budget::App, now) {
        actions.push(Action::Ask { question: forge.deliveries_question() });
    }
    if may_ask(forge, &forge.runners, Budget::Installation, now) {
        actions.push(Action::Ask { question: Question::Runners });
    }
    if hooks && may_ask(forge, &forge.repositories, Budget::Installation, now) {
        actions.push(Action::Ask { question: Question::Repositories });
    }
    if forge.silent_until(Budget::Installation) <= now {
        actions.extend(
            repositories(world, now).filter(|_| hooks).filter(|_| !is(Fault::JobsNeverListed)),
        );
        actions.extend(jobs(world, now).filter(|_| !is(Fault::NeverAskedSingly)));
    }
    actions
}

/// Whether anybody hears of jobs by webhooks. Scale sets need none of what is asked because webhooks get lost.
fn has_webhooks(world: &World) -> bool {
    world.profiles.values().any(|profile| profile.source == Source::Webhook)
}

fn may_ask(forge: &Forge, due: &Due, budget: Budget, now: Timestamp) -> bool {
    due.at.max(forge.silent_until(budget)) <= now
}

fn repositories(world: &World, now: Timestamp) -> impl Iterator<Item = Action> {
    let due = world.repositories.iter().filter(move |(_, repository)| repository.jobs.at <= now);
    due.take(REPOSITORIES_AT_ONCE).map(|(name, _)| {
        let question = Question::Jobs { repository: name.clone() };
        Action::Ask { question }
    })
}

fn jobs(world: &World, now: Timestamp) -> impl Iterator<Item = Action> {
    let due = world.jobs.asks().take_while(move |(at, _)| *at <= now);
    let questions = due.filter_map(|(_, job)| about(job, world.jobs.get(&job)?));
    // A run has many jobs, and is asked about once.
    let mut seen = BTreeSet::new();
    let questions = questions.filter(move |question| seen.insert(question.clone()));
    questions.take(JOBS_AT_ONCE).map(|question| Action::Ask { question })
}

/// What is asked about a job: first of all where it comes from, if that decides whether it is let in.
fn about(job: JobKey, row: &Job) -> Option<Question> {
    let JobRequest { repository, run_id, .. } = &row.request;
    let repository = repository.clone();
    if row.is_undecided() {
        let question = Question::Run { run: *run_id, repository };
        Some(question).filter(|_| !is(Fault::OriginNeverAsked))
    } else {
        Some(Question::Job { job, repository })
    }
}

/// When something is asked next, of what is not due already.
pub(super) fn next(world: &World, now: Timestamp) -> Option<Timestamp> {
    let forge = &world.forge;
    let installation = forge.silent_until(Budget::Installation);
    let scans = world.hosts.values().map(|host| host.scan_at);
    let hooks = has_webhooks(world);
    let app = hooks.then(|| forge.deliveries.at.max(forge.silent_until(Budget::App)));
    let lists = [Some(forge.runners.at), hooks.then_some(forge.repositories.at)];
    let ours = lists.into_iter().flatten().map(|at| at.max(installation));
    let repositories = world.repositories.values().filter(|_| hooks);
    let repositories = repositories.map(|r| r.jobs.at.max(installation));
    let jobs = world.jobs.asks().map(|(at, _)| at.max(installation)).find(|at| *at > now);
    let all = scans.chain(app).chain(ours).chain(repositories).chain(jobs);
    all.filter(|at| *at > now).min()
}
