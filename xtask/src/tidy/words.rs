//! Words that no text of the project holds: registries' hosts, one machine's paths, promises without an issue.

use super::Problem;
use std::path::Path;

/// Who runs a package registry, and under which endings. The mirror is taken from the host's own configuration.
const REGISTRIES: &[&str] = &["debian", "ubuntu", "pypi", "pythonhosted", "npmjs", "crates"];
const ENDINGS: &[&str] = &["org", "com", "io"];

/// Folders of machines on which Flint is written, cut in two, so that this file names none.
const FOLDERS: &[(&str, &str)] = &[
    ("/work", "/main"),
    ("/work", "/wt-"),
    ("/work", "/shared"),
    ("/work", "/brief"),
    ("/work", "/fc/"),
    ("/work", "/steering"),
    ("/work", "/."),
    ("/tmp", "/bash_"),
    ("..", "/shared/"),
];

/// A promise, in halves, so that this file holds none.
const PROMISES: &[(&str, &str)] = &[("TO", "DO"), ("FIX", "ME")];

/// All that a text should not hold.
pub(crate) fn words(path: &Path, text: &str) -> Vec<Problem> {
    let told = text.lines().enumerate().flat_map(|(index, line)| {
        let found = [registry(line), machine_path(line), promise(line)];
        found.into_iter().flatten().map(move |text| Problem::at(path, index + 1, text))
    });
    told.collect()
}

fn registry(line: &str) -> Option<String> {
    let names = REGISTRIES.iter().flat_map(|owner| ENDINGS.iter().map(move |end| (owner, end)));
    let mut hosts = names.map(|(owner, end)| format!("{owner}.{end}"));
    let found = hosts.find(|host| {
        line.match_indices(host.as_str()).any(|(at, _)| ends(line, at + host.len()))
    })?;
    Some(format!("names a package registry's host, `{found}`: take the mirror from the host"))
}

/// Whether a word ends here.
fn ends(line: &str, at: usize) -> bool {
    !line[at..].starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn machine_path(line: &str) -> Option<String> {
    let mut paths = FOLDERS.iter().map(|(head, tail)| format!("{head}{tail}"));
    let found = paths.find(|path| line.contains(path.as_str()))?;
    Some(format!("names a path of one machine, `{found}`"))
}

fn promise(line: &str) -> Option<String> {
    PROMISES.iter().find_map(|(head, tail)| {
        let word = format!("{head}{tail}");
        let at = line.find(&word)?;
        let rest = &line[at + word.len()..];
        let number = rest.trim_start_matches(['(', ' ']).strip_prefix('#');
        let has_issue = number.is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit()));
        let whole = ends(line, at + word.len())
            && !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        (whole && !has_issue)
            .then(|| format!("`{word}` without an issue number, as in `{word}(#12)`"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str) -> usize {
        words(Path::new("README.md"), text).len()
    }

    #[test]
    fn a_registry_is_told_and_other_hosts_are_not() {
        assert_eq!(told(&["deb http://deb.debian", ".org/debian"].concat()), 1);
        assert_eq!(told(&["https://static.crates", ".io/x"].concat()), 1);
        assert_eq!(told("https://github.com/x and docs of debian organized"), 0);
        assert_eq!(told(&["ubuntu", ".organization"].concat()), 0);
    }

    #[test]
    fn a_path_of_one_machine_is_told_and_a_runners_work_folder_is_not() {
        assert_eq!(told(&["see /wor", "k/main/x"].concat()), 1);
        assert_eq!(told(&["../sha", "red/design.md"].concat()), 1);
        assert_eq!(told("/home/runner/_work/flint/flint and /root/flint"), 0);
    }

    #[test]
    fn a_promise_names_its_issue() {
        let word = ["TO", "DO"].concat();
        assert_eq!(told(&format!("// {word}: later")), 1);
        assert_eq!(told(&format!("// {word}(#12): later, {word} #12")), 0);
        assert_eq!(told(&format!("{word}S")), 0);
    }

    #[test]
    fn the_line_is_told() {
        let text = format!("a\nb\n// {}{}\n", "FIX", "ME");
        assert_eq!(
            words(Path::new("a.md"), &text)[0].to_string().split(": ").next(),
            Some("a.md:3")
        );
    }
}
