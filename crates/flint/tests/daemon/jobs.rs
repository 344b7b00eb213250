//! Jobs that go as they should, told in every order that GitHub tells them.

use super::harness::{Bench, request};
use flint::daemon::door::Taken;
use flint_core::event::{Event, ForgeEvent};
use flint_core::id::JobKey;
use flint_core::job::Conclusion;
use flint_sim::fakes::SECRET;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tracing_subscriber::fmt::MakeWriter;

fn told(event: ForgeEvent) -> Event {
    Event::Forge(event)
}

#[tokio::test(start_paused = true)]
async fn each_job_of_two_profiles_runs_once_in_a_microvm_of_its_own_and_nothing_is_left() {
    let bench = Bench::new(&["small", "big"]);
    let mut daemon = bench.start().await;
    let labels = ["small", "big", "small", "big", "small", "big"];
    for (id, label) in (1..).zip(labels) {
        bench.outside.queue(id, &[label]);
    }
    daemon.until("six jobs ran", |_, outside| outside.finished().len() == 6).await;
    daemon.until_quiet().await;
    let jobs: BTreeSet<u64> = bench.outside.finished().iter().map(|(job, _)| job.id).collect();
    let vms: BTreeSet<_> = bench.outside.finished().iter().map(|(_, vm)| *vm).collect();
    assert_eq!((jobs.len(), vms.len(), bench.outside.launches()), (6, 6, 6));
}

#[tokio::test(start_paused = true)]
async fn it_does_not_matter_whether_github_or_the_guest_is_first() {
    let second = Duration::from_secs(1);
    for (boot_takes, register_takes) in [(0, 0), (0, 1), (0, 20), (1, 0), (20, 0), (20, 20)] {
        let bench = Bench::new(&["small"]);
        bench.outside.faults(|faults| {
            faults.boot_takes = boot_takes * second;
            faults.register_takes = register_takes * second;
        });
        let mut daemon = bench.start().await;
        bench.outside.queue(1, &["small"]);
        daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
        daemon.until_quiet().await;
        assert_eq!((bench.outside.launches(), bench.outside.registrations()), (1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_cancelled_at_any_moment_leaves_nothing() {
    for millis in [0, 100, 400, 490, 500, 510, 600, 1_500] {
        let bench = Bench::new(&["small"]);
        bench.outside.faults(|faults| faults.register_takes = Duration::from_millis(450));
        let mut daemon = bench.start().await;
        let job = bench.outside.queue(1, &["small"]);
        daemon.pass(Duration::from_millis(millis)).await;
        bench.outside.cancel(job);
        daemon.until_quiet().await;
        assert!(bench.outside.launches() <= 1, "cancelled after {millis} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn one_job_takes_few_commits() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let before = bench.books.open().commits;
    bench.outside.queue(1, &["small"]);
    daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
    daemon.until_quiet().await;
    let commits = bench.books.open().commits - before;
    assert!(commits <= 30, "{commits} commits for one job of 30 s");
}

#[tokio::test(start_paused = true)]
async fn an_idle_daemon_commits_no_more_than_its_scans() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let before = bench.books.open().commits;
    daemon.pass(Duration::from_secs(600)).await;
    let commits = bench.books.open().commits - before;
    assert!((40..=50).contains(&commits), "{commits} commits in ten idle minutes");
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_told_twice_is_one_job() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let job = JobKey { id: 7, attempt: 1 };
    let queued = || told(ForgeEvent::JobQueued { job, request: request("small") });
    assert_eq!(daemon.door.deliver("g".to_owned(), queued()).await, Ok(Taken::Committed));
    assert_eq!(daemon.door.deliver("g".to_owned(), queued()).await, Ok(Taken::Known));
    let both = tokio::join!(
        daemon.door.deliver("h".to_owned(), queued()),
        daemon.door.deliver("h".to_owned(), queued())
    );
    assert_eq!(both, (Ok(Taken::Committed), Ok(Taken::Known)));
    daemon.until("a runner listens", |_, outside| outside.armed().len() == 1).await;
    assert_eq!((daemon.window.borrow().world.jobs.len(), bench.outside.launches()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_job_that_completed_before_it_was_queued_gets_no_microvm() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let job = JobKey { id: 7, attempt: 1 };
    let completed = ForgeEvent::JobCompleted {
        job,
        request: request("small"),
        runner: None,
        conclusion: Conclusion("cancelled".to_owned()),
    };
    let queued = ForgeEvent::JobQueued { job, request: request("small") };
    for (guid, event) in [("a", completed), ("b", queued)] {
        let taken = daemon.door.deliver(guid.to_owned(), told(event)).await;
        assert_eq!(taken, Ok(Taken::Committed));
    }
    daemon.until_quiet().await;
    assert_eq!(bench.outside.launches(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_cancelled_while_queued_lets_its_runner_go_through_github() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let job = bench.outside.queue(1, &["small"]);
    bench.outside.cancel(job);
    daemon.until_quiet().await;
    assert_eq!(bench.outside.finished(), []);
}

#[tokio::test(start_paused = true)]
async fn a_job_with_labels_of_others_gets_no_microvm_and_is_told_why() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let job = bench.outside.queue(1, &["small", "gpu"]);
    daemon.until("the job is known", |view, _| view.waits.iter(&view.world).count() == 1).await;
    assert_eq!(
        daemon.why(job),
        "no-profile: job 1 waits: no profile has all the labels it asks for: `small`, `gpu`; `small` lacks `gpu`"
    );
    assert_eq!(bench.outside.launches(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_secret_of_a_registration_is_written_nowhere() {
    let lines = Lines::default();
    let everything = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(lines.clone())
        .finish();
    // With one subscriber alone, tracing believes whichever test's thread comes by first that nobody listens.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _logging = tracing::subscriber::set_default(everything);
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("it runs", |_, outside| outside.armed().len() == 1).await;
    assert!(!bench.written().contains(SECRET));
    daemon.until_quiet().await;
    let written = bench.written();
    assert!(!written.contains(SECRET));
    assert!(written.contains("running job 1"), "the log is among what was read");
    let said = String::from_utf8_lossy(&lines.0.lock().unwrap()).into_owned();
    assert!(said.contains("order") && said.contains("phase"), "all levels were kept");
    assert!(!said.contains(SECRET));
}

/// What the daemon logs.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("nobody panics with it").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}
