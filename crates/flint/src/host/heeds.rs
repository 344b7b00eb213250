//! Which restrictions an agent keeps, and which one must be kept.

use flint_wire::Work;
use flint_wire::host::Admits;

/// Restrictions of whose jobs may run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heeds {
    /// Jobs of public repositories, of forks.
    pub(super) admits: bool,
    /// Of which repositories.
    pub(super) repositories: bool,
}

impl Heeds {
    /// What a guest with this work must heed.
    pub(super) fn of(work: &Work) -> Heeds {
        match work {
            Work::Runner { admits, repositories, .. } => Heeds {
                admits: admits.is_some_and(|Admits { public, forks }| !public || !forks),
                repositories: repositories.is_some(),
            },
            Work::Command { .. } | Work::Login { .. } => Heeds::default(),
        }
    }

    /// Whether it keeps all that it must.
    pub(super) fn keeps(self, wanted: Heeds) -> bool {
        (self.admits || !wanted.admits) && (self.repositories || !wanted.repositories)
    }
}
