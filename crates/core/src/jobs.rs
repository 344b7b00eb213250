//! The jobs that have not completed, with the orders in which they are looked at.
//!
//! The rows are the truth; the rest follows from them and is kept only so that a plan need not look at every job.

use crate::id::{JobKey, ProfileId};
use crate::job::{Job, JobState};
use crate::policy::Verdict;
use crate::rows::Rows;
use crate::units::Timestamp;
use serde::de::{Deserialize, Deserializer};
use serde::ser::{Serialize, Serializer};
use std::collections::BTreeMap;
use std::ops::Index;
use std::sync::Arc;

/// Jobs that are alike to a plan.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// Where they stand.
    pub standing: Standing,
    /// `owner/name`.
    pub repository: Arc<str>,
    /// Who serves them; `None`: nobody.
    pub profile: Option<ProfileId>,
}

/// A job's state without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// [`JobState::Queued`], and let in.
    Queued,
    /// [`JobState::Queued`], and nobody knows yet whether it is let in.
    Undecided,
    /// [`JobState::Queued`], and not let in.
    Refused,
    /// [`JobState::Running`].
    Running,
    /// [`JobState::Elsewhere`].
    Elsewhere,
}

/// Jobs of a group, oldest first.
pub type Line = Rows<(Timestamp, JobKey), ()>;

/// All jobs that have not completed.
#[derive(Clone, Debug, Default)]
pub struct Jobs {
    rows: Rows<JobKey, Job>,
    groups: Arc<BTreeMap<Group, Line>>,
    /// By the time at which each row goes although GitHub never said that it completed.
    expiries: Line,
    /// Those that GitHub can be asked for, by the time at which GitHub is asked how they are.
    asks: Line,
}

impl Jobs {
    /// A job's row.
    #[must_use]
    pub fn get(&self, key: &JobKey) -> Option<&Job> {
        self.rows.get(key)
    }

    /// Whether it is known and has not completed.
    #[must_use]
    pub fn contains_key(&self, key: &JobKey) -> bool {
        self.rows.contains_key(key)
    }

    /// All rows.
    #[must_use]
    pub fn rows(&self) -> &Rows<JobKey, Job> {
        &self.rows
    }

    /// All rows, in the order of their keys.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&JobKey, &Job)> + Clone {
        self.rows.iter()
    }

    /// All rows without their keys.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &Job> + Clone {
        self.rows.values()
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds a row, or replaces it.
    pub fn insert(&mut self, key: JobKey, job: Job) {
        self.remove(&key);
        self.enlist(key, &job);
        self.rows.insert(key, job);
    }

    /// Takes a row out.
    pub fn remove(&mut self, key: &JobKey) -> Option<Job> {
        let job = self.rows.remove(key)?;
        self.strike(*key, &job);
        Some(job)
    }

    /// Changes a row, if it is there.
    pub fn update(&mut self, key: JobKey, change: impl FnOnce(&mut Job)) {
        let Some(before) = self.rows.get(&key) else { return };
        let mut job = before.clone();
        change(&mut job);
        if *before != job {
            self.insert(key, job);
        }
    }

    /// The groups that stand so, in the order of their repositories.
    pub fn standing(&self, standing: Standing) -> impl Iterator<Item = (&Group, &Line)> {
        let first = Group { standing, repository: Arc::from(""), profile: None };
        self.groups.range(first..).take_while(move |(group, _)| group.standing == standing)
    }

    /// The profiles of all jobs; one may come more than once.
    pub fn profiles(&self) -> impl Iterator<Item = &ProfileId> {
        self.groups.keys().filter_map(|group| group.profile.as_ref())
    }

    /// All jobs of a repository.
    pub fn of_repository(&self, repository: &str) -> impl Iterator<Item = JobKey> {
        use Standing::{Elsewhere, Queued, Refused, Running, Undecided};
        let all = [Queued, Undecided, Refused, Running, Elsewhere];
        all.into_iter().flat_map(move |standing| {
            let first = Group { standing, repository: repository.into(), profile: None };
            let groups = self.groups.range(first.clone()..);
            groups
                .take_while(move |(group, _)| {
                    group.standing == standing && group.repository == first.repository
                })
                .flat_map(|(_, line)| line.keys().map(|(_, key)| *key))
        })
    }

    /// All jobs of a profile.
    pub fn of_profile(&self, profile: &ProfileId) -> impl Iterator<Item = (JobKey, &Job)> {
        let groups =
            self.groups.iter().filter(move |(group, _)| group.profile.as_ref() == Some(profile));
        let keys = groups.flat_map(|(_, line)| line.keys().map(|(_, key)| *key));
        keys.filter_map(|key| Some((key, self.rows.get(&key)?)))
    }

    /// How many jobs of a profile there are.
    #[must_use]
    pub fn count_of(&self, profile: &ProfileId) -> usize {
        let groups =
            self.groups.iter().filter(|(group, _)| group.profile.as_ref() == Some(profile));
        groups.map(|(_, line)| line.len()).sum()
    }

    /// When the first row goes although GitHub never said that it completed, and which it is.
    #[must_use]
    pub fn first_to_expire(&self) -> Option<(Timestamp, JobKey)> {
        self.expiries.first_key_value().map(|(entry, ())| *entry)
    }

    /// By the time at which GitHub is asked how each is.
    pub fn asks(&self) -> impl Iterator<Item = (Timestamp, JobKey)> {
        self.asks.keys().copied()
    }

    fn enlist(&mut self, key: JobKey, job: &Job) {
        let entry = (job.received, key);
        let group = self.group_of(job);
        Arc::make_mut(&mut self.groups).entry(group).or_default().insert(entry, ());
        self.expiries.insert((job.expires(), key), ());
        if job.can_be_asked_for() {
            self.asks.insert((job.ask_at, key), ());
        }
    }

    fn strike(&mut self, key: JobKey, job: &Job) {
        let group = self.group_of(job);
        let groups = Arc::make_mut(&mut self.groups);
        if let Some(line) = groups.get_mut(&group) {
            line.remove(&(job.received, key));
            if line.is_empty() {
                groups.remove(&group);
            }
        }
        self.expiries.remove(&(job.expires(), key));
        self.asks.remove(&(job.ask_at, key));
    }

    fn group_of(&self, job: &Job) -> Group {
        let standing = match job.state {
            JobState::Queued => match job.verdict {
                Verdict::Admitted => Standing::Queued,
                Verdict::Undecided => Standing::Undecided,
                Verdict::Public | Verdict::Fork | Verdict::Unlisted => Standing::Refused,
            },
            JobState::Running(_) => Standing::Running,
            JobState::Elsewhere => Standing::Elsewhere,
        };
        let repository = job.request.repository.as_str().into();
        Group { standing, repository, profile: job.profile.clone() }
    }
}

impl PartialEq for Jobs {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

impl Eq for Jobs {}

impl Index<&JobKey> for Jobs {
    type Output = Job;

    fn index(&self, key: &JobKey) -> &Job {
        &self.rows[key]
    }
}

impl FromIterator<(JobKey, Job)> for Jobs {
    fn from_iter<I: IntoIterator<Item = (JobKey, Job)>>(entries: I) -> Self {
        let mut jobs = Jobs::default();
        entries.into_iter().for_each(|(key, job)| jobs.insert(key, job));
        jobs
    }
}

impl Serialize for Jobs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Jobs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::<(JobKey, Job)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::VmId;
    use crate::job::JobRequest;
    use crate::policy::Origin;

    fn job(repository: &str, at: u64) -> Job {
        let request = JobRequest {
            repository: repository.to_owned(),
            workflow: String::new(),
            name: String::new(),
            labels: Vec::new(),
            run_id: 1,
            url: String::new(),
            scale_set: None,
            origin: Origin::PRIVATE,
        };
        let profile = ProfileId::new("p").ok();
        Job::queued(request, profile, Timestamp(at))
    }

    fn key(id: u64) -> JobKey {
        JobKey { id, attempt: 1 }
    }

    #[test]
    fn every_order_follows_the_rows() {
        let mut jobs: Jobs = (1..=9).map(|id| (key(id), job("o/r", 100 - id))).collect();
        jobs.insert(key(10), job("o/other", 5));
        jobs.update(key(3), |job| job.state = JobState::Running(VmId(1)));
        jobs.update(key(4), |job| job.ask_at = Timestamp(1));
        jobs.update(key(5), |job| job.verdict = Verdict::Fork);
        jobs.update(key(6), |job| job.verdict = Verdict::Undecided);
        jobs.remove(&key(9));

        let lines: Vec<_> = jobs.standing(Standing::Queued).collect();
        let names = lines.iter().map(|(group, line)| (&*group.repository, line.len()));
        assert_eq!(names.collect::<Vec<_>>(), [("o/other", 1), ("o/r", 5)]);
        assert_eq!(lines[1].1.first_key_value().map(|(entry, ())| entry.1), Some(key(8)));
        for standing in [Standing::Running, Standing::Refused, Standing::Undecided] {
            assert_eq!(jobs.standing(standing).count(), 1, "{standing:?}");
        }
        assert_eq!(jobs.of_repository("o/r").count(), 8);
        assert_eq!(jobs.asks().next(), Some((Timestamp(1), key(4))));
        assert_eq!(jobs.first_to_expire().map(|(_, key)| key), Some(key(10)));

        let again: Jobs = jobs.iter().map(|(key, job)| (*key, job.clone())).collect();
        assert_eq!((&again.groups, &again.asks), (&jobs.groups, &jobs.asks));
        assert_eq!(again.expiries, jobs.expiries);
        jobs.iter().map(|(key, _)| *key).collect::<Vec<_>>().iter().for_each(|key| {
            jobs.remove(key);
        });
        assert!(jobs.groups.is_empty() && jobs.asks.is_empty() && jobs.expiries.is_empty());
    }
}
