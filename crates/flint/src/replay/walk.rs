//! The daemon's own decisions again: folds the facts of one commit, plans, and says what became different.

use super::say;
use crate::store::Entry;
use flint_core::audit::audit;
use flint_core::event::Event;
use flint_core::fold::fold;
use flint_core::forge::Repository;
use flint_core::id::JobKey;
use flint_core::plan::{Action, Because, plan};
use flint_core::rows::{Difference, Rows};
use flint_core::units::Timestamp;
use flint_core::world::World;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// Something of the world that changed. Both sides are the row in words; none is a row that is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Such as `vm-42`, `job 7`, `breaker default`.
    pub what: String,
    /// Before.
    pub from: Option<String>,
    /// After.
    pub to: Option<String>,
}

/// One fact, and what folding it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Its number.
    pub seq: u64,
    /// The fact.
    pub fact: Event,
    /// What changed by it.
    pub changes: Vec<Change>,
}

/// What one commit of the daemon was about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Step {
    /// When.
    pub at: Timestamp,
    /// The facts that were planned for together.
    pub facts: Vec<Told>,
    /// What the plan changed.
    pub planned: Vec<Change>,
    /// The orders that were not due before.
    pub orders: Vec<Action>,
    /// The jobs whose cause to wait is another than before; none: the job does not wait any more.
    pub waits: Vec<(JobKey, Option<Because>)>,
    /// What `audit` finds wrong now.
    pub notes: Vec<String>,
    /// Where the world that the daemon wrote down itself differs from the one that was folded here, which a log of
    /// another version of flint explains. What follows is folded from the daemon's.
    pub differs: Vec<Change>,
}

/// A log on its way through the core.
#[derive(Debug, Default)]
pub struct Walk {
    world: World,
    /// The facts of the turn that is being read.
    turn: Vec<(u64, Event)>,
    number: u64,
    at: Timestamp,
    orders: BTreeSet<Action>,
    waits: BTreeMap<JobKey, Because>,
}

impl Walk {
    /// Takes the next entry; a turn that it ends is folded and told.
    pub fn take(&mut self, entry: Entry) -> Option<Step> {
        match entry {
            Entry::Fact { seq, at, turn, event } => {
                let ends = !self.turn.is_empty() && (turn, at) != (self.number, self.at);
                let step = ends.then(|| self.step());
                (self.number, self.at) = (turn, at);
                self.turn.push((seq, event));
                step
            }
            Entry::World { world, .. } => {
                let mut step = (!self.turn.is_empty()).then(|| self.step());
                let theirs = *world;
                if let Some(step) = &mut step {
                    step.differs = changes(&self.world, &theirs);
                }
                self.world = theirs;
                step
            }
        }
    }

    /// The last turn, when no entry is left.
    pub fn end(&mut self) -> Option<Step> {
        (!self.turn.is_empty()).then(|| self.step())
    }

    /// The world after the last step.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The orders that are due after the last step.
    #[must_use]
    pub fn orders(&self) -> &BTreeSet<Action> {
        &self.orders
    }

    /// Why jobs wait after the last step.
    #[must_use]
    pub fn waits(&self) -> &BTreeMap<JobKey, Because> {
        &self.waits
    }

    fn step(&mut self) -> Step {
        let mut facts = Vec::new();
        for (seq, fact) in std::mem::take(&mut self.turn) {
            let before = self.world.clone();
            let _records = fold(&mut self.world, self.at, fact.clone());
            facts.push(Told { seq, fact, changes: changes(&before, &self.world) });
        }
        let plan = plan(&self.world, self.at);
        let planned = changes(&self.world, &plan.world);
        self.world = plan.world;
        let due: BTreeSet<Action> = plan.actions.iter().cloned().collect();
        let orders = plan.actions.into_iter().filter(|order| !self.orders.contains(order));
        let orders = orders.collect();
        self.orders = due;
        let waits = plan.waits.iter(&self.world).map(|wait| (wait.job, wait.because)).collect();
        let before = std::mem::replace(&mut self.waits, waits);
        let notes = audit(&self.world).into_iter().map(|note| note.0).collect();
        let waits = other_causes(&before, &self.waits);
        Step { at: self.at, facts, planned, orders, waits, notes, differs: Vec::new() }
    }
}

fn other_causes(
    before: &BTreeMap<JobKey, Because>,
    after: &BTreeMap<JobKey, Because>,
) -> Vec<(JobKey, Option<Because>)> {
    let jobs: BTreeSet<&JobKey> = before.keys().chain(after.keys()).collect();
    let other = jobs.into_iter().filter(|job| before.get(job) != after.get(job));
    other.map(|job| (*job, after.get(job).cloned())).collect()
}

/// What differs between two worlds, but for times that say nothing alone.
fn changes(before: &World, after: &World) -> Vec<Change> {
    let mut found = Vec::new();
    let name = |id: &_| format!("profile {id}");
    differ(&before.profiles, &after.profiles, name, say::profile, &mut found);
    differ(&before.hosts, &after.hosts, ToString::to_string, say::host, &mut found);
    let name = |key: &_| format!("job {key}");
    rows_differ(before.jobs.rows(), after.jobs.rows(), name, say::job, &mut found);
    rows_differ(&before.vms, &after.vms, ToString::to_string, say::vm, &mut found);
    let name = |id: &_| format!("breaker {id}");
    differ(&before.breakers, &after.breakers, name, say::breaker, &mut found);
    let name = |repository: &String| format!("repository {repository}");
    let followed = |_: &Repository| "is followed".to_owned();
    differ(&before.repositories, &after.repositories, name, followed, &mut found);
    let one = |what: &str, from: String, to: String| Change {
        what: what.to_owned(),
        from: Some(from),
        to: Some(to),
    };
    let name = |id: &_| format!("installation {id}");
    differ(&before.installations, &after.installations, name, say::installation, &mut found);
    let name = |id: &_| format!("scope {id}");
    differ(&before.scopes, &after.scopes, name, say::scope, &mut found);
    let limits = one("limits", say::limits(&before.limits), say::limits(&after.limits));
    found.extend([limits].into_iter().filter(|change| change.from != change.to));
    let strays = |world: &World| -> BTreeMap<String, ()> {
        let guests = world.stray_guests.iter().map(|(host, vm)| format!("stray {vm} on {host}"));
        let runners = world.stray_runners.iter();
        let runners = runners.map(|(vm, scope)| format!("stray runner of {vm} in {scope}"));
        guests.chain(runners).map(|name| (name, ())).collect()
    };
    let there = |(): &()| "found".to_owned();
    differ(&strays(before), &strays(after), String::clone, there, &mut found);
    found
}

/// Costs what differs.
fn rows_differ<K: Ord + Clone, V: Clone + PartialEq>(
    before: &Rows<K, V>,
    after: &Rows<K, V>,
    name: impl Fn(&K) -> String,
    say: impl Fn(&V) -> String,
    found: &mut Vec<Change>,
) {
    for difference in after.since(before) {
        let (key, to) = match difference {
            Difference::Now(key, row) => (key, Some(say(row))),
            Difference::Gone(key) => (key, None),
        };
        let from = before.get(key).map(&say);
        if from != to {
            found.push(Change { what: name(key), from, to });
        }
    }
}

/// Both are in the order of their keys.
fn differ<'a, K: Ord + 'a, V: PartialEq + 'a>(
    before: impl IntoIterator<Item = (&'a K, &'a V)>,
    after: impl IntoIterator<Item = (&'a K, &'a V)>,
    name: impl Fn(&K) -> String,
    say: impl Fn(&V) -> String,
    found: &mut Vec<Change>,
) {
    let (mut before, mut after) = (before.into_iter().peekable(), after.into_iter().peekable());
    loop {
        let order = match (before.peek(), after.peek()) {
            (None, None) => return,
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((old, _)), Some((new, _))) => old.cmp(new),
        };
        let old = order.is_le().then(|| before.next()).flatten();
        let new = order.is_ge().then(|| after.next()).flatten();
        let Some((key, _)) = old.or(new) else { return };
        let (old, new) = (old.map(|(_, row)| row), new.map(|(_, row)| row));
        if old == new {
            continue;
        }
        let (from, to) = (old.map(&say), new.map(&say));
        if from != to {
            found.push(Change { what: name(key), from, to });
        }
    }
}
