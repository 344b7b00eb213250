//! UNIX sockets in directories that strangers may write to, under paths of any length.

use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use tokio::net::UnixStream;

/// Connects to the socket at `path`: exactly this socket, never where a link in its place points to. Goes through
/// `/proc/self/fd`, because an address holds 107 bytes and a path may be longer.
///
/// # Errors
/// What the kernel said; not found and refused mean "not yet" while a program starts.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let socket =
        rustix::fs::open(path, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let kind = rustix::fs::FileType::from_raw_mode(rustix::fs::fstat(&socket)?.st_mode);
    if kind != rustix::fs::FileType::Socket {
        let text = format!("`{}` is not a socket", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    UnixStream::connect(format!("/proc/self/fd/{}", socket.as_raw_fd())).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::UnixListener;

    #[tokio::test]
    async fn a_path_longer_than_an_address_is_reached() {
        let dir = tempfile::tempdir().unwrap();
        let short = dir.path().join("s");
        let _listener = UnixListener::bind(&short).unwrap();
        let deep = dir.path().join("d".repeat(120));
        std::fs::create_dir(&deep).unwrap();
        std::fs::rename(&short, deep.join("s")).unwrap();
        connect(&deep.join("s")).await.unwrap();
    }

    #[tokio::test]
    async fn a_link_in_the_place_of_a_socket_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        let _listener = UnixListener::bind(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        assert!(connect(&link).await.is_err());
    }
}
