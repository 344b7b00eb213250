//! `launch` and `destroy` as straight lines over three seams: disks, network, VMM.
//!
//! `destroy` needs only the id: it removes whatever is there, and is right after a crash at any point. It leaves a
//! tombstone, so that an order to launch that comes late is refused. What guests say becomes facts in a channel.

pub mod error;
mod follow;
mod greet;
mod guest;
mod heeds;
mod kept;
pub mod layout;
mod locks;
pub mod log;
mod once;
mod pace;
mod refused;
mod scan;
mod told;

#[cfg(test)]
mod tests;

pub use error::Error;
pub use layout::Layout;
pub use refused::Refused;
pub use told::Told;

/// Where a guest's console goes is part of an order to launch.
pub use crate::vmm::{Console, DiskRate};

use crate::images::{Images, Source};
use crate::net::{Egress, Net};
use crate::steps::{self, Step};
use crate::vmm::{Boot, Drive, Vmm};
use flint_core::id::{HostId, Slot, VmId};
use flint_core::units::Resources;
use flint_wire::{ToGuest, Work, frame};
use follow::{Follower, Order, Progress, Setup};
use heeds::Heeds;
use locks::Locks;
use log::Log;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};

/// Tombstones that are kept. Ids only grow, so the oldest are the least likely to be asked for.
const TOMBSTONES_KEPT: usize = 10_000;

/// How long an agent may take to answer after the daemon came back.
const ADOPT_MAX: Duration = Duration::from_secs(60);

/// What is fixed about a host.
#[derive(Clone, Debug)]
pub struct Options {
    /// Its name.
    pub id: HostId,
    /// Its places.
    pub layout: Layout,
    /// The user id of slot 0: the tap of slot `n` belongs to `uid_base + n`.
    pub uid_base: u32,
}

/// An order to start one microVM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaunchOrder {
    /// Its id.
    pub vm: VmId,
    /// Its place.
    pub slot: Slot,
    /// What it takes.
    pub shape: Resources,
    /// Its kernel and image.
    pub source: Source,
    /// Where it may go.
    pub egress: Egress,
    /// How much of each disk.
    pub disk_rate: DiskRate,
    /// How long until its agent must have answered.
    pub boot_timeout: Duration,
    /// Where its console goes.
    pub console: Console,
}

/// A host that runs microVMs.
pub struct Host<V, N, I> {
    options: Options,
    vmm: Arc<V>,
    net: N,
    images: I,
    events: mpsc::Sender<Told>,
    locks: Locks,
    known: Mutex<Known>,
    refused: Arc<Refused>,
}

/// What this daemon has done here so far.
#[derive(Default)]
struct Known {
    guests: BTreeMap<VmId, Guest>,
    slots: BTreeMap<Slot, VmId>,
    tombstones: BTreeSet<VmId>,
    /// One for each guest that is followed; they end with this host, never a guest with them.
    followers: tokio::task::JoinSet<()>,
}

/// A guest that is followed.
#[derive(Clone)]
struct Guest {
    log: Arc<Log>,
    progress: watch::Receiver<Progress>,
    orders: mpsc::Sender<Order>,
}

impl<V: Vmm, N: Net, I: Images> Host<V, N, I> {
    /// A host over these seams. Guests' facts go to `events`; a receiver that is dropped loses them, no more.
    pub fn new(options: Options, vmm: V, net: N, images: I, events: mpsc::Sender<Told>) -> Self {
        let vmm = Arc::new(vmm);
        let (locks, known, refused) = (Locks::default(), Mutex::default(), Arc::default());
        Host { options, vmm, net, images, events, locks, known, refused }
    }

    /// What its guests were refused of the network, all together.
    #[must_use]
    pub fn refusals(&self) -> Arc<Refused> {
        Arc::clone(&self.refused)
    }

    /// Makes disk, network and guest, boots it, and follows it from then on. A guest that is followed already is
    /// left as it is.
    ///
    /// # Errors
    /// [`Error`]; something may be left, which `destroy` removes. Nothing of it is ever resumed.
    pub async fn launch(&self, order: LaunchOrder) -> Result<(), Error> {
        let (vm, slot) = (order.vm, order.slot);
        let _vm = self.locks.vm(vm).await;
        let _slot = self.locks.slot(slot).await;
        if self.known().guests.contains_key(&vm) {
            return Ok(());
        }
        self.not_destroyed(vm)?;
        self.known().slots.insert(slot, vm);
        let disks = |source| Error::Images { vm, source };
        let bundle = self.images.ensure(&order.source).await.map_err(disks)?;
        steps::before(Step::Disk);
        let scratch = self.images.scratch_for(vm, order.shape.disk).await.map_err(disks)?;
        steps::after(Step::Disk);
        self.not_destroyed(vm)?;
        let uid = self.options.uid_base + u32::from(slot.0);
        steps::before(Step::Network);
        let attached = self.net.attach(slot, uid, &order.egress).await;
        let attached = attached.map_err(|source| Error::Net { vm, source })?;
        steps::after(Step::Network);
        self.not_destroyed(vm)?;
        let read_only = |path| Drive { path, writable: false };
        let mut drives = vec![read_only(bundle.base), Drive { path: scratch, writable: true }];
        drives.extend(bundle.modules.map(read_only));
        let boot = Boot {
            vm,
            slot,
            shape: order.shape,
            kernel: bundle.kernel,
            initramfs: bundle.initramfs,
            drives,
            disk_rate: order.disk_rate,
            nic: Some(attached.nic),
            console: order.console,
        };
        self.make_room_for_logs();
        steps::before(Step::Vmm);
        self.vmm.boot(boot).await.map_err(|source| Error::Vmm { vm, source })?;
        steps::after(Step::Vmm);
        self.follow(vm, Some(Setup { network: Some(attached.guest) }), order.boot_timeout);
        Ok(())
    }

    /// Follows a microVM that an earlier daemon started. One that is followed already is left as it is.
    pub fn adopt(&self, vm: VmId, slot: Slot) {
        if !self.known().guests.contains_key(&vm) {
            self.known().slots.insert(slot, vm);
            self.follow(vm, None, ADOPT_MAX);
        }
    }

    /// Removes all traces of an id. What is not there is fine.
    ///
    /// # Errors
    /// [`Error`]; something is left, and the same order removes it another time.
    pub async fn destroy(&self, vm: VmId, slot: Option<Slot>) -> Result<(), Error> {
        // Before the lock: a launch under way stops at its next step.
        self.bury(vm);
        let _vm = self.locks.vm(vm).await;
        let slot = slot.or_else(|| self.slot_of(vm));
        let _slot = match slot {
            Some(slot) => Some(self.locks.slot(slot).await),
            None => None,
        };
        self.vmm.kill(vm).await.map_err(|source| Error::Vmm { vm, source })?;
        // A repeated order may find its slot in other hands.
        if let Some(slot) = slot.filter(|slot| self.owner(*slot).is_none_or(|owner| owner == vm)) {
            self.tell_refusals(vm, slot).await;
            self.net.detach(slot).await.map_err(|source| Error::Net { vm, source })?;
        }
        self.images.drop_for(vm).await.map_err(|source| Error::Images { vm, source })?;
        let mut known = self.known();
        known.guests.remove(&vm);
        known.slots.retain(|_, owner| *owner != vm);
        Ok(())
    }

    /// Hands a guest its work, once it is configured, and returns when it has been written to it.
    ///
    /// # Errors
    /// [`Error::Unknown`], [`Error::Gone`], [`Error::Work`]; [`Error::Armed`] when it has work already.
    pub async fn arm(&self, vm: VmId, work: Work) -> Result<(), Error> {
        let guest = self.known().guests.get(&vm).cloned().ok_or(Error::Unknown { vm })?;
        let wants = Heeds::of(&work);
        let line =
            frame::encode(&ToGuest::Work(work)).map_err(|source| Error::Work { vm, source })?;
        let (taken, written) = oneshot::channel();
        guest.orders.try_send(Order { line, wants, taken }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Armed { vm },
            mpsc::error::TrySendError::Closed(_) => Error::Gone { vm },
        })?;
        written.await.map_err(|_| Error::Gone { vm })
    }

    fn follow(&self, vm: VmId, setup: Option<Setup>, patience: Duration) {
        let file = self.options.layout.log(vm);
        let log = Arc::new(if setup.is_some() { Log::begin(&file) } else { Log::resume(&file) });
        let (progress, watched) = watch::channel(Progress::default());
        // One order in a guest's life.
        let (orders, taking) = mpsc::channel(1);
        let follower = Follower {
            vm,
            vmm: Arc::clone(&self.vmm),
            setup,
            deadline: tokio::time::Instant::now() + patience,
            console: self.options.layout.console(vm),
            log: Arc::clone(&log),
            events: self.events.clone(),
            progress,
            orders: taking,
        };
        let mut known = self.known();
        known.guests.insert(vm, Guest { log, progress: watched, orders });
        while known.followers.try_join_next().is_some() {}
        known.followers.spawn(follower.follow());
    }

    /// The last lines of its log: where it wanted to go and might not.
    async fn tell_refusals(&self, vm: VmId, slot: Slot) {
        let log = self.known().guests.get(&vm).map(|guest| Arc::clone(&guest.log));
        let Some(log) = log else { return };
        match self.net.refusals(slot).await {
            Ok(refusals) => {
                self.refused.add(&refusals);
                log.remark(&refusals.lines());
            }
            Err(error) => tracing::warn!(%vm, %error, "nobody knows what it was refused"),
        }
    }

    fn not_destroyed(&self, vm: VmId) -> Result<(), Error> {
        if self.known().tombstones.contains(&vm) { Err(Error::Destroyed { vm }) } else { Ok(()) }
    }

    fn bury(&self, vm: VmId) {
        let mut known = self.known();
        known.tombstones.insert(vm);
        while known.tombstones.len() > TOMBSTONES_KEPT {
            known.tombstones.pop_first();
        }
    }

    fn slot_of(&self, vm: VmId) -> Option<Slot> {
        self.known().slots.iter().find(|(_, owner)| **owner == vm).map(|(slot, _)| *slot)
    }

    fn owner(&self, slot: Slot) -> Option<VmId> {
        self.known().slots.get(&slot).copied()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
