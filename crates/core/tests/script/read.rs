//! Reads one line of a script. Anything it does not understand ends the test.
//!
//! ```text
//! profile NAME LABEL,LABEL [vcpus=2] [memory=4096] [disk=20480] [warm=0] [max=4] [boot=60s] [sizes=flint] [only=o/r,o/*] [except=o/x] [at=acme] …
//! no profile NAME
//! host h-0 [vcpus=8] [memory=16384] [disk=102400] [slots=4]
//! limits [repository=2] [owner=4] [o/r=1]
//! scopes acme beta/web@beta          silent hosts                       with asks
//! 0s started                         5s host h-0 has vm-0 vm-1 [dead vm-2] [asked 4s]
//! 5s died                            5s host h-0 away
//! 1s job 7 queued LABEL,LABEL        5s host h-0 drain | host h-0 undrain
//! 1s job 7 started by vm-0 LABEL     5s vm-0 launched | launch failed | destroyed | destroy failed
//! 1s job 7 success by vm-0 LABEL     5s vm-0 registered [2] | register failed [2] transient | taken | refused
//! 1s job 7 queued LABEL in o/r       5s vm-0 register failed 1 forbidden | limited 600s
//! 1s job 7 queued LABEL set NAME     1s job 7 withdrawn
//! 1s set NAME has 3 | opened 4711 | lost | passed over
//! 1s job 7 cancelled LABEL           5s vm-0 deregistered | deregister refused | deregister failed
//! 1s tick                            5s vm-0 ready | listening | busy | done | exit 0 | failed | off | crashed | stop
//! 1s runners vm-0 vm-1 [in acme] [asked 0s]    1s reset NAME        1s why 7        1s show
//! 9s deliveries read [of acme] [asked 8s]      9s repositories o/r [in acme] 9s repository o/r has 7 8 [asked 8s]
//! 9s asked job 7: queued | closed | told | gone | held [asked 8s]
//! 9s releases 2.337.0@10h 2.338.0    9s vm-0 ready with runner 2.337.0
//! 9s ask failed: releases | deliveries [of acme] | runners [in acme] | repositories [in acme] | jobs of o/r | job 7 of o/r   transient | limited 600s | refused
//! 9s quota 400 of 5000 until 60m [of the app] [for acme]
//! ```
//!
//! What names no scope is of the first; what a microVM is told of its registration is of its own.
//! `limited` without a time is until 600s.

use super::Line;
use flint_core::ask::{AskFailure, Budget, Found, Question, Quota};
use flint_core::event::{
    Event, ForgeEvent, GuestEnd, GuestEvent, HostEvent, OperatorEvent, RegisterFailure,
};
use flint_core::host::Host;
use flint_core::id::{
    HostId, InstallationId, JobKey, ProfileId, RunnerId, RunnerName, ScopeId, VmId,
};
use flint_core::job::{Conclusion, JobRequest};
use flint_core::limits::Limits;
use flint_core::policy::{Admits, Origin, Repositories};
use flint_core::profile::{Profile, Timeouts};
use flint_core::runner_version::{Releases, Rule, Since};
use flint_core::scale_set::{Session, SetEvent, Source};
use flint_core::size::Sizes;
use flint_core::units::{MiB, Resources, Timestamp};
use flint_core::world::World;
use std::collections::BTreeSet;
use std::time::Duration;

pub(crate) fn line(line: &str, world: &World) -> Option<Line> {
    let line = line.split('#').next().unwrap_or("").trim();
    let words: Vec<&str> = line.split_whitespace().collect();
    Some(match words.as_slice() {
        [] => return None,
        ["profile", name, labels, settings @ ..] => profile(name, labels, settings),
        ["no", "profile", name] => Line::NoProfile(profile_id(name)),
        ["limits", settings @ ..] => limits(settings),
        ["scopes", names @ ..] => Line::Scopes(names.iter().map(|name| scope(name)).collect()),
        ["with", "asks"] => Line::Asks,
        ["silent", "hosts"] => Line::Silent,
        ["host", id, settings @ ..] => host(id, settings),
        [at, rest @ ..] => {
            let at = Timestamp(0).after(duration(at));
            match rest {
                ["started"] => Line::Started(at),
                ["died"] => Line::Died(at),
                ["why", job] => Line::Why(at, number(job)),
                ["show"] => Line::Show(at),
                rest => {
                    let fact = fact(at, rest, world);
                    Line::Fact(at, fact.unwrap_or_else(|| panic!("what does this mean: {line}")))
                }
            }
        }
    })
}

fn fact(at: Timestamp, words: &[&str], world: &World) -> Option<Event> {
    Some(match words {
        ["tick"] => Event::Tick,
        ["job", id, "withdrawn"] => {
            let job = JobKey { id: number(id), attempt: 1 };
            Event::Forge(ForgeEvent::JobWithdrawn { job })
        }
        ["job", id, rest @ ..] => Event::Forge(job(number(id), rest, &world.instance)?),
        ["set", name, rest @ ..] => Event::Forge(of_set(profile_id(name), rest)?),
        ["runners", vms @ ..] => {
            let (vms, asked) = asked(at, vms);
            let (vms, scope) = placed(vms, world);
            let registered = vms.iter().map(|vm| vm_id(vm)).collect();
            Event::Forge(ForgeEvent::Runners { scope, registered, asked })
        }
        [
            "deliveries" | "releases" | "repositories" | "repository" | "run" | "asked" | "ask"
            | "quota",
            ..,
        ] => Event::Forge(answer(at, words, world)?),
        ["reset", profile] => {
            Event::Operator(OperatorEvent::Reset { profile: profile_id(profile) })
        }
        ["host", id, rest @ ..] => from_host(at, host_id(id), rest)?,
        [vm, rest @ ..] => of_vm(at, vm_id(vm), rest, world)?,
        [] => return None,
    })
}

fn job(id: u64, words: &[&str], instance: &str) -> Option<ForgeEvent> {
    let job = JobKey { id, attempt: 1 };
    let runner = |vm: &str| match vm.parse() {
        // Which profile the name holds does not matter: the number and the instance do.
        Ok(vm) => RunnerName::of(vm, &profile_id("linux"), instance, 1),
        Err(_) => RunnerName::told(vm),
    };
    let (words, origin) = match words {
        [words @ .., "from", from] => (words, origin(from)?),
        words => (words, Origin::PRIVATE),
    };
    let (words, scale_set) = match words {
        [words @ .., "set", name] => (words, Some(profile_id(name))),
        words => (words, None),
    };
    let (words, repository) = match words {
        [words @ .., "in", repository] => (words, *repository),
        words => (words, "flint-demo/widgets"),
    };
    let (runner, labels) = match words {
        [_, "by", name, labels] => (Some(runner(name)), *labels),
        [_, labels] => (None, *labels),
        [_] => (None, ""),
        _ => return None,
    };
    let request = JobRequest { origin, scale_set, ..request(id, labels, repository) };
    Some(match *words.first()? {
        "queued" => ForgeEvent::JobQueued { job, request },
        "started" => ForgeEvent::JobStarted { job, request, runner },
        conclusion => {
            let conclusion = Conclusion(conclusion.to_owned());
            ForgeEvent::JobCompleted { job, request, runner, conclusion }
        }
    })
}

fn request(id: u64, labels: &str, repository: &str) -> JobRequest {
    let labels = labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
    let (repository, workflow) = (repository.to_owned(), "CI".to_owned());
    let (name, url) = (format!("job {id}"), String::new());
    let origin = Origin::PRIVATE;
    JobRequest { repository, workflow, name, labels, run_id: 1, url, scale_set: None, origin }
}

/// What is heard of a scale set as a whole.
fn of_set(profile: ProfileId, words: &[&str]) -> Option<ForgeEvent> {
    let why = "it was written so".to_owned();
    let said = match words {
        ["has", count] => {
            let assigned = u32::try_from(number(count)).expect("a script's numbers are small");
            SetEvent::Counted { assigned }
        }
        ["opened", set] => {
            let (set, id) = (number(set), "a-session".to_owned());
            SetEvent::Opened { session: Session { set, id } }
        }
        ["lost"] => SetEvent::Lost { why },
        ["passed", "over"] => SetEvent::PassedOver { why },
        _ => return None,
    };
    Some(ForgeEvent::ScaleSet { profile, said })
}

/// Where a job comes from.
fn origin(word: &str) -> Option<Origin> {
    let (public, fork) = match word {
        "private" => (Some(false), Some(false)),
        "public" => (Some(true), Some(false)),
        "fork" => (Some(false), Some(true)),
        "public-fork" => (Some(true), Some(true)),
        "a-public-repository" => (Some(true), None),
        "a-private-repository" => (Some(false), None),
        "somewhere" => (None, None),
        _ => return None,
    };
    Some(Origin { public, fork })
}

/// When GitHub takes calls again, in a script that does not say it.
const LIMITED: Timestamp = Timestamp(600_000);

/// The time of a `limited 600s`.
fn until(words: &[&str]) -> Timestamp {
    words.first().map_or(LIMITED, |time| Timestamp(0).after(duration(time)))
}

/// The words before `asked TIME`, and that time.
fn asked<'a, 'b>(at: Timestamp, words: &'a [&'b str]) -> (&'a [&'b str], Timestamp) {
    match words.iter().rposition(|word| *word == "asked") {
        Some(i) => (&words[..i], Timestamp(0).after(duration(words[i + 1]))),
        None => (words, at),
    }
}

/// `beta/web@beta`: a scope, and whose calls reach it; its own, if nobody is named.
fn scope(text: &str) -> (ScopeId, InstallationId) {
    let (scope, installation) = text.split_once('@').unwrap_or((text, text));
    (scope_id(scope), InstallationId::new(installation))
}

/// The words before `in SCOPE`, and that scope.
fn placed<'a, 'b>(words: &'a [&'b str], world: &World) -> (&'a [&'b str], ScopeId) {
    match words {
        [words @ .., "in", scope] => (words, scope_id(scope)),
        words => (words, world.scopes.keys().next().cloned().expect("a daemon has a scope")),
    }
}

/// The words before `of INSTALLATION`, and that installation.
fn accounted<'a, 'b>(words: &'a [&'b str], world: &World) -> (&'a [&'b str], InstallationId) {
    match words {
        [words @ .., "for" | "of", id] => (words, InstallationId::new(id)),
        words => (words, world.installations.keys().next().cloned().expect("a daemon has one")),
    }
}

/// What GitHub answers to a question.
fn answer(at: Timestamp, words: &[&str], world: &World) -> Option<ForgeEvent> {
    let (words, asked) = match words {
        ["asked", "job", _, _] => (words, at),
        words => asked(at, words),
    };
    let key = |id: &&str| JobKey { id: number(id.trim_end_matches(':')), attempt: 1 };
    Some(match words {
        ["deliveries", "read", of @ ..] => {
            let (_, installation) = accounted(of, world);
            ForgeEvent::DeliveriesRead { installation, asked }
        }
        ["releases", releases @ ..] => {
            let (_, installation) = accounted(&[], world);
            let mut known = Releases::default();
            for release in releases {
                let (version, since) = release.split_once('@').unwrap_or((release, ""));
                let since = match since {
                    "" => Since::Unknown,
                    since => Since::Released(Timestamp(0).after(duration(since))),
                };
                known.learn(version.parse().expect("a script's versions are some"), since);
            }
            let rule = Rule::Enforced;
            ForgeEvent::RunnerReleases { installation, releases: known, rule }
        }
        ["repositories", names @ ..] => {
            let (names, scope) = placed(names, world);
            let active = names.iter().map(|name| (*name).to_owned()).collect();
            ForgeEvent::RepositoriesListed { scope, active, asked }
        }
        ["repository", name, "has", jobs @ ..] => {
            let queued = jobs.iter().map(key).collect();
            ForgeEvent::JobsListed { repository: (*name).to_owned(), queued, asked }
        }
        ["run", run, "of", name, "is", from] => ForgeEvent::RunAsked {
            run: number(run),
            repository: (*name).to_owned(),
            origin: origin(from),
            over: false,
            asked,
        },
        ["run", run, "of", name, "was", from] => ForgeEvent::RunAsked {
            run: number(run),
            repository: (*name).to_owned(),
            origin: origin(from),
            over: true,
            asked,
        },
        ["asked", "job", id, found] => {
            let found = match *found {
                "queued" => Found::Queued { admitted: Some(true) },
                "closed" => Found::Queued { admitted: Some(false) },
                "told" => Found::Told,
                "gone" => Found::Gone,
                "held" => Found::Held,
                _ => return None,
            };
            ForgeEvent::JobAsked { job: key(id), found, asked }
        }
        ["ask", "failed:", rest @ ..] => {
            let (question, failure) = question(rest, world)?;
            let failure = match failure {
                ["transient"] => AskFailure::Transient,
                ["limited", time @ ..] => AskFailure::Limited { until: until(time) },
                ["refused"] => AskFailure::Refused,
                _ => return None,
            };
            ForgeEvent::AskFailed { question, failure, why: "it was written so".to_owned() }
        }
        ["quota", remaining, "of", limit, "until", resets, rest @ ..] => {
            let (app, installation) = match rest {
                [app @ .., "for", id] => (app, InstallationId::new(id)),
                app => (app, accounted(&[], world).1),
            };
            let small =
                |text: &str| u32::try_from(number(text)).expect("a script's numbers are small");
            let quota = Quota {
                budget: if app.is_empty() { Budget::Installation } else { Budget::App },
                limit: small(limit),
                remaining: small(remaining),
                resets: Timestamp(0).after(duration(resets)),
            };
            ForgeEvent::QuotaLeft { installation, quota }
        }
        _ => return None,
    })
}

/// A question, and the words after it.
fn question<'a, 'b>(words: &'a [&'b str], world: &World) -> Option<(Question, &'a [&'b str])> {
    let first = || placed(&[], world).1;
    let named = |repository: &&str| (*repository).to_owned();
    Some(match words {
        ["deliveries", "of", id, rest @ ..] => (deliveries(InstallationId::new(id)), rest),
        ["deliveries", rest @ ..] => (deliveries(accounted(&[], world).1), rest),
        ["runners", "in", scope, rest @ ..] => (Question::Runners { scope: scope_id(scope) }, rest),
        ["runners", rest @ ..] => (Question::Runners { scope: first() }, rest),
        ["releases", rest @ ..] => {
            (Question::RunnerReleases { installation: accounted(&[], world).1 }, rest)
        }
        ["repositories", "in", scope, rest @ ..] => {
            (Question::Repositories { scope: scope_id(scope) }, rest)
        }
        ["repositories", rest @ ..] => (Question::Repositories { scope: first() }, rest),
        ["jobs", "of", name, rest @ ..] => (Question::Jobs { repository: named(name) }, rest),
        ["job", id, "of", name, rest @ ..] => {
            let job = JobKey { id: number(id), attempt: 1 };
            (Question::Job { job, repository: named(name) }, rest)
        }
        ["run", run, "of", name, rest @ ..] => {
            (Question::Run { run: number(run), repository: named(name) }, rest)
        }
        _ => return None,
    })
}

fn deliveries(installation: InstallationId) -> Question {
    Question::Deliveries { installation, since: Timestamp(0) }
}

fn limits(words: &[&str]) -> Line {
    let mut limits = Limits::default();
    for word in words {
        let (name, count) = word.split_once('=').expect("a limit is `name=2`");
        let count = u32::try_from(number(count)).expect("a script's numbers are small");
        match name {
            "repository" => limits.per_repository = Some(count),
            "owner" => limits.per_owner = Some(count),
            name if name.contains('/') => drop(limits.repositories.insert(name.to_owned(), count)),
            name => drop(limits.owners.insert(name.to_owned(), count)),
        }
    }
    Line::Limits(limits)
}

fn from_host(at: Timestamp, host: HostId, words: &[&str]) -> Option<Event> {
    let drain = |draining| Event::Operator(OperatorEvent::Drain { host, draining });
    Some(match words {
        ["drain"] => drain(true),
        ["undrain"] => drain(false),
        ["away"] => {
            let why = "it was written so".to_owned();
            Event::Host(HostEvent::ScanFailed { host, why })
        }
        ["has", rest @ ..] => {
            let word = |wanted: &str| rest.iter().position(|word| *word == wanted);
            let asked = word("asked").map_or(at, |i| Timestamp(0).after(duration(rest[i + 1])));
            let ends = word("asked").unwrap_or(rest.len());
            let dead = word("dead").unwrap_or(ends);
            let alive: BTreeSet<VmId> = rest[..dead].iter().map(|vm| vm_id(vm)).collect();
            let left = rest[dead..ends].iter().skip(1).map(|vm| vm_id(vm));
            let present = alive.iter().copied().chain(left).collect();
            Event::Host(HostEvent::Inventory { host, alive, present, asked })
        }
        _ => return None,
    })
}

fn of_vm(at: Timestamp, vm: VmId, words: &[&str], world: &World) -> Option<Event> {
    let row = world.vms.get(&vm).and_then(|row| row.scope.clone());
    let scope = || row.unwrap_or_else(|| placed(&[], world).1);
    let why = || "it was written so".to_owned();
    let guest = |said| Event::Guest { vm, said };
    Some(match words {
        ["launched"] => Event::Host(HostEvent::LaunchBegan { vm, committed: Timestamp(0) }),
        ["launch", "failed"] => Event::Host(HostEvent::LaunchFailed { vm, why: why() }),
        ["destroyed"] => Event::Host(HostEvent::Destroyed { vm }),
        ["destroy", "failed"] => Event::Host(HostEvent::DestroyFailed { vm, why: why() }),
        ["off"] => Event::Host(HostEvent::Exited { vm, end: GuestEnd::ShutDown }),
        ["out", "of", "memory"] => {
            Event::Host(HostEvent::Exited { vm, end: GuestEnd::OutOfMemory })
        }
        ["killed"] => Event::Host(HostEvent::Exited { vm, end: GuestEnd::Killed }),
        ["crashed"] => Event::Host(HostEvent::Exited { vm, end: GuestEnd::Crashed }),
        ["deregistered"] => Event::Forge(ForgeEvent::Deregistered { vm }),
        ["deregister", "refused"] => Event::Forge(ForgeEvent::DeregisterRefused { vm }),
        ["deregister", "failed"] => Event::Forge(ForgeEvent::DeregisterFailed { vm, why: why() }),
        ["registered"] => registered((vm, scope()), 1),
        ["registered", attempt] => registered((vm, scope()), number(attempt)),
        ["register", "failed", failure] => register_failed((vm, scope()), 1, &[failure])?,
        ["register", "failed", attempt, rest @ ..] => {
            register_failed((vm, scope()), number(attempt), rest)?
        }
        ["ready"] => guest(GuestEvent::Ready { kernel_up: at, runner: None }),
        ["ready", "with", "runner", version] => {
            let runner = Some(version.parse().expect("a script's versions are some"));
            guest(GuestEvent::Ready { kernel_up: at, runner })
        }
        ["listening"] => guest(GuestEvent::Listening),
        ["busy"] => guest(GuestEvent::Busy),
        ["done"] => guest(GuestEvent::JobDone),
        ["exit", code] => guest(GuestEvent::RunnerExited { code: code.parse().ok()? }),
        ["failed"] => guest(GuestEvent::Failed { why: why() }),
        ["stop"] => Event::Operator(OperatorEvent::Stop { vm }),
        _ => return None,
    })
}

fn registered((vm, scope): (VmId, ScopeId), attempt: u64) -> Event {
    let attempt = u32::try_from(attempt).expect("a script's numbers are small");
    let runner = RunnerId(1_000 + vm.0);
    Event::Forge(ForgeEvent::Registered { vm, scope, attempt, runner })
}

fn register_failed((vm, scope): (VmId, ScopeId), attempt: u64, failure: &[&str]) -> Option<Event> {
    let attempt = u32::try_from(attempt).expect("a script's numbers are small");
    let (failure, why) = match failure {
        ["transient"] => (RegisterFailure::Transient, "GitHub answered 502"),
        ["taken"] => (RegisterFailure::NameTaken, "GitHub answered 409"),
        ["refused"] => (RegisterFailure::Refused, "GitHub answered 422"),
        ["forbidden"] => (RegisterFailure::Forbidden, "GitHub answered 403"),
        ["limited", time @ ..] => {
            (RegisterFailure::Limited { until: until(time) }, "GitHub answered 429")
        }
        _ => return None,
    };
    let why = why.to_owned();
    Some(Event::Forge(ForgeEvent::RegisterFailed { vm, scope, attempt, failure, why }))
}

/// Reads `key=value` words; what is not written keeps its default.
struct Settings<'a>(&'a [&'a str]);

impl Settings<'_> {
    fn text(&self, key: &str, default: &'static str) -> String {
        let value = |word: &&str| word.strip_prefix(key)?.strip_prefix('=').map(str::to_owned);
        self.0.iter().find_map(value).unwrap_or_else(|| default.to_owned())
    }

    fn small(&self, key: &str, default: &'static str) -> u32 {
        u32::try_from(number(&self.text(key, default))).expect("a script's numbers are small")
    }

    fn shape(&self, vcpus: &'static str, memory: &'static str, disk: &'static str) -> Resources {
        Resources {
            vcpus: self.small("vcpus", vcpus),
            memory: MiB(number(&self.text("memory", memory))),
            disk: MiB(number(&self.text("disk", disk))),
        }
    }
}

fn profile(name: &str, labels: &str, words: &[&str]) -> Line {
    let settings = Settings(words);
    let time = |key: &str, default| duration(&settings.text(key, default));
    let profile = Profile {
        labels: labels.split(',').map(str::to_owned).collect(),
        shape: settings.shape("2", "4096", "20480"),
        warm: settings.small("warm", "0"),
        max: settings.small("max", "4"),
        priority: settings.text("priority", "0").parse().expect("a priority is a number"),
        admits: Admits {
            public: settings.text("admits", "").contains("public"),
            forks: settings.text("admits", "").contains("forks"),
        },
        repositories: Repositories {
            only: names(&settings.text("only", "")),
            except: names(&settings.text("except", "")),
        },
        sizes: sizes(&settings.text("sizes", "")),
        made_of: None,
        scope: match (settings.text("at", ""), settings.text("source", "webhook").as_str()) {
            (at, "scale-set") if at.is_empty() => Some(ScopeId::organization("flint-demo")),
            (at, _) => Some(at).filter(|at| !at.is_empty()).map(|at| scope_id(&at)),
        },
        source: match settings.text("source", "webhook").as_str() {
            "scale-set" => Source::ScaleSet,
            _ => Source::Webhook,
        },
        timeouts: Timeouts {
            boot: time("boot", "60s"),
            register: time("register", "90s"),
            idle: time("idle", "240s"),
            job: time("job", "2h"),
        },
    };
    Line::Profile(profile_id(name), profile)
}

fn names(list: &str) -> BTreeSet<String> {
    list.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// All sizes up to 8 vCPUs, 16 GiB and 50 GiB, and one more image; `flint+1` keeps one booted.
fn sizes(prefix: &str) -> Option<Sizes> {
    let max = Resources { vcpus: 8, memory: MiB(16 << 10), disk: MiB(50 << 10) };
    let images = BTreeSet::from(["ubuntu24".to_owned()]);
    let (prefix, warm) = prefix.split_once('+').unwrap_or((prefix, "0"));
    let warm = u32::try_from(number(warm)).expect("a script's numbers are small");
    let (prefix, arch) = (prefix.to_owned(), "x64".to_owned());
    let sizes = Sizes { prefix, max, count: 3, arch, images, warm };
    (!sizes.prefix.is_empty()).then_some(sizes)
}

fn host(id: &str, words: &[&str]) -> Line {
    let settings = Settings(words);
    let host = Host {
        capacity: settings.shape("8", "16384", "102400"),
        slots: u16::try_from(settings.small("slots", "4")).expect("a script's numbers are small"),
        draining: false,
        seen: Timestamp(0),
        scan_at: Timestamp(0),
    };
    Line::Host(host_id(id), host)
}

fn duration(text: &str) -> Duration {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (count, unit) = (number(&text[..split]), &text[split..]);
    match unit {
        "ms" => Duration::from_millis(count),
        "s" => Duration::from_secs(count),
        "m" => Duration::from_secs(count * 60),
        "h" => Duration::from_secs(count * 3_600),
        _ => panic!("`{text}` is no time such as 5s"),
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("`{text}` is no number"))
}

fn vm_id(text: &str) -> VmId {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn scope_id(text: &str) -> ScopeId {
    ScopeId::new(text).unwrap_or_else(|error| panic!("{error}"))
}

fn host_id(text: &str) -> HostId {
    let number = text.strip_prefix("h-").and_then(|n| n.parse().ok());
    HostId(number.unwrap_or_else(|| panic!("`{text}` is no host such as h-0")))
}

fn profile_id(text: &str) -> ProfileId {
    ProfileId::new(text).unwrap_or_else(|error| panic!("{error}"))
}
