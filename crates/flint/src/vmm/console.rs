//! A guest's console: kept in a bounded file, or joined to this process's terminal.

use crate::sys::bounded::Bounded;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;

/// The file's bound; as much again may lie in its `.old`.
const KEEP: u64 = 256 * 1024;

/// A guest that floods its console is read this slowly: 64 KiB, then this long a rest.
const REST: Duration = Duration::from_millis(50);

/// Keeps what comes until it ends. Without a file it is still read, so that the guest is not held up.
pub(super) fn keep(
    mut from: impl AsyncRead + Send + Unpin + 'static,
    file: &Path,
) -> JoinHandle<()> {
    let opened = Bounded::open(file, KEEP);
    if let Err(error) = &opened {
        tracing::warn!(file = %file.display(), %error, "cannot keep a console");
    }
    tokio::spawn(async move {
        let mut file = opened.ok();
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length @ 1..) = from.read(&mut buffer).await {
            let bytes = buffer.get(..length).unwrap_or_default();
            if file.as_mut().is_some_and(|file| file.append(bytes).is_err()) {
                file = None;
            }
            if length == buffer.len() {
                tokio::time::sleep(REST).await;
            }
        }
    })
}

/// Joins it to standard input and output until the guest closes it.
pub(super) fn join(stream: tokio::net::UnixStream) -> JoinHandle<()> {
    let (mut from_guest, mut to_guest) = stream.into_split();
    let (keys, mut typed) = tokio::sync::mpsc::channel::<Vec<u8>>(16);
    // A thread of its own, never joined: a read of a terminal cannot be taken back.
    std::thread::spawn(move || {
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = std::io::stdin().read(&mut buffer) {
            let bytes = buffer.get(..length).unwrap_or_default().to_vec();
            if keys.blocking_send(bytes).is_err() {
                return;
            }
        }
    });
    tokio::spawn(async move {
        let typing = async {
            while let Some(bytes) = typed.recv().await {
                if to_guest.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            // The input is closed; the guest may still have something to say.
            std::future::pending::<()>().await;
        };
        let showing = async {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from_guest.read(&mut buffer).await {
                let mut out = std::io::stdout().lock();
                let bytes = buffer.get(..length).unwrap_or_default();
                if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
                    return;
                }
            }
        };
        tokio::select! {
            () = typing => {}
            () = showing => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::bounded;

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_costs_the_file_and_does_not_hold_the_guest_up() {
        let (mut guest, console) = tokio::io::duplex(4_096);
        let dir = tempfile::tempdir().unwrap();
        let kept = keep(console, &bounded::full(dir.path()));
        guest.write_all(&[b'x'; 1 << 20]).await.unwrap();
        drop(guest);
        kept.await.unwrap();
    }
}
