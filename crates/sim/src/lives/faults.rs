//! How unkind a life is. Every rate, in a thousand, is itself drawn from the seed; many are 0.

use crate::rng::Rng;

/// The rates, as fields and as a list: shrinking a life takes them away one after another.
macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident: $most:expr,)*) => {
        #[derive(Clone, Debug, Default)]
        pub(super) struct Faults {
            $($(#[doc = $doc])* pub(super) $name: u64,)*
            /// How long anything on a wire takes, at most, in milliseconds.
            pub(super) delay_ms: u64,
        }

        impl Faults {
            pub(super) fn draw(rng: &mut Rng) -> Self {
                let mut rate = |most: u64| if rng.chance(400) { 0 } else { rng.below(most) };
                Faults { $($name: rate($most),)* delay_ms: rate(20_000) + 1 }
            }

            pub(super) fn rates(&mut self) -> Vec<&mut u64> {
                vec![$(&mut self.$name),*]
            }
        }
    };
}

faults! {
    /// A webhook's delivery fails; GitHub keeps it for who asks.
    webhook_lost: 400,
    /// A webhook is lost, and GitHub believes that it arrived.
    webhook_vanishes: 150,
    /// A webhook arrives twice.
    webhook_twice: 300,
    /// A webhook is late by minutes.
    webhook_late: 200,
    /// A scale set's message is lost.
    name_lost: 200,
    /// A scale set's message comes again.
    message_twice: 200,
    /// A scale set's count is one too many or too few.
    count_wrong: 200,
    /// Somebody else has a scale set's session for a while, or GitHub is away.
    set_silent: 120,
    /// A registration is answered 5xx, 409 or 422.
    register_fails: 300,
    /// A registration is answered 403: its scope takes no runner of ours, half of the time for a while.
    register_forbidden: 25,
    /// A registration is made, but its answer is lost.
    register_lost: 150,
    /// A call is answered 429, and no other is taken for a while.
    limited: 40,
    /// A removal fails, with or without effect.
    remove_fails: 300,
    /// GitHub calls an idle runner busy.
    remove_lies: 20,
    /// An answer takes up to two minutes more.
    slow: 300,
    /// A question gets no answer, or only a part of it.
    ask_fails: 400,
    /// A list lacks something that is there.
    list_lacks: 60,
    /// A launch fails, at any of its steps.
    launch_fails: 200,
    /// A launch that succeeds is reported as failed.
    launch_lies: 60,
    /// A destroy fails, with or without effect.
    destroy_fails: 300,
    /// A guest never reports ready.
    never_ready: 100,
    /// A runner ends at once instead of listening.
    runner_fails: 100,
    /// A guest dies by itself, per minute and host.
    guest_dies: 80,
    /// A guest says what is not so, per minute.
    guest_lies: 60,
    /// A guest loses its network namespace or its disk, per minute.
    guest_breaks: 40,
    /// A job never ends by itself.
    job_hangs: 60,
    /// A job is cancelled while it is queued.
    job_cancelled: 200,
    /// A job's run is deleted while it is queued, without a word.
    job_deleted: 60,
    /// A job that is queued has to wait for an approval after all, and is queued again later.
    job_held: 60,
    /// A runner that is not ours takes a job.
    taken_elsewhere: 200,
    /// GitHub takes an idle registration away.
    idle_removed: 300,
    /// Its runner does not notice.
    ghost: 700,
    /// The daemon dies, at each point of its loop.
    daemon_crash: 12,
    /// A host loses everything, per minute.
    host_crash: 15,
    /// A host is drained for a while, per minute.
    drain: 40,
    /// The clock jumps forward, or a little back, per minute.
    clock_jump: 15,
}

impl Faults {
    pub(super) fn none() -> Self {
        Faults { delay_ms: 300, ..Faults::default() }
    }
}
