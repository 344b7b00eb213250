//! The daemon tier: the real controller, dispatcher, host and store over fakes of the outside, under a paused clock.
//!
//! Minutes pass at once. No test sleeps: it waits for a sentence to become true, and fails with the daemon's view.

mod daemon {
    mod api;
    mod demand;
    mod drain;
    mod failures;
    mod harness;
    mod jobs;
    mod orders;
    mod reconcile;
    mod registration;
    mod replay;
    mod restart;
    mod runner_version;
    mod scopes;
    mod store;
    mod strangers;
    mod warm;
}
