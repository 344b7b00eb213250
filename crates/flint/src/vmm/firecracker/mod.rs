//! Firecracker, always through its jailer.

mod api;
mod config;
mod jailer;

pub use api::{Api, ApiError};
pub use config::{
    Action, BootSource, Bucket, Disk, Entropy, Interface, Logger, Machine, Metrics, RateLimiter,
    Vsock,
};
pub use jailer::{Jailer, Versions};

use crate::sys::{socket, spawn, tree};
use crate::vmm::jail::{End, Jail, Jails, Running, drive_names};
use crate::vmm::{Boot, Channel, Console, Error, Inventory, Vmm, console};
use flint_core::event::GuestEnd;
use flint_core::id::VmId;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The kernel's command line. Firecracker's own default is replaced as a whole, for it forbids modules. A guest ends
/// itself by the keyboard controller's reset (`reboot=k`): a power-off would never end the VMM on x86.
#[cfg(target_arch = "x86_64")]
const BOOT_ARGS: &str = "console=ttyS0 reboot=k panic=-1 quiet cryptomgr.notests apparmor=0 audit=0 \
    i8042.noaux i8042.nomux i8042.dumbkbd";
#[cfg(not(target_arch = "x86_64"))]
const BOOT_ARGS: &str = "console=ttyS0 panic=-1 quiet cryptomgr.notests apparmor=0 audit=0";

/// What the VMM itself needs beside the guest's memory: 5 MiB, with room for page cache of the disks.
const OVERHEAD: u64 = 128 << 20;

/// More than a year of metrics lines is never read.
const METRICS_MAX: u64 = 64 << 20;

/// Names inside the jail.
const SOCKET: &str = "run/firecracker.socket";
const AGENT: &str = "agent.sock";
const SERIAL: &str = "serial";
const METRICS: &str = "metrics";
const LOG: &str = "firecracker.log";
const FILTER: &str = "seccomp.bpf";

/// Where Firecracker's programs are, and how they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The jailer.
    pub jailer: PathBuf,
    /// Firecracker itself, static.
    pub firecracker: PathBuf,
    /// What holds its threads.
    pub filter: Filter,
    /// How long one API call may take.
    pub api_deadline: Duration,
    /// Replaces the kernel's command line; for tests with a guest of another kind.
    pub boot_args: Option<String>,
}

/// Firecracker's seccomp filter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Filter {
    /// What is built into the release.
    #[default]
    BuiltIn,
    /// This file, for builds that have none.
    File(PathBuf),
    /// None at all; a start then refuses it, unless the jails' options say otherwise.
    Off,
}

/// Runs microVMs with Firecracker.
#[derive(Debug)]
pub struct Firecracker {
    options: Options,
    /// The jailer names its directory after the resolved file.
    engine: String,
    jails: Arc<Jails>,
}

impl Options {
    /// These two programs, everything else as usual.
    #[must_use]
    pub fn new(jailer: PathBuf, firecracker: PathBuf) -> Self {
        let api_deadline = Duration::from_secs(10);
        Options { jailer, firecracker, filter: Filter::BuiltIn, api_deadline, boot_args: None }
    }
}

impl Firecracker {
    /// Firecracker with these programs and jails. Looks at nothing yet; [`Jailer::check`] does.
    #[must_use]
    pub fn new(options: Options, jails: Arc<Jails>) -> Self {
        let resolved = options.firecracker.canonicalize().unwrap_or(options.firecracker.clone());
        let name = resolved.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Firecracker { options, engine: name, jails }
    }

    /// The API of a microVM, for whoever knows what to ask.
    #[must_use]
    pub fn api(&self, vm: VmId) -> Api {
        Api::new(self.jails.root(&self.engine, vm).join(SOCKET), self.options.api_deadline)
    }

    /// Makes the jail and starts the process in it, which then waits for its configuration: [`Vmm::boot`] without the
    /// calls, for whoever makes them through [`Firecracker::api`].
    ///
    /// # Errors
    /// [`Error`]; `kill` removes what is left.
    pub async fn enter(&self, boot: &Boot) -> Result<(Jail, Arc<Running>), Error> {
        let jail = self.jails.make(&self.engine, boot, OVERHEAD).await?;
        let running = self.start(boot, &jail)?;
        Ok((jail, running))
    }

    fn start(&self, boot: &Boot, jail: &Jail) -> Result<Arc<Running>, Error> {
        let vm = boot.vm;
        let jailer = Jailer { options: &self.options, jails_dir: jails_dir(jail), jail };
        let failed = |path: &str| {
            let path = jail.root.join(path);
            move |source| Error::Jail { vm, path, source }
        };
        tree::file_for(&jail.root.join(LOG), jail.uid, jail.gid).map_err(failed(LOG))?;
        tree::file_for(&jail.root.join(METRICS), jail.uid, jail.gid).map_err(failed(METRICS))?;
        if let Filter::File(filter) = &self.options.filter {
            let to = jail.root.join(FILTER);
            tree::share(filter, &to, &jails_dir(jail).join("shared")).map_err(failed(FILTER))?;
        }
        let ends = Ends::of(boot.console, jail).map_err(failed(SERIAL))?;
        let paths = jail.paths();
        let order = spawn::Spawn {
            args: jailer.arguments(vm, boot.nic.as_ref()),
            input: ends.input,
            output: Some(ends.output),
            ..jail.spawn(&paths, &self.options.jailer)
        };
        let program = self.options.jailer.clone();
        let process = spawn::spawn(order).map_err(|source| Error::Spawn { vm, program, source })?;
        let running = self.jails.track(vm, process);
        let task = match ends.ours {
            Ours::Terminal(stream) => console::join(stream),
            Ours::Fifo(fifo) => console::keep(fifo, &self.jails.console(vm)),
        };
        running.keep(&task);
        Ok(running)
    }

    /// The calls, in the one order that is always right: logger first, start last.
    async fn configure(&self, boot: &Boot) -> Result<(), Error> {
        let api = self.api(boot.vm);
        let vm = boot.vm;
        api.up().await.map_err(|source| Error::Api { vm, call: "GET /version".into(), source })?;
        let calls = Calls { api: &api, vm };
        calls.put("/logger", &Logger { log_path: LOG, level: "Warning" }).await?;
        calls.put("/metrics", &Metrics { metrics_path: METRICS }).await?;
        let shape = boot.shape;
        let machine = Machine { vcpu_count: shape.vcpus, mem_size_mib: shape.memory.0 };
        calls.put("/machine-config", &machine).await?;
        let source = BootSource {
            kernel_image_path: "vmlinux",
            initrd_path: "initramfs",
            boot_args: self.options.boot_args.as_deref().unwrap_or(BOOT_ARGS),
        };
        calls.put("/boot-source", &source).await?;
        for (n, (name, drive)) in drive_names().zip(&boot.drives).enumerate() {
            let disk = Disk {
                drive_id: &name,
                path_on_host: &name,
                is_root_device: n == 0,
                is_read_only: !drive.writable,
                cache_type: drive.writable.then_some("Unsafe"),
                rate_limiter: RateLimiter::of(boot.disk_rate),
            };
            calls.put(&format!("/drives/{name}"), &disk).await?;
        }
        if let Some(nic) = &boot.nic {
            let net =
                Interface { iface_id: "net0", host_dev_name: &nic.tap, guest_mac: Some(&nic.mac) };
            calls.put("/network-interfaces/net0", &net).await?;
        }
        let guest_cid = 3 + u32::from(boot.slot.0);
        calls.put("/vsock", &Vsock { guest_cid, uds_path: AGENT }).await?;
        calls.put("/entropy", &Entropy {}).await?;
        calls.put("/actions", &Action { action_type: "InstanceStart" }).await
    }

    /// Reads a console on that an earlier daemon read.
    fn take_up_console(&self, vm: VmId) {
        let Some(running) = self.jails.running(vm).filter(|running| running.is_adopted()) else {
            return;
        };
        let fifo = tree::open_fifo(&self.jails.root(&self.engine, vm).join(SERIAL));
        let reader = fifo.and_then(tokio::net::unix::pipe::Receiver::from_file);
        match reader {
            Ok(reader) => running.keep(&console::keep(reader, &self.jails.console(vm))),
            Err(error) => tracing::warn!(%vm, %error, "cannot read its console on"),
        }
    }
}

impl Vmm for Firecracker {
    async fn boot(&self, boot: Boot) -> Result<(), Error> {
        let vm = boot.vm;
        let (jail, running) = self.enter(&boot).await?;
        tokio::select! {
            biased;
            done = self.configure(&boot) => done?,
            _ = running.process.wait() => {
                let program = self.options.jailer.clone();
                return Err(Error::Ended { vm, program, said: jail.said() });
            }
        }
        // `InstanceStart` is answered after each vCPU's thread has taken its filter, but (in 1.17) before the main one
        // has; that takes the next call only with its filter on. A guest may have ended its VMM by then, which is fine.
        let _answered = self.api(vm).get("/").await;
        self.jails.hold_to_filter(vm, &self.options.firecracker, &running).await
    }

    async fn exited(&self, vm: VmId) -> GuestEnd {
        let end = self.jails.ended(vm).await;
        let metrics =
            tree::read_file(&self.jails.root(&self.engine, vm).join(METRICS), METRICS_MAX);
        classify(end, &metrics.unwrap_or_default())
    }

    async fn kill(&self, vm: VmId) -> Result<(), Error> {
        self.jails.kill(vm).await
    }

    async fn channel(&self, vm: VmId) -> Result<Channel, Error> {
        self.take_up_console(vm);
        let socket = self.jails.root(&self.engine, vm).join(AGENT);
        knock(&socket).await.map_err(|source| Error::Channel { vm, source })
    }

    async fn inventory(&self) -> Result<Inventory, Error> {
        self.jails.inventory().await
    }
}

/// One microVM's calls, with errors that name it.
struct Calls<'a> {
    api: &'a Api,
    vm: VmId,
}

impl Calls<'_> {
    async fn put<T: serde::Serialize + Sync>(&self, path: &str, body: &T) -> Result<(), Error> {
        let vm = self.vm;
        let done = self.api.put(path, body).await;
        done.map_err(|source| Error::Api { vm, call: format!("PUT {path}"), source })
    }
}

/// The two ends of a console.
struct Ends {
    input: Option<OwnedFd>,
    output: OwnedFd,
    ours: Ours,
}

enum Ours {
    Terminal(tokio::net::UnixStream),
    Fifo(tokio::net::unix::pipe::Receiver),
}

impl Ends {
    /// A guest's serial port is its VMM's standard output (and input): that works in every version, `PUT /serial`
    /// only since 1.14. Firecracker never waits for a reader; what a full FIFO does not take is lost.
    fn of(console: Console, jail: &Jail) -> io::Result<Ends> {
        match console {
            Console::Terminal => {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
                ours.set_nonblocking(true)?;
                let ours = Ours::Terminal(tokio::net::UnixStream::from_std(ours)?);
                Ok(Ends { input: Some(theirs.try_clone()?.into()), output: theirs.into(), ours })
            }
            Console::Kept => {
                let path = jail.root.join(SERIAL);
                tree::fifo_for(&path, jail.uid, jail.gid)?;
                let reader = tokio::net::unix::pipe::Receiver::from_file(tree::open_fifo(&path)?)?;
                let output = tree::open_fifo(&path)?.into();
                Ok(Ends { input: None, output, ours: Ours::Fifo(reader) })
            }
        }
    }
}

/// `<jails>/<engine>/vm-42` is two below the base.
fn jails_dir(jail: &Jail) -> &Path {
    jail.dir.ancestors().nth(2).unwrap_or(&jail.dir)
}

/// Opens the guest's port through the hybrid socket: `CONNECT 1024` in one write, then `OK <number>`. A guest whose
/// driver is not up yet is silent; one where nobody listens closes at once.
async fn knock(socket: &Path) -> io::Result<Channel> {
    let mut stream = socket::connect(socket).await?;
    let ask = format!("CONNECT {}\n", flint_wire::PORT);
    stream.write_all(ask.as_bytes()).await?;
    let mut line = Vec::with_capacity(32);
    // Byte by byte: what follows the line belongs to the conversation.
    while line.last() != Some(&b'\n') {
        match stream.read_u8().await {
            Ok(byte) if line.len() < 32 => line.push(byte),
            Ok(_) => return Err(io::Error::other("the socket speaks another language")),
            Err(_) => return Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
        }
    }
    if line.starts_with(b"OK ") {
        Ok(stream)
    } else {
        Err(io::Error::other("no `OK` from the socket"))
    }
}

/// The exit code alone says nothing, in either direction (a race in the VMM): the metrics count the guest's resets.
fn classify(end: End, metrics: &[u8]) -> GuestEnd {
    match end {
        _ if resets(metrics) > 0 => GuestEnd::ShutDown,
        End::OutOfMemory => GuestEnd::OutOfMemory,
        End::Killed => GuestEnd::Killed,
        End::Code(_) => GuestEnd::Crashed,
    }
}

/// Each line holds what came since the line before, so they are summed.
fn resets(metrics: &[u8]) -> u64 {
    let lines = metrics.split(|byte| *byte == b'\n');
    let parsed = lines.filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok());
    parsed
        .filter_map(|line| line.get("i8042")?.get("reset_count")?.as_u64())
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    #[test]
    fn a_reset_in_any_line_is_a_shutdown_whatever_the_exit_code() {
        let metrics = b"{\"i8042\":{\"reset_count\":0}}\n{\"i8042\":{\"reset_count\":1}}\n{\"cut";
        assert_eq!(classify(End::Code(Some(1)), metrics), GuestEnd::ShutDown);
        assert_eq!(
            classify(End::Code(Some(0)), b"{\"vcpu\":{\"failures\":1}}\n"),
            GuestEnd::Crashed
        );
        assert_eq!(classify(End::OutOfMemory, b""), GuestEnd::OutOfMemory);
        assert_eq!(classify(End::Killed, b""), GuestEnd::Killed);
    }

    #[tokio::test]
    async fn the_port_is_asked_for_in_one_write_and_what_follows_the_answer_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let guest = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut ask = [0; 64];
            let length = stream.read(&mut ask).await.unwrap();
            stream.write_all(b"OK 1073741824\n{\"seq\":0}").await.unwrap();
            String::from_utf8_lossy(&ask[..length]).into_owned()
        };
        let (ask, stream) = tokio::join!(guest, knock(&path));
        assert_eq!(ask, "CONNECT 1024\n");
        let mut rest = String::new();
        stream.unwrap().read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "{\"seq\":0}");
    }

    #[tokio::test]
    async fn a_port_nobody_listens_at_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        let guest = async { drop(listener.accept().await.unwrap()) };
        let ((), refused) = tokio::join!(guest, knock(&path));
        assert!(refused.is_err());
    }
}
