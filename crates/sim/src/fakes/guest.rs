//! The inside of a fake microVM: an agent that says what a real one says, and a runner that takes one job.

use super::outside::Outside;
use flint::vmm::Channel;
use flint_core::id::{RunnerName, VmId};
use flint_wire::guest::Stream;
use flint_wire::{FromGuest, PROTOCOL, Said, ToGuest, Work};
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

/// Lives until its work is done, its host goes away, or its power is cut.
pub(super) async fn live(
    outside: Outside,
    vm: VmId,
    channel: Channel,
    mut power: watch::Receiver<bool>,
) {
    let (reading, writing) = channel.into_split();
    let mut agent = Agent { outside, vm, writing, seq: 0 };
    let mut lines = BufReader::new(reading).lines();
    tokio::select! {
        _ = power.wait_for(|on| !on) => {}
        end = agent.converse(&mut lines) => {
            // A host that hung up comes back; only a guest that is done powers off.
            if matches!(end, Ok(true)) {
                agent.outside.cut_power(vm);
            }
        }
    }
}

struct Agent {
    outside: Outside,
    vm: VmId,
    writing: OwnedWriteHalf,
    seq: u64,
}

impl Agent {
    /// Whether the guest is done.
    async fn converse(&mut self, lines: &mut Lines<BufReader<OwnedReadHalf>>) -> io::Result<bool> {
        while let Some(line) = lines.next_line().await? {
            let Ok(message) = serde_json::from_str::<ToGuest>(&line) else { continue };
            match message {
                ToGuest::Hello { nonce, .. } => self.hello(nonce).await?,
                ToGuest::Configure { .. } => {
                    self.say(FromGuest::Ready { kernel_ms: 900, agent_ms: 100 }).await?;
                }
                ToGuest::Work(Work::Runner { jit_config }) => {
                    self.run(&RunnerName::told(jit_config.expose())).await?;
                    return Ok(true);
                }
                ToGuest::Stop { .. } => return Ok(true),
                ToGuest::Work(_) | ToGuest::Ack { .. } => {}
            }
        }
        Ok(false)
    }

    async fn hello(&mut self, nonce: String) -> io::Result<()> {
        let message = FromGuest::Hello {
            protocol: PROTOCOL,
            nonce,
            agent: "0.1.0".to_owned(),
            boot_id: format!("boot-of-{}", self.vm),
            kernel: "6.1.0-fake".to_owned(),
            configured: false,
        };
        self.write(&Said { seq: 0, message }).await
    }

    /// A runner's life: listen, take one job, run it, end.
    async fn run(&mut self, name: &RunnerName) -> io::Result<()> {
        let faults = self.outside.lock().faults.clone();
        if let Some(code) = faults.runner_exits {
            return self.leave(code).await;
        }
        self.say(FromGuest::Listening).await?;
        let mut changes = self.outside.changes();
        let (job, request) = loop {
            changes.mark_unchanged();
            match self.outside.take_job(name) {
                Some(taken) => break taken,
                // The registration may be removed meanwhile: then this waits until the power is cut.
                None => drop(changes.changed().await),
            }
        };
        self.say(FromGuest::JobStarted).await?;
        let text = format!("running {}", request.name);
        self.say(FromGuest::Log { stream: Stream::Out, text, cut: false }).await?;
        if let Some(after) = faults.power_lost_after {
            tokio::time::sleep(after).await;
            self.outside.cut_power(self.vm);
            return std::future::pending().await;
        }
        tokio::time::sleep(faults.job_takes).await;
        self.outside.end_job(name, self.vm, job, request);
        self.say(FromGuest::JobDone).await?;
        self.leave(0).await
    }

    async fn leave(&mut self, code: i32) -> io::Result<()> {
        self.say(FromGuest::Exited { code }).await?;
        self.say(FromGuest::Bye).await
    }

    async fn say(&mut self, message: FromGuest) -> io::Result<()> {
        self.seq += 1;
        let said = Said { seq: self.seq, message };
        self.write(&said).await
    }

    async fn write(&mut self, said: &Said) -> io::Result<()> {
        let mut line = serde_json::to_vec(said)?;
        line.push(b'\n');
        self.writing.write_all(&line).await
    }
}
