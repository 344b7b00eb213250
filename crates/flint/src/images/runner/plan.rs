//! The commands that take the old runner out of an image and put the new one in: pure.

use super::archive::Archive;
use super::ext4::{Named, quoted};
use super::tree::{Tree, What};
use flint_core::runner_version::RunnerVersion;

/// Folders that the runner's own updates replace as a whole.
const WHOLE: [&str; 2] = ["bin", "externals"];
/// The types of `st_mode`.
const FILE: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

/// Whose the runner's files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// Whether a name in the runner's folder goes: what the new runner brings, and what it replaces as a whole. All else
/// stays, such as `.env`, `.path` and a work folder.
pub(super) fn goes(name: &str, new: &Tree) -> bool {
    // `bin.2.336.0` is left by an update that a runner made of itself.
    let is_of = |whole: &str| match name.strip_prefix(whole) {
        Some("") => true,
        Some(rest) => rest.strip_prefix('.').is_some_and(|v| v.parse::<RunnerVersion>().is_ok()),
        None => false,
    };
    WHOLE.iter().any(|whole| is_of(whole)) || new.top().any(|top| top == name)
}

/// Takes out what a walk found: folders from the deepest up, so that each is empty when its turn comes.
pub(super) fn removal(found: &[(String, Named)]) -> Vec<String> {
    let command = |(path, named): &(String, Named)| {
        let verb = if named.is_folder() { "rmdir" } else { "rm" };
        format!("{verb} {}", quoted(path))
    };
    found.iter().rev().map(command).collect()
}

/// Puts an archive's files into the folder `dir`.
pub(super) fn writing(archive: &Archive, dir: &str, owner: Owner) -> Vec<String> {
    let mut commands = Vec::new();
    for (path, node) in archive.tree.nodes() {
        let place = quoted(&format!("{dir}/{path}"));
        let mode = match &node.what {
            What::Folder => {
                commands.push(format!("mkdir {place}"));
                Some(FOLDER | node.rights)
            }
            What::File { blob, .. } => {
                let blob = archive.blob(*blob).display().to_string();
                commands.push(format!("write {} {place}", quoted(&blob)));
                Some(FILE | node.rights)
            }
            What::Link { target } => {
                commands.push(format!("symlink {place} {}", quoted(target)));
                None
            }
        };
        let set = |field: &str, value: String| format!("set_inode_field {place} {field} {value}");
        commands.extend(mode.map(|mode| set("mode", format!("0{mode:o}"))));
        commands.push(set("uid", owner.uid.to_string()));
        commands.push(set("gid", owner.gid.to_string()));
    }
    commands
}

/// How many blocks and inodes an archive's files take at most.
pub(super) fn room(tree: &Tree, block: u64) -> (u64, u64) {
    let of = |what: &What| match what {
        // One more for the map of a file in many pieces.
        What::File { size, .. } => size.div_ceil(block) + 1,
        // A folder of the runner's has at most some hundred names.
        What::Folder => 1 + 32_768_u64.div_ceil(block),
        What::Link { .. } => 1,
    };
    let (blocks, inodes) =
        tree.nodes().fold((0, 0), |(b, i), (_, node)| (b + of(&node.what), i + 1));
    (blocks, inodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_new_runner_brings_goes_and_what_an_operator_put_there_stays() {
        let mut new = Tree::default();
        for path in [&b"bin/a"[..], b"run.sh"] {
            new.add(path, 0o755, What::File { blob: 1, size: 1 }).unwrap();
        }
        for name in ["bin", "externals", "run.sh", "bin.2.336.0", "externals.2.335.1"] {
            assert!(goes(name, &new), "{name}");
        }
        for name in [".env", ".path", "_work", "bin.mine", "binary", "externals.2", "safe_sleep.sh"]
        {
            assert!(!goes(name, &new), "{name}");
        }
    }

    #[test]
    fn folders_are_removed_after_what_is_in_them() {
        let named = |name: &str, mode| Named { name: name.to_owned(), mode, uid: 0, gid: 0 };
        let found = [
            ("/r/bin".to_owned(), named("bin", 0o040_755)),
            ("/r/l".to_owned(), named("l", 0o120_777)),
            ("/r/bin/a \"b".to_owned(), named("a \"b", 0o100_644)),
        ];
        assert_eq!(removal(&found), [r#"rm "/r/bin/a ""b""#, r#"rm "/r/l""#, r#"rmdir "/r/bin""#]);
    }

    #[test]
    fn room_is_counted_in_whole_blocks() {
        let mut tree = Tree::default();
        tree.add(b"bin/a", 0o755, What::File { blob: 1, size: 4097 }).unwrap();
        assert_eq!(room(&tree, 4096), (2 + 1 + 1 + 8, 2));
    }
}
