//! The inside of a fake microVM: an agent that says what a real one says, and a runner that takes one job.
//!
//! It outlives the connections to it, as a real one does: what was not acknowledged is said again.

use super::outside::Outside;
use flint::vmm::Channel;
use flint_core::id::{JobKey, RunnerName, VmId};
use flint_core::job::JobRequest;
use flint_wire::frame::{self, Decoder};
use flint_wire::guest::Stream;
use flint_wire::{FromGuest, PROTOCOL, Said, ToGuest, Work};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::watch;

/// What stands before the runner's name in the fake's registrations, so that a test can look for the secret.
pub const SECRET: &str = "one-job-secret-of-";

/// How long a guest that is done waits for its last word to be taken.
const LAST_WORD_MAX: Duration = Duration::from_secs(60);

/// GitHub fails a job whose runner it has not heard of for about this long.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(10 * 60);

/// One guest with one life. Clones share it.
#[derive(Clone)]
pub(super) struct Guest {
    outside: Outside,
    vm: VmId,
    power: watch::Receiver<bool>,
    memory: Arc<watch::Sender<()>>,
    state: Arc<Mutex<State>>,
}

/// What an agent remembers over connections.
#[derive(Default)]
struct State {
    configured: bool,
    working: bool,
    said: u64,
    /// Said, and not acknowledged.
    kept: Vec<Said>,
}

/// Returns when the power is off. An error means that its switch is gone with the machine.
async fn off(power: &mut watch::Receiver<bool>) {
    drop(power.wait_for(|on| !on).await);
}

impl Guest {
    pub(super) fn new(outside: Outside, vm: VmId, power: watch::Receiver<bool>) -> Self {
        let (memory, state) = (Arc::new(watch::Sender::new(())), Arc::default());
        Guest { outside, vm, power, memory, state }
    }

    /// Talks over one connection until it breaks or the power goes.
    pub(super) async fn talk(self, channel: Channel) {
        let mut power = self.power.clone();
        tokio::select! {
            () = off(&mut power) => {}
            // A host that hangs up comes back.
            _ = self.converse(channel) => {}
        }
    }

    async fn converse(&self, channel: Channel) -> io::Result<()> {
        let (mut reading, mut writing) = channel.into_split();
        let mut decoder = Decoder::<ToGuest>::new();
        let mut news = self.memory.subscribe();
        let mut buffer = vec![0; 4096];
        // Nothing is said before the hello.
        let mut sent = None;
        loop {
            while let Some(message) = decoder.next_message() {
                let message = message.map_err(io::Error::other)?;
                if let ToGuest::Hello { nonce, .. } = &message {
                    self.hello(&mut writing, nonce.clone()).await?;
                    sent = Some(0);
                }
                self.hear(message);
            }
            if let Some(sent) = &mut sent {
                self.say_kept(&mut writing, sent).await?;
            }
            tokio::select! {
                read = reading.read(&mut buffer) => match read? {
                    0 => return Ok(()),
                    length => decoder.push(&buffer[..length]),
                },
                _ = news.changed() => {}
            }
        }
    }

    async fn hello(&self, writing: &mut OwnedWriteHalf, nonce: String) -> io::Result<()> {
        let message = FromGuest::Hello {
            protocol: PROTOCOL,
            nonce,
            agent: "0.1.0".to_owned(),
            boot_id: format!("boot-of-{}", self.vm),
            kernel: "6.1.0-fake".to_owned(),
            configured: self.state().configured,
            admits: true,
            repositories: true,
            ca_certificates: true,
        };
        let hello = frame::encode_hello(&Said { seq: 0, message });
        writing.write_all(&hello.map_err(io::Error::other)?).await
    }

    async fn say_kept(&self, writing: &mut OwnedWriteHalf, sent: &mut u64) -> io::Result<()> {
        let new = |said: &&Said| said.seq > *sent;
        let due: Vec<Said> = self.state().kept.iter().filter(new).cloned().collect();
        for said in due {
            writing.write_all(&frame::encode(&said).map_err(io::Error::other)?).await?;
            *sent = said.seq;
        }
        Ok(())
    }

    fn hear(&self, message: ToGuest) {
        match message {
            ToGuest::Hello { .. } => {}
            ToGuest::Configure { .. } => {
                if !std::mem::replace(&mut self.state().configured, true) {
                    let runner = self.outside.image_runner();
                    self.say(FromGuest::Ready { kernel_ms: 900, agent_ms: 100, runner });
                }
            }
            ToGuest::Work(Work::Runner { jit_config, .. }) => {
                if !std::mem::replace(&mut self.state().working, true) {
                    let name = self.outside.runner_of(jit_config.expose());
                    tokio::spawn(self.clone().work(name));
                }
            }
            ToGuest::Work(Work::Command { .. } | Work::Login { .. }) => {}
            ToGuest::Ack { seq } => {
                self.state().kept.retain(|said| said.seq > seq);
                self.memory.send_replace(());
            }
            ToGuest::Stop { .. } => self.outside.cut_power(self.vm),
        }
    }

    async fn work(self, name: RunnerName) {
        self.outside.lock().armed.push(self.vm);
        let mut power = self.power.clone();
        tokio::select! {
            () = off(&mut power) => {}
            () = async { self.run(&name).await; self.last_word().await } => {}
        }
        // GitHub's side of a runner that never reported its job's end.
        if self.outside.has_job(&name) {
            tokio::time::sleep(GIVEN_UP_AFTER).await;
            self.outside.end_job(&name, self.vm, "failure");
        }
    }

    /// A runner's life: listen, take one job, run it, end.
    async fn run(&self, name: &RunnerName) {
        let faults = self.outside.lock().faults.clone();
        if let Some(code) = faults.runner_exits {
            return self.say(FromGuest::Exited { code });
        }
        self.say(FromGuest::Listening);
        let (_, request) = self.job(name).await;
        self.say(FromGuest::JobStarted);
        let text = format!("running {}", request.name);
        self.say(FromGuest::Log { stream: Stream::Out, text, cut: false });
        if let Some(after) = faults.power_lost_after {
            tokio::time::sleep(after).await;
            self.outside.cut_power(self.vm);
        }
        tokio::time::sleep(faults.job_takes).await;
        self.outside.end_job(name, self.vm, "success");
        self.say(FromGuest::JobDone);
        self.say(FromGuest::Exited { code: 0 });
    }

    /// The registration may be removed meanwhile: then this waits until the power is cut.
    async fn job(&self, name: &RunnerName) -> (JobKey, JobRequest) {
        let mut changes = self.outside.changes();
        loop {
            changes.mark_unchanged();
            match self.outside.take_job(name) {
                Some(taken) => return taken,
                // The sender lives as long as the outside, which is held here.
                None => drop(changes.changed().await),
            }
        }
    }

    async fn last_word(&self) {
        self.say(FromGuest::Bye);
        let mut news = self.memory.subscribe();
        let heard = news.wait_for(|()| self.state().kept.is_empty());
        // A host that is away for longer sees that the process has ended.
        drop(tokio::time::timeout(LAST_WORD_MAX, heard).await);
        self.outside.cut_power(self.vm);
    }

    fn say(&self, message: FromGuest) {
        let mut state = self.state();
        state.said += 1;
        let seq = state.said;
        state.kept.push(Said { seq, message });
        drop(state);
        self.memory.send_replace(());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
