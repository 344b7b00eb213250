//! A host with systemd for one test: namespaces, a control group above, and a PID 1 that starts nothing.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::future::Future;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Tells this program that it is inside.
const INSIDE: &str = "FLINT_TEST_SCOPE_INSIDE";

/// Nothing of the host can be written from here on: what is not hidden is read-only, `/dev` is one of its own, and
/// the clock, modules and kernel settings are out of reach. `$1` is where PID 1 says that it is ready.
const BOOT: &str = r"
set -e
mount --make-rprivate /
mount -t proc proc /proc
umount -R -l /sys
mount -t sysfs -o ro sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
for dir in /run /tmp /var/tmp /var/log /dev; do mount -t tmpfs tmpfs $dir; done
mknod -m 666 /dev/null c 1 3
mknod -m 666 /dev/zero c 1 5
mknod -m 666 /dev/random c 1 8
mknod -m 666 /dev/urandom c 1 9
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount -o remount,bind,ro /
mkdir /run/units /run/none
printf '[Unit]\nDefaultDependencies=no\n' >/run/units/flint-test.target
exec env -i PATH=$PATH container=flint-test NOTIFY_SOCKET=$1 SYSTEMD_LOG_TARGET=console \
    SYSTEMD_UNIT_PATH=/run/units SYSTEMD_GENERATOR_PATH=/run/none SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/run/none \
    setpriv --bounding-set -sys_time,-sys_module,-sys_boot,-syslog,-sys_rawio \
    /lib/systemd/systemd --system --unit=flint-test.target
";

/// Runs `work` in this very test, but with systemd as PID 1.
pub(crate) fn inside<W: Future<Output = ()>>(work: impl FnOnce() -> W) {
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        return runtime.block_on(work());
    }
    let host = Host::boot();
    let name = std::thread::current().name().unwrap().to_owned();
    let mut again = Command::new("nsenter");
    again.args(["-t", &host.init.as_raw_nonzero().to_string(), "-m", "-p", "-C", "-u", "-i", "-n"]);
    again.arg(std::env::current_exe().unwrap()).args(["--exact", &name, "--nocapture"]);
    let output = again.env(INSIDE, "1").stdin(Stdio::null()).output().unwrap();
    let said = [&*output.stdout, &*output.stderr].map(String::from_utf8_lossy).concat();
    assert!(output.status.success() && said.contains("1 passed"), "{said}\n{}", host.log());
}

/// The namespaces, and all in them.
struct Host {
    group: PathBuf,
    unshare: Child,
    init: Pid,
    state: TempDir,
}

impl Host {
    fn boot() -> Host {
        assert!(rustix::process::geteuid().is_root(), "needs root");
        // Not in `/tmp`, which is hidden inside.
        let state = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        // Tests of one process run side by side.
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let group = cgroup2().join(format!("flint-test-scope-{}-{next}", std::process::id()));
        fs::create_dir(&group).unwrap();
        let ready = UnixDatagram::bind(state.path().join("ready")).unwrap();
        ready.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let log = fs::File::create(state.path().join("log")).unwrap();
        // The new control group namespace begins at the group that its maker is in.
        let unshare = "echo 0 >$0/cgroup.procs && exec unshare --fork --kill-child --pid --mount \
            --cgroup --uts --ipc --net sh -c \"$2\" boot $1";
        let unshare = Command::new("sh")
            .args(["-c", unshare])
            .args([&group, &state.path().join("ready")])
            .arg(BOOT)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut host = Host { group, unshare, init: Pid::INIT, state };
        let mut told = [0; 4096];
        loop {
            let length = ready.recv(&mut told).unwrap_or_else(|e| panic!("{e}\n{}", host.log()));
            let told = String::from_utf8_lossy(told.get(..length).unwrap());
            if told.lines().any(|line| line == "READY=1") {
                break;
            }
        }
        host.init = host.find_init().expect("it said that it is ready");
        host
    }

    fn find_init(&self) -> Option<Pid> {
        let unshare = self.unshare.id();
        let children = fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children"));
        Pid::from_raw(children.ok()?.trim().parse().ok()?)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.state.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // With the first process of its namespace all others end, and `unshare` only after them.
        if let Some(init) = self.find_init() {
            kill_process(init, Signal::KILL).ok();
        }
        self.unshare.wait().ok();
        remove(&self.group);
    }
}

fn remove(group: &Path) {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).for_each(|dir| remove(&dir));
    if let Err(error) = fs::remove_dir(group)
        && !std::thread::panicking()
    {
        panic!("{}: {error}", group.display());
    }
}

fn cgroup2() -> PathBuf {
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let found = mounts.find(|fields| fields.get(2) == Some(&"cgroup2")).expect("a cgroup2 mount");
    PathBuf::from(found.get(1).unwrap())
}
