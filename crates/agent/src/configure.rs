//! What makes this guest itself: time, randomness, name and network, as the host says.

use crate::error::{During, Error};
use crate::net;
use flint_wire::{Network, Secret};
use rustix::time::{ClockId, Timespec};
use std::fs;
use std::io;
use zeroize::Zeroizing;

/// Sets the clock, the pool and the name.
pub(crate) fn name_and_seed(
    hostname: &str,
    time_unix_ns: u64,
    entropy: &Secret,
) -> Result<(), Error> {
    let time = Timespec {
        tv_sec: i64::try_from(time_unix_ns / 1_000_000_000).unwrap_or(0),
        tv_nsec: i64::try_from(time_unix_ns % 1_000_000_000).unwrap_or(0),
    };
    rustix::time::clock_settime(ClockId::Realtime, time).during("set the clock")?;
    let seed = read_hex(entropy.expose())
        .ok_or_else(|| Error::refused("seed the random pool", "not 32 bytes in hex"))?;
    crate::sys::add_entropy(&seed).during("seed the random pool")?;
    rustix::system::sethostname(hostname.as_bytes()).during("set the host name")?;
    write_etc("hostname", &format!("{hostname}\n"))
}

/// Brings the links up and writes what resolvers read.
pub(crate) fn connect(hostname: &str, network: Option<&Network>) -> Result<(), Error> {
    net::bring_up(network)?;
    write_etc("hosts", &hosts(hostname))?;
    network.map_or(Ok(()), |network| write_etc("resolv.conf", &resolvers(&network.dns)))
}

fn hosts(hostname: &str) -> String {
    format!("127.0.0.1 localhost\n127.0.1.1 {hostname}\n::1 localhost ip6-localhost ip6-loopback\n")
}

fn resolvers(dns: &[String]) -> String {
    dns.iter().map(|server| format!("nameserver {server}\n")).collect()
}

/// Replaces a file below /etc; images bring some of them as links into places that do not exist here.
fn write_etc(name: &str, text: &str) -> Result<(), Error> {
    let path = format!("/etc/{name}");
    fs::create_dir_all("/etc").during("make /etc")?;
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).during(format!("replace {path}"));
        }
        Ok(()) | Err(_) => {}
    }
    fs::write(&path, text).during(format!("write {path}"))
}

fn read_hex(text: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut bytes = Zeroizing::new([0; 32]);
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digit = |character: u8| char::from(character).to_digit(16);
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{hosts, read_hex, resolvers};

    #[test]
    fn only_64_hex_digits_are_a_seed() {
        assert_eq!(read_hex(&"0f".repeat(32)).as_deref(), Some(&[0x0f; 32]));
        assert!(read_hex(&"0f".repeat(31)).is_none());
        assert!(read_hex(&"0g".repeat(32)).is_none());
        assert!(read_hex(&"é".repeat(32)).is_none());
    }

    #[test]
    fn resolvers_and_hosts_are_as_libraries_read_them() {
        assert_eq!(
            resolvers(&["10.0.0.1".into(), "::1".into()]),
            "nameserver 10.0.0.1\nnameserver ::1\n"
        );
        assert!(hosts("vm-42").contains("127.0.1.1 vm-42\n"));
    }
}
