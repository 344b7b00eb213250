//! The conversation with one guest's agent, from the first hello to the end of its process.
//!
//! The guest is a stranger: its lines are bounded, its pace is bounded, each fact is taken from it once, and a
//! stream that makes no sense ends the conversation, never the daemon. What it says becomes facts; nothing is
//! decided here.

use crate::host::log::Log;
use crate::sys::{bounded, clock};
use crate::vmm::{Channel, Vmm};
use flint_core::event::{Event, GuestEnd, GuestEvent, HostEvent};
use flint_core::id::VmId;
use flint_core::units::Timestamp;
use flint_wire::frame::{self, Decoder, FrameError, Resync};
use flint_wire::guest::Stream;
use flint_wire::{FromGuest, Network, PROTOCOL, Said, Secret, ToGuest};
use std::io;
use std::mem::discriminant;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use zeroize::Zeroizing;

/// Between two tries to reach an agent. A boot takes half a second at best.
const RETRY: Duration = Duration::from_millis(20);

/// How long one try may take; a guest whose driver is not up yet is silent.
const TRY_MAX: Duration = Duration::from_secs(5);

/// How long the rest of a dead guest's words is waited for.
const DRAIN_MAX: Duration = Duration::from_secs(2);

/// How much of the console goes with a failure.
const CONSOLE_TAIL: u64 = 2048;

/// A guest may say this much at once, and this much per second after it; then it is read slower, and its agent
/// drops log lines on its own side.
const BURST: u64 = 4 << 20;
const PER_SECOND: u64 = 1 << 20;

/// What a guest has come to, for those who wait for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) ready: bool,
    pub(super) exited: Option<i32>,
    pub(super) failed: Option<String>,
    pub(super) end: Option<GuestEnd>,
}

/// The work for a guest, as the line that is written, and whom to tell that it was.
pub(super) struct Order {
    pub(super) line: Zeroizing<Vec<u8>>,
    pub(super) taken: oneshot::Sender<()>,
}

/// All that following one guest needs.
pub(super) struct Follower<V> {
    pub(super) vm: VmId,
    pub(super) vmm: Arc<V>,
    /// What to tell the guest; `None` for one that an earlier daemon configured.
    pub(super) setup: Option<Setup>,
    /// The agent must have answered by then.
    pub(super) deadline: Instant,
    pub(super) console: PathBuf,
    pub(super) log: Arc<Log>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) orders: mpsc::Receiver<Order>,
}

/// What a guest is told first.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) network: Option<Network>,
}

/// Why a session with a guest ended.
#[derive(Debug)]
enum Break {
    /// The stream broke; try again.
    Lost,
    /// Nothing more is to be heard from this guest.
    Over(String),
}

impl From<io::Error> for Break {
    fn from(_: io::Error) -> Self {
        Break::Lost
    }
}

impl From<FrameError> for Break {
    fn from(error: FrameError) -> Self {
        Break::Over(format!("its agent does not make sense: {error}"))
    }
}

impl<V: Vmm> Follower<V> {
    /// Follows the guest until its process has ended, and reports that as the last fact.
    pub(super) async fn follow(self) {
        let (vm, vmm) = (self.vm, Arc::clone(&self.vmm));
        let (log, events, console) =
            (Arc::clone(&self.log), self.events.clone(), self.console.clone());
        let progress = self.progress.clone();
        let ended = AtomicBool::new(false);
        let mut talk = Talk::new(self, &ended);
        let end = {
            let mut exited = std::pin::pin!(vmm.exited(vm));
            let mut talking = std::pin::pin!(talk.all());
            tokio::select! {
                end = &mut exited => {
                    // What it said before it died is still in the socket.
                    ended.store(true, Ordering::Release);
                    let _ = tokio::time::timeout(DRAIN_MAX, talking).await;
                    end
                }
                () = &mut talking => exited.await,
            }
        };
        let end = seen(end, &console);
        log.close();
        progress.send_modify(|p| p.end = Some(end));
        // The daemon that ends takes no more facts; the next one looks for itself.
        let _ = events.send(Event::Host(HostEvent::Exited { vm, end })).await;
    }
}

/// A kernel that panics resets its machine, which looks like a shutdown; its last words tell.
fn seen(end: GuestEnd, console: &std::path::Path) -> GuestEnd {
    let tail = bounded::tail(console, CONSOLE_TAIL);
    let panicked = String::from_utf8_lossy(&tail).contains("Kernel panic");
    if end == GuestEnd::ShutDown && panicked { GuestEnd::Crashed } else { end }
}

/// The conversation's memory, kept over reconnects.
struct Talk<'a, V> {
    with: Follower<V>,
    /// The process is gone: a broken stream is the end.
    ended: &'a AtomicBool,
    heard: u64,
    ready: bool,
    told: Vec<std::mem::Discriminant<GuestEvent>>,
    /// Work was taken for this guest; it gets no other.
    armed: bool,
    /// Work that was written but that nothing shows to have arrived: written again after a reconnect, else gone.
    work: Option<Zeroizing<Vec<u8>>>,
    pace: Pace,
}

impl<'a, V: Vmm> Talk<'a, V> {
    fn new(with: Follower<V>, ended: &'a AtomicBool) -> Self {
        let (told, pace) = (Vec::new(), Pace::new());
        Talk { with, ended, heard: 0, ready: false, told, armed: false, work: None, pace }
    }

    async fn all(&mut self) {
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
    fn open(&self) -> impl Future<Output = Result<(Channel, Opened), Break>> + Send + use<V> {
        let (vm, vmm) = (self.with.vm, Arc::clone(&self.with.vmm));
        async move {
            loop {
                let attempt = tokio::time::timeout(TRY_MAX, greet(&*vmm, vm)).await;
                match attempt {
                    Ok(Ok(opened)) => return Ok(opened),
                    Ok(Err(Break::Over(why))) => return Err(Break::Over(why)),
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
        let Opened { mut decoder, mut resync, configured } = opened;
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
        let mut buffer = vec![0; 16 * 1024];
        loop {
            while let Some(next) = decoder.next_message() {
                if let Some(said) = resync.admit(next) {
                    self.hear(said?).await?;
                }
            }
            // One acknowledgement for all that one read brought.
            if self.pace.owes_ack(self.heard) {
                to.write_all(&frame::encode(&ToGuest::Ack { seq: self.heard })?).await?;
            }
            tokio::select! {
                read = from.read(&mut buffer) => match read? {
                    0 => return Err(Break::Lost),
                    length => {
                        self.pace.spend(length as u64).await;
                        decoder.push(buffer.get(..length).unwrap_or_default());
                    }
                },
                Some(order) = self.with.orders.recv(), if self.ready && !self.armed => {
                    self.armed = true;
                    let line = self.work.insert(order.line);
                    to.write_all(line).await?;
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
        if shows_work(&said.message) {
            // Overwritten as it goes.
            self.work = None;
        }
        let log = &self.with.log;
        match said.message {
            FromGuest::Hello { .. } | FromGuest::Bye => {}
            FromGuest::Ready { agent_ms, .. } => {
                let kernel_up = Timestamp(clock::unix_millis().saturating_sub(agent_ms));
                self.ready = true;
                self.with.progress.send_modify(|p| p.ready = true);
                self.tell(GuestEvent::Ready { kernel_up }).await;
            }
            FromGuest::Listening => self.tell(GuestEvent::Listening).await,
            FromGuest::JobStarted => self.tell(GuestEvent::Busy).await,
            FromGuest::JobDone => self.tell(GuestEvent::JobDone).await,
            FromGuest::Log { stream, text, cut } => {
                log.push(stream, &text);
                if cut {
                    log.push(Stream::Agent, "the line above was longer");
                }
            }
            FromGuest::LogLost { lines } => {
                log.push(Stream::Agent, &format!("{lines} lines were lost here"))
            }
            FromGuest::Exited { code } => {
                self.with.progress.send_modify(|p| p.exited = Some(code));
                self.tell(GuestEvent::RunnerExited { code }).await;
            }
            FromGuest::Failed { step, error } => {
                return Err(Break::Over(format!("{step}: {error}")));
            }
        }
        Ok(())
    }

    /// Reports a fact, each kind once: a guest cannot flood the daemon with them.
    async fn tell(&mut self, said: GuestEvent) {
        let kind = discriminant(&said);
        if self.told.contains(&kind) {
            return;
        }
        self.told.push(kind);
        let vm = self.with.vm;
        // The daemon that ends takes no more facts.
        let _ = self.with.events.send(Event::Guest { vm, said }).await;
    }

    async fn fail(&mut self, why: String) {
        let tail = bounded::tail(&self.with.console, CONSOLE_TAIL);
        let tail = String::from_utf8_lossy(&tail);
        let why = match tail.trim() {
            "" => format!("{why}; its console is empty"),
            tail => format!("{why}; its console ends with:\n{tail}"),
        };
        self.with.progress.send_modify(|p| p.failed = Some(why.clone()));
        self.tell(GuestEvent::Failed { why }).await;
    }
}

/// Whether a guest can only say this with its work in hand.
fn shows_work(message: &FromGuest) -> bool {
    match message {
        FromGuest::Listening
        | FromGuest::JobStarted
        | FromGuest::JobDone
        | FromGuest::Exited { .. } => true,
        FromGuest::Log { stream, .. } => matches!(stream, Stream::Out | Stream::Err),
        FromGuest::Hello { .. }
        | FromGuest::Ready { .. }
        | FromGuest::LogLost { .. }
        | FromGuest::Failed { .. }
        | FromGuest::Bye => false,
    }
}

/// A stream whose agent has answered.
struct Opened {
    decoder: Decoder<Said>,
    resync: Resync,
    configured: bool,
}

/// Connects and says hello until the nonce comes back.
async fn greet<V: Vmm>(vmm: &V, vm: VmId) -> Result<(Channel, Opened), Break> {
    let mut channel = vmm.channel(vm).await.map_err(|_| Break::Lost)?;
    let nonce = random_hex()?;
    channel.write_all(&frame::opening(&nonce)?).await?;
    let (mut decoder, mut resync) = (Decoder::new(), Resync::new(nonce));
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = channel.read(&mut buffer).await?;
        if length == 0 {
            return Err(Break::Lost);
        }
        decoder.push(buffer.get(..length).unwrap_or_default());
        while let Some(next) = decoder.next_message() {
            // What follows the hello stays in the decoder.
            let Some(said) = resync.admit(next) else { continue };
            let FromGuest::Hello { protocol, configured, .. } = said?.message else { continue };
            if protocol != PROTOCOL {
                let why =
                    format!("its agent speaks version {protocol}, this flint version {PROTOCOL}");
                return Err(Break::Over(why));
            }
            return Ok((channel, Opened { decoder, resync, configured }));
        }
    }
}

fn configure(vm: VmId, setup: &Setup) -> Result<Zeroizing<Vec<u8>>, Break> {
    let message = ToGuest::Configure {
        hostname: vm.to_string(),
        time_unix_ns: clock::unix_nanos(),
        entropy: Secret::new(random_hex()?),
        network: setup.network.clone(),
    };
    Ok(frame::encode(&message)?)
}

/// 32 random bytes in hex.
fn random_hex() -> Result<String, Break> {
    let mut bytes = [0u8; 32];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
        .map_err(|e| Break::Over(format!("no randomness: {e}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// How fast a guest is read.
struct Pace {
    since: Instant,
    spent: u64,
    acked: u64,
}

impl Pace {
    fn new() -> Self {
        Pace { since: Instant::now(), spent: 0, acked: 0 }
    }

    async fn spend(&mut self, bytes: u64) {
        self.spent += bytes;
        let seconds = self.since.elapsed().as_secs();
        if self.spent > BURST + seconds * PER_SECOND {
            tokio::time::sleep(Duration::from_secs(1)).await;
        } else if self.spent < seconds * PER_SECOND {
            // Saved-up silence is worth one burst, no more.
            *self = Pace { acked: self.acked, ..Pace::new() };
        }
    }

    fn owes_ack(&mut self, heard: u64) -> bool {
        let owes = heard > self.acked;
        self.acked = heard;
        owes
    }
}
