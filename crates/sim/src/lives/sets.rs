//! Scale sets on their way: names get lost, counts are wrong for a while, sessions are somebody else's.
//!
//! Messages of a set come in order, and again when the daemon died over one. What is lost is never told again; the next
//! count shows it.

use super::life::Life;
use super::outside::{Happening, JobIs, MINUTE, SECOND};
use flint_core::event::{Event, ForgeEvent};
use flint_core::id::ProfileId;
use flint_core::profile::Profile;
use flint_core::scale_set::{Session, SetEvent, Source};
use std::collections::VecDeque;

/// A listener asks how things stand when it was told nothing for so long.
const COUNTED_EVERY: u64 = 5 * MINUTE;

/// A scale set's messages.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    messages: VecDeque<ForgeEvent>,
    /// Nobody hears of them before this.
    silent_until: u64,
    /// The daemon's life in which the session was opened.
    opened: u64,
}

impl Life {
    /// The scale set that a job with these labels is given to.
    pub(super) fn set_for(&self, labels: &[String]) -> Option<ProfileId> {
        let [label] = labels else { return None };
        let asked = |(id, profile): &(&ProfileId, &Profile)| {
            profile.source == Source::ScaleSet && id.as_str() == label
        };
        self.setup.profiles.iter().find(asked).map(|(id, _)| id.clone())
    }

    /// Sends what became of a job on its way: as a webhook, or to the scale set that has it.
    pub(super) fn tell(&mut self, event: ForgeEvent) {
        let (ForgeEvent::JobQueued { request, .. }
        | ForgeEvent::JobStarted { request, .. }
        | ForgeEvent::JobCompleted { request, .. }) = &event
        else {
            return;
        };
        match request.scale_set.clone() {
            Some(set) => self.tell_set(set, event),
            None => self.webhook(event),
        }
    }

    /// A scale set has a new message.
    pub(super) fn tell_set(&mut self, set: ProfileId, event: ForgeEvent) {
        let event = match event {
            ForgeEvent::JobCompleted { job, runner: None, .. } => ForgeEvent::JobWithdrawn { job },
            other => other,
        };
        if self.rng.chance(self.faults.name_lost) {
            self.say(&format!("a message is lost: {event:?}"));
        } else {
            let queue = self.outside.sets.entry(set.clone()).or_default();
            queue.messages.push_back(event);
        }
        if self.rng.chance(self.faults.set_silent) {
            let silent = self.now + self.rng.between(MINUTE, 20 * MINUTE);
            self.say(&format!("somebody else has the session of {set}"));
            self.outside.sets.entry(set.clone()).or_default().silent_until = silent;
        }
        self.soon(Happening::SetSpeaks(set));
    }

    /// Each listener opens its session, and asks from time to time how things stand.
    pub(super) fn set_is_counted(&mut self, set: ProfileId) {
        self.set_speaks(set.clone());
        self.later(COUNTED_EVERY, Happening::SetIsCounted(set));
    }

    /// What a listener hears now.
    pub(super) fn set_speaks(&mut self, set: ProfileId) {
        let queue = self.outside.sets.entry(set.clone()).or_default().clone();
        if !self.daemon.up {
            return;
        }
        if self.now < queue.silent_until && !self.calm {
            let (why, after) = ("somebody else has it".to_owned(), queue.silent_until - self.now);
            self.takes(of_set(&set, SetEvent::Lost { why }));
            return self.later(after, Happening::SetSpeaks(set));
        }
        if queue.opened != self.daemon.life {
            let session = Session { set: 1, id: self.daemon.life.to_string() };
            let life = self.daemon.life;
            if !self.takes(of_set(&set, SetEvent::Opened { session })) {
                return;
            }
            self.outside.sets.entry(set.clone()).or_default().opened = life;
        }
        while let Some(message) = self.next_message(&set) {
            // It is acknowledged when it is on disk.
            if !self.daemon.up || !self.takes(Event::Forge(message)) {
                return;
            }
            if !self.rng.chance(self.faults.message_twice) {
                self.outside.sets.entry(set.clone()).or_default().messages.pop_front();
            }
        }
        let assigned = self.assigned_to(&set);
        let wrong = self.rng.chance(self.faults.count_wrong);
        let assigned = match (wrong, self.rng.chance(500)) {
            (false, _) => assigned,
            (true, false) => assigned.saturating_sub(1),
            (true, true) => assigned + 1,
        };
        if self.daemon.up {
            self.takes(of_set(&set, SetEvent::Counted { assigned }));
        }
        if self.rng.chance(self.faults.set_silent / 4) {
            self.later(SECOND, Happening::SetSpeaks(set));
        }
    }

    fn next_message(&self, set: &ProfileId) -> Option<ForgeEvent> {
        self.outside.sets.get(set)?.messages.front().cloned()
    }

    /// As GitHub counts.
    fn assigned_to(&self, set: &ProfileId) -> u32 {
        let jobs = self.outside.jobs.values().filter(|job| {
            let open = matches!(job.state, JobIs::Queued | JobIs::Running(_) | JobIs::Ending(_));
            open && job.request.scale_set.as_ref() == Some(set)
        });
        u32::try_from(jobs.count()).unwrap_or(u32::MAX)
    }
}

fn of_set(profile: &ProfileId, said: SetEvent) -> Event {
    Event::Forge(ForgeEvent::ScaleSet { profile: profile.clone(), said })
}
