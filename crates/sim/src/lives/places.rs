//! Holds what is believed and ordered to the scope and the installation that it is about. Shares no code with the core's
//! planner.

use super::life::Life;
use flint_core::ask::{AskFailure, Question};
use flint_core::event::{Event, ForgeEvent, RegisterFailure};
use flint_core::id::{InstallationId, ScopeId, VmId};
use flint_core::plan::Action;
use flint_core::units::Timestamp;
use flint_core::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// What GitHub said of scopes and installations.
#[derive(Default)]
pub(super) struct Told {
    /// "Not before": whose calls, and when.
    limits: BTreeMap<InstallationId, Timestamp>,
    /// "No runner from you here", since one was taken there.
    refusals: BTreeSet<ScopeId>,
    /// Where each microVM asked for a registration.
    placed: BTreeMap<VmId, ScopeId>,
}

impl Life {
    /// A fact is stored: whether it says something of a scope.
    pub(super) fn note_places(&mut self, event: &Event) {
        let scopes = &self.daemon.stored.scopes;
        let open = |scope: &ScopeId| scopes.get(scope).is_some_and(|known| known.breaker.open);
        let told = &mut self.memory.told;
        let (installation, until) = match event {
            Event::Forge(ForgeEvent::RegisterFailed { scope, failure, .. }) => match failure {
                RegisterFailure::Limited { until } => (self.setup.installation(scope), *until),
                RegisterFailure::Forbidden => {
                    told.refusals.insert(scope.clone());
                    return;
                }
                RegisterFailure::Transient
                | RegisterFailure::NameTaken
                | RegisterFailure::Refused => return,
            },
            Event::Forge(ForgeEvent::AskFailed {
                question,
                failure: AskFailure::Limited { until },
                ..
            }) => (self.setup.asked_of(question), *until),
            Event::Forge(ForgeEvent::Registered { .. }) => {
                return told.refusals.retain(|scope| open(scope));
            }
            _ => return,
        };
        if let Some(installation) = installation {
            let known = told.limits.entry(installation.clone()).or_default();
            *known = until.max(*known);
        }
    }

    /// What GitHub said of one scope or installation is believed of another.
    pub(super) fn blamed_for_another(&self, before: &World, event: &Event) -> Option<String> {
        let (world, told) = (&self.daemon.stored, &self.memory.told);
        let open = world.scopes.iter().filter(|(_, known)| known.breaker.open);
        let mut open = open.map(|(scope, _)| scope);
        if let Some(scope) = open.find(|scope| !told.refusals.contains(*scope)) {
            return Some(format!("{scope} counts as refusing us, and never did"));
        }
        if let Event::Forge(ForgeEvent::Registered { scope, .. }) = event {
            let was_open = before.scopes.iter().filter(|(_, known)| known.breaker.open);
            let mut was_open = was_open.map(|(other, _)| other);
            let closed = |other: &&ScopeId| !world.scopes[*other].breaker.open;
            if let Some(other) = was_open.find(|other| *other != scope && closed(other)) {
                return Some(format!("{other} counts as mended by a registration in {scope}"));
            }
        }
        let mut limited = world.installations.iter().map(|(id, known)| (id, known.limited_until));
        let said = |id| told.limits.get(id).copied().unwrap_or_default();
        let (id, until) = limited.find(|(id, until)| *until > said(*id))?;
        Some(format!("{id} counts as limited until {until}, and is not"))
    }

    /// An order goes out: it is about the place where its runner is, or would have to be.
    pub(super) fn judge_place(&mut self, action: &Action) {
        match action {
            Action::Register { vm, scope, .. } => {
                let first = self.memory.told.placed.entry(*vm).or_insert_with(|| scope.clone());
                if first != scope {
                    let fault = format!("{vm} is registered in {first}, and then in {scope}");
                    self.find(fault);
                }
            }
            Action::Deregister { vm, scope, .. } => {
                let mut runners = self.outside.runners.values();
                let elsewhere = runners.find(|runner| runner.vm == *vm && runner.scope != *scope);
                if let Some(runner) = elsewhere {
                    let is = runner.scope.clone();
                    self.find(format!("{vm} is to leave {scope}, and is registered in {is}"));
                }
            }
            Action::Ask { question: Question::Deliveries { installation, .. } } => {
                if !self.setup.places().1.contains(installation) {
                    self.find(format!("{installation} is asked for another's deliveries"));
                }
            }
            Action::Launch { .. }
            | Action::Destroy { .. }
            | Action::Scan { .. }
            | Action::Ask { .. } => {}
        }
    }
}
