//! What the guest is for: GitHub's runner for one job, one command, or a login.

use crate::error::{During, Error};
use crate::image::{Image, PATH, environment, find_program};
use crate::input::Input;
use crate::programs::{Program, Programs, Running};
use crate::sys::Text;
use crate::users::User;
use crate::{admit, hooks, login, trust};
use flint_wire::{Secret, Work};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread;

/// The user that does the work.
const USER: &str = "runner";

/// What is needed to start work.
pub(crate) struct Starter<'a> {
    /// What its processes are started with.
    pub(crate) programs: Programs<'a>,
    /// Where its end is told.
    pub(crate) heard: &'a Sender<Input>,
}

impl Starter<'_> {
    /// Starts it; its end comes as [`Input::Exited`]. The secret in it is overwritten when this returns.
    pub(crate) fn start(&self, work: Work) -> Result<Running, Error> {
        let running = match work {
            Work::Runner { jit_config, admits, repositories, ca_certificates } => {
                let trusted = ca_certificates.as_deref().map(trust::install).transpose()?;
                let line = admit::line(hooks::PROGRAM, admits, repositories.as_ref());
                self.runner(&jit_config, &line, &trusted.unwrap_or_default())?
            }
            Work::Command { argv } => self.command(&argv)?,
            Work::Login { password } => {
                login::start(&self.programs, &User::named(USER)?, &password)?
            }
        };
        let (children, heard, pid) =
            (Arc::clone(self.programs.children), self.heard.clone(), running.pid);
        let wait = move || {
            // The talk takes inputs until the power goes off.
            let _sent = heard.send(Input::Exited { code: children.wait(pid) });
        };
        thread::Builder::new().name("work".into()).spawn(wait).during("start a thread")?;
        Ok(running)
    }

    /// `asked` is the last line of the hook before the job's first step.
    fn runner(
        &self,
        jit_config: &Secret,
        asked: &str,
        trusted: &[(&str, String)],
    ) -> Result<Running, Error> {
        let user = User::named(USER)?;
        let image = Image::read()?;
        hooks::install(self.heard.clone(), asked)?;
        let mut env = environment(&user, &image, trusted);
        for (name, value) in [
            ("ACTIONS_RUNNER_HOOK_JOB_STARTED", hooks::STARTED),
            ("ACTIONS_RUNNER_HOOK_JOB_COMPLETED", hooks::COMPLETED),
            // Else a runner that is too old ends like any other failure.
            ("ACTIONS_RUNNER_RETURN_VERSION_DEPRECATED_EXIT_CODE", "1"),
            ("ACTIONS_RUNNER_INPUT_JITCONFIG", jit_config.expose()),
        ] {
            env.push(Text::of(&[name, "=", value]));
        }
        let listener = format!("{}/bin/Runner.Listener", image.runner_dir);
        if !Path::new(&listener).exists() {
            return Err(Error::refused("start the runner", format!("the image has no {listener}")));
        }
        let argv = vec![Text::of(&[&listener]), Text::of(&["run"])];
        let program = Program { path: listener, argv, env, directory: image.runner_dir };
        self.programs.followed(&program, &user, Some(self.heard.clone()))
    }

    fn command(&self, argv: &[String]) -> Result<Running, Error> {
        let user = User::named(USER)?;
        let image = Image::read()?;
        let path = argv.first().and_then(|program| find_program(program)).ok_or_else(|| {
            Error::refused("start the command", format!("no program for {argv:?} in {PATH}"))
        })?;
        let env = environment(&user, &image, &[]);
        let argv = argv.iter().map(|argument| Text::of(&[argument])).collect();
        let directory = user.home.clone();
        self.programs.followed(&Program { path, argv, env, directory }, &user, None)
    }
}
