//! `cargo xtask lives`: builds the program that lives lives of the core, optimised, and runs it.

use crate::cargo::cargo;
use anyhow::Result;

/// Builds it and says whether all lives ended well.
///
/// # Errors
/// When cargo cannot be started.
pub(crate) fn lives(arguments: &[String]) -> Result<bool> {
    Ok(cargo(&command(arguments)).status()?.success())
}

/// The planted faults are only in a build that is asked for them, which has a folder of its own: neither makes the other
/// be built anew.
fn command(arguments: &[String]) -> Vec<&str> {
    let planted = arguments.iter().any(|argument| argument.starts_with("--planted"));
    let (features, folder) =
        if planted { ("planted", "target/planted") } else { ("lives", "target") };
    let package = ["run", "--quiet", "--release", "--package", "flint-sim", "--bin", "lives"];
    let build = ["--no-default-features", "--features", features, "--target-dir", folder, "--"];
    let arguments = arguments.iter().map(String::as_str);
    package.into_iter().chain(build).chain(arguments).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(arguments: &[&str]) -> String {
        let arguments: Vec<String> = arguments.iter().map(|a| (*a).to_owned()).collect();
        let command = command(&arguments);
        let at = command.iter().position(|word| *word == "--features").unwrap();
        command[at + 1].to_owned()
    }

    #[test]
    fn faults_are_compiled_in_only_when_they_are_asked_for() {
        assert_eq!(features(&["--count", "20000"]), "lives");
        assert_eq!(features(&["--planted", "all"]), "planted");
        assert_eq!(features(&["--planted=no-boot-timeout"]), "planted");
    }
}
