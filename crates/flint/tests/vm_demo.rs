//! The main job from end to end: signed webhooks, the real program, real kernels, GitHub's protocol, nothing left.
//!
//! Needs root, QEMU, a kernel and an image with the fake runner: what `cargo xtask demo --prepare` makes, or
//! `FLINT_TEST_KERNEL` and `FLINT_TEST_IMAGE`.

use flint_sim::demo::{Options, Source, Summary, run};
use std::sync::Mutex;

/// Runs the demo, and gives what was seen with all that was said.
fn demo(name: &str, source: Source) -> (Summary, String) {
    let lines = Mutex::new(Vec::new());
    let (flint, scratch) = (env!("CARGO_BIN_EXE_flint"), env!("CARGO_TARGET_TMPDIR"));
    let options = Options { source, ..Options::of_a_test(flint, scratch, name) };
    let say = |line: &str| lines.lock().expect("nothing panics with it").push(line.to_owned());
    let seen = run(&options, &say).unwrap_or_else(|error| panic!("{error}"));
    let log = lines.into_inner().expect("nothing panics with it").join("\n");
    assert_eq!(seen.wrong, Vec::<String>::new(), "{log}");
    assert_eq!((seen.jobs.len(), seen.microvms, seen.leftovers.len()), (3, 3, 0), "{log}");
    (seen, log)
}

#[test]
fn three_jobs_run_in_three_microvms_and_nothing_is_left() {
    let (seen, log) = demo("fltest", Source::Webhook);
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

#[test]
fn three_jobs_of_scale_sets_run_without_a_webhook() {
    let (seen, _) = demo("flset", Source::ScaleSet);
    for job in &seen.jobs {
        assert!(job.url.ends_with(&format!("/actions/runs/{}", job.run)), "{}", job.url);
    }
}
