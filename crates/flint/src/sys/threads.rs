//! The threads of a process: whether each of them is held by a seccomp filter that it can never shed.

use crate::sys::process::Process;
use std::fs;
use std::io;
use std::path::Path;

/// `PF_USER_WORKER` of linux/sched.h (Linux 6.4 and later): a thread that the kernel made in the process and that
/// never runs an instruction of it. Only the kernel can set it.
const USER_WORKER: u32 = 0x4000;

/// `PF_EXITING`: a thread on its way out, which runs no instruction of its program any more and may have let its
/// filter go already. Only the kernel can set it.
const EXITING: u32 = 0x4;

/// KVM's own helper (Linux 6.14 and later). It lives in the process, has no filter and needs none.
const KVM_HELPER: &str = "kvm-nx-lpage-re";

/// A thread without a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfiltered {
    /// Its number.
    pub id: u32,
    /// Its name, as it calls itself.
    pub name: String,
}

/// The threads of a process that run without a seccomp filter, or could gain rights by an exec. Of a process that has
/// ended there are none.
///
/// # Errors
/// When the threads of a process that lives cannot be read.
pub fn unfiltered(process: &Process) -> io::Result<Vec<Unfiltered>> {
    // A service manager may have given this process filters, which all that it starts inherits: they do not count.
    let inherited = filters(&read(Path::new("/proc/self/status"))?);
    let listed = unfiltered_in(&process.place().join("task"), inherited);
    // The number is only still its own while it lives.
    if process.alive() { listed } else { Ok(Vec::new()) }
}

fn unfiltered_in(tasks: &Path, inherited: u32) -> io::Result<Vec<Unfiltered>> {
    let mut found = Vec::new();
    for task in fs::read_dir(tasks)? {
        let task = task?.path();
        let both =
            read(&task.join("status")).and_then(|status| Ok((status, read(&task.join("stat"))?)));
        let (status, stat) = match both {
            // A thread that ended between the list and the look.
            Err(e)
                if e.raw_os_error() == Some(libc::ESRCH) || e.kind() == io::ErrorKind::NotFound =>
            {
                continue;
            }
            read => read?,
        };
        if !is_filtered(&status, inherited) && !is_kernels(&stat) {
            let id = task.file_name().and_then(|name| name.to_str()?.parse().ok());
            let name = field(&status, "Name:").unwrap_or_default().to_owned();
            found.push(Unfiltered { id: id.unwrap_or_default(), name });
        }
    }
    Ok(found)
}

/// A name may hold any byte.
fn read(path: &Path) -> io::Result<String> {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Mode 2 is a filter; without no-new-privileges an exec could still gain rights. See proc(5), `status`. A kernel
/// before 5.9 counts no filters; then one of any origin has to do.
fn is_filtered(status: &str, inherited: u32) -> bool {
    let own = field(status, "Seccomp_filters:").is_none() || filters(status) > inherited;
    own && field(status, "Seccomp:") == Some("2") && field(status, "NoNewPrivs:") == Some("1")
}

fn filters(status: &str) -> u32 {
    field(status, "Seccomp_filters:").and_then(|count| count.parse().ok()).unwrap_or(0)
}

fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    // A newline in a name is written as `\n`, so no name can forge a line.
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

/// Whether only the kernel's own code runs in this thread: by its flags, field 9 of `stat`, and for KVM's helper by its
/// name too. The name alone any thread can give itself.
fn is_kernels(stat: &str) -> bool {
    let Some((before, after)) = stat.rsplit_once(')') else { return false };
    let name = before.split_once('(').map_or("", |(_, name)| name);
    let flags = after.split_ascii_whitespace().nth(6).and_then(|word| word.parse::<u32>().ok());
    let has = |flag: u32| flags.is_some_and(|flags| flags & flag != 0);
    has(EXITING) || has(USER_WORKER) && name == KVM_HELPER
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::spawn::{Spawn, spawn};

    fn task(dir: &Path, id: u32, name: &str, (mode, sealed): (u8, u8), flags: u32) {
        let dir = dir.join(id.to_string());
        fs::create_dir(&dir).unwrap();
        let status = format!(
            "Name:\t{name}\nNoNewPrivs:\t{sealed}\nSeccomp:\t{mode}\nSeccomp_filters:\t1\n"
        );
        fs::write(dir.join("status"), status).unwrap();
        fs::write(dir.join("stat"), format!("{id} ({name}) S 1 1 1 0 -1 {flags} 0 0\n")).unwrap();
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            unfiltered_in(dir, 0).unwrap().into_iter().map(|t| t.name).collect();
        names.sort();
        names
    }

    #[test]
    fn every_thread_needs_a_filter_and_no_new_privileges() {
        let dir = tempfile::tempdir().unwrap();
        task(dir.path(), 1, "good", (2, 1), 0x40_0040);
        assert!(names(dir.path()).is_empty());
        task(dir.path(), 2, "none", (0, 1), 0x40_0040);
        task(dir.path(), 3, "strict", (1, 1), 0x40_0040);
        task(dir.path(), 4, "open", (2, 0), 0x40_0040);
        assert_eq!(names(dir.path()), ["none", "open", "strict"]);
    }

    #[test]
    fn kvms_helper_is_known_by_what_the_kernel_says_and_not_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        // As read on Linux 6.18.
        task(dir.path(), 1, KVM_HELPER, (0, 0), 0x40_4040);
        assert!(names(dir.path()).is_empty());
        task(dir.path(), 2, KVM_HELPER, (0, 0), 0x40_0040);
        task(dir.path(), 3, "other", (0, 0), 0x40_4040);
        assert_eq!(names(dir.path()), [KVM_HELPER, "other"]);
    }

    #[test]
    fn a_thread_on_its_way_out_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        task(dir.path(), 1, "ending", (0, 1), 0x40_0044);
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn a_kernel_that_says_nothing_of_filters_has_none() {
        assert!(!is_filtered("Name:\tfc_vcpu 0\nThreads:\t3\n", 0));
    }

    #[test]
    fn a_filter_that_came_from_the_service_manager_is_not_the_programs_own() {
        let status = "NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t7\n";
        assert!(is_filtered(status, 6));
        assert!(!is_filtered(status, 7));
        let old = "NoNewPrivs:\t1\nSeccomp:\t2\n";
        assert!(is_filtered(old, 0), "a kernel that does not count");
    }

    #[tokio::test]
    async fn a_shell_is_a_process_without_a_filter_until_it_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let (record, errors) = (dir.path().join("process"), dir.path().join("stderr"));
        let process = spawn(Spawn {
            program: Path::new("/bin/sh"),
            args: vec!["-c".into(), "exec sleep 600".into()],
            directory: dir.path(),
            user: None,
            netns: None,
            tap: None,
            root: None,
            max_files: 64,
            max_file: 1 << 20,
            cgroups: Vec::new(),
            record: &record,
            input: None,
            output: None,
            errors: &errors,
        })
        .unwrap();
        let found = unfiltered(&process).unwrap();
        assert_eq!(found.first().map(|t| t.id), u32::try_from(process.pid()).ok());
        process.kill().unwrap();
        process.wait().await;
        assert_eq!(unfiltered(&process).unwrap(), []);
    }
}
