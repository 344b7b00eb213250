//! The first words with an agent: connect, say hello, and trust nothing before the nonce comes back.

use super::heeds::Heeds;
use crate::host::follow::Setup;
use crate::sys::clock;
use crate::vmm::{Channel, Vmm};
use flint_core::id::VmId;
use flint_wire::frame::{self, Decoder, FrameError, Resync};
use flint_wire::{FromGuest, OLDEST_PROTOCOL, PROTOCOL, Said, Secret, ToGuest};
use std::io;
use std::ops::RangeInclusive;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use zeroize::Zeroizing;

/// Why a session with a guest ended.
#[derive(Debug)]
pub(super) enum Break {
    /// The stream broke; try again.
    Lost,
    /// Nothing more is to be heard from this guest.
    Over(String),
}

impl From<io::Error> for Break {
    fn from(_: io::Error) -> Self {
        Break::Lost
    }
}

impl From<FrameError> for Break {
    fn from(error: FrameError) -> Self {
        Break::Over(format!("its agent does not make sense: {error}"))
    }
}

/// A stream whose agent has answered.
pub(super) struct Opened {
    pub(super) decoder: Decoder<Said>,
    pub(super) resync: Resync,
    pub(super) configured: bool,
    pub(super) heeds: Heeds,
}

/// Connects and says hello until the nonce comes back.
pub(super) async fn greet<V: Vmm>(vmm: &V, vm: VmId) -> Result<(Channel, Opened), Break> {
    let mut channel = vmm.channel(vm).await.map_err(|_| Break::Lost)?;
    let nonce = random_hex()?;
    channel.write_all(&frame::opening(&nonce)?).await?;
    let (mut decoder, mut resync) = (Decoder::new(), Resync::new(nonce));
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = channel.read(&mut buffer).await?;
        if length == 0 {
            return Err(Break::Lost);
        }
        decoder.push(buffer.get(..length).unwrap_or_default());
        while let Some(next) = decoder.next_message() {
            // A hello that cannot be read never carries the nonce back: waiting for it would not say why.
            if let Err(garbled @ FrameError::Malformed { say: "hello", .. }) = next {
                return Err(garbled.into());
            }
            // What follows the hello stays in the decoder.
            let Some(said) = resync.admit(next) else { continue };
            let FromGuest::Hello {
                protocol,
                configured,
                admits,
                repositories,
                ca_certificates,
                ..
            } = said?.message
            else {
                continue;
            };
            let heeds = Heeds { admits, repositories, ca_certificates };
            understood(protocol, &(OLDEST_PROTOCOL..=PROTOCOL)).map_err(Break::Over)?;
            return Ok((channel, Opened { decoder, resync, configured, heeds }));
        }
    }
}

/// Whether an agent's version is among those that are spoken here; else why not, and what helps.
fn understood(protocol: u32, spoken: &RangeInclusive<u32>) -> Result<(), String> {
    let (oldest, newest) = (spoken.start(), spoken.end());
    let here = match oldest == newest {
        true => format!("version {newest}"),
        false => format!("versions {oldest} to {newest}"),
    };
    let advice = match protocol {
        old if old < *oldest => "build the kernel bundle anew with `make kernel`",
        new if new > *newest => {
            "it came with a newer flint: upgrade this one, or build the kernel bundle anew"
        }
        _ => return Ok(()),
    };
    Err(format!("its agent speaks version {protocol}, this flint {here}; {advice}"))
}

pub(super) fn configure(vm: VmId, setup: &Setup) -> Result<Zeroizing<Vec<u8>>, Break> {
    let message = ToGuest::Configure {
        hostname: vm.to_string(),
        time_unix_ns: clock::unix_nanos(),
        entropy: Secret::new(random_hex()?),
        network: setup.network.clone(),
    };
    Ok(frame::encode(&message)?)
}

/// 32 random bytes in hex.
fn random_hex() -> Result<String, Break> {
    let mut bytes = [0u8; 32];
    rustix::rand::getrandom(&mut bytes[..], rustix::rand::GetRandomFlags::empty())
        .map_err(|e| Break::Over(format!("no randomness: {e}")))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::understood;

    #[test]
    fn agents_from_the_oldest_version_to_our_own_are_understood() {
        assert!((2..=4).all(|version| understood(version, &(2..=4)).is_ok()));
        for (strange, advice) in
            [(0, "make kernel"), (1, "make kernel"), (5, "newer flint"), (u32::MAX, "newer")]
        {
            let why = understood(strange, &(2..=4)).unwrap_err();
            assert!(
                why.contains(&format!("version {strange}, this flint versions 2 to 4")),
                "{why}"
            );
            assert!(why.contains(advice), "{why}");
        }
    }
}
