//! Who imports whom: the table of rooms, the fences around outside crates, and no cycle in any crate.

use super::Problem;
use super::paths::{Named, labels, named, reexports};
use super::source::Source;
use crate::rooms::{DOMAIN_WORDS, EXCEPTIONS, FENCES, ROOMS, SYS_PATHS};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};

/// Imports in crate `flint` that the table of rooms does not allow.
pub(crate) fn rooms(sources: &[&Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources.iter().filter(|source| source.place.krate == "flint") {
        let Some(room) = source.place.room() else { continue };
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            let text = format!("`{room}` is no room: give it a line in xtask/src/rooms.rs");
            problems.push(Problem::new(source, 1, text));
            continue;
        };
        let mut may = allowed.to_vec();
        may.extend(extra(&source.place.modules));
        let outside = named(source)
            .into_iter()
            .filter(|name| name.local && name.path.first().map(String::as_str) != Some(room));
        let forbidden = outside.filter(|name| !is_allowed(&may, &name.path));
        problems.extend(forbidden.map(|name| forbidden_import(source, room, &name)));
    }
    problems
}

fn forbidden_import(source: &Source, room: &str, name: &Named) -> Problem {
    let text = match name.path.first().map_or("*", String::as_str) {
        "*" => "import the room by its name, not the whole crate".to_owned(),
        _ => format!("`{room}` may not import `{}`", name.path.join("::")),
    };
    Problem::new(source, name.line, text)
}

fn extra(modules: &[String]) -> impl Iterator<Item = &'static str> {
    let fits = EXCEPTIONS.iter().filter(|exception| {
        modules.len() >= exception.module.len()
            && modules.iter().zip(exception.module).all(|(have, want)| have == want)
    });
    fits.flat_map(|exception| exception.may).copied()
}

fn is_allowed(may: &[&str], path: &[String]) -> bool {
    may.iter().any(|entry| {
        entry.split("::").zip(path).all(|(want, have)| want == have) && {
            entry.split("::").count() <= path.len()
        }
    })
}

/// Outside crates and kernel files that only some rooms may name.
pub(crate) fn fences(sources: &[&Source]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for source in sources {
        let labels = labels(&source.place);
        for name in named(source).into_iter().filter(|name| !name.local) {
            let broken = FENCES.iter().find(|fence| {
                fence.path.iter().zip(&name.path).all(|(want, have)| want == have)
                    && fence.path.len() <= name.path.len()
                    && !labels.iter().any(|label| fence.only.contains(&label.as_str()))
            });
            if let Some(fence) = broken {
                let (what, only) = (fence.path.join("::"), fence.only.join("`, `"));
                let text = format!("only `{only}` may use `{what}`");
                problems.push(Problem::new(source, name.line, text));
            }
        }
        if labels[0] == "flint" {
            problems.extend(kernel_files_and_words(source));
        }
    }
    problems
}

fn kernel_files_and_words(source: &Source) -> Vec<Problem> {
    let mut words = Words { found: Vec::new() };
    words.visit_file(&source.tree);
    let in_sys = source.place.room() == Some("sys");
    let told = words.found.into_iter().filter_map(|(line, word)| match word {
        Word::Text(text) if !in_sys && SYS_PATHS.iter().any(|p| text.starts_with(p)) => {
            Some(Problem::new(source, line, format!("only `flint/sys` may name `{text}`")))
        }
        Word::Name(name) if in_sys && domain_word(&name).is_some() => {
            let text = format!("`sys` knows no word of the domain, such as in `{name}`");
            Some(Problem::new(source, line, text))
        }
        Word::Text(_) | Word::Name(_) => None,
    });
    told.collect()
}

/// The domain's word in a name, if there is one: `kill_vm`, `VmId`.
fn domain_word(name: &str) -> Option<&'static str> {
    let mut spaced = String::new();
    for c in name.chars() {
        if c.is_uppercase() || c == '_' {
            spaced.push(' ');
        }
        spaced.extend(c.to_lowercase().filter(|c| *c != '_'));
    }
    let found = spaced.split_whitespace().find_map(|w| DOMAIN_WORDS.iter().find(|d| **d == w));
    found.copied()
}

enum Word {
    Text(String),
    Name(String),
}

struct Words {
    found: Vec<(usize, Word)>,
}

impl<'ast> Visit<'ast> for Words {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        if !super::source::is_test(super::source::attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_attribute(&mut self, _: &'ast syn::Attribute) {}

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.found.push((text.span().start().line, Word::Text(text.value())));
    }

    fn visit_ident(&mut self, name: &'ast syn::Ident) {
        self.found.push((name.span().start().line, Word::Name(name.to_string())));
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        for token in call.tokens.clone() {
            if let proc_macro2::TokenTree::Literal(literal) = token
                && let syn::Lit::Str(text) = syn::Lit::new(literal)
            {
                self.visit_lit_str(&text);
            }
        }
    }
}

/// Import cycles between the top-level modules of each crate.
pub(crate) fn cycles(sources: &[&Source]) -> Vec<Problem> {
    let crates: BTreeSet<&str> = sources.iter().map(|s| s.place.krate.as_str()).collect();
    let mut problems = Vec::new();
    for krate in crates {
        let own: Vec<_> = sources.iter().copied().filter(|s| s.place.krate == krate).collect();
        let edges = edges(&own);
        if let Some(cycle) = find_cycle(&edges) {
            let first = &edges[&cycle[0]][&cycle[1]];
            let text = format!("import cycle in `{krate}`: {}", cycle.join(" → "));
            problems.push(Problem::new(first.0, first.1, text));
        }
    }
    problems
}

/// From which module to which, and one place that makes it so.
type Edges<'a> = BTreeMap<String, BTreeMap<String, (&'a Source, usize)>>;

fn edges<'a>(sources: &[&'a Source]) -> Edges<'a> {
    let modules: BTreeSet<&str> = sources.iter().filter_map(|source| source.place.room()).collect();
    let roots = sources.iter().filter(|source| source.place.modules.is_empty());
    let exported: BTreeMap<String, String> = roots.flat_map(|root| reexports(root)).collect();
    let mut edges = Edges::new();
    for source in sources {
        let Some(from) = source.place.room() else { continue };
        for Named { path, line, .. } in named(source).into_iter().filter(|name| name.local) {
            let Some(first) = path.first() else { continue };
            let to =
                if modules.contains(first.as_str()) { Some(first) } else { exported.get(first) };
            if let Some(to) = to.filter(|to| *to != from) {
                let from = edges.entry(from.to_owned()).or_default();
                from.entry(to.clone()).or_insert((source, line));
            }
        }
    }
    edges
}

fn find_cycle(edges: &Edges<'_>) -> Option<Vec<String>> {
    let mut done = BTreeSet::new();
    edges.keys().find_map(|start| walk(edges, start, &mut Vec::new(), &mut done))
}

fn walk(
    edges: &Edges<'_>,
    at: &str,
    way: &mut Vec<String>,
    done: &mut BTreeSet<String>,
) -> Option<Vec<String>> {
    if let Some(seen) = way.iter().position(|step| step == at) {
        return Some([&way[seen..], &[at.to_owned()]].concat());
    }
    if !done.insert(at.to_owned()) {
        return None;
    }
    way.push(at.to_owned());
    let found =
        edges.get(at).into_iter().flatten().find_map(|(next, _)| walk(edges, next, way, done));
    way.pop();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn told(check: fn(&[&Source]) -> Vec<Problem>, files: &[(&str, &str)]) -> Vec<String> {
        let parsed: Vec<_> = files
            .iter()
            .map(|(path, text)| Source::parse(Path::new(path), (*text).into()).unwrap())
            .collect();
        let problems = check(&parsed.iter().collect::<Vec<_>>());
        problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_room_imports_only_what_the_table_says() {
        let file = "crates/flint/src/forge/rest.rs";
        let text = "//! x\nuse crate::{forge::Error, store::Store};\nuse super::super::host;";
        let wanted = [
            "crates/flint/src/forge/rest.rs:2: `forge` may not import `store::Store`",
            "crates/flint/src/forge/rest.rs:3: `forge` may not import `host`",
        ];
        assert_eq!(told(rooms, &[(file, text)]), wanted);
    }

    #[test]
    fn what_the_table_allows_is_allowed() {
        let host = ("crates/flint/src/host/mod.rs", "use crate::vmm::{Boot, Vmm}; use crate::sys;");
        let net = ("crates/flint/src/net/mod.rs", "use crate::vmm::Nic; use flint_core::id::Slot;");
        let run = ("crates/flint/src/cli/doctor/kvm.rs", "use crate::vmm::Vmm; use crate::config;");
        assert_eq!(told(rooms, &[host, net, run]), Vec::<String>::new());
    }

    #[test]
    fn an_item_that_is_allowed_opens_no_room() {
        let net = ("crates/flint/src/net/mod.rs", "use crate::vmm::{Nic, Boot}; use crate::vmm;");
        let wanted = [
            "crates/flint/src/net/mod.rs:1: `net` may not import `vmm::Boot`",
            "crates/flint/src/net/mod.rs:1: `net` may not import `vmm`",
        ];
        assert_eq!(told(rooms, &[net]), wanted);
    }

    #[test]
    fn an_unknown_room_and_a_glob_of_the_crate_are_told() {
        let util = ("crates/flint/src/util.rs", "");
        let glob = ("crates/flint/src/forge/mod.rs", "use crate::*;");
        let wanted = [
            "crates/flint/src/util.rs:1: `util` is no room: give it a line in xtask/src/rooms.rs",
            "crates/flint/src/forge/mod.rs:1: import the room by its name, not the whole crate",
        ];
        assert_eq!(told(rooms, &[util, glob]), wanted);
    }

    #[test]
    fn fenced_crates_stay_in_their_rooms() {
        let net = ("crates/flint/src/net/tap.rs", "fn f() { unsafe { libc::ioctl(1, 2) }; }");
        let sys = ("crates/flint/src/sys/tap.rs", "use libc::ioctl; use std::fs;");
        let agent = ("crates/agent/src/main.rs", "use libc::c_int;");
        let wanted = [
            "crates/flint/src/net/tap.rs:1: only `flint/sys`, `agent`, `sim/intruder` may use `libc`",
        ];
        assert_eq!(told(fences, &[net, sys, agent]), wanted);
        let rules = ("crates/flint/src/net/nft.rs", "use std::process::{Command, Stdio};");
        let table = ("crates/flint/src/cli/tables.rs", "use std::process::{Command, Stdio};");
        assert_eq!(told(fences, &[rules]), Vec::<String>::new());
        assert_eq!(told(fences, &[table]).len(), 1);
    }

    #[test]
    fn programs_start_in_the_one_place_that_empties_their_environment() {
        let starts =
            ["Command::new(x)", "process::Command::new(x)", "std::process::Command::new(x)"];
        for text in starts.map(|start| format!("fn f() {{ {start}; }}")) {
            for (path, count) in [("sys/program.rs", 0), ("sys/spawn.rs", 1), ("net/nft.rs", 1)] {
                let path = format!("crates/flint/src/{path}");
                let found = told(fences, &[(&path, &text)]);
                let found = found.iter().filter(|told| told.contains("`flint/sys/program`"));
                assert_eq!(found.count(), count, "{path}: {text}");
            }
        }
    }

    #[test]
    fn kernel_files_belong_to_sys_and_domain_words_do_not() {
        let vmm = ("crates/flint/src/vmm/a.rs", "const A: &str = \"/proc/self/mountinfo\";");
        let sys = ("crates/flint/src/sys/a.rs", "/// A vm.\nfn kill_vm() { open(\"/sys/fs\"); }");
        let plain =
            ("crates/flint/src/sys/b.rs", "fn jobserver() { let vmstat = \"/proc/vmstat\"; }");
        let wanted = [
            "crates/flint/src/vmm/a.rs:1: only `flint/sys` may name `/proc/self/mountinfo`",
            "crates/flint/src/sys/a.rs:2: `sys` knows no word of the domain, such as in `kill_vm`",
        ];
        assert_eq!(told(fences, &[vmm, sys, plain]), wanted);
    }

    #[test]
    fn a_cycle_is_told_with_the_place_that_begins_it() {
        let files = [
            ("crates/core/src/a.rs", "//! a\nuse crate::b::B;"),
            ("crates/core/src/b/mod.rs", "use super::c::C;"),
            ("crates/core/src/c.rs", "fn f(x: crate::a::A) {}"),
        ];
        let wanted = ["crates/core/src/a.rs:2: import cycle in `core`: a → b → c → a"];
        assert_eq!(told(cycles, &files), wanted);
    }

    #[test]
    fn a_cycle_through_the_root_is_a_cycle_too() {
        let files = [
            ("crates/wire/src/lib.rs", "mod a; mod b; pub use a::A;"),
            ("crates/wire/src/a.rs", "use crate::b::B;"),
            ("crates/wire/src/b.rs", "use crate::A;"),
        ];
        assert_eq!(told(cycles, &files).len(), 1);
    }

    #[test]
    fn a_shared_leaf_is_no_cycle() {
        let files = [
            ("crates/core/src/a.rs", "use crate::b; use crate::c;"),
            ("crates/core/src/b.rs", "use crate::c; use crate::VERSION;"),
            ("crates/core/src/c.rs", "use crate::c::inner;"),
            ("crates/sim/src/c.rs", "use crate::a;"),
        ];
        assert_eq!(told(cycles, &files), Vec::<String>::new());
    }
}
