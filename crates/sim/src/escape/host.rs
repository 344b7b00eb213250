//! What the host shows of what a guest tries: its processes, files, and the daemon's own words.

use super::table::Row;
use crate::demo::daemon::Daemon;
use anyhow::{Context, Result, bail};
use flint::api::{Jobs, VmRow, Vms};
use flint::sys::process::Process;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;

/// How often something is looked at that cannot be waited for.
const GLANCE: Duration = Duration::from_millis(100);

/// Until nothing runs any more.
const PATIENCE: Duration = Duration::from_mins(4);

/// Threads of a VMM that has not been talked into more: its processors, its disks, its own.
const THREADS: u64 = 64;

/// What a VMM may have besides its guest's memory: QEMU without KVM keeps what it translated.
const OVERHEAD: u64 = 768 << 20;

/// A log and its older half; each may be over by a line.
const LOG: u64 = (16 << 20) + (128 << 10);

/// In seconds.
const YEAR: u64 = 31_556_952;

/// A console and its older half; each may be over by what is read at once.
const CONSOLE: u64 = (512 << 10) + (128 << 10);

/// The daemon, and what it runs.
pub(super) struct Host {
    pub(super) daemon: Daemon,
    runtime: Runtime,
}

impl Host {
    pub(super) fn new(daemon: Daemon) -> Result<Host> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Host { daemon, runtime })
    }

    pub(super) fn ready(&mut self) -> Result<()> {
        self.runtime.block_on(self.daemon.ready()).map(drop)
    }

    pub(super) fn vms(&self) -> Result<Vec<VmRow>> {
        let vms: Vms = self.runtime.block_on(self.daemon.client().get("/v1/vms"))?;
        Ok(vms.vms)
    }

    pub(super) fn jobs(&self) -> Result<Jobs> {
        Ok(self.runtime.block_on(self.daemon.client().get("/v1/jobs?done=1"))?)
    }

    /// The slot of the one microVM of a profile.
    pub(super) fn slot_of(&self, profile: &str) -> Result<u16> {
        Ok(self.vm_of(profile)?.slot)
    }

    fn vm_of(&self, profile: &str) -> Result<VmRow> {
        let vms = self.vms()?;
        vms.into_iter().find(|vm| vm.profile == profile).context("its microVM is there")
    }

    /// Whether a microVM is on the host.
    pub(super) fn runs(&self, vm: &str) -> Result<bool> {
        Ok(self.vms()?.iter().any(|row| row.id == vm && row.times.destroyed.is_none()))
    }

    /// Waits until only so many microVMs are on the host; `false` when some outstay their time. One of which GitHub still
    /// believes that it has a job is in the list a while longer, with nothing of it here.
    pub(super) fn until_left(&self, most: usize) -> Result<bool> {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let vms = self.vms()?;
            if vms.iter().filter(|vm| vm.times.destroyed.is_none()).count() <= most {
                return Ok(true);
            }
            std::thread::sleep(GLANCE);
        }
        Ok(false)
    }

    /// The daemon's memory, in bytes.
    pub(super) fn memory(&self) -> Result<u64> {
        status(self.daemon.id(), "VmRSS:").map(|kib| kib << 10)
    }

    /// Looks at what became of the intruder's flood.
    pub(super) fn measure(&self, name: &str, tried: u64) -> Result<Row> {
        let vm = self.vm_of("medium")?;
        let (seen, bound) = match name {
            "flood-tasks" => (status(self.vmm(&vm)?, "Threads:")?, THREADS),
            "flood-memory" => {
                let memory = vm.shape.memory.0 << 20;
                (status(self.vmm(&vm)?, "VmHWM:")? << 10, memory + OVERHEAD)
            }
            "flood-disk" => {
                let disk = vm.shape.disk.0 << 20;
                (self.bytes("scratch", &vm.id)?, disk + (disk >> 6))
            }
            "flood-log" => (self.bytes("logs", &format!("{}.log", vm.id))?, LOG),
            "flood-console" => (self.bytes("logs", &format!("{}.console", vm.id))?, CONSOLE),
            "time-travel" => return self.time(&vm, tried),
            other => bail!("nothing is known of `{other}`"),
        };
        Ok(flood(name, (tried, seen, bound)))
    }

    /// The process of a microVM, by the record that it wrote itself.
    fn vmm(&self, vm: &VmRow) -> Result<u32> {
        // A process is watched through a descriptor, which belongs to a runtime.
        let _inside = self.runtime.enter();
        let jails = self.daemon.state_dir().join("jail");
        let engines = fs::read_dir(&jails)?.flatten().map(|entry| entry.path());
        let records = engines.map(|engine| engine.join(&vm.id).join("process"));
        let found = records.filter_map(|record| Process::find(&record).ok().flatten()).next();
        let process = found.with_context(|| format!("{} has no process", vm.id))?;
        Ok(process.pid().cast_unsigned())
    }

    /// What the files with such a name take on the disk.
    fn bytes(&self, folder: &str, name: &str) -> Result<u64> {
        let folder = self.daemon.state_dir().join(folder);
        let taken = |path: PathBuf| fs::metadata(path).map_or(0, |file| file.blocks() * 512);
        let files = fs::read_dir(&folder).with_context(|| folder.display().to_string())?.flatten();
        let ours = files.filter(|entry| entry.file_name().to_string_lossy().starts_with(name));
        Ok(ours.map(|entry| taken(entry.path())).sum())
    }

    /// Whether a guest of another time is believed.
    fn time(&self, vm: &VmRow, year: u64) -> Result<Row> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let later = u64::try_from((now + Duration::from_hours(1)).as_millis())?;
        let told = self.vms()?.iter().any(|vm| vm.since.0 > later);
        let log = self.log(&vm.id)?;
        let stamps = log.lines().filter_map(|line| line.split(' ').next()?.parse::<u64>().ok());
        let logged = stamps.max().is_some_and(|last| last > later);
        let control = year > 1970 + now.as_secs() / YEAR + 50;
        let (name, how) = ("time-travel", format!("its year was {year}"));
        Ok(row(name, told || logged, control, how))
    }

    /// The end of a microVM's console.
    pub(super) fn console(&self, vm: &str) -> String {
        let path = self.daemon.state_dir().join("logs").join(format!("{vm}.console"));
        let text = fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<_> = text.lines().rev().take(5).collect();
        format!("{vm}: {}\n", lines.into_iter().rev().collect::<Vec<_>>().join("\n"))
    }

    /// A microVM's log.
    pub(super) fn log(&self, vm: &str) -> Result<String> {
        let path = self.daemon.state_dir().join("logs").join(format!("{vm}.log"));
        fs::read(&path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .with_context(|| path.display().to_string())
    }
}

/// A flood came through when more than the bound is there, and was one when more than that was tried.
pub(super) fn flood(name: &str, (tried, seen, bound): (u64, u64, u64)) -> Row {
    let how = format!("{tried} tried, {seen} there, {bound} allowed");
    row(name, seen > bound, tried > bound, how)
}

pub(super) fn row(name: &str, succeeded: bool, control: bool, how: String) -> Row {
    Row { name: name.to_owned(), what: what(name).to_owned(), succeeded, control, how }
}

/// A number in `/proc/PID/status`.
fn status(pid: u32, key: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let text = fs::read_to_string(Path::new(&path)).context(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let word = line.and_then(|line| line.split_whitespace().next()).context("a line of it")?;
    Ok(word.parse()?)
}

/// What is judged one by one, beside what is tried in the network, and in a few words what it is.
pub(super) const JUDGED: [(&str, &str); 24] = [
    ("vsock-host", "the host's vsock ports"),
    ("vsock-other", "another guest's vsock ports"),
    ("write-base-image", "writing the image that all guests share"),
    ("secret-in-arguments", "the one-job secret in a command line"),
    ("secret-in-variables", "in an environment that is not the runner's"),
    ("secret-in-memory", "in the memory of any other process, the agent's too"),
    ("secret-in-files", "in a file"),
    ("secret-in-kernel-log", "in the kernel's log"),
    ("secret-on-disks", "anywhere on a disk"),
    ("secret-at-boot", "in what the kernel and the firmware were given at boot"),
    ("secret-used-again", "a second runner with the runner's own secret"),
    ("flood-tasks", "tasks without number"),
    ("flood-memory", "four times its memory"),
    ("flood-disk", "a file without end"),
    ("flood-log", "log lines without end"),
    ("flood-console", "the serial console without end"),
    ("flood-connections", "connections without number"),
    ("time-travel", "a clock seventy years ahead"),
    ("forge", "speaking as the agent: a job that went well"),
    ("ask-again", "speaking as an agent that has just booted: the secret once more"),
    ("oversize", "speaking as the agent: a line of 8 MiB"),
    ("garble", "speaking as the agent: lines that are nothing"),
    ("stay", "a process that stays when the job is over"),
    ("freeze", "stopping the agent, so that nobody turns the guest off"),
];

/// What is tried, in a few words.
pub(super) fn what(name: &str) -> &'static str {
    JUDGED.iter().find(|(known, _)| *known == name).map_or("", |(_, what)| what)
}
