//! Jobs of public repositories and of forks get no microVM, unless their profile lets them in.

use super::harness::Bench;
use flint_core::plan::{Because, Wait};
use flint_core::policy::{Admits, Origin};
use std::time::Duration;

/// What a webhook tells of a private repository that has a fork.
const FORKED: Origin = Origin { public: Some(false), fork: None };
const FORK: Origin = Origin { public: Some(false), fork: Some(true) };
const PUBLIC: Origin = Origin { public: Some(true), fork: None };
const PUBLIC_FORK: Origin = Origin { public: Some(true), fork: Some(true) };

#[tokio::test(start_paused = true)]
async fn jobs_of_strangers_wait_without_a_registration_and_are_told_why() {
    let bench = Bench::new(&["small"]);
    let mut daemon = bench.start().await;
    let public = bench.outside.queue_from(PUBLIC_FORK, PUBLIC, 1, &["small"]);
    let fork = bench.outside.queue_from(FORK, FORKED, 2, &["small"]);
    daemon
        .until("both are refused", |view, _| {
            let refused =
                |wait: &Wait| matches!(wait.because, Because::PublicRepository | Because::Fork);
            view.waits.iter(&view.world).filter(refused).count() == 2
        })
        .await;
    assert_eq!(
        daemon.why(public),
        "public-repository: job 1 gets no microVM of profile `small`: its repository is public: anybody's code would run \
         here. `public_repositories = \"allow\"` lets such jobs in"
    );
    assert_eq!(
        daemon.why(fork),
        "fork: job 2 gets no microVM of profile `small`: its run comes from a fork: a stranger's code would run here. \
         `fork_pull_requests = \"allow\"` lets such jobs in"
    );
    daemon.pass(Duration::from_secs(600)).await;
    assert_eq!((bench.outside.launches(), bench.outside.finished()), (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_job_is_asked_about_before_it_is_let_in_and_a_restart_forgets_neither() {
    let bench = Bench::new(&["small", "large"]);
    let daemon = bench.start().await;
    let fork = bench.outside.queue_from(FORK, FORKED, 1, &["small"]);
    bench.outside.queue_from(Origin::PRIVATE, FORKED, 2, &["large"]);
    daemon.kill().await;
    let mut daemon = bench.start().await;
    daemon.until("the repository's own job ran", |_, outside| outside.finished().len() == 1).await;
    assert!(daemon.why(fork).starts_with("fork: "), "{}", daemon.why(fork));
    daemon.kill().await;

    let lets_in = |profile: &mut flint_core::profile::Profile| {
        profile.admits = Admits { public: false, forks: true };
    };
    let bench = bench.with("small", lets_in);
    let mut daemon = bench.start().await;
    daemon.until_quiet().await;
    assert_eq!(bench.outside.finished().len(), 2, "the new configuration lets it in");
}

#[tokio::test(start_paused = true)]
async fn a_job_of_a_repository_that_is_not_served_waits_and_is_told_why() {
    let except = |profile: &mut flint_core::profile::Profile| {
        profile.repositories.except.insert("acme/old".to_owned());
    };
    let bench = Bench::new(&["small", "large"]).with("small", except);
    let mut daemon = bench.start().await;
    let old = bench.outside.queue_in("Acme/Old", 1, &["small"]);
    bench.outside.queue_in("Acme/Old", 2, &["large"]);
    daemon.until("the other one ran", |_, outside| outside.finished().len() == 1).await;
    assert_eq!(bench.outside.registrations(), 1);
    let why = daemon.why(old);
    assert!(why.starts_with("repository-unlisted: ") && why.contains("`small`"), "{why}");
}
