//! The scale set of a profile, shared by who listens to it and who registers its runners.

use super::sets::{ScaleSet, Wanted};
use super::{Error, ScaleSets, Session, SetId};
use crate::forge::Registered;
use flint_core::id::RunnerName;
use std::sync::{Arc, Mutex, PoisonError};

/// A profile's scale set: as it should be, and as GitHub has it while its session is open.
pub struct ProfileSet {
    sets: Arc<ScaleSets>,
    wanted: Wanted,
    open: Mutex<Option<ScaleSet>>,
}

impl ProfileSet {
    /// Nothing of it is known yet.
    #[must_use]
    pub fn new(sets: Arc<ScaleSets>, wanted: Wanted) -> Self {
        ProfileSet { sets, wanted, open: Mutex::default() }
    }

    /// The calls about it.
    #[must_use]
    pub fn sets(&self) -> &ScaleSets {
        &self.sets
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.wanted.name
    }

    /// Opens its session; one that an earlier life of ours left open is ended first.
    ///
    /// # Errors
    /// As [`ScaleSets::take`].
    pub async fn open(&self, owner: &str, left: Option<(SetId, &str)>) -> Result<Session, Error> {
        let session = self.sets.take_over(&self.wanted, owner, left).await?;
        let lacks = session.set().lacks(&self.wanted);
        if !lacks.is_empty() {
            tracing::warn!(set = %session.set(), ?lacks, "GitHub did not take these labels over: \
                 `runs-on` can ask for the scale set's name alone");
        }
        *self.known() = Some(session.set().clone());
        Ok(session)
    }

    /// Makes the one-job registration of one of its runners. Not idempotent: never call it twice with one name.
    ///
    /// # Errors
    /// [`Error::SessionGone`] while nobody has a session, as nobody knows then which set it is; as [`ScaleSets::jit`].
    pub async fn jit(&self, name: &RunnerName) -> Result<Registered, Error> {
        let known = self.known().clone();
        let set = known.ok_or_else(|| Error::SessionGone {
            call: format!("register `{name}`"),
            set: self.wanted.name.clone(),
            said: "it has not been opened yet".to_owned(),
        })?;
        self.sets.jit(&set, name).await
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Option<ScaleSet>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
