//! What was told and ordered in a life, in the language of the core's scripts (`crates/core/tests/scripts`).

use super::setup::Setup;
use super::strangers::word;
use flint_core::ask::{AskFailure, Budget, Found, Question};
use flint_core::event::{
    Event, ForgeEvent, GuestEnd, GuestEvent, HostEvent, OperatorEvent, RegisterFailure,
};
use flint_core::id::{RunnerName, ScopeId, VmId};
use flint_core::job::JobRequest;
use flint_core::limits::Limits;
use flint_core::plan::Action;
use flint_core::scale_set::{SetEvent, Source};
use flint_core::units::Timestamp;
use flint_core::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// The lines so far. One life's is finished by [`Script::text`].
#[derive(Default)]
pub(super) struct Script {
    lines: Vec<Line>,
    named: Vec<Action>,
    /// A host was out of sight: then it matters when each was heard from.
    silent: bool,
}

struct Line {
    text: String,
    /// It changed nothing but when a host was heard from.
    idle: bool,
}

impl Script {
    /// A fact that was stored, and the orders that are new by it.
    pub(super) fn fact(
        &mut self,
        at: Timestamp,
        event: &Event,
        (before, after): (&World, &World),
        actions: &[Action],
    ) {
        let quiet = |event: &Event| {
            matches!(
                event,
                Event::Tick
                    | Event::Host(HostEvent::Inventory { .. } | HostEvent::ScanFailed { .. })
            )
        };
        let orders: Vec<&Action> = actions
            .iter()
            .filter(|action| !matches!(action, Action::Scan { .. }) && !self.named.contains(action))
            .collect();
        self.silent = self.silent
            || after.hosts.keys().any(|host| !after.is_heard(*host, at))
            || before.hosts.keys().any(|host| !before.is_heard(*host, at));
        let idle = quiet(event) && orders.is_empty() && unscanned(before) == unscanned(after);
        let text = format!("{} {}", time(at), said(event, &after.instance));
        self.lines.push(Line { text, idle });
        for order in orders {
            let text = format!("= {}", ordered(order, after.scopes.len() > 1));
            self.lines.push(Line { text, idle: false });
        }
        if matches!(event, Event::Started { .. }) {
            self.named.clear();
        }
        self.named = actions.to_vec();
    }

    pub(super) fn died(&mut self, at: Timestamp) {
        self.lines.push(Line { text: format!("{} died", time(at)), idle: false });
        self.named.clear();
    }

    /// The whole script.
    pub(super) fn text(&self, setup: &Setup, why: &str) -> String {
        let mut text = format!("# Life {}: {why}.\n", setup.seed);
        for line in configured(setup, self.silent) {
            text.push_str(&line);
            text.push('\n');
        }
        for line in self.lines.iter().filter(|line| self.silent || !line.idle) {
            text.push_str(&line.text);
            text.push('\n');
        }
        text
    }
}

/// A world without when its hosts were heard from.
fn unscanned(world: &World) -> World {
    let mut world = world.clone();
    for host in world.hosts.values_mut() {
        (host.seen, host.scan_at) = (Timestamp::default(), Timestamp::default());
    }
    world
}

fn configured(setup: &Setup, silent: bool) -> Vec<String> {
    let mut lines = vec![format!("scopes{}", scopes(setup))];
    for (id, p) in &setup.profiles {
        let labels: Vec<&str> = p.labels.iter().map(String::as_str).collect();
        let (shape, times) = (p.shape, &p.timeouts);
        lines.push(format!(
            "profile {id} {} vcpus={} memory={} disk={} warm={} max={} priority={} boot={}s register={}s idle={}s job={}s sizes={} source={} at={} only={} except={}",
            labels.join(","), shape.vcpus, shape.memory.0, shape.disk.0, p.warm, p.max, p.priority,
            times.boot.as_secs(), times.register.as_secs(), times.idle.as_secs(), times.job.as_secs(),
            p.sizes.as_ref().map_or("", |sizes| &sizes.prefix),
            if p.source == Source::ScaleSet { "scale-set" } else { "webhook" },
            p.scope.as_ref().map_or("", ScopeId::as_str),
            list(&p.repositories.only), list(&p.repositories.except),
        ));
    }
    for (id, host) in &setup.hosts {
        let (shape, slots) = (host.capacity, host.slots);
        let (vcpus, memory, disk) = (shape.vcpus, shape.memory.0, shape.disk.0);
        lines.push(format!("host {id} vcpus={vcpus} memory={memory} disk={disk} slots={slots}"));
    }
    if setup.limits != Limits::default() {
        lines.push(limits(&setup.limits));
    }
    if silent {
        lines.push("silent hosts".to_owned());
    }
    lines.push("with asks".to_owned());
    lines
}

/// Each with whose calls reach it.
fn scopes(setup: &Setup) -> String {
    let each = setup.scopes.iter();
    each.map(|(scope, reach)| format!(" {scope}@{}", reach.installation)).collect()
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(",")
}

fn limits(limits: &Limits) -> String {
    let named: BTreeMap<&String, &u32> = limits.repositories.iter().chain(&limits.owners).collect();
    let named = named.into_iter().map(|(name, max)| format!(" {name}={max}"));
    let all = [("repository", limits.per_repository), ("owner", limits.per_owner)];
    let all = all.into_iter().filter_map(|(name, max)| Some(format!(" {name}={}", max?)));
    format!("limits{}", all.chain(named).collect::<String>())
}

fn said(event: &Event, instance: &str) -> String {
    match event {
        Event::Started { .. } => "started".to_owned(),
        Event::Tick => "tick".to_owned(),
        Event::Forge(event) => by_forge(event, instance),
        Event::Host(event) => by_host(event),
        Event::Guest { vm, said } => format!("{vm} {}", by_guest(said)),
        Event::Operator(OperatorEvent::Drain { host, draining: true }) => {
            format!("host {host} drain")
        }
        Event::Operator(OperatorEvent::Drain { host, draining: false }) => {
            format!("host {host} undrain")
        }
        Event::Operator(OperatorEvent::Stop { vm }) => format!("{vm} stop"),
        Event::Operator(OperatorEvent::Reset { profile }) => format!("reset {profile}"),
    }
}

fn by_forge(event: &ForgeEvent, instance: &str) -> String {
    let by = |runner: &Option<RunnerName>| match runner {
        None => String::new(),
        Some(name) => match name.vm(instance) {
            Some(vm) => format!(" by {vm}"),
            None => format!(" by {name}"),
        },
    };
    let of = |request: &JobRequest| {
        let (labels, repository) = (request.labels.join(","), &request.repository);
        let set = request.scale_set.as_ref().map(|id| format!(" set {id}")).unwrap_or_default();
        format!("{labels} in {repository}{set}{}", word(request.origin))
    };
    match event {
        ForgeEvent::JobQueued { job, request } => format!("job {job} queued {}", of(request)),
        ForgeEvent::JobStarted { job, request, runner } => {
            format!("job {job} started{} {}", by(runner), of(request))
        }
        ForgeEvent::JobCompleted { job, request, runner, conclusion } => {
            format!("job {job} {}{} {}", conclusion.0, by(runner), of(request))
        }
        ForgeEvent::JobWithdrawn { job } => format!("job {job} withdrawn"),
        ForgeEvent::ScaleSet { profile, said } => match said {
            SetEvent::Opened { session } => format!("set {profile} opened {}", session.set),
            SetEvent::Counted { assigned } => format!("set {profile} has {assigned}"),
            SetEvent::PassedOver { .. } => format!("set {profile} passed over"),
            SetEvent::Lost { .. } => format!("set {profile} lost"),
        },
        ForgeEvent::Registered { vm, attempt, .. } => format!("{vm} registered {attempt}"),
        ForgeEvent::RegisterFailed { vm, attempt, failure, .. } => {
            let failure = match failure {
                RegisterFailure::Transient => "transient".to_owned(),
                RegisterFailure::NameTaken => "taken".to_owned(),
                RegisterFailure::Limited { until } => format!("limited {}", time(*until)),
                RegisterFailure::Refused => "refused".to_owned(),
                RegisterFailure::Forbidden => "forbidden".to_owned(),
            };
            format!("{vm} register failed {attempt} {failure}")
        }
        ForgeEvent::Deregistered { vm } => format!("{vm} deregistered"),
        ForgeEvent::DeregisterRefused { vm } => format!("{vm} deregister refused"),
        ForgeEvent::DeregisterFailed { vm, .. } => format!("{vm} deregister failed"),
        ForgeEvent::Runners { scope, registered, asked } => {
            format!("runners{} in {scope} asked {}", vms(registered), time(*asked))
        }
        ForgeEvent::DeliveriesRead { .. }
        | ForgeEvent::RepositoriesListed { .. }
        | ForgeEvent::JobsListed { .. }
        | ForgeEvent::JobAsked { .. }
        | ForgeEvent::RunAsked { .. }
        | ForgeEvent::RunnerReleases { .. }
        | ForgeEvent::AskFailed { .. }
        | ForgeEvent::QuotaLeft { .. } => answered(event),
    }
}

fn answered(event: &ForgeEvent) -> String {
    match event {
        ForgeEvent::DeliveriesRead { installation, asked } => {
            format!("deliveries read of {installation} asked {}", time(*asked))
        }
        ForgeEvent::RepositoriesListed { scope, active, asked } => {
            let active: String = active.iter().map(|name| format!(" {name}")).collect();
            format!("repositories{active} in {scope} asked {}", time(*asked))
        }
        ForgeEvent::JobsListed { repository, queued, asked } => {
            let queued: String = queued.iter().map(|job| format!(" {job}")).collect();
            format!("repository {repository} has{queued} asked {}", time(*asked))
        }
        ForgeEvent::JobAsked { job, found, asked } => {
            let found = match found {
                Found::Queued { admitted: Some(false) } => "closed",
                Found::Queued { .. } => "queued",
                Found::Told => "told",
                Found::Gone => "gone",
                Found::Held => "held",
            };
            format!("asked job {job}: {found} asked {}", time(*asked))
        }
        ForgeEvent::RunAsked { run, repository, origin, over, asked } => {
            let from = match origin.map(word) {
                None => "gone",
                Some("") => "private",
                Some(word) => word.trim_start_matches(" from "),
            };
            let is = if *over { "was" } else { "is" };
            format!("run {run} of {repository} {is} {from} asked {}", time(*asked))
        }
        ForgeEvent::RunnerReleases { .. } => "releases".to_owned(),
        ForgeEvent::AskFailed { question, failure, .. } => {
            let question = match question {
                Question::RunnerReleases { .. } => "releases".to_owned(),
                Question::Deliveries { installation, .. } => {
                    format!("deliveries of {installation}")
                }
                Question::Runners { scope } => format!("runners in {scope}"),
                Question::Repositories { scope } => format!("repositories in {scope}"),
                Question::Jobs { repository } => format!("jobs of {repository}"),
                Question::Job { job, repository } => format!("job {job} of {repository}"),
                Question::Run { run, repository } => format!("run {run} of {repository}"),
            };
            match failure {
                AskFailure::Transient => format!("ask failed: {question} transient"),
                AskFailure::Refused => format!("ask failed: {question} refused"),
                AskFailure::Limited { until } => {
                    format!("ask failed: {question} limited {}", time(*until))
                }
            }
        }
        ForgeEvent::QuotaLeft { installation, quota } => {
            let app = if quota.budget == Budget::App { " of the app" } else { "" };
            let (left, limit) = (quota.remaining, quota.limit);
            format!("quota {left} of {limit} until {}{app} for {installation}", time(quota.resets))
        }
        _ => String::new(),
    }
}

fn by_host(event: &HostEvent) -> String {
    match event {
        HostEvent::LaunchBegan { vm, .. } => format!("{vm} launched"),
        HostEvent::LaunchFailed { vm, .. } => format!("{vm} launch failed"),
        HostEvent::Exited { vm, end } => {
            let end = match end {
                GuestEnd::ShutDown => "off",
                GuestEnd::Crashed => "crashed",
                GuestEnd::OutOfMemory => "out of memory",
                GuestEnd::Killed => "killed",
            };
            format!("{vm} {end}")
        }
        HostEvent::Destroyed { vm } => format!("{vm} destroyed"),
        HostEvent::DestroyFailed { vm, .. } => format!("{vm} destroy failed"),
        HostEvent::Inventory { host, alive, present, asked } => {
            let dead: BTreeSet<VmId> = present.difference(alive).copied().collect();
            let dead = if dead.is_empty() { String::new() } else { format!(" dead{}", vms(&dead)) };
            format!("host {host} has{}{dead} asked {}", vms(alive), time(*asked))
        }
        HostEvent::ScanFailed { host, .. } => format!("host {host} away"),
    }
}

fn by_guest(said: &GuestEvent) -> String {
    match said {
        GuestEvent::Ready { .. } => "ready".to_owned(),
        GuestEvent::Listening => "listening".to_owned(),
        GuestEvent::Busy => "busy".to_owned(),
        GuestEvent::JobDone => "done".to_owned(),
        GuestEvent::RunnerExited { code } => format!("exit {code}"),
        GuestEvent::Failed { .. } => "failed".to_owned(),
    }
}

/// As the scripts' player writes them: scopes where there are several.
fn ordered(action: &Action, several: bool) -> String {
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
            Question::RunnerReleases { installation } => {
                let of = if several { format!(" for {installation}") } else { String::new() };
                format!("ask for releases of the runner{of}")
            }
            Question::Deliveries { installation, since } => {
                let of = if several { format!(" of {installation}") } else { String::new() };
                format!("ask for deliveries{of} since {}", time(*since))
            }
            Question::Runners { scope } => format!("ask for runners{}", at(scope)),
            Question::Repositories { scope } => format!("ask for repositories{}", at(scope)),
            Question::Jobs { repository } => format!("ask for jobs of {repository}"),
            Question::Job { job, repository } => format!("ask for job {job} of {repository}"),
            Question::Run { run, repository } => format!("ask for run {run} of {repository}"),
        },
    }
}

fn vms(ids: &BTreeSet<VmId>) -> String {
    ids.iter().map(|id| format!(" {id}")).collect()
}

fn time(at: Timestamp) -> String {
    match at.0 {
        ms if ms % 1_000 != 0 => format!("{ms}ms"),
        ms if ms >= 3_600_000 && ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms => format!("{}s", ms / 1_000),
    }
}
