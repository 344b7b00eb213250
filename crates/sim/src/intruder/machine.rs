//! What a guest tries with its machine: to use up the host's, to write what it shares, to stay, to turn back time.

use super::places::{PORT, SERVER};
use super::post::Post;
use super::sys::{vsock_connect, vsock_listen};
use super::{token, watch};
use std::fs::{self, File};
use std::io::{self, Write};
use std::net::UdpSocket;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// More tasks than a host gives to one VMM.
const TASKS: usize = 8_000;

/// More than a log file holds.
const LINES: usize = 60_000;

/// More flows than one guest may have.
const FLOWS: u16 = 24_000;

/// Everything that does not end the guest.
pub(super) fn all(post: &mut Post) -> io::Result<()> {
    for (name, cid) in [("vsock-host", 2), ("vsock-other", 4)] {
        let (reached, how) = vsock(cid);
        post.report(name, [reached, vsock_works()?], &how)?;
    }
    base_image(post)?;
    tasks(post)?;
    memory(post)?;
    disk(post)?;
    lines(post)?;
    console(post)?;
    time(post)
}

/// Tries a few ports of another context, Flint's own among them.
fn vsock(cid: u32) -> (bool, String) {
    let mut why = String::new();
    for port in [1, 22, 1024, 1025] {
        match vsock_connect(cid, port) {
            Ok(_) => return (true, format!("port {port}")),
            Err(error) => why = error.to_string(),
        }
    }
    (false, why)
}

/// The same calls, to a listener of this guest.
fn vsock_works() -> io::Result<bool> {
    watch::run("modprobe vsock_loopback || true")?;
    let Ok(_listener) = vsock_listen(1025) else { return Ok(false) };
    Ok(vsock_connect(1, 1025).is_ok())
}

/// The image is every guest's: nobody may change it. The scratch disk is this guest's alone.
fn base_image(post: &mut Post) -> io::Result<()> {
    // Told to be writable first, as far as the guest's kernel has a say.
    watch::run("for disk in /dev/vd?; do blockdev --setrw $disk || true; done")?;
    let mut wrote = Vec::new();
    for entry in fs::read_dir("/sys/block")?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("vd") {
            let path = format!("/dev/{name}");
            let shared = fs::read_to_string(format!("/sys/block/{name}/ro"))?.trim() == "1";
            wrote.push((shared, rewrite(&path).is_ok()));
        }
    }
    let any = |shared| wrote.iter().any(|(kind, ok)| *kind == shared && *ok);
    let count = wrote.iter().filter(|(shared, _)| *shared).count();
    post.report("write-base-image", [any(true), count > 0 && any(false)], &format!("{count} disks"))
}

/// Writes a sector of the disk's end, with what is there already.
fn rewrite(disk: &str) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let file = File::options().read(true).write(true).open(disk)?;
    let size = io::Seek::seek(&mut &file, io::SeekFrom::End(0))?;
    let mut sector = [0; 512];
    file.read_exact_at(&mut sector, size - 512)?;
    file.write_all_at(&sector, size - 512)?;
    file.sync_all()
}

/// Asks the stage to look at the host, and goes on when it has.
fn measured(post: &mut Post, name: &str, tried: u64) -> io::Result<()> {
    post.say(&["measure", name, &tried.to_string()])?;
    post.hear().map(drop)
}

fn tasks(post: &mut Post) -> io::Result<()> {
    // In a child, which can be ended with all that it has.
    let mut child = Command::new(std::env::current_exe()?);
    let mut child = child.args(["hold", "tasks"]).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    if let Some(out) = child.stdout.as_mut() {
        io::BufRead::read_line(&mut io::BufReader::new(out), &mut line)?;
    }
    let told = measured(post, "flood-tasks", line.trim().parse().unwrap_or_default());
    child.kill()?;
    child.wait()?;
    told
}

fn memory(post: &mut Post) -> io::Result<()> {
    let mut child = Command::new(std::env::current_exe()?);
    let ended = child.args(["hold", "memory"]).stdout(Stdio::null()).status()?;
    // It ends when its guest has no more, killed by its guest's kernel.
    let tried = if ended.success() { 0 } else { 4 * total_memory()? };
    measured(post, "flood-memory", tried)
}

/// `intruder hold tasks|memory`: takes as much as it can get, and holds it.
pub(super) fn hold() -> io::Result<()> {
    match std::env::args().nth(2).as_deref() {
        Some("tasks") => {
            let sleep = || thread::sleep(Duration::from_mins(10));
            let task = || thread::Builder::new().stack_size(16 << 10).spawn(sleep);
            let made = (0..TASKS).map_while(|_| task().ok()).count();
            writeln!(io::stdout(), "{made}")?;
            sleep();
        }
        _ => {
            // Nobody else of the guest is to be killed for it.
            fs::write("/proc/self/oom_score_adj", "1000")?;
            let wanted = 4 * total_memory()?;
            let mut held: Vec<Vec<u8>> = Vec::new();
            while held.len() << 20 < usize::try_from(wanted).unwrap_or(usize::MAX) {
                held.push(vec![0xa5; 1 << 20]);
            }
        }
    }
    Ok(())
}

/// In bytes.
fn total_memory() -> io::Result<u64> {
    let text = fs::read_to_string("/proc/meminfo")?;
    let kib = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = kib.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.map(|kib| kib << 10).ok_or_else(|| io::Error::other("no MemTotal"))
}

fn disk(post: &mut Post) -> io::Result<()> {
    let path = "/var/tmp/escape-flood";
    let mut file = File::create(path)?;
    let block = vec![0xa5; 1 << 20];
    let mut offered: u64 = 0;
    // Twice what there is.
    while offered < 2 * size_of_root()? {
        offered += 1 << 20;
        // It is full at some time; then it is tried all the same.
        file.write_all(&block).ok();
    }
    // What is written is on its way to the host's file.
    file.sync_all().ok();
    let told = measured(post, "flood-disk", offered);
    drop(file);
    fs::remove_file(path)?;
    told
}

/// In bytes.
fn size_of_root() -> io::Result<u64> {
    let root = rustix::fs::statvfs("/")?;
    Ok(root.f_blocks.saturating_mul(root.f_frsize))
}

/// By the runner's own output, which the agent passes on.
fn lines(post: &mut Post) -> io::Result<()> {
    let runner = fs::read_dir("/proc")?.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_string_lossy().parse().ok()?;
        let program = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
        program.ends_with("Runner.Listener").then_some(pid)
    });
    let runner = runner.ok_or_else(|| io::Error::other("no runner"))?;
    let mut out = File::options().write(true).open(format!("/proc/{runner}/fd/1"))?;
    let line = format!("{:-<500}\n", "flood");
    for _ in 0..LINES {
        out.write_all(line.as_bytes())?;
    }
    measured(post, "flood-log", u64::try_from(LINES * line.len()).unwrap_or_default())
}

fn console(post: &mut Post) -> io::Result<()> {
    let mut console = File::options().write(true).open("/dev/console")?;
    let line = format!("{:-<1000}\n", "flood");
    let (began, mut written) = (Instant::now(), 0);
    // A serial port is slow, which is a bound, too.
    while began.elapsed() < Duration::from_secs(10) {
        console.write_all(line.as_bytes())?;
        written += line.len();
    }
    measured(post, "flood-console", u64::try_from(written).unwrap_or_default())
}

/// Seventy years from now, and back.
fn time(post: &mut Post) -> io::Result<()> {
    watch::run("date -s '+70 years' > /dev/null")?;
    let year = Command::new("date").arg("+%Y").output()?.stdout;
    let told =
        measured(post, "time-travel", String::from_utf8_lossy(&year).trim().parse().unwrap_or(0));
    watch::run("date -s '-70 years' > /dev/null")?;
    told
}

/// Leaves something that goes on when its job is over, and says so.
pub(super) fn stay() -> io::Result<()> {
    let program = std::env::current_exe()?;
    let program = program.display();
    // Out of the runner's sight: another session, another parent, no signal that it would heed.
    watch::run(&format!(
        "trap '' TERM HUP INT; unset RUNNER_TRACKING_ID
         setsid {program} beacon > /dev/null 2>&1 < /dev/null &"
    ))?;
    let (mut post, _) = Post::open("stay")?;
    post.say(&["left"])?;
    post.hear().map(drop)
}

/// Says ten times a second that it is still here.
pub(super) fn beacon() -> io::Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    for number in 0..6_000 {
        // The network may be taken away before the guest is.
        socket.send_to(&token::of("beacon", &format!("{number}")), (SERVER, PORT)).ok();
        thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// As many flows as one guest may not have.
pub(super) fn flows() -> io::Result<()> {
    let (mut post, _) = Post::open("flows")?;
    let sockets: io::Result<Vec<_>> = (0..64).map(|_| UdpSocket::bind("0.0.0.0:0")).collect();
    let sockets = sockets?;
    let mut sent: u64 = 0;
    // Below what may begin in a second, and all before the first is forgotten.
    for (at, port) in (0..FLOWS).enumerate() {
        let socket = &sockets[at % sockets.len()];
        // A refusal of an earlier one is told here.
        sent += u64::from(socket.send_to(b"flow", (SERVER, 10_000 + port)).is_ok());
        if at % 48 == 0 {
            thread::sleep(Duration::from_millis(50));
        }
    }
    measured(&mut post, "flood-connections", sent)
}
