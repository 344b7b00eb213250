//! The network of this host's slots: the real [`Net`].

use super::bridge::{self, Bridge};
use super::build::Wanted;
use super::derive;
use super::names::{self, Names, Served, kept};
use super::netlink::Links;
use super::{
    Attached, Egress, Error, Finding, Ipv6, Net, Options, Refusals, build, check, nft, refusals,
    resolver, rules, told, worker,
};
use crate::sys::netns;
use flint_core::id::Slot;
use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, PoisonError};

/// Held by the thread that works on a slot; handed on in the order of asking.
type Turn = tokio::sync::Mutex<()>;

/// Slots as network namespaces of this host.
#[derive(Debug)]
pub struct HostNet {
    options: Arc<Options>,
    /// One piece of work per slot at a time. An order that was given up may still run on its thread.
    turns: Mutex<BTreeMap<Slot, Arc<Turn>>>,
    /// One looks for the bridge, and makes it, at a time.
    bridge_turn: Turn,
    /// For guests that may reach only certain names.
    names: Option<Names>,
}

impl HostNet {
    /// Checks the options; touches nothing yet.
    ///
    /// # Errors
    /// [`Error::Prefix`], [`Error::SlotBeyondPool`] when not even the first slot fits, [`Error::Uplink`].
    pub fn new(options: Options) -> Result<Self, Error> {
        derive::check_prefix(&options.prefix)?;
        options.place(Slot(0))?;
        if let Some(bridge) = &options.bridge {
            let public = matches!(options.ipv6, Ipv6::Prefix(prefix) if prefix.length() == 64);
            if !rules::is_plain(&bridge.name) || (options.ipv6 != Ipv6::Off && !public) {
                return Err(bridge.refused(bridge::Error::Options));
            }
        }
        match options.uplink.as_ref().filter(|name| !rules::is_plain(name)) {
            Some(name) => Err(Error::Uplink { name: name.clone() }),
            None => {
                let (options, turns) = (Arc::new(options), Mutex::default());
                Ok(HostNet { options, turns, bridge_turn: Turn::default(), names: None })
            }
        }
    }

    /// Serves guests that may reach only certain names, those of an earlier daemon at once.
    ///
    /// # Errors
    /// [`Error::Names`], and whatever keeps from looking.
    pub async fn with_names(mut self, names: Names) -> Result<Self, Error> {
        let attached = self.attached().await?;
        let kept = attached.into_iter().map(|slot| kept::read(&self.options, slot));
        let kept: Vec<_> = kept.filter_map(Result::transpose).collect::<Result<_, _>>()?;
        if !kept.is_empty() {
            names.resume(kept).await;
        }
        self.names = Some(names);
        Ok(self)
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

    /// Makes the bridge of classic mode, or what of it is missing; says whether there is one to make.
    ///
    /// # Errors
    /// [`Error::Bridge`], and whatever the kernel has against it.
    pub async fn raise_bridge(&self) -> Result<bool, Error> {
        let _turn = self.bridge_turn.lock().await;
        let (options, Some(bridge)) = (self.options.clone(), self.options.bridge.clone()) else {
            return Ok(false);
        };
        worker::run(move || bridge::up(&options, &bridge)).await.map(|()| true)
    }

    /// Removes the bridge of classic mode; says whether there was one.
    ///
    /// # Errors
    /// [`Error::Bridge`], and whatever the kernel has against it.
    pub async fn lower_bridge(&self) -> Result<bool, Error> {
        self.at_bridge(|options, bridge| {
            worker::drive(async { bridge::lower(options, bridge, &Links::here()?).await })
        })
        .await
        .map(|lowered| lowered.unwrap_or(false))
    }

    /// What there is of the bridge; `None` without classic mode, or without a namespace to look into.
    ///
    /// # Errors
    /// [`Error`] when it cannot be looked at.
    pub async fn bridge(&self) -> Result<Option<bridge::State>, Error> {
        self.at_bridge(|options, bridge| {
            worker::drive(async { bridge::look(options, bridge, &Links::here()?).await })
        })
        .await
    }

    /// Runs `work` in the uplink's namespace, if there is a bridge to work on.
    async fn at_bridge<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Options, &Bridge) -> Result<T, Error> + Send + 'static,
    ) -> Result<Option<T>, Error> {
        let options = self.options.clone();
        worker::run(move || match &options.bridge {
            Some(bridge) if worker::enter_uplink_if_there(&options)? => {
                work(&options, bridge).map(Some)
            }
            _ => Ok(None),
        })
        .await
    }

    /// What no waiting heals, and would make each microVM's start fail: somebody else's bridge.
    ///
    /// # Errors
    /// [`Error::Bridge`], and whatever keeps from looking.
    pub async fn usable(&self) -> Result<(), Error> {
        self.at_bridge(|options, bridge| {
            worker::drive(async { bridge::find(options, bridge, &Links::here()?).await })
        })
        .await
        .map(drop)
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
    async fn attach(&self, slot: Slot, uid: u32, egress: &Egress) -> Result<Attached, Error> {
        let Options { ipv6, .. } = &*self.options;
        let place = self.options.place(slot)?;
        let dns = match self.options.dns.as_slice() {
            [] => resolver::of_host(*ipv6),
            some => some.to_vec(),
        };
        let served = egress.names().map(|names| Served {
            slot,
            netns: place.netns.clone(),
            names: names.to_vec(),
            audit: egress.audit,
            dns: dns.clone(),
            ipv6: *ipv6 != Ipv6::Off,
        });
        let names = match (&self.names, &served) {
            (None, Some(_)) => return Err(names::Error::Absent { slot }.into()),
            (names, _) => names.as_ref().filter(|_| served.is_some()),
        };
        self.raise_bridge().await?;
        let attached = told::attached(&place, told::resolvers(egress, *ipv6, &dns));
        let (kept, egress) = (served.clone(), egress.clone());
        self.in_turn(slot, move |options| {
            kept::write(options, slot, kept.as_ref())?;
            let (place, dns, egress) = (&place, dns.as_slice(), &egress);
            build::attach(Wanted { options, place, dns, owner: uid, egress })
        })
        .await?;
        if let Some((names, served)) = names.zip(served) {
            names.serve(served).await?;
        }
        Ok(attached)
    }

    async fn detach(&self, slot: Slot) -> Result<(), Error> {
        if let Some(names) = &self.names {
            names.forget(slot).await;
        }
        self.in_turn(slot, move |options| {
            build::detach(options, slot)?;
            Ok(kept::write(options, slot, None)?)
        })
        .await
    }

    async fn refusals(&self, slot: Slot) -> Result<Refusals, Error> {
        let path = derive::netns_of(&self.options.prefix, slot);
        let mut found = self
            .in_turn(slot, move |_| match netns::open(&path) {
                // Gone, or only its name is there.
                Err(_) => Ok(Refusals::default()),
                Ok(namespace) => match netns::enter(namespace.as_fd()) {
                    Err(_) => Ok(Refusals::default()),
                    Ok(()) => refusals::read(&path.display().to_string()),
                },
            })
            .await?;
        if let Some(names) = &self.names {
            let (asked, audit) = names.refused(slot).await;
            let tally = if audit { &mut found.noted } else { &mut found.refused };
            tally.names = asked;
        }
        Ok(found)
    }

    async fn attached(&self) -> Result<BTreeSet<Slot>, Error> {
        let options = self.options.clone();
        worker::run(move || {
            let failed =
                |source| Error::Namespace { verb: "list", path: netns::NAMED.into(), source };
            let mut names = netns::names().map_err(failed)?;
            if worker::enter_uplink_if_there(&options)? {
                names.extend(worker::drive(async { Links::here()?.names().await })?);
            }
            Ok(names.iter().filter_map(|name| derive::slot_of(&options.prefix, name)).collect())
        })
        .await
    }
}
