//! How long a microVM's disk takes, with images and scratch disks of two sizes each.

use anyhow::{Context, Result, bail};
use flint::images::{self, Images, LocalImages, Source};
use flint_core::id::VmId;
use flint_core::units::MiB;
use serde::Serialize;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

const IMAGES: [MiB; 2] = [MiB(256), MiB(8192)];
const SCRATCHES: [MiB; 2] = [MiB(1024), MiB(20_480)];

/// An odd number, so that one is in the middle.
const RUNS: u64 = 21;

/// Where, and with which kernel: an image is only ever looked at together with one.
#[derive(Clone, Debug)]
pub struct Disks {
    /// The kernel; its initramfs lies beside it.
    pub kernel: PathBuf,
    /// Where images and disks are made and removed.
    pub scratch: PathBuf,
}

/// One combination of sizes.
#[derive(Clone, Debug, Serialize)]
pub struct Made {
    /// The image, in MiB.
    pub image: u64,
    /// The scratch disk, in MiB.
    pub scratch: u64,
    /// The first disk of a size, which makes the template, in milliseconds.
    pub first: f64,
    /// The others, in milliseconds: look at the image, make the scratch disk.
    pub millis: Vec<f64>,
}

/// Makes disks of each combination, as a launch does.
///
/// # Errors
/// When there is no room, or no `mkfs.ext4`.
pub async fn disks(options: &Disks) -> Result<Vec<Made>> {
    let mut made = Vec::new();
    for image in IMAGES {
        for scratch in SCRATCHES {
            let folder = tempfile::Builder::new().prefix("bench-").tempdir_in(&options.scratch)?;
            made.push(combination(options, folder.path(), image, scratch).await?);
        }
    }
    Ok(made)
}

async fn combination(options: &Disks, folder: &Path, image: MiB, scratch: MiB) -> Result<Made> {
    let file = folder.join("image.ext4");
    filesystem(&file, image)?;
    let source = Source { kernel: options.kernel.clone(), image: file };
    let images = LocalImages::new(&images::Options { state_dir: folder.to_owned() });
    let one = async |number| {
        let began = Instant::now();
        images.ensure(&source).await?;
        images.scratch_for(VmId(number), scratch).await?;
        anyhow::Ok(began.elapsed().as_secs_f64() * 1000.0)
    };
    let first = one(0).await?;
    let mut millis = Vec::new();
    for number in 1..=RUNS {
        millis.push(one(number).await?);
    }
    Ok(Made { image: image.0, scratch: scratch.0, first, millis })
}

fn filesystem(file: &Path, size: MiB) -> Result<()> {
    File::create_new(file)?.set_len(size.0 << 20)?;
    let output = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(file).output();
    let output = output.context("cannot run `mkfs.ext4` (package e2fsprogs)")?;
    if !output.status.success() {
        bail!("`mkfs.ext4` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
