//! An exported log, as somebody attached it to a report.

use flint::replay::{Log, Walk, show_step, show_world};
use std::hint::black_box;

/// Reads and replays it as `flint replay` does.
pub fn log(bytes: &[u8]) {
    let Ok(mut log) = Log::open(bytes) else { return };
    let mut walk = Walk::default();
    while let Ok(Some(entry)) = log.next_entry() {
        if let Some(step) = walk.take(entry) {
            black_box(show_step(&step));
        }
    }
    if let Some(step) = walk.end() {
        black_box(show_step(&step));
    }
    black_box(show_world(&walk));
}
