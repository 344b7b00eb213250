//! Tells by its first bytes what a file is. Pure.

use std::fmt;

/// How much of a file decides.
pub(super) const HEAD: usize = 4096;

/// What a file is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Not one byte.
    Empty,
    /// A folder.
    Folder,
    /// A 64-bit ELF program for this processor: what `vmlinux` is.
    Elf,
    /// An ELF file for another processor, or a 32-bit one.
    ForeignElf,
    /// A bzImage, as in `/boot/vmlinuz`.
    BzImage,
    /// An uncompressed arm64 kernel.
    Arm64Image,
    /// A cpio archive of the kind that kernels unpack.
    Cpio,
    /// An ext2, ext3 or ext4 file system that should be this many bytes long.
    Ext4 {
        /// From its superblock.
        bytes: u64,
    },
    /// An EROFS file system that should be this many bytes long.
    Erofs {
        /// From its superblock.
        bytes: u64,
    },
    /// A squashfs file system.
    Squashfs,
    /// A QEMU disk.
    Qcow2,
    /// A disk with partitions instead of a file system.
    Partitioned,
    /// Compressed with gzip.
    Gzip,
    /// Compressed with xz.
    Xz,
    /// Compressed with zstd.
    Zstd,
    /// Zeroes only, at the start.
    Blank,
    /// Something else.
    Unknown,
}

impl Kind {
    /// Decides by the file's head. Order matters: a partitioned disk carries a bzImage's last two bytes.
    #[must_use]
    pub fn of(head: &[u8]) -> Self {
        let is = |at: usize, magic: &[u8]| head.get(at..at + magic.len()) == Some(magic);
        match () {
            () if head.is_empty() => Kind::Empty,
            () if is(0, b"\x7fELF") => elf(head),
            () if is(0x1fe, &[0x55, 0xaa]) && is(0x202, b"HdrS") => Kind::BzImage,
            () if is(56, b"ARM\x64") => Kind::Arm64Image,
            () if is(0, b"070701") || is(0, b"070702") => Kind::Cpio,
            () if is(1024 + 56, &[0x53, 0xef]) => Kind::Ext4 { bytes: ext4_bytes(head) },
            () if is(1024, &[0xe2, 0xe1, 0xf5, 0xe0]) => Kind::Erofs { bytes: erofs_bytes(head) },
            () if is(0, b"hsqs") => Kind::Squashfs,
            () if is(0, b"QFI\xfb") => Kind::Qcow2,
            () if is(0x1fe, &[0x55, 0xaa]) => Kind::Partitioned,
            () if is(0, &[0x1f, 0x8b]) => Kind::Gzip,
            () if is(0, b"\xfd7zXZ\0") => Kind::Xz,
            () if is(0, &[0x28, 0xb5, 0x2f, 0xfd]) => Kind::Zstd,
            () if head.iter().all(|byte| *byte == 0) => Kind::Blank,
            () => Kind::Unknown,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Empty => "an empty file",
            Kind::Folder => "a folder",
            Kind::Elf => "an ELF file",
            Kind::ForeignElf => "an ELF file for another processor",
            Kind::BzImage => "a bzImage",
            Kind::Arm64Image => "an arm64 kernel",
            Kind::Cpio => "a cpio archive",
            Kind::Ext4 { .. } => "an ext4 file system",
            Kind::Erofs { .. } => "an EROFS file system",
            Kind::Squashfs => "a squashfs file system",
            Kind::Qcow2 => "a qcow2 disk",
            Kind::Partitioned => "a disk with partitions",
            Kind::Gzip => "a gzip file",
            Kind::Xz => "an xz file",
            Kind::Zstd => "a zstd file",
            Kind::Blank => "blank",
            Kind::Unknown => "something unknown",
        })
    }
}

/// `e_ident[EI_CLASS]` 2 is 64-bit; `e_machine` at 18.
fn elf(head: &[u8]) -> Kind {
    const MACHINE: [u8; 2] = if cfg!(target_arch = "aarch64") { [183, 0] } else { [62, 0] };
    let ours = head.get(4) == Some(&2) && head.get(18..20) == Some(&MACHINE);
    if ours { Kind::Elf } else { Kind::ForeignElf }
}

/// `s_blocks_count_lo` at 4, `s_log_block_size` at 24; the high half (`64bit` feature) is beyond 16 TiB.
fn ext4_bytes(head: &[u8]) -> u64 {
    let (blocks, log) = (word(head, 1024 + 4), word(head, 1024 + 24));
    blocks.saturating_mul(1024 << log.min(16))
}

/// `blkszbits` at 12, `blocks` at 36.
fn erofs_bytes(head: &[u8]) -> u64 {
    let bits = head.get(1024 + 12).copied().unwrap_or(12).min(16);
    word(head, 1024 + 36) << bits
}

/// A little-endian `u32`; zero behind the end.
fn word(head: &[u8], at: usize) -> u64 {
    let bytes = head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
    u64::from(bytes.map_or(0, u32::from_le_bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(at: usize, magic: &[u8]) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        head[at..at + magic.len()].copy_from_slice(magic);
        head
    }

    #[test]
    fn a_kernel_is_told_from_what_only_looks_like_one() {
        let mut bzimage = with(0x202, b"HdrS");
        bzimage[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
        assert_eq!(Kind::of(&bzimage), Kind::BzImage);
        assert_eq!(Kind::of(&with(0x1fe, &[0x55, 0xaa])), Kind::Partitioned);
        assert_eq!(Kind::of(b"\x7fELF\x01"), Kind::ForeignElf);
        assert_eq!(Kind::of(&with(56, b"ARM\x64")), Kind::Arm64Image);
    }

    #[test]
    fn other_files_are_named() {
        for (head, says) in [
            (b"".as_slice(), "an empty file"),
            (b"\x1f\x8b", "a gzip file"),
            (b"\xfd7zXZ\0", "an xz file"),
            (b"QFI\xfb", "a qcow2 disk"),
            (b"#!/bin/sh", "something unknown"),
            (&[0; 16], "blank"),
        ] {
            assert_eq!(Kind::of(head).to_string(), says);
        }
    }

    #[test]
    fn file_systems_tell_their_length() {
        let mut ext4 = with(1024 + 56, &[0x53, 0xef]);
        ext4[1028..1032].copy_from_slice(&100_u32.to_le_bytes());
        ext4[1048] = 2;
        assert_eq!(Kind::of(&ext4), Kind::Ext4 { bytes: 100 * 4096 });
        let mut erofs = with(1024, &[0xe2, 0xe1, 0xf5, 0xe0]);
        erofs[1036] = 12;
        erofs[1060..1064].copy_from_slice(&7_u32.to_le_bytes());
        assert_eq!(Kind::of(&erofs), Kind::Erofs { bytes: 7 * 4096 });
    }
}
