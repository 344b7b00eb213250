//! The resolver's process: `flint names`, which the daemon starts and nobody else.

use super::Error;
use super::link::Link;
use super::table::{Asker, Step, Table};
use super::words::{ADDRESSES_MAX, Down, Up};
use crate::sys::{again, confine, packets, seccomp};
use flint_core::id::Slot;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// Sockets of all slots, and what a runtime opens. Four for each of 4,096 slots.
const FILES: u64 = 4 * 4_096 + 64;

/// Far above what all tables take when full.
const MEMORY: u64 = 1 << 30;

/// Packets of one slot that wait to be read; what comes above them is lost, as UDP is.
const PACKETS: usize = 64;

/// No question and no answer that we ask for is longer.
const LONGEST: usize = 4_096;

/// Confines itself, then serves until the daemon is gone.
///
/// # Errors
/// [`Error::Alone`]; [`Error::Process`] when the link breaks.
pub fn main(uid: u32) -> Result<(), Error> {
    let failed = |source: io::Error| Error::Process { source };
    let closed = confine::close_others();
    let (link, _unused) = again::given().map_err(failed)?;
    if !packets::is_end(&link) {
        return Err(Error::Alone);
    }
    again::be_called(c"flint-names");
    let limits = confine::Limits { files: FILES, memory: MEMORY };
    let mut lost = confine::before_the_runtime(uid, limits, closed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(failed)?.block_on(async {
        if let Err(error) = seccomp::resolve_only() {
            lost.push(format!("a filter of system calls ({error})"));
        }
        let link = Arc::new(Link::new(link).map_err(failed)?);
        link.say(&Up::Confined { lost }, &[]).await.map_err(failed)?;
        serve(link).await.map_err(failed)
    })
}

/// A slot's task, and how it learns that an answer may go.
struct Running {
    opened: mpsc::Sender<u64>,
    /// Ends with it.
    _tasks: JoinSet<()>,
}

async fn serve(link: Arc<Link>) -> io::Result<()> {
    let mut slots: BTreeMap<Slot, Running> = BTreeMap::new();
    while let Some((word, files)) = link.hear::<Down>().await? {
        match word {
            Down::Serve { slot, names, audit, listen } => {
                let table = Table::new(names, audit, files.len().saturating_sub(listen));
                slots.insert(slot, start(slot, Arc::clone(&link), table, (files, listen))?);
            }
            Down::Forget { slot } => drop(slots.remove(&slot)),
            Down::Opened { slot, number } => {
                // One that is behind loses an answer, and its guest asks again.
                slots.get(&slot).map(|running| running.opened.try_send(number));
            }
            Down::Ping => link.say(&Up::Pong, &[]).await?,
        }
    }
    Ok(())
}

fn start(
    slot: Slot,
    link: Arc<Link>,
    table: Table,
    (files, listen): (Vec<OwnedFd>, usize),
) -> io::Result<Running> {
    let socket = |file: OwnedFd| {
        let socket = std::net::UdpSocket::from(file);
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket).map(Arc::new)
    };
    let sockets: Vec<_> = files.into_iter().map(socket).collect::<io::Result<_>>()?;
    let (guests, resolvers) = sockets.split_at(listen.min(sockets.len()));
    let (guests, resolvers) = (guests.to_vec(), resolvers.to_vec());
    let (opened, opening) = mpsc::channel(PACKETS);
    let (heard, hearing) = mpsc::channel(PACKETS);
    let mut tasks = JoinSet::new();
    for (number, socket) in guests.iter().enumerate() {
        tasks.spawn(listen_to(Arc::clone(socket), Some(number), heard.clone()));
    }
    for socket in &resolvers {
        tasks.spawn(listen_to(Arc::clone(socket), None, heard.clone()));
    }
    let serving = Serving { slot, link, table, guests, resolvers };
    tasks.spawn(serving.run(hearing, opening));
    Ok(Running { opened, _tasks: tasks })
}

/// A packet, and on which of the guest's sockets it came; `None` is a resolver's.
struct Heard {
    socket: Option<usize>,
    from: SocketAddr,
    packet: Vec<u8>,
}

async fn listen_to(socket: Arc<UdpSocket>, number: Option<usize>, heard: mpsc::Sender<Heard>) {
    let mut buffer = vec![0; LONGEST];
    loop {
        match socket.recv_from(&mut buffer).await {
            Ok((length, from)) => {
                let packet = buffer[..length].to_vec();
                if heard.send(Heard { socket: number, from, packet }).await.is_err() {
                    return;
                }
            }
            // A resolver's "port unreachable", told at the next call.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(_) => return,
        }
    }
}

struct Serving {
    slot: Slot,
    link: Arc<Link>,
    table: Table,
    guests: Vec<Arc<UdpSocket>>,
    resolvers: Vec<Arc<UdpSocket>>,
}

impl Serving {
    async fn run(mut self, mut heard: mpsc::Receiver<Heard>, mut opened: mpsc::Receiver<u64>) {
        loop {
            let step = tokio::select! {
                packet = heard.recv() => match packet {
                    Some(packet) => self.heard(packet),
                    None => return,
                },
                number = opened.recv() => match number {
                    Some(number) => self.table.opened(number),
                    None => return,
                },
            };
            if self.carry_out(step).await.is_err() {
                return;
            }
        }
    }

    fn heard(&mut self, Heard { socket, from, packet }: Heard) -> Step {
        let Some(socket) = socket else { return self.table.answer(&packet) };
        let mut chance = [0; 34];
        match rustix::rand::getrandom(&mut chance, rustix::rand::GetRandomFlags::empty()) {
            Ok(_) => self.table.question(
                Asker { socket, from },
                &packet,
                std::time::Instant::now(),
                chance,
            ),
            Err(_) => Step::Ignore,
        }
    }

    /// Packets that cannot be sent are lost packets: whoever misses one asks again.
    async fn carry_out(&self, step: Step) -> io::Result<()> {
        let slot = self.slot;
        match step {
            Step::Ignore => {}
            Step::Ask { resolver, packet } => {
                if let Some(socket) = self.resolvers.get(resolver) {
                    drop(socket.try_send(&packet));
                }
            }
            Step::Reply { to, packet } => self.reply(to, &packet),
            Step::Open { number, mut addresses } => {
                addresses.truncate(ADDRESSES_MAX);
                self.link.say(&Up::Found { slot, number, addresses }, &[]).await?;
            }
            Step::Refuse { to, packet, name } => {
                self.reply(to, &packet);
                self.link.say(&Up::Refused { slot, name }, &[]).await?;
            }
        }
        Ok(())
    }

    fn reply(&self, to: Asker, packet: &[u8]) {
        if let Some(socket) = self.guests.get(to.socket) {
            drop(socket.try_send_to(packet, to.from));
        }
    }
}
