//! Takes the ELF kernel out of a distribution's bzImage.
//!
//! Layout: Documentation/arch/x86/boot.rst of the kernel, "The Real-Mode Kernel Header".

use anyhow::{Context, Result, bail};
use std::io::Read;

/// `setup_sects`: how many 512-byte sectors of set-up code come before the protected-mode code.
const SETUP_SECTS: usize = 0x1f1;

/// "HdrS".
const MAGIC: usize = 0x202;

/// `payload_offset` and `payload_length`, relative to the protected-mode code (protocol 2.08, Linux 2.6.26).
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;

/// The size of the kernel, which the build appends to the compressed payload.
const SIZE_TAIL: usize = 4;

/// The ELF image in `bzimage`. An ELF file is given back as it is.
pub(super) fn extract(bzimage: &[u8]) -> Result<Vec<u8>> {
    if is_elf(bzimage) {
        return Ok(bzimage.to_vec());
    }
    if bzimage.get(MAGIC..MAGIC + 4) != Some(b"HdrS") {
        bail!("the kernel is neither an ELF file nor a bzImage");
    }
    let setup = bzimage.get(SETUP_SECTS).copied().context("the bzImage is cut short")?;
    let code = (usize::from(setup) + 1) * 512;
    let start = code + word(bzimage, PAYLOAD_OFFSET)?;
    let end = start + word(bzimage, PAYLOAD_LENGTH)?;
    let payload = bzimage.get(start..end).context("the bzImage's payload is cut short")?;
    let vmlinux = unpack(payload)?;
    if !is_elf(&vmlinux) {
        bail!("the bzImage's payload is no ELF file");
    }
    Ok(vmlinux)
}

fn is_elf(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

fn word(bytes: &[u8], at: usize) -> Result<usize> {
    let bytes = bytes.get(at..at + 4).context("the bzImage is cut short")?;
    let word: [u8; 4] = bytes.try_into().context("the bzImage is cut short")?;
    usize::try_from(u32::from_le_bytes(word)).context("the bzImage's payload is too large")
}

/// Decompresses by magic number; what a distribution uses differs.
pub(super) fn unpack(payload: &[u8]) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    match payload {
        [0x1f, 0x8b, ..] => {
            flate2::read::GzDecoder::new(payload).read_to_end(&mut out)?;
        }
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            liblzma::read::XzDecoder::new(payload).read_to_end(&mut out)?;
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            // The size that follows the frame is not part of it.
            zstd::Decoder::new(payload)?.single_frame().read_to_end(&mut out)?;
        }
        [0x02, 0x21, 0x4c, 0x18, ..] => out = unpack_lz4_legacy(payload)?,
        _ => bail!("the payload is compressed in a way that is not known here"),
    }
    Ok(out)
}

/// The kernel's LZ4 is the "legacy" frame: blocks of at most 8 MiB, each behind its compressed length.
fn unpack_lz4_legacy(payload: &[u8]) -> Result<Vec<u8>> {
    const BLOCK: usize = 8 << 20;
    let mut rest = payload.get(4..payload.len() - SIZE_TAIL).context("the payload is cut short")?;
    let mut out = Vec::new();
    while rest.len() > 4 {
        let length = word(rest, 0)?;
        let block = rest.get(4..4 + length).context("an LZ4 block is cut short")?;
        out.extend(lz4_flex::block::decompress(block, BLOCK)?);
        rest = &rest[4 + length..];
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[SETUP_SECTS] = 1;
        image[MAGIC..MAGIC + 4].copy_from_slice(b"HdrS");
        image[PAYLOAD_OFFSET..PAYLOAD_OFFSET + 4].copy_from_slice(&16u32.to_le_bytes());
        let length = u32::try_from(payload.len()).expect("a test's payload is small");
        image[PAYLOAD_LENGTH..PAYLOAD_LENGTH + 4].copy_from_slice(&length.to_le_bytes());
        image.extend([0; 16]);
        image.extend(payload);
        image
    }

    #[test]
    fn each_way_of_compression_gives_the_kernel_back() {
        let kernel = [b"\x7fELF".as_slice(), &[7; 5_000]].concat();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&kernel).expect("memory takes all");
        let gzip = gzip.finish().expect("memory takes all");
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&kernel).expect("memory takes all");
        let xz = xz.finish().expect("memory takes all");
        let zstd = zstd::encode_all(kernel.as_slice(), 1).expect("memory takes all");
        let block = lz4_flex::block::compress(&kernel);
        let length = u32::try_from(block.len()).expect("a test's kernel is small").to_le_bytes();
        let lz4 = [&[0x02, 0x21, 0x4c, 0x18], &length[..], &block].concat();
        for packed in [gzip, xz, zstd, lz4] {
            let with_size = [packed, vec![0; SIZE_TAIL]].concat();
            assert_eq!(extract(&bzimage(&with_size)).expect("it is a bzImage"), kernel);
        }
    }

    #[test]
    fn what_is_no_kernel_is_refused() {
        assert!(extract(b"MZ is not enough").is_err());
        assert!(extract(&bzimage(b"nothing known")).is_err());
        assert!(extract(&bzimage(&[0x1f])[..900]).is_err());
    }
}
