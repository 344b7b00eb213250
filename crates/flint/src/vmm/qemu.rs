//! QEMU's `microvm` machine, for hosts whose KVM cannot run guests: an unprivileged, sandboxed process per microVM.
//!
//! Its jail's `root/` is its root directory: beside the microVM's files it sees this host's programs and libraries,
//! read-only, and three devices. The tap is opened for it, in the slot's namespace, before it loses its rights.

use crate::sys::clock;
use crate::sys::kvm;
use crate::sys::root::Root;
use crate::sys::socket;
use crate::sys::spawn::{self, Spawn, Tap, User};
use crate::vmm::jail::{End, Jail, Jails, Running, drive_names};
use crate::vmm::{Boot, Channel, Console, DiskRate, Error, Inventory, Nic, Vmm, console};
use flint_core::event::GuestEnd;
use flint_core::id::VmId;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The jails' directory of this engine.
const ENGINE: &str = "qemu";

/// Names inside the jail.
const AGENT: &str = "agent.sock";
const CONSOLE: &str = "console.sock";

/// The emulator's own memory: translated code (64 MiB of it), tables and threads; 235 MiB were seen with an idle
/// guest of 512 MiB. A microVM that meets its limit dies, so it is generous.
const OVERHEAD: u64 = 768 << 20;

/// How long QEMU may take to make its sockets.
const START_MAX: Duration = Duration::from_secs(20);

/// Where distributions put `qboot.rom`. The usual SeaBIOS cannot load a kernel without option ROMs.
const FIRMWARE: [&str; 5] = [
    "/usr/share/qemu/qboot.rom",
    "/usr/share/seabios/qboot.rom",
    "/usr/share/qboot/bios.bin",
    "/usr/local/share/qemu/qboot.rom",
    "/usr/share/qemu-kvm/qboot.rom",
];

/// Where QEMU is, and how it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// `qemu-system-x86_64`.
    pub program: PathBuf,
    /// Who runs the guest's code.
    pub accel: Accel,
    /// Replaces the search for `qboot.rom`.
    pub firmware: Option<PathBuf>,
}

/// Who runs the guest's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accel {
    /// The processor.
    Kvm,
    /// QEMU's translator: needs nothing of the host, and is ten times slower.
    Tcg,
}

/// Runs microVMs with QEMU.
#[derive(Debug)]
pub struct Qemu {
    options: Options,
    jails: Arc<Jails>,
    tsc_khz: Option<u64>,
}

impl Qemu {
    /// QEMU with this program and these jails. Measures the processor's counter, for 5 ms.
    #[must_use]
    pub fn new(options: Options, jails: Arc<Jails>) -> Self {
        Qemu { options, jails, tsc_khz: clock::tsc_khz() }
    }

    /// Looks at the program and its firmware; gives the version line.
    ///
    /// # Errors
    /// [`Error::Program`] with the first thing that is wrong.
    pub async fn check(options: &Options) -> Result<String, Error> {
        let wrong = |why: String| Error::Program { program: options.program.clone(), why };
        firmware(options)
            .ok_or_else(|| wrong("its firmware `qboot.rom` is not there".to_owned()))?;
        let run = spawn::output(&options.program, &["--version"]).await;
        let (ok, text) = run.map_err(|e| wrong(e.to_string()))?;
        let line = text.lines().next().unwrap_or_default().to_owned();
        if ok { Ok(line) } else { Err(wrong(format!("`--version` printed `{line}`"))) }
    }

    fn start(&self, boot: &Boot, jail: &Jail) -> Result<Arc<Running>, Error> {
        let vm = boot.vm;
        let failed = |source| Error::Spawn { vm, program: self.options.program.clone(), source };
        let tap = boot.nic.as_ref().map(|nic| Tap::named(&nic.tap)).transpose().map_err(failed)?;
        let mut args = self.machine(boot);
        args.extend(disks(boot));
        if let (Some(nic), Some(tap)) = (&boot.nic, &tap) {
            args.extend(network(nic, tap.number()));
        }
        args.extend(channels());
        // The group that may open /dev/kvm, if it takes one; nothing else is opened by right of a group.
        let groups = match self.options.accel {
            Accel::Kvm => kvm::group().into_iter().collect(),
            Accel::Tcg => Vec::new(),
        };
        let paths = jail.paths();
        // As it is called inside of its root, where a link to elsewhere leads nowhere.
        let program = spawn::find(&self.options.program).map_err(failed)?;
        let order = Spawn {
            args,
            user: Some(User { uid: jail.uid, gid: jail.gid, groups }),
            netns: boot.nic.as_ref().map(|nic| nic.netns.as_path()),
            tap,
            root: Some(self.root(jail, &program).map_err(failed)?),
            ..jail.spawn(&paths, &program)
        };
        let process = spawn::spawn(order).map_err(failed)?;
        Ok(self.jails.track(vm, process))
    }

    /// What it sees beside its jail's files.
    fn root(&self, jail: &Jail, program: &Path) -> io::Result<Root> {
        let mut root = Root::of(&jail.root, program)?;
        if let Some(firmware) = firmware(&self.options) {
            root.see_too(&jail.root, &firmware)?;
        }
        let kvm = (self.options.accel == Accel::Kvm).then_some("/dev/kvm");
        for device in ["/dev/null", "/dev/urandom"].into_iter().chain(kvm) {
            root.device(&jail.root, Path::new(device))?;
        }
        Ok(root)
    }

    fn machine(&self, boot: &Boot) -> Vec<OsString> {
        let firmware = firmware(&self.options).unwrap_or_else(|| "qboot.rom".into());
        let (accel, cpu) = match self.options.accel {
            Accel::Kvm => ("kvm", "host"),
            // A bound on translated code, which otherwise grows to a gigabyte.
            Accel::Tcg => ("tcg,tb-size=64", "max"),
        };
        let mut args = words(&[
            // Without a clock at boot (`rtc=off`) a guest takes 2.4 s longer.
            "-M microvm,x-option-roms=off,rtc=on -nodefaults -no-user-config -no-reboot -display none",
            "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
            "-kernel vmlinux -initrd initramfs -device virtio-rng-device",
        ]);
        let vm = boot.vm;
        let mut give = |name: &str, value: OsString| args.extend([OsString::from(name), value]);
        give("-name", vm.to_string().into());
        give("-bios", firmware.into());
        give("-accel", accel.into());
        give("-cpu", cpu.into());
        give("-smp", boot.shape.vcpus.max(1).to_string().into());
        give("-m", format!("{}M", boot.shape.memory.0).into());
        give("-append", self.command_line().into());
        args
    }

    /// Under TCG the guest's counter is the host's, and a busy host makes the kernel fail to measure it and hang;
    /// so it is told.
    fn command_line(&self) -> String {
        let line = "console=ttyS0 reboot=t panic=-1 quiet cryptomgr.notests apparmor=0 audit=0";
        match (self.options.accel, self.tsc_khz) {
            (Accel::Tcg, Some(khz)) => format!("{line} tsc_early_khz={khz}"),
            _ => line.to_owned(),
        }
    }

    async fn open_console(&self, boot: &Boot, jail: &Jail, running: &Running) -> Result<(), Error> {
        let vm = boot.vm;
        let path = jail.root.join(CONSOLE);
        let stream = loop {
            match socket::connect(&path).await {
                Ok(stream) => break stream,
                Err(e) if is_early(&e) => tokio::time::sleep(Duration::from_millis(2)).await,
                Err(source) => return Err(Error::Jail { vm, path, source }),
            }
        };
        running.keep(&match boot.console {
            Console::Terminal => console::join(stream),
            Console::Kept => console::keep(stream, &self.jails.console(vm)),
        });
        Ok(())
    }

    /// Reads a console on that an earlier daemon read.
    async fn take_up_console(&self, vm: VmId) {
        let Some(running) = self.jails.running(vm).filter(|running| running.is_adopted()) else {
            return;
        };
        match socket::connect(&self.jails.root(ENGINE, vm).join(CONSOLE)).await {
            Ok(stream) => running.keep(&console::keep(stream, &self.jails.console(vm))),
            Err(error) => tracing::warn!(%vm, %error, "cannot read its console on"),
        }
    }
}

impl Vmm for Qemu {
    async fn boot(&self, boot: Boot) -> Result<(), Error> {
        let (vm, program) = (boot.vm, self.options.program.clone());
        let jail = self.jails.make(ENGINE, &boot, OVERHEAD).await?;
        let running = self.start(&boot, &jail)?;
        let opened = self.open_console(&boot, &jail, &running);
        tokio::select! {
            biased;
            opened = opened => opened?,
            _ = running.process.wait() => {
                return Err(Error::Ended { vm, program, said: jail.said() });
            }
            () = tokio::time::sleep(START_MAX) => {
                let said = format!("nothing within {} s, nor did it open its console", START_MAX.as_secs());
                return Err(Error::Ended { vm, program, said });
            }
        }
        // QEMU takes its filter for all threads, before it makes its sockets.
        self.jails.hold_to_filter(vm, &program, &running).await
    }

    async fn exited(&self, vm: VmId) -> GuestEnd {
        classify(self.jails.ended(vm).await)
    }

    async fn kill(&self, vm: VmId) -> Result<(), Error> {
        self.jails.kill(vm).await
    }

    async fn channel(&self, vm: VmId) -> Result<Channel, Error> {
        self.take_up_console(vm).await;
        let socket = self.jails.root(ENGINE, vm).join(AGENT);
        socket::connect(&socket).await.map_err(|source| Error::Channel { vm, source })
    }

    async fn inventory(&self) -> Result<Inventory, Error> {
        self.jails.inventory().await
    }
}

/// Unlike Firecracker's, QEMU's exit code can be believed: a guest's reset ends it with 0 (`-no-reboot`). Of a
/// process that was not our child nothing is known; it mostly was the guest's own end.
fn classify(end: End) -> GuestEnd {
    match end {
        End::Code(Some(0) | None) => GuestEnd::ShutDown,
        End::Code(Some(_)) => GuestEnd::Crashed,
        End::OutOfMemory => GuestEnd::OutOfMemory,
        End::Killed => GuestEnd::Killed,
    }
}

fn disks(boot: &Boot) -> Vec<OsString> {
    let drives = drive_names().zip(&boot.drives);
    let rate = throttling(boot.disk_rate);
    let args = drives.flat_map(|(name, drive)| {
        // `unsafe`: a scratch disk dies with its guest, so a flush buys nothing.
        let mode = if drive.writable {
            "cache=unsafe,discard=unmap,detect-zeroes=unmap"
        } else {
            "readonly=on"
        };
        [
            "-drive".to_owned(),
            format!("id={name},file={name},format=raw,if=none,{mode}{rate}"),
            "-device".to_owned(),
            format!("virtio-blk-device,drive={name}"),
        ]
    });
    args.map(OsString::from).collect()
}

fn throttling(rate: DiskRate) -> String {
    let bytes = rate.bytes_per_second.map(|n| format!(",throttling.bps-total={n}"));
    let operations = rate.operations_per_second.map(|n| format!(",throttling.iops-total={n}"));
    [bytes, operations].into_iter().flatten().collect()
}

fn network(nic: &Nic, tap: i32) -> Vec<OsString> {
    let mac = &nic.mac;
    words(&[&format!(
        "-netdev tap,id=net0,fd={tap} -device virtio-net-device,netdev=net0,mac={mac}"
    )])
}

/// The agent's port and the console, each behind a socket that QEMU makes.
fn channels() -> Vec<OsString> {
    words(&[
        &format!("-chardev socket,id=agent,path={AGENT},server=on,wait=off"),
        "-device virtio-serial-device",
        &format!("-device virtserialport,chardev=agent,name={}", flint_wire::SERIAL_PORT),
        &format!(
            "-chardev socket,id=console,path={CONSOLE},server=on,wait=off -serial chardev:console"
        ),
    ])
}

fn words(lines: &[&str]) -> Vec<OsString> {
    lines.iter().flat_map(|line| line.split(' ')).map(OsString::from).collect()
}

/// The firmware that this host has, where none is named.
#[must_use]
pub fn known_firmware() -> Option<&'static Path> {
    FIRMWARE.iter().map(Path::new).find(|path| path.exists())
}

fn firmware(options: &Options) -> Option<PathBuf> {
    let named = options.firmware.clone().filter(|path| path.exists());
    named.or_else(|| known_firmware().map(Path::to_owned))
}

fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vmm::Drive;
    use crate::vmm::jail;
    use flint_core::id::Slot;
    use flint_core::units::{MiB, Resources};

    fn boot() -> Boot {
        let drive = |path: &str, writable| Drive { path: path.into(), writable };
        Boot {
            vm: VmId(42),
            slot: Slot(7),
            shape: Resources { vcpus: 2, memory: MiB(4096), disk: MiB(0) },
            kernel: "/k/vmlinux".into(),
            initramfs: "/k/initramfs.cpio".into(),
            drives: vec![drive("/i/base", false), drive("/s/vm-42.ext4", true)],
            disk_rate: DiskRate::default(),
            nic: None,
            console: Console::Kept,
        }
    }

    #[test]
    fn drives_keep_their_order_and_only_the_scratch_can_be_written() {
        let args = disks(&boot());
        let text = args.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ");
        let (first, second) = text.split_once("-drive id=vdb").unwrap();
        assert!(first.contains("file=vda") && first.contains("readonly=on"), "{text}");
        assert!(second.contains("file=vdb") && !second.contains("readonly"), "{text}");
    }

    #[test]
    fn each_drive_is_held_to_the_rate() {
        let rate = DiskRate { bytes_per_second: Some(1 << 20), operations_per_second: Some(500) };
        let args = disks(&Boot { disk_rate: rate, ..boot() });
        let held = ",throttling.bps-total=1048576,throttling.iops-total=500";
        let drives = args.iter().filter(|arg| arg.to_string_lossy().ends_with(held));
        assert_eq!(drives.count(), 2, "{args:?}");
        assert_eq!(throttling(DiskRate::default()), "");
    }

    #[test]
    fn only_a_translated_guest_is_told_the_counters_speed() {
        let options = |accel| Options { program: "q".into(), accel, firmware: None };
        let jails = Jails::new(jail::Options {
            dir: "/nowhere".into(),
            logs: "/nowhere".into(),
            uid_base: 1,
            gid_base: 1,
            cgroup: "flint-test".into(),
            allow_unfiltered: false,
        });
        let line = |accel| {
            let mut qemu = Qemu::new(options(accel), Arc::clone(&jails));
            qemu.tsc_khz = Some(2_596_124);
            qemu.command_line()
        };
        assert!(line(Accel::Tcg).contains(" tsc_early_khz=2596124"));
        assert!(!line(Accel::Kvm).contains("tsc"));
    }

    #[test]
    fn an_exit_with_zero_is_the_guests_own_end() {
        assert_eq!(classify(End::Code(Some(0))), GuestEnd::ShutDown);
        assert_eq!(classify(End::Code(Some(1))), GuestEnd::Crashed);
    }
}
