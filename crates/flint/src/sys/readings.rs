//! The kernel's own words about this machine, read in one go and judged elsewhere.

use super::accounts::Accounts;
use super::process::Process;
use super::threads;
use std::fs;
use std::path::Path;

/// Texts as they were read; `None` is what this kernel does not show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readings {
    /// Each known flaw of the processor and what the kernel says of it.
    pub vulnerabilities: Vec<(String, String)>,
    /// `/proc/self/mountinfo`.
    pub mounts: Option<String>,
    /// The controllers at the root of the unified hierarchy.
    pub controllers: Option<String>,
    /// Whether KVM splits huge pages, against one flaw of some processors.
    pub nx_huge_pages: Option<String>,
    /// The shortest period of a guest's timer, in microseconds.
    pub timer_period: Option<String>,
    /// The kernel's command line.
    pub cmdline: Option<String>,
    /// Where core dumps go.
    pub core_pattern: Option<String>,
    /// 0, 1 or 2: whether memory may be promised twice.
    pub overcommit: Option<String>,
    /// Transparent huge pages: `always [madvise] never`.
    pub transparent: Option<String>,
    /// `/proc/meminfo`.
    pub memory: Option<String>,
    /// The highest process number.
    pub pid_max: Option<String>,
    /// Threads at once.
    pub threads_max: Option<String>,
    /// Open files at once.
    pub file_max: Option<String>,
    /// What the kernel counts time by.
    pub clocksource: Option<String>,
    /// Each IPv4 interface here, and whether what comes in by it is forwarded.
    pub forwarding: Vec<(String, String)>,
    /// Whether the clock is kept right, as the kernel was told; `None` when it does not say.
    pub clock_synced: Option<bool>,
    /// Whose ids are whose.
    pub accounts: Accounts,
}

impl Readings {
    /// Reads all of them. What cannot be read is `None`.
    #[must_use]
    pub fn take() -> Readings {
        let text =
            |path: &str| fs::read_to_string(path).ok().map(|text| text.trim_end().to_owned());
        Readings {
            vulnerabilities: vulnerabilities(),
            mounts: text("/proc/self/mountinfo"),
            controllers: text("/sys/fs/cgroup/cgroup.controllers"),
            nx_huge_pages: text("/sys/module/kvm/parameters/nx_huge_pages"),
            timer_period: text("/sys/module/kvm/parameters/min_timer_period_us"),
            cmdline: text("/proc/cmdline"),
            core_pattern: text("/proc/sys/kernel/core_pattern"),
            overcommit: text("/proc/sys/vm/overcommit_memory"),
            transparent: text("/sys/kernel/mm/transparent_hugepage/enabled"),
            memory: text("/proc/meminfo"),
            pid_max: text("/proc/sys/kernel/pid_max"),
            threads_max: text("/proc/sys/kernel/threads-max"),
            file_max: text("/proc/sys/fs/file-max"),
            clocksource: text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            forwarding: forwarding(),
            clock_synced: clock_synced(),
            accounts: Accounts::read(),
        }
    }
}

/// How many threads without a filter a process has that a record names; `None` when no such process runs.
#[must_use]
pub fn unfiltered_threads(record: &Path) -> Option<usize> {
    let process = Process::find(record).ok().flatten()?;
    threads::unfiltered(&process).ok().map(|found| found.len())
}

fn vulnerabilities() -> Vec<(String, String)> {
    let Ok(files) = fs::read_dir("/sys/devices/system/cpu/vulnerabilities") else {
        return Vec::new();
    };
    let mut found: Vec<_> = files
        .flatten()
        .filter_map(|file| {
            let text = fs::read_to_string(file.path()).ok()?.trim_end().to_owned();
            Some((file.file_name().to_string_lossy().into_owned(), text))
        })
        .collect();
    found.sort();
    found
}

fn forwarding() -> Vec<(String, String)> {
    let interfaces = fs::read_dir("/proc/sys/net/ipv4/conf").into_iter().flatten().flatten();
    let mut found: Vec<_> = interfaces
        .filter_map(|interface| {
            let text = fs::read_to_string(interface.path().join("forwarding")).ok()?;
            let name = interface.file_name().to_string_lossy().into_owned();
            Some((name, text.trim_end().to_owned()))
        })
        .collect();
    found.sort();
    found
}

/// Asked of the kernel itself, so it holds for each time service.
#[expect(unsafe_code, reason = "adjtimex(2) has no safe wrapper")]
fn clock_synced() -> Option<bool> {
    // SAFETY: all zero bytes are a valid timex, and no modes in it: nothing is changed.
    let mut about: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: a valid timex that outlives the call.
    let state = unsafe { libc::adjtimex(&raw mut about) };
    (state >= 0).then_some(state != libc::TIME_ERROR && about.status & libc::STA_UNSYNC == 0)
}
