//! How facts, orders and rows of the world look in a replay: one line each.

use flint_core::ask::{Question, Quota};
use flint_core::breaker::Breaker;
use flint_core::event::{Event, ForgeEvent, GuestEvent, HostEvent, OperatorEvent};
use flint_core::forge::{Installation, Scope};
use flint_core::host::Host;
use flint_core::id::{JobKey, ProfileId, RunnerName, VmId};
use flint_core::job::{Job, JobRequest, JobState};
use flint_core::limits::Limits;
use flint_core::plan::Action;
use flint_core::policy::Origin;
use flint_core::profile::Profile;
use flint_core::scale_set::SetEvent;
use flint_core::units::Timestamp;
use flint_core::vm::{Phase, Registration, Vm};
use std::collections::BTreeSet;

/// To the millisecond: many facts share a second.
pub(super) fn time(at: Timestamp) -> String {
    let second = at.to_string();
    format!("{}.{:03}Z", second.trim_end_matches('Z'), at.0 % 1_000)
}

pub(super) fn fact(event: &Event) -> String {
    match event {
        Event::Started { profiles, hosts, limits: _, scopes, readers: _ } => {
            let profiles: Vec<&str> = profiles.keys().map(|id| id.as_str()).collect();
            let hosts: Vec<String> = hosts.keys().map(ToString::to_string).collect();
            let scopes: Vec<&str> = scopes.keys().map(|id| id.as_str()).collect();
            let [profiles, hosts, scopes] = [list(&profiles), list(&hosts), list(&scopes)];
            format!("the daemon started: profiles {profiles}; hosts {hosts}; scopes {scopes}")
        }
        Event::Forge(event) => forge_told(event),
        Event::Host(event) => host_told(event),
        Event::Guest { vm, said } => guest(*vm, said),
        Event::Operator(event) => operator(event),
        Event::Tick => "time passed".to_owned(),
    }
}

fn forge_told(event: &ForgeEvent) -> String {
    match event {
        ForgeEvent::JobQueued { job, request } => {
            format!("GitHub: job {job} is queued: {}", asks(request))
        }
        ForgeEvent::JobStarted { job, request: _, runner } => {
            format!("GitHub: job {job} began{}", by(runner.as_ref()))
        }
        ForgeEvent::JobCompleted { job, request: _, runner, conclusion } => {
            format!("GitHub: job {job} ended with `{}`{}", conclusion.0, by(runner.as_ref()))
        }
        ForgeEvent::JobWithdrawn { job } => {
            format!("GitHub: the scale set lost job {job} before a runner took it")
        }
        ForgeEvent::ScaleSet { profile, said } => of_set(profile, said),
        ForgeEvent::Registered { vm, scope, attempt, runner } => {
            format!("GitHub: {vm} is registered in {scope}, try {attempt}, runner {runner}")
        }
        ForgeEvent::RegisterFailed { vm, scope, attempt, failure, why } => {
            format!("GitHub: {vm} is not registered in {scope}, try {attempt}, {failure:?}: {why}")
        }
        ForgeEvent::Deregistered { vm } => format!("GitHub: {vm} has no registration left"),
        ForgeEvent::DeregisterRefused { vm } => {
            format!("GitHub: {vm} has a job and keeps its registration")
        }
        ForgeEvent::DeregisterFailed { vm, why } => {
            format!("GitHub: {vm} could not be deregistered: {why}")
        }
        ForgeEvent::Runners { scope, registered, asked } => {
            let (registered, asked) = (vms(registered), time(*asked));
            format!("GitHub: registered in {scope} are {registered}, asked at {asked}")
        }
        ForgeEvent::DeliveriesRead { installation, asked } => {
            let asked = time(*asked);
            format!("GitHub: failed deliveries of {installation} are read, asked at {asked}")
        }
        ForgeEvent::RepositoriesListed { scope, active, asked } => {
            let active: Vec<&str> = active.iter().map(String::as_str).collect();
            format!("GitHub: active in {scope} are {}, asked at {}", list(&active), time(*asked))
        }
        ForgeEvent::JobsListed { repository, queued, asked } => {
            let queued: Vec<String> = queued.iter().map(ToString::to_string).collect();
            let asked = time(*asked);
            format!("GitHub: in {repository} are queued {}, asked at {asked}", list(&queued))
        }
        ForgeEvent::JobAsked { job, found, asked } => {
            format!("GitHub: job {job} is {found:?}, asked at {}", time(*asked))
        }
        ForgeEvent::RunAsked { run, repository, origin, over, asked } => {
            let asked = time(*asked);
            let from = comes_from(*origin);
            let over = if *over { ", and has ended" } else { "" };
            format!("GitHub: run {run} of {repository} {from}{over}, asked at {asked}")
        }
        ForgeEvent::RunnerReleases { installation, releases, rule: _ } => {
            format!("GitHub: the newest runner is {}, told to {installation}", newest(releases))
        }
        ForgeEvent::AskFailed { question, failure, why } => {
            format!("GitHub: no answer about {}, {failure:?}: {why}", about(question))
        }
        ForgeEvent::QuotaLeft { installation, quota } => {
            let Quota { budget, limit, remaining, resets } = quota;
            let resets = time(*resets);
            format!(
                "GitHub: {remaining} of {limit} calls are left of {budget:?} of {installation} until {resets}"
            )
        }
    }
}

fn comes_from(origin: Option<Origin>) -> String {
    let Some(Origin { public, fork }) = origin else { return "is gone".to_owned() };
    let word = |is: Option<bool>| is.map_or("perhaps", |is| if is { "" } else { "not" });
    format!("is {} of a public repository, {} of a fork", word(public), word(fork))
}

fn of_set(profile: &ProfileId, said: &SetEvent) -> String {
    match said {
        SetEvent::Opened { session } => {
            format!("GitHub: the session of the scale set of {profile} is {}", session.id)
        }
        SetEvent::Counted { assigned } => {
            format!("GitHub: the scale set of {profile} has {assigned} jobs")
        }
        SetEvent::PassedOver { why } => {
            format!("GitHub: a message to the scale set of {profile} was passed over: {why}")
        }
        SetEvent::Lost { why } => {
            format!("GitHub: nobody hears of the jobs of the scale set of {profile}: {why}")
        }
    }
}

fn host_told(event: &HostEvent) -> String {
    match event {
        HostEvent::LaunchBegan { vm, committed } => {
            format!("host: {vm} is being launched, planned at {}", time(*committed))
        }
        HostEvent::LaunchFailed { vm, why } => format!("host: {vm} could not be launched: {why}"),
        HostEvent::Exited { vm, end } => format!("host: the process of {vm} ended: {end:?}"),
        HostEvent::Destroyed { vm } => format!("host: nothing is left of {vm}"),
        HostEvent::DestroyFailed { vm, why } => {
            format!("host: {vm} could not be destroyed: {why}")
        }
        HostEvent::ScanFailed { host, why } => format!("host: {host} was not scanned: {why}"),
        HostEvent::Inventory { host, alive, present, asked } => {
            let there = present.difference(alive).copied().collect();
            let asked = time(*asked);
            format!(
                "host: on {host} run {}, something is left of {}, asked at {asked}",
                vms(alive),
                vms(&there)
            )
        }
    }
}

fn guest(vm: VmId, said: &GuestEvent) -> String {
    match said {
        GuestEvent::Ready { kernel_up, runner } => {
            let runner = runner.map_or(String::new(), |version| format!(", with runner {version}"));
            format!("guest: {vm} is ready, its kernel ran at {}{runner}", time(*kernel_up))
        }
        GuestEvent::Listening => format!("guest: the runner of {vm} listens"),
        GuestEvent::Busy => format!("guest: the runner of {vm} has a job"),
        GuestEvent::JobDone => format!("guest: the job in {vm} is done"),
        GuestEvent::RunnerExited { code } => {
            format!("guest: the runner of {vm} ended with {code}")
        }
        GuestEvent::Failed { why } => format!("guest: {vm} failed: {why}"),
    }
}

fn operator(event: &OperatorEvent) -> String {
    match event {
        OperatorEvent::Drain { host, draining: true } => format!("operator: drain {host}"),
        OperatorEvent::Drain { host, draining: false } => format!("operator: use {host} again"),
        OperatorEvent::Stop { vm } => format!("operator: stop {vm}"),
        OperatorEvent::Reset { profile } => format!("operator: close the breaker of {profile}"),
    }
}

fn newest(releases: &flint_core::runner_version::Releases) -> String {
    releases.newest().map_or("unknown".to_owned(), |(version, _)| version.to_string())
}

fn about(question: &Question) -> String {
    match question {
        Question::Deliveries { installation, since } => {
            format!("failed deliveries of {installation} since {}", time(*since))
        }
        Question::RunnerReleases { installation } => {
            format!("releases of its runner, as {installation}")
        }
        Question::Runners { scope } => format!("our runners in {scope}"),
        Question::Repositories { scope } => format!("active repositories in {scope}"),
        Question::Jobs { repository } => format!("the jobs of {repository}"),
        Question::Job { job, repository } => format!("job {job} of {repository}"),
        Question::Run { run, repository } => format!("run {run} of {repository}"),
    }
}

fn asks(request: &JobRequest) -> String {
    let labels = request.labels.join(" ");
    format!("`{}` of {} in {}, for [{labels}]", request.name, request.workflow, request.repository)
}

fn by(runner: Option<&RunnerName>) -> String {
    runner.map(|name| format!(" on `{}`", name.as_str())).unwrap_or_default()
}

fn vms(ids: &BTreeSet<VmId>) -> String {
    list(&ids.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn list<T: AsRef<str>>(words: &[T]) -> String {
    if words.is_empty() {
        return "none".to_owned();
    }
    words.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(" ")
}

pub(super) fn action(action: &Action) -> String {
    match action {
        Action::Launch { vm, host, slot, profile } => {
            format!("launch {vm} on {host} in slot {slot} for {profile}")
        }
        Action::Register { vm, host, profile: _, scope, attempt, name } => {
            format!("register {vm} on {host} in {scope} as `{}`, try {attempt}", name.as_str())
        }
        Action::Deregister { vm, scope, names } if names.is_empty() => {
            format!("deregister {vm} in {scope}, whatever its names")
        }
        Action::Deregister { vm, scope, names } => {
            let names: Vec<&str> = names.iter().map(RunnerName::as_str).collect();
            format!("deregister {vm} in {scope}: {}", names.join(" "))
        }
        Action::Destroy { vm, host, slot } => {
            let slot = slot.map(|slot| format!(", slot {slot}")).unwrap_or_default();
            format!("destroy {vm} on {host}{slot}")
        }
        Action::Scan { host } => format!("scan {host}"),
        Action::Ask { question } => format!("ask GitHub about {}", about(question)),
    }
}

pub(super) fn vm(vm: &Vm) -> String {
    let phase = match &vm.phase {
        Phase::Busy(Some(job)) => format!("busy with job {job}"),
        Phase::Retiring(reason) => format!("retiring: {reason:?}"),
        Phase::Stopping { reason, host_clean, forge_clean } => {
            let rest = match (host_clean, forge_clean) {
                (false, false) => ", host and GitHub not clean",
                (false, true) => ", host not clean",
                (true, false) => ", GitHub not clean",
                (true, true) => "",
            };
            format!("stopping: {reason:?}{rest}")
        }
        Phase::Launching
        | Phase::Warm
        | Phase::Registering
        | Phase::Listening
        | Phase::Busy(None) => vm.phase.stage().to_string(),
    };
    let registration = match &vm.registration {
        Registration::None => "not registered".to_owned(),
        Registration::Asked { attempt } => format!("try {attempt} is asked for"),
        Registration::Held { attempt, runner } => format!("try {attempt} is runner {runner}"),
    };
    let trouble = vm.trouble.as_ref().map(|why| format!("; trouble: {why}")).unwrap_or_default();
    format!("{phase}; {registration}{trouble}")
}

pub(super) fn vm_in_full(row: &Vm) -> String {
    let Vm { profile, host, slot, shape, since, failures, retry_at, .. } = row;
    let mut text =
        format!("{profile}, {host} slot {slot}, {shape}; {}; since {}", vm(row), time(*since));
    if *failures > 0 {
        text += &format!("; {failures} failed orders, next at {}", time(*retry_at));
    }
    text
}

pub(super) fn job(job: &Job) -> String {
    let profile = job.profile.as_ref().map_or("no profile", |id| id.as_str());
    match &job.state {
        JobState::Queued => format!("queued for {profile}"),
        JobState::Running(vm) => format!("runs in {vm}"),
        JobState::Elsewhere => "runs on a runner that is not ours".to_owned(),
    }
}

pub(super) fn job_in_full(key: &JobKey, row: &Job) -> String {
    format!(
        "{}; {}; attempt {}, since {}",
        job(row),
        asks(&row.request),
        key.attempt,
        time(row.received)
    )
}

pub(super) fn breaker(breaker: &Breaker) -> String {
    let open = if breaker.open { "open" } else { "backing off" };
    let until = time(breaker.closed_until);
    format!("{open} until {until} after {} failures: {}", breaker.failures, breaker.why)
}

/// What keeps all microVMs from a registration in a scope.
pub(super) fn scope(scope: &Scope) -> String {
    let refuses = match scope.breaker.failures {
        0 => "takes registrations".to_owned(),
        _ => breaker(&scope.breaker),
    };
    format!("{refuses}; reached by {}", scope.installation)
}

/// When GitHub takes somebody's calls.
pub(super) fn installation(installation: &Installation) -> String {
    format!("takes calls from {} on", time(installation.limited_until))
}

pub(super) fn limits(limits: &Limits) -> String {
    let Limits { per_repository, per_owner, repositories, owners } = limits;
    let each = |max: &Option<u32>| max.map_or("none".to_owned(), |max| max.to_string());
    let named = repositories.iter().chain(owners).map(|(name, max)| format!("; {name} {max}"));
    let named: String = named.collect();
    format!("{} a repository, {} an owner{named}", each(per_repository), each(per_owner))
}

pub(super) fn host(host: &Host) -> String {
    let state = if host.draining { ", draining" } else { "" };
    format!("{} slots, {}{state}", host.slots, host.capacity)
}

pub(super) fn profile(profile: &Profile) -> String {
    let labels: Vec<&str> = profile.labels.iter().map(String::as_str).collect();
    let Profile { shape, warm, max, priority, .. } = profile;
    format!("[{}], {shape}, warm {warm}, max {max}, priority {priority}", labels.join(" "))
}
