//! The network of this host's slots: the real [`Net`].

use super::derive::{self, GATEWAY, GUEST, GUEST_NETWORK, Place, TAP};
use super::netlink::Links;
use super::{Attached, Error, Finding, Net, Options, build, check, nft, resolver, rules, worker};
use crate::sys::netns;
use crate::vmm::Nic;
use flint_core::id::Slot;
use flint_wire::Network;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// Held by the thread that works on a slot; handed on in the order of asking.
type Turn = tokio::sync::Mutex<()>;

/// Slots as network namespaces of this host.
#[derive(Debug)]
pub struct HostNet {
    options: Arc<Options>,
    /// One piece of work per slot at a time. An order that was given up may still run on its thread.
    turns: Mutex<BTreeMap<Slot, Arc<Turn>>>,
}

impl HostNet {
    /// Checks the options; touches nothing yet.
    ///
    /// # Errors
    /// [`Error::Prefix`], [`Error::SlotBeyondPool`] when not even the first slot fits, [`Error::Uplink`].
    pub fn new(options: Options) -> Result<Self, Error> {
        derive::check_prefix(&options.prefix)?;
        Place::of(&options.prefix, options.pool, Slot(0))?;
        match options.uplink.as_ref().filter(|name| !rules::is_plain(name)) {
            Some(name) => Err(Error::Uplink { name: name.clone() }),
            None => Ok(HostNet { options: Arc::new(options), turns: Mutex::default() }),
        }
    }

    /// Removes what all slots share in the uplink's namespace, unless a slot is still attached; says whether it
    /// did. The settings in `docs/design/004-network-and-disks.md` stay as they are.
    ///
    /// # Errors
    /// [`Error`] when it may still be there.
    pub async fn teardown_uplink(&self) -> Result<bool, Error> {
        if !self.attached().await?.is_empty() {
            return Ok(false);
        }
        let options = self.options.clone();
        worker::run(move || match worker::enter_uplink_if_there(&options)? {
            true => nft::load("the uplink", &rules::no_uplink(&options.prefix))?.finish(),
            false => Ok(()),
        })
        .await?;
        Ok(true)
    }

    /// What of this host stands in guests' way, for `flint doctor`.
    ///
    /// # Errors
    /// [`Error`] when it cannot be looked at; [`Error::NftMissing`] among them.
    pub async fn check(&self) -> Result<Vec<Finding>, Error> {
        let options = self.options.clone();
        worker::run(move || check::look(&options)).await
    }

    fn turn_of(&self, slot: Slot) -> Arc<Turn> {
        // The map is whole even if somebody panicked beside it.
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(slot).or_default().clone()
    }

    /// Runs `work` on a thread of its own, after all earlier work for this slot.
    async fn in_turn<T: Send + 'static>(
        &self,
        slot: Slot,
        work: impl FnOnce(&Options) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let turn = self.turn_of(slot).lock_owned().await;
        let options = self.options.clone();
        worker::run(move || {
            let _turn = turn;
            work(&options)
        })
        .await
    }
}

impl Net for HostNet {
    async fn attach(&self, slot: Slot, uid: u32) -> Result<Attached, Error> {
        let place = Place::of(&self.options.prefix, self.options.pool, slot)?;
        self.in_turn(slot, move |options| {
            let dns = match options.dns.as_slice() {
                [] => resolver::of_host(),
                some => some.to_vec(),
            };
            build::attach(options, &place, &dns, uid)?;
            let nic = Nic {
                netns: place.netns,
                tap: TAP.to_owned(),
                mac: derive::mac_text(derive::mac_of(GUEST)),
            };
            let guest = Network {
                address: format!("{GUEST}/{GUEST_NETWORK}"),
                gateway: GATEWAY.to_string(),
                dns: dns.iter().map(ToString::to_string).collect(),
            };
            Ok(Attached { nic, guest })
        })
        .await
    }

    async fn detach(&self, slot: Slot) -> Result<(), Error> {
        let veth = derive::veth_of(&self.options.prefix, slot);
        let path = derive::netns_of(&self.options.prefix, slot);
        self.in_turn(slot, move |options| build::detach(options, &veth, &path)).await
    }

    async fn attached(&self) -> Result<BTreeSet<Slot>, Error> {
        let options = self.options.clone();
        worker::run(move || {
            let failed = |source| Error::Namespace {
                verb: "list",
                path: PathBuf::from(netns::NAMED),
                source,
            };
            let mut names = netns::names().map_err(failed)?;
            if worker::enter_uplink_if_there(&options)? {
                names.extend(worker::drive(async { Links::here()?.names().await })?);
            }
            Ok(names.iter().filter_map(|name| derive::slot_of(&options.prefix, name)).collect())
        })
        .await
    }
}
