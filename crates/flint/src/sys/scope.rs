//! A group that systemd makes, bounds and removes: a transient scope, found again by its name alone.
//!
//! Where systemd is the manager, nobody else may make groups at the root of the hierarchy. So systemd is asked for
//! one with the program that it ships. A scope needs a process from its first moment to its last: a *holder*, which
//! sleeps in it until the scope is killed. As long as it sleeps, the counters of the out-of-memory killer can be read,
//! also by a later life of this program.

use crate::sys::cgroup::Limits;
use crate::sys::program;
use std::io;
use std::path::Path;
use std::process::{Output, Stdio};

/// Sleeps in the scope and says its number. A scope in which something ran out of memory is asked to end: that is
/// not for the holder, which would take the counters with it.
const HOLDER: &str = "trap '' HUP INT TERM; sleep infinity </dev/null >/dev/null 2>&1 & echo $!";

/// One scope. It may or may not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    slice: String,
    unit: String,
}

/// Whether systemd manages this host, as `sd_booted(3)` looks.
#[must_use]
pub fn booted() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Has systemd make a scope that ends at once.
///
/// # Errors
/// What `systemd-run` said.
pub fn try_one() -> io::Result<()> {
    run("systemd-run", &["--scope", "--quiet", "--collect", "--", "true"].map(str::to_owned))
        .map(drop)
}

impl Scope {
    /// The scope `parent-name.scope` in `parent.slice`. None for names that systemd would read otherwise: there a `-`
    /// in a slice's name is a level.
    pub(super) fn named(parent: &str, name: &str) -> Option<Scope> {
        let small = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let parent_fits = !parent.is_empty() && parent.chars().all(small);
        let name_fits = !name.is_empty() && name.chars().all(|c| small(c) || c == '-');
        (parent_fits && name_fits).then(|| Scope {
            slice: format!("{parent}.slice"),
            unit: format!("{parent}-{name}.scope"),
        })
    }

    /// Below the root of each hierarchy.
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.slice, self.unit)
    }

    /// Has systemd make it, with a holder inside. Gives the `/proc/PID/cgroup` of the holder.
    pub(super) fn start(&self, limits: Limits) -> io::Result<String> {
        let args = self.args(limits);
        let said = run("systemd-run", &args).or_else(|_| {
            // An earlier life's scope of this name, failed or not yet forgotten, is in the way.
            self.clear();
            run("systemd-run", &args)
        })?;
        let text = String::from_utf8_lossy(&said.stdout).trim().to_owned();
        let holder: u32 = text
            .parse()
            .map_err(|_| io::Error::other(format!("`systemd-run` gave no process but `{text}`")))?;
        let groups = std::fs::read_to_string(format!("/proc/{holder}/cgroup"))?;
        if hierarchies(&groups, &self.path()).is_empty() {
            self.clear();
            let path = self.path();
            let text = format!("systemd put `{}` elsewhere than `/{path}`: {groups}", self.unit);
            return Err(io::Error::other(text));
        }
        Ok(groups)
    }

    fn args(&self, limits: Limits) -> Vec<String> {
        let properties = [
            // Systemd keeps its hands off what is inside, and lets us put processes there.
            "Delegate=yes".to_owned(),
            format!("MemoryMax={}", limits.memory),
            "MemorySwapMax=0".to_owned(),
            format!("CPUQuota={}%", u64::from(limits.cpus) * 100),
            format!("CPUWeight={}", limits.weight()),
            format!("TasksMax={}", limits.tasks),
        ];
        // Collected also when it failed: the name must be free for the next one.
        let mut args = vec!["--scope".to_owned(), "--quiet".to_owned(), "--collect".to_owned()];
        args.extend([format!("--slice={}", self.slice), format!("--unit={}", self.unit)]);
        args.extend(properties.map(|property| format!("--property={property}")));
        args.extend(["--", "sh", "-c", HOLDER].map(str::to_owned));
        args
    }

    /// Ends whatever has the name, and has systemd forget it. Each step may find nothing to do.
    fn clear(&self) {
        for words in [&["kill", "--signal=KILL"][..], &["stop"], &["reset-failed"]] {
            let args = words.iter().copied().chain(["--", &self.unit]).map(str::to_owned);
            let _nothing_to_do = run("systemctl", &args.collect::<Vec<_>>());
        }
    }
}

/// In which hierarchies of a `/proc/PID/cgroup` the process is at `path`: controllers as named there, none for v2.
pub(super) fn hierarchies<'a>(groups: &'a str, path: &str) -> Vec<&'a str> {
    let at = |line: &'a str| {
        let (_number, rest) = line.split_once(':')?;
        let (controllers, place) = rest.split_once(':')?;
        (place.strip_prefix('/') == Some(path)).then_some(controllers)
    };
    groups.lines().filter_map(at).collect()
}

fn run(name: &str, args: &[String]) -> io::Result<Output> {
    let mut command = program::tool(name);
    // The holder stays behind: no directory is to be held busy by it.
    command.args(args).current_dir("/").stdin(Stdio::null());
    let output = command.output();
    let output = output.map_err(|e| io::Error::new(e.kind(), format!("`{name}`: {e}")))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().next().unwrap_or("nothing").trim();
    Err(io::Error::other(format!("`{name}` failed ({}): {said}", output.status)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_asked_for_with_its_bounds_and_a_holder() {
        let scope = Scope::named("flint", "a-3").unwrap();
        let args = scope.args(Limits { memory: 1 << 30, cpus: 2, tasks: 256 });
        let plain: Vec<&str> = args.iter().map(String::as_str).collect();
        let wanted = [
            "--scope",
            "--quiet",
            "--collect",
            "--slice=flint.slice",
            "--unit=flint-a-3.scope",
            "--property=Delegate=yes",
            "--property=MemoryMax=1073741824",
            "--property=MemorySwapMax=0",
            "--property=CPUQuota=200%",
            "--property=CPUWeight=200",
            "--property=TasksMax=256",
            "--",
            "sh",
            "-c",
            HOLDER,
        ];
        assert_eq!(plain, wanted);
    }

    #[test]
    fn a_name_that_systemd_would_read_otherwise_has_no_scope() {
        assert_eq!(Scope::named("flint", "a-3").unwrap().path(), "flint.slice/flint-a-3.scope");
        for (parent, name) in [("flint-test", "a-3"), ("flint", ""), ("", "a"), ("flint", "a/b")] {
            assert_eq!(Scope::named(parent, name), None, "{parent} {name}");
        }
    }

    #[test]
    fn only_the_hierarchies_where_the_scope_is_are_used() {
        let path = "flint.slice/flint-a.scope";
        let hybrid = "9:name=systemd:/flint.slice/flint-a.scope\n8:pids:/flint.slice/flint-a.scope\n\
            7:freezer:/\n4:memory:/flint.slice/flint-a.scope\n2:cpu,cpuacct:/flint.slice\n\
            0::/flint.slice/flint-a.scope\n";
        assert_eq!(hierarchies(hybrid, path), ["name=systemd", "pids", "memory", ""]);
        assert_eq!(hierarchies("0::/flint.slice/flint-a.scope\n", path), [""]);
        // Of the same name, but below something else: not found again by the name alone.
        assert_eq!(hierarchies("0::/docker/x/flint.slice/flint-a.scope\n", path), [""; 0]);
        assert_eq!(hierarchies("", path), [""; 0]);
    }
}
