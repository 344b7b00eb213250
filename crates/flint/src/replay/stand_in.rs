//! Stand-ins for every name and every free text of a log, so that it can be shown to others.
//!
//! The same name gets the same stand-in, and stand-ins are ordered as the names were: whatever the core compares or
//! sorts comes out as before. Numbers, times and sizes stay.

use crate::store::Entry;
use flint_core::ask::Question;
use flint_core::event::{Event, ForgeEvent, GuestEvent, HostEvent, OperatorEvent};
use flint_core::forge::{Installation, Scope};
use flint_core::id::{InstallationId, ProfileId, RunnerName, ScopeId, VmId};
use flint_core::job::{Conclusion, JobRequest};
use flint_core::limits::Limits;
use flint_core::policy::Repositories;
use flint_core::profile::Profile;
use flint_core::scale_set::SetEvent;
use flint_core::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// The instance of every log with stand-ins: six characters, as one of ours.
const INSTANCE: &str = "anonym";

/// GitHub's words for the end of a job.
const CONCLUSIONS: [&str; 9] = [
    "success",
    "failure",
    "cancelled",
    "skipped",
    "timed_out",
    "neutral",
    "action_required",
    "stale",
    "startup_failure",
];

/// What a text is the name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Profile,
    Owner,
    Repository,
    Workflow,
    Job,
    Label,
    Url,
    Runner,
    Conclusion,
    /// What an error or a guest said: nothing of it remains but which are the same.
    Text,
}

impl Kind {
    /// Whether `A` and `a` are two names.
    fn has_case(self) -> bool {
        !matches!(self, Kind::Owner | Kind::Repository | Kind::Label)
    }

    fn word(self) -> &'static str {
        match self {
            Kind::Profile => "profile",
            Kind::Owner => "owner",
            Kind::Repository => "repo",
            Kind::Workflow => "workflow",
            Kind::Job => "job",
            Kind::Label => "label",
            Kind::Url => "url",
            Kind::Runner => "runner",
            Kind::Conclusion => "conclusion",
            Kind::Text => "text",
        }
    }
}

/// The names of a log, read once to its end: a stand-in's place among its kind is known only then.
#[derive(Debug)]
pub struct Gathered {
    instance: String,
    names: BTreeMap<Kind, BTreeSet<String>>,
}

/// What stands in for what.
#[derive(Debug)]
pub struct StandIns {
    instance: String,
    by_name: BTreeMap<Kind, BTreeMap<String, String>>,
}

impl Gathered {
    /// None yet, of the log of the store of this name.
    #[must_use]
    pub fn new(instance: &str) -> Self {
        Gathered { instance: instance.to_owned(), names: BTreeMap::new() }
    }

    /// Takes the names of one entry.
    pub fn add(&mut self, mut entry: Entry) {
        let names = &mut self.names;
        let mut note = |kind: Kind, name: &str| {
            names.entry(kind).or_default().insert(name.to_owned());
            name.to_owned()
        };
        Visit { instance: &self.instance, renamed: &mut note, new_instance: None }
            .entry(&mut entry);
    }

    /// The stand-ins for all of them.
    #[must_use]
    pub fn finish(self) -> StandIns {
        let numbered = |(kind, names): (Kind, BTreeSet<String>)| {
            let width = names.len().to_string().len();
            // Limits are in lower case, and hold for every way to write a name.
            let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
            let mut stand_in = |name: String| {
                let spelt = if kind.has_case() { name.clone() } else { name.to_ascii_lowercase() };
                let next = numbers.len() + 1;
                let number = numbers.entry(spelt).or_insert(next);
                (name, format!("{}-{number:0width$}", kind.word()))
            };
            (kind, names.into_iter().map(&mut stand_in).collect())
        };
        StandIns {
            instance: self.instance,
            by_name: self.names.into_iter().map(numbered).collect(),
        }
    }
}

impl StandIns {
    /// The name in the header.
    #[must_use]
    pub fn instance(&self) -> &'static str {
        INSTANCE
    }

    /// Puts stand-ins for the names in an entry.
    pub fn replace(&self, entry: &mut Entry) {
        let mut renamed = |kind: Kind, name: &str| {
            let known = self.by_name.get(&kind).and_then(|names| names.get(name));
            // A name that was not gathered must not slip through.
            known.cloned().unwrap_or_else(|| format!("{}-0", kind.word()))
        };
        let instance = &self.instance;
        Visit { instance, renamed: &mut renamed, new_instance: Some(INSTANCE) }.entry(entry);
    }
}

/// Goes to every name of an entry. Both uses take the same way, so that none is forgotten in one of them.
struct Visit<'a> {
    instance: &'a str,
    renamed: &'a mut dyn FnMut(Kind, &str) -> String,
    new_instance: Option<&'a str>,
}

impl Visit<'_> {
    fn entry(&mut self, entry: &mut Entry) {
        match entry {
            Entry::World { seq: _, at: _, version: _, world } => self.world(world),
            Entry::Fact { seq: _, at: _, turn: _, event } => self.event(event),
        }
    }

    fn world(&mut self, world: &mut World) {
        let World {
            instance,
            profiles,
            breakers,
            hosts: _,
            limits,
            installations,
            scopes,
            runner_versions,
            repositories,
            scale_sets,
            jobs,
            finished: _,
            vms,
            next_vm: _,
            stray_guests: _,
            stray_runners,
        } = world;
        self.profiles(profiles);
        let named = std::mem::take(breakers).into_iter().map(|(mut id, mut breaker)| {
            self.profile_id(&mut id);
            self.text(&mut breaker.why);
            (id, breaker)
        });
        *breakers = named.collect();
        let named = std::mem::take(runner_versions).into_iter().map(|(mut id, version)| {
            self.profile_id(&mut id);
            (id, version)
        });
        *runner_versions = named.collect();
        self.limits(limits);
        self.github(installations, scopes);
        stray_runners.values_mut().for_each(|scope| self.scope_id(scope));
        let named = std::mem::take(repositories).into_iter().map(|(mut name, mut repository)| {
            self.repository(&mut name);
            repository.jobs.why.iter_mut().for_each(|why| self.text(why));
            (name, repository)
        });
        *repositories = named.collect();
        let named = std::mem::take(scale_sets).into_iter().map(|(mut id, mut set)| {
            self.profile_id(&mut id);
            let texts = set.trouble.iter_mut().chain(&mut set.passed_over);
            texts.for_each(|why| self.text(why));
            set.session.iter_mut().for_each(|session| self.text(&mut session.id));
            (id, set)
        });
        *scale_sets = named.collect();
        let named = jobs.iter().map(|(key, job)| {
            let mut job = job.clone();
            self.request(&mut job.request);
            job.profile.iter_mut().for_each(|id| self.profile_id(id));
            (*key, job)
        });
        *jobs = named.collect();
        for vm in vms.values_mut() {
            self.profile_id(&mut vm.profile);
            vm.scope.iter_mut().for_each(|scope| self.scope_id(scope));
            vm.trouble.iter_mut().for_each(|why| self.text(why));
        }
        if let Some(new) = self.new_instance {
            new.clone_into(instance);
        }
    }

    fn event(&mut self, event: &mut Event) {
        match event {
            Event::Started { profiles, hosts: _, limits, scopes, readers } => {
                self.profiles(profiles);
                self.limits(limits);
                let named = std::mem::take(scopes).into_iter().map(|(mut scope, mut of)| {
                    self.scope_id(&mut scope);
                    self.installation_id(&mut of);
                    (scope, of)
                });
                *scopes = named.collect();
                let named = std::mem::take(readers).into_iter().map(|mut reader| {
                    self.installation_id(&mut reader);
                    reader
                });
                *readers = named.collect();
            }
            Event::Forge(event) => self.forge(event),
            Event::Host(
                HostEvent::LaunchFailed { vm: _, why }
                | HostEvent::DestroyFailed { vm: _, why }
                | HostEvent::ScanFailed { host: _, why },
            )
            | Event::Guest { vm: _, said: GuestEvent::Failed { why } } => self.text(why),
            Event::Operator(OperatorEvent::Reset { profile }) => self.profile_id(profile),
            Event::Host(
                HostEvent::LaunchBegan { .. }
                | HostEvent::Exited { .. }
                | HostEvent::Destroyed { .. }
                | HostEvent::Inventory { .. },
            )
            | Event::Guest {
                vm: _,
                said:
                    GuestEvent::Ready { .. }
                    | GuestEvent::Listening
                    | GuestEvent::Busy
                    | GuestEvent::JobDone
                    | GuestEvent::RunnerExited { .. },
            }
            | Event::Operator(OperatorEvent::Drain { .. } | OperatorEvent::Stop { .. })
            | Event::Tick => {}
        }
    }

    fn forge(&mut self, event: &mut ForgeEvent) {
        match event {
            ForgeEvent::JobQueued { job: _, request } => self.request(request),
            ForgeEvent::JobStarted { job: _, request, runner } => {
                self.request(request);
                runner.iter_mut().for_each(|name| self.runner(name));
            }
            ForgeEvent::JobCompleted { job: _, request, runner, conclusion } => {
                self.request(request);
                runner.iter_mut().for_each(|name| self.runner(name));
                let Conclusion(word) = conclusion;
                if !CONCLUSIONS.contains(&word.as_str()) {
                    self.name(Kind::Conclusion, word);
                }
            }
            ForgeEvent::RegisterFailed { vm: _, scope, attempt: _, failure: _, why } => {
                self.scope_id(scope);
                self.text(why);
            }
            ForgeEvent::DeregisterFailed { vm: _, why } => self.text(why),
            ForgeEvent::RepositoriesListed { scope, active, asked: _ } => {
                self.scope_id(scope);
                let named = std::mem::take(active).into_iter().map(|mut name| {
                    self.repository(&mut name);
                    name
                });
                *active = named.collect();
            }
            ForgeEvent::JobsListed { repository, queued: _, asked: _ }
            | ForgeEvent::RunAsked { run: _, repository, origin: _, over: _, asked: _ } => {
                self.repository(repository);
            }
            ForgeEvent::AskFailed { question, failure: _, why } => {
                self.question(question);
                self.text(why);
            }
            ForgeEvent::ScaleSet { profile, said } => {
                self.profile_id(profile);
                match said {
                    SetEvent::Opened { session } => self.text(&mut session.id),
                    SetEvent::Lost { why } | SetEvent::PassedOver { why } => self.text(why),
                    SetEvent::Counted { assigned: _ } => {}
                }
            }
            ForgeEvent::DeliveriesRead { installation, asked: _ }
            | ForgeEvent::RunnerReleases { installation, releases: _, rule: _ }
            | ForgeEvent::QuotaLeft { installation, quota: _ } => {
                self.installation_id(installation);
            }
            ForgeEvent::Registered { vm: _, scope, attempt: _, runner: _ }
            | ForgeEvent::Runners { scope, registered: _, asked: _ } => self.scope_id(scope),
            ForgeEvent::JobWithdrawn { .. }
            | ForgeEvent::JobAsked { .. }
            | ForgeEvent::Deregistered { .. }
            | ForgeEvent::DeregisterRefused { .. } => {}
        }
    }

    fn question(&mut self, question: &mut Question) {
        match question {
            Question::Jobs { repository }
            | Question::Job { job: _, repository }
            | Question::Run { run: _, repository } => self.repository(repository),
            Question::Runners { scope } | Question::Repositories { scope } => self.scope_id(scope),
            Question::Deliveries { installation, since: _ }
            | Question::RunnerReleases { installation } => self.installation_id(installation),
        }
    }

    fn github(
        &mut self,
        installations: &mut BTreeMap<InstallationId, Installation>,
        scopes: &mut BTreeMap<ScopeId, Scope>,
    ) {
        let named = std::mem::take(installations).into_iter().map(|(mut id, mut known)| {
            self.installation_id(&mut id);
            let deliveries = known.deliveries.iter_mut();
            deliveries.filter_map(|d| d.due.why.as_mut()).for_each(|why| self.text(why));
            known.releases_due.why.iter_mut().for_each(|why| self.text(why));
            (id, known)
        });
        *installations = named.collect();
        let named = std::mem::take(scopes).into_iter().map(|(mut id, mut scope)| {
            self.scope_id(&mut id);
            self.installation_id(&mut scope.installation);
            self.text(&mut scope.breaker.why);
            for due in [&mut scope.runners, &mut scope.repositories] {
                due.why.iter_mut().for_each(|why| self.text(why));
            }
            (id, scope)
        });
        *scopes = named.collect();
    }

    /// As the owner, the repository or the enterprise that it is.
    fn scope_id(&mut self, id: &mut ScopeId) {
        let mut text = id.as_str().to_owned();
        match text.split_once('/') {
            Some((first, slug)) if id.is_enterprise() => {
                let (first, mut slug) = (first.to_owned(), slug.to_owned());
                self.owner(&mut slug);
                text = format!("{first}/{slug}");
            }
            Some(_) => self.repository(&mut text),
            None => self.owner(&mut text),
        }
        *id = ScopeId::new(&text).expect("a stand-in's characters are those of a name");
    }

    /// Named after a scope's owner, or after an enterprise.
    fn installation_id(&mut self, id: &mut InstallationId) {
        let mut text = id.as_str().to_owned();
        match ScopeId::new(&text) {
            Ok(mut scope) => {
                self.scope_id(&mut scope);
                scope.as_str().clone_into(&mut text);
            }
            Err(_) => self.text(&mut text),
        }
        *id = InstallationId::new(&text);
    }

    fn request(&mut self, request: &mut JobRequest) {
        let JobRequest { repository, workflow, name, labels, run_id: _, url, scale_set, origin: _ } =
            request;
        scale_set.iter_mut().for_each(|id| self.profile_id(id));
        self.repository(repository);
        self.name(Kind::Workflow, workflow);
        self.name(Kind::Job, name);
        labels.iter_mut().for_each(|label| self.label(label));
        self.name(Kind::Url, url);
    }

    fn profiles(&mut self, profiles: &mut BTreeMap<ProfileId, Profile>) {
        let named = std::mem::take(profiles).into_iter().map(|(mut id, mut profile)| {
            self.profile_id(&mut id);
            self.profile(&mut profile);
            (id, profile)
        });
        *profiles = named.collect();
    }

    fn limits(&mut self, limits: &mut Limits) {
        let Limits { per_repository: _, per_owner: _, repositories, owners } = limits;
        let named = std::mem::take(repositories).into_iter().map(|(mut name, max)| {
            self.repository(&mut name);
            (name, max)
        });
        *repositories = named.collect();
        let named = std::mem::take(owners).into_iter().map(|(mut name, max)| {
            self.owner(&mut name);
            (name, max)
        });
        *owners = named.collect();
    }

    /// `owner/name`: whoever counts by owner counts the same.
    fn repository(&mut self, name: &mut String) {
        let Some((owner, rest)) = name.split_once('/') else {
            return self.name(Kind::Repository, name);
        };
        let (mut owner, mut rest) = (owner.to_owned(), rest.to_owned());
        self.owner(&mut owner);
        self.name(Kind::Repository, &mut rest);
        *name = format!("{owner}/{rest}");
    }

    /// `owner/name`, or `owner/*`, whose star stays.
    fn listed(&mut self, name: &mut String) {
        match name.strip_suffix("/*").map(str::to_owned) {
            Some(mut owner) => {
                self.owner(&mut owner);
                *name = format!("{owner}/*");
            }
            None => self.repository(name),
        }
    }

    /// With its slash, as owners are ordered in the names of repositories: `a-b/` comes before `a/`.
    fn owner(&mut self, name: &mut String) {
        let mut whole = format!("{name}/");
        self.name(Kind::Owner, &mut whole);
        whole.trim_end_matches('/').clone_into(name);
    }

    fn profile(&mut self, profile: &mut Profile) {
        profile.scope.iter_mut().for_each(|scope| self.scope_id(scope));
        let labels = std::mem::take(&mut profile.labels).into_iter().map(|mut label| {
            self.label(&mut label);
            label
        });
        profile.labels = labels.collect();
        let Repositories { only, except } = &mut profile.repositories;
        for list in [only, except] {
            let named = std::mem::take(list).into_iter().map(|mut name| {
                self.listed(&mut name);
                name
            });
            *list = named.collect();
        }
    }

    /// GitHub compares labels without case, and so does the core.
    fn label(&mut self, label: &mut String) {
        label.make_ascii_lowercase();
        self.name(Kind::Label, label);
    }

    fn text(&mut self, text: &mut String) {
        self.name(Kind::Text, text);
    }

    /// An empty text says that there is none.
    fn name(&mut self, kind: Kind, name: &mut String) {
        if !name.is_empty() {
            *name = (self.renamed)(kind, name);
        }
    }

    fn profile_id(&mut self, id: &mut ProfileId) {
        let name = (self.renamed)(Kind::Profile, id.as_str());
        *id = ProfileId::new(&name).expect("`profile-` and a number is a profile's name");
    }

    /// A name of ours leads to its microVM afterwards too; a stranger's never does.
    fn runner(&mut self, name: &mut RunnerName) {
        match ours(name, self.instance) {
            Some((vm, mut profile, attempt)) => {
                self.profile_id(&mut profile);
                let instance = self.new_instance.unwrap_or(self.instance);
                *name = RunnerName::of(vm, &profile, instance, attempt);
            }
            None => *name = RunnerName::told(&(self.renamed)(Kind::Runner, name.as_str())),
        }
    }
}

/// The pieces of a runner's name that this instance made.
fn ours(name: &RunnerName, instance: &str) -> Option<(VmId, ProfileId, u32)> {
    let vm = name.vm(instance)?;
    let rest = name.as_str().strip_prefix(&format!("{vm}-"))?;
    let ends = format!("-{instance}");
    let (profile, attempt) = match rest.strip_suffix(&ends) {
        Some(profile) => (profile, 1),
        None => {
            let (head, attempt) = rest.rsplit_once('-')?;
            (head.strip_suffix(&ends)?, attempt.parse().ok()?)
        }
    };
    Some((vm, ProfileId::new(profile).ok()?, attempt))
}
