//! MicroVMs' scopes with a real systemd, which is PID 1 of namespaces that each test makes for itself.
//!
//! Needs root and says so. That systemd has one empty target to start and nothing else; it sees the host's files
//! read-only. Each test runs this program once more in there, where the same test then does its work.

#[cfg(test)]
#[path = "scope/host.rs"]
mod host;

#[cfg(test)]
mod tests {
    use super::host::inside;
    use flint::sys::process::{Ended, Process};
    use flint::sys::spawn;
    use flint::vmm::jail::{self, Jails};
    use flint::vmm::{Boot, Console, DiskRate};
    use flint_core::id::{Slot, VmId};
    use flint_core::units::{MiB, Resources};
    use std::fs;
    use std::io::{BufRead, BufReader, Write};
    use std::path::{Path, PathBuf};
    use std::process::{Command, Stdio};
    use std::sync::Arc;

    const VM: VmId = VmId(3);
    const UNIT: &str = "flint-vm-3.scope";
    const GROUP: &str = "/sys/fs/cgroup/flint.slice/flint-vm-3.scope";
    /// Names the state directory to the one that plays the daemon.
    const DAEMON: &str = "FLINT_TEST_SCOPE_DAEMON";

    fn jails(state: &Path) -> Arc<Jails> {
        Jails::new(jail::Options {
            dir: state.join("jail"),
            logs: state.join("logs"),
            uid_base: 61_000,
            gid_base: 61_000,
            cgroup: "flint".into(),
            allow_unfiltered: false,
        })
    }

    /// A microVM whose VMM only sleeps.
    async fn start(jails: &Arc<Jails>, state: &Path) {
        let files = ["vmlinux", "initramfs"].map(|name| state.join(name));
        files.iter().for_each(|file| fs::write(file, "x").unwrap());
        let [kernel, initramfs] = files;
        let boot = Boot {
            vm: VM,
            slot: Slot(1),
            shape: Resources { vcpus: 2, memory: MiB(256), disk: MiB(0) },
            kernel,
            initramfs,
            drives: Vec::new(),
            disk_rate: DiskRate::default(),
            nic: None,
            console: Console::Kept,
        };
        let jail = jails.make("sleeper", &boot, 0).await.unwrap();
        assert_eq!(jail.cgroups, [Path::new(GROUP).join("cgroup.procs")]);
        let paths = jail.paths();
        let mut order = jail.spawn(&paths, Path::new("/bin/sleep"));
        order.args = vec!["infinity".into()];
        jails.track(VM, spawn::spawn(order).unwrap());
    }

    fn group_of(process: &Process) -> String {
        fs::read_to_string(process.place().join("cgroup")).unwrap()
    }

    fn systemctl(args: &[&str]) -> String {
        let output = Command::new("systemctl").args(args).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn a_microvm_is_in_a_scope_of_its_own_with_its_bounds_and_killing_it_leaves_nothing() {
        inside(|| async {
            let state = tempfile::tempdir().unwrap();
            let jails = jails(state.path());
            start(&jails, state.path()).await;
            let process = &jails.running(VM).unwrap().process;
            assert!(group_of(process).contains(&format!("0::/flint.slice/{UNIT}\n")));
            let told = systemctl(&["show", "--", UNIT]);
            for line in [
                "Slice=flint.slice",
                "Delegate=yes",
                "MemoryMax=268435456",
                "MemorySwapMax=0",
                "CPUQuotaPerSecUSec=2s",
                "TasksMax=256",
            ] {
                assert!(told.lines().any(|has| has == line), "{line}: {told}");
            }
            // The kernel has what it can limit: the controllers of this hierarchy, which are v1's on some hosts.
            let has = fs::read_to_string(Path::new(GROUP).join("cgroup.controllers")).unwrap();
            let bounds = [
                ("memory", "memory.max", "268435456"),
                ("cpu", "cpu.max", "200000 100000"),
                ("cpu", "cpu.weight", "200"),
                ("pids", "pids.max", "256"),
            ];
            for (controller, file, value) in bounds {
                let wanted = has.split_whitespace().any(|has| has == controller).then_some(value);
                let found = fs::read_to_string(Path::new(GROUP).join(file)).ok();
                assert_eq!(found.as_deref().map(str::trim), wanted, "{file}");
            }
            jails.kill(VM).await.unwrap();
            assert!(!Path::new(GROUP).exists());
            assert!(!jails.root("sleeper", VM).exists());
            assert_eq!(process.wait().await, Some(Ended::Signal(9)));
        });
    }

    #[test]
    fn a_name_is_free_again_after_its_microvm_and_whatever_an_earlier_life_left() {
        inside(|| async {
            let state = tempfile::tempdir().unwrap();
            let jails = jails(state.path());
            start(&jails, state.path()).await;
            jails.kill(VM).await.unwrap();
            start(&jails, state.path()).await;
            jails.kill(VM).await.unwrap();
            // Failed and kept: it has no group any more, but the name.
            let left = "systemd-run --scope --quiet --slice=flint.slice --unit=flint-vm-3.scope \
                -p RuntimeMaxSec=1ms sleep infinity; \
                until systemctl is-failed --quiet flint-vm-3.scope; do :; done";
            assert!(Command::new("sh").args(["-c", left]).status().unwrap().success());
            start(&jails, state.path()).await;
            let process = &jails.running(VM).unwrap().process;
            assert!(group_of(process).contains(UNIT));
            jails.kill(VM).await.unwrap();
            assert!(!Path::new(GROUP).exists());
        });
    }

    #[test]
    fn a_scope_that_systemd_wants_to_end_keeps_its_counters_until_it_is_killed() {
        inside(|| async {
            let state = tempfile::tempdir().unwrap();
            let jails = jails(state.path());
            start(&jails, state.path()).await;
            let process = &jails.running(VM).unwrap().process;
            // What newer versions do after an out-of-memory kill.
            systemctl(&["stop", "--no-block", "--", UNIT]);
            assert_eq!(process.wait().await, Some(Ended::Signal(15)));
            assert_eq!(
                systemctl(&["show", "--property=SubState", "--", UNIT]),
                "SubState=stop-sigterm\n"
            );
            let holder = fs::read_to_string(Path::new(GROUP).join("cgroup.procs")).unwrap();
            let status = fs::read_to_string(format!("/proc/{}/status", holder.trim())).unwrap();
            let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap();
            let ignored = u64::from_str_radix(ignored.trim(), 16).unwrap();
            assert_eq!(ignored & (1 << (15 - 1)), 1 << (15 - 1), "SIGTERM: {status}");
            jails.kill(VM).await.unwrap();
            assert!(!Path::new(GROUP).exists());
        });
    }

    #[test]
    fn a_microvm_outlives_a_killed_daemon_and_the_next_one_ends_it_by_its_id() {
        inside(|| async {
            if let Some(state) = std::env::var_os(DAEMON).map(PathBuf::from) {
                start(&jails(&state), &state).await;
                // Past the test harness, which keeps what is printed.
                writeln!(std::io::stderr(), "started").unwrap();
                std::future::pending::<()>().await;
            }
            let state = tempfile::tempdir().unwrap();
            let name = std::thread::current().name().unwrap().to_owned();
            let mut daemon = Command::new("/proc/self/exe")
                .args(["--exact", &name, "--nocapture"])
                .env(DAEMON, state.path())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let said = BufReader::new(daemon.stderr.take().unwrap()).lines();
            assert!(said.map(Result::unwrap).any(|line| line == "started"));
            daemon.kill().unwrap();
            daemon.wait().unwrap();

            let jails = jails(state.path());
            let process = &jails.running(VM).expect("it lives on").process;
            assert!(group_of(process).contains(UNIT));
            jails.kill(VM).await.unwrap();
            assert!(!Path::new(GROUP).exists());
            assert!(jails.inventory().await.unwrap().present.is_empty());
        });
    }

    #[test]
    fn a_systemd_that_makes_no_scope_costs_no_microvm() {
        inside(|| async {
            let state = tempfile::tempdir().unwrap();
            fs::remove_file("/run/systemd/private").unwrap();
            let hierarchies = flint::sys::cgroup::Hierarchies::detect();
            let limits = flint::sys::cgroup::Limits { memory: 1 << 28, cpus: 1, tasks: 99 };
            let made = hierarchies.make("flint", "vm-3", limits);
            let error = made.no_scope.expect("it cannot be asked").to_string();
            assert!(error.contains("`systemd-run` failed"), "{error}");
            assert_eq!(made.join, [Path::new("/sys/fs/cgroup/flint/vm-3/cgroup.procs")]);
            jails(state.path()).kill(VM).await.unwrap();
            assert!(!Path::new("/sys/fs/cgroup/flint/vm-3").exists());
        });
    }
}
