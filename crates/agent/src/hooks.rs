//! The runner's hooks: two scripts that say one word each.
//!
//! They run as the job's user, so what comes from them is a hint: a job may forge the two words and nothing else.

use crate::error::{During, Error};
use crate::input::{Hint, Input};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc::Sender;
use std::thread;

/// The script that the runner starts before the first step.
pub(crate) const STARTED: &str = "/run/flint/job-started.sh";
/// The script that it starts after the last one.
pub(crate) const COMPLETED: &str = "/run/flint/job-completed.sh";

const WORDS: &str = "/run/flint/words";

/// A copy of this program that the hook can start: the initramfs is out of a job's reach.
pub(crate) const PROGRAM: &str = "/run/flint/agent";

/// Writes the scripts and listens to them on a thread. `asked` is the last line of the one before a job's first step.
pub(crate) fn install(heard: Sender<Input>, asked: &str) -> Result<(), Error> {
    fs::create_dir_all("/run/flint").during("make /run/flint")?;
    fs::copy("/proc/self/exe", PROGRAM).during(format!("write {PROGRAM}"))?;
    fs::set_permissions(PROGRAM, fs::Permissions::from_mode(0o755))
        .during(format!("open {PROGRAM}"))?;
    for (path, word, last) in [(STARTED, "started", asked), (COMPLETED, "completed", "exit 0")] {
        // A hook that fails fails the job, so only a stranger's does.
        let script = format!("#!/bin/sh\necho {word} > {WORDS} || true\n{last}\n");
        fs::write(path, script).during(format!("write {path}"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))
            .during(format!("open {path}"))?;
    }
    let fifo = Mode::from_raw_mode(0o622);
    mknodat(CWD, WORDS, FileType::Fifo, fifo, 0).during(format!("make {WORDS}"))?;
    fs::set_permissions(WORDS, fs::Permissions::from_mode(0o622))
        .during(format!("open {WORDS}"))?;
    // Open for both ends: there is always a reader, so no hook waits, and never an end of file.
    let words =
        File::options().read(true).write(true).open(WORDS).during(format!("open {WORDS}"))?;
    let listen = move || listen(words, &heard);
    thread::Builder::new().name("hooks".into()).spawn(listen).map(drop).during("start a thread")
}

fn listen(mut words: File, heard: &Sender<Input>) {
    let mut line = Vec::new();
    let mut bytes = [0; 512];
    while let Ok(count) = words.read(&mut bytes) {
        for byte in &bytes[..count] {
            if let Some(hint) = take(&mut line, *byte) {
                // The talk takes inputs until the power goes off.
                let _sent = heard.send(Input::Hint(hint));
            }
        }
    }
}

/// Takes one byte in; a whole line may be a hint. Long lines are nonsense and are not kept.
fn take(line: &mut Vec<u8>, byte: u8) -> Option<Hint> {
    if byte != b'\n' {
        if line.len() < 16 {
            line.push(byte);
        }
        return None;
    }
    let hint = match line.as_slice() {
        b"started" => Some(Hint::Started),
        b"completed" => Some(Hint::Completed),
        _ => None,
    };
    line.clear();
    hint
}

#[cfg(test)]
mod tests {
    use super::take;
    use crate::input::Hint;

    #[test]
    fn a_job_can_say_two_words_and_nothing_else() {
        let mut line = Vec::new();
        let said = b"started\n{\"say\":\"exited\"}\nstarted completed\ncompleted\nstarted\0\n";
        let hints: Vec<_> = said.iter().filter_map(|byte| take(&mut line, *byte)).collect();
        assert_eq!(hints, [Hint::Started, Hint::Completed]);
        for _ in 0..10_000 {
            take(&mut line, b'x');
        }
        assert!(line.len() <= 16);
    }
}
