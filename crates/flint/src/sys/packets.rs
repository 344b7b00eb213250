//! Bounded packets between two processes: a `SOCK_SEQPACKET` pair, where the kernel keeps one packet apart from the next.

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, sockopt,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Descriptors that go with one packet, at most.
pub const FILES_MAX: usize = 8;

/// What they take beside it.
const SPACE: usize = rustix::cmsg_space!(ScmRights(FILES_MAX));

/// One end, in a runtime.
#[derive(Debug)]
pub struct Packets {
    end: AsyncFd<OwnedFd>,
    most: usize,
}

/// Both ends, for packets of at most `most` bytes each. They close on exec.
///
/// # Errors
/// When no descriptor is free.
pub fn pair(most: usize) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (one, other) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
    for end in [&one, &other] {
        // Room for two; only root may go above the system's limit, which holds one packet anyway.
        let forced = sockopt::set_socket_send_buffer_size_force(end, most * 2);
        forced.or_else(|_| sockopt::set_socket_send_buffer_size(end, most * 2))?;
    }
    Ok((one, other))
}

/// Whether it is an end of such a pair.
#[must_use]
pub fn is_end(end: &OwnedFd) -> bool {
    sockopt::socket_type(end) == Ok(SocketType::SEQPACKET)
}

impl Packets {
    /// Takes one end into the runtime.
    ///
    /// # Errors
    /// When it is no socket, or the runtime refuses it.
    pub fn new(end: OwnedFd, most: usize) -> io::Result<Packets> {
        if !is_end(&end) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a socket of packets"));
        }
        rustix::io::ioctl_fionbio(&end, true)?;
        #[expect(unsafe_code, reason = "tokio asks for a promise about the descriptor")]
        // SAFETY: the `OwnedFd` moves into the `AsyncFd`, which alone owns it until it closes it.
        let end = unsafe {
            AsyncFd::register_with_interest(end, Interest::READABLE | Interest::WRITABLE)
        }
        .map_err(io::Error::from)?;
        Ok(Packets { end, most })
    }

    /// Sends one packet.
    ///
    /// # Errors
    /// InvalidInput when it is empty or too long, BrokenPipe when the other end is closed.
    pub async fn send(&self, packet: &[u8]) -> io::Result<()> {
        if packet.is_empty() || packet.len() > self.most {
            let text = format!("a packet of {} bytes", packet.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let send = |end: &OwnedFd| rustix::net::send(end, packet, flags).map_err(io::Error::from);
        self.end.async_io(Interest::WRITABLE, send).await.map(drop)
    }

    /// Sends one packet, and descriptors with it.
    ///
    /// # Errors
    /// As [`Packets::send`]; InvalidInput also for more descriptors than [`FILES_MAX`].
    pub async fn send_with(&self, packet: &[u8], files: &[BorrowedFd<'_>]) -> io::Result<()> {
        if files.is_empty() {
            return self.send(packet).await;
        }
        if packet.is_empty() || packet.len() > self.most || files.len() > FILES_MAX {
            let text = format!("a packet of {} bytes and {} files", packet.len(), files.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let send = |end: &OwnedFd| {
            let mut space = [MaybeUninit::uninit(); SPACE];
            let mut with = SendAncillaryBuffer::new(&mut space);
            with.push(SendAncillaryMessage::ScmRights(files));
            let sent = rustix::net::sendmsg(end, &[IoSlice::new(packet)], &mut with, flags);
            sent.map_err(io::Error::from)
        };
        self.end.async_io(Interest::WRITABLE, send).await.map(drop)
    }

    /// The next packet, and the descriptors that came with it; `None` when the other end is closed.
    ///
    /// # Errors
    /// As [`Packets::receive`].
    pub async fn receive_with(&self) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
        let mut buffer = vec![0; self.most];
        let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT | RecvFlags::CMSG_CLOEXEC;
        let receive = |end: &OwnedFd| {
            let mut space = [MaybeUninit::uninit(); SPACE];
            let mut with = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(&mut buffer)];
            let received = rustix::net::recvmsg(end, &mut slices, &mut with, flags)?;
            let files = with.drain().filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(files) => Some(files.collect::<Vec<_>>()),
                _ => None,
            });
            Ok((received.bytes, files.flatten().collect::<Vec<_>>()))
        };
        let (length, files) = match self.end.async_io(Interest::READABLE, receive).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            received => received?,
        };
        self.whole(length)?;
        buffer.truncate(length);
        Ok((length > 0).then_some((buffer, files)))
    }

    fn whole(&self, length: usize) -> io::Result<()> {
        if length > self.most {
            let text = format!("a packet of {length} bytes");
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        Ok(())
    }

    /// The next packet; `None` when the other end is closed.
    ///
    /// # Errors
    /// InvalidData when it is longer than both sides agreed.
    pub async fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; self.most];
        let flags = RecvFlags::TRUNC | RecvFlags::DONTWAIT;
        let receive = |end: &OwnedFd| {
            rustix::net::recv(end, buffer.as_mut_slice(), flags).map_err(io::Error::from)
        };
        let (_, length) = match self.end.async_io(Interest::READABLE, receive).await {
            // The other end was closed with packets of ours in it.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
            received => received?,
        };
        self.whole(length)?;
        buffer.truncate(length);
        Ok((length > 0).then_some(buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[tokio::test]
    async fn packets_stay_apart_up_to_their_bound_and_an_end_is_seen() {
        let most = 128 * 1024;
        let (one, other) = pair(most).unwrap();
        let one = Packets::new(one, most).unwrap();
        let other = Packets::new(other, most).unwrap();
        let long = vec![7; most];
        one.send(b"a").await.unwrap();
        one.send(&long).await.unwrap();
        assert_eq!(other.receive().await.unwrap().as_deref(), Some(b"a".as_slice()));
        assert_eq!(other.receive().await.unwrap(), Some(long));
        assert!(one.send(&vec![7; most + 1]).await.is_err());
        assert!(one.send(b"").await.is_err());
        drop(one);
        assert_eq!(other.receive().await.unwrap(), None);
        assert_eq!(other.send(b"a").await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn descriptors_come_with_their_packet_and_in_their_order() {
        use std::io::{Read, Write};
        let (one, other) = pair(64).unwrap();
        let (one, other) = (Packets::new(one, 64).unwrap(), Packets::new(other, 64).unwrap());
        let pipes = [rustix::pipe::pipe().unwrap(), rustix::pipe::pipe().unwrap()];
        let files: Vec<_> = pipes.iter().map(|(_, write)| write.as_fd()).collect();
        one.send(b"none").await.unwrap();
        one.send_with(b"two", &files).await.unwrap();
        assert_eq!(other.receive_with().await.unwrap().unwrap().1.len(), 0);
        let (packet, files) = other.receive_with().await.unwrap().unwrap();
        assert_eq!((packet.as_slice(), files.len()), (b"two".as_slice(), 2));
        for (number, file) in (1..).zip(files) {
            std::fs::File::from(file).write_all(&[number]).unwrap();
        }
        for (number, (read, write)) in (1..).zip(pipes) {
            drop(write);
            let mut got = Vec::new();
            std::fs::File::from(read).read_to_end(&mut got).unwrap();
            assert_eq!(got, [number]);
        }
    }

    #[tokio::test]
    async fn a_packet_beyond_the_bound_of_its_receiver_is_refused() {
        let (one, other) = pair(64).unwrap();
        let one = Packets::new(one, 64).unwrap();
        let other = Packets::new(other, 16).unwrap();
        one.send(&[7; 17]).await.unwrap();
        let refused = other.receive().await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
        one.send(&[7; 16]).await.unwrap();
        assert_eq!(other.receive().await.unwrap(), Some(vec![7; 16]));
    }

    #[tokio::test]
    async fn a_pipe_is_no_end_of_packets() {
        let (read, _write) = rustix::pipe::pipe().unwrap();
        assert!(Packets::new(read, 16).is_err());
    }
}
