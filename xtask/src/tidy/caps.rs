//! The sizes that nothing outside tests exceeds: functions, files, parameters, traits, error enums, imports, nesting.

use super::Problem;
use super::source::{Source, attributes, is_test};
use std::ops::RangeInclusive;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Block, Expr, FnArg, Item, Signature, TraitItem};

const FUNCTION_LINES: usize = 70;
const FILE_LINES: usize = 600;
const PARAMETERS: usize = 5;
const TRAIT_METHODS: usize = 5;
const ERROR_VARIANTS: usize = 15;
const IMPORT_LINES: usize = 15;
const NESTING: usize = 3;

/// All that is too big in a file.
pub(crate) fn caps(source: &Source) -> Vec<Problem> {
    let mut problems = Vec::new();
    let lines = source.text.lines().count() - test_lines(&source.tree.items);
    if lines > FILE_LINES {
        problems.push(Problem::new(source, 1, over("file", lines, "lines", FILE_LINES)));
    }
    if let Some((line, lines)) = import_block(&source.tree.items).filter(|b| b.1 > IMPORT_LINES) {
        let text = over("import block", lines, "lines", IMPORT_LINES);
        problems.push(Problem::new(source, line, text));
    }
    let mut visitor = Caps { source, foreign: false, problems };
    visitor.visit_file(&source.tree);
    visitor.problems
}

fn over(what: &str, have: usize, unit: &str, cap: usize) -> String {
    format!("{what} has {have} {unit}, at most {cap}")
}

fn lines_of(node: &impl Spanned) -> RangeInclusive<usize> {
    node.span().start().line..=node.span().end().line
}

fn test_lines(items: &[Item]) -> usize {
    let tests = items.iter().filter(|item| is_test(attributes(item)));
    tests.map(|item| lines_of(item).count()).sum()
}

/// Where the imports begin, and how many lines they take; re-exports are no imports.
fn import_block(items: &[Item]) -> Option<(usize, usize)> {
    let imports = items.iter().filter(|item| match item {
        Item::Use(import) => {
            matches!(import.vis, syn::Visibility::Inherited) && !is_test(&import.attrs)
        }
        _ => false,
    });
    let lines: Vec<_> = imports.map(lines_of).collect();
    let first = *lines.first()?.start();
    Some((first, lines.into_iter().map(Iterator::count).sum()))
}

struct Caps<'a> {
    source: &'a Source,
    /// Inside `impl Trait for`: the signature is the trait's.
    foreign: bool,
    problems: Vec<Problem>,
}

impl Caps<'_> {
    fn problem(&mut self, line: usize, text: String) {
        self.problems.push(Problem::new(self.source, line, text));
    }

    fn signature(&mut self, signature: &Signature) {
        let typed = signature.inputs.iter().filter(|arg| matches!(arg, FnArg::Typed(_))).count();
        if typed > PARAMETERS && !self.foreign {
            let what = format!("function `{}`", signature.ident);
            let text = over(&what, typed, "parameters", PARAMETERS);
            self.problem(signature.span().start().line, text);
        }
    }

    fn function(&mut self, signature: &Signature, body: &Block) {
        let (start, end) = (signature.span().start().line, body.span().end().line);
        let what = format!("function `{}`", signature.ident);
        if end + 1 - start > FUNCTION_LINES {
            self.problem(start, over(&what, end + 1 - start, "lines", FUNCTION_LINES));
        }
        let mut nesting = Nesting::default();
        nesting.visit_block(body);
        if let Some(line) = nesting.too_deep {
            let text = over(&what, nesting.deepest, "levels of nesting", NESTING);
            self.problem(line, text);
        }
        self.signature(signature);
    }
}

impl<'ast> Visit<'ast> for Caps<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if !is_test(attributes(item)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        self.function(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        let before = std::mem::replace(&mut self.foreign, block.trait_.is_some());
        visit::visit_item_impl(self, block);
        self.foreign = before;
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if !is_test(&function.attrs) {
            self.function(&function.sig, &function.block);
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        let methods = item.items.iter().filter(|item| matches!(item, TraitItem::Fn(_))).count();
        if methods > TRAIT_METHODS {
            let text = over(&format!("trait `{}`", item.ident), methods, "methods", TRAIT_METHODS);
            self.problem(item.ident.span().start().line, text);
        }
        visit::visit_item_trait(self, item);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast syn::TraitItemFn) {
        match &function.default {
            Some(body) => self.function(&function.sig, body),
            None => self.signature(&function.sig),
        }
        visit::visit_trait_item_fn(self, function);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        let variants = item.variants.len();
        if item.ident.to_string().ends_with("Error") && variants > ERROR_VARIANTS {
            let what = format!("error enum `{}`", item.ident);
            let text = over(&what, variants, "variants", ERROR_VARIANTS);
            self.problem(item.ident.span().start().line, text);
        }
    }
}

/// Counts `if`, `match` and loops inside each other. `else if` is one level; closures count for nothing.
#[derive(Default)]
struct Nesting {
    depth: usize,
    deepest: usize,
    too_deep: Option<usize>,
}

impl Nesting {
    fn deeper(&mut self, at: &impl Spanned, inside: impl FnOnce(&mut Self)) {
        self.depth += 1;
        self.deepest = self.deepest.max(self.depth);
        if self.depth > NESTING {
            self.too_deep.get_or_insert(at.span().start().line);
        }
        inside(self);
        self.depth -= 1;
    }

    fn branches(&mut self, branch: &syn::ExprIf) {
        self.visit_expr(&branch.cond);
        self.visit_block(&branch.then_branch);
        match branch.else_branch.as_ref().map(|(_, other)| other.as_ref()) {
            Some(Expr::If(next)) => self.branches(next),
            Some(other) => self.visit_expr(other),
            None => {}
        }
    }
}

impl<'ast> Visit<'ast> for Nesting {
    fn visit_expr(&mut self, expr: &'ast Expr) {
        match expr {
            Expr::If(branch) => self.deeper(expr, |inner| inner.branches(branch)),
            Expr::Match(_) | Expr::ForLoop(_) | Expr::While(_) | Expr::Loop(_) => {
                self.deeper(expr, |inner| visit::visit_expr(inner, expr));
            }
            _ => visit::visit_expr(self, expr),
        }
    }

    /// A function inside a function is counted by itself.
    fn visit_item(&mut self, _: &'ast Item) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn told(text: &str) -> Vec<String> {
        let source = Source::parse(Path::new("crates/core/src/a.rs"), text.into()).unwrap();
        caps(&source).into_iter().map(|problem| problem.text).collect()
    }

    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_has_at_most_70_lines() {
        assert_eq!(told(&function(70)), Vec::<String>::new());
        assert_eq!(told(&function(71)), ["function `f` has 71 lines, at most 70"]);
    }

    #[test]
    fn documents_and_attributes_are_no_part_of_a_function() {
        let text = format!("{}#[must_use]\n{}", "/// Words.\n".repeat(40), function(70));
        assert_eq!(told(&text), Vec::<String>::new());
    }

    #[test]
    fn a_file_has_at_most_600_lines_and_its_tests_are_free() {
        let rows = |n: usize| "const A: u8 = 1;\n".repeat(n);
        assert_eq!(told(&rows(600)), Vec::<String>::new());
        assert_eq!(told(&rows(601)), ["file has 601 lines, at most 600"]);
        let with_tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", rows(600), rows(500));
        assert_eq!(told(&with_tests), Vec::<String>::new());
    }

    #[test]
    fn parameters_are_at_most_five_beside_self_and_a_trait_answers_for_its_own() {
        let six = "a: u8, b: u8, c: u8, d: u8, e: u8, f: u8";
        let five = "a: u8, b: u8, c: u8, d: u8, e: u8";
        let wanted = ["function `f` has 6 parameters, at most 5"];
        assert_eq!(told(&format!("fn f({six}) {{}}")), wanted);
        assert_eq!(told(&format!("trait T {{ fn f(&self, {six}); }}")), wanted);
        assert_eq!(told(&format!("impl S {{ fn f(&self, {five}) {{}} }}")), Vec::<String>::new());
        assert_eq!(
            told(&format!("impl T for S {{ fn f(&self, {six}) {{}} }}")),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_trait_has_at_most_five_methods() {
        let methods = |n: usize| (0..n).map(|i| format!("fn f{i}();")).collect::<String>();
        assert_eq!(told(&format!("trait T {{ type A; {} }}", methods(5))), Vec::<String>::new());
        let wanted = ["trait `T` has 6 methods, at most 5"];
        assert_eq!(told(&format!("trait T {{ {} }}", methods(6))), wanted);
    }

    #[test]
    fn an_error_enum_has_at_most_15_variants_and_others_any_number() {
        let variants = (0..16).map(|i| format!("V{i},")).collect::<String>();
        let wanted = ["error enum `NetError` has 16 variants, at most 15"];
        assert_eq!(told(&format!("enum NetError {{ {variants} }}")), wanted);
        assert_eq!(told(&format!("enum Event {{ {variants} }}")), Vec::<String>::new());
    }

    #[test]
    fn an_import_block_has_at_most_15_lines_and_re_exports_are_free() {
        let uses = |n: usize| (0..n).map(|i| format!("use a{i}::B;\n")).collect::<String>();
        let reexports = "pub use a::C;\n".repeat(3);
        assert_eq!(told(&(uses(15) + &reexports)), Vec::<String>::new());
        assert_eq!(told(&uses(16)), ["import block has 16 lines, at most 15"]);
        let wrapped = uses(13) + "use a::{\n    B,\n};\n";
        assert_eq!(told(&wrapped), ["import block has 16 lines, at most 15"]);
    }

    #[test]
    fn nesting_is_at_most_three_deep_and_else_if_is_one_level() {
        let four = "fn f() { for a in b { match a { _ => { if c { while d {} } } } } }";
        assert_eq!(told(four), ["function `f` has 4 levels of nesting, at most 3"]);
        let three = "fn f() { for a in b { if c {} else if d {} else if e {} else { loop {} } } }";
        assert_eq!(told(three), Vec::<String>::new());
    }

    #[test]
    fn tests_are_free_of_caps() {
        let text = format!("#[cfg(test)]\nmod tests {{\n{}}}", function(90));
        assert_eq!(told(&text), Vec::<String>::new());
        assert_eq!(told(&format!("#[test]\n{}", function(90))), Vec::<String>::new());
    }
}
