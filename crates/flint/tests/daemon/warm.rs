//! The pool of booted microVMs.

use super::harness::Bench;
use flint::daemon::door::View;
use flint_core::vm::Phase;

fn warm(view: &View) -> usize {
    view.world.vms.values().filter(|vm| vm.phase == Phase::Warm).count()
}

#[tokio::test(start_paused = true)]
async fn a_job_takes_the_warm_microvm_and_the_pool_is_filled_again() {
    let bench = Bench::new(&["small"]).with("small", |profile| profile.warm = 1);
    let mut daemon = bench.start().await;
    daemon.until("one is warm", |view, _| warm(view) == 1).await;
    let pooled = bench.outside.running();
    assert_eq!((pooled.len(), bench.outside.runners().len()), (1, 0), "warm is unregistered");
    bench.outside.queue(1, &["small"]);
    daemon.until("the job's runner starts", |_, outside| outside.armed().len() == 1).await;
    assert_eq!(bench.outside.armed(), pooled, "no new boot for the job");
    daemon.until("the job ran", |_, outside| outside.finished().len() == 1).await;
    assert_eq!(bench.outside.finished()[0].1, pooled[0]);
    daemon
        .until("the pool is full, the used one is gone", |view, _| {
            warm(view) == 1 && view.world.vms.len() == 1
        })
        .await;
    assert_eq!(bench.outside.launches(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_pool_survives_a_restart() {
    let bench = Bench::new(&["small"]).with("small", |profile| profile.warm = 2);
    let mut daemon = bench.start().await;
    daemon.until("two are warm", |view, _| warm(view) == 2).await;
    daemon.kill().await;
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("the job ran", |_, outside| outside.finished().len() == 1).await;
    assert_eq!(bench.outside.armed()[0].0, 1, "in one that the first daemon booted");
    daemon
        .until("the pool is full again", |view, _| warm(view) == 2 && view.world.vms.len() == 2)
        .await;
    assert_eq!(bench.outside.launches(), 3);
}
