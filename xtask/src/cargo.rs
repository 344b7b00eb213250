//! Cargo called from inside of cargo, without what the outer one put into the environment.

use anyhow::{Context, bail};
use serde::Deserialize;
use std::process::Command;

/// Set by `cargo run` for this program. Build scripts watch some of them (`ring`'s does), so leaving them would
/// build half of the workspace anew.
const OUTER: &[&str] = &["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_NAME", "CARGO_CRATE_NAME"];

/// A cargo command at the workspace's root.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(crate::root());
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if OUTER.iter().any(|outer| name.starts_with(outer)) {
            command.env_remove(&*name);
        }
    }
    command
}

/// Runs a command to its end.
///
/// # Errors
/// When it cannot be started, or fails.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("cannot start `{program}`"))?;
    if !status.success() {
        bail!("`{program}` failed: {status}");
    }
    Ok(())
}

/// A target that holds integration tests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target {
    /// The package, such as `flint-core`.
    pub(crate) package: String,
    /// The target's name, such as `scripts`.
    pub(crate) name: String,
    /// Left out of a plain `cargo test`, and so of `--all-targets`.
    pub(crate) by_name: bool,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    targets: Vec<RawTarget>,
}

#[derive(Deserialize)]
struct RawTarget {
    name: String,
    kind: Vec<String>,
    test: bool,
}

/// All targets with integration tests, also those that a plain `cargo test` leaves out.
///
/// # Errors
/// When `cargo metadata` fails.
pub(crate) fn test_targets() -> anyhow::Result<Vec<Target>> {
    let output = cargo(&["metadata", "--no-deps", "--format-version=1"])
        .output()
        .context("cannot start `cargo metadata`")?;
    if !output.status.success() {
        bail!("`cargo metadata` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    targets(&output.stdout)
}

fn targets(metadata: &[u8]) -> anyhow::Result<Vec<Target>> {
    let metadata: Metadata =
        serde_json::from_slice(metadata).context("cannot read what `cargo metadata` says")?;
    let tests = metadata.packages.into_iter().flat_map(|package| {
        let tests =
            package.targets.into_iter().filter(|t| t.kind.iter().any(|kind| kind == "test"));
        tests.map(move |t| Target { package: package.name.clone(), name: t.name, by_name: !t.test })
    });
    let mut tests: Vec<Target> = tests.collect();
    tests.sort();
    Ok(tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_targets_of_kind_test_are_taken() {
        let metadata = r#"{"packages": [{"name": "flint", "targets": [
            {"name": "flint", "kind": ["lib"], "test": true},
            {"name": "net", "kind": ["test"], "test": false}]}]}"#;
        let wanted = [Target { package: "flint".into(), name: "net".into(), by_name: true }];
        assert_eq!(targets(metadata.as_bytes()).unwrap(), wanted);
    }

    #[test]
    fn the_outer_cargo_leaves_no_trace() {
        let command = cargo(&["--version"]);
        let kept =
            |name: &str| !command.get_envs().any(|(key, value)| key == name && value.is_none());
        assert!(!kept("CARGO_PKG_NAME"));
        assert!(kept("PATH"));
    }
}
