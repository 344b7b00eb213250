//! Shows whether KVM can run guests: a microVM with the real kernel and the real agent, which must answer.
//!
//! The answer holds for this boot of the host, this kernel and this VMM's version, and is kept in a file. A guest
//! that ended at once is not kept: asking again is quick, and whoever cured it need not know of the file.

use crate::error::chain;
use crate::sys::process;
use crate::vmm::jail::Jails;
use crate::vmm::{Boot, Channel, Error, Vmm};
use flint_core::id::VmId;
use flint_wire::{PROTOCOL, ToGuest};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

/// A canary that has not answered by then never will: with a working KVM it takes half a second.
const FLIGHT_MAX: Duration = Duration::from_secs(20);

/// How much of a VMM's last words is told, in characters; an assertion of QEMU's is a line of 150.
const WORDS_MAX: usize = 240;

/// A microVM that shows whether KVM can run guests.
#[derive(Clone, Debug)]
pub struct Canary {
    /// Kernel and initramfs of a profile; an id that no row has; no network.
    pub boot: Boot,
    /// Where the answers are kept, one per line.
    pub cache: PathBuf,
}

/// What became of it.
enum Flight {
    Answered,
    /// Quickly, with the reason.
    Ended(String),
    Silent,
}

impl Canary {
    /// Whether it lives under this VMM, as known or after a flight.
    ///
    /// # Errors
    /// [`Error::Kvm`] with the reason in one line.
    pub(super) async fn lives<V: Vmm>(
        &self,
        vmm: &V,
        version: &str,
        jails: &Jails,
    ) -> Result<(), Error> {
        let key = key(&self.boot.kernel, version);
        let known = std::fs::read_to_string(&self.cache).unwrap_or_default();
        let flight = match known_flight(&known, &key) {
            Some(flight) => flight,
            None => {
                let flight = fly(vmm, self.boot.clone(), jails).await;
                self.keep(&known, &key, &flight);
                flight
            }
        };
        let seconds = FLIGHT_MAX.as_secs();
        match flight {
            Flight::Answered => Ok(()),
            Flight::Ended(why) => Err(Error::Kvm { why }),
            Flight::Silent => {
                let why = format!("a test guest's agent did not answer within {seconds} s");
                Err(Error::Kvm { why })
            }
        }
    }

    fn keep(&self, known: &str, key: &str, flight: &Flight) {
        let Some(text) = kept(known, key, flight) else { return };
        if let Err(error) = std::fs::write(&self.cache, text) {
            let cache = self.cache.display();
            tracing::warn!(%cache, %error, "the canary flies again next time");
        }
    }
}

/// Boots the canary and removes it.
async fn fly<V: Vmm>(vmm: &V, boot: Boot, jails: &Jails) -> Flight {
    let vm = boot.vm;
    let flight = match vmm.boot(boot).await {
        Err(e) => Flight::Ended(chain(&e)),
        Ok(()) => tokio::select! {
            () = heard(vmm, vm) => Flight::Answered,
            end = vmm.exited(vm) => {
                let said: String = jails.said(vm).chars().take(WORDS_MAX).collect();
                Flight::Ended(format!("a test guest ended at once ({end:?}); its VMM said: {said}"))
            }
            () = tokio::time::sleep(FLIGHT_MAX) => Flight::Silent,
        },
    };
    if let Err(error) = vmm.kill(vm).await {
        tracing::warn!(%vm, %error, "cannot remove the canary");
    }
    flight
}

/// Returns when the agent has answered.
async fn heard<V: Vmm>(vmm: &V, vm: VmId) {
    loop {
        if let Ok(stream) = vmm.channel(vm).await
            && answers(stream).await
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Whether an agent says anything that carries our nonce.
async fn answers(stream: Channel) -> bool {
    let nonce = format!("canary-{}", std::process::id());
    let hello = ToGuest::Hello { protocol: PROTOCOL, nonce: nonce.clone() };
    let Ok(mut line) = serde_json::to_vec(&hello) else { return false };
    line.push(b'\n');
    let mut stream = BufReader::new(stream);
    if stream.write_all(&line).await.is_err() {
        return false;
    }
    let mut answer = String::new();
    let mut bounded = stream.take(flint_wire::LINE_MAX as u64);
    bounded.read_line(&mut answer).await.is_ok() && answer.contains(&nonce)
}

/// What is kept of this boot: each VMM's version, and whether a guest answered under it.
#[must_use]
pub fn known(cache: &Path) -> Vec<(String, bool)> {
    let text = std::fs::read_to_string(cache).unwrap_or_default();
    known_in(&text, &process::boot_id().unwrap_or_default())
}

fn known_in(text: &str, boot: &str) -> Vec<(String, bool)> {
    let answer = |line: &str| {
        let (key, word) = line.strip_prefix(boot)?.strip_prefix(' ')?.rsplit_once(": ")?;
        let (version, _file) = key.rsplit_once(" (")?;
        matches!(word, ANSWERED | SILENT).then(|| (version.to_owned(), word == ANSWERED))
    };
    text.lines().filter_map(answer).collect()
}

/// What an answer holds for. A file's number, size and time stand for its content.
fn key(kernel: &Path, version: &str) -> String {
    let meta = kernel.metadata().map(|m| (m.ino(), m.size(), m.mtime(), m.mtime_nsec()));
    let boot = process::boot_id().unwrap_or_default();
    format!("{boot} {version} {:?}", meta.unwrap_or_default())
}

const ANSWERED: &str = "answered";
const SILENT: &str = "silent";

fn known_flight(known: &str, key: &str) -> Option<Flight> {
    let line = known.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
    match line? {
        ANSWERED => Some(Flight::Answered),
        SILENT => Some(Flight::Silent),
        _ => None,
    }
}

/// What is known after a flight: this boot's answers, this one last. `None` changes nothing.
fn kept(known: &str, key: &str, flight: &Flight) -> Option<String> {
    let word = match flight {
        Flight::Answered => ANSWERED,
        Flight::Silent => SILENT,
        Flight::Ended(_) => return None,
    };
    let boot = |line: &str| line.split(' ').next().map(str::to_owned);
    let others = known.lines().filter(|line| boot(line) == boot(key) && !line.starts_with(key));
    let mut text: String = others.map(|line| format!("{line}\n")).collect();
    text.push_str(&format!("{key}: {word}\n"));
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::{Flight, kept, known_flight, known_in};

    #[test]
    fn each_vmm_has_an_answer_of_its_own() {
        let known = kept("", "boot-1 firecracker 1.12.0 (1)", &Flight::Silent).unwrap();
        let known = kept(&known, "boot-1 QEMU 10.0 (1)", &Flight::Answered).unwrap();
        let answer = |key| known_flight(&known, key);
        assert!(matches!(answer("boot-1 firecracker 1.12.0 (1)"), Some(Flight::Silent)));
        assert!(matches!(answer("boot-1 QEMU 10.0 (1)"), Some(Flight::Answered)));
        assert!(answer("boot-1 QEMU 10.0 (2)").is_none());
    }

    #[test]
    fn what_is_kept_of_this_boot_is_told_by_version() {
        let text = kept("", "boot-1 firecracker 1.12.0 (1, 2)", &Flight::Silent).unwrap();
        let text = kept(&text, "boot-1 QEMU 10.0 (Debian) (3, 4)", &Flight::Answered).unwrap();
        let wanted = [("firecracker 1.12.0", false), ("QEMU 10.0 (Debian)", true)];
        let found = known_in(&text, "boot-1");
        assert_eq!(found, wanted.map(|(version, lives)| (version.to_owned(), lives)));
        assert_eq!(known_in(&text, "boot-2"), []);
    }

    #[test]
    fn answers_of_another_boot_are_forgotten() {
        let known = kept("", "boot-1 QEMU (1)", &Flight::Silent).unwrap();
        let known = kept(&known, "boot-2 QEMU (1)", &Flight::Answered).unwrap();
        assert_eq!(known, "boot-2 QEMU (1): answered\n");
    }

    #[test]
    fn a_guest_that_ended_at_once_is_asked_again() {
        assert!(kept("", "boot-1 QEMU (1)", &Flight::Ended("no rights".to_owned())).is_none());
    }

    #[test]
    fn a_file_of_another_kind_says_nothing() {
        assert!(known_flight("boot-1 QEMU (1)\nit hangs", "boot-1 QEMU (1)").is_none());
    }
}
