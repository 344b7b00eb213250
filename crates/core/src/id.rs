//! Names of things, and how they print. An id's printed form is the name used on hosts and at GitHub.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// One microVM. Handed out once, never reused; prints as `vm-42`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VmId(pub u64);

/// One host. Prints as `h-0`; a daemon that owns one host calls it `h-0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HostId(pub u32);

/// One place on a host, from 0. Gives the microVM its namespace, addresses, uid and CID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Slot(pub u16);

/// The name of a profile in the configuration: 1 to 24 of `a-z 0-9 -`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProfileId(Arc<str>);

/// A place at GitHub where runners are registered, in lower case: an organization (`acme`), a repository (`acme/web`), or
/// an enterprise (`enterprises/acme`; no account can have that login).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScopeId(Arc<str>);

/// Whose calls GitHub counts together: an App on one account, or one person's token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstallationId(Arc<str>);

/// One attempt of one workflow job. GitHub gives each attempt a new id; the attempt is kept for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct JobKey {
    /// `workflow_job.id`.
    pub id: u64,
    /// `workflow_job.run_attempt`, from 1.
    pub attempt: u32,
}

/// GitHub's number for a registered runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunnerId(pub u64);

/// GitHub's name for a runner: the microVM's id, the profile, the daemon's instance, the try.
///
/// At most 64 of `A-Za-z0-9-` (a limit seen in the field): `vm-42-default-k3x9q2`, then
/// `vm-42-default-k3x9q2-2` when the first name's fate is unknown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunnerName(Arc<str>);

/// A text that is no id of the wanted kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {wanted}")]
pub struct BadId {
    /// What was given.
    pub text: String,
    /// What it should have been, with an example.
    pub wanted: &'static str,
}

impl ProfileId {
    /// Checks the rule above: names go into runner names, metric labels and paths.
    ///
    /// # Errors
    /// [`BadId`] when the text is empty, too long or has other characters.
    pub fn new(text: &str) -> Result<Self, BadId> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let fits = (1..=24).contains(&text.len()) && text.chars().all(plain);
        if fits && !text.starts_with('-') && !text.ends_with('-') {
            return Ok(ProfileId(text.into()));
        }
        let wanted = "a profile name: 1 to 24 of a-z, 0-9 and inner `-`, such as `linux-4cpu`";
        Err(BadId { text: text.to_owned(), wanted })
    }

    /// The name as written in the configuration.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether both are one text in memory: quick, and no more than a sign that they are equal.
    pub(crate) fn is(&self, other: &ProfileId) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl ScopeId {
    /// What comes before an enterprise's slug.
    const ENTERPRISES: &str = "enterprises/";

    /// All repositories of an organization, by its login.
    #[must_use]
    pub fn organization(login: &str) -> Self {
        ScopeId(login.to_ascii_lowercase().into())
    }

    /// One repository.
    #[must_use]
    pub fn repository(owner: &str, name: &str) -> Self {
        ScopeId(format!("{owner}/{name}").to_ascii_lowercase().into())
    }

    /// All organizations of an enterprise, by its slug.
    #[must_use]
    pub fn enterprise(slug: &str) -> Self {
        ScopeId(format!("{}{slug}", Self::ENTERPRISES).to_ascii_lowercase().into())
    }

    /// Reads what [`fmt::Display`] writes, in any case.
    ///
    /// # Errors
    /// [`BadId`] when the text is not one name, or two with a `/` between them.
    pub fn new(text: &str) -> Result<Self, BadId> {
        let plain = |part: &str| {
            !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        };
        if text.split('/').count() <= 2 && text.split('/').all(plain) {
            return Ok(ScopeId(text.to_ascii_lowercase().into()));
        }
        let wanted = "an organization, a repository or an enterprise: `acme`, `acme/web`, `enterprises/acme`";
        Err(BadId { text: text.to_owned(), wanted })
    }

    /// Whether a job of `repository` (`owner/name`) can reach runners that are registered there. GitHub's names ignore
    /// case. Which organizations an enterprise has no name tells: it may be any.
    #[must_use]
    pub fn covers(&self, repository: &str) -> bool {
        let Some((owner, _)) = repository.split_once('/') else { return false };
        if self.is_enterprise() {
            return true;
        }
        let named = if self.0.contains('/') { repository } else { owner };
        named.eq_ignore_ascii_case(&self.0)
    }

    /// The one of `scopes` that a repository is of: itself if it is one, else its owner's organization, else the enterprise.
    pub fn of<'a>(
        scopes: impl Iterator<Item = &'a ScopeId>,
        repository: &str,
    ) -> Option<&'a ScopeId> {
        let covering = scopes.filter(|scope| scope.covers(repository));
        // The longest is the repository itself, except that an enterprise's is long and covers everything.
        covering.max_by_key(|scope| (!scope.is_enterprise(), scope.as_str().len()))
    }

    /// Whether it is an enterprise: what nobody else covers is its.
    #[must_use]
    pub fn is_enterprise(&self) -> bool {
        self.0.starts_with(Self::ENTERPRISES)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl InstallationId {
    /// Of a text that no other installation of the daemon has: it stands in metrics and in the event log.
    #[must_use]
    pub fn new(text: &str) -> Self {
        InstallationId(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl RunnerName {
    /// The name for a microVM's `attempt`-th registration (from 1).
    #[must_use]
    pub fn of(vm: VmId, profile: &ProfileId, instance: &str, attempt: u32) -> Self {
        match attempt {
            0 | 1 => RunnerName(format!("{vm}-{profile}-{instance}").into()),
            n => RunnerName(format!("{vm}-{profile}-{instance}-{n}").into()),
        }
    }

    /// A name told by GitHub, whoever made it.
    #[must_use]
    pub fn told(text: &str) -> Self {
        RunnerName(text.into())
    }

    /// The microVM that this name belongs to, if `instance` made the name.
    ///
    /// The last piece is the instance or a try. A try is at most five digits and an instance is six
    /// characters, so another daemon's profile that looks like our instance does not make its runner ours.
    #[must_use]
    pub fn vm(&self, instance: &str) -> Option<VmId> {
        self.read(instance).map(|(vm, _)| vm)
    }

    /// The profile that this name tells, if `instance` made the name.
    #[must_use]
    pub fn profile(&self, instance: &str) -> Option<ProfileId> {
        self.read(instance).map(|(_, profile)| profile)
    }

    fn read(&self, instance: &str) -> Option<(VmId, ProfileId)> {
        let (number, rest) = self.0.strip_prefix("vm-")?.split_once('-')?;
        let rest = match rest.rsplit_once('-') {
            Some((head, try_)) if try_.len() < 6 && plain_number(try_).is_some_and(|n| n > 1) => {
                head
            }
            Some(_) | None => rest,
        };
        let (profile, maker) = rest.rsplit_once('-')?;
        let profile = ProfileId::new(profile).ok().filter(|_| maker == instance)?;
        plain_number(number).map(|number| (VmId(number), profile))
    }

    /// The name as GitHub shows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A number as we print numbers: no sign, no leading zero. One id must not have two spellings.
fn plain_number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|n: &u64| n.to_string() == text)
}

impl fmt::Display for VmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "vm-{}", self.0)
    }
}

impl FromStr for VmId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let number = text.strip_prefix("vm-").and_then(plain_number).map(VmId);
        number.ok_or_else(|| BadId { text: text.to_owned(), wanted: "a microVM, such as `vm-42`" })
    }
}

impl fmt::Display for HostId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "h-{}", self.0)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for ProfileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for ScopeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for InstallationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RunnerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RunnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for JobKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(name: &str) -> ProfileId {
        ProfileId::new(name).expect("a test's profile name is right")
    }

    #[test]
    fn a_runner_name_leads_back_to_its_microvm() {
        for name in ["default", "linux-4cpu", "a", "2", "x-2", "k3x9q2", "a-k3x9q2", "7-000002"] {
            for attempt in [1, 2, 17, 99_999] {
                for instance in ["k3x9q2", "000002", "aaaaaa"] {
                    let runner = RunnerName::of(VmId(42), &profile(name), instance, attempt);
                    assert_eq!(runner.vm(instance), Some(VmId(42)), "{runner}");
                    assert!(runner.as_str().len() <= 64);
                }
            }
        }
    }

    #[test]
    fn a_runner_name_of_another_daemon_is_not_ours() {
        for name in ["default", "k3x9q2", "a-k3x9q2", "k3x9q2-2"] {
            for instance in ["zzzzzz", "000002", "123456"] {
                for attempt in [1, 2] {
                    let runner = RunnerName::of(VmId(42), &profile(name), instance, attempt);
                    assert_eq!(runner.vm("k3x9q2"), None, "{runner}");
                }
            }
        }
    }

    #[test]
    fn a_name_that_only_looks_like_ours_is_not_ours() {
        for name in [
            "",
            "vm-",
            "vm-1",
            "vm-1-k3x9q2",
            "vm-+1-default-k3x9q2",
            "vm-01-default-k3x9q2",
            "vm-x-default-k3x9q2",
            "vm-1-default-k3x9q2-1",
            "vm-1-default-k3x9q2-02",
            "vm-1-default-k3x9q2x",
            "vm-1-Default-k3x9q2",
            "vm-1--k3x9q2",
            "GitHub Actions 12",
        ] {
            assert_eq!(RunnerName::told(name).vm("k3x9q2"), None, "{name}");
        }
    }

    #[test]
    fn a_scope_covers_its_own_repositories_whatever_their_case() {
        let scopes = [
            ScopeId::organization("Acme"),
            ScopeId::repository("Acme", "Web"),
            ScopeId::enterprise("Acme"),
        ];
        let covered = |name: &str| scopes.each_ref().map(|scope| scope.covers(name));
        assert_eq!(covered("ACME/web"), [true, true, true]);
        assert_eq!(covered("acme/api"), [true, false, true]);
        assert_eq!(covered("acme-x/web"), [false, false, true]);
        assert_eq!(covered("acme"), [false, false, false]);
        assert_eq!(covered("enterprises/acme"), [false, false, true]);
    }

    #[test]
    fn a_scope_is_read_as_it_is_written() {
        for (scope, text) in [
            (ScopeId::organization("Acme"), "acme"),
            (ScopeId::repository("Acme", "Web.x"), "acme/web.x"),
            (ScopeId::enterprise("Acme-Corp"), "enterprises/acme-corp"),
        ] {
            assert_eq!(scope.to_string(), text);
            assert_eq!(ScopeId::new(&text.to_ascii_uppercase()), Ok(scope));
        }
        for text in ["", "/", "acme/", "/web", "a/b/c", "a b", "ä"] {
            assert!(ScopeId::new(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_microvm_has_one_spelling() {
        assert_eq!("vm-42".parse(), Ok(VmId(42)));
        for text in ["42", "vm-", "vm-042", "vm-+42", "vm--1", "VM-1", "vm-99999999999999999999"] {
            let error = text.parse::<VmId>().expect_err("is no microVM");
            assert_eq!(error.to_string(), format!("`{text}` is not a microVM, such as `vm-42`"));
        }
    }

    #[test]
    fn a_profile_name_is_safe_in_paths_and_runner_names() {
        assert!(ProfileId::new("linux-4cpu").is_ok());
        for text in ["", "-a", "a-", "A", "a b", "a/b", "ä", "aaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert!(ProfileId::new(text).is_err(), "{text}");
        }
    }
}
