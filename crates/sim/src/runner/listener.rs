//! Listens for the one job, has it run, and leaves.

use super::jit::Identity;
use super::message::Job;
use super::protocol::{self, Message, Session};
use super::worker::{Outcome, Worker};
use super::{Error, console};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

/// Network trouble is retried for about a minute, with pauses that double up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);
const NETWORK_TRIES: u32 = 10;
/// As the real one: about 4 minutes in all.
const SESSION_TRIES: u32 = 8;
const SESSION_PAUSE: Duration = Duration::from_secs(30);
/// The server holds a job for a few minutes without news.
const RENEW_EVERY: Duration = Duration::from_secs(60);

/// Runs at most one job. Gives the exit code.
pub(super) fn listen(identity: &Identity, root: &Path) -> Result<u8, Error> {
    identity.write_files(root)?;
    let token = patiently(|| protocol::authorize(identity))?;
    let session = Session { id: open(identity, &token)?, token };
    console::line("");
    console::line("√ Connected to GitHub");
    console::line("");
    console::line(&format!("Current runner version: '{}'", super::VERSION));
    console::stamped("Listening for Jobs");
    let ended = one_job(identity, session, root);
    match ended {
        // The server forgot an idle runner: the real one says so and ends well.
        Err(Error::Gone) => {
            console::line(
                "The runner registration has been deleted from the server; it no longer exists on the server.",
            );
            Ok(0)
        }
        other => other,
    }
}

fn open(identity: &Identity, token: &str) -> Result<String, Error> {
    for _ in 1..SESSION_TRIES {
        match patiently(|| protocol::open_session(identity, token)) {
            Err(Error::SessionConflict) => {
                console::stamped(
                    "A session for this runner already exists. Retrying until it ends.",
                );
                thread::sleep(SESSION_PAUSE);
            }
            other => return other,
        }
    }
    protocol::open_session(identity, token)
}

fn one_job(identity: &Identity, mut session: Session, root: &Path) -> Result<u8, Error> {
    loop {
        match patiently(|| protocol::poll(&identity.server, &session, false)) {
            Ok(Message::Job { request, service, billing, acknowledge }) => {
                if acknowledge {
                    protocol::acknowledge(identity, &session, &request);
                }
                // Somebody else may have it by now; then the real one goes on listening, too.
                let job = protocol::acquire(&service, &session.token, &request, &billing)?;
                if let Some(message) = job {
                    let outcome = work(identity, &session, root, Job::read(&message)?);
                    protocol::close_session(identity, &session);
                    return outcome;
                }
            }
            Ok(Message::Cancel { .. } | Message::Nothing) => {}
            Err(Error::Refused { status: 401, .. }) => {
                session.token = patiently(|| protocol::authorize(identity))?
            }
            Err(other) => return Err(other),
        }
    }
}

fn work(identity: &Identity, session: &Session, root: &Path, job: Job) -> Result<u8, Error> {
    protocol::renew(&job.service, &job.token, &job.plan, &job.id)?;
    console::stamped(&format!("Running job: {}", job.name));
    let cancelled = Arc::new(AtomicBool::new(false));
    let (done, is_done) = mpsc::channel::<()>();
    let (report, outcome) = thread::scope(|scope| {
        let (job, cancelled) = (&job, &cancelled);
        scope.spawn(move || renew_until(job, &is_done, cancelled));
        // Not joined: its poll ends up to 50 s after the job, and the process does not wait for it.
        follow(identity, session, job, Arc::clone(cancelled));
        let result = Worker::new(identity, root, job, cancelled).run();
        drop(done);
        result
    });
    patiently(|| protocol::complete(&job.service, &job.token, &report))?;
    console::stamped(&format!("Job {} completed with result: {}", job.name, outcome.word()));
    let hosted =
        std::env::var("ACTIONS_RUNNER_RETURN_JOB_RESULT_FOR_HOSTED").is_ok_and(|v| v == "true");
    Ok(if hosted { 100 + outcome as u8 } else { 0 })
}

fn renew_until(job: &Job, done: &mpsc::Receiver<()>, cancelled: &AtomicBool) {
    while matches!(done.recv_timeout(RENEW_EVERY), Err(mpsc::RecvTimeoutError::Timeout)) {
        // An unreachable server may be back a minute later; a refusal is final.
        if matches!(protocol::renew(&job.service, &job.token, &job.plan, &job.id), Ok(false)) {
            cancelled.store(true, Ordering::SeqCst);
        }
    }
}

/// Watches for a cancellation while the job runs, in a thread that ends with the process.
fn follow(identity: &Identity, session: &Session, job: &Job, cancelled: Arc<AtomicBool>) {
    let server = identity.server.clone();
    let (session, id) =
        (Session { id: session.id.clone(), token: session.token.clone() }, job.id.clone());
    thread::spawn(move || {
        loop {
            match protocol::poll(&server, &session, true) {
                Ok(Message::Cancel { job }) if job == id => cancelled.store(true, Ordering::SeqCst),
                Ok(_) => {}
                Err(Error::Network { .. }) => thread::sleep(Duration::from_secs(1)),
                Err(_) => return,
            }
        }
    });
}

/// Tries again while the network, not the server, is the trouble.
fn patiently<T>(mut ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut pause = Duration::from_millis(250);
    for _ in 1..NETWORK_TRIES {
        match ask() {
            Err(error @ (Error::Network { .. } | Error::Refused { status: 500.., .. })) => {
                console::stamped(&format!(
                    "Runner connect error: {error}. Retrying until reconnected."
                ));
                thread::sleep(pause);
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            other => return other,
        }
    }
    ask()
}

impl Outcome {
    fn word(self) -> &'static str {
        match self {
            Outcome::Succeeded => "Succeeded",
            Outcome::Failed => "Failed",
            Outcome::Canceled => "Canceled",
        }
    }
}
