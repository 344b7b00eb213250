//! The lines on a guest's channel, as either end reads them.

use flint_wire::frame::{Decoder, Resync};
use flint_wire::guest::Said;
use flint_wire::host::ToGuest;

/// What a guest wrote reaches the host in pieces of any size, before and after its hello; and what looks like a host
/// reaches an agent. The first byte is the size of a piece.
pub fn guest(bytes: &[u8]) {
    let Some((size, bytes)) = bytes.split_first() else { return };
    let pieces = || bytes.chunks(usize::from(*size).max(1));
    let mut resync = Resync::new("nonce".to_owned());
    let mut from_guest = Decoder::<Said>::new();
    for piece in pieces() {
        from_guest.push(piece);
        while let Some(said) = from_guest.next_message() {
            resync.admit(said);
        }
    }
    let mut from_host = Decoder::<ToGuest>::new();
    for piece in pieces() {
        from_host.push(piece);
        while from_host.next_message().is_some() {}
    }
}
