//! The demo's two made-up places: a host with an uplink, and the internet with GitHub in it.
//!
//! Both are network namespaces of the demo's own, so that nothing it sends can leave this machine. Dropping
//! [`Places`] removes them, also when the demo fails.

use anyhow::{Context, Result, bail};
use flint::sys::alone::{self, Alone, Taken};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

/// The host's address on its uplink (RFC 5737: for examples, routed nowhere).
pub(crate) const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);

/// The fake GitHub's address.
pub(crate) const GITHUB: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);

/// The namespaces, while the demo runs.
pub(crate) struct Places {
    host: String,
    github: String,
    /// Held as long as the names are ours.
    _name: Alone,
}

impl Places {
    /// Makes both and the link between them. `name` keeps two demos apart.
    ///
    /// # Errors
    /// When `ip` is missing or refuses: not root, most often.
    pub(crate) fn make(name: &str) -> Result<Places> {
        let (host, github) = (format!("{name}-host"), format!("{name}-github"));
        // Whatever an earlier one left under this name goes, so nobody else may be using it.
        let places = Places { host, github, _name: take(name)? };
        places.remove();
        let (host, github) = (places.host.as_str(), places.github.as_str());
        let address = |ip: Ipv4Addr| format!("{ip}/24");
        for netns in [host, github] {
            ip(&["netns", "add", netns])?;
            ip(&["-n", netns, "link", "set", "lo", "up"])?;
        }
        let peer = ["peer", "name", "eth0", "netns", github];
        ip(&[&["-n", host, "link", "add", "eth0", "type", "veth"], &peer[..]].concat())?;
        for (netns, own) in [(host, HOST), (github, GITHUB)] {
            ip(&["-n", netns, "addr", "add", &address(own), "dev", "eth0"])?;
            ip(&["-n", netns, "link", "set", "eth0", "up"])?;
        }
        ip(&["-n", host, "route", "add", "default", "via", &GITHUB.to_string()])?;
        Ok(places)
    }

    /// The name of the host's namespace.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The name of the namespace that GitHub is in.
    pub(crate) fn github(&self) -> &str {
        &self.github
    }

    /// The file of the namespace that GitHub is in.
    pub(crate) fn github_file(&self) -> std::path::PathBuf {
        Path::new("/run/netns").join(&self.github)
    }

    fn remove(&self) {
        for netns in [&self.host, &self.github] {
            // Absent is fine: there is nothing to remove the first time.
            drop(Command::new("ip").args(["netns", "del", netns]).output());
        }
        // A daemon that was killed leaves it.
        let prefix = self.host.trim_end_matches("-host");
        drop(std::fs::remove_file(format!("/run/flint-{prefix}.lock")));
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        self.remove();
    }
}

fn take(name: &str) -> Result<Alone> {
    let path = format!("/run/flint-sim-{name}.lock");
    match alone::take(Path::new(&path)).with_context(|| format!("cannot lock `{path}`"))? {
        Taken::Ours(alone) => Ok(alone),
        Taken::Others(_) => {
            bail!("another demo or kill matrix runs as `{name}`: `--name` chooses another")
        }
    }
}

fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip").args(args).output();
    let output = output.context("cannot run `ip` (package iproute2)")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`ip {}` failed: {} (the demo needs root)", args.join(" "), said.trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::take;

    #[test]
    fn a_name_has_one_owner_at_a_time() {
        let name = format!("test-{}", std::process::id());
        let first = take(&name).unwrap();
        let refused = take(&name).unwrap_err();
        assert!(format!("{refused:#}").contains("`--name` chooses another"), "{refused:#}");
        drop(first);
        assert!(take(&name).is_ok());
    }
}
