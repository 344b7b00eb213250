//! What runs as root in a guest and tries to get out, or at what is not its own. The other side is `escape`, on the host.
//!
//! It needs none of the crate's `full` feature, so that it can be built alone and static for a guest image.

mod channel;
mod ground;
mod link_tricks;
mod machine;
mod network;
mod packets;
pub(crate) mod places;
mod post;
mod secrets;
mod sys;
pub mod token;
mod watch;

pub use network::{Attempt, Place, Proof, attempts};
pub use sys::Link;

use ground::{Ground, Outcome};
use post::Post;
use std::fs;
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;

/// `intruder ROLE`: tries everything (`run`, or `network` alone), listens for the one that does (`watch`), or plays one of the tricks that
/// end a guest.
#[must_use]
pub fn main() -> ExitCode {
    let role = std::env::args().nth(1).unwrap_or_default();
    match play(&role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In the job's log, and on the console, should the network be gone; who cannot be told, cannot be helped.
            let line = format!("intruder {role}: {error}\n");
            io::stdout().write_all(line.as_bytes()).ok();
            fs::write("/dev/console", line).ok();
            ExitCode::FAILURE
        }
    }
}

fn play(role: &str) -> io::Result<()> {
    match role {
        "run" => run(&interface()?, true),
        "network" => run(&interface()?, false),
        "watch" => watch::watch(&interface()?),
        "hold" => machine::hold(),
        "stay" => machine::stay(),
        "beacon" => machine::beacon(),
        "tracer" => channel::trace(),
        other => channel::play(other),
    }
}

/// The guest's one interface.
fn interface() -> io::Result<String> {
    let names = fs::read_dir("/sys/class/net")?.flatten();
    let mut names = names.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| name.starts_with("eth")).ok_or_else(|| io::Error::other("no eth0"))
}

fn run(interface: &str, everything: bool) -> io::Result<()> {
    let (mut post, known) = Post::open("intruder")?;
    if everything {
        secrets::all(&mut post)?;
        machine::all(&mut post)?;
    }
    network("guarded", interface, &known, &mut post)?;
    drop(post);
    // Nothing of the guarded network is right for the flat one.
    watch::run(&format!("ip neigh flush dev {interface}; ip route flush cache"))?;
    let (mut post, known) = Post::open("intruder-flat")?;
    network("flat", interface, &known, &mut post)
}

/// Tries everything that is tried in a network; `known` are addresses that a guest could guess.
fn network(phase: &str, interface: &str, known: &[String], post: &mut Post) -> io::Result<()> {
    let word = |at: usize| known.get(at).map(String::as_str).unwrap_or_default();
    let bad = |what: &str| io::Error::other(format!("the stage told no {what}: {known:?}"));
    let ground = Ground {
        link: Link::on(interface)?,
        interface: interface.to_owned(),
        neighbour: word(1).parse::<Ipv4Addr>().map_err(|_| bad("neighbour"))?,
        neighbour6: word(2).parse::<Ipv6Addr>().map_err(|_| bad("neighbour over IPv6"))?,
        neighbour_mac: mac(word(3)).ok_or_else(|| bad("neighbour's MAC"))?,
        veth: word(4).parse::<Ipv4Addr>().map_err(|_| bad("veth"))?,
    };
    for attempt in attempts() {
        let tried = (attempt.run)(&ground, &token::of(phase, attempt.name));
        let (word, how) = match tried {
            Ok(Outcome::Answered) => ("answered", String::new()),
            Ok(Outcome::Sent) => ("sent", String::new()),
            Ok(Outcome::Silent(why)) => ("silent", why),
            Err(error) => ("silent", error.to_string()),
        };
        post.say(&["tried", phase, attempt.name, word, &how])?;
    }
    post.say(&["end", phase])?;
    // Until the stage has heard everything.
    post.hear().map(drop)
}

/// `06:00:c0:a8:f1:02`.
fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::{attempts, mac};
    use std::collections::BTreeSet;

    #[test]
    fn every_attempt_has_a_name_of_its_own() {
        let names: BTreeSet<_> = attempts().iter().map(|attempt| attempt.name).collect();
        assert_eq!(names.len(), attempts().len());
    }

    #[test]
    fn a_mac_address_is_read() {
        assert_eq!(mac("06:00:c0:a8:f1:02"), Some([6, 0, 0xc0, 0xa8, 0xf1, 2]));
        assert_eq!(mac("06:00"), None);
    }
}
