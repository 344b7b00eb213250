//! Where the daemon is killed: at every step's label, at a time when jobs are in flight.

use flint::steps::Step;

/// A label, and the how manieth time it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aim {
    /// `before-disk`.
    pub label: String,
    /// From 1.
    pub time: u32,
}

impl Aim {
    /// What the daemon is told.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}:{}", self.label, self.time)
    }
}

/// All of them.
#[must_use]
pub fn aims() -> Vec<Aim> {
    let of = |step: Step| {
        ["before", "after"]
            .map(|when| Aim { label: format!("{when}-{}", step.name()), time: time(step) })
    };
    Step::ALL.into_iter().flat_map(of).collect()
}

/// Three jobs come at once. While they are young the second or third of them dies, so that another is a step ahead;
/// later the first one does, so that the others are still at work.
fn time(step: Step) -> u32 {
    match step {
        Step::DeliveryCommit => 3,
        // The first ones are the start's own: configuration, inventory, runners.
        Step::PlanCommit => 6,
        Step::Disk | Step::Network | Step::Vmm => 2,
        Step::Ready | Step::Register | Step::Secret | Step::Listening | Step::Busy => 2,
        Step::Done | Step::Deregister | Step::Destroy => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::aims;
    use std::collections::BTreeSet;

    #[test]
    fn there_is_an_aim_before_and_after_each_step_and_no_label_twice() {
        let labels: BTreeSet<String> = aims().into_iter().map(|aim| aim.label).collect();
        assert_eq!((labels.len(), aims().len()), (26, 26));
        assert!(labels.contains("before-delivery-commit") && labels.contains("after-destroy"));
    }
}
