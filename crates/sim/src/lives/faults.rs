//! How unkind a life is. Every rate, in a thousand, is itself drawn from the seed; many are 0.

use super::rng::Rng;

#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// A webhook does not arrive; an operator redelivers it later.
    pub(super) webhook_lost: u64,
    /// A webhook arrives twice.
    pub(super) webhook_twice: u64,
    /// A registration is answered 5xx, 409 or 403.
    pub(super) register_fails: u64,
    /// A registration is made, but its answer is lost.
    pub(super) register_lost: u64,
    /// A removal fails, with or without effect.
    pub(super) remove_fails: u64,
    /// A launch fails, at any of its steps.
    pub(super) launch_fails: u64,
    /// A launch that succeeds is reported as failed.
    pub(super) launch_lies: u64,
    /// A destroy fails, with or without effect.
    pub(super) destroy_fails: u64,
    /// A guest never reports ready.
    pub(super) never_ready: u64,
    /// A runner ends at once instead of listening.
    pub(super) runner_fails: u64,
    /// A guest dies by itself, per minute and host.
    pub(super) guest_dies: u64,
    /// A guest says what is not so, per minute.
    pub(super) guest_lies: u64,
    /// A job never ends by itself.
    pub(super) job_hangs: u64,
    /// A job is cancelled while it is queued.
    pub(super) job_cancelled: u64,
    /// A runner that is not ours takes a job.
    pub(super) taken_elsewhere: u64,
    /// GitHub takes an idle registration away.
    pub(super) idle_removed: u64,
    /// The daemon dies, at each point of its loop.
    pub(super) daemon_crash: u64,
    /// A host loses everything, per minute.
    pub(super) host_crash: u64,
    /// A host is drained for a while, per minute.
    pub(super) drain: u64,
    /// The clock jumps forward, per minute.
    pub(super) clock_jump: u64,
    /// How long anything on a wire takes, at most, in milliseconds.
    pub(super) delay_ms: u64,
}

impl Faults {
    pub(super) fn draw(rng: &mut Rng) -> Self {
        let mut rate = |most: u64| if rng.chance(400) { 0 } else { rng.below(most) };
        Faults {
            webhook_lost: rate(300),
            webhook_twice: rate(300),
            register_fails: rate(300),
            register_lost: rate(150),
            remove_fails: rate(300),
            launch_fails: rate(200),
            launch_lies: rate(60),
            destroy_fails: rate(300),
            never_ready: rate(100),
            runner_fails: rate(100),
            guest_dies: rate(80),
            guest_lies: rate(60),
            job_hangs: rate(60),
            job_cancelled: rate(200),
            taken_elsewhere: rate(200),
            idle_removed: rate(300),
            daemon_crash: rate(12),
            host_crash: rate(15),
            drain: rate(40),
            clock_jump: rate(15),
            delay_ms: rate(20_000) + 1,
        }
    }

    pub(super) fn none() -> Self {
        Faults { delay_ms: 300, ..Faults::default() }
    }
}
