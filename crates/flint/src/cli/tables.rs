//! The daemon's answers as people read them.

use super::output::{between, short, table};
use crate::api::{
    GithubRow, JobRow, Jobs, ProfileRow, QuotaRow, ScaleSetRow, Status, UnansweredRow, Vms,
    WhyAnswer,
};
use crate::text::escaped;
use flint_core::units::Timestamp;

/// `flint ps`.
pub(super) fn vms(answer: &Vms, now: Timestamp) -> String {
    if answer.vms.is_empty() {
        return "no microVMs".to_owned();
    }
    let head = ["VM", "PROFILE", "PHASE", "FOR", "JOB", "SLOT", "BOOT", "TROUBLE"];
    let rows = answer.vms.iter().map(|vm| {
        [
            vm.id.clone(),
            vm.profile.clone(),
            vm.phase.clone(),
            short(now.since(vm.since)),
            vm.job.map_or_else(dash, |job| job.to_string()),
            vm.slot.to_string(),
            between(vm.times.launched, vm.times.ready),
            vm.trouble.clone().unwrap_or_default(),
        ]
    });
    table(head, rows)
}

/// `flint jobs`: where the time of each went.
pub(super) fn jobs(answer: &Jobs, now: Timestamp) -> String {
    if answer.jobs.is_empty() {
        return "no jobs".to_owned();
    }
    let head = ["JOB", "STATE", "REPOSITORY", "NAME", "PROFILE", "VM", "WAITED", "RAN", "AGE"];
    table(head, answer.jobs.iter().map(|job| job_row(job, now)))
}

fn job_row(job: &JobRow, now: Timestamp) -> [String; 9] {
    let started = job.times.as_ref().and_then(|times| times.started);
    let done = job.times.as_ref().and_then(|times| times.done).or(job.completed);
    let number = match job.attempt {
        0 | 1 => job.id.to_string(),
        attempt => format!("{} ({attempt})", job.id),
    };
    [
        number,
        job.state.clone(),
        job.repository.clone(),
        job.name.clone(),
        job.profile.clone().unwrap_or_else(|| "not ours".to_owned()),
        job.vm.clone().unwrap_or_else(dash),
        between(Some(job.received), started),
        between(started, done),
        short(now.since(job.received)),
    ]
}

/// `flint why`.
pub(super) fn why(answer: &WhyAnswer) -> String {
    let because = answer.because.as_ref().map_or_else(String::new, |word| format!(" ({word})"));
    let head = format!("job {} is {}{because}: {}", answer.job, answer.state, answer.sentence);
    let lines: Vec<_> = [&head].into_iter().chain(&answer.egress).map(|l| escaped(l)).collect();
    lines.join("\n")
}

/// `flint status`.
pub(super) fn status(answer: &Status, now: Timestamp) -> String {
    let draining = if answer.draining { ", draining: takes no new microVMs" } else { "" };
    let head = [
        format!("flint {}, up {}{draining}", answer.version, short(now.since(answer.started))),
        answer.vmm.clone(),
        format!(
            "{} of {} slots, {} of {} vCPUs, {} of {} memory, {} of {} disk",
            answer.slots_used,
            answer.slots,
            answer.used.vcpus,
            answer.capacity.vcpus,
            answer.used.memory,
            answer.capacity.memory,
            answer.used.disk,
            answer.capacity.disk
        ),
    ];
    let profiles = answer.profiles.iter().map(|profile| {
        [
            profile.name.clone(),
            profile.labels.join(", "),
            format!(
                "{} vCPU, {}, {}",
                profile.shape.vcpus, profile.shape.memory, profile.shape.disk
            ),
            format!("{} of {}", profile.vms, profile.max),
            profile.warm.to_string(),
            profile.queued.to_string(),
        ]
    });
    let mut text: String = head.iter().map(|line| escaped(line) + "\n").collect();
    text += "\n";
    text += &table(["PROFILE", "LABELS", "SHAPE", "VMS", "WARM", "QUEUED"], profiles);
    text += &scale_sets(&answer.profiles);
    for breaker in &answer.breakers {
        let kind = if breaker.open { "breaker open" } else { "backing off" };
        let left = short(breaker.until.since(now));
        text += "\n";
        text += &escaped(&format!(
            "profile {}: {kind} for {left} after {} failures: {}",
            breaker.profile, breaker.failures, breaker.why
        ));
    }
    let runners = answer.profiles.iter().filter_map(|profile| {
        let warning = profile.runner.as_ref()?.warning.as_ref()?;
        Some(format!("profile {}: {warning}", profile.name))
    });
    text += &runners.map(|line| format!("\n{}", escaped(&line))).collect::<String>();
    text + &github(&answer.github, now)
}

/// How much is shown of what could not be read, in characters.
const PASSED_OVER: usize = 320;

/// How the scale sets stand that are not as they should be.
fn scale_sets(profiles: &[ProfileRow]) -> String {
    let mut lines = Vec::new();
    for ProfileRow { name, scale_set, .. } in profiles {
        let Some(ScaleSetRow { assigned, trouble, passed_over }) = scale_set else { continue };
        match (trouble, assigned) {
            (Some(why), _) => {
                lines.push(format!("profile {name}: nobody hears of its scale set's jobs: {why}"));
            }
            (None, None) => lines.push(format!("profile {name}: its scale set is being opened")),
            (None, Some(_)) => {}
        }
        let over = |what: &str| {
            let (shown, more) = match what.char_indices().nth(PASSED_OVER) {
                Some((end, _)) => (&what[..end], "… (`flint --json status` has more)"),
                None => (what, ""),
            };
            format!("profile {name}: passed over of its scale set: {shown}{more}")
        };
        lines.extend(passed_over.as_deref().map(over));
    }
    lines.iter().map(|line| format!("\n{}", escaped(line))).collect()
}

/// What GitHub keeps from us; nothing while all is well.
fn github(github: &GithubRow, now: Timestamp) -> String {
    let limited = github.limited.iter().filter(|row| now < row.until).map(|row| {
        let (whose, left) = (&row.installation, short(row.until.since(now)));
        format!("GitHub takes no calls of {whose} for {left}: its rate limit is reached")
    });
    let refuses = github.refuses.iter();
    let refuses =
        refuses.map(|row| format!("GitHub refuses every runner in {}: {}", row.scope, row.why));
    let is_low =
        |quota: &&QuotaRow| now < quota.resets && quota.remaining.saturating_mul(2) < quota.limit;
    let low = github.quotas.iter().filter(is_low);
    let low = low.map(|quota| {
        let QuotaRow { installation, budget, remaining, limit, resets } = quota;
        let full = short(resets.since(now));
        format!(
            "GitHub's quota ({budget} of {installation}): {remaining} of {limit} calls are left, full again in {full}"
        )
    });
    let unanswered = github.unanswered.iter().map(|row| {
        let UnansweredRow { question, failures, why, again } = row;
        let next = short(again.since(now));
        format!("GitHub does not answer ({question}), {failures} times, again in {next}: {why}")
    });
    let clock = github.skew.map(|skew| {
        format!(
            "this host's clock differs from GitHub's by {skew} s, and guests take it over: set it, and let chrony or \
             systemd-timesyncd keep it"
        )
    });
    let lines = clock.into_iter().chain(limited).chain(refuses).chain(low).chain(unanswered);
    lines.map(|line| format!("\n{}", escaped(&line))).collect()
}

fn dash() -> String {
    "-".to_owned()
}
