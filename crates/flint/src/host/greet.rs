//! The first words with an agent: connect, say hello, and trust nothing before the nonce comes back.

use crate::host::follow::Setup;
use crate::sys::clock;
use crate::vmm::{Channel, Vmm};
use flint_core::id::VmId;
use flint_wire::frame::{self, Decoder, FrameError, Resync};
use flint_wire::{FromGuest, PROTOCOL, Said, Secret, ToGuest};
use std::io;
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
            // What follows the hello stays in the decoder.
            let Some(said) = resync.admit(next) else { continue };
            let FromGuest::Hello { protocol, configured, .. } = said?.message else { continue };
            if protocol != PROTOCOL {
                let why =
                    format!("its agent speaks version {protocol}, this flint version {PROTOCOL}");
                return Err(Break::Over(why));
            }
            return Ok((channel, Opened { decoder, resync, configured }));
        }
    }
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
