//! Holds what the daemon believes and orders to what was promised: one fact and one order at a time. Shares no code with
//! the core's planner.

use super::life::Life;
use super::outside::{MINUTE, SECOND};
use super::places::Told;
use flint_core::ask::AskFailure;
use flint_core::event::{Event, ForgeEvent, GuestEvent, HostEvent, RegisterFailure};
use flint_core::id::{HostId, InstallationId, JobKey, RunnerName, VmId};
use flint_core::plan::Action;
use flint_core::scale_set::Source;
use flint_core::units::Timestamp;
use flint_core::vm::{Phase, Reason, Registration, Vm};
use flint_core::world::World;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// So many registrations a minute are below what GitHub's REST API takes. A scale set's are not made by that.
const REGISTRATIONS_A_MINUTE: usize = 70;

/// A host that was not heard from for this long gets nothing new.
const HEARD: Duration = Duration::from_secs(60);

/// A registration that is older than this is in every list.
const LISTED: Duration = Duration::from_secs(60);

/// What the rules remember.
#[derive(Default)]
pub(super) struct Memory {
    /// When each host was heard from.
    heard: BTreeMap<HostId, Timestamp>,
    /// GitHub has said "not before".
    not_before: BTreeMap<InstallationId, Timestamp>,
    /// When the last registrations were ordered.
    registrations: BTreeMap<InstallationId, VecDeque<u64>>,
    /// What GitHub said of scopes.
    pub(super) told: Told,
    /// The turns that passed while the machine slept are over by then.
    paced_from: u64,
    /// Names that may exist at GitHub although the daemon holds no registration of them.
    burnt: BTreeSet<(VmId, u32)>,
    /// In which life of the daemon each launch was ordered.
    launched: BTreeMap<VmId, u64>,
    /// Since when each listens.
    listening: BTreeMap<VmId, Timestamp>,
    /// Jobs that GitHub has said to have completed.
    ended: BTreeSet<JobKey>,
}

impl Memory {
    /// What was measured by the clock means nothing any more.
    pub(super) fn clock_jumped(&mut self, now: u64) {
        (self.not_before, self.registrations) = (BTreeMap::new(), BTreeMap::new());
        self.paced_from = now + 5 * MINUTE;
    }

    /// The clock has just jumped: a list that was asked for before may seem to be younger than what came after it.
    pub(super) fn unsettled(&self, now: u64) -> bool {
        now < self.paced_from
    }
}

impl Life {
    /// A fact is stored.
    pub(super) fn note(&mut self, before: &World, event: &Event, actions: &[Action]) {
        let (now, hosts) = (self.at(), self.setup.hosts.clone());
        if let Some(script) = &mut self.script {
            script.fact(now, event, (before, &self.daemon.stored), actions);
        }
        self.note_places(event);
        let memory = &mut self.memory;
        let mut limited = None;
        match event {
            Event::Started { .. } => {
                memory.heard = hosts.keys().map(|host| (*host, now)).collect();
            }
            Event::Host(HostEvent::Inventory { host, .. }) => drop(memory.heard.insert(*host, now)),
            Event::Forge(ForgeEvent::RegisterFailed { vm, scope, attempt, failure, .. }) => {
                match failure {
                    RegisterFailure::Transient | RegisterFailure::NameTaken => {
                        memory.burnt.insert((*vm, *attempt));
                    }
                    RegisterFailure::Limited { until } => {
                        // Heeded as long as there is a row that remembers it.
                        let waits = before.vms.get(vm).is_some_and(|row| waits_for(row, *attempt));
                        let whose = self.setup.installation(scope).filter(|_| waits);
                        limited = whose.map(|whose| (whose.clone(), *until));
                    }
                    RegisterFailure::Refused | RegisterFailure::Forbidden => {}
                }
            }
            Event::Forge(ForgeEvent::AskFailed {
                question,
                failure: AskFailure::Limited { until },
                ..
            }) => limited = self.setup.asked_of(question).map(|whose| (whose.clone(), *until)),
            Event::Forge(ForgeEvent::JobCompleted { job, .. }) => drop(memory.ended.insert(*job)),
            _ => {}
        }
        if let Some((whose, until)) = limited {
            let known = memory.not_before.entry(whose).or_default();
            *known = until.max(*known);
        }
        let rows = &self.daemon.stored.vms;
        let listens = |id: &VmId| rows.get(id).is_some_and(|row| row.phase == Phase::Listening);
        let new = rows.iter().filter(|(_, row)| row.phase == Phase::Listening);
        for (id, _) in new {
            memory.listening.entry(*id).or_insert(now);
        }
        let left: Vec<VmId> = memory.listening.keys().filter(|id| !listens(id)).copied().collect();
        for id in left {
            let since = memory.listening.remove(&id).unwrap_or(now);
            let row = self.daemon.stored.vms.get(&id);
            let idle = row.filter(|row| row.phase == Phase::Retiring(Reason::IdleTimeout));
            let Some(row) = idle else { continue };
            let limit = self.daemon.stored.timeouts(row).idle;
            if now < since.after(limit) {
                self.fate
                    .get_or_insert(format!("{id} has to go as idle, and listens since {since}"));
            }
        }
    }

    /// What the daemon believes after a fact.
    pub(super) fn judge(&mut self, before: &World, event: &Event) {
        let found = (self.back_again())
            .or_else(|| self.ghost_stays(event))
            .or_else(|| self.gone_for_no_reason(before))
            .or_else(|| self.unasked(before, event))
            .or_else(|| self.blamed_for_its_job(before, event))
            .or_else(|| self.blamed_for_another(before, event))
            .or_else(|| self.unfair(before));
        if let Some(fault) = found {
            self.find(fault);
        }
    }

    /// A job that has completed is never open again.
    fn back_again(&self) -> Option<String> {
        let open = |key: &&JobKey| self.daemon.stored.jobs.contains_key(key);
        let back = self.memory.ended.iter().find(open)?;
        Some(format!("job {back} has completed, and is open again"))
    }

    /// A list of runners shows that a registration is gone: its microVM may not go on waiting.
    fn ghost_stays(&self, event: &Event) -> Option<String> {
        let Event::Forge(ForgeEvent::Runners { scope, registered, asked }) = event else {
            return None;
        };
        let stays = |(id, row): &(&VmId, &Vm)| {
            let listed = row.since.after(LISTED) < *asked && !registered.contains(id);
            row.phase == Phase::Listening && row.scope.as_ref() == Some(scope) && listed
        };
        let (ghost, _) = self.daemon.stored.vms.iter().find(stays)?;
        Some(format!("GitHub has no runner of {ghost}, and it goes on waiting"))
    }

    /// Nobody is given up as lost who is there.
    fn gone_for_no_reason(&self, before: &World) -> Option<String> {
        self.daemon.stored.vms.iter().find_map(|(id, row)| {
            let was = before.vms.get(id).map(|row| row.phase.clone());
            if was.as_ref() == Some(&row.phase) {
                return None;
            }
            let guest = self.outside.guests.get(id).filter(|guest| !guest.excused)?;
            let runner = self.outside.runner_of(*id).is_some_and(|(_, runner)| runner.online);
            match row.phase {
                Phase::Stopping { reason: Reason::GuestGone, .. } => {
                    Some(format!("{id} counts as gone, and lives"))
                }
                Phase::Retiring(Reason::Unregistered) if runner && !guest.overlooked => {
                    Some(format!("{id} counts as unregistered, and is registered"))
                }
                _ => None,
            }
        })
    }

    /// Law 3: whoever may have a runner and has to go, goes through GitHub.
    fn unasked(&self, before: &World, event: &Event) -> Option<String> {
        self.daemon.stored.vms.iter().find_map(|(id, row)| {
            let was = before.vms.get(id).filter(|was| was.registration != Registration::None)?;
            let idle =
                matches!(was.phase, Phase::Launching | Phase::Registering | Phase::Listening);
            let Phase::Stopping { reason, .. } = row.phase else { return None };
            let has_to_go = matches!(
                reason,
                Reason::Surplus
                    | Reason::IdleTimeout
                    | Reason::Unregistered
                    | Reason::Draining
                    | Reason::BootTimeout
                    | Reason::RegisterTimeout
                    | Reason::Interrupted
            );
            let by_itself = matches!(
                event,
                Event::Guest { vm, said: GuestEvent::RunnerExited { .. } } if vm == id
            );
            let unasked = idle && has_to_go && !by_itself;
            unasked.then(|| format!("{id} goes for {reason:?} and GitHub was not asked"))
        })
    }

    /// A job can break its own guest: that must not stop other jobs of its profile.
    fn blamed_for_its_job(&self, before: &World, event: &Event) -> Option<String> {
        let vm = match event {
            Event::Host(HostEvent::Exited { vm, .. })
            | Event::Guest {
                vm,
                said: GuestEvent::RunnerExited { .. } | GuestEvent::Failed { .. },
            } => vm,
            _ => return None,
        };
        let row = before.vms.get(vm).filter(|row| matches!(row.phase, Phase::Busy(_)))?;
        let others = before.vms.iter().filter(|(id, _)| *id != vm);
        let same = |(id, row): (&VmId, &Vm)| {
            self.daemon.stored.vms.get(id).is_some_and(|now| now.phase == row.phase)
        };
        let failures = |world: &World| world.breakers.get(&row.profile).map_or(0, |b| b.failures);
        let blamed =
            others.into_iter().all(same) && failures(before) < failures(&self.daemon.stored);
        blamed.then(|| format!("{} is blamed for what a job did to {vm}", row.profile))
    }

    /// An order goes out.
    pub(super) fn judge_order(&mut self, action: &Action) {
        let now = self.at();
        self.judge_place(action);
        let whose = self.setup.calls(action).cloned();
        let not_before = whose.as_ref().and_then(|whose| self.memory.not_before.get(whose));
        if let Some(not_before) = not_before.filter(|not_before| now < **not_before) {
            let fault = format!("GitHub takes no calls before {not_before}: {action:?}");
            self.find(fault);
        }
        match action {
            Action::Launch { vm, host, .. } => {
                let heard = self.memory.heard.get(host).copied().unwrap_or_default();
                if heard.after(HEARD) < now {
                    self.find(format!(
                        "{vm} is launched on {host}, which was last heard at {heard}"
                    ));
                }
                let life = self.daemon.life;
                if *self.memory.launched.entry(*vm).or_insert(life) != life {
                    self.find(format!("the launch of {vm} is resumed after a restart"));
                }
            }
            Action::Register { vm, profile, attempt, name, .. } => {
                let paced = self.profile(profile).source == Source::Webhook;
                self.judge_registration((*vm, *attempt), name, (whose, paced));
            }
            Action::Deregister { .. }
            | Action::Destroy { .. }
            | Action::Scan { .. }
            | Action::Ask { .. } => {}
        }
    }

    fn judge_registration(
        &mut self,
        tried: (VmId, u32),
        name: &RunnerName,
        (whose, paced): (Option<InstallationId>, bool),
    ) {
        if self.memory.burnt.contains(&tried) {
            self.find(format!("{name} is asked for again, and may exist"));
        }
        let Some(whose) = whose else {
            return self.find(format!("{name} is to be registered nowhere"));
        };
        if !paced {
            return;
        }
        let (now, past) = (self.now, self.memory.registrations.entry(whose).or_default());
        past.push_back(now);
        while past.front().is_some_and(|at| at + MINUTE - SECOND < now) {
            past.pop_front();
        }
        if past.len() > REGISTRATIONS_A_MINUTE && now >= self.memory.paced_from {
            let count = past.len();
            self.find(format!("{count} registrations within a minute"));
        }
    }
}

fn waits_for(row: &Vm, attempt: u32) -> bool {
    let waits = matches!(row.phase, Phase::Launching | Phase::Registering);
    waits && row.registration == (Registration::Asked { attempt })
}
