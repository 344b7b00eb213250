//! The initramfs: a cpio archive in the "newc" form that the kernel reads.

/// An archive in the making.
pub(crate) struct Cpio {
    bytes: Vec<u8>,
    inode: u32,
}

impl Cpio {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Cpio { bytes: Vec::new(), inode: 0 }
    }

    /// Adds a directory.
    pub(crate) fn directory(&mut self, name: &str) {
        self.entry(name, 0o040_755, (0, 0), &[]);
    }

    /// Adds a file.
    pub(crate) fn file(&mut self, name: &str, permissions: u32, content: &[u8]) {
        self.entry(name, 0o100_000 | permissions, (0, 0), content);
    }

    /// Adds a character device.
    pub(crate) fn character_device(&mut self, name: &str, major: u32, minor: u32) {
        self.entry(name, 0o020_600, (major, minor), &[]);
    }

    /// The whole archive.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self.bytes
    }

    /// Owner, times and device numbers are all zero, so that the same content gives the same bytes.
    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        self.inode += 1;
        let length =
            |bytes: usize| u32::try_from(bytes).expect("nothing in an initramfs has 4 GiB");
        let fields = [
            self.inode,
            mode,
            0,
            0,
            1,
            0,
            length(content.len()),
            0,
            0,
            device.0,
            device.1,
            length(name.len() + 1),
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::Cpio;

    #[test]
    fn an_archive_has_the_bytes_that_the_kernel_reads() {
        let mut cpio = Cpio::new();
        cpio.character_device("dev/console", 5, 1);
        cpio.file("init", 0o755, b"abc");
        let bytes = cpio.finish();
        let console = "070701000000010000218000000000000000000000000100000000000000000000000000000000\
                       00000005000000010000000c00000000dev/console\0";
        assert_eq!(&bytes[..console.len()], console.as_bytes());
        let init = console.len().next_multiple_of(4);
        let expected =
            "070701 00000002 000081ed 00000000 00000000 00000001 00000000 00000003 00000000 \
                        00000000 00000000 00000000 00000005 00000000"
                .replace(' ', "");
        assert_eq!(&bytes[init..init + 110], expected.as_bytes());
        assert_eq!(&bytes[init + 110..init + 120], b"init\0\0abc\0");
        assert!(bytes.len().is_multiple_of(512));
    }
}
