//! What a daemon decided is decided again from what it wrote down.

use super::harness::{Bench, Daemon};
use flint::replay::{Gathered, Step, Walk};
use flint::store::{self, Entry, Reader};
use flint_core::plan::Action;
use flint_core::vm::Phase;
use std::path::Path;
use std::time::Duration;

fn entries(directory: &Path) -> Vec<Entry> {
    let reader = Reader::open(directory).expect("the log can be read");
    let mut entries = Vec::new();
    let end = reader.read(None, &mut |entry| {
        entries.push(entry);
        Ok::<(), store::Error>(())
    });
    end.expect("the log is whole");
    entries
}

fn with_stand_ins(directory: &Path, mut entries: Vec<Entry>) -> Vec<Entry> {
    let reader = Reader::open(directory).expect("the log can be read");
    let mut names = Gathered::new(&reader.instance().expect("the store has a name"));
    entries.iter().cloned().for_each(|entry| names.add(entry));
    let stand_ins = names.finish();
    entries.iter_mut().for_each(|entry| stand_ins.replace(entry));
    entries
}

fn replayed(entries: Vec<Entry>) -> (Vec<Step>, Walk) {
    let mut walk = Walk::default();
    let mut steps: Vec<Step> = entries.into_iter().filter_map(|entry| walk.take(entry)).collect();
    steps.extend(walk.end());
    (steps, walk)
}

/// A daemon that has seen failures, a kill in the middle, and the end of six jobs.
async fn a_hard_day(bench: &Bench) -> Daemon {
    bench.outside.faults(|faults| faults.job_takes = Duration::from_secs(30));
    let mut daemon = bench.start().await;
    for id in 1..=3 {
        bench.outside.queue(id, &["small"]);
    }
    let busy = |phase: &Phase| matches!(phase, Phase::Busy(_));
    daemon.until("one is busy", |view, _| view.world.vms.values().any(|vm| busy(&vm.phase))).await;
    daemon.kill().await;
    for id in 4..=6 {
        bench.outside.queue(id, &["large"]);
    }
    let mut daemon = bench.start().await;
    daemon.until("all ran", |_, outside| outside.finished().len() == 6).await;
    daemon.until_quiet().await;
    daemon
}

#[tokio::test(start_paused = true)]
async fn a_replay_ends_in_the_world_that_the_daemon_has() {
    let bench = Bench::new(&["small", "large"]);
    let daemon = a_hard_day(&bench).await;
    let log = entries(bench.dir.path());
    let worlds = log.iter().filter(|entry| matches!(entry, Entry::World { .. })).count();
    assert_eq!(worlds, 2, "each start kept one");
    let (steps, walk) = replayed(log);
    for step in &steps {
        assert_eq!(step.differs, [], "the second start found the world that the first left");
        assert_eq!(step.notes, [""; 0]);
    }
    assert_eq!(*walk.world(), *daemon.window.borrow().world);
    let launches = |step: &Step| {
        step.orders.iter().filter(|order| matches!(order, Action::Launch { .. })).count()
    };
    let launched = steps.iter().map(launches).sum::<usize>() as u64;
    assert_eq!(launched, bench.outside.launches());
}

#[tokio::test(start_paused = true)]
async fn a_log_with_stand_ins_is_decided_like_the_real_one() {
    let bench = Bench::new(&["small", "large"]);
    let daemon = a_hard_day(&bench).await;
    daemon.kill().await;
    let log = entries(bench.dir.path());
    let anonymous = with_stand_ins(bench.dir.path(), log.clone());
    let (steps, _) = replayed(log);
    let (others, _) = replayed(anonymous);
    let phases = |steps: &[Step]| -> Vec<String> {
        let of = |step: &Step| {
            let changes = step.facts.iter().flat_map(|told| &told.changes).chain(&step.planned);
            let vms = changes.filter(|change| change.what.starts_with("vm-"));
            vms.map(|change| format!("{} {:?}", change.what, change.to)).collect::<Vec<_>>()
        };
        steps.iter().flat_map(of).collect()
    };
    assert!(phases(&steps).len() > 30);
    assert_eq!(phases(&steps), phases(&others));
    let orders = |steps: &[Step]| steps.iter().map(|step| step.orders.len()).collect::<Vec<_>>();
    assert_eq!(orders(&steps), orders(&others));
}
