//! The daemon around the core: fold, plan, commit, dispatch; and its death between any two of them.

use super::life::Life;
use super::outside::{Happening, MINUTE, SECOND};
use flint_core::ask::Question;
use flint_core::audit::audit;
use flint_core::event::{Event, ForgeEvent, GuestEvent, HostEvent};
use flint_core::fold::fold;
use flint_core::id::VmId;
use flint_core::plan::{Action, Plan, plan};
use flint_core::units::Timestamp;
use flint_core::world::World;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(super) struct Daemon {
    /// What the store holds.
    pub(super) stored: World,
    pub(super) up: bool,
    /// Counts its starts: an answer to a former life is heard by nobody.
    pub(super) life: u64,
    pub(super) in_flight: BTreeSet<Action>,
    /// Registrations whose guest is not ready for its secret: attempt and name.
    pub(super) secrets: BTreeMap<VmId, (u32, String)>,
    /// What guests said while nobody listened; their agents say it again.
    unheard: Vec<Event>,
    wake_set: Option<Timestamp>,
}

impl Daemon {
    pub(super) fn new() -> Self {
        let stored = World { instance: "k3x9q2".to_owned(), ..World::default() };
        Daemon {
            stored,
            up: false,
            life: 0,
            in_flight: BTreeSet::new(),
            secrets: BTreeMap::new(),
            unheard: Vec::new(),
            wake_set: None,
        }
    }

    pub(super) fn is(&self, life: u64) -> bool {
        self.up && self.life == life
    }
}

impl Life {
    pub(super) fn daemon_starts(&mut self) {
        if self.daemon.up {
            return;
        }
        self.say("the daemon starts");
        self.daemon.up = true;
        self.daemon.life += 1;
        let (profiles, hosts) = (self.setup.profiles.clone(), self.setup.hosts.clone());
        let limits = self.setup.limits.clone();
        let (scopes, readers) = self.setup.places();
        self.takes(Event::Started { profiles, hosts, limits, scopes, readers });
        for set in self.outside.sets.keys().cloned().collect::<Vec<_>>() {
            self.soon(Happening::SetSpeaks(set));
        }
        for event in std::mem::take(&mut self.daemon.unheard) {
            let life = self.daemon.life;
            self.later(1, Happening::Answer(life, event));
        }
    }

    pub(super) fn daemon_crashes(&mut self) {
        if !self.daemon.up {
            return;
        }
        self.say("the daemon dies");
        let at = self.at();
        if let Some(script) = &mut self.script {
            script.died(at);
        }
        self.daemon.up = false;
        self.daemon.in_flight.clear();
        self.daemon.secrets.clear();
        self.daemon.wake_set = None;
        let after = self.rng.between(1, 2 * MINUTE);
        self.later(after, Happening::DaemonStarts);
    }

    pub(super) fn said(&mut self, vm: VmId, said: GuestEvent) {
        let event = Event::Guest { vm, said };
        if !self.outside.guests.contains_key(&vm) {
            return;
        }
        if !self.daemon.up || !self.takes(event.clone()) {
            self.daemon.unheard.push(event);
        }
    }

    /// An operator sees that a command failed, and gives it again.
    pub(super) fn operator(&mut self, event: Event) {
        if !self.daemon.up || !self.takes(event.clone()) {
            self.later(MINUTE, Happening::Command(event));
        }
    }

    pub(super) fn answer(&mut self, life: u64, event: Event) {
        if self.daemon.is(life) {
            if let Event::Guest { vm, .. } = event
                && !self.outside.guests.contains_key(&vm)
            {
                return;
            }
            self.takes(event);
        }
    }

    /// An answer of several facts, in their order.
    pub(super) fn answers(&mut self, life: u64, mut events: VecDeque<Event>) {
        let Some(event) = events.pop_front() else { return };
        self.answer(life, event);
        if self.daemon.is(life) && !events.is_empty() {
            let after = 1 + self.rng.below(SECOND);
            self.later(after, Happening::Answers(life, events));
        }
    }

    pub(super) fn wake(&mut self, at: Timestamp) {
        if !self.daemon.up || self.daemon.wake_set != Some(at) {
            return;
        }
        if at <= self.at() {
            self.daemon.wake_set = None;
            self.takes(Event::Tick);
        } else {
            // The clock was set back.
            self.later(at.0 - self.at().0, Happening::Wake(at));
        }
    }

    /// One turn of the loop. False when the daemon died before the fact was stored.
    pub(super) fn takes(&mut self, event: Event) -> bool {
        self.say(&format!("{event:?}"));
        let now = self.at();
        let before = self.daemon.stored.clone();
        let mut world = before.clone();
        let _history = fold(&mut world, now, event.clone());
        let Plan { world, actions, wake_at, .. } = plan(&world, now);
        if self.rng.chance(self.faults.daemon_crash) {
            self.daemon_crashes();
            return false;
        }
        self.check_plan(&world, &actions);
        self.daemon.stored = world;
        self.note(&before, &event, &actions);
        self.judge(&before, &event);
        self.answered(&event);
        if self.rng.chance(self.faults.daemon_crash) {
            self.daemon_crashes();
            return true;
        }
        self.hand_over(&event);
        for action in actions {
            if self.daemon.in_flight.insert(action.clone()) {
                self.dispatch(action);
                if self.rng.chance(self.faults.daemon_crash) {
                    self.daemon_crashes();
                    return true;
                }
            }
        }
        self.set_wake(wake_at);
        true
    }

    fn check_plan(&mut self, world: &World, actions: &[Action]) {
        let again = plan(world, self.at());
        if again.world != *world || again.actions != actions {
            self.find(format!("planning the planned world changes it: {:?}", again.actions));
        }
        if again.wake_at.is_some_and(|at| at <= self.at()) {
            self.find("a plan asks to be woken in the past".to_owned());
        }
        if let Some(note) = audit(world).first() {
            self.find(note.to_string());
        }
    }

    /// The order that this fact answers is no longer under way.
    fn answered(&mut self, event: &Event) {
        let in_flight = &mut self.daemon.in_flight;
        match event {
            Event::Forge(
                ForgeEvent::Deregistered { vm }
                | ForgeEvent::DeregisterRefused { vm }
                | ForgeEvent::DeregisterFailed { vm, .. },
            ) => in_flight
                .retain(|action| !matches!(action, Action::Deregister { vm: of, .. } if of == vm)),
            Event::Host(HostEvent::Destroyed { vm } | HostEvent::DestroyFailed { vm, .. }) => {
                in_flight
                    .retain(|action| !matches!(action, Action::Destroy { vm: of, .. } if of == vm));
            }
            Event::Host(HostEvent::Inventory { host, .. } | HostEvent::ScanFailed { host, .. }) => {
                in_flight
                    .retain(|action| !matches!(action, Action::Scan { host: of } if of == host));
            }
            Event::Forge(ForgeEvent::Runners { scope, .. }) => {
                let question = Question::Runners { scope: scope.clone() };
                in_flight.remove(&Action::Ask { question });
            }
            Event::Forge(ForgeEvent::DeliveriesRead { installation, .. }) => {
                in_flight.retain(|action| {
                    !matches!(action, Action::Ask { question: Question::Deliveries { installation: of, .. } } if of == installation)
                });
            }
            Event::Forge(ForgeEvent::RepositoriesListed { scope, .. }) => {
                let question = Question::Repositories { scope: scope.clone() };
                in_flight.remove(&Action::Ask { question });
            }
            Event::Forge(ForgeEvent::JobsListed { repository, .. }) => {
                let question = Question::Jobs { repository: repository.clone() };
                in_flight.remove(&Action::Ask { question });
            }
            Event::Forge(ForgeEvent::JobAsked { job, .. }) => in_flight.retain(|action| {
                !matches!(action, Action::Ask { question: Question::Job { job: of, .. } } if of == job)
            }),
            Event::Forge(ForgeEvent::RunAsked { run, repository, .. }) => {
                let question = Question::Run { run: *run, repository: repository.clone() };
                in_flight.remove(&Action::Ask { question });
            }
            Event::Forge(ForgeEvent::RegisterFailed { vm, attempt, .. }) => {
                in_flight.retain(|action| {
                    !matches!(action, Action::Register { vm: of, attempt: n, .. } if of == vm && n == attempt)
                });
            }
            Event::Forge(ForgeEvent::AskFailed { question, .. }) => {
                in_flight.remove(&Action::Ask { question: question.clone() });
            }
            _ => {}
        }
    }

    fn set_wake(&mut self, wake_at: Option<Timestamp>) {
        if let Some(at) = wake_at
            && self.daemon.wake_set.is_none_or(|set| at < set)
        {
            self.daemon.wake_set = Some(at);
            self.later(at.0 - self.at().0, Happening::Wake(at));
        }
    }
}
