//! Starts programs of the image: as the job's user with their output followed, or as root on the console.

use crate::children::Children;
use crate::error::{During, Error};
use crate::image::{PATH, find_program};
use crate::input::Input;
use crate::logs;
use crate::outbox::Outbox;
use crate::sys::{Start, Text};
use crate::users::User;
use flint_wire::guest::Stream;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

/// A program that was started.
pub(crate) struct Running {
    /// Its process, which leads its group.
    pub(crate) pid: i32,
    logs: Vec<Receiver<()>>,
}

impl Running {
    /// A program whose output nobody reads here.
    pub(crate) fn unfollowed(pid: i32) -> Self {
        Running { pid, logs: Vec::new() }
    }

    /// Waits until all output was read, but only so long.
    pub(crate) fn finish_logs(&mut self, bound: Duration) {
        let until = Instant::now() + bound;
        for log in self.logs.drain(..) {
            let _in_time = log.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
    }
}

/// A program of the work.
pub(crate) struct Program {
    /// The file.
    pub(crate) path: String,
    /// Its arguments, itself first.
    pub(crate) argv: Vec<Text>,
    /// `NAME=value`.
    pub(crate) env: Vec<Text>,
    /// Where it starts.
    pub(crate) directory: String,
}

/// What programs are started with.
pub(crate) struct Programs<'a> {
    /// Where processes are started and buried.
    pub(crate) children: &'a Arc<Children>,
    /// Where output goes.
    pub(crate) outbox: &'a Arc<Outbox>,
}

impl Programs<'_> {
    /// Starts a program as this user; its output becomes log lines, and `listening` hears the runner's word for it.
    pub(crate) fn followed(
        &self,
        program: &Program,
        user: &User,
        listening: Option<Sender<Input>>,
    ) -> Result<Running, Error> {
        let step = format!("start {}", program.path);
        let nothing = File::open("/dev/null").during("open /dev/null")?;
        let (out, out_end) = io::pipe().during(&step)?;
        let (err, err_end) = io::pipe().during(&step)?;
        let identity = user.identity();
        let start = Start {
            program: Text::of(&[&program.path]),
            argv: &program.argv,
            env: &program.env,
            directory: Text::of(&[&program.directory]),
            identity: Some(&identity),
            stdio: [nothing.as_fd(), out_end.as_fd(), err_end.as_fd()],
        };
        let pid = self.children.start(&start).during(&step)?;
        let logs = vec![
            logs::follow(out, Stream::Out, Arc::clone(self.outbox), listening)?,
            logs::follow(err, Stream::Err, Arc::clone(self.outbox), None)?,
        ];
        Ok(Running { pid, logs })
    }

    /// Starts a tool of the image as root, its output on the console; gives its process.
    pub(crate) fn as_root(&self, argv: &[&str], input: BorrowedFd<'_>) -> Result<i32, Error> {
        let step = format!("start {}", argv[0]);
        let path = find_program(argv[0]).ok_or_else(|| {
            Error::refused(&step, format!("the image does not have it in {PATH}"))
        })?;
        let console =
            File::options().write(true).open("/dev/console").during("open /dev/console")?;
        let argv: Vec<_> = argv.iter().map(|argument| Text::of(&[argument])).collect();
        let env = [Text::of(&["PATH=", PATH]), Text::of(&["TERM=vt100"])];
        let start = Start {
            program: Text::of(&[&path]),
            argv: &argv,
            env: &env,
            directory: Text::of(&["/"]),
            identity: None,
            stdio: [input, console.as_fd(), console.as_fd()],
        };
        self.children.start(&start).during(step)
    }
}
