//! A configuration file.

use flint::config::{File, Machine, Purpose, Sources, check};
use flint_core::units::MiB;
use std::hint::black_box;

/// Checks it, and shows its problems as `flint doctor` does.
pub fn settings(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let file = File { path: "flint.toml".into(), text: text.to_owned() };
    let sources = Sources { file: Some(file), ..Sources::default() };
    let machine = Machine { cpus: 8, memory: MiB(32 << 10), free_disk: |_| Some(MiB(500 << 10)) };
    // One of the two is half the work, and the length decides as well as anything.
    let purpose = if bytes.len().is_multiple_of(2) { Purpose::Serve } else { Purpose::Local };
    let checked = black_box(check(&sources, &machine, purpose));
    // To show them takes longer than to find them.
    if bytes.len() % 16 < 2 {
        black_box(checked.report.render(false));
    }
}
