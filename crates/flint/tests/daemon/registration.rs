//! GitHub refuses, answers late, or its answer is lost.

use super::harness::{Bench, phase_of, profile};
use flint::daemon::door::View;
use flint_core::event::{Event, ForgeEvent, OperatorEvent};
use flint_core::vm::Registration;
use std::time::Duration;

fn has_registered(events: &[Event]) -> bool {
    events.iter().any(|event| matches!(event, Event::Forge(ForgeEvent::Registered { .. })))
}

#[tokio::test(start_paused = true)]
async fn a_registration_whose_answer_is_lost_is_made_anew_and_both_runners_go() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.register_answer_lost = 2);
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("it listens", |_, outside| outside.armed().len() == 1).await;
    let names: Vec<String> = bench.outside.runners().iter().map(ToString::to_string).collect();
    assert_eq!(names.len(), 3, "two lost ones and the one in use: {names:?}");
    assert!(names.iter().any(|name| name.ends_with("-3")), "{names:?}");
    daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
    daemon.until_quiet().await;
    assert_eq!(bench.outside.launches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_taken_name_and_a_server_error_cost_a_new_name_and_no_new_microvm() {
    for status in [409, 500, 502, 429] {
        let bench = Bench::new(&["small"]);
        bench.outside.faults(|faults| faults.register.extend([status, status]));
        let mut daemon = bench.start().await;
        bench.outside.queue(1, &["small"]);
        daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
        daemon.until_quiet().await;
        assert_eq!(bench.outside.launches(), 1, "after {status}");
    }
}

#[tokio::test(start_paused = true)]
async fn names_that_are_all_taken_do_not_make_us_call_without_end() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.register.extend([409; 1_000]));
    let mut daemon = bench.start().await;
    let job = bench.outside.queue(1, &["small"]);
    daemon
        .until("it is given up", |view, _| view.world.breakers.values().any(|b| b.failures > 0))
        .await;
    bench.outside.cancel(job);
    let mut left = 0;
    bench.outside.faults(|faults| left = faults.register.len());
    assert!(left > 980, "{} calls in a minute", 1_000 - left);
    daemon.until_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_opens_the_breaker_and_why_says_so_until_an_operator_closes_it() {
    for status in [401, 403, 404, 422] {
        let bench = Bench::new(&["small"]);
        bench.outside.faults(|faults| faults.register.push_back(status));
        let mut daemon = bench.start().await;
        let job = bench.outside.queue(1, &["small"]);
        daemon
            .until("a breaker is open", |view, _| {
                let world = &view.world;
                world.scopes.values().any(|scope| scope.breaker.open)
                    || world.breakers.values().any(|breaker| breaker.open)
            })
            .await;
        daemon.until("the refused one is gone", |view, _| view.world.vms.is_empty()).await;
        let why = daemon.why(job);
        // 422 is about this profile's runners, the others are about us.
        let word = if status == 422 { "breaker-open: " } else { "github-refuses: " };
        assert!(why.starts_with(word) && why.contains("register"), "{status}: {why}");
        assert_eq!(bench.outside.leftovers(), [""; 0]);
        assert_eq!(bench.outside.launches(), 1, "nothing is tried while it is open");

        let reset = OperatorEvent::Reset { profile: profile("small").0 };
        daemon.door.tell(Event::Operator(reset)).await;
        daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
        daemon.until_quiet().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_permission_that_is_missing_is_named_by_why_and_by_status_with_the_fix() {
    const FIX: &str = "; give the App the permissions Organization → Self-hosted runners: write";
    const PAGE: &str = "https://github.com/organizations/flint-demo/settings/installations";
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| {
        faults.register.push_back(403);
        faults.ask.extend([403; 8]);
    });
    let mut daemon = bench.start().await;
    let job = bench.outside.queue(1, &["small"]);
    let github = |view: &View| flint::daemon::rows::github(&view.world);
    daemon.until("it is refused", |view, _| !github(view).refuses.is_empty()).await;
    daemon.until("the refused one is gone", |view, _| view.world.vms.is_empty()).await;
    let why = daemon.why(job);
    assert!(
        why.contains("GitHub answered 403: as the test wants it")
            && why.contains(FIX)
            && why.contains(PAGE),
        "{why}"
    );
    let status = github(&daemon.window.borrow());
    let refused = &status.refuses[0].why;
    assert!(refused.contains(FIX) && refused.contains(PAGE), "{status:?}");
    daemon.until("nor is it answered", |view, _| !github(view).unanswered.is_empty()).await;
    let status = github(&daemon.window.borrow());
    assert!(status.unanswered[0].why.contains(FIX), "{status:?}");
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_lets_one_be_tried_after_its_time() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.register.extend([403, 403]));
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
    daemon.until_quiet().await;
    assert_eq!(bench.outside.launches(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_secret_goes_to_the_guest_only_after_its_registration_is_on_disk() {
    let bench = Bench::new(&["small"]);
    bench.books.refuse(has_registered);
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    let books = bench.books.clone();
    daemon.until("the store refused it", |_, _| books.open().refused >= 3).await;
    assert_eq!(bench.outside.runners().len(), 1, "GitHub has it");
    assert_eq!(bench.outside.armed(), [], "the guest has not");
    bench.books.accept();
    daemon.until("the guest has it", |_, outside| outside.armed().len() == 1).await;
    let held = |registration: &Registration| matches!(registration, Registration::Held { .. });
    assert!(daemon.window.borrow().world.vms.values().all(|vm| held(&vm.registration)));
    daemon.until_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_guest_on_its_way_out_gets_no_secret() {
    let bench = Bench::new(&["small"]);
    bench.books.refuse(has_registered);
    let mut daemon = bench.start().await;
    let job = bench.outside.queue(1, &["small"]);
    let books = bench.books.clone();
    daemon.until("the store refused it", |_, _| books.open().refused >= 1).await;
    let vm = daemon.window.borrow().world.vms.keys().copied().next().expect("it boots");
    daemon.door.tell(Event::Operator(OperatorEvent::Stop { vm })).await;
    bench.outside.cancel(job);
    bench.books.accept();
    daemon.until_quiet().await;
    assert!(!bench.outside.armed().contains(&vm));
}

#[tokio::test(start_paused = true)]
async fn an_idle_runner_leaves_github_before_its_microvm_goes() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let job = bench.outside.queue(1, &["small"]);
    bench.outside.cancel(job);
    daemon.until("its runner idles", |_, outside| outside.armed().len() == 1).await;
    let running = |outside: &flint_sim::fakes::Outside| !outside.running().is_empty();
    daemon
        .until("it left GitHub first", |_, outside| {
            let registered = !outside.runners().is_empty();
            assert!(!registered || running(outside), "a registration is left without its microVM");
            !registered && !running(outside) && outside.launches() == 1
        })
        .await;
    daemon.until_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_has_just_been_given_a_job_stays_whatever_we_wanted() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.deregister_busy = 1);
    let mut daemon = bench.start().await;
    let first = bench.outside.queue(1, &["small"]);
    bench.outside.cancel(first);
    daemon.until("a runner idles", |_, outside| outside.armed().len() == 1).await;
    let draining = OperatorEvent::Drain { host: super::harness::HOST, draining: true };
    daemon.door.tell(Event::Operator(draining)).await;
    let vm = bench.outside.armed()[0];
    daemon.until("GitHub said no", |view, _| phase_of(view, vm) == "busy").await;
    bench.outside.queue(2, &["small"]);
    daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
    daemon.until_quiet().await;
    assert_eq!(bench.outside.finished()[0].1, vm);
}

#[tokio::test(start_paused = true)]
async fn a_registration_that_comes_after_its_microvm_was_given_up_leaves_no_runner() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.register_takes = Duration::from_secs(90));
    let mut daemon = bench.start().await;
    let job = bench.outside.queue(1, &["small"]);
    daemon
        .until("it is given up", |view, _| view.world.breakers.values().any(|b| b.failures > 0))
        .await;
    bench.outside.cancel(job);
    daemon.until("its registration came", |_, outside| outside.registrations() == 1).await;
    daemon.until_quiet().await;
    assert_eq!(bench.outside.armed(), []);
}

#[tokio::test(start_paused = true)]
async fn an_order_that_panics_is_an_order_that_failed() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.register_panics = 1);
    let mut daemon = bench.start().await;
    bench.outside.queue(1, &["small"]);
    let broke = |trouble: &Option<String>| trouble.as_ref().is_some_and(|t| t.contains("broke"));
    daemon
        .until("its row says so", |view, _| view.world.vms.values().any(|vm| broke(&vm.trouble)))
        .await;
    daemon.until("it ran", |_, outside| outside.finished().len() == 1).await;
    daemon.until_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_runner_that_nobody_owns_is_removed() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let instance = daemon.window.borrow().world.instance.clone();
    bench.outside.register_stray(&format!("vm-900-small-{instance}"));
    bench.outside.register_stray("vm-1-small-zzzzzz");
    daemon.until("ours is gone", |_, outside| outside.runners().len() == 1).await;
    daemon.pass(Duration::from_secs(600)).await;
    assert_eq!(bench.outside.runners()[0].as_str(), "vm-1-small-zzzzzz", "another daemon's stays");
}
