//! The conversation with one guest's agent, from the first hello to the end of its process.
//!
//! The guest is a stranger: its lines are bounded, its pace is bounded, each fact is taken from it once, and a
//! stream that makes no sense ends the conversation, never the daemon. What it says becomes facts; nothing is
//! decided here. Nothing is acknowledged before it would survive this daemon: a line when its file has it, a fact
//! when it is kept.

use crate::host::follow::Follower;
use crate::host::greet::{Break, Opened, configure, greet};
use crate::host::pace::Pace;
use crate::host::told::{Told, Unkept};
use crate::steps::{self, Step};
use crate::sys::{bounded, clock};
use crate::vmm::{Channel, Vmm};
use flint_core::event::{Event, GuestEvent};
use flint_core::units::Timestamp;
use flint_wire::{FromGuest, Said, ToGuest, frame};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

/// Between two tries to reach an agent. A boot takes half a second at best.
const RETRY: Duration = Duration::from_millis(20);

/// How long one try may take; a guest whose driver is not up yet is silent.
const TRY_MAX: Duration = Duration::from_secs(5);

/// How much of the console goes with a failure.
pub(super) const CONSOLE_TAIL: u64 = 2048;

/// The conversation's memory, kept over reconnects.
pub(super) struct Talk<'a, V> {
    with: Follower<V>,
    /// The process is gone: a broken stream is the end.
    ended: &'a AtomicBool,
    heard: u64,
    unkept: Unkept,
    ready: bool,
    /// Work was taken for this guest; it gets no other.
    armed: bool,
    /// Work that was written but that nothing shows to have arrived: written again after a reconnect, else gone.
    work: Option<Zeroizing<Vec<u8>>>,
    pace: Pace,
}

impl<'a, V: Vmm> Talk<'a, V> {
    pub(super) fn new(with: Follower<V>, ended: &'a AtomicBool) -> Self {
        let (pace, unkept) = (Pace::new(), Unkept::default());
        Talk { with, ended, heard: 0, unkept, ready: false, armed: false, work: None, pace }
    }

    pub(super) async fn all(&mut self) {
        let why = loop {
            match self.session().await {
                Break::Over(why) => break why,
                Break::Lost if self.ended.load(Ordering::Acquire) => return,
                Break::Lost => tokio::time::sleep(RETRY).await,
            }
        };
        self.fail(why).await;
    }

    /// One connection: hello, then whatever comes, until it breaks.
    async fn session(&mut self) -> Break {
        let opening = self.open();
        // Only the first hello has a deadline: after it the phases' own deadlines hold.
        let opened = if self.heard_any() {
            opening.await
        } else {
            let deadline = self.with.deadline;
            tokio::time::timeout_at(deadline, opening)
                .await
                .unwrap_or_else(|_| Err(Break::Over("its agent did not answer in time".to_owned())))
        };
        match opened {
            Err(broken) => broken,
            Ok((channel, decoder)) => match self.converse(channel, decoder).await {
                Err(broken) => broken,
                Ok(never) => match never {},
            },
        }
    }

    fn heard_any(&self) -> bool {
        self.ready || self.heard > 0
    }

    /// Connects and says hello until the nonce comes back. Says configure or the work again, if the guest lacks it.
    fn open(&self) -> impl Future<Output = Result<(Channel, Opened), Break>> + Send + use<'a, V> {
        let (vm, vmm, ended) = (self.with.vm, Arc::clone(&self.with.vmm), self.ended);
        async move {
            loop {
                let attempt = tokio::time::timeout(TRY_MAX, greet(&*vmm, vm)).await;
                match attempt {
                    Ok(Ok(opened)) => return Ok(opened),
                    Ok(Err(Break::Over(why))) => return Err(Break::Over(why)),
                    // Its process is gone: nobody will answer any more.
                    _ if ended.load(Ordering::Acquire) => return Err(Break::Lost),
                    Ok(Err(Break::Lost)) | Err(_) => tokio::time::sleep(RETRY).await,
                }
            }
        }
    }

    async fn converse(
        &mut self,
        channel: Channel,
        opened: Opened,
    ) -> Result<std::convert::Infallible, Break> {
        let (mut from, mut to) = channel.into_split();
        let Opened { mut decoder, mut resync, configured, heeds } = opened;
        match (&self.with.setup, configured) {
            (_, true) => self.ready = true,
            (Some(setup), false) => to.write_all(&configure(self.with.vm, setup)?).await?,
            (None, false) => {
                return Err(Break::Over("it was not set up when the daemon ended".to_owned()));
            }
        }
        if let Some(line) = &self.work {
            to.write_all(line).await?;
        }
        // The last one may have been lost with the connection before.
        self.pace.forget_acks();
        let mut buffer = vec![0; 16 * 1024];
        loop {
            while let Some(next) = decoder.next_message() {
                if let Some(said) = resync.admit(next) {
                    self.hear(said?).await?;
                }
            }
            // One acknowledgement for all that one read brought.
            let seq = self.unkept.all_before(self.heard);
            if self.pace.owes_ack(seq) {
                to.write_all(&frame::encode(&ToGuest::Ack { seq })?).await?;
            }
            tokio::select! {
                read = from.read(&mut buffer) => match read? {
                    0 => return Err(Break::Lost),
                    length => {
                        self.pace.spend(length as u64).await;
                        decoder.push(buffer.get(..length).unwrap_or_default());
                    }
                },
                () = self.unkept.settled() => {}
                Some(order) = self.with.orders.recv(), if self.ready && !self.armed => {
                    if let Some(why) = heeds.lacks(order.wants) {
                        return Err(Break::Over(why.to_owned()));
                    }
                    self.armed = true;
                    let line = self.work.insert(order.line);
                    steps::before(Step::Secret);
                    to.write_all(line).await?;
                    steps::after(Step::Secret);
                    // Whoever asked may have given up waiting.
                    let _ = order.taken.send(());
                }
            }
        }
    }

    /// Takes one message. Repeated ones (after a reconnect) have been heard.
    async fn hear(&mut self, said: Said) -> Result<(), Break> {
        if matches!(said.message, FromGuest::Hello { .. }) || said.seq <= self.heard {
            return Ok(());
        }
        self.heard = said.seq;
        if said.message.shows_work() {
            // Overwritten as it goes.
            self.work = None;
        }
        let (seq, log) = (said.seq, &self.with.log);
        match said.message {
            FromGuest::Hello { .. } | FromGuest::Bye => {}
            FromGuest::Ready { agent_ms, runner, .. } => {
                // A guest may say anything; what is no version is none.
                let runner = runner.and_then(|text| text.parse().ok());
                let kernel_up = Timestamp(clock::unix_millis().saturating_sub(agent_ms));
                self.ready = true;
                self.with.progress.send_modify(|p| p.ready = true);
                self.tell(seq, GuestEvent::Ready { kernel_up, runner }).await;
            }
            FromGuest::Listening => self.tell(seq, GuestEvent::Listening).await,
            FromGuest::JobStarted => self.tell(seq, GuestEvent::Busy).await,
            FromGuest::JobDone => self.tell(seq, GuestEvent::JobDone).await,
            FromGuest::Log { stream, text, cut } => log.said(seq, (stream, &text), cut),
            FromGuest::LogLost { lines } => log.lost(seq, lines),
            FromGuest::Exited { code } => {
                self.with.progress.send_modify(|p| p.exited = Some(code));
                self.tell(seq, GuestEvent::RunnerExited { code }).await;
            }
            FromGuest::Failed { step, error } => {
                return Err(Break::Over(format!("{step}: {error}")));
            }
        }
        Ok(())
    }

    /// Reports a fact, each kind once.
    async fn tell(&mut self, seq: u64, said: GuestEvent) {
        let Some(kept) = self.unkept.push(seq, said.clone()) else { return };
        let event = Event::Guest { vm: self.with.vm, said };
        // The daemon that ends takes no more facts.
        let _ = self.with.events.send(Told { event, kept: Some(kept) }).await;
    }

    async fn fail(&mut self, why: String) {
        let tail = bounded::tail(&self.with.console, CONSOLE_TAIL);
        let tail = String::from_utf8_lossy(&tail);
        let why = match tail.trim() {
            "" => format!("{why}; its console is empty"),
            tail => format!("{why}; its console ends with:\n{tail}"),
        };
        // Agent and console say what they like, and this goes to logs, errors and terminals.
        let why = crate::text::escaped_lines(&why);
        self.with.progress.send_modify(|p| p.failed = Some(why.clone()));
        let event = Event::Guest { vm: self.with.vm, said: GuestEvent::Failed { why } };
        let _ = self.with.events.send(Told { event, kept: None }).await;
    }
}
