//! Starts a process that outlives this one: own session, own user, own namespace, and a record of who it is.
//!
//! The record is written by the child itself before it becomes the program, so there is no moment at which it runs
//! and nobody could find it again.

use crate::sys::process::{Process, boot_id};
use crate::sys::program;
use crate::sys::root::Root;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// What to start, and as whom. The environment is empty.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The program's file.
    pub program: &'a Path,
    /// Its arguments, without the program itself.
    pub args: Vec<OsString>,
    /// Where it starts; entered before the user changes, so its parents may be closed to that user.
    pub directory: &'a Path,
    /// As whom; `None` stays who we are.
    pub user: Option<User>,
    /// A network namespace's file to enter.
    pub netns: Option<&'a Path>,
    /// A tap device to open there and hand over.
    pub tap: Option<Tap>,
    /// A root directory to enter; `None` keeps the host's.
    pub root: Option<Root>,
    /// The longest list of open files.
    pub max_files: u64,
    /// The longest file it may write, in bytes.
    pub max_file: u64,
    /// `cgroup.procs` or `tasks` files to be put into, before the program runs.
    pub cgroups: Vec<PathBuf>,
    /// Where the record goes.
    pub record: &'a Path,
    /// Standard input; `None` is `/dev/null`.
    pub input: Option<OwnedFd>,
    /// Standard output; `None` is `/dev/null`.
    pub output: Option<OwnedFd>,
    /// Standard error, a file that is made anew.
    pub errors: &'a Path,
}

/// Whose rights a process gets. No supplementary groups but these, no way to gain more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// A tap device for a process that may not open `/dev/net/tun` itself.
#[derive(Debug)]
pub struct Tap {
    name: [libc::c_char; libc::IFNAMSIZ],
    place: OwnedFd,
}

impl Tap {
    /// The tap `name` of the namespace that the process will enter.
    ///
    /// # Errors
    /// When the name is no interface name, or no descriptor is free.
    pub fn named(name: &str) -> io::Result<Tap> {
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes.len() >= libc::IFNAMSIZ {
            let text = format!("`{name}` is not an interface name");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let mut raw = [0; libc::IFNAMSIZ];
        for (to, from) in raw.iter_mut().zip(bytes) {
            *to = from.cast_signed();
        }
        // Holds the number free, so that the child may put the tap there without hitting another descriptor.
        Ok(Tap { name: raw, place: File::open("/dev/null")?.into() })
    }

    /// The descriptor's number in the process.
    #[must_use]
    pub fn number(&self) -> RawFd {
        self.place.as_raw_fd()
    }
}

/// Starts it. It runs on when this process ends.
///
/// # Errors
/// When any step fails, in the child too; then nothing runs.
pub fn spawn(spawn: Spawn<'_>) -> io::Result<Process> {
    let mut record = File::create(spawn.record)?;
    record.write_all(boot_id()?.as_bytes())?;
    record.write_all(b"\n")?;
    let inside = Inside {
        record,
        netns: spawn.netns.map(File::open).transpose()?,
        tap: spawn.tap,
        root: spawn.root,
        cgroups: spawn.cgroups.iter().map(open_for_writing).collect::<io::Result<_>>()?,
        user: spawn.user,
        max_files: spawn.max_files,
        max_file: spawn.max_file,
    };
    let (input, output) = (spawn.input.map_or_else(Stdio::null, Stdio::from), spawn.output);
    let output = output.map_or_else(Stdio::null, Stdio::from);
    let mut command = program::bare(spawn.program);
    command.args(spawn.args).current_dir(spawn.directory);
    command.stdin(input).stdout(output).stderr(File::create(spawn.errors)?);
    #[expect(unsafe_code, reason = "the steps between fork and exec")]
    // SAFETY: `Inside::enter` makes system calls only: it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || inside.enter());
    }
    let child = command.spawn()?;
    // `child` is forgotten, not waited for: the pidfd reaps it.
    Process::child(child.id())
}

fn open_for_writing(path: &PathBuf) -> io::Result<File> {
    File::options().write(true).open(path)
}

/// What the child needs between fork and exec, opened before.
struct Inside {
    record: File,
    netns: Option<File>,
    tap: Option<Tap>,
    root: Option<Root>,
    cgroups: Vec<File>,
    user: Option<User>,
    max_files: u64,
    max_file: u64,
}

#[expect(
    unsafe_code,
    reason = "plain system calls between fork and exec, where libraries may not be used"
)]
impl Inside {
    /// The steps, in the only order that works: all that needs root, then the user.
    fn enter(&self) -> io::Result<()> {
        // SAFETY: no arguments.
        check(unsafe { libc::setsid() })?;
        for group in &self.cgroups {
            write_all(group.as_raw_fd(), b"0")?;
        }
        if let Some(netns) = &self.netns {
            // SAFETY: an open descriptor of a namespace.
            check(unsafe { libc::setns(netns.as_raw_fd(), libc::CLONE_NEWNET) })?;
        }
        if let Some(tap) = &self.tap {
            open_tap(tap)?;
        }
        // 0 would stop a file, not a program that takes dumps through a pipe; 1 stops both, see `do_coredump`.
        limit(libc::RLIMIT_CORE, 1)?;
        limit(libc::RLIMIT_NOFILE, self.max_files)?;
        limit(libc::RLIMIT_FSIZE, self.max_file)?;
        self.write_record()?;
        // After the last look at the host's own files.
        if let Some(root) = &self.root {
            root.enter()?;
        }
        if let Some(user) = &self.user {
            become_user(user)?;
        }
        Ok(())
    }

    /// Copies our own line of `/proc`, which holds number and start time.
    fn write_record(&self) -> io::Result<()> {
        let mut line = [0u8; 1024];
        // SAFETY: a C string, then a buffer of the length given; the descriptor is ours.
        let length = unsafe {
            let fd =
                check(libc::open(c"/proc/self/stat".as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC))?;
            let read = libc::read(fd, line.as_mut_ptr().cast(), line.len());
            libc::close(fd);
            read
        };
        let length = usize::try_from(length).map_err(|_| io::Error::last_os_error())?;
        write_all(self.record.as_raw_fd(), line.get(..length).unwrap_or_default())
    }
}

#[expect(unsafe_code, reason = "plain system calls between fork and exec")]
fn open_tap(tap: &Tap) -> io::Result<()> {
    // Offloads need the virtio header; the kernel takes these flags over on a tap that is there already.
    let flags = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    let mut request: libc::ifreq = {
        // SAFETY: all zero bytes are a valid ifreq.
        unsafe { std::mem::zeroed() }
    };
    request.ifr_name = tap.name;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(flags).unwrap_or_default();
    // SAFETY: C string, an ifreq that outlives the call, descriptors that are ours. `dup2` clears close-on-exec.
    unsafe {
        let fd = check(libc::open(c"/dev/net/tun".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC))?;
        check(libc::ioctl(fd, libc::TUNSETIFF, &raw mut request))?;
        check(libc::dup2(fd, tap.place.as_raw_fd()))?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "plain system calls between fork and exec")]
fn limit(resource: libc::__rlimit_resource_t, most: u64) -> io::Result<()> {
    let limit = libc::rlimit { rlim_cur: most, rlim_max: most };
    // SAFETY: a valid rlimit that outlives the call.
    check(unsafe { libc::setrlimit(resource, &raw const limit) }).map(drop)
}

#[expect(unsafe_code, reason = "plain system calls between fork and exec")]
fn become_user(user: &User) -> io::Result<()> {
    // SAFETY: a list of the length given; the rest are numbers. Groups first, the user last: after it nothing is allowed.
    unsafe {
        check(libc::setgroups(user.groups.len(), user.groups.as_ptr()))?;
        check(libc::setresgid(user.gid, user.gid, user.gid))?;
        check(libc::setresuid(user.uid, user.uid, user.uid))?;
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
    }
    Ok(())
}

#[expect(unsafe_code, reason = "plain system calls between fork and exec")]
fn write_all(fd: RawFd, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: a buffer of the length given.
    let wrote = unsafe { libc::write(fd, bytes.as_ptr().cast(), bytes.len()) };
    match usize::try_from(wrote) {
        Ok(wrote) if wrote == bytes.len() => Ok(()),
        // No text here: that would allocate.
        Ok(_) => Err(io::Error::from_raw_os_error(libc::EIO)),
        Err(_) => Err(io::Error::last_os_error()),
    }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// Where a program is, links followed: by its path, or by its name alone in `PATH`.
///
/// # Errors
/// When there is none.
pub fn find(program: &Path) -> io::Result<PathBuf> {
    if program.components().count() > 1 {
        return program.canonicalize();
    }
    let found = std::env::split_paths(&program::search())
        .find_map(|dir| dir.join(program).canonicalize().ok());
    found.ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Runs a program to its end and gives what it printed; for `--version` and the like.
///
/// # Errors
/// When it cannot be started. A program that fails is no error here.
pub async fn output(program: &Path, args: &[&str]) -> io::Result<(bool, String)> {
    let mut run = tokio::process::Command::from(program::tool(program));
    let output = run.args(args).stdin(Stdio::null()).output().await?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

/// Whether an ELF file asks for a loader, which a jail does not have.
///
/// # Errors
/// When it cannot be read or is no ELF file of this machine's word size.
pub fn is_dynamic(program: &Path) -> io::Result<bool> {
    const PT_INTERP: u32 = 3;
    let bytes = std::fs::read(program)?;
    let no_elf =
        || io::Error::new(io::ErrorKind::InvalidData, "not a 64-bit little-endian ELF file");
    if bytes.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err(no_elf());
    }
    let word = |at: usize, size: usize| -> Option<u64> {
        let field = bytes.get(at..at.checked_add(size)?)?;
        Some(field.iter().rev().fold(0, |all, byte| (all << 8) | u64::from(*byte)))
    };
    // e_phoff, e_phentsize, e_phnum of the ELF header; p_type opens each program header.
    let table = word(32, 8).zip(word(54, 2)).zip(word(56, 2)).ok_or_else(no_elf)?;
    let ((offset, size), count) = table;
    let kinds = (0..count).map(|n| {
        let at = usize::try_from(offset + n * size).ok()?;
        word(at, 4)
    });
    Ok(kinds.flatten().any(|kind| kind == u64::from(PT_INTERP)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::Ended;

    fn shell<'a>(script: &str, dir: &'a Path, record: &'a Path, errors: &'a Path) -> Spawn<'a> {
        Spawn {
            program: Path::new("/bin/sh"),
            args: vec!["-c".into(), script.into()],
            directory: dir,
            user: None,
            netns: None,
            tap: None,
            root: None,
            max_files: 64,
            max_file: 1 << 20,
            cgroups: Vec::new(),
            record,
            input: None,
            output: None,
            errors,
        }
    }

    #[tokio::test]
    async fn a_process_is_found_again_by_its_record_and_killed_by_its_pidfd() {
        let dir = tempfile::tempdir().unwrap();
        let (record, errors) = (dir.path().join("process"), dir.path().join("stderr"));
        let started = spawn(shell("exec sleep 600", dir.path(), &record, &errors)).unwrap();
        let found = Process::find(&record).unwrap().unwrap();
        assert_eq!(found.pid(), started.pid());
        found.kill().unwrap();
        assert_eq!(started.wait().await, Some(Ended::Signal(libc::SIGKILL)));
        assert_eq!(found.wait().await, None, "only one waiter is told how");
        assert!(Process::find(&record).unwrap().is_none());
        found.kill().unwrap();
    }

    #[tokio::test]
    async fn a_process_starts_in_its_own_session_with_limits_and_no_environment() {
        let dir = tempfile::tempdir().unwrap();
        let (record, errors) = (dir.path().join("process"), dir.path().join("stderr"));
        let script = "cut -d' ' -f1,6 /proc/self/stat >&2; /usr/bin/env >&2; ulimit -n -c >&2; ulimit -n >&2; ulimit -f >&2; echo $$ >&2; exit 7";
        let started = spawn(shell(script, dir.path(), &record, &errors)).unwrap();
        let pid = started.pid().to_string();
        assert_eq!(started.wait().await, Some(Ended::Code(7)));
        let said = std::fs::read_to_string(&errors).unwrap();
        let lines: Vec<&str> = said.lines().collect();
        let session = lines.first().and_then(|l| l.split(' ').nth(1));
        assert_eq!(session, Some(pid.as_str()), "{said}");
        // The latter in blocks of 512 bytes.
        assert!(lines.contains(&"64") && lines.contains(&"2048"), "{said}");
        assert!(!said.contains("PATH=") && !said.contains("HOME="), "{said}");
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_error_and_nothing_runs() {
        let dir = tempfile::tempdir().unwrap();
        let (record, errors) = (dir.path().join("process"), dir.path().join("stderr"));
        let mut order = shell("", dir.path(), &record, &errors);
        order.program = Path::new("/nowhere/to/be/found");
        assert_eq!(spawn(order).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(Process::find(&record).unwrap().is_none());
    }

    #[test]
    fn a_program_is_found_by_its_path_and_by_its_name() {
        assert_eq!(find(Path::new("sh")).unwrap(), find(Path::new("/bin/sh")).unwrap());
        assert_eq!(find(Path::new("no-such-program")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn the_shell_of_this_host_asks_for_a_loader() {
        assert!(is_dynamic(Path::new("/bin/sh")).unwrap());
        assert!(is_dynamic(Path::new("/etc/passwd")).is_err());
    }
}
