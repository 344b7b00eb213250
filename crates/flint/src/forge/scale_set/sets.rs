//! The scale sets themselves: found by name, made when missing, never deleted; and the runners of one.

use super::message::Statistics;
use super::refusal::Subject;
use super::{Ask, Error, SETS, ScaleSets};
use crate::forge::{Registered, RunnerGroup};
use crate::text;
use flint_core::id::{RunnerId, RunnerName};
use flint_wire::Secret;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt;

/// GitHub's own group, which every place has. Case does not matter.
const DEFAULT_GROUP: &str = "default";
/// As the guest's image has it.
const WORK_FOLDER: &str = "_work";

/// GitHub's number of a scale set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId(pub u64);

/// A scale set as GitHub has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScaleSet {
    /// GitHub's number.
    pub id: SetId,
    /// Its name.
    pub name: String,
    /// The number of its runner group.
    pub group: u64,
    /// What `runs-on` may ask for: its name only where that is among them.
    pub labels: BTreeSet<String>,
}

/// A scale set as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name, one of its kind in the group.
    pub name: String,
    /// Its runner group.
    pub group: RunnerGroup,
    /// What `runs-on` may ask for beside the name. Servers before Enterprise Server 3.18 silently keep the name alone.
    pub labels: BTreeSet<String>,
}

impl Wanted {
    /// Its labels at GitHub, which compares nothing else and no case: its name first, as Actions Runner Controller has it.
    fn all_labels(&self) -> Vec<&str> {
        let is_other = |label: &&str| label.to_lowercase() != self.name.to_lowercase();
        let others = self.labels.iter().map(String::as_str).filter(is_other);
        std::iter::once(self.name.as_str()).chain(others).collect()
    }
}

#[derive(Deserialize)]
struct List<T> {
    #[serde(default = "Vec::new")]
    value: Vec<T>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    id: u64,
    name: String,
    #[serde(default)]
    is_default_group: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    id: u64,
    name: String,
    #[serde(default)]
    runner_group_id: u64,
    #[serde(default)]
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct Label {
    name: String,
}

#[derive(Deserialize)]
struct Made {
    runner: Runner,
    #[serde(rename = "encodedJITConfig")]
    jit_config: Secret,
}

#[derive(Deserialize)]
struct Runner {
    id: u64,
}

impl ScaleSets {
    /// Finds the set of that name in its group, or makes it. Its labels are left as they are: see [`Self::relabel`].
    ///
    /// # Errors
    /// [`Error::NoGroup`], and whatever GitHub refuses.
    pub async fn ensure(&self, wanted: &Wanted) -> Result<ScaleSet, Error> {
        let group = self.group(&wanted.group).await?;
        if let Some(found) = self.find(group, &wanted.name).await? {
            return Ok(found);
        }
        let mut body = shape(wanted);
        body["name"] = wanted.name.clone().into();
        body["runnerGroupId"] = group.into();
        let (path, subject) = (SETS, Subject::Service);
        let ask = Ask {
            method: Method::POST,
            path: &path,
            query: &[],
            body: Some(body),
            set: None,
            subject,
        };
        let made = match self.ask(ask).await {
            Ok(reply) => reply.json::<Shown>()?.into(),
            // Somebody made it at the same time, or an earlier try did whose answer was lost.
            Err(refused @ Error::Refused { status: 409, .. }) => {
                return self.find(group, &wanted.name).await?.ok_or(refused);
            }
            Err(other) => return Err(other),
        };
        tracing::info!(set = %made, "made a scale set");
        Ok(made)
    }

    /// Gives a set our labels, if it has others.
    ///
    /// # Errors
    /// [`Error::SetGone`], and whatever GitHub refuses.
    pub async fn relabel(&self, set: &ScaleSet, wanted: &Wanted) -> Result<ScaleSet, Error> {
        if lower(&set.labels) == lower(wanted.all_labels()) {
            return Ok(set.clone());
        }
        let id = set.id.to_string();
        let path = [&SETS[..], &[&id]].concat();
        let (method, body, subject) = (Method::PATCH, Some(shape(wanted)), Subject::Set(&set.name));
        let ask = Ask { method, path: &path, query: &[], body, set: Some(set.id), subject };
        Ok(self.ask(ask).await?.json::<Shown>()?.into())
    }

    /// Makes the one-job registration of a runner of this set. Not idempotent: never call it twice with one name.
    ///
    /// # Errors
    /// [`Error::NameTaken`], [`Error::SetGone`], and whatever else GitHub refuses.
    pub async fn jit(&self, set: &ScaleSet, name: &RunnerName) -> Result<Registered, Error> {
        let id = set.id.to_string();
        let path = [&SETS[..], &[&id, "generatejitconfig"]].concat();
        let body = Some(json!({ "name": name.as_str(), "workFolder": WORK_FOLDER }));
        let (method, subject) = (Method::POST, Subject::Runner(&set.name));
        let ask = Ask { method, path: &path, query: &[], body, set: Some(set.id), subject };
        let Made { runner, jit_config } = self.ask(ask).await?.json()?;
        let (_, ca_certificates) = self.connections.server();
        Ok(Registered { runner: RunnerId(runner.id), jit_config, ca_certificates })
    }

    /// How things stand with a set, if GitHub says so: messages tell it only when something happens.
    ///
    /// # Errors
    /// [`Error::SetGone`], and whatever else GitHub refuses.
    pub async fn statistics(&self, set: &ScaleSet) -> Result<Option<Statistics>, Error> {
        let id = set.id.to_string();
        let path = [&SETS[..], &[&id]].concat();
        let (method, subject) = (Method::GET, Subject::Set(&set.name));
        let ask = Ask { method, path: &path, query: &[], body: None, set: Some(set.id), subject };
        let shown: Value = self.ask(ask).await?.json()?;
        Ok(Statistics::read(&shown["statistics"]))
    }

    async fn group(&self, group: &RunnerGroup) -> Result<u64, Error> {
        let name = match group {
            RunnerGroup::Number(number) => return Ok(*number),
            RunnerGroup::Name(name) => name.as_str(),
        };
        // The official client asks with the slash at the end.
        let path = ["_apis", "runtime", "runnergroups", ""];
        let (method, query, subject) = (Method::GET, [("groupName", name)], Subject::Service);
        let ask = Ask { method, path: &path, query: &query, body: None, set: None, subject };
        let List::<Group> { value } = self.ask(ask).await?.json()?;
        let is_it = |group: &&Group| {
            let default = group.is_default_group && name.eq_ignore_ascii_case(DEFAULT_GROUP);
            default || group.name.eq_ignore_ascii_case(name)
        };
        let found = value.iter().find(is_it).map(|group| group.id);
        found.ok_or_else(|| Error::NoGroup { name: text::line(name) })
    }

    async fn find(&self, group: u64, name: &str) -> Result<Option<ScaleSet>, Error> {
        let number = group.to_string();
        let query = [("runnerGroupId", number.as_str()), ("name", name)];
        let (method, path, subject) = (Method::GET, SETS, Subject::Service);
        let ask = Ask { method, path: &path, query: &query, body: None, set: None, subject };
        let List::<Shown> { value } = self.ask(ask).await?.json()?;
        let is_it =
            |shown: &Shown| shown.name.eq_ignore_ascii_case(name) && shown.runner_group_id == group;
        Ok(value.into_iter().find(is_it).map(ScaleSet::from))
    }
}

impl ScaleSet {
    /// The labels that were wanted and that GitHub did not take over.
    #[must_use]
    pub fn lacks(&self, wanted: &Wanted) -> Vec<String> {
        let have = lower(&self.labels);
        let wanted = wanted.all_labels().into_iter();
        wanted.filter(|label| !have.contains(&label.to_lowercase())).map(str::to_owned).collect()
    }
}

impl From<Shown> for ScaleSet {
    fn from(shown: Shown) -> Self {
        let labels = shown.labels.iter().map(|label| text::line(&label.name)).collect();
        ScaleSet {
            id: SetId(shown.id),
            name: text::line(&shown.name),
            group: shown.runner_group_id,
            labels,
        }
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Display for ScaleSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id)
    }
}

/// What a set of ours is, beside its name and group. Its runners take one job and are never updated: their image is.
fn shape(wanted: &Wanted) -> Value {
    let label = |name: &str| json!({ "name": name, "type": "System" });
    json!({
        "labels": wanted.all_labels().into_iter().map(label).collect::<Vec<_>>(),
        "RunnerSetting": { "ephemeral": true, "disableUpdate": true },
    })
}

/// GitHub compares labels without regard to case.
fn lower(labels: impl IntoIterator<Item = impl AsRef<str>>) -> BTreeSet<String> {
    labels.into_iter().map(|label| label.as_ref().to_lowercase()).collect()
}
