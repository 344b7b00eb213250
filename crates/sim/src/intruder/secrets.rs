//! Looks for the one-job secret everywhere but at the runner that it is for. Each look must also find what was put there
//! on purpose, or it proves nothing.

use super::post::Post;
use super::watch;
use crate::runner::JIT_VARIABLE;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// As much of the secret as nobody has by chance.
const PIECE: usize = 48;

/// Memory and disks are read in such pieces.
const BLOCK: usize = 1 << 20;

/// Where programs keep what they should not.
const FOLDERS: [&str; 8] = ["/run", "/tmp", "/dev/shm", "/etc", "/root", "/home", "/var", "/opt"];

/// Longer than a runner needs to begin to listen.
const LISTENS: Duration = Duration::from_secs(15);

/// What is looked for.
struct Needles {
    secret: Vec<u8>,
    /// What was put into each place that is looked into.
    decoy: String,
}

/// What was found.
#[derive(Clone, Copy, Default)]
struct Found {
    secret: bool,
    decoy: bool,
}

/// A process that has the decoy as argument, variable and in memory.
struct Holder(Child);

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

/// Looks everywhere.
pub(super) fn all(post: &mut Post) -> io::Result<()> {
    let (runner, whole) = runner()?;
    let middle = whole.len().saturating_sub(PIECE) / 2;
    let secret = whole.get(middle..middle + PIECE).unwrap_or(&whole).to_vec();
    let decoy = format!("decoy-{:x}-{:x}", std::process::id(), secret_free_number());
    let needles = Needles { secret, decoy };
    let holder = hold(&needles.decoy)?;
    let others = others(runner, holder.0.id());
    let mut tell = |name: &str, found: io::Result<Found>| match found {
        Ok(found) => post.report(name, [found.secret, found.decoy], ""),
        Err(error) => post.report(name, [false, false], &error.to_string()),
    };
    tell("secret-in-arguments", needles.in_files(&processes(&others, "cmdline")))?;
    tell("secret-in-variables", needles.in_files(&processes(&others, "environ")))?;
    tell("secret-in-memory", needles.in_memories(&others))?;
    tell("secret-in-files", needles.in_folders())?;
    tell("secret-in-kernel-log", needles.in_kernel_log())?;
    tell("secret-on-disks", needles.on_disks())?;
    tell("secret-at-boot", needles.in_what_booted())?;
    drop(holder);
    let (again, how) = once_more(&whole)?;
    // It works once: this job came by it.
    post.report("secret-used-again", [again, descends_from(runner)?], &how)
}

impl Needles {
    fn look(&self, found: &mut Found, bytes: &[u8]) {
        found.secret |= holds(bytes, &self.secret);
        found.decoy |= holds(bytes, self.decoy.as_bytes());
    }

    fn in_files(&self, files: &[PathBuf]) -> io::Result<Found> {
        let mut found = Found::default();
        for file in files {
            // Processes come and go, and sockets cannot be read.
            self.look(&mut found, &fs::read(file).unwrap_or_default());
        }
        Ok(found)
    }

    fn in_memories(&self, pids: &[u32]) -> io::Result<Found> {
        let mut found = Found::default();
        for pid in pids {
            let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
            // Kernel threads have none.
            let Ok(memory) = File::open(format!("/proc/{pid}/mem")) else { continue };
            for (from, to) in maps.lines().filter_map(range) {
                self.in_pieces(&mut found, &memory, from, to);
            }
        }
        Ok(found)
    }

    /// Pieces overlap, so that nothing hides between two.
    fn in_pieces(&self, found: &mut Found, file: &File, from: u64, to: u64) {
        let mut block = vec![0; BLOCK];
        let mut at = from;
        while at < to {
            let wanted = usize::try_from(to - at).unwrap_or(BLOCK).min(BLOCK);
            let Ok(count @ 1..) = file.read_at(&mut block[..wanted], at) else { return };
            self.look(found, &block[..count]);
            at += u64::try_from(count.saturating_sub(PIECE).max(1)).unwrap_or(1);
            if count <= PIECE {
                return;
            }
        }
    }

    fn in_folders(&self) -> io::Result<Found> {
        let decoy = Path::new("/run/escape-decoy");
        fs::write(decoy, &self.decoy)?;
        let found = self.in_files(&files_below(FOLDERS));
        fs::remove_file(decoy)?;
        found
    }

    fn in_kernel_log(&self) -> io::Result<Found> {
        // The kernel says which parameter it does not know.
        watch::run(&format!("modprobe vsock_loopback {}=1", self.decoy))?;
        let log = Command::new("dmesg").output()?.stdout;
        let mut found = Found::default();
        self.look(&mut found, &log);
        Ok(found)
    }

    /// What the kernel and the firmware were given at boot, and still show. The name of the console, which is in there, stands
    /// for the decoy.
    fn in_what_booted(&self) -> io::Result<Found> {
        let given = Needles { secret: self.secret.clone(), decoy: "console=".to_owned() };
        let mut files: Vec<PathBuf> =
            ["/proc/cmdline", "/proc/bootconfig"].map(PathBuf::from).into();
        files.extend(files_below(["/sys/firmware", "/sys/kernel/boot_params", "/sys/module"]));
        given.in_files(&files)
    }

    /// Every block device, from its first byte to its last.
    fn on_disks(&self) -> io::Result<Found> {
        let decoy = Path::new("/var/tmp/escape-decoy");
        let mut file = File::create(decoy)?;
        file.write_all(self.decoy.as_bytes())?;
        file.sync_all()?;
        let mut found = Found::default();
        for entry in fs::read_dir("/sys/block")?.flatten() {
            let name = entry.file_name();
            if !name.to_string_lossy().starts_with("vd") {
                continue;
            }
            let mut disk = File::open(Path::new("/dev").join(name))?;
            let size = disk.seek(SeekFrom::End(0))?;
            self.in_pieces(&mut found, &disk, 0, size);
        }
        fs::remove_file(decoy)?;
        Ok(found)
    }
}

/// Every plain file there.
fn files_below<const N: usize>(folders: [&str; N]) -> Vec<PathBuf> {
    let (mut files, mut folders) = (Vec::new(), folders.map(PathBuf::from).to_vec());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => folders.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}

/// Whether this process was started by that one, or by one that it started.
fn descends_from(ancestor: u32) -> io::Result<bool> {
    let mut pid = std::process::id();
    while pid > 1 && pid != ancestor {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        pid = parent.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    }
    Ok(pid == ancestor)
}

/// The runner and what it was given: a job that is root may see that much.
fn runner() -> io::Result<(u32, Vec<u8>)> {
    let name = format!("{JIT_VARIABLE}=").into_bytes();
    for pid in pids() {
        let variables = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        let value =
            variables.split(|byte| *byte == 0).find_map(|text| text.strip_prefix(&name[..]));
        if let Some(value) = value {
            return Ok((pid, value.to_vec()));
        }
    }
    Err(io::Error::other("no runner with a secret is here: there is nothing to look for"))
}

/// A second runner with the same secret, beside the first.
fn once_more(secret: &[u8]) -> io::Result<(bool, String)> {
    watch::run("rm -rf /var/tmp/again; cp -r /opt/actions-runner /var/tmp/again")?;
    let secret = String::from_utf8_lossy(secret).into_owned();
    let mut command = Command::new("/var/tmp/again/bin/Runner.Listener");
    command.arg("run").env(JIT_VARIABLE, secret).current_dir("/var/tmp/again");
    let (mut said, out) = io::pipe()?;
    let mut runner = Holder(command.stdout(out).stderr(Stdio::null()).spawn()?);
    drop(command);
    let reader = thread::spawn(move || {
        let mut text = String::new();
        // Whatever it said before it was ended.
        said.read_to_string(&mut text).map(|_| text)
    });
    let began = Instant::now();
    while began.elapsed() < LISTENS && runner.0.try_wait()?.is_none() {
        thread::sleep(Duration::from_millis(100));
    }
    drop(runner);
    let text = reader.join().unwrap_or_else(|_| Ok(String::new()))?;
    let listens = text.contains("Listening for Jobs");
    Ok((listens, text.lines().next_back().unwrap_or("it said nothing").to_owned()))
}

fn hold(decoy: &str) -> io::Result<Holder> {
    let mut command = Command::new("sh");
    command.args(["-c", "sleep 600; true", decoy]).env("DECOY", decoy).stdout(Stdio::null());
    let holder = Holder(command.spawn()?);
    let seen = PathBuf::from(format!("/proc/{}/cmdline", holder.0.id()));
    let began = Instant::now();
    // The kernel lets us go on a moment before the program's arguments can be seen.
    while !holds(&fs::read(&seen)?, decoy.as_bytes()) && began.elapsed() < LISTENS {
        thread::sleep(Duration::from_millis(5));
    }
    Ok(holder)
}

/// Everybody but this process, and the runner that the secret is for.
fn others(runner: u32, holder: u32) -> Vec<u32> {
    let mut pids = pids();
    pids.retain(|pid| ![runner, std::process::id()].contains(pid));
    pids.push(holder);
    pids
}

fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_string_lossy().parse().ok()).collect()
}

fn processes(pids: &[u32], file: &str) -> Vec<PathBuf> {
    pids.iter().map(|pid| PathBuf::from(format!("/proc/{pid}/{file}"))).collect()
}

/// `7f00-7fff rw-p …`: a range that can be read.
fn range(line: &str) -> Option<(u64, u64)> {
    let (range, rest) = line.split_once(' ')?;
    let (from, to) = range.split_once('-')?;
    let number = |text| u64::from_str_radix(text, 16).ok();
    // Behind this lie the kernel's own pages.
    let readable = rest.starts_with('r') && !rest.ends_with("[vvar]");
    Some((number(from)?, number(to)?)).filter(|_| readable)
}

/// Whether the bytes hold it. Most of memory and disks is nothing, and a guest may have no fast processor.
fn holds(bytes: &[u8], needle: &[u8]) -> bool {
    let Some(first) = needle.first() else { return false };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = &rest[at..];
        if rest.starts_with(needle) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

/// Different in each guest, and nothing of the secret.
fn secret_free_number() -> u128 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.unwrap_or_default().as_nanos()
}
