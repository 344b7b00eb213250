//! Removes runners that carry our names and that no row owns.
//!
//! A list found them, so nobody lists for each of them again: there may be hundreds. Nobody waits for them either, so
//! these calls take turns.

use super::{GitHub, Runner, removal};
use crate::forge::rest::now;
use crate::forge::{Error, Removal};
use flint_core::id::VmId;
use flint_core::units::Timestamp;
use reqwest::Method;
use std::collections::{BTreeMap, BTreeSet};

/// Our runners as the last list showed them.
#[derive(Default)]
pub(super) struct Listed {
    /// When it was begun.
    begun: Timestamp,
    runners: BTreeMap<VmId, Vec<Runner>>,
}

impl GitHub {
    /// Lists our runners, and remembers them. Says whose they are.
    pub(super) async fn list_ours(&self) -> Result<BTreeSet<VmId>, Error> {
        let mut listed = self.listed.lock().await;
        self.list_into(&mut listed).await?;
        Ok(listed.runners.keys().copied().collect())
    }

    async fn list_into(&self, listed: &mut Listed) -> Result<(), Error> {
        let begun = now();
        let mut runners = BTreeMap::<VmId, Vec<Runner>>::new();
        for (vm, runner) in self.ours().await?.into_values() {
            runners.entry(vm).or_default().push(runner);
        }
        *listed = Listed { begun, runners };
        Ok(())
    }

    pub(super) async fn remove_stray(&self, vm: VmId) -> Result<Removal, Error> {
        let mut removed = Removal::Gone;
        for runner in self.strays(vm).await? {
            if self.is_still(&runner).await?
                && removal(self.on_runner_in_turn(Method::DELETE, &runner).await)? == Removal::Busy
            {
                removed = Removal::Busy;
            }
        }
        Ok(removed)
    }

    /// What the last list showed of it. One that came after that list is shown by the next, which must begin after this
    /// question.
    async fn strays(&self, vm: VmId) -> Result<Vec<Runner>, Error> {
        let asked = now();
        let mut listed = self.listed.lock().await;
        if !listed.runners.contains_key(&vm) && listed.begun <= asked {
            self.list_into(&mut listed).await?;
        }
        // Once: whatever stays, the next list shows.
        Ok(listed.runners.remove(&vm).unwrap_or_default())
    }

    /// Whether this number is still this runner.
    async fn is_still(&self, runner: &Runner) -> Result<bool, Error> {
        match self.on_runner_in_turn(Method::GET, runner).await {
            Ok(reply) => Ok(reply.json::<Runner>()?.name == runner.name),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }
}
