//! Mistakes that somebody could make here. The lives wake one at a time and have to find it (`cargo xtask lives
//! --planted all`). Without the feature `planted` none of this is compiled in.

/// One mistake: each variant says what is wrong where it is awake.
macro_rules! faults {
    ($($(#[doc = $doc:literal])* $name:ident = $text:literal,)*) => {
        /// One mistake.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Fault {
            $($(#[doc = $doc])* $name,)*
        }

        #[cfg(feature = "planted")]
        impl Fault {
            /// All of them.
            pub const ALL: &'static [Fault] = &[$(Fault::$name),*];

            /// Its name on a command line.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Fault::$name => $text,)*
                }
            }
        }
    };
}

faults! {
    /// A stopping microVM gives its slot back before its host is clean.
    SlotFreedEarly = "slot-freed-early",
    /// A failed destroy counts as done.
    FailedDestroyCounts = "failed-destroy-counts",
    /// Who does not boot in time goes without GitHub being asked.
    BootTimeoutUnasked = "boot-timeout-unasked",
    /// Who is idle goes without GitHub being asked.
    IdleUnasked = "idle-unasked",
    /// A draining host's idle microVMs go without GitHub being asked.
    DrainUnasked = "drain-unasked",
    /// GitHub's refusal to remove a busy runner counts as its removal.
    RefusalIgnored = "refusal-ignored",
    /// A launch has no deadline.
    NoBootTimeout = "no-boot-timeout",
    /// A registered microVM may listen for ever.
    NoIdleTimeout = "no-idle-timeout",
    /// A job that hangs is never ended.
    NoJobTimeout = "no-job-timeout",
    /// A host that is away is given new microVMs.
    LeaseIgnored = "lease-ignored",
    /// An inventory refutes what is younger than it.
    InventoryAgeIgnored = "inventory-age-ignored",
    /// A list of runners refutes what is younger than it.
    RunnersAgeIgnored = "runners-age-ignored",
    /// A job that a list lacks is over.
    JobsListEnds = "jobs-list-ends",
    /// Jobs that are younger than a list without them are asked for singly.
    JobsAgeIgnored = "jobs-age-ignored",
    /// MicroVMs on a lost host count against their profile's `max`.
    DeadHostCounts = "dead-host-counts",
    /// A late "queued" opens a completed job again.
    LateQueuedRevives = "late-queued-revives",
    /// Completed jobs are forgotten after a minute.
    FinishedForgotten = "finished-forgotten",
    /// A start resumes half-done launches.
    LaunchResumed = "launch-resumed",
    /// A secret is handed to one that is on its way out.
    SecretLate = "secret-late",
    /// GitHub's refusals stop everything for good.
    ForgeBreakerStays = "forge-breaker-stays",
    /// A profile's breaker stays open for good.
    BreakerStays = "breaker-stays",
    /// What ends in the middle of a job counts against its profile.
    BreakerCountsJobs = "breaker-counts-jobs",
    /// Room for two is kept for a job that waits for long.
    ReliefTakesTwo = "relief-takes-two",
    /// Jobs that run do not count against the limit of their repository.
    LimitForgetsRunning = "limit-forgets-running",
    /// The lowest priority comes first.
    PriorityReversed = "priority-reversed",
    /// The repository that has most comes first.
    ShareReversed = "share-reversed",
    /// The pool takes room that a job waits for.
    PoolEatsRoom = "pool-eats-room",
    /// A question for deliveries that failed counts as answered.
    CheckpointPastFailure = "checkpoint-past-failure",
    /// Deliveries that are listed late are never read.
    OverlapDropped = "overlap-dropped",
    /// A microVM whose registration is gone goes on waiting.
    GhostStays = "ghost-stays",
    /// No job is asked for singly.
    NeverAskedSingly = "never-asked-singly",
    /// The open jobs of repositories are not asked for.
    JobsNeverListed = "jobs-never-listed",
    /// A question that failed is not asked again.
    AskNotRepeated = "ask-not-repeated",
    /// Registrations go out as fast as they can.
    PaceIgnored = "pace-ignored",
    /// GitHub is called although it said "not before".
    LimitedIgnored = "limited-ignored",
    /// Registrations that nobody owns stay.
    StrayStays = "stray-stays",
    /// The idle time counts from the launch on.
    IdleByWrongAge = "idle-by-wrong-age",
    /// Jobs of strangers are let in.
    StrangersLetIn = "strangers-let-in",
    /// Nobody asks where an undecided job comes from.
    OriginNeverAsked = "origin-never-asked",
    /// A job that ended before GitHub named it gets a second microVM.
    WordNotAwaited = "word-not-awaited",
    /// A registration that failed is tried again under the same name.
    NameReused = "name-reused",
    /// Jobs that a scale set counts and does not name get nothing.
    UnnamedIgnored = "unnamed-ignored",
    /// Jobs that a scale set does not count any more stay.
    SurplusStays = "surplus-stays",
    /// A job that a scale set lost is never taken again.
    WithdrawnForGood = "withdrawn-for-good",
    /// GitHub is not asked whether a runner is gone although others may have been made for its microVM.
    TriesForgotten = "tries-forgotten",
    /// A microVM is destroyed at its job's last step, before its runner has told GitHub.
    EndsAtLastStep = "ends-at-last-step",
    /// A microVM that comes for one scope counts for the jobs of all.
    SupplyOfAnyScope = "supply-of-any-scope",
    /// What stands in the way of a profile's jobs in one scope stands in the way of all its jobs.
    BlocksEveryScope = "blocks-every-scope",
    /// A limit of one installation holds for all.
    LimitForAll = "limit-for-all",
    /// A limit of one installation is written down for all.
    LimitSpreads = "limit-spreads",
    /// A scope's refusal opens the breakers of all.
    RefusalSpreads = "refusal-spreads",
    /// A registration in one scope closes the breakers of all.
    TakenMendsAll = "taken-mends-all",
    /// A microVM is deregistered in the first scope, wherever it is.
    LeavesFirstScope = "leaves-first-scope",
    /// A stray registration is looked for in the first scope.
    StrayInFirstScope = "stray-in-first-scope",
    /// A pooled microVM is registered in the first scope, wherever its job is.
    PoolOfFirstScope = "pool-of-first-scope",
    /// A full profile's idle microVMs of one scope do not give way to jobs of another.
    FullStaysFull = "full-stays-full",
    /// No idle microVM that is registered gives way to a job that finds no room.
    RegisteredStays = "registered-stays",
    /// Jobs that got a microVM make others give way once more.
    GivenAsksAgain = "given-asks-again",
    /// A list of one scope's runners counts as that of all.
    ListCountsForAll = "list-counts-for-all",
    /// One App of several is asked for its failed deliveries.
    OneAppIsAsked = "one-app-is-asked",
    /// One scope of several is asked for its runners and repositories.
    OneScopeIsAsked = "one-scope-is-asked",
}

#[cfg(feature = "planted")]
static AWAKE: std::sync::atomic::AtomicU8 = std::sync::atomic::AtomicU8::new(u8::MAX);

/// Wakes one, and puts the one before to sleep; `None`: all sleep.
#[cfg(feature = "planted")]
pub fn wake(fault: Option<Fault>) {
    let number = fault.map_or(u8::MAX, |fault| fault as u8);
    AWAKE.store(number, std::sync::atomic::Ordering::SeqCst);
}

/// Whether it is awake.
#[cfg(feature = "planted")]
pub(crate) fn is(fault: Fault) -> bool {
    AWAKE.load(std::sync::atomic::Ordering::Relaxed) == fault as u8
}

/// Whether it is awake: never.
#[cfg(not(feature = "planted"))]
pub(crate) const fn is(_: Fault) -> bool {
    false
}
