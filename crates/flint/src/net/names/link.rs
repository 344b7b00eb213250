//! One end of the line between the resolver's halves: a word is one bounded packet, and may carry sockets.

use super::words::PACKET_MAX;
use crate::sys::packets::{self, Packets};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

pub(super) struct Link(Packets);

/// Both ends.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    packets::pair(PACKET_MAX)
}

impl Link {
    pub(super) fn new(end: OwnedFd) -> io::Result<Link> {
        Packets::new(end, PACKET_MAX).map(Link)
    }

    pub(super) async fn say<T: Serialize>(
        &self,
        word: &T,
        files: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let packet = serde_json::to_vec(word)?;
        self.0.send_with(&packet, files).await
    }

    /// The next word and what came with it; `None` when the other half has gone.
    pub(super) async fn hear<T: DeserializeOwned>(&self) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
        let Some((packet, files)) = self.0.receive_with().await? else { return Ok(None) };
        Ok(Some((serde_json::from_slice(&packet)?, files)))
    }
}
