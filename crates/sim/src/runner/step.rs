//! Runs one script with bash and can be told to stop it: SIGINT, 7.5 s, SIGTERM, 2.5 s, SIGKILL.

use super::Error;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const AFTER_INTERRUPT: Duration = Duration::from_millis(7500);
const AFTER_TERMINATE: Duration = Duration::from_millis(2500);
/// Something the step left behind may hold its output open; the job does not wait for it.
const AFTER_END: Duration = Duration::from_secs(2);
const GLANCE: Duration = Duration::from_millis(10);

/// A script that is ready to run.
pub(super) struct Script<'a> {
    pub(super) file: PathBuf,
    pub(super) shell: Option<&'a str>,
    pub(super) directory: PathBuf,
    pub(super) env: Vec<(String, String)>,
    pub(super) timeout: Option<Duration>,
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// With this code; 128 + n for a signal.
    Code(i32),
    /// Stopped because its time was up.
    TimedOut,
    /// Stopped because the job was cancelled.
    Cancelled,
}

impl Script<'_> {
    /// Runs it to its end, giving each line of output to `out`.
    pub(super) fn run(
        &self,
        cancelled: &AtomicBool,
        mut out: impl FnMut(String),
    ) -> Result<End, Error> {
        let failed = |source| Error::File { path: self.file.clone(), source };
        let (reader, writer) = std::io::pipe().map_err(failed)?;
        let mut command = self.command();
        command.stdin(Stdio::null()).stderr(writer.try_clone().map_err(failed)?).stdout(writer);
        // A group of its own: a signal reaches what the script started, and not us.
        let mut child = command.process_group(0).spawn().map_err(failed)?;
        // Else our copy of the writing end would keep the pipe open.
        drop(command);
        let (lines, read) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
                if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let end = self
            .watch(&mut child, cancelled, || read.try_iter().for_each(&mut out))
            .map_err(failed);
        let deadline = Instant::now() + AFTER_END;
        while let Ok(line) = read.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            out(line);
        }
        end
    }

    fn command(&self) -> Command {
        let mut command = Command::new(if self.shell == Some("sh") { "sh" } else { "bash" });
        match self.shell {
            Some("bash") => command.args(["--noprofile", "--norc", "-eo", "pipefail"]),
            _ => command.arg("-e"),
        };
        command.arg(&self.file).current_dir(&self.directory);
        command.env_remove(super::JIT_VARIABLE).envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }

    fn watch(
        &self,
        child: &mut Child,
        cancelled: &AtomicBool,
        mut each: impl FnMut(),
    ) -> std::io::Result<End> {
        let started = Instant::now();
        loop {
            each();
            if let Some(status) = child.try_wait()? {
                return Ok(End::Code(code(status)));
            }
            let over = self.timeout.is_some_and(|limit| started.elapsed() >= limit);
            if cancelled.load(Ordering::SeqCst) || over {
                stop(child, &mut each)?;
                return Ok(if over { End::TimedOut } else { End::Cancelled });
            }
            thread::sleep(GLANCE);
        }
    }
}

fn stop(child: &mut Child, each: &mut impl FnMut()) -> std::io::Result<()> {
    for (signal, patience) in [("INT", AFTER_INTERRUPT), ("TERM", AFTER_TERMINATE)] {
        send_signal(signal, child.id());
        let sent = Instant::now();
        while sent.elapsed() < patience {
            each();
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(GLANCE);
        }
    }
    send_signal("KILL", child.id());
    child.wait().map(|_| ())
}

/// By bash's own `kill`: bash is here anyway, and the standard library has no call for it.
fn send_signal(signal: &str, group: u32) {
    let kill = format!("kill -s {signal} -- -{group}");
    let _ = Command::new("bash")
        .args(["-c", &kill])
        .env_remove(super::JIT_VARIABLE)
        .stderr(Stdio::null())
        .status();
}

fn code(status: ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1)
}

/// Writes a script's text to where bash reads it.
pub(super) fn write_script(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::File { path: path.to_owned(), source })
}
