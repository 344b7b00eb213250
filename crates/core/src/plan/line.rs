//! In which order the queued jobs are looked at: by priority; then the repository that has the least; then the oldest.
//!
//! Fairness is between repositories. A job that runs and a microVM that comes count alike, so that a repository with
//! a thousand jobs and one with a single job each get their turn.

use crate::id::{JobKey, ProfileId, ScopeId};
use crate::jobs::{Group, Line as Queue, Standing};
use crate::limits::owner_of;
use crate::planted::{Fault, is};
use crate::units::Timestamp;
use crate::world::World;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// The least comes first. The last part makes it the same order at each run.
type Turn = Reverse<(Reverse<i32>, u32, Timestamp, JobKey, usize)>;

/// A job at the head of the line.
pub(super) struct Next<'a> {
    pub(super) job: JobKey,
    pub(super) profile: &'a ProfileId,
    pub(super) repository: &'a str,
    /// Where its runner would be registered; `None`: nowhere.
    pub(super) scope: Option<&'a ScopeId>,
    member: usize,
}

/// The line. Whoever takes from it says what became of each.
pub(super) struct Line<'a> {
    groups: Vec<Member<'a>>,
    turns: BinaryHeap<Turn>,
    /// What each repository and each owner has, and gets by this plan.
    repositories: Vec<u32>,
    owners: Vec<u32>,
}

struct Member<'a> {
    group: &'a Group,
    profile: &'a ProfileId,
    scope: Option<&'a ScopeId>,
    queue: Box<dyn Iterator<Item = (Timestamp, JobKey)> + 'a>,
    head: Option<(Timestamp, JobKey)>,
    priority: i32,
    repository: usize,
    owner: usize,
}

impl<'a> Line<'a> {
    pub(super) fn of(world: &'a World) -> Self {
        let mut names = Names::default();
        let mut line = Line {
            groups: Vec::new(),
            turns: BinaryHeap::new(),
            repositories: Vec::new(),
            owners: Vec::new(),
        };
        for (group, queue) in world.jobs.standing(Standing::Queued) {
            let Some(profile) = &group.profile else { continue };
            let (repository, owner) = names.of(&group.repository);
            let member = Member {
                group,
                profile,
                scope: world.scope_for(profile, &group.repository),
                queue: Box::new(heads(queue)),
                head: None,
                priority: world.profiles.get(profile).map_or(0, |profile| profile.priority),
                repository,
                owner,
            };
            line.groups.push(member);
        }
        line.repositories = vec![0; names.repositories.len()];
        line.owners = vec![0; names.owners.len()];
        for (group, running) in world.jobs.standing(Standing::Running) {
            if is(Fault::LimitForgetsRunning) {
                continue;
            }
            let count = u32::try_from(running.len()).unwrap_or(u32::MAX);
            if let Some(place) = names.repositories.get(&*group.repository) {
                line.repositories[*place] = line.repositories[*place].saturating_add(count);
            }
            if let Some(place) = names.owners.get(owner_of(&group.repository)) {
                line.owners[*place] = line.owners[*place].saturating_add(count);
            }
        }
        (0..line.groups.len()).for_each(|member| line.advance(member));
        line
    }

    /// The next job, which goes on standing at the head of its group.
    pub(super) fn next(&mut self) -> Option<Next<'a>> {
        loop {
            let Reverse((_, share, _, job, member)) = self.turns.pop()?;
            let group = &self.groups[member];
            // Its repository has got something since it was put here.
            let now = self.repositories[group.repository];
            if share != if is(Fault::ShareReversed) { u32::MAX - now } else { now } {
                self.put(member);
                continue;
            }
            let (profile, repository) = (group.profile, &*group.group.repository);
            return Some(Next { job, profile, repository, scope: group.scope, member });
        }
    }

    /// What the job's repository has.
    pub(super) fn of_repository(&self, next: &Next<'_>) -> u32 {
        self.repositories[self.groups[next.member].repository]
    }

    /// What the job's owner has, over all repositories.
    pub(super) fn of_owner(&self, next: &Next<'_>) -> u32 {
        self.owners[self.groups[next.member].owner]
    }

    /// The job got a microVM: the next of its group comes into the line. Without this call the whole group is out.
    pub(super) fn served(&mut self, next: &Next<'_>) {
        let member = &self.groups[next.member];
        let (repository, owner) = (member.repository, member.owner);
        self.repositories[repository] = self.repositories[repository].saturating_add(1);
        self.owners[owner] = self.owners[owner].saturating_add(1);
        self.advance(next.member);
    }

    fn advance(&mut self, member: usize) {
        self.groups[member].head = self.groups[member].queue.next();
        self.put(member);
    }

    fn put(&mut self, at: usize) {
        let member = &self.groups[at];
        if let Some((received, job)) = member.head {
            let share = self.repositories[member.repository];
            let turn = match (is(Fault::PriorityReversed), is(Fault::ShareReversed)) {
                (true, _) => (Reverse(-member.priority), share, received, job, at),
                (_, true) => (Reverse(member.priority), u32::MAX - share, received, job, at),
                _ => (Reverse(member.priority), share, received, job, at),
            };
            self.turns.push(Reverse(turn));
        }
    }
}

fn heads(queue: &Queue) -> impl Iterator<Item = (Timestamp, JobKey)> + '_ {
    queue.keys().copied()
}

/// Each repository and owner gets a number.
#[derive(Default)]
struct Names<'a> {
    repositories: BTreeMap<&'a str, usize>,
    owners: BTreeMap<&'a str, usize>,
}

impl<'a> Names<'a> {
    fn of(&mut self, repository: &'a str) -> (usize, usize) {
        let next = self.repositories.len();
        let place = *self.repositories.entry(repository).or_insert(next);
        let next = self.owners.len();
        (place, *self.owners.entry(owner_of(repository)).or_insert(next))
    }
}
