//! Every other program is started from here: with nothing of this process's environment, in which secrets may stand.

use std::ffi::{OsStr, OsString};
use std::process::Command;

/// Where distributions put what Flint calls; a PATH that comes from `su` often lacks half of it.
const PLACES: &str = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin";

/// A program that does something for Flint and ends: it is found by name, and speaks plain words.
#[must_use]
pub fn tool(name: impl AsRef<OsStr>) -> Command {
    let mut command = bare(name);
    command.env("PATH", search()).env("LC_ALL", "C");
    command
}

/// A program with an empty environment.
#[must_use]
pub fn bare(file: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(file);
    command.env_clear();
    command
}

/// Where programs are looked for: this process's PATH, then the usual places.
#[must_use]
pub fn search() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    if !path.is_empty() {
        path.push(":");
    }
    path.push(PLACES);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(mut command: Command) -> Vec<String> {
        let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let names = said.lines().map(|line| line.split('=').next().unwrap().to_owned());
        let mut names: Vec<String> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_program_has_nothing_of_our_environment_but_where_programs_are() {
        assert!(std::env::vars_os().count() > 2, "there is something to be kept from it");
        assert_eq!(names(tool("env")), ["LC_ALL", "PATH"]);
        assert_eq!(names(bare("/usr/bin/env")), [""; 0]);
    }
}
