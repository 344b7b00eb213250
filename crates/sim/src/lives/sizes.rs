//! Jobs that ask for a size by a label.

use super::life::Life;
use flint_core::id::ProfileId;
use flint_core::profile::Profile;

impl Life {
    /// The profile's own label, or one that asks for a size of it that any host has.
    pub(super) fn sized(&mut self, own: String) -> String {
        let offers = |p: &Profile| p.sizes.as_ref().is_some_and(|sizes| sizes.prefix == own);
        if !self.setup.profiles.values().any(offers) || !self.rng.chance(400) {
            return own;
        }
        let warm = |p: &Profile| {
            p.sizes.as_ref().is_some_and(|sizes| sizes.prefix == own && sizes.warm > 0)
        };
        let most = if self.setup.profiles.values().any(warm) { 4 } else { 3 };
        match self.rng.below(most) {
            0 => format!("{own}-{}cpu", self.rng.between(1, 4)),
            3 => format!("{own}-{}cpu-warm", self.rng.between(1, 2)),
            1 => format!("{}-1gb-{}cpu", own.to_ascii_uppercase(), self.rng.between(1, 2)),
            _ => format!("{own}-x64-disk10gb"),
        }
    }

    /// A profile as the daemon has it, sizes too; one that it has forgotten as the configuration has it.
    pub(super) fn profile(&self, id: &ProfileId) -> &Profile {
        self.daemon.stored.profiles.get(id).unwrap_or_else(|| &self.setup.profiles[id])
    }
}
