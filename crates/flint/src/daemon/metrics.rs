//! The daemon's view as Prometheus text. Label values are profile names and our own words: bounded by the configuration.

use super::door::View;
use flint_core::ask::Budget;
use flint_core::forge::Due;
use flint_core::job::JobState;
use flint_core::plan::Because;
use flint_core::units::Timestamp;
use flint_core::vm::Phase;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use std::fmt;

type Gauges = Family<Vec<(String, String)>, Gauge>;

/// Counts that grow while the daemon runs, told by the rooms that count them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Webhook requests.
    pub deliveries: Vec<Count>,
    /// Packets of connections that guests began and their lists did not have.
    pub egress: Vec<Count>,
    /// How often the half that faces the network had to be started anew.
    pub front_restarts: u64,
}

/// One counter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// What happened: `accepted`, `bad_signature`, …
    pub outcome: &'static str,
    /// How often.
    pub times: u64,
}

/// The text for `GET /metrics`.
///
/// # Errors
/// [`fmt::Error`] when the encoder fails, which it does not on a `String`.
pub fn render(view: &View, counts: &Counts) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("flint");
    microvms(&mut registry, view);
    jobs(&mut registry, view);
    breakers(&mut registry, view);
    host(&mut registry, view);
    github(&mut registry, view);
    paced(&mut registry, view);
    scale_sets(&mut registry, view);
    runners(&mut registry, view);
    let deliveries = gauges(&mut registry, "webhook_deliveries", "Webhook requests by outcome");
    for count in &counts.deliveries {
        set(&deliveries, &[("outcome", count.outcome)], count.times);
    }
    let egress = gauges(
        &mut registry,
        "egress_packets",
        "Packets of connections beyond a profile's list, refused or (in an audit) noted, of guests that have ended",
    );
    for count in &counts.egress {
        set(&egress, &[("outcome", count.outcome)], count.times);
    }
    let restarts = gauges(
        &mut registry,
        "front_restarts",
        "How often the process that faces the network had to be started anew",
    );
    set(&restarts, &[], counts.front_restarts);
    let ok = gauges(&mut registry, "store_ok", "1 when the last commit reached the disk");
    set(&ok, &[], u64::from(view.stored));
    let wrong = gauges(&mut registry, "audit_notes", "What the audit finds wrong; always 0");
    set(&wrong, &[], view.notes.len() as u64);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

fn microvms(registry: &mut Registry, view: &View) {
    let all = gauges(registry, "microvms", "MicroVMs by profile and phase");
    for vm in view.world.vms.values() {
        add(&all, &[("profile", vm.profile.as_str()), ("phase", phase_word(&vm.phase))]);
    }
}

fn jobs(registry: &mut Registry, view: &View) {
    let all = gauges(registry, "jobs", "Jobs that have not completed, by profile and state");
    for job in view.world.jobs.values() {
        let profile = job.profile.as_ref().map_or("none", |profile| profile.as_str());
        let state = match job.state {
            JobState::Queued => "queued",
            JobState::Running(_) => "running",
            JobState::Elsewhere => "elsewhere",
        };
        add(&all, &[("profile", profile), ("state", state)]);
    }
    let waits = gauges(registry, "waits", "Queued jobs by the one cause that they wait for");
    for wait in view.waits.iter(&view.world) {
        add(&waits, &[("because", because_word(&wait.because))]);
    }
}

fn breakers(registry: &mut Registry, view: &View) {
    let open = gauges(registry, "breaker_open", "1 when a profile starts nothing new");
    for (profile, breaker) in &view.world.breakers {
        set(&open, &[("profile", profile.as_str())], u64::from(breaker.open));
    }
}

fn host(registry: &mut Registry, view: &View) {
    let capacity = gauges(registry, "capacity", "What the host may hand out");
    let used = gauges(registry, "used", "What microVMs hold of it");
    for host in view.world.hosts.values() {
        set(&capacity, &[("of", "vcpus")], u64::from(host.capacity.vcpus));
        set(&capacity, &[("of", "memory_mib")], host.capacity.memory.0);
        set(&capacity, &[("of", "disk_mib")], host.capacity.disk.0);
        set(&capacity, &[("of", "slots")], u64::from(host.slots));
    }
    let shapes = view.world.vms.values().map(|vm| vm.shape);
    let sum = shapes.fold(flint_core::units::Resources::default(), |sum, shape| sum + shape);
    set(&used, &[("of", "vcpus")], u64::from(sum.vcpus));
    set(&used, &[("of", "memory_mib")], sum.memory.0);
    set(&used, &[("of", "disk_mib")], sum.disk.0);
    set(&used, &[("of", "slots")], view.world.vms.len() as u64);
}

fn github(registry: &mut Registry, view: &View) {
    let left =
        gauges(registry, "github_quota_remaining", "Calls that GitHub still takes this hour");
    let limit = gauges(registry, "github_quota_limit", "Calls that GitHub takes an hour");
    let open = gauges(registry, "github_breaker_open", "1 when GitHub refuses every registration");
    let failing =
        gauges(registry, "github_unanswered", "Failures in a row of a question to GitHub");
    let asked = |question, scope: &str, due: &Due| {
        set(&failing, &[("question", question), ("scope", scope)], u64::from(due.failures));
    };
    let until = gauges(
        registry,
        "github_limited_until_seconds",
        "GitHub takes no calls before this time (UNIX); in the past or 0 when it takes some",
    );
    for (id, installation) in &view.world.installations {
        let whose = ("installation", id.as_str());
        for quota in installation.quotas.values() {
            let budget = [whose, ("budget", budget_word(quota.budget))];
            set(&left, &budget, u64::from(quota.remaining));
            set(&limit, &budget, u64::from(quota.limit));
        }
        set(&until, &[whose], installation.limited_until.0 / 1_000);
        if let Some(deliveries) = &installation.deliveries {
            asked("deliveries", id.as_str(), &deliveries.due);
        }
    }
    for (id, scope) in &view.world.scopes {
        set(&open, &[("scope", id.as_str())], u64::from(scope.breaker.open));
        asked("runners", id.as_str(), &scope.runners);
        asked("repositories", id.as_str(), &scope.repositories);
    }
    let jobs = view.world.repositories.values().map(|r| u64::from(r.jobs.failures)).max();
    set(&failing, &[("question", "jobs"), ("scope", "")], jobs.unwrap_or(0));
}

fn paced(registry: &mut Registry, view: &View) {
    let paced =
        gauges(registry, "registrations_paced", "Registrations that wait for their turn at GitHub");
    for id in view.world.installations.keys() {
        set(&paced, &[("installation", id.as_str())], 0);
    }
    for id in view.waits.paced(&view.world) {
        add(&paced, &[("installation", id.as_str())]);
    }
}

fn scale_sets(registry: &mut Registry, view: &View) {
    let heard = gauges(registry, "scale_set_heard", "1 while somebody hears of its jobs");
    let assigned = gauges(registry, "scale_set_jobs", "Its jobs, as GitHub counted last");
    for (profile, known) in &view.world.scale_sets {
        let profile = [("profile", profile.as_str())];
        set(&heard, &profile, u64::from(known.session.is_some() && known.trouble.is_none()));
        set(&assigned, &profile, u64::from(known.assigned.unwrap_or(0)));
    }
}

fn runners(registry: &mut Registry, view: &View) {
    let last = gauges(
        registry,
        "runner_last_day_seconds",
        "When GitHub stops giving jobs to the runner of a profile's image (UNIX); missing while nobody knows",
    );
    for profile in view.world.runner_versions.keys() {
        let known = view.world.runner_verdict(profile, Timestamp::default());
        if let Some(end) = known.and_then(|(_, verdict)| verdict.last()) {
            set(&last, &[("profile", profile.as_str())], end.at.0 / 1_000);
        }
    }
}

fn gauges(registry: &mut Registry, name: &str, help: &str) -> Gauges {
    let family = Gauges::default();
    registry.register(name, help, family.clone());
    family
}

fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn set(gauges: &Gauges, pairs: &[(&str, &str)], value: u64) {
    gauges.get_or_create(&labels(pairs)).set(i64::try_from(value).unwrap_or(i64::MAX));
}

fn add(gauges: &Gauges, pairs: &[(&str, &str)]) {
    gauges.get_or_create(&labels(pairs)).inc();
}

/// A phase in one word, for labels and tables.
#[must_use]
pub fn phase_word(phase: &Phase) -> &'static str {
    match phase {
        Phase::Launching => "launching",
        Phase::Warm => "warm",
        Phase::Registering => "registering",
        Phase::Listening => "listening",
        Phase::Busy(_) => "busy",
        Phase::Retiring(_) => "retiring",
        Phase::Stopping { .. } => "stopping",
    }
}

/// A budget in one word, for labels and tables.
#[must_use]
pub fn budget_word(budget: Budget) -> &'static str {
    match budget {
        Budget::App => "app",
        Budget::Installation => "installation",
    }
}

/// A cause in one word, for labels.
#[must_use]
pub fn because_word(because: &Because) -> &'static str {
    match because {
        Because::NoProfile => "no_profile",
        Because::OriginUnknown => "origin_unknown",
        Because::PublicRepository => "public_repository",
        Because::Fork => "fork",
        Because::RepositoryUnlisted => "repository_unlisted",
        Because::Coming { .. } => "coming",
        Because::ProfileFull { .. } => "profile_full",
        Because::BackingOff { .. } => "backing_off",
        Because::BreakerOpen { .. } => "breaker_open",
        Because::RepositoryFull { .. } => "repository_full",
        Because::OwnerFull { .. } => "owner_full",
        Because::NoScope => "no_scope",
        Because::ForgeRefuses { .. } => "github_refuses",
        Because::RateLimited { .. } => "rate_limited",
        Because::Paced { .. } => "paced",
        Because::NotGiven { .. } => "not_given",
        Because::HostFull { .. } => "host_full",
        Because::TooBig { .. } => "too_big",
        Because::Draining => "draining",
        Because::HostAway => "host_away",
    }
}
