//! What strangers send, as bytes: each function here takes any bytes at all, and nothing may panic in it.
//!
//! The fuzzers in `fuzz/` call them, and so does a test, with the corpora that the fuzzers left.

mod guest;
mod log;
mod names;
mod settings;
mod webhook;

pub use guest::guest;
pub use log::log;
pub use names::names;
pub use settings::settings;
pub use webhook::webhook;

/// A way in: its name, which is that of its corpus, and what takes the bytes.
pub type Way = (&'static str, fn(&[u8]));

/// All of them.
pub const WAYS: [Way; 5] = [
    ("webhook", webhook),
    ("guest", guest),
    ("settings", settings),
    ("log", log),
    ("names", names),
];
