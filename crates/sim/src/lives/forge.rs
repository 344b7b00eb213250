//! The made-up GitHub: its jobs and its runners. It matches any idle runner with any job that fits.

use super::life::Life;
use super::outside::{Happening, Job, JobIs, MINUTE, Runner, SECOND, key, told};
use super::scopes::covers;
use flint_core::event::{Event, ForgeEvent, GuestEvent, RegisterFailure};
use flint_core::id::{RunnerId, RunnerName, ScopeId, VmId};
use flint_core::job::{Conclusion, JobRequest};
use flint_core::plan::Action;
use flint_core::policy::Origin;
use flint_core::scale_set::Source;

/// The name of a runner that is not ours.
const THEIRS: &str = "their-runner";

impl Life {
    pub(super) fn new_job(&mut self, id: u64, request: JobRequest, origin: Origin) {
        let hangs = self.rng.chance(self.faults.job_hangs);
        let state = JobIs::Queued;
        let job = Job { request, origin, state, runs: 0, hangs, deleted: false, ended: None };
        self.outside.jobs.insert(id, job);
        self.job_is_queued(id);
        if self.rng.chance(self.faults.job_held) {
            let after = self.rng.below(5 * MINUTE);
            self.later(after, Happening::JobHeld(id));
        }
        if self.rng.chance(self.faults.job_cancelled) {
            let after = self.rng.below(3 * MINUTE);
            self.later(after, Happening::JobCancelled(id));
        }
    }

    fn job_is_queued(&mut self, id: u64) {
        let request = self.outside.jobs[&id].request.clone();
        self.tell(ForgeEvent::JobQueued { job: key(id), request });
        self.assign_soon();
    }

    /// Cancelled, or deleted without a word.
    pub(super) fn job_cancelled(&mut self, id: u64) {
        if !matches!(self.outside.jobs[&id].state, JobIs::Queued | JobIs::Held) {
            return;
        }
        if self.rng.chance(self.faults.job_deleted * 4) {
            self.say(&format!("the run of job {id} is deleted"));
            let job = self.outside.jobs.get_mut(&id);
            job.into_iter().for_each(|job| (job.deleted, job.state) = (true, JobIs::Completed));
            return;
        }
        self.complete(id, "cancelled", None);
    }

    pub(super) fn job_held(&mut self, id: u64) {
        if let Some(job) = self.outside.jobs.get_mut(&id).filter(|j| j.state == JobIs::Queued) {
            job.state = JobIs::Held;
            let set = job.request.scale_set.clone();
            self.say(&format!("job {id} is held"));
            if let Some(set) = set {
                self.tell_set(set, ForgeEvent::JobWithdrawn { job: key(id) });
            }
            let after = self.rng.between(MINUTE, 40 * MINUTE);
            self.later(after, Happening::Released(id));
        }
    }

    /// GitHub tells anew that it is queued.
    pub(super) fn released(&mut self, id: u64) {
        if let Some(job) = self.outside.jobs.get_mut(&id).filter(|j| j.state == JobIs::Held) {
            job.state = JobIs::Queued;
            self.say(&format!("job {id} is released"));
            self.job_is_queued(id);
        }
    }

    fn complete(&mut self, id: u64, conclusion: &str, runner: Option<&str>) {
        self.say(&format!("job {id} completes: {conclusion}"));
        let Some(job) = self.outside.jobs.get_mut(&id) else { return };
        job.state = JobIs::Completed;
        let request = job.request.clone();
        let conclusion = Conclusion(conclusion.to_owned());
        let runner = runner.map(RunnerName::told);
        job.ended = Some((conclusion.clone(), runner.clone()));
        self.tell(ForgeEvent::JobCompleted { job: key(id), request, runner, conclusion });
    }

    pub(super) fn assign(&mut self) {
        let queued = self.outside.jobs.iter().filter(|(_, job)| job.state == JobIs::Queued);
        let queued: Vec<u64> = queued.map(|(id, _)| *id).collect();
        for id in queued {
            let JobRequest { labels, repository, .. } = self.outside.jobs[&id].request.clone();
            let has = |runner: &Runner, label: &String| {
                runner.labels.contains(&label.to_ascii_lowercase())
            };
            let set = self.outside.jobs[&id].request.scale_set.clone();
            let fits = |runner: &Runner| {
                let here = covers(&runner.scope, &repository) && runner.set == set;
                here && labels.iter().all(|label| has(runner, label))
            };
            let idle = |runner: &Runner| runner.online && runner.job.is_none();
            let runners = self.outside.runners.iter().filter(|(_, r)| idle(r) && fits(r));
            let names: Vec<String> = runners.map(|(name, _)| name.clone()).collect();
            let hosted = labels.iter().any(|label| label == "ubuntu-latest");
            if hosted || (set.is_none() && self.rng.chance(self.faults.taken_elsewhere)) {
                self.begins(id, THEIRS);
            } else if let Some(name) = self.rng.pick(&names) {
                self.begins(id, &name);
            }
        }
    }

    fn begins(&mut self, id: u64, name: &str) {
        self.say(&format!("job {id} begins on {name}"));
        let Some(job) = self.outside.jobs.get_mut(&id) else { return };
        job.state = JobIs::Running(name.to_owned());
        let (request, hangs) = (job.request.clone(), job.hangs);
        let ours = name != THEIRS;
        if let Some(runner) = self.outside.runners.get_mut(name) {
            (job.runs, runner.job) = (job.runs + 1, Some(id));
            let vm = runner.vm;
            self.guest_says(vm, GuestEvent::Busy);
        }
        self.tell(ForgeEvent::JobStarted { job: key(id), request, runner: told(name) });
        let length = self.rng.between(1, 20 * MINUTE);
        if !(ours && hangs) {
            self.later(length, Happening::StepsEnd(id));
        }
    }

    /// The last step is done; the runner still has to tell GitHub so.
    pub(super) fn steps_end(&mut self, id: u64) {
        let Some(job) = self.outside.jobs.get_mut(&id) else { return };
        let JobIs::Running(name) = job.state.clone() else { return };
        if name == THEIRS {
            return self.complete(id, "success", Some(&name));
        }
        let Some(runner) = self.outside.runners.get(&name) else { return };
        if !self.outside.guests.contains_key(&runner.vm) {
            return;
        }
        job.state = JobIs::Ending(name.clone());
        let vm = runner.vm;
        self.guest_says(vm, GuestEvent::JobDone);
        let after = self.rng.between(1, 20 * SECOND);
        self.later(after, Happening::JobEnds(id));
    }

    pub(super) fn job_ends(&mut self, id: u64) {
        let JobIs::Ending(name) = self.outside.jobs[&id].state.clone() else { return };
        let Some(vm) = self.outside.runners.get(&name).map(|runner| runner.vm) else { return };
        if !self.outside.guests.contains_key(&vm) {
            return;
        }
        self.complete(id, "success", Some(&name));
        self.outside.runners.remove(&name);
        self.guest_says(vm, GuestEvent::RunnerExited { code: 0 });
        let after = self.rng.between(1, 3 * SECOND);
        self.later(after, Happening::PowersOff(vm));
    }

    /// The guest is gone under its job; GitHub notices after a while.
    pub(super) fn runner_lost(&mut self, id: u64) {
        let (JobIs::Running(name) | JobIs::Ending(name)) = self.outside.jobs[&id].state.clone()
        else {
            return;
        };
        self.outside.runners.remove(&name);
        self.complete(id, "failure", Some(&name));
    }

    pub(super) fn idle_removed(&mut self, name: &str) {
        let idle = |runner: &Runner| runner.online && runner.job.is_none();
        let Some(vm) = self.outside.runners.get(name).filter(|r| idle(r)).map(|r| r.vm) else {
            return;
        };
        self.say(&format!("GitHub removes the idle {name}"));
        self.outside.runners.remove(name);
        if !self.rng.chance(self.faults.ghost) {
            self.guest_says(vm, GuestEvent::RunnerExited { code: 0 });
        }
    }

    pub(super) fn registers(&mut self, life: u64, action: &Action) {
        let Action::Register { vm, profile, scope, attempt, name, .. } = action else { return };
        let (vm, attempt) = (*vm, *attempt);
        let taken = self.outside.runners.contains_key(name.as_str());
        let limited = self.call_in(scope).err();
        let failure = match taken {
            _ if limited.is_some() => limited.map(|until| RegisterFailure::Limited { until }),
            true => Some(RegisterFailure::NameTaken),
            false if self.refuses(scope) => Some(RegisterFailure::Forbidden),
            false if self.rng.chance(self.faults.register_fails) => match self.rng.below(12) {
                0 => Some(RegisterFailure::Refused),
                1 => Some(RegisterFailure::NameTaken),
                _ => Some(RegisterFailure::Transient),
            },
            false => None,
        };
        if let Some(failure) = failure {
            let (scope, why) = (scope.clone(), format!("{failure:?}"));
            let event = ForgeEvent::RegisterFailed { vm, scope, attempt, failure, why };
            return self.soon(Happening::Answer(life, Event::Forge(event)));
        }
        let known = self.profile(profile);
        let set = Some(profile.clone()).filter(|_| known.source == Source::ScaleSet);
        let labels = known.labels.clone();
        let scope = scope.clone();
        let runner = Runner { vm, scope: scope.clone(), labels, set, online: false, job: None };
        self.outside.runners.insert(name.as_str().to_owned(), runner);
        if self.rng.chance(self.faults.register_lost) {
            let (failure, why) = (RegisterFailure::Transient, "no answer".to_owned());
            let event = ForgeEvent::RegisterFailed { vm, scope, attempt, failure, why };
            return self.later(30 * SECOND, Happening::Answer(life, Event::Forge(event)));
        }
        let runner = RunnerId(vm.0 * 100 + u64::from(attempt));
        let event = ForgeEvent::Registered { vm, scope, attempt, runner };
        let slow = if self.rng.chance(self.faults.slow) { MINUTE } else { self.faults.delay_ms };
        let after = 1 + self.rng.below(slow);
        self.later(after, Happening::Answer(life, Event::Forge(event)));
    }

    /// Whether a scope takes no runner of ours now; that may begin with this one.
    fn refuses(&mut self, scope: &ScopeId) -> bool {
        if self.rng.chance(self.faults.register_forbidden) {
            let wait = if self.rng.chance(500) { 1 } else { self.rng.between(MINUTE, 20 * MINUTE) };
            self.say(&format!("{scope} takes no runner of ours for {} s", wait / SECOND));
            self.outside.refuses_until.insert(scope.clone(), self.now + wait);
        }
        self.is_refusing(scope)
    }

    /// Whether a scope has taken our rights away.
    pub(super) fn is_refusing(&self, scope: &ScopeId) -> bool {
        let until = self.outside.refuses_until.get(scope);
        !self.calm && until.is_some_and(|until| self.now < *until)
    }

    pub(super) fn removes(&mut self, life: u64, action: &Action) {
        let Action::Deregister { vm, scope, names } = action else { return };
        let vm = *vm;
        let failed = ForgeEvent::DeregisterFailed { vm, why: "no answer".to_owned() };
        let fails = self.rng.chance(self.faults.remove_fails) && self.rng.chance(500);
        if self.call_in(scope).is_err() || fails || self.is_refusing(scope) {
            return self.soon(Happening::Answer(life, Event::Forge(failed)));
        }
        let asked = |name: &str| names.is_empty() || names.iter().any(|n| n.as_str() == name);
        let here = |runner: &Runner| runner.vm == vm && runner.scope == *scope;
        let found = self.outside.runners.iter().filter(|(name, r)| here(r) && asked(name));
        let found: Vec<(String, bool)> = found.map(|(n, r)| (n.clone(), r.job.is_some())).collect();
        if !found.is_empty() && self.rng.chance(self.faults.remove_lies) {
            // A daemon that believes it ends the runner when its job would have taken too long.
            self.excuse(vm);
            let refused = ForgeEvent::DeregisterRefused { vm };
            return self.soon(Happening::Answer(life, Event::Forge(refused)));
        }
        let busy = found.iter().any(|(_, busy)| *busy);
        for (name, _) in found.iter().filter(|(_, busy)| !busy) {
            self.outside.runners.remove(name);
            self.unregistered(vm, name);
        }
        let event = match busy {
            true => ForgeEvent::DeregisterRefused { vm },
            false => ForgeEvent::Deregistered { vm },
        };
        let lost = self.rng.chance(self.faults.remove_fails / 2);
        self.soon(Happening::Answer(life, Event::Forge(if lost { failed } else { event })));
    }

    /// The runner in the guest notices that its registration is gone, and ends.
    fn unregistered(&mut self, vm: VmId, name: &str) {
        let runs = |guest: &&mut super::outside::Guest| {
            guest.running && guest.secret.as_deref() == Some(name)
        };
        if let Some(guest) = self.outside.guests.get_mut(&vm).filter(runs) {
            guest.running = false;
            self.guest_says(vm, GuestEvent::RunnerExited { code: 1 });
        }
    }
}
