//! The main job from end to end: signed webhooks, the real program, real kernels, GitHub's protocol, nothing left.
//!
//! Needs root, QEMU, a kernel and an image with the fake runner: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`.

use flint_sim::demo::{Options, run};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

fn given(variable: &str, built: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::env::var_os(variable).map_or_else(|| root.join(built), PathBuf::from)
}

#[test]
fn three_jobs_run_in_three_microvms_and_nothing_is_left() {
    let lines = Mutex::new(Vec::new());
    let options = Options {
        flint: env!("CARGO_BIN_EXE_flint").into(),
        kernel: given("FLINT_TEST_KERNEL", "build/kernel/linux/vmlinux"),
        image: given("FLINT_TEST_IMAGE", "build/demo/rootfs.ext4"),
        vmm: "qemu".to_owned(),
        scratch: env!("CARGO_TARGET_TMPDIR").into(),
        name: "fltest".to_owned(),
    };
    let say = |line: &str| lines.lock().expect("nothing panics with it").push(line.to_owned());
    let seen = run(&options, &say).unwrap();
    let log = lines.into_inner().expect("nothing panics with it").join("\n");
    assert_eq!(seen.wrong, Vec::<String>::new(), "{log}");
    assert_eq!((seen.jobs.len(), seen.microvms, seen.leftovers.len()), (3, 3, 0), "{log}");
    for job in &seen.jobs {
        let times = job.times.as_ref().unwrap();
        assert!(times.ready.is_some() && times.destroyed.is_some(), "{times:?}");
    }
    assert!(log.contains("the answer is 42"), "{log}");
    assert!(log.contains("169.254.169.254 is closed"), "{log}");
    for name in ["build", "test", "isolate"] {
        let last = format!("Job {name} completed with result: Succeeded");
        assert!(log.contains(&last), "a log ends with its job's last line: {name}\n{log}");
    }
}
