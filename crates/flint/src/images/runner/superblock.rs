//! How much room an ext4 file system has, by its superblock.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where it begins.
const AT: u64 = 1024;
/// `INCOMPAT_64BIT`: the counts have high halves.
const WIDE: u32 = 0x80;

/// What of it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    /// Bytes of a block.
    pub(super) block: u64,
    /// All blocks.
    pub(super) blocks: u64,
    /// Blocks that nobody has.
    pub(super) free_blocks: u64,
    /// Inodes that nobody has.
    pub(super) free_inodes: u64,
    /// Blocks of a group.
    pub(super) group: u64,
    /// Inodes of a group.
    pub(super) group_inodes: u64,
}

impl Room {
    /// Of a file that was looked at before: it is an ext4 file system.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let mut bytes = [0; 1024];
        File::open(path)?.read_exact_at(&mut bytes, AT)?;
        let word = |at: usize| {
            let word = bytes.get(at..at + 4).and_then(|word| word.try_into().ok());
            word.map_or(0, u32::from_le_bytes)
        };
        let wide = word(0x60) & WIDE != 0;
        let count = |low: usize, high: usize| {
            u64::from(word(low)) | if wide { u64::from(word(high)) << 32 } else { 0 }
        };
        Ok(Room {
            block: 1024 << word(0x18).min(6),
            blocks: count(0x04, 0x150),
            free_blocks: count(0x0c, 0x158),
            free_inodes: u64::from(word(0x10)),
            group: u64::from(word(0x20)),
            group_inodes: u64::from(word(0x28)).max(1),
        })
    }

    /// By how many blocks it must grow so that these fit; 0 if they do.
    pub(super) fn lacks(&self, blocks: u64, inodes: u64) -> u64 {
        let by_blocks = blocks.saturating_sub(self.free_blocks);
        let groups = inodes.saturating_sub(self.free_inodes).div_ceil(self.group_inodes);
        match by_blocks.max(groups.saturating_mul(self.group)) {
            0 => 0,
            // New groups have tables of their own.
            lacking => lacking + lacking / 8 + 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Room;

    #[test]
    fn what_fits_needs_no_growth_and_inodes_need_whole_groups() {
        let room = Room {
            block: 4096,
            blocks: 40_000,
            free_blocks: 1000,
            free_inodes: 50,
            group: 32_768,
            group_inodes: 8192,
        };
        assert_eq!(room.lacks(1000, 50), 0);
        assert_eq!(room.lacks(1800, 50), 800 + 100 + 1024);
        assert_eq!(room.lacks(0, 51), 32_768 + 4096 + 1024);
    }
}
