//! Control groups by name: v2 where it has controllers, v1 beside it, none where neither may be written.
//!
//! A group is a directory of the same name in each hierarchy that is used. Nothing about it is remembered: the name
//! is enough to limit, kill and remove it. Where systemd manages the host it makes the group, a scope, and removes it;
//! where it does not, or cannot, the group is ours. A name stands for both, so it is found whoever made it.

use crate::sys::scope::{self, Scope};
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
    /// The v1 mount without controllers, by which an older systemd counts processes.
    named: Option<PathBuf>,
    /// Whether systemd manages this host.
    systemd: bool,
}

/// The bounds of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory, page cache included.
    pub memory: u64,
    /// Whole processors' worth of time, at most; and where time is short, its share of it among its siblings.
    pub cpus: u32,
    /// Processes and threads.
    pub tasks: u32,
}

/// One group. It may or may not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    v2: Option<PathBuf>,
    v1: Vec<(&'static str, PathBuf)>,
    /// The same group as systemd has it.
    scope: Option<Box<Group>>,
}

/// A group that was just made.
#[derive(Debug, Default)]
pub struct Made {
    /// The files a process must write itself into.
    pub join: Vec<PathBuf>,
    /// What could not be set.
    pub troubles: Vec<String>,
    /// Why systemd did not make it, where it should have.
    pub no_scope: Option<io::Error>,
}

impl Limits {
    /// Each processor weighs what a group weighs by default. The kernel's bounds are 1 and 10,000.
    pub(super) fn weight(self) -> u32 {
        self.cpus.saturating_mul(100).clamp(1, 10_000)
    }
}

impl Hierarchies {
    /// Looks at what is mounted.
    #[must_use]
    pub fn detect() -> Hierarchies {
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        Hierarchies { systemd: scope::booted(), ..Hierarchies::of(&mounts) }
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
                if has(&"name=systemd") {
                    found.named = Some((*at).into());
                }
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
        let scope = Scope::named(parent, name).filter(|_| self.systemd);
        let mut group = self.at(&Path::new(parent).join(name));
        group.scope = scope.map(|scope| {
            let mut group = self.at(Path::new(&scope.path()));
            group.v1.extend(self.named.iter().map(|root| ("", root.join(scope.path()))));
            Box::new(group)
        });
        group
    }

    fn at(&self, path: &Path) -> Group {
        Group {
            v2: self.v2.as_ref().map(|(root, _)| root.join(path)),
            v1: self.v1.iter().map(|(name, root)| (*name, root.join(path))).collect(),
            scope: None,
        }
    }

    /// Makes `parent/name` with these bounds: as a scope where systemd manages the host, else, and where systemd does
    /// not do it, by ourselves.
    #[must_use]
    pub fn make(&self, parent: &str, name: &str, limits: Limits) -> Made {
        let scope = Scope::named(parent, name).filter(|_| self.systemd);
        match scope.map(|scope| Ok(self.to_join(&scope.path(), &scope.start(limits)?))) {
            Some(Ok(join)) => Made { join, ..Made::default() },
            Some(Err(error)) => {
                Made { no_scope: Some(error), ..self.make_own(parent, name, limits) }
            }
            None => self.make_own(parent, name, limits),
        }
    }

    /// The files of a scope, in the hierarchies in which its holder is.
    fn to_join(&self, path: &str, groups: &str) -> Vec<PathBuf> {
        let mut join = Vec::new();
        for controllers in scope::hierarchies(groups, path) {
            let has = |name: &str| controllers.split(',').any(|has| has == name);
            match controllers {
                "" => join.extend(self.v2.iter().map(|(root, _)| root)),
                "name=systemd" => join.extend(&self.named),
                _ => join.extend(self.v1.iter().filter(|(n, _)| has(n)).map(|(_, root)| root)),
            }
        }
        // One mount may have several controllers.
        join.dedup();
        join.into_iter().map(|root| root.join(path).join("cgroup.procs")).collect()
    }

    /// A hierarchy that may not be written is left out: a host in a container still runs, unbounded, and
    /// [`Hierarchies::missing`] or the troubles say so.
    fn make_own(&self, parent: &str, name: &str, limits: Limits) -> Made {
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
            let swap = dir.join("memory.swap.max");
            no_swap(&swap, "0").unwrap_or_else(|e| note(&swap, &e));
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
            // Memory and swap together: no more than memory alone.
            let both = dir.join("memory.memsw.limit_in_bytes");
            no_swap(&both, &limits.memory.to_string()).unwrap_or_else(|e| note(&both, &e));
        }
        Made { join, troubles, no_scope: None }
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
        self.v1.iter().try_for_each(|(_, dir)| kill_each(dir))?;
        self.scope.as_ref().map_or(Ok(()), |scope| scope.kill())
    }

    /// How many processes of it the out-of-memory killer has taken.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        let v2 = self.v2.iter().map(|dir| dir.join("memory.events"));
        let v1 = self.v1.iter().filter(|(name, _)| *name == "memory");
        let v1 = v1.map(|(_, dir)| dir.join("memory.oom_control"));
        let files = v2.chain(v1);
        let ours: u64 =
            files.map(|file| oom_kills(&fs::read_to_string(file).unwrap_or_default())).sum();
        ours + self.scope.as_ref().map_or(0, |scope| scope.oom_kills())
    }

    /// Removes it. A group that does not exist is no error. An empty scope is removed by systemd, soon and unasked.
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
        let scope = self.scope.as_ref().is_some_and(|scope| scope.exists());
        outcome.and(if scope { Err(io::ErrorKind::ResourceBusy.into()) } else { Ok(()) })
    }

    /// Whether any of it exists.
    #[must_use]
    pub fn exists(&self) -> bool {
        let scope = self.scope.as_ref().is_some_and(|scope| scope.exists());
        scope || self.v2.iter().chain(self.v1.iter().map(|(_, dir)| dir)).any(|dir| dir.exists())
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
        ("cpu", "cpu.weight", limits.weight().to_string()),
        ("pids", "pids.max", limits.tasks.to_string()),
    ];
    all.into_iter().filter(|(name, ..)| has.contains(name)).map(|(_, f, v)| (f, v)).collect()
}

fn v1_values(limits: Limits, controller: &str) -> Vec<(&'static str, String)> {
    match controller {
        "memory" => vec![("memory.limit_in_bytes", limits.memory.to_string())],
        "cpu" => vec![
            ("cpu.cfs_quota_us", (u64::from(limits.cpus) * 100_000).to_string()),
            // The kernel's 1024 is v2's 100.
            ("cpu.shares", (u64::from(limits.weight()) * 1024 / 100).to_string()),
        ],
        _ => vec![("pids.max", limits.tasks.to_string())],
    }
}

/// What a guest has in memory must not reach a disk. A kernel that does not count swap has no such file.
fn no_swap(file: &Path, value: &str) -> io::Result<()> {
    if file.exists() { write(file, value) } else { Ok(()) }
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
    fn a_name_stands_for_the_scope_too_where_systemd_manages_the_host() {
        let mounts = "cgroup /c/systemd cgroup rw,name=systemd 0 0\n\
            cgroup /c/cpu cgroup rw,cpu,pids 0 0\ncgroup2 /c/unified cgroup2 rw 0 0\n";
        let found = Hierarchies { systemd: true, ..Hierarchies::of(mounts) };
        let scope = found.group("flint", "a").scope.unwrap();
        assert_eq!(scope.v2, Some("/c/unified/flint.slice/flint-a.scope".into()));
        let v1 = |name, root: &str| (name, Path::new(root).join("flint.slice/flint-a.scope"));
        assert_eq!(scope.v1, [v1("cpu", "/c/cpu"), v1("pids", "/c/cpu"), v1("", "/c/systemd")]);
        assert_eq!(found.group("flint", "").scope, None);
        assert_eq!(Hierarchies::of(mounts).group("flint", "a").scope, None);
    }

    #[test]
    fn a_scope_is_joined_in_each_hierarchy_that_has_it_and_once() {
        let mounts = "cgroup /c/systemd cgroup rw,name=systemd 0 0\n\
            cgroup /c/cpu cgroup rw,cpu,pids 0 0\ncgroup /c/memory cgroup rw,memory 0 0\n\
            cgroup2 /c/unified cgroup2 rw 0 0\n";
        let path = "flint.slice/flint-a.scope";
        let groups = "3:memory:/\n2:cpu,pids:/flint.slice/flint-a.scope\n\
            1:name=systemd:/flint.slice/flint-a.scope\n0::/flint.slice/flint-a.scope\n";
        let roots = ["/c/cpu", "/c/systemd", "/c/unified"];
        let wanted = roots.map(|root| Path::new(root).join(path).join("cgroup.procs"));
        assert_eq!(Hierarchies::of(mounts).to_join(path, groups), wanted);
    }

    #[test]
    fn a_guest_of_four_processors_has_twice_the_weight_of_one_of_two() {
        let limits = |cpus| Limits { memory: 1 << 30, cpus, tasks: 256 };
        let v2 = |cpus| v2_values(limits(cpus), &WANTED);
        assert!(v2(2).contains(&("cpu.weight", "200".to_owned())));
        assert!(v2(4).contains(&("cpu.weight", "400".to_owned())));
        assert!(v1_values(limits(4), "cpu").contains(&("cpu.shares", "4096".to_owned())));
        assert_eq!(limits(0).weight(), 1);
        assert_eq!(limits(u32::MAX).weight(), 10_000);
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
