//! Takes one fact into the world. Facts may be late, repeated, reordered or lost.

mod ask;
mod guest;
mod host;
mod job;
mod registration;
mod set;
mod size;
mod start;
mod sweep;

pub(crate) use sweep::row_expires;

use crate::breaker::Breaker;
use crate::event::{Event, ForgeEvent, GuestEvent, HostEvent, OperatorEvent};
use crate::id::VmId;
use crate::planted::{Fault, is};
use crate::record::Record;
use crate::units::Timestamp;
use crate::vm::{Phase, Reason};
use crate::world::World;

/// Takes one fact in, and says what left the world by it.
#[must_use]
pub fn fold(world: &mut World, now: Timestamp, event: Event) -> Vec<Record> {
    let mut records = Vec::new();
    let reach = sweep::reach(world, &event);
    match event {
        Event::Started { profiles, hosts, limits, scopes, readers } => {
            start::started(world, now, (profiles, hosts, limits), (scopes, &readers));
        }
        Event::Forge(event) => records.extend(forge(world, now, event)),
        Event::Host(event) => from_host(world, now, event),
        Event::Guest { vm, said } => from_guest(world, now, vm, said),
        Event::Operator(event) => operator(world, now, event),
        Event::Tick => {}
    }
    sweep::sweep(world, now, reach, &mut records);
    records
}

fn forge(world: &mut World, now: Timestamp, event: ForgeEvent) -> Vec<Record> {
    match event {
        ForgeEvent::JobQueued { job, request } => job::queued(world, now, job, request),
        ForgeEvent::JobStarted { job, request, runner } => {
            job::started(world, now, (job, request), runner.as_ref());
        }
        ForgeEvent::JobCompleted { job, request, runner, conclusion } => {
            let record = job::completed(world, now, (job, request), runner, conclusion);
            return record.into_iter().collect();
        }
        ForgeEvent::JobWithdrawn { job } => {
            return job::withdrawn(world, now, job, "cancelled").into_iter().collect();
        }
        ForgeEvent::ScaleSet { profile, said } => return set::heard(world, now, profile, said),
        ForgeEvent::Registered { vm, scope, attempt, runner } => {
            registration::registered(world, now, (vm, scope), (attempt, runner));
        }
        ForgeEvent::RegisterFailed { vm, scope, attempt, failure, why } => {
            registration::failed(world, now, (vm, scope, attempt), failure, why);
        }
        ForgeEvent::Deregistered { vm } => registration::removed(world, now, vm),
        ForgeEvent::DeregisterRefused { vm } => registration::removal_refused(world, now, vm),
        ForgeEvent::DeregisterFailed { vm, why } => {
            registration::removal_failed(world, now, vm, why);
        }
        ForgeEvent::Runners { scope, registered, asked } => {
            registration::listed(world, now, &scope, &registered, asked);
        }
        ForgeEvent::DeliveriesRead { installation, asked } => {
            if let Some(installation) = world.installations.get_mut(&installation) {
                installation.deliveries_read(now, asked);
            }
        }
        ForgeEvent::RepositoriesListed { scope, active, asked: _ } => {
            ask::repositories_listed(world, now, &scope, &active);
        }
        ForgeEvent::JobsListed { repository, queued, asked } => {
            ask::jobs_listed(world, now, &repository, &queued, asked);
        }
        ForgeEvent::JobAsked { job, found, asked } => {
            return ask::job_asked(world, now, job, found, asked).into_iter().collect();
        }
        ForgeEvent::RunAsked { run, repository, origin, over, asked: _ } => {
            return ask::run_asked(world, now, (run, &repository), (origin, over));
        }
        ForgeEvent::RunnerReleases { installation, releases, rule } => {
            ask::runner_releases(world, now, &installation, (&releases, rule));
        }
        ForgeEvent::AskFailed { question, failure, why } => {
            ask::failed(world, now, &question, failure, why);
        }
        ForgeEvent::QuotaLeft { installation, quota } => {
            ask::quota_left(world, &installation, quota);
        }
    }
    Vec::new()
}

fn from_host(world: &mut World, now: Timestamp, event: HostEvent) {
    match event {
        HostEvent::LaunchBegan { vm, committed } => {
            host::launch_began(world, now, vm, committed);
        }
        HostEvent::LaunchFailed { vm, why } => host::launch_failed(world, now, vm, why),
        HostEvent::Exited { vm, end } => host::exited(world, now, vm, end),
        HostEvent::Destroyed { vm } => host::destroyed(world, now, vm),
        HostEvent::DestroyFailed { vm, why } => host::destroy_failed(world, now, vm, why),
        HostEvent::Inventory { host, alive, present, asked } => {
            host::inventory(world, now, (host, asked), &alive, &present);
        }
        HostEvent::ScanFailed { host, why: _ } => host::scan_failed(world, now, host),
    }
}

fn from_guest(world: &mut World, now: Timestamp, vm: VmId, said: GuestEvent) {
    match said {
        GuestEvent::Ready { kernel_up, runner } => {
            guest::ready(world, now, vm, (kernel_up, runner));
        }
        GuestEvent::Listening => guest::listening(world, now, vm),
        GuestEvent::Busy => guest::busy(world, now, vm),
        GuestEvent::JobDone => guest::job_done(world, now, vm),
        GuestEvent::RunnerExited { code } => guest::runner_exited(world, now, vm, code),
        GuestEvent::Failed { why } => guest::failed(world, now, vm, &why),
    }
}

fn operator(world: &mut World, now: Timestamp, event: OperatorEvent) {
    match event {
        OperatorEvent::Drain { host, draining } => {
            if let Some(host) = world.hosts.get_mut(&host) {
                host.draining = draining;
            }
        }
        OperatorEvent::Stop { vm } => {
            if let Some(vm) = world.vms.get_mut(&vm) {
                vm.stop(now, Reason::Operator);
            }
        }
        OperatorEvent::Reset { profile } => {
            world.breakers.remove(&profile);
            world.scopes.values_mut().for_each(|scope| scope.breaker = Breaker::default());
        }
    }
}

/// The guest is of no more use. What went wrong counts against its profile, unless a job ran in it: a job
/// can break its own guest, and must not stop others by that.
fn lost(world: &mut World, now: Timestamp, id: VmId, reason: Reason, why: String) {
    let Some(vm) = world.vms.get_mut(&id) else { return };
    let counts = match vm.phase {
        Phase::Launching | Phase::Warm | Phase::Registering | Phase::Listening => true,
        Phase::Busy(_) => is(Fault::BreakerCountsJobs),
        Phase::Retiring(_) | Phase::Stopping { .. } => false,
    };
    vm.stop(now, reason);
    vm.trouble = Some(why.clone());
    if counts && reason.is_failure() {
        let profile = vm.profile.clone();
        world.profile_failed(now, &profile, why);
    }
}
