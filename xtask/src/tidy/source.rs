//! One Rust file as tidy sees it: its place in the workspace, its text, its syntax tree.

use std::path::{Path, PathBuf};
use syn::{Attribute, Item};

/// A parsed file.
pub(crate) struct Source {
    /// Relative to the workspace.
    pub(crate) path: PathBuf,
    /// As written.
    pub(crate) text: String,
    /// As parsed.
    pub(crate) tree: syn::File,
    /// Where it stands.
    pub(crate) place: Place,
}

/// Where a file stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The crate's folder name; `sim:demo` for a further binary of a crate.
    pub(crate) krate: String,
    /// The module path within the crate; empty for a crate's root.
    pub(crate) modules: Vec<String>,
    /// Whether all of it is test code.
    pub(crate) test: bool,
}

impl Source {
    /// Parses a file.
    pub(crate) fn parse(path: &Path, text: String) -> Result<Self, syn::Error> {
        let tree = syn::parse_file(&text)?;
        Ok(Source { path: path.to_owned(), text, tree, place: Place::of(path) })
    }

    /// The modules this file declares as test-only and keeps in files of their own.
    pub(crate) fn test_modules(&self) -> Vec<Vec<String>> {
        let outside = self.tree.items.iter().filter_map(|item| match item {
            Item::Mod(module) if module.content.is_none() && is_test(&module.attrs) => {
                Some(module.ident.to_string())
            }
            _ => None,
        });
        outside.map(|name| [self.place.modules.clone(), vec![name]].concat()).collect()
    }
}

impl Place {
    /// Reads a place from a path such as `crates/flint/src/vmm/qemu.rs`.
    pub(crate) fn of(path: &Path) -> Self {
        let parts: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
        let (krate, rest) = match parts.as_slice() {
            ["crates", krate, rest @ ..] => (*krate, rest),
            [krate, rest @ ..] => (*krate, rest),
            [] => ("", &[][..]),
        };
        let test = matches!(rest.first(), Some(&("tests" | "benches")));
        match rest {
            ["src", "bin", binary, inner @ ..] => {
                let name = binary.trim_end_matches(".rs");
                Place { krate: format!("{krate}:{name}"), modules: module_path(inner), test }
            }
            ["src", inner @ ..] => {
                Place { krate: krate.to_owned(), modules: module_path(inner), test }
            }
            _ => Place { krate: format!("{krate}:{}", rest.join("/")), modules: Vec::new(), test },
        }
    }

    /// The top-level module, if the file is not the crate's root.
    pub(crate) fn room(&self) -> Option<&str> {
        self.modules.first().map(String::as_str)
    }
}

fn module_path(parts: &[&str]) -> Vec<String> {
    let Some((file, folders)) = parts.split_last() else { return Vec::new() };
    let own = match *file {
        "mod.rs" => None,
        "lib.rs" | "main.rs" if folders.is_empty() => None,
        other => Some(other.trim_end_matches(".rs")),
    };
    folders.iter().copied().chain(own).map(str::to_owned).collect()
}

/// Whether attributes make something test code: `#[test]`, `#[tokio::test]`, `#[cfg(test)]` and its relatives.
pub(crate) fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| is_test_function(attribute) || is_cfg_test(attribute))
}

/// `#[test]`, `#[tokio::test]`.
pub(crate) fn is_test_function(attribute: &Attribute) -> bool {
    attribute.path().segments.last().is_some_and(|last| last.ident == "test")
}

fn is_cfg_test(attribute: &Attribute) -> bool {
    let syn::Meta::List(list) = &attribute.meta else { return false };
    let tokens = list.tokens.to_string();
    let says = |word: &str| tokens.split(|c: char| !c.is_alphanumeric()).any(|w| w == word);
    attribute.path().is_ident("cfg") && says("test") && !says("not")
}

/// The attributes of any item.
pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(i) => &i.attrs,
        Item::Enum(i) => &i.attrs,
        Item::ExternCrate(i) => &i.attrs,
        Item::Fn(i) => &i.attrs,
        Item::ForeignMod(i) => &i.attrs,
        Item::Impl(i) => &i.attrs,
        Item::Macro(i) => &i.attrs,
        Item::Mod(i) => &i.attrs,
        Item::Static(i) => &i.attrs,
        Item::Struct(i) => &i.attrs,
        Item::Trait(i) => &i.attrs,
        Item::TraitAlias(i) => &i.attrs,
        Item::Type(i) => &i.attrs,
        Item::Union(i) => &i.attrs,
        Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(path: &str) -> (String, String, bool) {
        let place = Place::of(Path::new(path));
        (place.krate, place.modules.join("::"), place.test)
    }

    #[test]
    fn a_path_tells_crate_module_and_whether_it_is_a_test() {
        let of = |krate: &str, modules: &str, test| (krate.to_owned(), modules.to_owned(), test);
        assert_eq!(place("crates/flint/src/vmm/qemu.rs"), of("flint", "vmm::qemu", false));
        assert_eq!(place("crates/flint/src/vmm/mod.rs"), of("flint", "vmm", false));
        assert_eq!(place("crates/core/src/lib.rs"), of("core", "", false));
        assert_eq!(place("crates/sim/src/bin/demo.rs"), of("sim:demo", "", false));
        assert_eq!(place("crates/sim/src/bin/demo/show.rs"), of("sim:demo", "show", false));
        assert_eq!(place("xtask/src/tidy/mod.rs"), of("xtask", "tidy", false));
        assert_eq!(
            place("crates/flint/tests/net/main.rs"),
            of("flint:tests/net/main.rs", "", true)
        );
    }

    #[test]
    fn attributes_tell_what_is_test_code() {
        let says = |text: &str| is_test(attributes(&syn::parse_str(text).unwrap()));
        assert!(says("#[cfg(test)] mod a {}"));
        assert!(says("#[cfg(all(test, unix))] mod a {}"));
        assert!(says("#[tokio::test] async fn a() {}"));
        assert!(!says("#[cfg(not(test))] mod a {}"));
        assert!(!says("#[cfg(feature = \"full\")] mod a {}"));
    }

    #[test]
    fn a_test_module_in_a_file_of_its_own_is_known() {
        let text = "#[cfg(test)] mod tests; mod other; #[cfg(test)] mod inline {}";
        let source = Source::parse(Path::new("crates/core/src/plan/mod.rs"), text.into()).unwrap();
        assert_eq!(source.test_modules(), [["plan", "tests"]]);
    }
}
