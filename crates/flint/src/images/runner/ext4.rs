//! Looks into an ext4 file and changes one, by e2fsprogs: no root, no mount, no loop device.

use super::Error;
use crate::sys::program;
use std::io::{self, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// What debugfs writes before its words to every command that it reads from a file.
const ECHO: &str = "debugfs: ";

/// An ext4 file.
pub(super) struct Ext4<'a> {
    file: &'a Path,
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) name: String,
    /// Its type and its rights, as in `st_mode`.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
}

impl Named {
    pub(super) fn is_folder(&self) -> bool {
        self.mode & 0o170_000 == 0o040_000
    }
}

impl<'a> Ext4<'a> {
    /// Touches nothing.
    pub(super) fn new(file: &'a Path) -> Self {
        Ext4 { file }
    }

    /// The beginning of a file in it, at most `most` bytes; `None` if there is no such file.
    pub(super) fn read(&self, path: &str, most: u64) -> Result<Option<Vec<u8>>, Error> {
        let mut debugfs = tool("debugfs");
        let request = format!("cat {}", quoted(path));
        debugfs.arg("-R").arg(request).arg(self.file).stdin(Stdio::null());
        let child = debugfs.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = child.map_err(|source| Error::NoTool { tool: "debugfs", source })?;
        let (mut bytes, mut told) = (Vec::new(), Vec::new());
        let read = (|| {
            // What it complains of is a few lines, which fit into a pipe: one after the other does not block.
            child.stdout.take().map_or(Ok(0), |out| out.take(most).read_to_end(&mut bytes))?;
            // It ends by the broken pipe where there is more.
            child.stderr.take().map_or(Ok(0), |err| err.take(1 << 16).read_to_end(&mut told))?;
            child.wait()
        })();
        read.map_err(|source| Error::NoTool { tool: "debugfs", source })?;
        match complaints(&String::from_utf8_lossy(&told)) {
            said if said.is_empty() => Ok(Some(bytes)),
            said if said.iter().any(|line| is_absence(line)) => Ok(None),
            said => Err(self.failed("debugfs", "look into", said.join("; "))),
        }
    }

    /// Whether there is such a file or folder.
    pub(super) fn has(&self, path: &str) -> Result<bool, Error> {
        Ok(self.read(path, 1)?.is_some())
    }

    /// What is in these folders, but for `.` and `..`; in their order. They must be there.
    pub(super) fn list(&self, folders: &[String], script: &Path) -> Result<Vec<Vec<Named>>, Error> {
        let commands: Vec<String> =
            folders.iter().map(|folder| format!("ls -p {}", quoted(folder))).collect();
        let output = self.debugfs(&commands, script, &[])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut lists: Vec<Vec<Named>> = Vec::new();
        for line in text.lines().filter(|line| !line.is_empty()) {
            if line.starts_with(ECHO) {
                lists.push(Vec::new());
                continue;
            }
            let named = named(line).ok_or_else(|| Error::Strange {
                image: self.file.to_owned(),
                problem: format!("it has a file with a strange name: `{}`", line.escape_debug()),
            })?;
            match lists.last_mut() {
                Some(list) if !matches!(named.name.as_str(), "." | "..") => list.push(named),
                _ => {}
            }
        }
        if lists.len() != folders.len() {
            let said = format!("{} answers to {} questions", lists.len(), folders.len());
            return Err(self.failed("debugfs", "look into", said));
        }
        Ok(lists)
    }

    /// Carries out commands that change it. `script` is a file to write them to.
    pub(super) fn change(&self, commands: &[String], script: &Path) -> Result<(), Error> {
        self.debugfs(commands, script, &["-w"]).map(drop)
    }

    /// Looks at the whole file system and puts right what needs no decision, such as a journal to be replayed.
    pub(super) fn heal(&self) -> Result<(), Error> {
        // 1: put right. Anything above wants a person.
        self.run("e2fsck", &["-fp"], "check", &[0, 1])
    }

    /// Looks at the whole file system and changes nothing.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.run("e2fsck", &["-fn"], "check", &[0])
    }

    /// Makes the file system as large as its file.
    pub(super) fn grow(&self) -> Result<(), Error> {
        self.run("resize2fs", &["-f"], "enlarge", &[0])
    }

    fn debugfs(&self, commands: &[String], script: &Path, flags: &[&str]) -> Result<Output, Error> {
        let unwritten =
            |source: io::Error| Error::Work { verb: "make", path: script.to_owned(), source };
        std::fs::write(script, commands.join("\n") + "\n").map_err(unwritten)?;
        let mut debugfs = tool("debugfs");
        debugfs.args(flags).arg("-f").arg(script).arg(self.file).stdin(Stdio::null());
        let output =
            debugfs.output().map_err(|source| Error::NoTool { tool: "debugfs", source })?;
        // It ends well whatever happened to a command.
        let said = complaints(&String::from_utf8_lossy(&output.stderr));
        match (said.is_empty(), output.status.success()) {
            (true, true) => Ok(output),
            (true, false) => Err(self.failed("debugfs", "change", output.status.to_string())),
            (false, _) => {
                let first: Vec<String> = said.into_iter().take(3).collect();
                Err(self.failed("debugfs", "change", first.join("; ")))
            }
        }
    }

    fn run(
        &self,
        name: &'static str,
        flags: &[&str],
        step: &'static str,
        good: &[i32],
    ) -> Result<(), Error> {
        let mut command = tool(name);
        command.args(flags).arg(self.file).stdin(Stdio::null());
        let output = command.output().map_err(|source| Error::NoTool { tool: name, source })?;
        if output.status.code().is_some_and(|code| good.contains(&code)) {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> =
            said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        // The last lines say what it ended by.
        let last = lines[lines.len().saturating_sub(3)..].join("; ");
        Err(self.failed(name, step, last))
    }

    fn failed(&self, tool: &'static str, step: &'static str, said: String) -> Error {
        Error::Tool {
            step,
            image: self.file.to_owned(),
            tool,
            said: said.escape_debug().to_string(),
        }
    }
}

/// A program of e2fsprogs, with words that can be read and without a pager.
fn tool(name: &str) -> Command {
    let mut command = program::tool(name);
    command.env("DEBUGFS_PAGER", "__none__");
    command
}

/// What is said on standard error, without the greeting: `debugfs 1.47.0 (5-Feb-2023)`.
fn complaints(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.filter(|line| !line.starts_with("debugfs 1.")).map(str::to_owned).collect()
}

/// Whether debugfs says that there is no such file: not in its folder, or a part of its path is none.
fn is_absence(line: &str) -> bool {
    line.contains("File not found") || line.contains("is not a directory")
}

/// A line of `ls -p`: `/INODE/MODE/UID/GID/NAME/SIZE/`.
fn named(line: &str) -> Option<Named> {
    let fields: Vec<&str> = line.split('/').collect();
    let ["", _inode, mode, uid, gid, name, _size, ""] = fields[..] else {
        return None;
    };
    let mode = u32::from_str_radix(mode, 8).ok()?;
    (!name.is_empty()).then_some(())?;
    Some(Named { name: name.to_owned(), mode, uid: uid.parse().ok()?, gid: gid.parse().ok()? })
}

/// A word of a command, whatever is in it but a line's end, which the caller keeps out.
pub(super) fn quoted(word: &str) -> String {
    format!("\"{}\"", word.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_list_are_read_and_strange_ones_are_not() {
        let found = named(r#"/18/100755/1001/121/with "space/8/"#).unwrap();
        let wanted =
            Named { name: "with \"space".to_owned(), mode: 0o100_755, uid: 1001, gid: 121 };
        assert_eq!(found, wanted);
        assert!(named("/15/040755/0/0/..//").unwrap().is_folder());
        for line in ["", "name", "/18/100755/1001/121/half", "/18/x/0/0/a/1/", "/1/040755/0/0//1/"]
        {
            assert_eq!(named(line), None, "{line}");
        }
    }

    #[test]
    fn words_with_spaces_and_quotes_stay_one_word() {
        assert_eq!(quoted(r#"/a b"c"#), r#""/a b""c""#);
    }
}
