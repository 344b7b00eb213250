//! The conversation: one state, one loop, every input in one place.

use crate::children::Children;
use crate::disks::{self, Root};
use crate::error::Error;
use crate::input::{Hint, Input};
use crate::outbox::{Outbox, Rest};
use crate::programs::{Programs, Running};
use crate::work::Starter;
use crate::{Began, configure, image, sys};
use flint_wire::guest::Stream;
use flint_wire::{FromGuest, PROTOCOL, ToGuest, Work};
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// Written but not acknowledged: the host is there and had the time to read.
const UNACKNOWLEDGED: Duration = Duration::from_secs(2);
/// The host is away, perhaps restarting: its service manager takes seconds for that, and it looks at its host then.
/// Nobody else can use this guest's place meanwhile.
const UNWRITTEN: Duration = Duration::from_secs(120);

/// Whether the life goes on.
#[derive(PartialEq, Eq)]
enum Life {
    GoesOn,
    Ends,
}

/// What has been said already; each of these is said once.
#[derive(Default)]
struct Told {
    listening: bool,
    started: bool,
    done: bool,
}

/// The conversation's state.
pub(crate) struct Talk {
    began: Began,
    root: Root,
    outbox: Arc<Outbox>,
    children: Arc<Children>,
    heard: Sender<Input>,
    configured: bool,
    work: Option<Running>,
    /// When what is left is ended by force.
    force_at: Option<Instant>,
    told: Told,
}

impl Talk {
    /// Before the first word.
    pub(crate) fn new(
        began: Began,
        outbox: Arc<Outbox>,
        heard: Sender<Input>,
    ) -> Result<Self, Error> {
        Ok(Talk {
            began,
            root: Root::Initramfs,
            outbox,
            children: Children::begin()?,
            heard,
            configured: false,
            work: None,
            force_at: None,
            told: Told::default(),
        })
    }

    /// Enters the root, then talks until there is nothing left to do.
    pub(crate) fn live(&mut self, inputs: &Receiver<Input>) -> Result<(), Error> {
        self.root = disks::enter_root()?;
        loop {
            let input = match self.force_at {
                None => inputs.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => inputs.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            let life = match input {
                Ok(input) => self.take(input)?,
                Err(RecvTimeoutError::Timeout) => {
                    self.force_at = None;
                    sys::kill_all();
                    Life::GoesOn
                }
                Err(RecvTimeoutError::Disconnected) => Life::Ends,
            };
            if life == Life::Ends {
                self.outbox.say(FromGuest::Bye);
                return Ok(());
            }
        }
    }

    /// Stays until the host has everything, within bounds; a host that comes back now is still answered.
    pub(crate) fn farewell(&self, inputs: &Receiver<Input>) {
        let began = Instant::now();
        loop {
            let bound = match self.outbox.rest() {
                Rest::Nothing => return,
                Rest::Unacknowledged => UNACKNOWLEDGED,
                Rest::Unwritten => UNWRITTEN,
            };
            let Some(left) = bound.checked_sub(began.elapsed()) else { return };
            // In small steps, because what is written meanwhile shortens the bound.
            match inputs.recv_timeout(left.min(Duration::from_millis(100))) {
                Ok(Input::Hello { nonce, link }) => {
                    self.outbox.connect(link, &self.hello(nonce));
                }
                Ok(Input::Away) => self.outbox.disconnect(),
                Ok(Input::Doubt) => self.outbox.doubt(),
                Ok(Input::Host(ToGuest::Ack { seq })) => self.outbox.forget(seq),
                Ok(_) | Err(_) => {}
            }
        }
    }

    fn take(&mut self, input: Input) -> Result<Life, Error> {
        match input {
            Input::Hello { nonce, link } => self.outbox.connect(link, &self.hello(nonce)),
            Input::Away => self.outbox.disconnect(),
            Input::Doubt => self.outbox.doubt(),
            Input::Host(message) => return self.obey(message),
            Input::Garbled(error) => self.remark(error.to_string()),
            Input::Listening if !self.told.listening && !self.told.started => {
                self.told.listening = true;
                self.outbox.say(FromGuest::Listening);
            }
            Input::Hint(Hint::Started) if !self.told.started => {
                self.told.started = true;
                self.outbox.say(FromGuest::JobStarted);
            }
            Input::Hint(Hint::Completed) if self.told.started && !self.told.done => {
                self.told.done = true;
                self.outbox.say(FromGuest::JobDone);
            }
            // Said again, or out of order: a job can make the hooks say anything.
            Input::Listening | Input::Hint(_) => {}
            Input::Exited { code } => {
                self.end_work();
                self.outbox.say(FromGuest::Exited { code });
                return Ok(Life::Ends);
            }
        }
        Ok(Life::GoesOn)
    }

    fn obey(&mut self, message: ToGuest) -> Result<Life, Error> {
        match message {
            ToGuest::Ack { seq } => self.outbox.forget(seq),
            ToGuest::Configure { hostname, time_unix_ns, entropy, network } if !self.configured => {
                configure::name_and_seed(&hostname, time_unix_ns, &entropy)?;
                configure::connect(&hostname, network.as_ref())?;
                self.configured = true;
                let kernel_ms = milliseconds(self.began.kernel);
                let agent_ms = milliseconds(self.began.at.elapsed());
                let runner = image::runner_version();
                self.outbox.say(FromGuest::Ready { kernel_ms, agent_ms, runner });
            }
            ToGuest::Work(work) if self.work.is_none() => self.begin(work)?,
            ToGuest::Configure { .. } => self.remark("configured already; ignored".into()),
            ToGuest::Work(_) => self.remark("has its work already; ignored".into()),
            ToGuest::Stop { grace_s } => return Ok(self.stop(grace_s)),
            // The ear hands a hello over apart, with the way back.
            ToGuest::Hello { .. } => {}
        }
        Ok(Life::GoesOn)
    }

    fn begin(&mut self, work: Work) -> Result<(), Error> {
        if !self.configured || self.root == Root::Initramfs {
            let why = if self.configured { "the guest has no disks" } else { "not configured yet" };
            return Err(Error::refused("start the work", why));
        }
        let programs = Programs { children: &self.children, outbox: &self.outbox };
        self.work = Some(Starter { programs, heard: &self.heard }.start(work)?);
        Ok(())
    }

    fn stop(&mut self, grace_s: u32) -> Life {
        let Some(work) = &self.work else { return Life::Ends };
        if let Some(group) = Pid::from_raw(work.pid) {
            // Gone already: its end is on the way.
            let _gone = kill_process_group(group, Signal::TERM);
        }
        let at = Instant::now() + Duration::from_secs(grace_s.into());
        self.force_at = Some(self.force_at.map_or(at, |earlier| earlier.min(at)));
        Life::GoesOn
    }

    /// Ends what the work left behind; only then its last lines are all read.
    fn end_work(&mut self) {
        sys::kill_all();
        if let Some(work) = &mut self.work {
            work.finish_logs(Duration::from_secs(2));
        }
    }

    fn hello(&self, nonce: String) -> FromGuest {
        let kernel = |path: &str| fs::read_to_string(path).unwrap_or_default().trim().to_owned();
        FromGuest::Hello {
            protocol: PROTOCOL,
            nonce,
            agent: env!("CARGO_PKG_VERSION").to_owned(),
            boot_id: kernel("/proc/sys/kernel/random/boot_id"),
            kernel: kernel("/proc/sys/kernel/osrelease"),
            configured: self.configured,
            admits: true,
            repositories: true,
            ca_certificates: true,
        }
    }

    fn remark(&self, text: String) {
        self.outbox.log(FromGuest::Log { stream: Stream::Agent, text, cut: false });
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
