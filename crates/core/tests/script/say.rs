//! How orders, records and rows look in a script.

use flint_core::ask::Question;
use flint_core::id::ScopeId;
use flint_core::job::JobState;
use flint_core::plan::Action;
use flint_core::record::Record;
use flint_core::runner_version::Verdict;
use flint_core::units::Timestamp;
use flint_core::vm::{Phase, Registration};
use flint_core::world::World;

pub(crate) fn time(at: Timestamp) -> String {
    match at.0 {
        ms if ms % 1_000 != 0 => format!("{ms}ms"),
        ms if ms >= 3_600_000 && ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms => format!("{}s", ms / 1_000),
    }
}

/// An order. Scopes are written where there are several.
pub(crate) fn action(action: &Action, several: bool) -> String {
    let at = |scope: &ScopeId| if several { format!(" in {scope}") } else { String::new() };
    match action {
        Action::Launch { vm, host, slot, profile } => {
            format!("launch {vm} on {host} slot {slot} for {profile}")
        }
        Action::Register { vm, name, scope, .. } => format!("register {vm} as {name}{}", at(scope)),
        Action::Deregister { vm, scope, names } if names.is_empty() => {
            format!("deregister {vm}{}, whatever its names", at(scope))
        }
        Action::Deregister { vm, scope, names } => {
            let names: Vec<&str> = names.iter().map(|name| name.as_str()).collect();
            format!("deregister {vm}{}: {}", at(scope), names.join(" "))
        }
        Action::Destroy { vm, host, slot: Some(slot) } => {
            format!("destroy {vm} on {host} slot {slot}")
        }
        Action::Destroy { vm, host, slot: None } => format!("destroy {vm} on {host}"),
        Action::Scan { host } => format!("scan {host}"),
        Action::Ask { question } => match question {
            Question::Deliveries { installation, since } => {
                let of = if several { format!(" of {installation}") } else { String::new() };
                format!("ask for deliveries{of} since {}", time(*since))
            }
            Question::RunnerReleases { installation } => {
                let of = if several { format!(" for {installation}") } else { String::new() };
                format!("ask for releases of the runner{of}")
            }
            Question::Runners { scope } => format!("ask for runners{}", at(scope)),
            Question::Repositories { scope } => format!("ask for repositories{}", at(scope)),
            Question::Jobs { repository } => format!("ask for jobs of {repository}"),
            Question::Job { job, repository } => format!("ask for job {job} of {repository}"),
            Question::Run { run, repository } => format!("ask for run {run} of {repository}"),
        },
    }
}

pub(crate) fn record(record: &Record) -> String {
    match record {
        Record::Job(record) => {
            let vm = record.vm.map_or("no microVM of ours".to_owned(), |vm| vm.to_string());
            format!("record job {} {} in {vm}", record.key, record.conclusion.0)
        }
        Record::Vm(record) => {
            let job = record.job.map_or("no job".to_owned(), |job| format!("job {job}"));
            format!("record {} {:?} {job}", record.id, record.reason)
        }
    }
}

pub(crate) fn world(world: &World) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, job) in world.jobs.iter() {
        let profile = job.profile.as_ref().map_or("not ours".to_owned(), |id| id.to_string());
        let state = match &job.state {
            JobState::Queued => "queued".to_owned(),
            JobState::Running(vm) => format!("running in {vm}"),
            JobState::Elsewhere => "running elsewhere".to_owned(),
        };
        lines.push(format!("job {key} {profile} {state}"));
    }
    for (id, vm) in world.vms.iter() {
        let phase = match &vm.phase {
            Phase::Busy(Some(job)) => format!("busy with job {job}"),
            Phase::Retiring(reason) => format!("retiring {reason:?}"),
            Phase::Stopping { reason, .. } => format!("stopping {reason:?}"),
            other => other.stage().to_string(),
        };
        let registration = match &vm.registration {
            Registration::None => "unregistered".to_owned(),
            Registration::Asked { attempt } => format!("asked {attempt}"),
            Registration::Held { attempt, .. } => format!("held {attempt}"),
        };
        lines.push(format!("{id} {} {phase} {registration}", vm.profile));
    }
    for id in world.runner_versions.keys() {
        let now = world.hosts.values().map(|host| host.seen).max().unwrap_or_default();
        if let Some((version, verdict)) = world.runner_verdict(id, now) {
            let end =
                verdict.last().map_or(String::new(), |last| format!(" until {}", time(last.at)));
            let word = match verdict {
                Verdict::Unknown => "unknown",
                Verdict::Newest => "newest",
                Verdict::Behind { .. } => "behind",
                Verdict::Ending { .. } => "ending",
                Verdict::Over { .. } => "over",
                Verdict::Refused => "refused",
            };
            lines.push(format!("runner of {id} {version} {word}{end}"));
        }
    }
    for (id, breaker) in &world.breakers {
        let (open, failures) = (if breaker.open { "open" } else { "not open" }, breaker.failures);
        lines.push(format!("breaker {id} {open} after {failures}: {}", breaker.why));
    }
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    lines
}
