//! The conversation between a host and the agent in a guest.
//!
//! One byte stream, opened by the host: vsock port [`PORT`] under Firecracker, the virtio-serial port
//! [`SERIAL_PORT`] under QEMU. Each message is one JSON object on one line of at most [`LINE_MAX`] bytes.
//! The host speaks first: a [`ToGuest::Hello`] with a nonce. Each side discards whatever comes before it;
//! the host trusts nothing until the guest has echoed the nonce. That makes a reconnect after a cut in the
//! middle of a line safe. Unknown fields are ignored, unknown messages skipped: both sides may be newer.
#![forbid(unsafe_code)]

pub mod frame;
pub mod guest;
pub mod host;
pub mod image;
pub mod secret;

pub use guest::{FromGuest, Said};
pub use host::{Network, Network6, ToGuest, Work};
pub use secret::Secret;

/// The protocol's version. A change that an older peer would misread raises it, and leaves a conversation of the
/// version before it in `tests/golden`.
pub const PROTOCOL: u32 = 1;

/// The oldest version that a host still speaks. An agent lives as long as its guest, so after an upgrade the host
/// meets agents that an earlier one brought up.
pub const OLDEST_PROTOCOL: u32 = 1;

/// The vsock port that the agent listens on.
pub const PORT: u32 = 1024;

/// The name of the virtio-serial port under QEMU.
pub const SERIAL_PORT: &str = "flint";

/// The longest line either side accepts, its newline included. A JIT config is 3 to 6 KiB.
pub const LINE_MAX: usize = 64 * 1024;

/// The longest text of one log line; longer ones are cut by the agent and marked.
pub const LOG_TEXT_MAX: usize = 8 * 1024;
