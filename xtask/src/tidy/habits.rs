//! The house's habits: a purpose on every file, reasons on exceptions, nothing unfinished, tests that read and do not sleep.

use super::Problem;
use super::paths::flatten;
use super::source::{Source, attributes, is_test, is_test_function};
use std::collections::BTreeSet;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemUse};

const UNFINISHED: &[&str] = &["todo", "unimplemented", "dbg"];

/// All that is against a habit in a file; `test` when the whole file is test code.
pub(crate) fn habits(source: &Source, test: bool) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut lines = source.text.lines().filter(|line| !line.starts_with("#!/"));
    if !lines.next().is_some_and(|line| line.starts_with("//! ")) {
        let text = "begin the file with `//!` and its purpose in one sentence".to_owned();
        problems.push(Problem::new(source, 1, text));
    }
    problems.extend(imports(source, &source.tree.items));
    let mut visitor = Habits { source, test, problems };
    visitor.visit_file(&source.tree);
    visitor.problems
}

/// One `use` line per module: neither two lines for one module, nor a group that reaches into several.
fn imports(source: &Source, items: &[Item]) -> Vec<Problem> {
    let mut seen = BTreeSet::new();
    let mut problems = Vec::new();
    for item in items {
        let Item::Use(import) = item else { continue };
        let line = import.span().start().line;
        let leaves = flatten(&import.tree);
        let modules: BTreeSet<_> = leaves.iter().map(|leaf| module_of(leaf, import)).collect();
        if modules.len() > 1 {
            let text = "one `use` line per module: this group reaches into several".to_owned();
            problems.push(Problem::new(source, line, text));
        }
        // `use std::fmt;` names a module, and may stand beside `use std::fs;`.
        if let [leaf] = leaves.as_slice()
            && leaf.last().is_some_and(|name| name.starts_with(char::is_lowercase))
        {
            continue;
        }
        for module in modules.into_iter().filter(|module| !module.is_empty()) {
            let name = module.join("::");
            if !seen.insert((kind(import), module)) {
                let text = format!("one `use` line per module: `{name}` has another");
                problems.push(Problem::new(source, line, text));
            }
        }
    }
    problems
}

/// The module a leaf comes from. `use a::{self, B}` is one module: its `self` leaf is `a` itself.
fn module_of(leaf: &[String], import: &ItemUse) -> Vec<String> {
    let mut shared = Vec::new();
    let mut tree = &import.tree;
    while let syn::UseTree::Path(path) = tree {
        shared.push(path.ident.to_string());
        tree = &path.tree;
    }
    let is_self = matches!(tree, syn::UseTree::Group(_)) && leaf.len() == shared.len();
    if is_self { shared } else { leaf[..leaf.len().saturating_sub(1)].to_vec() }
}

/// Visibility, conditions and renames: lines that differ in these cannot be one line.
fn kind(import: &ItemUse) -> String {
    let visibility = match &import.vis {
        syn::Visibility::Inherited => 0,
        syn::Visibility::Public(_) => 1,
        syn::Visibility::Restricted(_) => 2,
    };
    let conditions: Vec<String> =
        import.attrs.iter().map(|attribute| format!("{:?}", attribute.meta)).collect();
    format!("{visibility} {}", conditions.join(" "))
}

struct Habits<'a> {
    source: &'a Source,
    test: bool,
    problems: Vec<Problem>,
}

impl Habits<'_> {
    fn problem(&mut self, line: usize, text: impl Into<String>) {
        self.problems.push(Problem::new(self.source, line, text.into()));
    }

    fn function(&mut self, name: &syn::Ident, attributes: &[Attribute]) {
        let is_test = attributes.iter().any(is_test_function);
        if is_test && name.to_string().starts_with("test_") {
            self.problem(name.span().start().line, "a test's name is a sentence, without `test_`");
        }
    }
}

impl<'ast> Visit<'ast> for Habits<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let before = self.test;
        self.test |= is_test(attributes(item));
        visit::visit_item(self, item);
        self.test = before;
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if let Some((_, items)) = &module.content {
            self.problems.extend(imports(self.source, items));
        }
        visit::visit_item_mod(self, module);
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig.ident, &function.attrs);
        visit::visit_item_fn(self, function);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        let line = attribute.span().start().line;
        let syn::Meta::List(list) = &attribute.meta else {
            if attribute.path().is_ident("ignore") {
                self.problem(line, "no `#[ignore]`: a test that cannot run here is a tier not run");
            }
            return;
        };
        let words = list.tokens.to_string();
        let says = |word: &str| words.split(|c: char| !c.is_alphanumeric()).any(|w| w == word);
        let conditional = attribute.path().is_ident("cfg_attr");
        if attribute.path().is_ident("allow") || (conditional && says("allow")) {
            self.problem(line, "no `#[allow]`: use `#[expect(.., reason = \"..\")]`");
        }
        if (attribute.path().is_ident("expect") || (conditional && says("expect")))
            && !says("reason")
        {
            self.problem(line, "`#[expect]` gives a reason");
        }
        if conditional && says("ignore") {
            self.problem(line, "no `#[ignore]`: a test that cannot run here is a tier not run");
        }
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        let name = call.path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default();
        if UNFINISHED.contains(&name.as_str()) {
            self.problem(call.span().start().line, format!("no `{name}!`"));
        }
        visit::visit_macro(self, call);
    }

    fn visit_item_use(&mut self, import: &'ast ItemUse) {
        for leaf in flatten(&import.tree).iter().filter(|_| self.test) {
            if is_sleep(&leaf.iter().map(String::as_str).collect::<Vec<_>>()) {
                self.problems.push(Problem::new(self.source, import.span().start().line, slept()));
            }
        }
        visit::visit_item_use(self, import);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path.segments.iter().map(|s| s.ident.to_string()).collect();
        if self.test && is_sleep(&names.iter().map(String::as_str).collect::<Vec<_>>()) {
            self.problem(path.span().start().line, slept());
        }
        visit::visit_path(self, path);
    }
}

fn is_sleep(path: &[&str]) -> bool {
    matches!(path, [.., "thread" | "time", "sleep"])
}

fn slept() -> String {
    "a test waits for a fact, it does not sleep".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn told(text: &str) -> Vec<String> {
        let text = format!("//! Purpose.\n{text}");
        let source = Source::parse(Path::new("crates/core/src/a.rs"), text).unwrap();
        habits(&source, false).into_iter().map(|problem| problem.text).collect()
    }

    fn fires(text: &str, part: &str) {
        let told = told(text);
        assert!(told.len() == 1 && told[0].contains(part), "{text}: {told:?}");
    }

    fn quiet(text: &str) {
        assert_eq!(told(text), Vec::<String>::new(), "{text}");
    }

    #[test]
    fn every_file_begins_with_its_purpose() {
        let bare = Source::parse(Path::new("a.rs"), "fn f() {}".into()).unwrap();
        assert_eq!(habits(&bare, false).len(), 1);
        quiet("fn f() {}");
    }

    #[test]
    fn allow_is_told_and_expect_gives_a_reason() {
        fires("#[allow(dead_code)] fn f() {}", "no `#[allow]`");
        fires("fn f() { #[allow(unused)] let a = 1; }", "no `#[allow]`");
        fires("#[cfg_attr(test, allow(dead_code))] fn f() {}", "no `#[allow]`");
        fires("#[expect(dead_code)] fn f() {}", "gives a reason");
        quiet("#[expect(dead_code, reason = \"kept for the next version\")] fn f() {}");
    }

    #[test]
    fn unfinished_work_is_told() {
        fires(&format!("fn f() {{ {}!() }}", "todo"), "no `todo!`");
        fires(&format!("fn f() {{ std::{}!() }}", "unimplemented"), "no `unimplemented!`");
        quiet("fn f() { unreachable!(\"for this reason\") }");
    }

    #[test]
    fn ignored_tests_and_test_prefixes_are_told() {
        fires("#[test] #[ignore] fn a() {}", "no `#[ignore]`");
        fires("#[test] #[ignore = \"slow\"] fn a() {}", "no `#[ignore]`");
        fires("#[tokio::test] async fn test_a() {}", "without `test_`");
        quiet("fn test_lines() {}");
    }

    #[test]
    fn tests_do_not_sleep_and_others_may() {
        fires("#[test] fn a() { std::thread::sleep(x); }", "does not sleep");
        fires("#[cfg(test)] mod tests { use tokio::time::sleep; }", "does not sleep");
        quiet("async fn f() { tokio::time::sleep(x).await }");
        quiet("#[test] fn a() { clock.sleep_until(x); }");
    }

    #[test]
    fn one_use_line_per_module() {
        fires("use a::B; use a::C;", "`a` has another");
        fires("use std::{fs, sync::Arc};", "reaches into several");
        fires("mod m { use a::B; use a::C; }", "`a` has another");
        quiet("use std::fmt; use std::sync::Arc; use std::sync::atomic::{self, AtomicU8};");
        quiet("use a::B; pub use a::C;");
        quiet("use a::B; #[cfg(unix)] use a::C;");
        quiet("use a; use b; use std::fmt; use std::fs;");
    }
}
