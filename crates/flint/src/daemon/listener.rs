//! Listens to a profile's scale set: opens its session, takes its messages in, and starts anew whatever happens.
//!
//! A message is acknowledged after its facts are on disk, so a crash between the two repeats it, and facts may be
//! repeated. What a message lacks, GitHub's count of the set's jobs says. The set itself is never deleted.

use super::clock::Clock;
use super::door::{Door, Window};
use super::message::{counted, facts, of_set, offered};
use crate::error::{advised, chain};
use crate::forge::scale_set::{
    Error, Job, Message, MessageId, Next, Polled, ProfileSet, Session, SetId, Unreadable,
};
use flint_core::event::Event;
use flint_core::id::ProfileId;
use flint_core::scale_set::{self as core, SetEvent};
use std::sync::Arc;
use std::time::Duration;

/// The first pause after a failure; each in a row doubles it.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest of those. A session that somebody else holds lapses some minutes after its holder's last poll.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Between two looks at jobs that are offered while nothing may start.
const HELD: Duration = Duration::from_secs(30);
/// Between two tries of what only a person can change.
const PERSON: Duration = Duration::from_secs(5 * 60);
/// GitHub answers 403 for some seconds to who is let in, as its own client knows: so many in a row are tried again.
const REFUSALS: u32 = 3;
/// A GitHub that does not answer must not hold up the end.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);
/// After so many polls that found nothing, about 50 s each, GitHub is asked how things stand.
const QUIET_POLLS: u32 = 6;
/// A message that cannot be read is passed over when it has come so often.
const TRIES: u32 = 3;

/// Who listens to one scale set.
pub struct Listener<C> {
    /// To whom.
    pub set: Arc<ProfileSet>,
    /// For whom.
    pub profile: ProfileId,
    /// The daemon's name in its sessions, for people.
    pub owner: String,
    /// Where facts go.
    pub door: Door,
    /// What is believed.
    pub window: Window,
    /// The time.
    pub clock: Arc<C>,
}

/// Where a session stands.
struct Course {
    session: Session,
    /// The last message that was taken in, and acknowledged.
    last: Option<MessageId>,
    /// The last message whose facts are on disk: they are told once, however often it comes.
    kept: Option<MessageId>,
    /// Polls in a row that found nothing.
    quiet: u32,
    /// How often the message came that cannot be read.
    unread: u32,
}

impl<C: Clock> Listener<C> {
    /// Listens until `stopped`; then it closes the session, if one is open.
    pub async fn run(self, stopped: impl Future<Output = ()>) {
        let mut course = None;
        tokio::select! {
            () = self.listen(&mut course) => {}
            () = stopped => {}
        }
        let Some(Course { session, .. }) = course else { return };
        let closed = tokio::time::timeout(CLOSED_WITHIN, self.set.sets().close(&session)).await;
        let set = session.set();
        match closed {
            Ok(Ok(())) => tracing::info!(%set, "closed the session"),
            Ok(Err(error)) => {
                tracing::warn!(%set, error = chain(&error), "cannot close the session: it lapses by itself");
            }
            Err(_) => tracing::warn!(%set, "the session is not closed yet: it lapses by itself"),
        }
    }

    async fn listen(&self, course: &mut Option<Course>) {
        let (mut failures, mut refusals, mut told) = (0, 0, None);
        loop {
            let Err(error) = self.step(course).await else {
                (failures, refusals, told) = (0, 0, None);
                continue;
            };
            refusals = if matches!(error, Error::Forbidden { .. }) { refusals + 1 } else { 0 };
            let next = match error.next() {
                Next::Person if (1..=REFUSALS).contains(&refusals) => Next::Again,
                next => next,
            };
            // The session goes on where only a call failed.
            if !matches!(next, Next::Again | Next::Wait { .. }) {
                *course = None;
            }
            let why = advised(&error, error.help().as_deref());
            if told.as_ref() != Some(&why) {
                tracing::warn!(profile = %self.profile, slug = error.slug(), error = why, "the scale set is not heard");
                self.door.tell(of_set(&self.profile, SetEvent::Lost { why: why.clone() })).await;
                told = Some(why);
            }
            failures += 1;
            self.clock.sleep_until(self.pause(next, failures)).await;
        }
    }

    /// Opens a session if there is none, else takes one message in.
    async fn step(&self, course: &mut Option<Course>) -> Result<(), Error> {
        let Some(course) = course else {
            let session = self.open().await?;
            let mut events = vec![of_set(&self.profile, opened(&session))];
            events.extend(session.statistics().map(|count| counted(&self.profile, count)));
            // Before anything is waited for: whoever ends this now has a session to close.
            *course = Some(Course { session, last: None, kept: None, quiet: 0, unread: 0 });
            self.commit(events).await;
            return Ok(());
        };
        let capacity = self.window.borrow().world.scale_set_capacity(&self.profile);
        let polled = self.set.sets().poll(&course.session, course.last, capacity).await?;
        match polled {
            Polled::Nothing => self.nothing(course).await?,
            Polled::Message(message) => self.take(course, &message, capacity).await?,
            Polled::Unreadable(unreadable) => self.unreadable(course, unreadable).await?,
        }
        // Whatever was told before of trouble is over.
        let known = self.window.borrow().world.scale_sets.get(&self.profile).cloned();
        if known.is_some_and(|known| known.trouble.is_some()) {
            self.door.tell(of_set(&self.profile, opened(&course.session))).await;
        }
        Ok(())
    }

    async fn open(&self) -> Result<Session, Error> {
        let world = Arc::clone(&self.window.borrow().world);
        let left = world.scale_sets.get(&self.profile).and_then(|set| set.session.as_ref());
        let left = left.map(|session| (SetId(session.set), session.id.as_str()));
        let session = self.set.open(&self.owner, left).await?;
        tracing::info!(profile = %self.profile, set = %session.set(), "listening to the scale set");
        Ok(session)
    }

    /// Messages tell how things stand only when something happens: a count that was lost would stay lost.
    async fn nothing(&self, course: &mut Course) -> Result<(), Error> {
        (course.quiet, course.unread) = (course.quiet + 1, 0);
        if course.quiet < QUIET_POLLS {
            return Ok(());
        }
        course.quiet = 0;
        let count = self.set.sets().statistics(course.session.set()).await?;
        let told = count.map(|count| counted(&self.profile, count));
        self.commit(told.into_iter().collect()).await;
        Ok(())
    }

    async fn take(
        &self,
        course: &mut Course,
        message: &Message,
        capacity: u32,
    ) -> Result<(), Error> {
        if course.kept != Some(message.id) {
            (course.quiet, course.unread) = (0, 0);
            let page = |job: &Job| self.set.sets().run_page(&job.repository, job.run);
            let mut events = facts(&self.profile, message, page);
            events.extend(self.in_part(message));
            self.commit(events).await;
            course.kept = Some(message.id);
        }
        let offered = offered(message);
        if !offered.is_empty() && capacity == 0 {
            // Nothing may start here: whoever else serves the labels claims them first. The message comes again, and
            // none behind it does: it is no news of how things stand.
            self.clock.sleep_until(self.clock.now().after(HELD)).await;
            return self.nothing(course).await;
        }
        if !offered.is_empty() {
            let won = self.set.sets().acquire(&course.session, &offered).await?;
            tracing::debug!(profile = %self.profile, offered = offered.len(), won = won.len(), "claimed jobs");
        }
        self.set.sets().acknowledge(&course.session, message.id).await?;
        course.last = Some(message.id);
        Ok(())
    }

    /// What of a message cannot be read, kept for people as what cannot be read at all is.
    fn in_part(&self, message: &Message) -> Option<Event> {
        let Message { id, jobs, unread, excerpt, .. } = message;
        if *unread == 0 {
            return None;
        }
        let all = jobs.len() + unread;
        let excerpt = excerpt.as_deref().unwrap_or("too many to be looked at");
        let why =
            format!("message {}: {unread} of its {all} parts cannot be read: {excerpt}", id.0);
        tracing::error!(profile = %self.profile, why, "parts of a message are passed over");
        Some(of_set(&self.profile, SetEvent::PassedOver { why }))
    }

    /// It comes again with each poll until it is acknowledged. A later try may read it; what it told, the count says.
    async fn unreadable(&self, course: &mut Course, found: Unreadable) -> Result<(), Error> {
        let Unreadable { id, statistics, problem, excerpt } = found;
        course.unread += 1;
        let told = statistics.map(|count| counted(&self.profile, count));
        self.commit(told.into_iter().collect()).await;
        if course.unread < TRIES {
            let until = self.clock.now().after(pause(course.unread));
            self.clock.sleep_until(until).await;
            return Ok(());
        }
        course.unread = 0;
        let Some(id) = id else {
            return Err(Error::NoQueue {
                call: "read a message".to_owned(),
                set: self.set.name().to_owned(),
                problem,
            });
        };
        let why = format!("message {}: {problem}: {excerpt}", id.0);
        tracing::error!(profile = %self.profile, why, "a message cannot be read and is passed over");
        self.commit(vec![of_set(&self.profile, SetEvent::PassedOver { why })]).await;
        self.set.sets().acknowledge(&course.session, id).await?;
        course.last = Some(id);
        Ok(())
    }

    /// Nothing is acknowledged before this returns. Without a controller it never does: the daemon ends.
    async fn commit(&self, events: Vec<Event>) {
        if !events.is_empty() && self.door.commit(events).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn pause(&self, next: Next, failures: u32) -> flint_core::units::Timestamp {
        let now = self.clock.now();
        match next {
            Next::Again | Next::AnotherName | Next::NewSession | Next::Stolen | Next::NewSet => {
                now.after(pause(failures))
            }
            Next::Wait { until } => until.max(now.after(PAUSE)),
            Next::Person => now.after(PERSON),
        }
    }
}

fn opened(session: &Session) -> SetEvent {
    let (set, id) = (session.set().id.0, session.id().to_owned());
    SetEvent::Opened { session: core::Session { set, id } }
}

fn pause(failures: u32) -> Duration {
    PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(6)).min(PAUSE_MAX)
}
