//! Starts this very program once more as a child that is given three descriptors and no environment.

use crate::sys::process::Process;
use crate::sys::program;
use rustix::fs::{Mode, OFlags};
use std::ffi::CStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

/// The program that runs now, even if its file has been replaced since.
pub const SELF: &str = "/proc/self/exe";

/// What the child has open.
#[derive(Debug)]
pub struct Given {
    /// 0.
    pub input: OwnedFd,
    /// 1.
    pub output: OwnedFd,
    /// 2.
    pub errors: OwnedFd,
}

/// Starts `file` (usually [`SELF`]) in `directory`, with an empty environment. It is found again by nobody: whoever
/// drops the process without an end leaves it to the closed descriptors.
///
/// # Errors
/// When it cannot be started.
pub fn start(file: &Path, args: &[String], directory: &Path, given: Given) -> io::Result<Process> {
    let mut command = program::bare(file);
    // For whoever looks at processes: the link's name says nothing.
    command.arg0("flint").args(args).current_dir(directory);
    command.stdin(Stdio::from(given.input));
    command.stdout(Stdio::from(given.output)).stderr(Stdio::from(given.errors));
    // The child is forgotten, not waited for: the pidfd reaps it.
    Process::child(command.spawn()?.id())
}

/// In the child: the name that `ps` and `top` show; at most 15 bytes count.
pub fn be_called(name: &CStr) {
    // Without it the child is only harder to find.
    let _ = rustix::thread::set_name(name);
}

/// In the child: its input and output, which are `/dev/null` from now on. Nothing that prints can meet them by mistake.
///
/// # Errors
/// When they are not open.
pub fn given() -> io::Result<(OwnedFd, OwnedFd)> {
    let input = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    let output = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdout(), 3)?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(&null)?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok((input, output))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::Ended;
    use std::io::Read;

    #[tokio::test]
    async fn the_child_has_what_it_is_given_and_no_environment() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let input = std::fs::File::open("/dev/null").unwrap();
        let given =
            Given { input: input.into(), output: write.try_clone().unwrap(), errors: write };
        // Above 2 there may be what this test's own parent left open without closing it on exec.
        let script = "for n in 0 1 2; do [ -e /proc/$$/fd/$n ] && echo $n; done; exec /usr/bin/env";
        let args = ["-c".to_owned(), script.to_owned()];
        let child = start(Path::new("/bin/sh"), &args, Path::new("/"), given).unwrap();
        assert_eq!(child.wait().await, Some(Ended::Code(0)));
        let mut said = String::new();
        std::fs::File::from(read).read_to_string(&mut said).unwrap();
        assert!(said.starts_with("0\n1\n2\n"), "{said}");
        assert!(!said.contains("PATH=") && !said.contains("HOME="), "{said}");
    }
}
