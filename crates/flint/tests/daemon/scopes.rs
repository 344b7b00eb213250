//! Jobs of two organizations, one profile and one pool.

use super::harness::Bench;
use flint::daemon::door::View;
use flint_core::id::ScopeId;
use flint_core::vm::Phase;
use flint_sim::fakes::Outside;

#[tokio::test(start_paused = true)]
async fn one_pool_serves_two_organizations_each_in_its_own_scope() {
    let bench = Bench::new(&["small"]).with("small", |profile| profile.warm = 1);
    let mut daemon = bench.start().await;
    for (job, repository, owner) in
        [(1, "acme/web", "acme"), (2, "flint-demo/widgets", "flint-demo")]
    {
        let mut pooled = None;
        let warm = |view: &View, _: &Outside| {
            let mut vms = view.world.vms.iter();
            pooled = vms.find(|(_, vm)| vm.phase == Phase::Warm).map(|(id, _)| *id);
            pooled.is_some()
        };
        daemon.until("one is warm", warm).await;
        let pooled = pooled.expect("one is warm");
        bench.outside.queue_in(repository, job, &["small"]);
        let scope = ScopeId::organization(owner);
        daemon
            .until("it is registered where its job is", |view, _| {
                view.world.vms.get(&pooled).is_some_and(|vm| vm.scope.as_ref() == Some(&scope))
            })
            .await;
        let ran = usize::try_from(job).expect("it is small");
        daemon.until("the job ran", |_, outside| outside.finished().len() == ran).await;
        assert_eq!(bench.outside.finished()[ran - 1].1, pooled, "in the pooled one");
    }
    daemon.until("only the pool is left", |view, _| view.world.vms.len() == 1).await;
    assert!(bench.outside.runners().is_empty());
}
