//! Format, lock files, and clippy over everything that is compiled, also the tests that only run by name.

use crate::cargo::{cargo, run, test_targets};

/// Checks the format, then lints every target.
///
/// # Errors
/// When something is to be said against any of it.
pub(crate) fn lint() -> anyhow::Result<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    // The fuzzers have a lock file of their own, which no build of the workspace looks at.
    run(&mut cargo(&["tree", "--locked", "--depth=0", "--manifest-path=fuzz/Cargo.toml"]))?;
    let names = test_targets()?.into_iter().filter(|t| t.by_name).map(|t| t.name);
    for command in commands(names) {
        run(&mut cargo(&command.iter().map(String::as_str).collect::<Vec<_>>()))?;
    }
    Ok(())
}

/// `--all-targets` leaves out the tests that only run by name, and cargo takes no name beside it.
fn commands(by_name: impl Iterator<Item = String>) -> Vec<Vec<String>> {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let named: Vec<_> = by_name.flat_map(|name| ["--test".to_owned(), name]).collect();
    let mut commands = vec![
        words("clippy --workspace --all-targets"),
        // What only this feature compiles.
        words("clippy --package flint-sim --features kill-points --lib --bins"),
    ];
    if !named.is_empty() {
        commands.push([words("clippy --workspace"), named].concat());
    }
    commands.iter_mut().for_each(|command| command.extend(words("-- -D warnings")));
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_only_run_by_name_are_linted_by_name() {
        let told = |names: &[&str]| {
            let commands = commands(names.iter().map(|name| (*name).to_owned()));
            commands.into_iter().map(|command| command.join(" ")).collect::<Vec<_>>()
        };
        let all = "clippy --workspace --all-targets -- -D warnings";
        let kills = "clippy --package flint-sim --features kill-points --lib --bins -- -D warnings";
        assert_eq!(told(&[]), [all, kills]);
        let named = "clippy --workspace --test net --test vm -- -D warnings";
        assert_eq!(told(&["net", "vm"]), [all, kills, named]);
    }
}
