//! Measures sizes and speed in one run, and sets each beside its goal. Nothing here is asserted in a test.

use crate::cargo::{cargo, run};
use crate::demo::{self, IMAGE, KERNEL};
use crate::say;
use anyhow::{Context, bail};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

const MIB: f64 = 1024.0 * 1024.0;

/// How often guests are booted bare and by the daemon, in turns.
const ROUNDS: usize = 2;

/// One thing that is measured.
struct Measurer {
    /// What, in words.
    what: &'static str,
    /// The goal, in words.
    goal: &'static str,
    /// Measures it, and says how it went in words.
    measure: fn() -> anyhow::Result<String>,
}

const MEASURERS: &[Measurer] = &[
    Measurer { what: "agent, static", goal: "at most 3 MiB", measure: agent_size },
    Measurer { what: "flint, release build", goal: "none", measure: flint_size },
    Measurer { what: "flint, idle", goal: "at most 40 MiB resident", measure: idle },
    Measurer { what: "disk", goal: "at most 20 ms, whatever the image", measure: disks },
    Measurer { what: "plan", goal: "at most 10 ms", measure: plans },
    Measurer { what: "REST calls for a job, webhooks", goal: "at most 1.5", measure: webhooks },
    Measurer { what: "REST calls for a job, scale set", goal: "at most 1.1", measure: scale_set },
    Measurer { what: "webhook to agent ready", goal: "at most 1.25 x a bare boot", measure: ready },
];

/// Measures all; what cannot be measured here is named, with the reason. Says whether all could be.
///
/// # Errors
/// None of its own.
pub(crate) fn bench() -> anyhow::Result<bool> {
    let mut rows = vec![["what".to_owned(), "measured".to_owned(), "goal".to_owned()]];
    let mut complete = true;
    for measurer in MEASURERS {
        let measured = (measurer.measure)().unwrap_or_else(|error| {
            complete = false;
            format!("not measured: {error:#}")
        });
        rows.push([measurer.what.to_owned(), measured, measurer.goal.to_owned()]);
    }
    table(&rows).iter().for_each(|line| say(line));
    Ok(complete)
}

fn table(rows: &[[String; 3]]) -> Vec<String> {
    let width =
        |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second) = (width(0), width(1));
    let line = |[a, b, c]: &[String; 3]| format!("{a:<first$}  {b:<second$}  {c}");
    rows.iter().map(line).collect()
}

fn agent_size() -> anyhow::Result<String> {
    // As `cargo xtask kernel` builds it.
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let mut build =
        cargo(&["build", "--package", "flint-agent", "--profile", "agent", "--target", &target]);
    run(build.env("RUSTFLAGS", "-C target-feature=+crt-static"))?;
    size_of(crate::root().join("target").join(target).join("agent/flint-agent"))
}

fn flint_size() -> anyhow::Result<String> {
    release()?;
    size_of(crate::root().join("target/release/flint"))
}

/// The daemon and what measures it; cargo knows what is built already.
fn release() -> anyhow::Result<()> {
    run(&mut cargo(&["build", "--release", "--package", "flint", "--bin", "flint"]))?;
    run(&mut cargo(&["build", "--release", "--package", "flint-sim", "--bins"]))
}

fn idle() -> anyhow::Result<String> {
    demo::prepare()?;
    release()?;
    let kib: u32 = asked(measure("idle"))?;
    Ok(format!("{:.1} MiB resident", f64::from(kib) / 1024.0))
}

/// One combination of sizes, as `measure disks` prints it.
#[derive(Deserialize)]
struct Made {
    image: u64,
    scratch: u64,
    first: f64,
    millis: Vec<f64>,
}

fn disks() -> anyhow::Result<String> {
    demo::prepare()?;
    release()?;
    told_disks(&asked::<Vec<Made>>(measure("disks"))?)
}

fn told_disks(made: &[Made]) -> anyhow::Result<String> {
    let (small, big) = (made.iter().map(|m| m.image).min(), made.iter().map(|m| m.image).max());
    let all = |image: Option<u64>| {
        let of = made.iter().filter(|m| Some(m.image) == image);
        median(of.flat_map(|m| m.millis.clone()).collect())
    };
    let (small_ms, big_ms) = (all(small)?, all(big)?);
    let times = big.unwrap_or_default() / small.unwrap_or_default().max(1);
    let each = made.iter().map(|m| {
        let (image, scratch, first) = (m.image, m.scratch, m.first);
        let middle = median(m.millis.clone())?;
        Ok(format!("image {image} MiB, scratch {scratch} MiB: {middle:.2} ms, first {first:.1} ms"))
    });
    let each = each.collect::<anyhow::Result<Vec<_>>>()?.join("; ");
    Ok(format!("{:.2} x for an image {times} x as big ({each})", big_ms / small_ms))
}

/// What `measure plan` prints.
#[derive(Deserialize)]
struct Plans {
    vms: usize,
    queued: usize,
    millis: Vec<f64>,
    launching_millis: Vec<f64>,
}

fn plans() -> anyhow::Result<String> {
    release()?;
    let Plans { vms, queued, millis, launching_millis } = asked(measure("plan"))?;
    let (still, launching) = (median(millis)?, median(launching_millis)?);
    Ok(format!(
        "{still:.1} ms with {vms} microVMs and {queued} queued jobs, {launching:.1} ms when it starts a hundred"
    ))
}

/// What `measure calls` prints.
#[derive(Deserialize)]
struct Calls {
    jobs: u32,
    hours: f64,
    rest: BTreeMap<String, u32>,
    refused: u64,
}

fn webhooks() -> anyhow::Result<String> {
    calls("webhook")
}

fn scale_set() -> anyhow::Result<String> {
    calls("scale-set")
}

fn calls(source: &str) -> anyhow::Result<String> {
    release()?;
    let mut command = measure("calls");
    command.arg(source);
    let Calls { jobs, hours, rest, refused } = asked(command)?;
    let all: u32 = rest.values().sum();
    let mut most: Vec<_> = rest.iter().collect();
    most.sort_by_key(|(name, count)| (std::cmp::Reverse(**count), *name));
    let most = most.iter().take(4).map(|(name, count)| format!("{count} {name}"));
    let each = f64::from(all) / f64::from(jobs.max(1));
    let most = most.collect::<Vec<_>>().join(", ");
    Ok(format!("{each:.2} ({jobs} jobs in {hours:.1} h, {refused} refused: {most}, ..)"))
}

/// What `measure boot` prints.
#[derive(Deserialize)]
struct Boots {
    vmm: String,
    millis: Vec<f64>,
}

/// What of a job's times is needed, as `demo --json` prints it.
#[derive(Deserialize)]
struct Job {
    received: u64,
    times: Option<Times>,
}

#[derive(Deserialize)]
struct Times {
    ready: Option<u64>,
}

/// In turns, so that both see the same machine.
fn ready() -> anyhow::Result<String> {
    demo::prepare()?;
    release()?;
    let (mut bare, mut whole, mut vmm) = (Vec::new(), Vec::new(), String::new());
    for _ in 0..ROUNDS {
        let boots: Boots = asked(measure("boot"))?;
        bare.extend(boots.millis);
        vmm = boots.vmm;
        let mut demo = Command::new(built("demo"));
        demo.args(["--json", "--vmm", "qemu", "--name", "flintbnch", "--flint"])
            .arg(built("flint"));
        whole.extend(waits(&asked::<Vec<Job>>(demo)?)?);
    }
    told_ratio(&vmm, bare, whole)
}

/// From the webhook to the agent's `ready`, in milliseconds.
fn waits(jobs: &[Job]) -> anyhow::Result<Vec<f64>> {
    let wait = |job: &Job| {
        let ready = job.times.as_ref().and_then(|times| times.ready);
        let millis = ready.context("a job has no microVM that got ready")? - job.received;
        Ok(f64::from(u32::try_from(millis)?))
    };
    jobs.iter().map(wait).collect()
}

fn told_ratio(vmm: &str, bare: Vec<f64>, whole: Vec<f64>) -> anyhow::Result<String> {
    let (count, bare, whole) = (bare.len(), median(bare)?, median(whole)?);
    // The rest of the line says why it is this VMM.
    let vmm = vmm.split_once(": ").map_or(vmm, |(vmm, _)| vmm);
    Ok(format!(
        "{:.2} x ({whole:.0} ms over {bare:.0} ms, medians of {count}, three at once, {vmm})",
        whole / bare
    ))
}

fn median(mut values: Vec<f64>) -> anyhow::Result<f64> {
    values.sort_by(f64::total_cmp);
    let above = *values.get(values.len() / 2).context("nothing was measured")?;
    let below = if values.len().is_multiple_of(2) { values[values.len() / 2 - 1] } else { above };
    Ok(f64::midpoint(below, above))
}

fn built(program: &str) -> PathBuf {
    crate::root().join("target/release").join(program)
}

fn measure(what: &str) -> Command {
    let mut command = Command::new(built("measure"));
    command.args(["--kernel", KERNEL, "--image", IMAGE, what]);
    command
}

/// Runs a program that prints one line of JSON.
fn asked<T: DeserializeOwned>(mut program: Command) -> anyhow::Result<T> {
    let name = program.get_program().to_string_lossy().into_owned();
    program.current_dir(crate::root()).stdin(Stdio::null());
    let output = program.output().with_context(|| format!("cannot start `{name}`"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("`{name}` failed: {}", String::from_utf8_lossy(&said).trim());
    }
    serde_json::from_slice(&output.stdout).with_context(|| format!("cannot read `{name}`'s words"))
}

fn size_of(file: PathBuf) -> anyhow::Result<String> {
    let bytes =
        fs::metadata(&file).with_context(|| format!("cannot look at `{}`", file.display()))?.len();
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let size = bytes as f64 / MIB;
    Ok(format!("{size:.2} MiB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_in_it() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]).unwrap().to_bits(), 2f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]).unwrap().to_bits(), 2.5f64.to_bits());
        assert!(median(Vec::new()).is_err());
    }

    #[test]
    fn waits_are_set_against_bare_boots() {
        let jobs = r#"[{"id": 1, "received": 1000, "times": {"planned": 1001, "ready": 3400}},
            {"id": 2, "received": 1000, "times": {"planned": 1001, "ready": 3600}}]"#;
        let whole = waits(&serde_json::from_str::<Vec<Job>>(jobs).unwrap()).unwrap();
        let told =
            told_ratio("qemu 7.2, emulated: asked for", vec![2000.0, 2000.0], whole).unwrap();
        assert_eq!(
            told,
            "1.25 x (2500 ms over 2000 ms, medians of 2, three at once, qemu 7.2, emulated)"
        );
        let none = r#"[{"received": 1000, "times": null}]"#;
        assert!(waits(&serde_json::from_str::<Vec<Job>>(none).unwrap()).is_err());
    }

    #[test]
    fn disks_of_a_big_image_are_set_against_those_of_a_small_one() {
        let made = |image, millis| Made { image, scratch: 1024, first: 8.0, millis };
        let told = told_disks(&[made(256, vec![0.5]), made(8192, vec![0.5])]).unwrap();
        assert!(told.starts_with("1.00 x for an image 32 x as big (image 256 MiB, "), "{told}");
    }

    #[test]
    fn columns_stand_under_each_other() {
        let row = |a: &str, b: &str, c: &str| [a.to_owned(), b.to_owned(), c.to_owned()];
        let lines = table(&[row("what", "measured", "goal"), row("agent", "1 MiB", "3 MiB")]);
        assert_eq!(lines, ["what   measured  goal", "agent  1 MiB     3 MiB"]);
    }
}
