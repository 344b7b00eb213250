//! What the work of a guest asks of its agent beyond the first version's: which of it an agent does, and which is needed.

use flint_wire::Work;
use flint_wire::host::Admits;

/// An agent of an earlier version would run anybody's job.
const STRANGERS: &str = "its agent cannot refuse jobs of public repositories, of forks, or of some repositories: build \
    the kernel bundle anew with `make kernel`, or let both in by the profile";

/// There the runner would not reach its GitHub.
const CA_CERTIFICATES: &str = "its agent cannot make the guest trust `github.ca_certificate`: build the kernel bundle \
    anew with `make kernel`";

/// What is beyond the first version's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Heeds {
    /// Jobs of public repositories, of forks, are refused.
    pub(super) admits: bool,
    /// Jobs of some repositories are refused.
    pub(super) repositories: bool,
    /// Certificates of authorities are installed.
    pub(super) ca_certificates: bool,
}

impl Heeds {
    /// What a guest with this work must heed.
    pub(super) fn of(work: &Work) -> Heeds {
        match work {
            Work::Runner { admits, repositories, ca_certificates, .. } => Heeds {
                admits: admits.is_some_and(|Admits { public, forks }| !public || !forks),
                repositories: repositories.is_some(),
                ca_certificates: ca_certificates.is_some(),
            },
            Work::Command { .. } | Work::Login { .. } => Heeds::default(),
        }
    }

    /// Why it cannot have work that wants this.
    pub(super) fn lacks(self, wanted: Heeds) -> Option<&'static str> {
        let refuses =
            (self.admits || !wanted.admits) && (self.repositories || !wanted.repositories);
        let trusts = self.ca_certificates || !wanted.ca_certificates;
        match (refuses, trusts) {
            (false, _) => Some(STRANGERS),
            (true, false) => Some(CA_CERTIFICATES),
            (true, true) => None,
        }
    }
}
