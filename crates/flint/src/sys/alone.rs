//! A name that only one process of a network namespace has at a time. The kernel takes it back, however the process ends.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The name, for as long as this is held.
#[derive(Debug)]
pub struct Alone {
    _socket: UnixDatagram,
}

/// Takes the name, of at most 107 bytes; `None` when another process has it.
#[must_use]
pub fn take(name: &str) -> Option<Alone> {
    let address = SocketAddr::from_abstract_name(name).ok()?;
    let socket = UnixDatagram::bind_addr(&address).ok()?;
    Some(Alone { _socket: socket })
}

#[cfg(test)]
mod tests {
    use super::take;

    #[test]
    fn a_name_has_one_owner_at_a_time() {
        let name = format!("flint-test-{}", std::process::id());
        let first = take(&name);
        assert!(first.is_some());
        assert!(take(&name).is_none());
        drop(first);
        assert!(take(&name).is_some());
    }
}
