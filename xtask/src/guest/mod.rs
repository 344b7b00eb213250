//! What a guest boots from: kernel, initramfs, modules, image. Made from the distribution's packages.

mod cpio;
mod kernel;
mod modules;
mod package;
mod run;
mod vmlinux;

pub(crate) use kernel::{Kernel, kernel};
