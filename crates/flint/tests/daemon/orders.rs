//! The dispatcher alone: batches in by hand, facts out.

use super::harness::{Bench, HOST, profile};
use flint::daemon::dispatch::{self, Batch, Dispatcher};
use flint::daemon::door::{Door, Knock, OrderNumber, View, Window};
use flint_core::event::{Event, ForgeEvent, HostEvent};
use flint_core::id::{RunnerName, ScopeId, VmId};
use flint_core::plan::Action;
use flint_core::units::Timestamp;
use flint_sim::fakes::FakeForge;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

const VM: VmId = VmId(1);

/// A dispatcher at work.
struct Hands {
    orders: mpsc::UnboundedSender<Batch>,
    facts: mpsc::Receiver<Knock>,
    _window: watch::Sender<View>,
    _tasks: JoinSet<()>,
    _guests: mpsc::Receiver<flint::host::Told>,
}

impl Hands {
    fn of(bench: &Bench) -> Self {
        let (door, facts) = Door::new();
        let (tell, guests) = mpsc::channel(64);
        let (shows, window): (_, Window) = watch::channel(View::default());
        let forge = Arc::new(FakeForge::new(bench.outside.clone(), "k3x9q2"));
        let host = Arc::new(bench.host(tell));
        let clock = Arc::clone(&bench.clock);
        let hands = dispatch::Hands { forge, host, clock };
        let hands = Dispatcher::new(hands, Arc::new(bench.recipes()), (door, window));
        let (orders, taken) = mpsc::unbounded_channel();
        let mut tasks = JoinSet::new();
        tasks.spawn(hands.run(taken));
        Hands { orders, facts, _window: shows, _tasks: tasks, _guests: guests }
    }

    fn give(&self, actions: &[&Action], ended: &[OrderNumber]) {
        let actions = actions.iter().map(|action| (*action).clone()).collect();
        let batch = Batch { actions, ended: ended.to_vec(), committed: Timestamp(0) };
        self.orders.send(batch).expect("the dispatcher runs");
    }

    /// The facts of the next order that ends; `None` when none does within an hour.
    async fn end(&mut self) -> Option<(OrderNumber, Vec<Event>)> {
        let hour = Duration::from_secs(3_600);
        match tokio::time::timeout(hour, self.facts.recv()).await {
            Ok(Some(Knock::Facts { events, ended: Some(order), .. })) => Some((order, events)),
            Ok(Some(_)) => panic!("a fact that belongs to no order"),
            Ok(None) | Err(_) => None,
        }
    }
}

fn destroy() -> Action {
    Action::Destroy { vm: VM, host: HOST, slot: None }
}

fn scope() -> ScopeId {
    ScopeId::organization("flint-demo")
}

fn register() -> Action {
    let profile = profile("small").0;
    let name = RunnerName::of(VM, &profile, "k3x9q2", 1);
    Action::Register { vm: VM, host: HOST, profile, scope: scope(), attempt: 1, name }
}

#[tokio::test(start_paused = true)]
async fn an_order_that_every_plan_names_is_given_once() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.register_takes = Duration::from_secs(5));
    let mut hands = Hands::of(&bench);
    for _ in 0..3 {
        hands.give(&[&register()], &[]);
    }
    let (_, facts) = hands.end().await.expect("it ends");
    assert!(matches!(facts[..], [Event::Forge(ForgeEvent::Registered { .. })]), "{facts:?}");
    hands.give(&[&register()], &[]);
    assert_eq!(hands.end().await, None, "its end has not been folded yet");
}

#[tokio::test(start_paused = true)]
async fn an_order_that_is_due_after_its_end_was_folded_is_given_again() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.kill = 1);
    let mut hands = Hands::of(&bench);
    hands.give(&[&destroy()], &[]);
    let (order, facts) = hands.end().await.expect("it ends");
    assert!(matches!(facts[..], [Event::Host(HostEvent::DestroyFailed { .. })]), "{facts:?}");
    // One commit had this failure, and a scan that shows the stray again.
    hands.give(&[&destroy()], &[order]);
    let (_, facts) = hands.end().await.expect("it is given again");
    assert_eq!(facts, [Event::Host(HostEvent::Destroyed { vm: VM })]);
}

#[tokio::test(start_paused = true)]
async fn a_removal_waits_for_the_registration_that_is_on_the_wire() {
    let bench = Bench::new(&["small"]);
    bench.outside.faults(|faults| faults.register_takes = Duration::from_secs(5));
    let mut hands = Hands::of(&bench);
    let removal = Action::Deregister { vm: VM, scope: scope(), names: Vec::new() };
    hands.give(&[&register()], &[]);
    hands.give(&[&removal], &[]);
    let (order, facts) = hands.end().await.expect("it ends");
    assert!(matches!(facts[..], [Event::Forge(ForgeEvent::Registered { .. })]), "{facts:?}");
    hands.give(&[&removal], &[order]);
    let (_, facts) = hands.end().await.expect("it ends");
    assert_eq!(facts, [Event::Forge(ForgeEvent::Deregistered { vm: VM })]);
    assert_eq!(bench.outside.runners(), []);
}

#[tokio::test(start_paused = true)]
async fn a_launch_of_a_profile_that_has_left_the_configuration_fails() {
    let bench = Bench::new(&["small"]);
    let mut hands = Hands::of(&bench);
    let (profile, slot) = (profile("gone").0, flint_core::id::Slot(0));
    hands.give(&[&Action::Launch { vm: VM, host: HOST, slot, profile }], &[]);
    let (_, facts) = hands.end().await.expect("it ends");
    let [Event::Host(HostEvent::LaunchFailed { why, .. })] = &facts[..] else {
        panic!("{facts:?}");
    };
    assert_eq!(why, "the profile `gone` is no longer configured");
}
