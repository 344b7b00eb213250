//! The labelled steps in the life of a job, before and after each of which a test may kill the daemon.
//!
//! Only with the feature `kill-points`: without it, [`before`] and [`after`] are nothing.

/// The variable that names the place to die at, as `after-disk:2`: the second time that a disk has been made.
pub const VARIABLE: &str = "FLINT_KILL_AT";

/// A step. What it is called in a label is its name in small letters, with dashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A webhook's fact goes to disk; after it, GitHub is answered.
    DeliveryCommit,
    /// Any other commit; after it, its orders are given.
    PlanCommit,
    /// The scratch disk.
    Disk,
    /// The slot's network namespace with its devices.
    Network,
    /// The VMM's process.
    Vmm,
    /// The agent answered: told, then kept.
    Ready,
    /// GitHub is asked for a registration.
    Register,
    /// The registration is written to the guest.
    Secret,
    /// The runner listens: told, then kept.
    Listening,
    /// The job began: told, then kept.
    Busy,
    /// The job's last step is done: told, then kept.
    Done,
    /// GitHub is asked to remove the registration.
    Deregister,
    /// Process, network and disk go.
    Destroy,
}

impl Step {
    /// All, in the order of a life.
    pub const ALL: [Step; 13] = [
        Step::DeliveryCommit,
        Step::PlanCommit,
        Step::Disk,
        Step::Network,
        Step::Vmm,
        Step::Ready,
        Step::Register,
        Step::Secret,
        Step::Listening,
        Step::Busy,
        Step::Done,
        Step::Deregister,
        Step::Destroy,
    ];

    /// Its label without `before` and `after`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Step::DeliveryCommit => "delivery-commit",
            Step::PlanCommit => "plan-commit",
            Step::Disk => "disk",
            Step::Network => "network",
            Step::Vmm => "vmm",
            Step::Ready => "ready",
            Step::Register => "register",
            Step::Secret => "secret",
            Step::Listening => "listening",
            Step::Busy => "busy",
            Step::Done => "done",
            Step::Deregister => "deregister",
            Step::Destroy => "destroy",
        }
    }
}

/// The step is about to be taken.
#[cfg(feature = "kill-points")]
pub(crate) fn before(step: Step) {
    crate::sys::kill_point::reached(VARIABLE, &format!("before-{}", step.name()));
}

/// The step has been taken, and nothing has followed from it yet.
#[cfg(feature = "kill-points")]
pub(crate) fn after(step: Step) {
    crate::sys::kill_point::reached(VARIABLE, &format!("after-{}", step.name()));
}

/// The step is about to be taken.
#[cfg(not(feature = "kill-points"))]
#[inline(always)]
pub(crate) const fn before(_: Step) {}

/// The step has been taken, and nothing has followed from it yet.
#[cfg(not(feature = "kill-points"))]
#[inline(always)]
pub(crate) const fn after(_: Step) {}

#[cfg(test)]
mod tests {
    use super::Step;
    use std::fs;
    use std::path::Path;

    /// All code of the rooms that take steps.
    fn code() -> String {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let rooms = ["daemon", "host"]
            .into_iter()
            .flat_map(|room| fs::read_dir(source.join(room)).unwrap());
        rooms.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }

    #[test]
    fn each_step_has_one_place_before_it_and_one_after_it() {
        let code = code();
        for step in Step::ALL {
            for when in ["before", "after"] {
                let place = format!("steps::{when}(Step::{step:?})");
                assert_eq!(code.matches(&place).count(), 1, "{place}");
            }
        }
    }
}
