//! A disk that takes nothing for a while.

use super::harness::{Bench, request};
use flint::daemon::door::{NotStored, Taken};
use flint::store::{Error, Sqlite};
use flint_core::event::{Event, ForgeEvent, GuestEvent};
use flint_core::id::{JobKey, VmId};
use tokio::task::JoinSet;

#[tokio::test(start_paused = true)]
async fn a_delivery_that_cannot_be_stored_is_told_so_and_leaves_no_trace() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    bench.books.refuse(|_| true);
    let job = JobKey { id: 7, attempt: 1 };
    let queued = || Event::Forge(ForgeEvent::JobQueued { job, request: request("small") });
    assert_eq!(daemon.door.deliver("g".to_owned(), queued()).await, Err(NotStored));
    let view = daemon.window.borrow().clone();
    assert!(!view.stored && view.world.jobs.is_empty());
    bench.books.accept();
    daemon.until("it can store again, by itself", |view, _| view.stored).await;
    assert!(daemon.window.borrow().world.jobs.is_empty(), "the refused fact did not come back");
    assert_eq!(bench.outside.launches(), 0);
    // GitHub's redelivery has the same number.
    assert_eq!(daemon.door.deliver("g".to_owned(), queued()).await, Ok(Taken::Committed));
    bench.outside.queue(7, &["small"]);
    daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
    daemon.until_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn no_fact_of_the_host_is_lost_while_the_store_refuses() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("it listens", |_, outside| outside.armed().len() == 1).await;
    bench.books.refuse(|_| true);
    daemon.until("the job ends meanwhile", |_, outside| outside.finished().len() == 1).await;
    daemon.until("the guest ends meanwhile", |_, outside| outside.running().is_empty()).await;
    assert_eq!(daemon.window.borrow().world.vms.len(), 1, "the world is the one on disk");
    bench.books.accept();
    daemon
        .until("its microVM goes", |view, outside| {
            view.world.vms.is_empty() && outside.leftovers().is_empty()
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn who_tells_a_fact_hears_that_it_is_kept_when_it_is_on_disk_and_not_before() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    bench.books.refuse(|events| matches!(events, [.., Event::Guest { .. }]));
    let (kept, mut told) = tokio::sync::oneshot::channel();
    let fact = Event::Guest { vm: VmId(1), said: GuestEvent::Listening };
    daemon.door.keep(fact, Some(kept)).await;
    daemon.until("the disk refused", |_, _| bench.books.open().refused > 1).await;
    assert!(told.try_recv().is_err());
    bench.books.accept();
    assert_eq!(told.await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_second_daemon_on_the_same_directory_is_refused_and_told_who_is_there() {
    let bench = Bench::new(&["small"]);
    let daemon = bench.start().await;
    let Err(Error::Held { pid, .. }) = Sqlite::open(bench.dir.path()) else {
        panic!("a second daemon got the store");
    };
    assert_eq!(pid, Some(std::process::id()));
    daemon.kill().await;
    assert!(Sqlite::open(bench.dir.path()).is_ok(), "a dead one holds nothing");
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_facts_shares_commits_and_none_is_lost() {
    let bench = Bench::new(&["small"]);
    let daemon = bench.start().await;
    let before = bench.books.open().commits;
    let mut senders = JoinSet::new();
    for id in 1..=1_000 {
        let (door, job) = (daemon.door.clone(), JobKey { id, attempt: 1 });
        let queued = ForgeEvent::JobQueued { job, request: request("nobody-s") };
        senders.spawn(async move { door.deliver(format!("g{id}"), Event::Forge(queued)).await });
    }
    let told = senders.join_all().await;
    let lost = told.iter().filter(|taken| **taken != Ok(Taken::Committed)).count();
    assert_eq!((lost, daemon.window.borrow().world.jobs.len()), (0, 1_000));
    let commits = bench.books.open().commits - before;
    assert!(commits < 20, "{commits} commits for a burst");
}
