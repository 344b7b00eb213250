//! Checks what the compiler does not: rooms, cycles, caps, habits, words, and the core's manifest.

mod caps;
mod habits;
mod imports;
mod paths;
mod source;
mod words;

use crate::rooms::CORE_DEPENDENCIES;
use anyhow::Context;
use source::Source;
use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours.
const SKIPPED: &[&str] = &["target", "build", ".git"];
/// Endings of files that are text; files without an ending are scripts or documents.
const TEXTS: &[&str] = &["rs", "toml", "md", "sh", "txt", "service", "yml", "yaml", "json", "nft"];

/// Something that is not as the house wants it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    path: PathBuf,
    line: usize,
    text: String,
}

impl Problem {
    fn new(source: &Source, line: usize, text: String) -> Self {
        Problem::at(&source.path, line, text)
    }

    fn at(path: &Path, line: usize, text: String) -> Self {
        Problem { path: path.to_owned(), line, text }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.text)
    }
}

/// Everything that is wrong with the project at `root`, in order of place.
///
/// # Errors
/// When a file cannot be read or a manifest is no TOML.
pub(crate) fn check(root: &Path) -> anyhow::Result<Vec<Problem>> {
    let mut problems = BTreeSet::new();
    let mut sources = Vec::new();
    for path in texts(root, Path::new(""))? {
        let full = root.join(&path);
        let bytes = fs::read(&full).with_context(|| format!("cannot read `{}`", full.display()))?;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        problems.extend(words::words(&path, &text));
        if path.extension().is_some_and(|ending| ending == "rs") {
            match Source::parse(&path, text) {
                Ok(source) => sources.push(source),
                Err(error) => {
                    let line = error.span().start().line;
                    problems.insert(Problem::at(&path, line, format!("is no Rust: {error}")));
                }
            }
        }
    }
    problems.extend(code(&sources));
    problems.extend(core_manifest(root)?);
    Ok(problems.into_iter().collect())
}

fn code(sources: &[Source]) -> Vec<Problem> {
    let test_modules: BTreeSet<(String, Vec<String>)> = sources
        .iter()
        .flat_map(|s| s.test_modules().into_iter().map(|m| (s.place.krate.clone(), m)))
        .collect();
    let is_test = |source: &Source| {
        let place = &source.place;
        let above = (1..=place.modules.len()).map(|n| place.modules[..n].to_vec());
        let mut above = above.map(|module| (place.krate.clone(), module));
        place.test || above.any(|module| test_modules.contains(&module))
    };
    let (tests, ours): (Vec<&Source>, Vec<&Source>) = sources.iter().partition(|s| is_test(s));
    let habits = tests.iter().map(|s| (*s, true)).chain(ours.iter().map(|s| (*s, false)));
    let mut problems: Vec<Problem> = habits.flat_map(|(s, t)| habits::habits(s, t)).collect();
    problems.extend(ours.iter().flat_map(|source| caps::caps(source)));
    problems.extend(imports::rooms(&ours));
    problems.extend(imports::fences(&ours));
    problems.extend(imports::cycles(&ours));
    problems
}

/// The core's manifest is the fence that keeps it pure.
fn core_manifest(root: &Path) -> anyhow::Result<Vec<Problem>> {
    let path = Path::new("crates/core/Cargo.toml");
    let Ok(text) = fs::read_to_string(root.join(path)) else { return Ok(Vec::new()) };
    let manifest: toml::Table = text.parse().context("cannot read the core's manifest")?;
    let dependencies = manifest.get("dependencies").and_then(toml::Value::as_table);
    let names = dependencies.into_iter().flat_map(|table| table.keys());
    let foreign = names.filter(|name| !CORE_DEPENDENCIES.contains(&name.as_str()));
    let told = foreign.map(|name| {
        let line = text.lines().position(|line| line.starts_with(name.as_str())).unwrap_or(0) + 1;
        let text = format!("the core depends on serde and thiserror alone, not on `{name}`");
        Problem::at(path, line, text)
    });
    Ok(told.collect())
}

/// All text files below a folder, relative to `root`, in order.
fn texts(root: &Path, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let full = root.join(folder);
    let entries =
        fs::read_dir(&full).with_context(|| format!("cannot list `{}`", full.display()))?;
    let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut found = Vec::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = folder.join(&name);
        let kind = entry.file_type()?;
        if kind.is_dir() && !SKIPPED.contains(&name.as_str()) {
            found.extend(texts(root, &path)?);
        } else if kind.is_file() && is_text(&path) && name != ".git" {
            found.push(path);
        }
    }
    Ok(found)
}

fn is_text(path: &Path) -> bool {
    path.extension().is_none_or(|ending| TEXTS.iter().any(|text| ending == *text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        check(folder.path()).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_project_is_tidy() {
        let root = crate::root();
        let problems: Vec<String> = check(&root).unwrap().iter().map(ToString::to_string).collect();
        assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
    }

    #[test]
    fn the_core_depends_on_serde_and_thiserror_alone() {
        let manifest = "[dependencies]\nserde.workspace = true\nrand = \"1\"\n[dev-dependencies]\ninsta = \"1\"\n";
        let wanted = [
            "crates/core/Cargo.toml:3: the core depends on serde and thiserror alone, not on `rand`",
        ];
        assert_eq!(project(&[("crates/core/Cargo.toml", manifest)]), wanted);
    }

    #[test]
    fn a_file_that_is_declared_as_a_test_is_free_of_rooms_and_caps() {
        let room = ("crates/flint/src/forge/mod.rs", "//! Room.\n#[cfg(test)]\nmod tests;\n");
        let long = format!("//! Tests.\nuse crate::store::Store;\n{}", "fn f() {}\n".repeat(700));
        let tests = ("crates/flint/src/forge/tests/mod.rs", long.as_str());
        let deeper =
            ("crates/flint/src/forge/tests/rest.rs", "//! More.\nuse crate::host::Host;\n");
        assert_eq!(project(&[room, tests, deeper]), Vec::<String>::new());
    }

    #[test]
    fn what_is_built_is_not_looked_at_and_broken_rust_is_told() {
        let broken = ("crates/core/src/a.rs", "//! A.\nfn {");
        let built = ("target/debug/a.rs", "fn {");
        assert!(project(&[broken, built])[0].starts_with("crates/core/src/a.rs:2: is no Rust"));
        assert_eq!(project(&[built]), Vec::<String>::new());
    }
}
