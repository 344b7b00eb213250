//! One end of the line between the halves: a word is one bounded packet.

use super::Error;
use super::words::PACKET_MAX;
use crate::sys::packets::{self, Packets};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::OwnedFd;
use zeroize::Zeroizing;

/// One end, in a runtime.
#[derive(Debug)]
pub struct Link(Packets);

/// Both ends.
///
/// # Errors
/// When no descriptor is free.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    packets::pair(PACKET_MAX)
}

impl Link {
    /// Takes one end.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(end: OwnedFd) -> io::Result<Link> {
        Packets::new(end, PACKET_MAX).map(Link)
    }

    /// Says a word; some hold secrets, so nothing of it stays in memory.
    ///
    /// # Errors
    /// [`Error::Link`] when the other half has gone.
    pub async fn say<T: Serialize>(&self, word: &T) -> Result<(), Error> {
        let packet = serde_json::to_vec(word).map_err(io::Error::from);
        let packet = Zeroizing::new(packet.map_err(|source| Error::Link { source })?);
        self.0.send(&packet).await.map_err(|source| Error::Link { source })
    }

    /// The next word; `None` when the other half has gone.
    ///
    /// # Errors
    /// [`Error::Link`] when it is no word of the wanted kind, or too long.
    pub async fn hear<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let packet = self.0.receive().await.map_err(|source| Error::Link { source })?;
        let Some(packet) = packet.map(Zeroizing::new) else { return Ok(None) };
        let word = serde_json::from_slice(&packet).map_err(io::Error::from);
        word.map(Some).map_err(|source| Error::Link { source })
    }
}
