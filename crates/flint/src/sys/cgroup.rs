//! Control groups by name: v2 where it has controllers, v1 beside it, none where neither may be written.
//!
//! A group is a directory of the same name in each hierarchy that is used. Nothing about it is remembered: the name
//! is enough to limit, kill and remove it.

use rustix::process::{Pid, PidfdFlags, Signal};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The controllers that limits need.
const WANTED: [&str; 3] = ["memory", "cpu", "pids"];

/// What this host offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hierarchies {
    /// The cgroup2 mount, and the wanted controllers that it has.
    v2: Option<(PathBuf, Vec<&'static str>)>,
    /// The v1 mount of each wanted controller.
    v1: Vec<(&'static str, PathBuf)>,
}

/// The bounds of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, page cache included.
    pub memory: u64,
    /// Whole processors' worth of time.
    pub cpus: u32,
    /// Processes and threads.
    pub tasks: u32,
}

/// One group. It may or may not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    v2: Option<PathBuf>,
    v1: Vec<(&'static str, PathBuf)>,
}

impl Hierarchies {
    /// Looks at what is mounted.
    #[must_use]
    pub fn detect() -> Hierarchies {
        Hierarchies::of(&fs::read_to_string("/proc/mounts").unwrap_or_default())
    }

    fn of(mounts: &str) -> Hierarchies {
        let mut found = Hierarchies::default();
        for line in mounts.lines() {
            let fields: Vec<&str> = line.split(' ').collect();
            let [_, at, kind, options, ..] = fields.as_slice() else { continue };
            if *kind == "cgroup2" && found.v2.is_none() {
                let text = fs::read_to_string(Path::new(at).join("cgroup.controllers"));
                let text = text.unwrap_or_default();
                let has = |name: &&str| text.split_whitespace().any(|has| has == *name);
                found.v2 = Some((at.into(), WANTED.into_iter().filter(has).collect()));
            }
            if *kind == "cgroup" {
                let has = |name: &&str| options.split(',').any(|has| has == *name);
                found.v1.extend(WANTED.into_iter().filter(has).map(|name| (name, (*at).into())));
            }
        }
        found
    }

    /// Which limits cannot be set here, for people.
    #[must_use]
    pub fn missing(&self) -> Vec<&'static str> {
        let in_v2 = |name: &str| self.v2.as_ref().is_some_and(|(_, has)| has.contains(&name));
        let in_v1 = |name: &str| self.v1.iter().any(|(has, _)| *has == name);
        WANTED.into_iter().filter(|name| !in_v2(name) && !in_v1(name)).collect()
    }

    /// The group `parent/name`, made or not.
    #[must_use]
    pub fn group(&self, parent: &str, name: &str) -> Group {
        let below = |root: &PathBuf| root.join(parent).join(name);
        Group {
            v2: self.v2.as_ref().map(|(root, _)| below(root)),
            v1: self.v1.iter().map(|(controller, root)| (*controller, below(root))).collect(),
        }
    }

    /// Makes `parent/name` with these bounds. A hierarchy that may not be written is left out: a host in a container
    /// still runs, unbounded, and [`Hierarchies::missing`] or the list that is returned says so.
    ///
    /// Returns the files a process must write itself into, and what could not be set.
    #[must_use]
    pub fn make(&self, parent: &str, name: &str, limits: Limits) -> (Vec<PathBuf>, Vec<String>) {
        let (mut join, mut troubles) = (Vec::new(), Vec::new());
        let mut note =
            |what: &Path, error: &io::Error| troubles.push(format!("{}: {error}", what.display()));
        let group = self.group(parent, name);
        if let (Some((root, has)), Some(dir)) = (&self.v2, &group.v2) {
            // A controller must be handed down at each level before the group can use it.
            let enable = has.iter().map(|name| format!("+{name} ")).collect::<String>();
            let parent = root.join(parent);
            let made = fs::create_dir_all(&parent)
                .and_then(|()| hand_down(root, &enable))
                .and_then(|()| hand_down(&parent, &enable))
                .and_then(|()| fs::create_dir_all(dir));
            match made {
                Ok(()) => join.push(dir.join("cgroup.procs")),
                Err(e) => note(dir, &e),
            }
            for (file, value) in v2_values(limits, has) {
                write(&dir.join(file), &value).unwrap_or_else(|e| note(&dir.join(file), &e));
            }
        }
        for (controller, dir) in &group.v1 {
            match fs::create_dir_all(dir) {
                Ok(()) => join.push(dir.join("cgroup.procs")),
                Err(e) => {
                    note(dir, &e);
                    continue;
                }
            }
            for (file, value) in v1_values(limits, controller) {
                write(&dir.join(file), &value).unwrap_or_else(|e| note(&dir.join(file), &e));
            }
        }
        (join, troubles)
    }
}

impl Group {
    /// Ends every process in it.
    ///
    /// # Errors
    /// When the kernel refuses. A group that does not exist is no error.
    pub fn kill(&self) -> io::Result<()> {
        if let Some(dir) = &self.v2
            && dir.exists()
            // `cgroup.kill` came with Linux 5.14; before it, one by one.
            && write(&dir.join("cgroup.kill"), "1").is_err()
        {
            kill_each(dir)?;
        }
        self.v1.iter().try_for_each(|(_, dir)| kill_each(dir))
    }

    /// How many processes of it the out-of-memory killer has taken.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let v2 = self.v2.iter().map(|dir| dir.join("memory.events"));
        let v1 = self.v1.iter().filter(|(name, _)| *name == "memory");
        let v1 = v1.map(|(_, dir)| dir.join("memory.oom_control"));
        v2.chain(v1).map(|file| oom_kills(&fs::read_to_string(file).unwrap_or_default())).sum()
    }

    /// Removes it. A group that does not exist is no error.
    ///
    /// # Errors
    /// Busy while a process is in it, or is still being taken down.
    pub fn remove(&self) -> io::Result<()> {
        let mut outcome = Ok(());
        for dir in self.v2.iter().chain(self.v1.iter().map(|(_, dir)| dir)) {
            match fs::remove_dir(dir) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                // The others are removed all the same.
                removed => outcome = outcome.and(removed),
            }
        }
        outcome
    }

    /// Whether any of it exists.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.v2.iter().chain(self.v1.iter().map(|(_, dir)| dir)).any(|dir| dir.exists())
    }
}

fn hand_down(dir: &Path, enable: &str) -> io::Result<()> {
    if enable.is_empty() {
        return Ok(());
    }
    write(&dir.join("cgroup.subtree_control"), enable)
}

fn v2_values(limits: Limits, has: &[&str]) -> Vec<(&'static str, String)> {
    let all = [
        ("memory", "memory.max", limits.memory.to_string()),
        ("cpu", "cpu.max", format!("{} 100000", u64::from(limits.cpus) * 100_000)),
        ("pids", "pids.max", limits.tasks.to_string()),
    ];
    all.into_iter().filter(|(name, ..)| has.contains(name)).map(|(_, f, v)| (f, v)).collect()
}

fn v1_values(limits: Limits, controller: &str) -> Vec<(&'static str, String)> {
    match controller {
        "memory" => vec![("memory.limit_in_bytes", limits.memory.to_string())],
        "cpu" => vec![("cpu.cfs_quota_us", (u64::from(limits.cpus) * 100_000).to_string())],
        _ => vec![("pids.max", limits.tasks.to_string())],
    }
}

fn oom_kills(events: &str) -> u64 {
    let line = events.lines().find_map(|line| line.strip_prefix("oom_kill "));
    line.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// Kills what a v1 group lists. Each number is held by a pidfd and looked up once more before the signal, so that a
/// number that was given away in between is not hit.
fn kill_each(dir: &Path) -> io::Result<()> {
    let listed = || -> io::Result<Vec<i32>> {
        match fs::read_to_string(dir.join("cgroup.procs")) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            read => Ok(read?.lines().filter_map(|line| line.parse().ok()).collect()),
        }
    };
    for pid in listed()? {
        let Some(number) = Pid::from_raw(pid) else { continue };
        let Ok(held) = rustix::process::pidfd_open(number, PidfdFlags::empty()) else { continue };
        if listed()?.contains(&pid) {
            // It may end by itself in this moment.
            let _ = rustix::process::pidfd_send_signal(&held, Signal::KILL);
        }
    }
    Ok(())
}

fn write(file: &Path, value: &str) -> io::Result<()> {
    // Never made anew: a file that is missing here is a controller that is missing.
    use std::io::Write;
    fs::File::options().write(true).open(file)?.write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_found_among_the_mounts() {
        let mounts = "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
            cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
            cgroup2 /nowhere/unified cgroup2 rw 0 0\n";
        let found = Hierarchies::of(mounts);
        assert_eq!(found.missing(), vec!["pids"]);
        let group = found.group("flint", "a");
        assert_eq!(group.v2, Some("/nowhere/unified/flint/a".into()));
        assert_eq!(group.v1.len(), 2);
    }

    #[test]
    fn a_kill_by_the_kernel_is_counted_in_both_formats() {
        assert_eq!(oom_kills("low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n"), 2);
        assert_eq!(oom_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), 1);
        assert_eq!(oom_kills(""), 0);
    }

    #[test]
    fn a_group_that_never_was_is_killed_and_removed_without_a_word() {
        let group = Hierarchies::detect().group("flint-test", "never-made");
        group.kill().unwrap();
        group.remove().unwrap();
        assert!(!group.exists());
    }
}
