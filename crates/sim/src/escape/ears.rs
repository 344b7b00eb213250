//! Listens for the intruder's tokens where it should not be heard.

use crate::intruder::{Link, Place, places, token};
use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long a piece of listening is; nothing in one of them means that nothing is on its way.
const PIECE: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// What was heard, and where.
#[derive(Default)]
pub(super) struct Heard {
    tokens: Mutex<BTreeSet<(Place, String)>>,
}

impl Heard {
    pub(super) fn add(&self, place: Place, token: String) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).insert((place, token));
    }

    pub(super) fn has(&self, place: Place, token: &str) -> bool {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.contains(&(place, token.to_owned()))
    }

    /// How many begin like this.
    pub(super) fn count(&self, start: &str) -> usize {
        let tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.iter().filter(|(_, token)| token.starts_with(start)).count()
    }
}

/// All that listen in one namespace, on a thread.
pub(super) struct Ears {
    idle: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

/// What one thread listens with.
struct Sockets {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    /// Connections whose words are waited for.
    open: Vec<TcpStream>,
    wire: Option<Link>,
}

impl Ears {
    /// In the host's namespace: sockets alone, because what it refuses is on its wires.
    pub(super) fn of_the_host(namespace: &Path, heard: &Arc<Heard>) -> Result<Ears> {
        let open = || -> std::io::Result<Sockets> {
            let (udp, tcp) = both(places::PORT)?;
            Ok(Sockets { udp, tcp, open: Vec::new(), wire: None })
        };
        Ears::listen(namespace, Place::Host, heard, open)
    }

    /// In the internet's: every service that is tried, and the wire.
    pub(super) fn of_the_internet(namespace: &Path, heard: &Arc<Heard>) -> Result<Ears> {
        let open = || -> std::io::Result<Sockets> {
            let (mut udp, mut tcp) = both(places::PORT)?;
            udp.push(UdpSocket::bind((places::SERVER, 53))?);
            for port in [53, 853] {
                tcp.push(TcpListener::bind((places::SERVER, port))?);
            }
            tcp.push(TcpListener::bind((places::METADATA, 80))?);
            Ok(Sockets { udp, tcp, open: Vec::new(), wire: Some(Link::everywhere()?) })
        };
        Ears::listen(namespace, Place::Internet, heard, open)
    }

    fn listen(
        namespace: &Path,
        place: Place,
        heard: &Arc<Heard>,
        open: impl FnOnce() -> std::io::Result<Sockets> + Send,
    ) -> Result<Ears> {
        let opened = flint::sys::netns::run_in(namespace, open)?;
        let mut sockets =
            opened.with_context(|| format!("cannot listen in {}", namespace.display()))?;
        sockets.never_wait()?;
        let (idle, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (heard, counts, stopped) = (Arc::clone(heard), Arc::clone(&idle), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::SeqCst) {
                if !sockets.round(&|token| heard.add(place, token)) {
                    counts.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Ok(Ears { idle, stop, thread: Some(thread) })
    }

    /// Returns when everything that had arrived by now is counted.
    pub(super) fn catch_up(&self) {
        let now = self.idle.load(Ordering::SeqCst);
        // The first may have begun before what is waited for arrived.
        while self.idle.load(Ordering::SeqCst) < now + 2 {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Ears {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // It ends within a piece.
        self.thread.take().map(thread::JoinHandle::join);
    }
}

impl Sockets {
    fn never_wait(&self) -> std::io::Result<()> {
        self.udp.iter().try_for_each(|socket| socket.set_nonblocking(true))?;
        self.tcp.iter().try_for_each(|socket| socket.set_nonblocking(true))
    }

    /// Listens once; whether anything came.
    fn round(&mut self, hear: &dyn Fn(String)) -> bool {
        let sockets = self.udp.iter().map(AsFd::as_fd).chain(self.tcp.iter().map(AsFd::as_fd));
        let sockets = sockets.chain(self.open.iter().map(AsFd::as_fd));
        let sockets: Vec<_> = sockets.chain(self.wire.iter().map(AsFd::as_fd)).collect();
        let mut polled: Vec<_> =
            sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        if poll(&mut polled, Some(&PIECE)).unwrap_or(0) == 0 {
            return false;
        }
        let take = |bytes: &[u8]| token::all_in(bytes).into_iter().for_each(hear);
        let mut bytes = vec![0; 65_536];
        for socket in &self.udp {
            while let Ok(count) = socket.recv(&mut bytes) {
                take(&bytes[..count]);
            }
        }
        while let Some(Ok(Some(frame))) =
            self.wire.as_ref().map(|wire| wire.receive(Duration::ZERO))
        {
            take(&frame);
        }
        self.open.retain_mut(|stream| match stream.read(&mut bytes) {
            Ok(0) => false,
            Ok(count) => {
                take(&bytes[..count]);
                true
            }
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        });
        for listener in &self.tcp {
            while let Ok((stream, _)) = listener.accept() {
                if stream.set_nonblocking(true).is_ok() {
                    self.open.push(stream);
                }
            }
        }
        true
    }
}

/// A port of all addresses, for both protocols and both families.
fn both(port: u16) -> std::io::Result<(Vec<UdpSocket>, Vec<TcpListener>)> {
    // A TCP socket of IPv6 takes IPv4 as well; for UDP, broadcasts need one of IPv4.
    let [v4, v6] = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()]
        .map(|address| SocketAddr::new(address, port));
    let tcp = vec![TcpListener::bind(v6)?];
    let six = rustix::net::socket(
        rustix::net::AddressFamily::INET6,
        rustix::net::SocketType::DGRAM,
        None,
    )?;
    rustix::net::sockopt::set_ipv6_v6only(&six, true)?;
    rustix::net::bind(&six, &v6)?;
    Ok((vec![UdpSocket::bind(v4)?, UdpSocket::from(six)], tcp))
}
