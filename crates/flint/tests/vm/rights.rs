//! What a running VMM may do and is held to, as the kernel tells it; and where jails may not be.

use super::*;
use flint::sys::cgroup::{Hierarchies, Limits};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::time::Instant;

/// What a process's status says, per thread, of one field.
fn per_thread(pid: i32, name: &str) -> BTreeSet<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let status = tasks.map(|task| std::fs::read_to_string(task.path().join("status")).unwrap());
    let field = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap().split_whitespace().collect::<Vec<_>>().join(" ")
    };
    status.map(field).collect()
}

/// The directories of a process's groups whose path ends by `path`.
fn groups_of(pid: i32, path: &str) -> Vec<PathBuf> {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    let mounts: Vec<Vec<&str>> = mounts.lines().map(|line| line.split(' ').collect()).collect();
    let root_of = |controllers: &str| {
        let has = |mount: &[&str], name| mount[3].split(',').any(|option| option == name);
        let fits = |mount: &&Vec<&str>| match controllers {
            "" => mount[2] == "cgroup2",
            some => mount[2] == "cgroup" && some.split(',').any(|name| has(mount, name)),
        };
        PathBuf::from(mounts.iter().find(fits).unwrap()[1])
    };
    let fields = groups.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
    let ours = fields.filter(|fields| fields[2].ends_with(path));
    ours.map(|fields| root_of(fields[1]).join(fields[2].trim_start_matches('/'))).collect()
}

#[tokio::test]
async fn a_vmm_has_its_slots_user_its_network_and_its_bounds_and_no_right_besides() {
    let mut bench = Bench::new("rite");
    let vm = VmId(7);
    bench.launch(vm).await;
    assert!(matches!(bench.fact().await, GuestEvent::Ready { .. }));
    let record = bench.layout.jails().join(format!("qemu/{vm}/process"));
    let pid = Process::find(&record).unwrap().unwrap().pid();
    let only = |value: &str| BTreeSet::from([value.to_owned()]);
    for field in ["Uid", "Gid"] {
        assert_eq!(per_thread(pid, field), only("61001 61001 61001 61001"));
    }
    assert_eq!(per_thread(pid, "Groups"), only(""));
    for field in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(per_thread(pid, field), only("0000000000000000"), "{field}");
    }
    assert_eq!(per_thread(pid, "NoNewPrivs"), only("1"));
    assert_eq!(per_thread(pid, "Seccomp"), only("2"));
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap();
    assert_eq!(read("environ"), b"", "no secret of the daemon's environment");
    let inode = |path: &Path| path.metadata().unwrap().ino();
    let network = inode(&PathBuf::from(format!("/proc/{pid}/ns/net")));
    assert_eq!(network, inode(&net::derive::netns_of(&bench.place.prefix, Slot(1))));
    assert_ne!(network, inode(Path::new("/proc/self/ns/net")));
    assert_ne!(
        inode(&PathBuf::from(format!("/proc/{pid}/ns/mnt"))),
        inode(Path::new("/proc/self/ns/mnt"))
    );

    // What the kernel holds it to, in each hierarchy of this host.
    let groups = groups_of(pid, &format!("/{}/{vm}", bench.place.cgroup()));
    // The guest's 512 MiB and the emulator's 768.
    let memory = (1_280_u64 << 20).to_string();
    let bounds: [(&str, &str, &str); 7] = [
        ("memory", "memory.max", &memory),
        ("memory", "memory.limit_in_bytes", &memory),
        ("cpu", "cpu.max", "100000 100000"),
        ("cpu", "cpu.weight", "100"),
        ("cpu", "cpu.cfs_quota_us", "100000"),
        ("cpu", "cpu.shares", "1024"),
        ("pids", "pids.max", "256"),
    ];
    let mut held = BTreeSet::new();
    for dir in &groups {
        for (controller, file, value) in bounds {
            if let Ok(found) = std::fs::read_to_string(dir.join(file)) {
                assert_eq!(found.trim(), value, "{file}");
                held.insert((controller, file));
            }
        }
        for (file, value) in [("memory.swap.max", "0"), ("memory.memsw.limit_in_bytes", &*memory)] {
            let found = std::fs::read_to_string(dir.join(file));
            assert!(found.is_err() || found.unwrap().trim() == value, "{file}");
        }
    }
    let missing = Hierarchies::detect().missing();
    let controllers: BTreeSet<&str> = held.iter().map(|(controller, _)| *controller).collect();
    let there = ["cpu", "memory", "pids"].into_iter().filter(|name| !missing.contains(name));
    assert_eq!(controllers, there.collect());
    // Each of the two of processors' time.
    assert!(missing.contains(&"cpu") || held.iter().filter(|(of, _)| *of == "cpu").count() == 2);
    bench.leave_nothing(vm).await;
}

#[test]
fn a_group_takes_no_more_processes_than_its_bound() {
    let hierarchies = Hierarchies::detect();
    assert!(!hierarchies.missing().contains(&"pids"), "this host has no such controller");
    let parent = format!("flint-test-pids{}", std::process::id());
    let limits = Limits { memory: 64 << 20, cpus: 1, tasks: 3 };
    let made = hierarchies.make(&parent, "a", limits);
    assert!(made.troubles.is_empty(), "{:?}", made.troubles);
    // Itself and two more; the shell ends by itself where it cannot fork.
    let script = r#"for file; do echo $$ >"$file"; done
        exec 3>&1 >/dev/null 2>&1
        sleep 600 3>&- & sleep 600 3>&- & echo full >&3; sleep 600 3>&- & echo "one more" >&3"#;
    let mut shell = Command::new("sh");
    let ran = shell.args(["-c", script, "sh"]).args(&made.join).output().unwrap();
    let groups = [hierarchies.group(&parent, "a"), hierarchies.group(&parent, "")];
    groups[0].kill().unwrap();
    let began = Instant::now();
    while groups[0].remove().is_err() && began.elapsed() < PATIENCE {
        std::thread::yield_now();
    }
    groups[1].remove().unwrap();
    assert_eq!(String::from_utf8_lossy(&ran.stdout), "full\n", "{ran:?}");
}

/// A file system of this kind, until it is dropped.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn tmpfs(options: &str) -> Mounted {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir.path());
        assert!(mount.status().unwrap().success());
        Mounted(dir)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.0.path()).status();
        assert!(unmounted.is_ok_and(|status| status.success()) || std::thread::panicking());
    }
}

fn jails(layout: &Layout) -> Arc<Jails> {
    Jails::new(jail::Options {
        dir: layout.jails(),
        logs: layout.logs(),
        uid_base: 61_000,
        gid_base: 61_000,
        cgroup: "flint-test-none".into(),
        allow_unfiltered: false,
    })
}

#[test]
fn a_file_system_without_devices_or_programs_is_refused_for_jails_and_named() {
    for option in ["nodev", "noexec"] {
        let mounted = Mounted::tmpfs(option);
        let (state, layout) = (mounted.0.path(), Layout::new(mounted.0.path()));
        let error = jails(&layout).check_mount().unwrap_err();
        let (place, why) = (layout.jails(), format!("its file system is mounted `{option}`"));
        let wanted = format!("cannot use `{}` for jails: {why}", place.display());
        assert_eq!(error.to_string(), wanted);
        assert!(error.help().unwrap().contains("mounted `dev,exec`; or set `[host] state_dir`"));
        for (vmm, verdict) in [("firecracker", "bad"), ("auto", "warn"), ("qemu", "ok")] {
            let mut doctor = Command::new(env!("CARGO_BIN_EXE_flint"));
            doctor.args(["--json", "--vmm", vmm, "--state-dir"]).arg(state).arg("doctor");
            let lines = doctor.output().unwrap().stdout;
            let lines: serde_json::Value = serde_json::from_slice(&lines).unwrap();
            let mut lines = lines.as_array().unwrap().iter();
            let line = lines.find(|line| line["item"] == "state dir").unwrap();
            assert_eq!(line["verdict"], verdict, "{line}");
            let reading = line["reading"].as_str().unwrap();
            assert!(reading.starts_with(&format!("{} on tmpfs", state.display())), "{line}");
            assert!(reading.contains(option), "{line}");
            let fix = line["fix"].as_str().unwrap_or_default();
            assert_eq!(fix.contains("mount it with dev,exec"), verdict != "ok", "{line}");
        }
    }
    let fine = Mounted::tmpfs("dev,exec");
    let layout = Layout::new(fine.0.path());
    jails(&layout).check_mount().unwrap();
}
