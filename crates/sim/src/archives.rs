//! Archives in the form of GitHub's runner's, honest ones and others, made byte by byte.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write as _;

/// A tar archive that is being written.
#[derive(Clone, Default)]
pub struct Tar(Vec<u8>);

/// An archive of GitHub's runner of this version, in its layout, for a machine like this one. Its programs are none: they
/// only begin as one.
#[must_use]
pub fn runner(version: &str) -> Tar {
    Tar::default()
        .folder("./", 0o755)
        .folder("./bin/", 0o755)
        .file("./bin/Runner.Listener", 0o755, &program())
        .file("./bin/Runner.Listener.deps.json", 0o644, manifest(version).as_bytes())
        .file("./bin/Runner.Worker", 0o755, &program())
        .folder("./externals/", 0o755)
        .file("./externals/node24/bin/node", 0o755, &program())
        .file("./externals/node24/lib/npm/npm cli.js", 0o644, b"// npm\n")
        .link("./externals/node24/bin/npm", "../lib/npm/npm cli.js")
        .file("./run.sh", 0o755, version.as_bytes())
}

/// The list by which a runner's version is known, shortened.
#[must_use]
pub fn manifest(version: &str) -> String {
    format!(
        r#"{{"targets":{{".NETCoreApp,Version=v8.0/linux-x64":{{"Runner.Listener/{version}":{{}},"Newtonsoft.Json/13.0.3":{{}}}}}}}}"#
    )
}

/// How an ELF program for this machine begins.
#[must_use]
pub fn program() -> Vec<u8> {
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(4096, 0);
    elf[18] = if cfg!(target_arch = "aarch64") { 183 } else { 62 };
    elf
}

impl Tar {
    /// Adds a folder.
    #[must_use]
    pub fn folder(self, path: &str, mode: u32) -> Self {
        self.entry(b'5', path, mode, b"", "")
    }

    /// Adds a file.
    #[must_use]
    pub fn file(self, path: &str, mode: u32, bytes: &[u8]) -> Self {
        self.entry(b'0', path, mode, bytes, "")
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn link(self, path: &str, target: &str) -> Self {
        self.entry(b'2', path, 0o777, b"", target)
    }

    /// Adds another name of a file that is there.
    #[must_use]
    pub fn again(self, path: &str, of: &str) -> Self {
        self.entry(b'1', path, 0o644, b"", of)
    }

    /// Adds an entry of any kind; a name that is too long for its field goes before it as GNU tar writes it.
    ///
    /// # Panics
    /// When a link's target is longer than its field: no test has one.
    #[must_use]
    pub fn entry(mut self, kind: u8, path: &str, mode: u32, bytes: &[u8], target: &str) -> Self {
        if path.len() > 100 {
            let name = [path.as_bytes(), &[0]].concat();
            self = self.entry(b'L', "././@LongLink", 0, &name, "");
        }
        let mut block = [0_u8; 512];
        let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
        put(0, &path.as_bytes()[..path.len().min(100)]);
        put(100, format!("{mode:07o}").as_bytes());
        put(124, format!("{:011o}", bytes.len()).as_bytes());
        put(148, b"        ");
        put(156, &[kind]);
        assert!(target.len() <= 100, "a target has 100 bytes at most");
        put(157, target.as_bytes());
        put(257, b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        self.0.extend_from_slice(&block);
        self.0.extend_from_slice(bytes);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    /// The archive, compressed.
    #[must_use]
    pub fn gz(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        // Into memory nothing fails.
        gz.write_all(&self.0).expect("memory takes every byte");
        gz.finish().expect("memory takes every byte")
    }
}
