//! Every path a file names, made absolute: `use` trees, inline paths, and paths inside macros.

use super::source::{Place, Source, attributes, is_test};
use proc_macro2::{TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Item, UseTree};

/// A path that is named somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Named {
    /// Whether it begins in this crate (then `path` is absolute within it).
    pub(crate) local: bool,
    /// Its segments; ends with `*` for a glob.
    pub(crate) path: Vec<String>,
    /// From 1.
    pub(crate) line: usize,
}

/// All paths named outside of tests.
pub(crate) fn named(source: &Source) -> Vec<Named> {
    let mut visitor = Paths { modules: source.place.modules.clone(), found: Vec::new() };
    visitor.visit_file(&source.tree);
    visitor.found
}

/// What a crate's root re-exports from its modules: name, module.
pub(crate) fn reexports(source: &Source) -> Vec<(String, String)> {
    let uses = source.tree.items.iter().filter_map(|item| match item {
        Item::Use(import) if !matches!(import.vis, syn::Visibility::Inherited) => Some(import),
        _ => None,
    });
    let paths = uses.flat_map(|import| flatten(&import.tree));
    let absolute = paths.map(|path| path.into_iter().skip_while(|s| s == "crate" || s == "self"));
    let ends = absolute.filter_map(|path| {
        let path: Vec<String> = path.collect();
        Some((path.last()?.clone(), path.first()?.clone()))
    });
    ends.filter(|(name, module)| name != module).collect()
}

/// Every leaf of a `use` tree as one path; a rename keeps the original name.
pub(crate) fn flatten(tree: &UseTree) -> Vec<Vec<String>> {
    match tree {
        UseTree::Path(path) => {
            let head = path.ident.to_string();
            let tails = flatten(&path.tree).into_iter();
            tails.map(|tail| [vec![head.clone()], tail].concat()).collect()
        }
        UseTree::Name(name) if name.ident == "self" => vec![Vec::new()],
        UseTree::Name(name) => vec![vec![name.ident.to_string()]],
        UseTree::Rename(rename) if rename.ident == "self" => vec![Vec::new()],
        UseTree::Rename(rename) => vec![vec![rename.ident.to_string()]],
        UseTree::Glob(_) => vec![vec!["*".to_owned()]],
        UseTree::Group(group) => group.items.iter().flat_map(flatten).collect(),
    }
}

struct Paths {
    modules: Vec<String>,
    found: Vec<Named>,
}

impl Paths {
    fn note(&mut self, path: Vec<String>, line: usize) {
        let mut base = self.modules.clone();
        let mut rest = path.as_slice();
        let local = match rest.first().map(String::as_str) {
            Some("crate") => {
                base.clear();
                rest = &rest[1..];
                true
            }
            Some("self") => {
                rest = &rest[1..];
                true
            }
            Some("super") => true,
            _ => false,
        };
        while let Some("super") = rest.first().map(String::as_str) {
            base.pop();
            rest = &rest[1..];
        }
        let path = if local { [base, rest.to_vec()].concat() } else { path };
        self.found.push(Named { local, path, line });
    }

    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        let mut line = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) if colons == 2 => path.push(ident.to_string()),
                TokenTree::Ident(ident) => {
                    self.end(&mut path, line);
                    line = ident.span().start().line;
                    path.push(ident.to_string());
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.end(&mut path, line);
                    self.tokens(group.stream());
                }
                TokenTree::Punct(_) | TokenTree::Literal(_) => self.end(&mut path, line),
            }
            colons = 0;
        }
        self.end(&mut path, line);
    }

    fn end(&mut self, path: &mut Vec<String>, line: usize) {
        if path.len() > 1 {
            self.note(std::mem::take(path), line);
        }
        path.clear();
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.modules.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.modules.pop();
    }

    fn visit_item_use(&mut self, import: &'ast syn::ItemUse) {
        for path in flatten(&import.tree) {
            self.note(path, import.span().start().line);
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let segments = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.note(segments, path.span().start().line);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }
}

/// A place as the fences name it, from the crate down: `flint`, `flint/cli`, `flint/cli/doctor`.
pub(crate) fn labels(place: &Place) -> Vec<String> {
    let krate = place.krate.split(':').next().unwrap_or_default().to_owned();
    let deeper =
        |upto: usize| [std::slice::from_ref(&krate), &place.modules[..upto]].concat().join("/");
    (0..=place.modules.len()).map(deeper).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn local(path: &str, text: &str) -> Vec<String> {
        let source = Source::parse(Path::new(path), text.into()).unwrap();
        let found = named(&source).into_iter().filter(|named| named.local);
        found.map(|named| named.path.join("::")).collect()
    }

    #[test]
    fn groups_renames_and_globs_are_taken_apart() {
        let text = "use crate::{vmm::{self, Nic as N}, net::*};";
        let found = local("crates/flint/src/host/mod.rs", text);
        assert_eq!(found, ["vmm", "vmm::Nic", "net::*"]);
    }

    #[test]
    fn super_and_self_are_made_absolute() {
        let text = "use super::super::store::Store; use self::a::B; mod inner { use super::C; }";
        let found = local("crates/flint/src/vmm/qemu.rs", text);
        assert_eq!(found, ["store::Store", "vmm::qemu::a::B", "vmm::qemu::C"]);
    }

    #[test]
    fn inline_paths_and_paths_in_macros_are_seen() {
        let text =
            "fn f() { crate::net::go(); println!(\"{}\", crate::store::name(crate::sys::x)); }";
        let found = local("crates/flint/src/cli/mod.rs", text);
        assert_eq!(found, ["net::go", "store::name", "sys::x"]);
    }

    #[test]
    fn what_is_in_tests_is_not_looked_at() {
        let text = "#[cfg(test)] mod tests { use crate::store::Store; } #[test] fn a() { crate::net::x(); }";
        assert_eq!(local("crates/flint/src/cli/mod.rs", text), Vec::<String>::new());
    }

    #[test]
    fn a_root_tells_what_it_re_exports() {
        let text =
            "mod secret; pub use secret::Secret; pub use self::frame::{read, Frame}; use a::B;";
        let source = Source::parse(Path::new("crates/wire/src/lib.rs"), text.into()).unwrap();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        let wanted = [pair("Secret", "secret"), pair("read", "frame"), pair("Frame", "frame")];
        assert_eq!(reexports(&source), wanted);
    }
}
