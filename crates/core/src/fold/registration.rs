//! Facts about registrations at GitHub. A removal names every try, so a late answer loses nothing.

use super::{ask, lost};
use crate::ask::Question;
use crate::breaker::Breaker;
use crate::event::RegisterFailure;
use crate::id::{RunnerId, ScopeId, VmId};
use crate::planted::{Fault, is};
use crate::units::Timestamp;
use crate::vm::{Phase, Reason, Registration, Vm};
use crate::world::World;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) fn registered(
    world: &mut World,
    now: Timestamp,
    (id, scope): (VmId, ScopeId),
    (attempt, runner): (u32, RunnerId),
) {
    let Some(vm) = world.vms.get_mut(&id) else { return stray(world, id, scope) };
    if let Phase::Stopping { forge_clean, .. } = &mut vm.phase {
        // It was on the wire when the removal was asked for.
        *forge_clean = false;
    }
    if vm.registration == (Registration::Asked { attempt }) {
        vm.registration = Registration::Held { attempt, runner };
        vm.times.registered.get_or_insert(now);
        if let Phase::Launching | Phase::Registering = vm.phase {
            (vm.failures, vm.retry_at) = (0, now);
        }
        let mended = |id: &ScopeId| *id == scope || is(Fault::TakenMendsAll);
        for (_, place) in world.scopes.iter_mut().filter(|(id, _)| mended(id)) {
            place.breaker = Breaker::default();
        }
    }
}

pub(super) fn failed(
    world: &mut World,
    now: Timestamp,
    (id, scope, attempt): (VmId, ScopeId, u32),
    failure: RegisterFailure,
    why: String,
) {
    let may_exist = match failure {
        RegisterFailure::Transient | RegisterFailure::NameTaken => true,
        RegisterFailure::Limited { .. } | RegisterFailure::Refused | RegisterFailure::Forbidden => {
            false
        }
    };
    let Some(vm) = world.vms.get_mut(&id) else {
        if may_exist {
            stray(world, id, scope);
        }
        return;
    };
    if let Phase::Stopping { forge_clean, .. } = &mut vm.phase {
        // The try may have left a runner after the removal.
        *forge_clean = *forge_clean && !may_exist;
    }
    let waits = matches!(vm.phase, Phase::Launching | Phase::Registering);
    if !waits || vm.registration != (Registration::Asked { attempt }) {
        return;
    }
    let next = match is(Fault::NameReused) {
        true => Registration::Asked { attempt },
        false => Registration::Asked { attempt: attempt.saturating_add(1) },
    };
    match failure {
        RegisterFailure::Transient => {
            vm.registration = next;
            vm.back_off(now, why);
            wait_in_line(world, now, id, &scope);
        }
        RegisterFailure::NameTaken => {
            vm.registration = next;
            if attempt == 1 {
                vm.trouble = Some(why);
            } else {
                vm.back_off(now, why);
            }
            wait_in_line(world, now, id, &scope);
        }
        // Not carried out: the same name, once GitHub takes calls again.
        RegisterFailure::Limited { until } => {
            (vm.retry_at, vm.trouble) = (vm.retry_at.max(until), Some(why));
            ask::limited(world, &scope, until);
        }
        RegisterFailure::Refused => {
            let profile = vm.profile.clone();
            world.profile_refused(now, &profile, why.clone());
            given_up(world, now, id, why);
        }
        RegisterFailure::Forbidden => {
            let refuses = |id: &ScopeId| *id == scope || is(Fault::RefusalSpreads);
            for (_, place) in world.scopes.iter_mut().filter(|(id, _)| refuses(id)) {
                place.breaker.refused(now, why.clone());
                if is(Fault::ForgeBreakerStays) {
                    place.breaker.closed_until = Timestamp(u64::MAX);
                }
            }
            given_up(world, now, id, why);
        }
    }
}

/// No try will help it. Nobody handed the guest a secret, so no job can be in it: no need to ask GitHub.
fn given_up(world: &mut World, now: Timestamp, id: VmId, why: String) {
    let Some(vm) = world.vms.get_mut(&id) else { return };
    if vm.registration.attempts() <= 1 {
        vm.registration = Registration::None;
    }
    vm.stop(now, Reason::RegisterFailed);
    vm.trouble = Some(why);
}

/// Each try takes its turn among all registrations.
fn wait_in_line(world: &mut World, now: Timestamp, id: VmId, scope: &ScopeId) {
    let Some(profile) = world.vms.get(&id).map(|vm| vm.profile.clone()) else { return };
    let turn = world.next_registration(now, (&profile, scope));
    if let Some(vm) = world.vms.get_mut(&id) {
        vm.retry_at = vm.retry_at.max(turn);
    }
}

/// Registered in our name for a row that is gone.
fn stray(world: &mut World, id: VmId, scope: ScopeId) {
    if is(Fault::StrayStays) {
        return;
    }
    let first = world.scopes.keys().next().filter(|_| is(Fault::StrayInFirstScope));
    let scope = first.cloned().unwrap_or(scope);
    world.stray_runners.insert(id, scope);
}

/// GitHub removes a one-job runner by itself when the runner has told it that its job is over (its page on ephemeral
/// runners), so nobody has to ask: that would be one call more for each job. A runner that never ended its job may stay,
/// and so may those of tries whose answer was lost; and what stays all the same, the list of runners shows.
pub(super) fn spent(world: &mut World, id: VmId) {
    let Some(vm) = world.vms.get_mut(&id) else { return };
    let told = vm.job.is_some_and(|job| world.finished.contains_key(&job));
    let alone = vm.registration.attempts() == 1 || is(Fault::TriesForgotten);
    if let Phase::Stopping { reason: Reason::JobDone, forge_clean, .. } = &mut vm.phase
        && told
        && alone
    {
        *forge_clean = true;
    }
}

/// For this long after its microVM is gone GitHub is given time to say that a job is over, before it is asked whether
/// the runner is still registered.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// When a microVM of which nothing is left on its host asks GitHub for the last time.
pub(super) fn asks_at(now: Timestamp, vm: &Vm) -> Timestamp {
    let done = matches!(vm.phase, Phase::Stopping { reason: Reason::JobDone, .. });
    if done && vm.registration.attempts() == 1 { now.after(TOLD_WITHIN) } else { now }
}

pub(super) fn removed(world: &mut World, now: Timestamp, id: VmId) {
    world.stray_runners.remove(&id);
    let Some(vm) = world.vms.get_mut(&id) else { return };
    match &mut vm.phase {
        Phase::Retiring(reason) => {
            let (reason, host_clean) = (*reason, false);
            vm.enter(now, Phase::Stopping { reason, host_clean, forge_clean: true });
        }
        Phase::Stopping { forge_clean, .. } => *forge_clean = true,
        Phase::Launching | Phase::Warm | Phase::Registering | Phase::Listening | Phase::Busy(_) => {
        }
    }
}

/// It has just been given a job: it stays. Which job, GitHub tells later.
pub(super) fn removal_refused(world: &mut World, now: Timestamp, id: VmId) {
    // A stray that has a job is asked again when the next list shows it.
    world.stray_runners.remove(&id);
    let Some(vm) = world.vms.get_mut(&id) else { return };
    match vm.phase {
        Phase::Retiring(_) if is(Fault::RefusalIgnored) => removed(world, now, id),
        Phase::Retiring(_) => {
            vm.enter(now, Phase::Busy(vm.job));
            vm.times.started.get_or_insert(now);
        }
        Phase::Stopping { .. } => vm.back_off(now, "GitHub says its runner is busy".to_owned()),
        Phase::Launching | Phase::Warm | Phase::Registering | Phase::Listening | Phase::Busy(_) => {
        }
    }
}

pub(super) fn removal_failed(world: &mut World, now: Timestamp, id: VmId, why: String) {
    // A stray is asked again when the next list shows it.
    world.stray_runners.remove(&id);
    let leaving = |vm: &&mut Vm| match vm.phase {
        Phase::Retiring(_) | Phase::Stopping { .. } => true,
        Phase::Launching | Phase::Warm | Phase::Registering | Phase::Listening | Phase::Busy(_) => {
            false
        }
    };
    if let Some(vm) = world.vms.get_mut(&id).filter(leaving) {
        vm.back_off(now, why);
    }
}

/// A registration is listed well within this time.
const LISTED_AFTER: Duration = Duration::from_secs(60);

/// A list finds strays, and idle microVMs whose registration is gone. It ends none: those are asked to leave through
/// GitHub like any other, which says so if there is a job after all (actions/runner #4617: a runner can go on
/// listening although its registration is gone).
pub(super) fn listed(
    world: &mut World,
    now: Timestamp,
    scope: &ScopeId,
    registered: &BTreeSet<VmId>,
    asked: Timestamp,
) {
    let every = ask::every(world, now, &Question::Runners { scope: scope.clone() });
    // One that left the configuration meanwhile is nobody's to ask.
    let Some(known) = world.scopes.get_mut(scope) else { return };
    known.runners.answered(now, every);
    let ghost = |(id, vm): &(&VmId, &Vm)| {
        vm.phase == Phase::Listening
            && (vm.scope.as_ref() == Some(scope) || is(Fault::ListCountsForAll))
            && (vm.since.after(LISTED_AFTER) < asked || is(Fault::RunnersAgeIgnored))
            && !is(Fault::GhostStays)
            && !registered.contains(id)
    };
    let ghosts: Vec<VmId> = world.vms.iter().filter(ghost).map(|(id, _)| *id).collect();
    for id in ghosts {
        if let Some(vm) = world.vms.get_mut(&id) {
            vm.leave(now, Reason::Unregistered);
        }
    }
    if is(Fault::StrayStays) {
        return;
    }
    let owned = |id: &&VmId| world.vms.contains_key(id);
    let strays = registered.iter().filter(|id| !owned(id)).map(|id| (*id, scope.clone()));
    let strays: Vec<_> = strays.collect();
    world.stray_runners.extend(strays);
}

/// For `guest`: the runner ended before it had a job, because GitHub takes no runner of this version.
pub(super) fn deprecated(world: &mut World, now: Timestamp, id: VmId) {
    let why = "GitHub refuses this version of its runner (exit code 7): `flint image update-runner` puts a newer one into the image";
    let Some(vm) = world.vms.get(&id) else { return };
    let profile = vm.profile.clone();
    lost(world, now, id, Reason::RunnerDeprecated, why.to_owned());
    world.profile_refused(now, &profile, why.to_owned());
}
