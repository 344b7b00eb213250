//! The plain kernel inside a distribution's compressed one.
//!
//! An x86 bzImage says in its setup header where its payload stands (the kernel's `Documentation/arch/x86/boot.rst`).

use anyhow::{Context, Result, bail};
use std::io::Read;

/// The setup header's magic, and where it stands.
const MAGIC: (usize, &[u8]) = (0x202, b"HdrS");

/// The ELF file in a bzImage; a kernel that is one already is given back as it is.
pub(crate) fn extract(image: &[u8]) -> Result<Vec<u8>> {
    if image.starts_with(b"\x7fELF") {
        return Ok(image.to_vec());
    }
    let vmlinux = decompress(payload(image)?)?;
    if !vmlinux.starts_with(b"\x7fELF") {
        bail!("cannot extract vmlinux: the kernel's payload is no ELF file");
    }
    Ok(vmlinux)
}

fn payload(image: &[u8]) -> Result<&[u8]> {
    if image.get(MAGIC.0..MAGIC.0 + MAGIC.1.len()) != Some(MAGIC.1) {
        bail!("cannot extract vmlinux: no x86 setup header");
    }
    let setup_sectors = match image[0x1f1] {
        0 => 4,
        count => usize::from(count),
    };
    let number = |at: usize| -> Result<usize> {
        let bytes = image.get(at..at + 4).context("cannot extract vmlinux: the header is cut")?;
        Ok(usize::try_from(u32::from_le_bytes(bytes.try_into()?))?)
    };
    let start = (setup_sectors + 1) * 512 + number(0x248)?;
    image
        .get(start..start + number(0x24c)?)
        .context("cannot extract vmlinux: the payload goes beyond the file")
}

/// Decompresses what a magic number announces. All but gzip have the plain size in four bytes behind them.
fn decompress(payload: &[u8]) -> Result<Vec<u8>> {
    let without_size = &payload[..payload.len().saturating_sub(4)];
    let mut plain = Vec::new();
    let read = match payload {
        [0x1f, 0x8b, ..] => flate2::read::GzDecoder::new(payload).read_to_end(&mut plain),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            liblzma::read::XzDecoder::new(without_size).read_to_end(&mut plain)
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            zstd::stream::read::Decoder::new(without_size)?.single_frame().read_to_end(&mut plain)
        }
        [0x02, 0x21, 0x4c, 0x18, ..] => {
            lz4_flex::frame::FrameDecoder::new(without_size).read_to_end(&mut plain)
        }
        [0x7f, b'E', b'L', b'F', ..] => return Ok(payload.to_vec()),
        _ => bail!("cannot extract vmlinux: unknown compression {:02x?}", payload.get(..6)),
    };
    read.context("cannot extract vmlinux: the payload is broken")?;
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::extract;
    use std::io::Write;

    /// A bzImage of one setup sector whose payload begins 16 bytes into its code.
    fn image(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024 + 16];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x248..0x24c].copy_from_slice(&16_u32.to_le_bytes());
        let length = u32::try_from(payload.len()).unwrap();
        image[0x24c..0x250].copy_from_slice(&length.to_le_bytes());
        image.extend_from_slice(payload);
        image.extend_from_slice(b"what follows is not the payload");
        image
    }

    fn elf() -> Vec<u8> {
        b"\x7fELF".iter().copied().chain((0..100_000_u32).map(|n| n.to_le_bytes()[0])).collect()
    }

    #[test]
    fn a_gzip_payload_comes_out() {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&elf()).unwrap();
        assert_eq!(extract(&image(&gzip.finish().unwrap())).unwrap(), elf());
    }

    #[test]
    fn a_zstd_or_xz_payload_comes_out_without_its_size() {
        let size = 100_004_u32.to_le_bytes();
        let zstd = zstd::stream::encode_all(elf().as_slice(), 1).unwrap();
        assert_eq!(extract(&image(&[zstd, size.to_vec()].concat())).unwrap(), elf());
        let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
        xz.write_all(&elf()).unwrap();
        assert_eq!(
            extract(&image(&[xz.finish().unwrap(), size.to_vec()].concat())).unwrap(),
            elf()
        );
    }

    #[test]
    fn what_is_an_elf_file_stays_and_what_is_none_is_refused() {
        assert_eq!(extract(&elf()).unwrap(), elf());
        assert!(extract(b"MZ").is_err());
        assert!(extract(&image(b"plain")).is_err());
        let cut = image(b"\x1f\x8b")[..0x24a].to_vec();
        assert!(extract(&cut).is_err());
    }
}
