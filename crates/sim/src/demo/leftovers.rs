//! What of Flint is still on this machine: processes, namespaces, devices, mounts, files.

use rustix::process::{Pid, Signal};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// For processes that were killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where to look, and for what.
pub(crate) struct Search<'a> {
    /// The prefix of the slots' namespaces and devices.
    pub(crate) prefix: &'a str,
    /// The daemon's state directory.
    pub(crate) state_dir: &'a Path,
    /// The namespace whose devices and rules are looked at.
    pub(crate) uplink: &'a str,
}

impl Search<'_> {
    /// Everything found, in words; empty when nothing is left.
    pub(crate) fn leftovers(&self) -> Vec<String> {
        let mut found = self.processes();
        let namespaces = names_in(Path::new("/run/netns"));
        let slots = namespaces.into_iter().filter(|name| self.is_slot(name));
        found.extend(slots.map(|name| format!("network namespace {name}")));
        found.extend(self.devices());
        found.extend(self.mounts());
        found.extend(self.cgroups());
        for (what, folder) in [("scratch disk", "scratch"), ("jail", "jail/firecracker")] {
            let names = names_in(&self.state_dir.join(folder));
            let disks = names.into_iter().filter(|name| name.starts_with("vm-"));
            found.extend(disks.map(|name| format!("{what} {name}")));
        }
        let jails = names_in(&self.state_dir.join("jail/qemu"));
        found.extend(jails.into_iter().map(|name| format!("jail {name}")));
        found
    }

    /// Removes what a run that failed has left: its processes, then what they stood in.
    pub(crate) fn remove(&self) {
        let began = Instant::now();
        while began.elapsed() < PATIENCE {
            let pids = self.pids();
            if pids.is_empty() {
                break;
            }
            for pid in pids.iter().filter_map(|pid| Pid::from_raw(pid.cast_signed())) {
                // It may have ended by itself.
                rustix::process::kill_process(pid, Signal::KILL).ok();
            }
            thread::sleep(Duration::from_millis(50));
        }
        for name in names_in(Path::new("/run/netns")).iter().filter(|name| self.is_slot(name)) {
            // What cannot be removed is told as a leftover.
            Command::new("ip").args(["netns", "del", name]).output().ok();
        }
        self.groups().iter().for_each(|group| remove_groups(group));
    }

    fn is_slot(&self, name: &str) -> bool {
        let number = name.strip_prefix(self.prefix).and_then(|rest| rest.strip_prefix('-'));
        number.is_some_and(|number| number.parse::<u16>().is_ok())
    }

    fn processes(&self) -> Vec<String> {
        let shown = |pid: &u32| format!("process {pid}: {}", command(*pid));
        self.pids().iter().map(shown).collect()
    }

    /// Any process that was started with a path of this state directory, that stands in it, or whose mounts are of it: a
    /// jailed one sees no path of ours, nor is its root seen as one.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let state = self.state_dir.to_string_lossy().into_owned();
        let pids = names_in(Path::new("/proc")).into_iter().filter_map(|pid| pid.parse().ok());
        let stands = |pid: u32, what: &str| {
            let place = fs::read_link(format!("/proc/{pid}/{what}")).unwrap_or_default();
            place.starts_with(self.state_dir)
        };
        // By its last two names: what the file system is mounted at is not in there.
        let names: Vec<_> = self.state_dir.iter().collect();
        let jails = names[names.len().saturating_sub(2)..].iter().collect::<PathBuf>().join("jail");
        let jails = format!("/{}/", jails.display());
        let is_jailed = |pid: u32| {
            let mounts = fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
            mounts.lines().any(|line| line.split(' ').nth(3).is_some_and(|at| at.contains(&jails)))
        };
        let uses = |pid: &u32| {
            let told = command(*pid).contains(&state) || stands(*pid, "cwd");
            told || stands(*pid, "root") || is_jailed(*pid)
        };
        pids.filter(|pid| *pid != std::process::id()).filter(uses).collect()
    }

    fn devices(&self) -> Vec<String> {
        let links = Command::new("ip").args(["-n", self.uplink, "-o", "link"]).output();
        let links = links.map(|output| output.stdout).unwrap_or_default();
        let names = String::from_utf8_lossy(&links).into_owned();
        let names = names.lines().filter_map(|line| line.split(": ").nth(1));
        let ours = names.filter(|name| !["lo", "eth0"].contains(&base(name)));
        ours.map(|name| format!("device {}", base(name))).collect()
    }

    fn cgroups(&self) -> Vec<String> {
        self.groups().iter().map(|group| format!("cgroup {}", group.display())).collect()
    }

    /// Groups and scopes of its microVMs, in any hierarchy. The slice above the scopes is systemd's, and stays.
    fn groups(&self) -> Vec<PathBuf> {
        let root = Path::new("/sys/fs/cgroup");
        let below = names_in(root).into_iter().map(|hierarchy| root.join(hierarchy));
        let groups = below.chain([root.to_owned()]).flat_map(|hierarchy| {
            let slice = hierarchy.join(format!("{}.slice", self.prefix));
            let scopes = names_in(&slice).into_iter().filter(|name| name.ends_with(".scope"));
            let scopes: Vec<_> = scopes.map(|scope| slice.join(scope)).collect();
            scopes.into_iter().chain([hierarchy.join(self.prefix)])
        });
        groups.filter(|group| group.is_dir()).collect()
    }

    fn mounts(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let points = mounts.lines().filter_map(|line| line.split(' ').nth(4));
        let inside = points.filter(|point| Path::new(point).starts_with(self.state_dir));
        inside.map(|point| format!("mount {point}")).collect()
    }
}

/// A group goes when those in it have gone.
fn remove_groups(group: &Path) {
    for name in names_in(group).iter().map(|name| group.join(name)).filter(|path| path.is_dir()) {
        remove_groups(&name);
    }
    fs::remove_dir(group).ok();
}

fn command(pid: u32) -> String {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).replace('\0', " ").trim().to_owned()
}

/// `flv3@if2` is the device `flv3`.
fn base(name: &str) -> &str {
    name.split('@').next().unwrap_or(name)
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}
