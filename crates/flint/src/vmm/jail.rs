//! One microVM's place on the host: `<jails>/<engine>/vm-42/`, its user, its cgroup, its process. All found by id.
//!
//! ```text
//! vm-42/process     who it is: written by the process itself before it became the VMM    (root's)
//! vm-42/stderr      its last words                                                       (root's)
//! vm-42/root/       what the VMM sees: kernel, disks, sockets                            (the microVM's user)
//! ```
//! The VMM may do what it likes in `root/`, so nothing in there is trusted or followed.

use crate::sys::cgroup::{Group, Hierarchies, Limits};
use crate::sys::process::{Ended, Process};
use crate::sys::{host_facts, spawn, threads, tree};
use crate::vmm::{Boot, Error, Inventory};
use flint_core::id::{Slot, VmId};
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a killed process may take to go. A guest with gigabytes touched takes half a second.
const DEATH_MAX: Duration = Duration::from_secs(20);

/// The longest file that a VMM without larger disks may write, in bytes: far more than any of its logs.
const LOGS_MAX: u64 = 64 << 20;

/// Where jails are, and as whom they run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The directory of all jails, `/var/lib/flint/jail`. On one file system with the scratch disks.
    pub dir: PathBuf,
    /// The directory of the consoles' files, `vm-42.console`.
    pub logs: PathBuf,
    /// The user id of slot 0; slot `n` has `uid_base + n`.
    pub uid_base: u32,
    /// The group id of slot 0.
    pub gid_base: u32,
    /// The cgroup above all microVMs.
    pub cgroup: String,
    /// Whether a VMM may run without a seccomp filter on every thread. Only for builds that have none.
    pub allow_unfiltered: bool,
}

/// All jails of a host.
#[derive(Debug)]
pub struct Jails {
    options: Options,
    hierarchies: Hierarchies,
    running: Mutex<BTreeMap<VmId, Arc<Running>>>,
}

/// A jail that has just been made.
#[derive(Debug)]
pub struct Jail {
    /// `vm-42/`.
    pub dir: PathBuf,
    /// `vm-42/root/`.
    pub root: PathBuf,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Where its process must write itself into.
    pub cgroups: Vec<PathBuf>,
    /// The longest file its process may write, in bytes: its largest writable disk, and room for logs.
    pub max_file: u64,
}

/// A VMM's process.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub process: Process,
    killed: AtomicBool,
    tasks: Mutex<Vec<tokio::task::AbortHandle>>,
}

/// How a process came to its end, before a VMM's own knowledge is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The out-of-memory killer.
    OutOfMemory,
    /// A signal from outside, ours among them.
    Killed,
    /// By itself, with this code; `None` when it was not our child.
    Code(Option<i32>),
}

impl Jails {
    /// The jails below `options.dir`.
    #[must_use]
    pub fn new(options: Options) -> Arc<Jails> {
        let hierarchies = Hierarchies::detect();
        Arc::new(Jails { options, hierarchies, running: Mutex::default() })
    }

    /// As whom a slot's microVM runs.
    #[must_use]
    pub fn user(&self, slot: Slot) -> (u32, u32) {
        let slot = u32::from(slot.0);
        (self.options.uid_base + slot, self.options.gid_base + slot)
    }

    /// The file that keeps a console's output.
    #[must_use]
    pub fn console(&self, vm: VmId) -> PathBuf {
        self.options.logs.join(format!("{vm}.console"))
    }

    /// Removes the group above all microVMs, for the end of a daemon. One that still holds a microVM stays.
    pub fn leave(&self) {
        // Busy is right: a microVM outlives the daemon.
        let _busy = self.hierarchies.group(&self.options.cgroup, "").remove();
    }

    /// Whether others than root can write where the jails are: they could then enter any of them.
    ///
    /// # Errors
    /// [`Error::Place`]
    pub fn check(&self) -> Result<(), Error> {
        let path = self.options.dir.clone();
        match tree::writable_by_others(&path) {
            Ok(None) => Ok(()),
            Ok(Some(open)) => {
                let why = format!("others than root can write `{}`", open.display());
                Err(Error::Place { path, why })
            }
            Err(e) => Err(Error::Place { path, why: e.to_string() }),
        }
    }

    /// Whether their file system takes devices and programs, as the jailer puts them there.
    ///
    /// # Errors
    /// [`Error::Place`]
    pub fn check_mount(&self) -> Result<(), Error> {
        let path = self.options.dir.clone();
        let options = host_facts::mount_of(&path).map(|mount| mount.options).unwrap_or_default();
        match ["nodev", "noexec"].into_iter().find(|bad| options.iter().any(|has| has == bad)) {
            None => Ok(()),
            Some(bad) => {
                Err(Error::Place { path, why: format!("its file system is mounted `{bad}`") })
            }
        }
    }

    /// Which limits this host cannot set, for people.
    #[must_use]
    pub fn unlimited(&self) -> Vec<&'static str> {
        self.hierarchies.missing()
    }

    /// Makes the jail of a microVM anew: kernel, initramfs and shared disks as links that nobody may write, its own
    /// disks as links that belong to its user, under the names `vmlinux`, `initramfs` and `vda`, `vdb`, ….
    ///
    /// # Errors
    /// [`Error`]; something may be left.
    pub async fn make(
        self: &Arc<Self>,
        engine: &str,
        boot: &Boot,
        overhead: u64,
    ) -> Result<Jail, Error> {
        self.kill(boot.vm).await?;
        let (jails, engine, boot) = (Arc::clone(self), engine.to_owned(), boot.clone());
        blocking(move || jails.make_now(&engine, &boot, overhead)).await
    }

    fn make_now(&self, engine: &str, boot: &Boot, overhead: u64) -> Result<Jail, Error> {
        let vm = boot.vm;
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Jail { vm, path, source }
        };
        let (uid, gid) = self.user(boot.slot);
        let dir = self.options.dir.join(engine).join(vm.to_string());
        let root = dir.join("root");
        tree::directory_for(&root, uid, gid).map_err(failed(&root))?;
        for (name, from) in [("vmlinux", &boot.kernel), ("initramfs", &boot.initramfs)] {
            self.share(from, &root.join(name)).map_err(failed(from))?;
        }
        let mut max_file = LOGS_MAX;
        for (name, drive) in drive_names().zip(&boot.drives) {
            let to = root.join(name);
            if !drive.writable {
                self.share(&drive.path, &to).map_err(failed(&drive.path))?;
                continue;
            }
            let disk = fs::metadata(&drive.path).map_err(failed(&drive.path))?;
            max_file = max_file.max(disk.len());
            tree::give(&drive.path, &to, uid, gid).map_err(|source| match source.kind() {
                io::ErrorKind::CrossesDevices => {
                    Error::OtherFileSystem { vm, disk: drive.path.clone(), jail: root.clone() }
                }
                _ => Error::Jail { vm, path: drive.path.clone(), source },
            })?;
        }
        let limits = Limits {
            memory: boot.shape.memory.0.saturating_mul(1 << 20).saturating_add(overhead),
            cpus: boot.shape.vcpus.max(1),
            // vCPU threads, block workers, and the jailer before them.
            tasks: 256,
        };
        let made = self.hierarchies.make(&self.options.cgroup, &vm.to_string(), limits);
        if let Some(error) = made.no_scope {
            tracing::warn!(%vm, %error, "systemd made no scope for it, so Flint made its group itself; `flint doctor` tries again and says what to do");
        }
        for trouble in made.troubles {
            tracing::warn!(%vm, trouble, "runs without a limit");
        }
        Ok(Jail { dir, root, uid, gid, cgroups: made.join, max_file })
    }

    fn share(&self, from: &Path, to: &Path) -> io::Result<()> {
        let copied = tree::share(from, to, &self.options.dir.join("shared"))?;
        if copied {
            let (from, dir) = (from.display(), self.options.dir.display());
            tracing::warn!(%from, %dir, "lies on another file system than the jails, so a copy is kept there");
        }
        Ok(())
    }

    /// Remembers a process that was just started.
    pub fn track(&self, vm: VmId, process: Process) -> Arc<Running> {
        let running =
            Arc::new(Running { process, killed: AtomicBool::new(false), tasks: Mutex::default() });
        self.map().insert(vm, Arc::clone(&running));
        running
    }

    /// Ends a VMM that has just started if any thread of it runs without a seccomp filter: what a guest makes of it
    /// could then ask the kernel for anything. Its guest has seen no secret yet.
    ///
    /// # Errors
    /// [`Error::Unfiltered`] with the first such thread, or [`Error::Scan`].
    pub async fn hold_to_filter(
        self: &Arc<Self>,
        vm: VmId,
        program: &Path,
        running: &Running,
    ) -> Result<(), Error> {
        let scan = |source| Error::Scan { path: running.process.place(), source };
        let found = threads::unfiltered(&running.process).map_err(scan)?;
        let Some(first) = found.into_iter().next() else { return Ok(()) };
        if self.options.allow_unfiltered {
            tracing::warn!(%vm, thread = first.name, "runs without a seccomp filter, as the configuration allows");
            return Ok(());
        }
        self.kill(vm).await?;
        Err(Error::Unfiltered { vm, program: program.to_owned(), thread: first.name })
    }

    /// The process of a microVM, whoever started it; `None` when none runs.
    #[must_use]
    pub fn running(&self, vm: VmId) -> Option<Arc<Running>> {
        if let Some(known) = self.map().get(&vm) {
            return Some(Arc::clone(known));
        }
        let record = self.dirs(vm).ok()?.into_iter().map(|dir| dir.join("process"));
        let process = record.filter_map(|file| Process::find(&file).ok().flatten()).next()?;
        Some(self.track(vm, process))
    }

    /// A microVM's directory under this engine.
    #[must_use]
    pub fn root(&self, engine: &str, vm: VmId) -> PathBuf {
        self.options.dir.join(engine).join(vm.to_string()).join("root")
    }

    /// Waits until a microVM's process has ended.
    pub async fn ended(&self, vm: VmId) -> End {
        let Some(running) = self.running(vm) else { return End::Code(None) };
        let ended = running.process.wait().await;
        let taken = self.hierarchies.group(&self.options.cgroup, &vm.to_string()).oom_kills() > 0;
        match ended {
            _ if running.killed.load(Ordering::Acquire) => End::Killed,
            Some(Ended::Code(code)) => End::Code(Some(code)),
            _ if taken => End::OutOfMemory,
            Some(Ended::Signal(_)) => End::Killed,
            None => End::Code(None),
        }
    }

    /// What a microVM's process said on its way out, in one line.
    #[must_use]
    pub fn said(&self, vm: VmId) -> String {
        let dirs = self.dirs(vm).unwrap_or_default();
        dirs.first().map_or_else(|| "nothing".to_owned(), |dir| said(dir))
    }

    /// Ends a microVM's process and removes its jail and cgroup, whatever of it is there.
    ///
    /// # Errors
    /// [`Error::Leftover`]
    pub async fn kill(self: &Arc<Self>, vm: VmId) -> Result<(), Error> {
        let group = self.hierarchies.group(&self.options.cgroup, &vm.to_string());
        let left = move |path: PathBuf| move |source| Error::Leftover { vm, path, source };
        if let Some(running) = self.running(vm) {
            running.killed.store(true, Ordering::Release);
            let proc = running.process.place();
            running.process.kill().map_err(left(proc.clone()))?;
            let gone = tokio::time::timeout(DEATH_MAX, running.process.wait()).await;
            gone.map_err(|late| left(proc)(late.into()))?;
            for task in running.tasks.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
                task.abort();
            }
        }
        remove_group(&group)
            .await
            .map_err(left(format!("cgroup {}/{vm}", self.options.cgroup).into()))?;
        let jails = Arc::clone(self);
        blocking(move || {
            for dir in jails.dirs(vm)? {
                tree::remove(&dir).map_err(left(dir.clone()))?;
            }
            Ok(())
        })
        .await?;
        self.map().remove(&vm);
        Ok(())
    }

    /// What is there of any engine.
    ///
    /// # Errors
    /// [`Error::Scan`]
    pub async fn inventory(self: &Arc<Self>) -> Result<Inventory, Error> {
        let jails = Arc::clone(self);
        blocking(move || {
            let mut found = Inventory::default();
            for dir in jails.all()? {
                let name = dir.file_name().and_then(|name| name.to_str());
                let Some(vm) = name.and_then(|name| name.parse().ok()) else { continue };
                found.present.insert(vm);
                if Process::find(&dir.join("process")).ok().flatten().is_some() {
                    found.alive.insert(vm);
                }
            }
            Ok(found)
        })
        .await
    }

    /// Every directory of this microVM, one at most unless the engine's name changed.
    fn dirs(&self, vm: VmId) -> Result<Vec<PathBuf>, Error> {
        let engines = self.list(&self.options.dir)?.into_iter();
        let dirs = engines.map(|engine| engine.join(vm.to_string()));
        Ok(dirs.filter(|dir| dir.exists()).collect())
    }

    fn all(&self) -> Result<Vec<PathBuf>, Error> {
        let mut dirs = Vec::new();
        for engine in self.list(&self.options.dir)? {
            dirs.extend(self.list(&engine)?);
        }
        Ok(dirs)
    }

    fn list(&self, path: &Path) -> Result<Vec<PathBuf>, Error> {
        tree::entries(path).map_err(|source| Error::Scan { path: path.to_owned(), source })
    }

    fn map(&self) -> std::sync::MutexGuard<'_, BTreeMap<VmId, Arc<Running>>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Running {
    /// Gives a task that lives as long as the process.
    pub fn keep(&self, task: &tokio::task::JoinHandle<()>) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).push(task.abort_handle());
    }

    /// Whether no task has been given yet: the process was started by an earlier daemon.
    #[must_use]
    pub fn is_adopted(&self) -> bool {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl Jail {
    /// What the process said before it ended, in one line.
    #[must_use]
    pub fn said(&self) -> String {
        said(&self.dir)
    }

    /// What a process in this jail needs to start; programs and arguments are the caller's.
    #[must_use]
    pub fn spawn<'a>(&'a self, paths: &'a Paths, program: &'a Path) -> spawn::Spawn<'a> {
        spawn::Spawn {
            program,
            args: Vec::new(),
            directory: &self.root,
            user: None,
            netns: None,
            tap: None,
            root: None,
            max_files: 2048,
            max_file: self.max_file,
            cgroups: self.cgroups.clone(),
            record: &paths.record,
            input: None,
            output: None,
            errors: &paths.errors,
        }
    }

    /// Where the process's record and last words go.
    #[must_use]
    pub fn paths(&self) -> Paths {
        Paths { record: self.dir.join("process"), errors: self.dir.join("stderr") }
    }
}

/// Two files in a jail's directory.
#[derive(Debug)]
pub struct Paths {
    /// `process`.
    pub record: PathBuf,
    /// `stderr`.
    pub errors: PathBuf,
}

/// `vda`, `vdb`, … `vdz`.
pub fn drive_names() -> impl Iterator<Item = String> {
    ('a'..='z').map(|letter| format!("vd{letter}"))
}

/// A group stays busy until the kernel has taken its last process down.
async fn remove_group(group: &Group) -> io::Result<()> {
    let until = tokio::time::Instant::now() + DEATH_MAX;
    loop {
        group.kill()?;
        match group.remove() {
            Err(e)
                if e.kind() == io::ErrorKind::ResourceBusy
                    && tokio::time::Instant::now() < until =>
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            removed => return removed,
        }
    }
}

/// File work away from the threads that must not wait.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}
/// The last words of a jail's process.
fn said(dir: &Path) -> String {
    let bytes = tree::read_file(&dir.join("stderr"), 4096).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    // The jailer says it twice: in words, and as a `Debug` line.
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let words: Vec<&str> = lines.iter().copied().filter(|l| !l.starts_with("Error: ")).collect();
    let said = if words.is_empty() { lines } else { words };
    if said.is_empty() { "nothing".to_owned() } else { said.join("; ") }
}
