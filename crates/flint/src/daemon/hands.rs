//! What orders are carried out with: GitHub, the host, the clock, and what the configuration says of each profile.

use crate::host::Host;
use crate::images::Source;
use crate::net::Egress;
use crate::vmm::DiskRate;
use flint_core::id::ProfileId;
use flint_core::profile::Profile;
use flint_core::world::World;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// What the configuration says of a profile beyond what the core decides with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// As the core sees it.
    pub profile: Profile,
    /// Its kernel and image.
    pub source: Source,
    /// The images that jobs may ask for instead, by name.
    pub images: BTreeMap<String, PathBuf>,
    /// Where its guests may go.
    pub egress: Egress,
    /// How much of each disk its guests may have.
    pub disk_rate: DiskRate,
}

impl Recipe {
    /// The kernel, and the image of this name; its own if it has none of that name, or none is asked for.
    #[must_use]
    pub fn source(&self, image: Option<&str>) -> Source {
        let asked = image.and_then(|name| self.images.get(name));
        let image = asked.unwrap_or(&self.source.image).clone();
        Source { image, ..self.source.clone() }
    }
}

/// All that the configuration says, by profile.
#[derive(Clone, Debug, Default)]
pub struct Recipes(pub BTreeMap<ProfileId, Recipe>);

impl Recipes {
    /// A profile as the configuration has it, or as it was made for a size of one of these.
    #[must_use]
    pub fn of(&self, world: &World, id: &ProfileId) -> Option<(&Recipe, Profile)> {
        if let Some(recipe) = self.0.get(id) {
            return Some((recipe, recipe.profile.clone()));
        }
        let recipe = self.0.get(world.family(id))?;
        Some((recipe, world.profiles.get(id)?.clone()))
    }
}

/// What orders are carried out with.
pub struct Hands<F, V, N, I, C> {
    /// GitHub.
    pub forge: Arc<F>,
    /// The host.
    pub host: Arc<Host<V, N, I>>,
    /// Tells when a question was asked.
    pub clock: Arc<C>,
}
