//! What stands only while Flint runs, read and not supposed: the daemon, and the rules of the slots that there are.

use super::Line;
use crate::net::derive::slot_of;
use crate::sys::{netns, program};
use std::io::{self, ErrorKind};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// All lines about what runs.
pub(super) fn look(run_dir: &Path, prefix: &str) -> Vec<Line> {
    vec![egress(prefix), watcher(run_dir)]
}

/// The rules of each slot are made with its network, before anything in it is up.
fn egress(prefix: &str) -> Line {
    const ITEM: &str = "egress filter";
    let names = netns::names().unwrap_or_default();
    let slots: Vec<String> =
        names.into_iter().filter(|name| slot_of(prefix, name).is_some()).collect();
    if slots.is_empty() {
        let reading = "nothing runs now: each slot's rules are made with its network";
        return Line::note(ITEM, reading, "look again while a microVM runs");
    }
    let found: io::Result<Vec<(&String, bool)>> =
        slots.iter().map(|name| Ok((name, is_closed(name)?))).collect();
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            return Line::note(ITEM, format!("cannot be read: {error}"), "run it as root");
        }
    };
    let open: Vec<&str> =
        found.iter().filter(|(_, closed)| !closed).map(|(name, _)| name.as_str()).collect();
    match open.is_empty() {
        true => Line::ok(ITEM, format!("drops what is not allowed, in {} slots", found.len())),
        false => Line::warn(
            ITEM,
            format!("no rules in {}", open.join(", ")),
            "a slot that is being made has none yet: look again, and end its microVM if it stays",
        ),
    }
}

/// Whether what no rule allows is dropped in this namespace.
fn is_closed(name: &str) -> io::Result<bool> {
    let ask = || program::tool("nft").args(["list", "table", "inet", "flint"]).output();
    let output = netns::run_in(&netns::path_of(name), ask)??;
    let rules = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(output.status.success() && rules.contains("policy drop"))
}

fn watcher(run_dir: &Path) -> Line {
    let what = "it ends a VMM by SIGKILL when its deadline has passed";
    match UnixStream::connect(run_dir.join(crate::api::SOCKET)) {
        Ok(_) => Line::ok("watcher", format!("flint runs: {what}")),
        Err(error)
            if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) =>
        {
            Line::note("watcher", "flint does not run now", &format!("while it runs, {what}"))
        }
        Err(error) => Line::note("watcher", format!("cannot be read: {error}"), "run it as root"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_daemon_that_answers_is_a_watcher_and_none_is_said() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(watcher(dir.path()).reading, "flint does not run now");
        let socket = UnixListener::bind(dir.path().join(crate::api::SOCKET)).unwrap();
        assert_eq!(watcher(dir.path()).verdict, Verdict::Ok);
        // The file stays, as after a kill.
        drop(socket);
        assert_eq!(watcher(dir.path()).verdict, Verdict::Note);
    }

    #[test]
    fn where_no_slot_is_no_rules_are_claimed() {
        let line = egress("no-such-prefix");
        assert_eq!(line.verdict, Verdict::Note);
        assert!(line.reading.starts_with("nothing runs now"), "{line:?}");
    }
}
