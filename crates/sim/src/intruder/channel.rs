//! The tricks that end a guest: to speak as its agent, to stop the agent, to have more connections than allowed.

use super::machine;
use super::post::Post;
use super::sys::{readable, stop, writable};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

/// The driver of the port to the host.
const DRIVER: &str = "/sys/bus/virtio/drivers/virtio_console";

/// Until the intruder has the port.
const PATIENCE: Duration = Duration::from_secs(60);

/// Until a port is there again, and takes something.
const SOON: Duration = Duration::from_secs(3);

/// How often the secret is asked for.
const ASKS: usize = 3;

/// What is said first, so that the host's log shows that it understood the intruder.
const PROOF: &str = "the intruder speaks as the agent";

/// Far above any number that the agent has used.
const NUMBER: u64 = 1 << 40;

/// Plays one of them.
pub(super) fn play(role: &str) -> io::Result<()> {
    match role {
        "flows" => return machine::flows(),
        "freeze" => return freeze(),
        _ => {}
    }
    let (mut post, _) = Post::open(role)?;
    let mut port = match take_port() {
        Ok(port) => port,
        Err(error) => return post.say(&["left", "0", &error.to_string()]),
    };
    let log = format!(r#"{{"seq":{NUMBER},"say":"log","stream":"out","text":"{PROOF}"}}"#);
    port.write(format!("\n{log}\n").as_bytes())?;
    // Now, because the host may end this guest for what comes.
    post.say(&["left", "1"])?;
    match role {
        "forge" => forge(&mut port),
        "ask-again" => {
            let told = ask_again(&mut port)?;
            post.say(&["told", if told { "1" } else { "0" }])
        }
        "oversize" => oversize(&mut port),
        "garble" => garble(&mut port),
        other => Err(io::Error::other(format!("no role `{other}`"))),
    }?;
    post.hear().map(drop)
}

/// Takes the port away from the agent: its driver lets go of it, and finds it anew. The agent looks for it as well, and a
/// port has one user; who loses takes it away again.
fn take_port() -> io::Result<Port> {
    let device = device()?;
    let began = Instant::now();
    loop {
        fs::write(format!("{DRIVER}/unbind"), &device)?;
        fs::write(format!("{DRIVER}/bind"), &device)?;
        match open_port() {
            Err(error) if began.elapsed() > PATIENCE => return Err(error),
            Err(_) => {}
            opened => return opened,
        }
    }
}

/// Opens the port as soon as it is there and the host is at its other end.
fn open_port() -> io::Result<Port> {
    let began = Instant::now();
    while began.elapsed() < SOON {
        if let Some(path) = port()
            && let Ok(file) = open_now(&path)
        {
            let port = Port(file);
            return port.takes_more(SOON).map(|()| port);
        }
        thread::sleep(Duration::from_millis(10));
    }
    Err(io::ErrorKind::NotFound.into())
}

fn open_now(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    // A host that does not read is to hold nobody up.
    let without_waiting = i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default();
    File::options().read(true).write(true).custom_flags(without_waiting).open(path)
}

/// The agent's own way to the host.
struct Port(File);

impl Port {
    /// Writes until it takes no more for a while.
    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.0.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.takes_more(SOON).is_err() {
                        break;
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Takes what the host says in this time.
    fn hear(&mut self, time: Duration, heard: &mut String) -> io::Result<()> {
        let began = Instant::now();
        let mut bytes = [0; 4096];
        while let Some(left) = time.checked_sub(began.elapsed()) {
            if !readable(self.0.as_fd(), left)? {
                continue;
            }
            match self.0.read(&mut bytes) {
                // Nobody is at the other end, which may change.
                Ok(0) => thread::sleep(Duration::from_millis(10)),
                Ok(count) => heard.push_str(&String::from_utf8_lossy(&bytes[..count])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn takes_more(&self, patience: Duration) -> io::Result<()> {
        if writable(self.0.as_fd(), patience)? {
            Ok(())
        } else {
            Err(io::ErrorKind::TimedOut.into())
        }
    }
}

fn device() -> io::Result<String> {
    let entries = fs::read_dir(DRIVER)?.flatten();
    let mut names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.find(|name| name.starts_with("virtio")).ok_or_else(|| io::Error::other("no port"))
}

fn port() -> Option<PathBuf> {
    let entries = fs::read_dir("/sys/class/virtio-ports").ok()?.flatten();
    let mut ports = entries.filter(|entry| {
        fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim() == "flint")
    });
    ports.next().map(|entry| Path::new("/dev").join(entry.file_name()))
}

/// Everything that an agent says of a job that went well.
fn forge(port: &mut Port) -> io::Result<()> {
    let words = [
        r#""say":"ready","kernel_ms":1,"agent_ms":1"#,
        r#""say":"listening""#,
        r#""say":"job_started""#,
        r#""say":"job_done""#,
        r#""say":"exited","code":0"#,
        r#""say":"bye""#,
    ];
    let lines = words.iter().zip(NUMBER + 1..);
    let lines = lines.map(|(word, number)| format!("{{\"seq\":{number},{word}}}\n"));
    let text: String = lines.collect();
    port.write(text.as_bytes())
}

/// Answers as an agent that has just booted and knows nothing, whoever asked it, and listens whether the host hands over its
/// work once more.
fn ask_again(port: &mut Port) -> io::Result<bool> {
    let mut heard = String::new();
    for _ in 0..ASKS {
        let asked = heard.rsplit_once(r#""nonce":""#).and_then(|(_, rest)| rest.split_once('"'));
        let nonce = asked.map(|(nonce, _)| nonce.to_owned()).unwrap_or_default();
        let hello = format!(
            r#"{{"seq":0,"say":"hello","protocol":1,"nonce":"{nonce}","agent":"new","boot_id":"new","kernel":"new","configured":false,"admits":true,"repositories":true,"ca_certificates":true}}"#
        );
        port.write(format!("\n{hello}\n").as_bytes())?;
        port.hear(SOON, &mut heard)?;
        if heard.contains("jit_config") {
            return Ok(true);
        }
    }
    Ok(false)
}

/// One line of 8 MiB.
fn oversize(port: &mut Port) -> io::Result<()> {
    port.write(&vec![b'a'; 8 << 20])
}

/// Lines that are nothing, nearly something, or too deep.
fn garble(port: &mut Port) -> io::Result<()> {
    let mut bytes = Vec::new();
    for number in 0..20_000_u64 {
        let deep = "[".repeat(usize::try_from(number % 2_000).unwrap_or_default());
        bytes.extend(format!("{{\"seq\":{number},\"say\":{deep}\n").bytes());
        bytes.extend(number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        bytes.extend(b"\n{\"seq\":-1,\"say\":\"exited\",\"code\":99999999999}\n\0\xff\xfe\n");
    }
    port.write(&bytes)
}

/// Stops the guest's first process, which is to turn the machine off when the job is over.
fn freeze() -> io::Result<()> {
    let (mut post, _) = Post::open("freeze")?;
    // A tracer that goes away would let it go on: this one stays, out of the runner's sight.
    let tracer = std::env::current_exe()?;
    let script = format!(
        "unset RUNNER_TRACKING_ID; setsid {} tracer > /dev/null 2>&1 < /dev/null &",
        tracer.display()
    );
    Command::new("sh").args(["-c", &script]).status()?;
    let began = Instant::now();
    let mut stopped = false;
    while !stopped && began.elapsed() < PATIENCE {
        let stat = fs::read_to_string("/proc/1/stat")?;
        stopped = stat.split_whitespace().nth(2) == Some("t");
        thread::sleep(Duration::from_millis(20));
    }
    post.say(&["left", if stopped { "1" } else { "0" }])?;
    post.hear().map(drop)
}

/// `intruder tracer`: stops the first process, and stays.
pub(super) fn trace() -> io::Result<()> {
    stop(1)?;
    thread::sleep(Duration::from_mins(10));
    Ok(())
}
