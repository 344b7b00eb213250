//! The other guest: it listens for anything of the intruder's that reaches it, on the wire and by sockets.

use super::places::{GATEWAY, GATEWAY_MAC, GATEWAY6, NEIGHBOUR, NEIGHBOUR_MAC, NEIGHBOUR6, PORT};
use super::post::Post;
use super::sys::{Link, readable};
use super::token;
use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv6Addr, TcpListener};
use std::os::fd::AsFd;
use std::process::Command;
use std::time::Duration;

/// Nothing for so long means that nothing is on its way.
const IDLE: Duration = Duration::from_millis(300);

/// Listens until the stage says that it is over.
pub(super) fn watch(interface: &str) -> io::Result<()> {
    // Whatever comes to its door, also what is for others.
    run(&format!("ip link set {interface} promisc on"))?;
    // A kernel answers for what listens; nobody has to take the connections.
    let _listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, PORT))?;
    let (mut post, _) = Post::open("neighbour")?;
    let mut heard = BTreeSet::new();
    loop {
        let link = Link::on(interface)?;
        match listen(&link, &mut post, &mut heard)?.as_str() {
            "flat" => {
                post.say(&["going"])?;
                become_another(interface)?;
                post = Post::open("neighbour-flat")?.0;
            }
            _ => return Ok(()),
        }
    }
}

/// Tells what it hears until it is told something else than to say that there is nothing more.
fn listen(link: &Link, post: &mut Post, heard: &mut BTreeSet<String>) -> io::Result<String> {
    let mut asked = false;
    loop {
        let frame = link.receive(IDLE)?;
        if frame.is_none() && std::mem::take(&mut asked) {
            post.say(&["nothing more"])?;
        }
        for token in token::all_in(&frame.unwrap_or_default()) {
            if heard.insert(token.clone()) {
                post.say(&["heard", &token])?;
            }
        }
        if !asked && readable(post.stream().as_fd(), Duration::ZERO)? {
            let word = post.hear()?.concat();
            if word != "anything" {
                return Ok(word);
            }
            asked = true;
        }
    }
}

/// Two guests of one link may not have the same addresses. And this one must still reach the stage when the intruder is
/// believed to be the gateway.
fn become_another(interface: &str) -> io::Result<()> {
    let text = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    let (mac, gateway) = (text(NEIGHBOUR_MAC), text(GATEWAY_MAC));
    let script = format!(
        "ip link set {interface} down
         ip link set {interface} address {mac}
         ip addr flush dev {interface}
         ip link set {interface} up
         ip addr add {NEIGHBOUR}/29 dev {interface}
         ip addr add {NEIGHBOUR6}/64 dev {interface} nodad
         sysctl -qw net.ipv4.conf.all.accept_redirects=0 net.ipv4.conf.{interface}.accept_redirects=0
         sysctl -qw net.ipv6.conf.{interface}.accept_redirects=0 net.ipv6.conf.{interface}.accept_ra=0
         ip neigh replace {GATEWAY} lladdr {gateway} nud permanent dev {interface}
         ip neigh replace {GATEWAY6} lladdr {gateway} nud permanent dev {interface}
         ip route add default via {GATEWAY}
         ip -6 route add default via {GATEWAY6}"
    );
    run(&script)
}

/// Runs a script with `sh`; its error is what it said.
pub(super) fn run(script: &str) -> io::Result<()> {
    let ran = Command::new("sh").args(["-ec", script]).output()?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    if ran.status.success() { Ok(()) } else { Err(io::Error::other(said)) }
}
