//! The entries of an archive as a tree in which nothing leads out: pure.
//!
//! No name of an archive is ever a name on this host. Here each is checked to be one below the runner's folder in an
//! image, with folders above it and nothing else.

use std::collections::BTreeMap;

/// The longest path; the runner's are about 200 bytes long.
const LONGEST: usize = 1024;
/// The longest name that ext4 takes.
const LONGEST_NAME: usize = 255;

/// Paths and what is there; folders come before what is in them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tree(BTreeMap<String, Node>);

/// A file, folder or link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// The nine bits of its rights.
    pub(super) rights: u32,
    pub(super) what: What,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum What {
    Folder,
    File {
        /// Under which number its bytes are kept.
        blob: usize,
        size: u64,
    },
    Link {
        target: String,
    },
}

impl Tree {
    /// Adds an entry; the error says what is wrong with it.
    pub(super) fn add(&mut self, path: &[u8], rights: u32, what: What) -> Result<(), String> {
        let path = clean(path)?;
        if path.is_empty() {
            // The root itself: the image's folder has rights of its own.
            return if what == What::Folder {
                Ok(())
            } else {
                Err("its root is no folder".to_owned())
            };
        }
        if let What::Link { target } = &what {
            stays_inside(&path, target)?;
        }
        for (end, _) in path.match_indices('/') {
            self.make_folder(&path[..end], &path)?;
        }
        let node = Node { rights: rights & 0o777, what };
        match self.0.insert(path.clone(), node) {
            None => Ok(()),
            Some(Node { what: What::Folder, .. }) if self.is_folder(&path) => Ok(()),
            Some(_) => Err(format!("it has `{path}` twice")),
        }
    }

    fn make_folder(&mut self, folder: &str, of: &str) -> Result<(), String> {
        let missing = Node { rights: 0o755, what: What::Folder };
        match self.0.entry(folder.to_owned()).or_insert(missing).what {
            What::Folder => Ok(()),
            // Through a link a name could lead anywhere in the image.
            What::File { .. } | What::Link { .. } => {
                Err(format!("`{of}` lies below `{folder}`, which is no folder"))
            }
        }
    }

    fn is_folder(&self, path: &str) -> bool {
        self.0.get(path).is_some_and(|node| node.what == What::Folder)
    }

    /// The bytes' number and the size of a file.
    pub(super) fn file(&self, path: &str) -> Option<(usize, u64)> {
        match self.0.get(path)?.what {
            What::File { blob, size } => Some((blob, size)),
            What::Folder | What::Link { .. } => None,
        }
    }

    /// The same of a path that an archive tells.
    pub(super) fn file_at(&self, path: &[u8]) -> Option<(usize, u64)> {
        self.file(&clean(path).ok()?)
    }

    /// A file's or folder's rights.
    pub(super) fn rights(&self, path: &str) -> Option<u32> {
        self.0.get(path).map(|node| node.rights)
    }

    /// All, folders before what is in them.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.0.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// The names in its root.
    pub(super) fn top(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|path| !path.contains('/'))
    }
}

/// A path without `.` and slashes that say nothing.
fn clean(path: &[u8]) -> Result<String, String> {
    let shown = String::from_utf8_lossy(path).escape_debug().to_string();
    let path = std::str::from_utf8(path).map_err(|_| format!("`{shown}` is no UTF-8"))?;
    if path.len() > LONGEST || path.chars().any(char::is_control) {
        return Err(format!("`{shown}` is no name of a file"));
    }
    if path.starts_with('/') {
        return Err(format!("`{shown}` is an absolute path"));
    }
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    if names.contains(&"..") {
        return Err(format!("`{shown}` leads out of it"));
    }
    if names.iter().any(|name| name.len() > LONGEST_NAME) {
        return Err(format!("`{shown}` is no name of a file"));
    }
    Ok(names.join("/"))
}

/// Whether a link's target stays below the root. `..` is only taken at its beginning, where it counts real folders:
/// behind a name it would count from wherever another link leads.
fn stays_inside(path: &str, target: &str) -> Result<(), String> {
    let shown = || format!("the link `{path}` leads out of it: `{}`", target.escape_debug());
    let fits =
        !target.is_empty() && target.len() <= LONGEST && !target.chars().any(char::is_control);
    if !fits || target.starts_with('/') {
        return Err(shown());
    }
    let mut names = target.split('/').filter(|name| !matches!(*name, "" | ".")).peekable();
    let mut up = 0;
    while names.next_if(|name| *name == "..").is_some() {
        up += 1;
    }
    let depth = path.matches('/').count();
    if up > depth || names.any(|name| name == "..") { Err(shown()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> What {
        What::File { blob: 0, size: 1 }
    }

    fn link(target: &str) -> What {
        What::Link { target: target.to_owned() }
    }

    fn refused(path: &[u8], what: What) -> String {
        Tree::default().add(path, 0o644, what).unwrap_err()
    }

    #[test]
    fn names_are_cleaned_and_folders_come_before_what_is_in_them() {
        let mut tree = Tree::default();
        tree.add(b"./", 0o700, What::Folder).unwrap();
        tree.add(b"./bin//a", 0o4755, file()).unwrap();
        tree.add(b"bin/", 0o750, What::Folder).unwrap();
        tree.add(b"./bin/./b", 0o644, link("a")).unwrap();
        let paths: Vec<_> = tree.nodes().map(|(path, node)| (path, node.rights)).collect();
        assert_eq!(paths, [("bin", 0o750), ("bin/a", 0o755), ("bin/b", 0o644)]);
        assert_eq!(tree.top().collect::<Vec<_>>(), ["bin"]);
        assert_eq!(tree.file_at(b"./bin/a"), Some((0, 1)));
    }

    #[test]
    fn a_name_that_leads_out_is_refused() {
        for path in ["../x", "a/../../x", "a/..", "..", "./../x"] {
            assert!(refused(path.as_bytes(), file()).ends_with("leads out of it"), "{path}");
        }
        assert_eq!(refused(b"/etc/passwd", file()), "`/etc/passwd` is an absolute path");
        assert_eq!(
            refused(b"a\nrm /etc/passwd", file()),
            "`a\\nrm /etc/passwd` is no name of a file"
        );
        assert!(refused(b"\xff", file()).ends_with("is no UTF-8"));
        assert!(refused("x".repeat(256).as_bytes(), file()).ends_with("is no name of a file"));
        assert_eq!(refused(b"./", file()), "its root is no folder");
    }

    #[test]
    fn a_link_that_leads_out_is_refused_and_one_that_stays_is_taken() {
        for target in ["", "/etc", "../..", "../../..", "../../../x", "b/../../x", "x/..", "a\nb"] {
            let said = refused(b"a/l", link(target));
            assert!(said.starts_with("the link `a/l` leads out of it"), "{target}: {said}");
        }
        let mut tree = Tree::default();
        tree.add(b"node/bin/npm", 0o777, link("../lib/npm-cli.js")).unwrap();
        tree.add(b"node/bin/here", 0o777, link("../../x")).unwrap();
    }

    #[test]
    fn nothing_lies_below_a_link_or_a_file_and_nothing_is_there_twice() {
        let mut tree = Tree::default();
        tree.add(b"a/l", 0o777, link("x")).unwrap();
        tree.add(b"a/f", 0o644, file()).unwrap();
        for path in [&b"a/l/x"[..], b"a/f/x"] {
            assert!(
                tree.clone().add(path, 0o644, file()).unwrap_err().ends_with("which is no folder")
            );
        }
        assert_eq!(tree.clone().add(b"./a/f", 0o644, file()).unwrap_err(), "it has `a/f` twice");
        assert_eq!(
            tree.clone().add(b"a/l", 0o755, What::Folder).unwrap_err(),
            "it has `a/l` twice"
        );
        assert_eq!(tree.add(b"a", 0o644, file()).unwrap_err(), "it has `a` twice");
    }
}
