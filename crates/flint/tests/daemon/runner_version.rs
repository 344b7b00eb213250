//! The runner in the image grows old: GitHub is asked once a day, and somebody is told before it is too late.

use super::harness::Bench;
use flint::daemon::clock::Clock as _;
use flint_core::runner_version::{GRACE, NOTICE};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test(start_paused = true)]
async fn a_week_before_its_last_day_the_image_is_named_with_the_way_out() {
    let bench = Bench::new(&["small"]).with("small", |profile| profile.warm = 1);
    // 2.337.0 is there since three weeks and a day before now.
    let released = bench.clock.now().before(GRACE - NOTICE - DAY);
    bench.outside.release_runners("2.336.0", &[("2.337.0", released)]);
    let mut daemon = bench.start().await;
    let told = |view: &flint::daemon::door::View, at| {
        let profile = view.world.profiles.keys().next()?.clone();
        flint::daemon::rows::runner(&view.world, &profile, at)
    };
    let clock = bench.clock.clone();
    daemon
        .until("its version and the newest are known", |view, _| {
            told(view, clock.now()).is_some_and(|row| row.newest.is_some() && row.last.is_some())
        })
        .await;
    let row = |at| told(&daemon.window.borrow(), at).expect("it is known");
    let now = clock.now();
    let known = row(now);
    assert_eq!((known.version.as_str(), known.newest.as_deref()), ("2.336.0", Some("2.337.0")));
    assert_eq!(known.last, Some(released.after(GRACE)));
    assert_eq!(known.warning, None, "there is more than a week left");
    let soon = row(now.after(2 * DAY)).warning.expect("a week is left");
    assert!(soon.contains("gives no jobs to runner 2.336.0 from"), "{soon}");
    assert!(soon.contains("`flint image update-runner`"), "{soon}");
    let late = row(now.after(2 * DAY + NOTICE)).warning.expect("its time is over");
    assert!(late.contains("gives no jobs to runner 2.336.0 since"), "{late}");
    // A new image, and the next guest tells so.
    let newer = bench.clock.now();
    bench.outside.release_runners("2.337.0", &[("2.337.0", newer)]);
    bench.outside.queue(1, &["small"]);
    daemon
        .until("the newest runs", |view, _| {
            told(view, clock.now()).is_some_and(|row| row.version == "2.337.0")
        })
        .await;
}
