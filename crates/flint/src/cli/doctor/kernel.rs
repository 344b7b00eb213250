//! What the kernel says of this machine, judged: pure functions of texts, so that good and bad hosts can be tested.

use super::Line;
use crate::config::HostOptions;
use crate::net::derive::slot_of;
use crate::sys::readings::Readings;

/// A kernel that a container hides looks like this.
const UNREAD: &str = "cannot be read";

/// Threads of a microVM beside its vCPUs.
const THREADS: u64 = 4;

/// Files that a microVM's process has open.
const FILES: u64 = 30;

/// All lines of the kernel's texts.
pub(super) fn look(readings: &Readings, host: Option<&HostOptions>) -> Vec<Line> {
    let slots = u64::from(host.map_or(crate::config::defaults::SLOTS, |host| host.slots));
    let vcpus = u64::from(host.map_or(1, |host| host.capacity.vcpus));
    vec![
        vulnerabilities(&readings.vulnerabilities),
        microcode(&readings.vulnerabilities),
        cgroups(readings),
        cgroup_latency(readings),
        nx_huge_pages(readings),
        timer_period(readings.timer_period.as_deref()),
        kernel_log(readings.cmdline.as_deref()),
        mounts(readings.mounts.as_deref()),
        core_dumps(readings.core_pattern.as_deref()),
        overcommit(readings.overcommit.as_deref()),
        huge_pages(readings),
        forwarding(&readings.forwarding, host),
        limits(readings, slots, vcpus),
        time(readings),
        Line::note(
            "memory hardware",
            UNREAD,
            "use ECC memory that refreshes rows under attack (DDR4 with TRR or newer)",
        ),
    ]
}

fn vulnerabilities(all: &[(String, String)]) -> Line {
    let open = |text: &str| text.starts_with("Vulnerable") || text.contains("SMT vulnerable");
    // Its own line.
    let listed = all.iter().filter(|(name, text)| name != "old_microcode" && open(text));
    let found: Vec<String> = listed.map(|(name, text)| format!("{name}: {text}")).collect();
    if all.is_empty() {
        return unread("cpu flaws", "look at `lscpu` on the host itself");
    }
    match found.is_empty() {
        true => Line::ok("cpu flaws", format!("{} known, each held off", all.len())),
        false => Line::warn(
            "cpu flaws",
            found.join("; "),
            "update kernel and microcode, and boot without `mitigations=off`; where SMT is named, with `nosmt`",
        ),
    }
}

fn microcode(all: &[(String, String)]) -> Line {
    match all.iter().find(|(name, _)| name == "old_microcode") {
        None => Line::note(
            "microcode",
            UNREAD,
            "kernels from 6.17 on tell; keep the package intel-microcode or amd64-microcode up to date",
        ),
        Some((_, text)) if text.starts_with("Not affected") => Line::ok("microcode", text.clone()),
        Some((_, text)) => Line::warn(
            "microcode",
            text.clone(),
            "install intel-microcode or amd64-microcode, or the firmware's update, and reboot",
        ),
    }
}

/// Each kind of host told apart, with what is lost.
fn cgroups(readings: &Readings) -> Line {
    // No `io`: how fast disks may be is counted by the VMM.
    const WANTED: [&str; 3] = ["cpu", "memory", "pids"];
    let v1 = controllers_v1(readings.mounts.as_deref().unwrap_or_default());
    let lost = |has: &[&str]| -> Vec<&str> {
        WANTED.into_iter().filter(|name| !has.contains(name)).collect()
    };
    if let Some(text) = &readings.controllers {
        let has: Vec<&str> = text.split_whitespace().collect();
        let lost = lost(&has);
        let reading = format!("v2: {}", has.join(" "));
        return match lost.is_empty() {
            true => Line::ok("cgroups", reading),
            false => Line::warn(
                "cgroups",
                format!("{reading}; no limit on {}", lost.join(", ")),
                "give these controllers to the service: `Delegate=yes`, or the container's options",
            ),
        };
    }
    let lost = lost(&v1);
    let fix = "boot with systemd.unified_cgroup_hierarchy=1: v1 has no `cgroup.kill`, counts page cache worse and slows restores";
    match (v1.iter().any(|name| WANTED.contains(name)), lost.is_empty()) {
        (false, _) => Line::warn(
            "cgroups",
            "none: microVMs run without limits on cpu, memory, pids",
            "mount cgroup2 on /sys/fs/cgroup; a microVM can then not take the host's memory",
        ),
        (true, true) => Line::warn("cgroups", format!("v1: {}", v1.join(" ")), fix),
        (true, false) => {
            let reading = format!("v1: {}; no limit on {}", v1.join(" "), lost.join(", "));
            Line::warn("cgroups", reading, fix)
        }
    }
}

/// Their names are options of the super block, behind the ` - `.
fn controllers_v1(mounts: &str) -> Vec<&str> {
    const KNOWN: [&str; 4] = ["cpu", "memory", "pids", "cpuset"];
    let options = mounts.lines().filter_map(|line| {
        let (_, rest) = line.split_once(" - ")?;
        rest.strip_prefix("cgroup ")?.split(' ').next_back()
    });
    let listed: Vec<&str> = options.flat_map(|options| options.split(',')).collect();
    KNOWN.into_iter().filter(|name| listed.contains(name)).collect()
}

fn cgroup_latency(readings: &Readings) -> Line {
    let Some(mounts) = readings.mounts.as_deref() else {
        return unread("cgroup latency", "mount cgroup2 with `favordynmods`");
    };
    let booted = readings.cmdline.as_deref().unwrap_or_default().contains("cgroup_favordynmods=1");
    let groups: Vec<&str> = mounts.lines().filter(|line| line.contains(" - cgroup")).collect();
    let on = booted || groups.iter().any(|line| line.contains("favordynmods"));
    match (groups.is_empty(), on) {
        (true, _) => Line::note("cgroup latency", "no cgroups", "see `cgroups`"),
        (false, true) => Line::ok("cgroup latency", "favordynmods"),
        (false, false) => Line::note(
            "cgroup latency",
            "without favordynmods",
            "moving a microVM into its group waits some milliseconds: mount -o remount,favordynmods /sys/fs/cgroup (Linux 6.0)",
        ),
    }
}

fn nx_huge_pages(readings: &Readings) -> Line {
    let Some(value) = readings.nx_huge_pages.as_deref() else {
        return unread("nx_huge_pages", "it is a switch of the module kvm");
    };
    let flaw = readings.vulnerabilities.iter().find(|(name, _)| name == "itlb_multihit");
    let affected = flaw.is_some_and(|(_, text)| !text.starts_with("Not affected"));
    let off = matches!(value, "N" | "never");
    match (affected, off) {
        (true, true) => Line::warn(
            "nx_huge_pages",
            format!("{value}, and this processor has iTLB multihit"),
            "a guest can halt the host: load kvm with nx_huge_pages=auto",
        ),
        (true, false) | (false, true) => Line::ok("nx_huge_pages", value),
        (false, false) => Line::note(
            "nx_huge_pages",
            format!("{value}, and this processor does not need it"),
            "guests are faster with kvm.nx_huge_pages=never",
        ),
    }
}

/// 200 µs is the kernel's own default; each tick of a guest's PIT is work of a kernel thread outside its group.
fn timer_period(value: Option<&str>) -> Line {
    const FIX: &str = "a guest's timer interrupts cost time outside its group: raise kvm.min_timer_period_us to 1000 if jobs tolerate it";
    match value.map(|text| (text, text.parse::<u64>())) {
        Some((_, Ok(us))) if us > 200 => Line::ok("kvm-pit", format!("{us} us at least")),
        Some((text, _)) => Line::note("kvm-pit", format!("{text} us at least"), FIX),
        None => unread("kvm-pit", FIX),
    }
}

fn kernel_log(cmdline: Option<&str>) -> Line {
    const FIX: &str = "boot with `quiet loglevel=1`: a slow console makes every microVM wait that the kernel writes about";
    let Some(cmdline) = cmdline else { return unread("kernel log", FIX) };
    let words: Vec<&str> = cmdline.split_whitespace().collect();
    match words.contains(&"quiet") || words.contains(&"loglevel=1") {
        true => Line::ok("kernel log", "quiet"),
        false => Line::note("kernel log", "not quiet", FIX),
    }
}

/// A jail has a mount namespace of its own: each mount of the host is copied for it.
fn mounts(mountinfo: Option<&str>) -> Line {
    let Some(text) = mountinfo else { return unread("mounts", "look at /proc/self/mountinfo") };
    match text.lines().count() {
        count @ 0..=200 => Line::ok("mounts", count.to_string()),
        count => Line::note(
            "mounts",
            count.to_string(),
            "jails start slower with each: 500 make ten at once ten times slower",
        ),
    }
}

/// Flint starts each VMM with a limit of one byte, which stops dumps to files and to programs alike.
fn core_dumps(pattern: Option<&str>) -> Line {
    let reading = |pattern: &str| format!("none of microVMs; the host's go to `{pattern}`");
    match pattern {
        None => unread("core dumps", "microVMs make none all the same"),
        Some(pattern) if pattern.starts_with('|') => Line::note(
            "core dumps",
            reading(pattern),
            "flint's own would go there too, unless its unit's `LimitCORE=0` is kept and the program obeys it",
        ),
        Some(pattern) => Line::ok("core dumps", reading(pattern)),
    }
}

fn overcommit(value: Option<&str>) -> Line {
    match value {
        None => unread("overcommit", "sysctl vm.overcommit_memory"),
        Some("2") => Line::warn(
            "overcommit",
            "2",
            "sysctl vm.overcommit_memory=0: a guest's memory is promised in full before it is used",
        ),
        Some(value) => Line::ok("overcommit", value),
    }
}

/// Flint asks for neither kind by name; transparent ones come by themselves.
fn huge_pages(readings: &Readings) -> Line {
    let Some(thp) = readings.transparent.as_deref() else {
        return unread("huge pages", "this kernel may have none: guests are a little slower");
    };
    let memory = readings.memory.as_deref().unwrap_or_default();
    let free = memory.lines().find_map(|line| line.strip_prefix("HugePages_Free:"));
    let reading =
        format!("transparent {thp}, free in the pool {}", free.map_or("unknown", str::trim));
    match thp.contains("[never]") {
        true => Line::note(
            "huge pages",
            reading,
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled: guests boot faster",
        ),
        false => Line::ok("huge pages", reading),
    }
}

/// Flint turns it on for its own interfaces, one by one; the host's `ip_forward` need not be on.
fn forwarding(interfaces: &[(String, String)], host: Option<&HostOptions>) -> Line {
    let prefix = host.map_or(crate::config::defaults::NETNS_PREFIX, |host| &host.netns_prefix);
    let bridge = host.and_then(|host| Some(host.bridge.as_ref()?.name.as_str()));
    let ours = |name: &str| slot_of(prefix, name).is_some() || bridge == Some(name);
    let ours: Vec<_> = interfaces.iter().filter(|(name, _)| ours(name)).collect();
    let off: Vec<&str> =
        ours.iter().filter(|(_, on)| on == "0").map(|(name, _)| name.as_str()).collect();
    match (interfaces.is_empty(), ours.is_empty(), off.is_empty()) {
        (true, ..) => unread("forwarding", "sysctl net.ipv4.conf"),
        (_, true, _) => Line::note(
            "forwarding",
            "no microVM has a network now",
            "flint turns it on for each interface that it makes, and for no other",
        ),
        (_, _, true) => Line::ok("forwarding", format!("on for {} interfaces", ours.len())),
        (_, _, false) => Line::warn(
            "forwarding",
            format!("off for {}", off.join(", ")),
            "something has turned it off again: `sysctl net.ipv4.ip_forward=0` does so for every interface",
        ),
    }
}

fn limits(readings: &Readings, slots: u64, vcpus: u64) -> Line {
    let threads = slots.saturating_mul(THREADS).saturating_add(vcpus);
    let wanted = [
        ("pid_max", &readings.pid_max, threads),
        ("threads-max", &readings.threads_max, threads),
        ("file-max", &readings.file_max, slots.saturating_mul(FILES)),
    ];
    let mut seen = Vec::new();
    let mut short = Vec::new();
    for (name, text, need) in wanted {
        let Some(value) = text.as_deref().and_then(|text| text.parse::<u64>().ok()) else {
            return unread("limits", "sysctl kernel.pid_max kernel.threads-max fs.file-max");
        };
        seen.push(format!("{name} {value}"));
        if value < need {
            short.push(format!("{name} to {need} or more"));
        }
    }
    match short.is_empty() {
        true => Line::ok("limits", seen.join(", ")),
        false => Line::warn("limits", seen.join(", "), &format!("raise {}", short.join(", "))),
    }
}

fn time(readings: &Readings) -> Line {
    const GOOD: [&str; 4] = ["tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"];
    let Some(source) = readings.clocksource.as_deref() else {
        return unread("time", "look at `timedatectl`");
    };
    if !GOOD.contains(&source) {
        let fix =
            "each look at the clock costs a guest a microsecond; see why the kernel gave tsc up";
        return Line::warn("time", source, fix);
    }
    match readings.clock_synced {
        Some(true) => Line::ok("time", format!("{source}, synced")),
        Some(false) => Line::warn(
            "time",
            format!("{source}, not synced"),
            "run chrony or systemd-timesyncd: GitHub refuses a token from a wrong clock, and guests take the host's time",
        ),
        None => Line::note(
            "time",
            format!("{source}; whether it is synced {UNREAD}"),
            "look at `timedatectl`",
        ),
    }
}

/// Not being able to read is no fault of the host, and no proof that all is well.
fn unread(item: &'static str, fix: &str) -> Line {
    Line::note(item, UNREAD, fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;
    use crate::sys::accounts::Accounts;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    fn flaw(name: &str, text: &str) -> (String, String) {
        (name.to_owned(), text.to_owned())
    }

    type Spoil = fn(&mut Readings);

    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate,favordynmods";

    fn good() -> Readings {
        Readings {
            vulnerabilities: vec![
                flaw("itlb_multihit", "Not affected"),
                flaw("meltdown", "Mitigation: PTI"),
                flaw("old_microcode", "Not affected"),
            ],
            mounts: some(V2),
            controllers: some("cpuset cpu io memory hugetlb pids"),
            nx_huge_pages: some("never"),
            timer_period: some("1000"),
            cmdline: some("root=/dev/sda quiet loglevel=1"),
            core_pattern: some("core"),
            overcommit: some("0"),
            transparent: some("always [madvise] never"),
            memory: some("MemTotal: 1 kB\nHugePages_Free:        0"),
            pid_max: some("4194304"),
            threads_max: some("127000"),
            file_max: some("9223372036854775807"),
            clocksource: some("tsc"),
            forwarding: vec![flaw("eth0", "0"), flaw("flint-0", "1")],
            clock_synced: Some(true),
            accounts: Accounts::default(),
        }
    }

    fn verdicts(readings: &Readings) -> Vec<(String, Verdict)> {
        let lines = look(readings, None).into_iter();
        lines.map(|line| (line.item.into_owned(), line.verdict)).collect()
    }

    #[test]
    fn a_good_host_has_nothing_to_do_but_what_no_program_can_read() {
        let left: Vec<_> =
            verdicts(&good()).into_iter().filter(|(_, v)| *v != Verdict::Ok).collect();
        assert_eq!(left, [("memory hardware".to_owned(), Verdict::Note)]);
    }

    #[test]
    fn what_cannot_be_read_is_said_and_is_no_fault() {
        let lines = look(&Readings::default(), None);
        for line in lines.iter().filter(|line| line.item != "cgroups") {
            assert_eq!(line.verdict, Verdict::Note, "{line:?}");
            assert!(line.reading.contains(UNREAD), "{line:?}");
        }
    }

    #[test]
    fn each_bad_reading_is_found_alone() {
        let bad: [(&str, Verdict, Spoil); 14] = [
            ("cpu flaws", Verdict::Warn, |r| {
                r.vulnerabilities.push(flaw("mds", "Mitigation: Clear; SMT vulnerable"))
            }),
            ("microcode", Verdict::Warn, |r| r.vulnerabilities[2].1 = "Vulnerable".to_owned()),
            ("cgroups", Verdict::Warn, |r| r.controllers = some("cpu memory io")),
            ("cgroup latency", Verdict::Note, |r| {
                r.mounts = some(&V2.replace(",favordynmods", ""))
            }),
            ("nx_huge_pages", Verdict::Note, |r| r.nx_huge_pages = some("Y")),
            ("kvm-pit", Verdict::Note, |r| r.timer_period = some("200")),
            ("kernel log", Verdict::Note, |r| r.cmdline = some("root=/dev/sda loglevel=7")),
            ("mounts", Verdict::Note, |r| r.mounts = some(&format!("{V2}\n").repeat(201))),
            ("core dumps", Verdict::Note, |r| {
                r.core_pattern = some("|/usr/lib/systemd/systemd-coredump %P")
            }),
            ("overcommit", Verdict::Warn, |r| r.overcommit = some("2")),
            ("huge pages", Verdict::Note, |r| r.transparent = some("always madvise [never]")),
            ("forwarding", Verdict::Warn, |r| r.forwarding[1].1 = "0".to_owned()),
            ("limits", Verdict::Warn, |r| r.pid_max = some("99")),
            ("time", Verdict::Warn, |r| r.clock_synced = Some(false)),
        ];
        let usual = verdicts(&good());
        for (item, verdict, spoil) in bad {
            let mut readings = good();
            spoil(&mut readings);
            let changed: Vec<_> =
                verdicts(&readings).into_iter().filter(|line| !usual.contains(line)).collect();
            assert_eq!(changed, [(item.to_owned(), verdict)]);
        }
    }

    #[test]
    fn what_the_host_forwards_for_others_is_not_looked_at() {
        let line = forwarding(&[flaw("all", "0"), flaw("eth0", "0")], None);
        assert_eq!((line.verdict, &*line.reading), (Verdict::Note, "no microVM has a network now"));
        let line = forwarding(&[flaw("eth0", "0"), flaw("flint-3", "1")], None);
        assert_eq!((line.verdict, &*line.reading), (Verdict::Ok, "on for 1 interfaces"));
    }

    #[test]
    fn a_processor_with_the_flaw_needs_its_huge_pages_split() {
        let mut readings = good();
        readings.vulnerabilities[0].1 = "KVM: Mitigation: Split huge pages".to_owned();
        assert_eq!(nx_huge_pages(&readings).verdict, Verdict::Warn);
        readings.nx_huge_pages = some("Y");
        assert_eq!(nx_huge_pages(&readings).verdict, Verdict::Ok);
    }

    #[test]
    fn v1_v2_and_no_cgroups_are_told_apart_with_what_is_lost() {
        let mut readings = good();
        readings.controllers = None;
        let v1 = |name: &str| {
            format!("30 29 0:27 / /sys/fs/cgroup/{name} rw - cgroup cgroup rw,{name}\n")
        };
        readings.mounts = Some(["cpu", "memory", "pids", "blkio"].map(v1).concat());
        assert_eq!(cgroups(&readings).reading, "v1: cpu memory pids");
        readings.mounts = Some(["cpu", "memory"].map(v1).concat());
        assert_eq!(cgroups(&readings).reading, "v1: cpu memory; no limit on pids");
        readings.mounts = some("");
        assert!(cgroups(&readings).reading.starts_with("none: "));
        readings.controllers = some("hugetlb");
        assert_eq!(cgroups(&readings).reading, "v2: hugetlb; no limit on cpu, memory, pids");
    }
}
