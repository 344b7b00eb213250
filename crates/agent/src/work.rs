//! What the guest is for: GitHub's runner for one job, one command, or a login.

use crate::children::Children;
use crate::error::{During, Error};
use crate::outbox::Outbox;
use crate::sys::{Start, Text};
use crate::talk::Input;
use crate::users::User;
use crate::{hooks, logs};
use flint_wire::guest::Stream;
use flint_wire::{Secret, Work};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// Where an image has GitHub's runner, unless its `/etc/flint/image.json` says `runner_dir`.
const RUNNER_DIR: &str = "/opt/actions-runner";
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The user that does the work.
const USER: &str = "runner";

/// Work that was started.
pub(crate) struct Running {
    /// Its first process, which leads its group.
    pub(crate) pid: i32,
    logs: Vec<Receiver<()>>,
}

impl Running {
    /// Waits until all output was read, but only so long.
    pub(crate) fn finish_logs(&mut self, bound: Duration) {
        let until = Instant::now() + bound;
        for log in self.logs.drain(..) {
            let _in_time = log.recv_timeout(until.saturating_duration_since(Instant::now()));
        }
    }
}

/// What is needed to start work.
pub(crate) struct Starter<'a> {
    /// Where processes are started and buried.
    pub(crate) children: &'a Arc<Children>,
    /// Where its output goes.
    pub(crate) outbox: &'a Arc<Outbox>,
    /// Where its end is told.
    pub(crate) heard: &'a Sender<Input>,
}

impl Starter<'_> {
    /// Starts it; its end comes as [`Input::Exited`]. The secret in it is overwritten when this returns.
    pub(crate) fn start(&self, work: Work) -> Result<Running, Error> {
        let running = match work {
            Work::Runner { jit_config } => self.runner(&jit_config)?,
            Work::Command { argv } => self.command(&argv)?,
            Work::Login { password } => self.login(&password)?,
        };
        let (children, heard, pid) = (Arc::clone(self.children), self.heard.clone(), running.pid);
        let wait = move || {
            // The talk takes inputs until the power goes off.
            let _sent = heard.send(Input::Exited { code: children.wait(pid) });
        };
        thread::Builder::new().name("work".into()).spawn(wait).during("start a thread")?;
        Ok(running)
    }

    fn runner(&self, jit_config: &Secret) -> Result<Running, Error> {
        let user = User::named(USER)?;
        let image = Image::read()?;
        hooks::install(self.heard.clone())?;
        let mut env = environment(&user, &image);
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
        self.piped(&program, &user, Some(self.heard.clone()))
    }

    fn command(&self, argv: &[String]) -> Result<Running, Error> {
        let user = User::named(USER)?;
        let image = Image::read()?;
        let path = argv.first().and_then(|program| find_program(program)).ok_or_else(|| {
            Error::refused("start the command", format!("no program for {argv:?} in {PATH}"))
        })?;
        let env = environment(&user, &image);
        let argv = argv.iter().map(|argument| Text::of(&[argument])).collect();
        let directory = user.home.clone();
        self.piped(&Program { path, argv, env, directory }, &user, None)
    }

    /// Starts a program whose output is followed.
    fn piped(
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

    /// Sets the password in this guest's overlay and opens the console. Nothing is started after the logout.
    fn login(&self, password: &Secret) -> Result<Running, Error> {
        let user = User::named(USER)?;
        self.set_password(&user, password)?;
        let console = console_name()?;
        let argv = ["agetty", "--noclear", "--local-line", "115200", &console, "vt100"];
        let pid = self.as_root(&argv, File::open("/dev/null").during("open /dev/null")?.as_fd())?;
        Ok(Running { pid, logs: Vec::new() })
    }

    fn set_password(&self, user: &User, password: &Secret) -> Result<(), Error> {
        let (input, mut lines) = io::pipe().during("make a pipe")?;
        let pid = self.as_root(&["chpasswd"], input.as_fd())?;
        for part in [user.name.as_str(), ":", password.expose(), "\n"] {
            lines.write_all(part.as_bytes()).during("set the password")?;
        }
        drop(lines);
        match self.children.wait(pid) {
            0 => Ok(()),
            code => Err(Error::refused("set the password", format!("chpasswd ended with {code}"))),
        }
    }

    /// A tool of the image, as root, its output on the console.
    fn as_root(&self, argv: &[&str], input: std::os::fd::BorrowedFd<'_>) -> Result<i32, Error> {
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

/// A program of the work.
struct Program {
    path: String,
    argv: Vec<Text>,
    env: Vec<Text>,
    directory: String,
}

/// What an image says about itself.
struct Image {
    runner_dir: String,
    /// `NAME=value`, over Flint's own.
    env: Vec<(String, String)>,
}

impl Image {
    fn read() -> Result<Self, Error> {
        match fs::read("/etc/flint/image.json") {
            Ok(bytes) => Image::parse(&bytes)
                .ok_or_else(|| Error::refused("read /etc/flint/image.json", "not a JSON object")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Image { runner_dir: RUNNER_DIR.to_owned(), env: Vec::new() })
            }
            Err(error) => Err(error).during("read /etc/flint/image.json"),
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let object = value.as_object()?;
        let runner_dir = object.get("runner_dir").and_then(Value::as_str).unwrap_or(RUNNER_DIR);
        let env = object.get("env").and_then(Value::as_object).into_iter().flatten();
        let env = env.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        Some(Image { runner_dir: runner_dir.to_owned(), env: env.collect() })
    }
}

/// The environment of all work, without any secret.
fn environment(user: &User, image: &Image) -> Vec<Text> {
    let usual = [
        ("PATH", PATH),
        ("HOME", &user.home),
        ("USER", &user.name),
        ("LOGNAME", &user.name),
        ("SHELL", &user.shell),
        ("LANG", "C.UTF-8"),
    ];
    let kept = usual.iter().filter(|(name, _)| !image.env.iter().any(|(own, _)| own == name));
    let own = image.env.iter().map(|(name, value)| Text::of(&[name, "=", value]));
    kept.map(|(name, value)| Text::of(&[name, "=", value])).chain(own).collect()
}

fn find_program(name: &str) -> Option<String> {
    if name.contains('/') {
        return Some(name.to_owned());
    }
    let runs = |path: &String| {
        fs::metadata(path)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    PATH.split(':').map(|directory| format!("{directory}/{name}")).find(runs)
}

/// The console that the kernel speaks to; the last named is the one behind `/dev/console`.
fn console_name() -> Result<String, Error> {
    let path = "/sys/class/tty/console/active";
    let active = fs::read_to_string(path).during(format!("read {path}"))?;
    let last = active.split_whitespace().next_back();
    last.map(str::to_owned).ok_or_else(|| Error::refused("open a login", "there is no console"))
}

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn an_image_may_say_where_its_runner_is_and_what_its_environment_is() {
        let json = br#"{"runner_dir":"/runner","env":{"ImageOS":"debian12","odd":1},"other":[]}"#;
        let image = Image::parse(json).unwrap();
        assert_eq!(image.runner_dir, "/runner");
        assert_eq!(image.env, [("ImageOS".to_owned(), "debian12".to_owned())]);
        assert_eq!(Image::parse(b"{}").unwrap().runner_dir, "/opt/actions-runner");
        assert!(Image::parse(b"[]").is_none());
    }
}
