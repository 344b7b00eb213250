//! What a test may leave on the machine, looked for and removed without any of the code under test.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::unlink;
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::fs;
use std::path::{Path, PathBuf};

/// Removes what a lab's name is on when it is dropped.
pub(crate) struct Leavings {
    /// The lab's name.
    pub(crate) name: String,
}

/// The name of a lab's cgroup. The hyphen keeps it from being a systemd scope: the tests look into a group of Flint's own.
pub(crate) fn group(name: &str) -> String {
    format!("{name}-lab")
}

impl Leavings {
    /// Processes, cgroups and slots' namespaces that carry a lab's name.
    pub(crate) fn of(name: &str) -> Vec<String> {
        let processes = processes(name).into_iter().map(|pid| format!("process {pid}"));
        let paths = cgroups(name).into_iter().chain(namespaces(name));
        processes.chain(paths.map(|path| path.display().to_string())).collect()
    }
}

impl Drop for Leavings {
    fn drop(&mut self) {
        for pid in processes(&self.name) {
            end(pid);
        }
        for dir in cgroups(&self.name) {
            let _ = fs::remove_dir(dir);
        }
        for parent in cgroup_roots().into_iter().map(|root| root.join(group(&self.name))) {
            let _ = fs::remove_dir(parent);
        }
        for file in namespaces(&self.name) {
            let _ = unmount(&file, UnmountFlags::DETACH);
            let _ = unlink(&file);
        }
    }
}

/// The processes in a cgroup below the lab's.
fn processes(name: &str) -> Vec<i32> {
    let below = format!("/{}/", group(name));
    let numbers = listed("/proc").into_iter().filter_map(|path| {
        let pid = path.file_name()?.to_str()?.parse().ok()?;
        fs::read_to_string(path.join("cgroup")).ok()?.contains(&below).then_some(pid)
    });
    numbers.collect()
}

/// Kills a process and waits until it has ended; its number cannot be given away meanwhile.
fn end(pid: i32) {
    let Some(number) = Pid::from_raw(pid) else { return };
    let Ok(fd) = pidfd_open(number, PidfdFlags::empty()) else { return };
    let _ = pidfd_send_signal(&fd, Signal::KILL);
    let limit = Timespec { tv_sec: 10, tv_nsec: 0 };
    let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&limit));
}

/// The groups of microVMs below the lab's own, in every hierarchy.
fn cgroups(name: &str) -> Vec<PathBuf> {
    let parents = cgroup_roots().into_iter().map(|root| root.join(group(name)));
    parents.flat_map(|parent| listed(&parent)).filter(|path| path.is_dir()).collect()
}

fn cgroup_roots() -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let lines = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let groups =
        lines.filter(|fields| fields.get(2).is_some_and(|kind| kind.starts_with("cgroup")));
    groups.filter_map(|fields| fields.get(1).map(PathBuf::from)).collect()
}

/// The namespaces of its slots.
fn namespaces(name: &str) -> Vec<PathBuf> {
    let of_slots = format!("{name}-");
    let mut found = listed("/run/netns");
    found.retain(|path| {
        path.file_name().is_some_and(|n| n.to_string_lossy().starts_with(&of_slots))
    });
    found
}

fn listed(dir: impl AsRef<Path>) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path())).collect()
}
