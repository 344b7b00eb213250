//! The daemon's parts, as the program puts them together, with a made-up host.

use super::hooks::take_webhooks;
use super::profile::{profile_id, recipe, started};
use super::{Hasty, SECRET};
use crate::demo::Source;
use crate::fakes::{FakeImages, FakeNet, FakeVmm, Outside};
use crate::github::FakeGithub;
use anyhow::Result;
use flint::daemon::{clock, controller, dispatch, door, listener};
use flint::{forge, host, store};
use flint_core::id::HostId;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::{net, sync};

/// The daemon's parts, with a made-up host.
pub(super) struct Daemon<'a> {
    pub(super) github: &'a FakeGithub,
    pub(super) outside: &'a Outside,
    pub(super) folder: &'a Path,
    pub(super) pem: String,
    pub(super) clock: Hasty,
}

impl Daemon<'_> {
    pub(super) async fn start(
        &self,
        source: Source,
        hook: net::TcpListener,
    ) -> Result<JoinSet<()>> {
        let clock = Arc::new(self.clock);
        let (door, inside) = door::Door::new();
        let controller = controller::Controller::new(
            store::Sqlite::open(self.folder)?,
            Arc::clone(&clock),
            inside,
        )?;
        let (controller, controller::Ends { orders, window }) = controller;
        let instance = window.borrow().world.instance.clone();
        let options = self.options();
        let mut tasks = JoinSet::new();
        let mut sets = BTreeMap::new();
        match source {
            Source::Webhook => take_webhooks(&mut tasks, &options, hook, door.clone()),
            Source::ScaleSet => {
                let set = Arc::new(self.scale_set(&options)?);
                sets.insert(profile_id()?, Arc::clone(&set));
                let listener = listener::Listener {
                    set,
                    profile: profile_id()?,
                    owner: "measure".to_owned(),
                    door: door.clone(),
                    window: window.clone(),
                    clock: Arc::clone(&clock),
                };
                tasks.spawn(listener.run(std::future::pending()));
            }
        }
        let forge = forge::Runners::new(&[vec![options]], &instance)?.with(sets);
        let scopes = (forge.scopes(), forge.readers());
        let forge = Arc::new(forge);
        door.tell(started(source, scopes, clock::Clock::now(clock.as_ref()))?).await;
        tasks.spawn(controller.run());
        self.hands(&mut tasks, source, (forge, clock), (door, window), orders)?;
        Ok(tasks)
    }

    fn hands(
        &self,
        tasks: &mut JoinSet<()>,
        source: Source,
        (forge, clock): (Arc<forge::Runners>, Arc<Hasty>),
        (door, window): (door::Door, door::Window),
        orders: sync::mpsc::UnboundedReceiver<dispatch::Batch>,
    ) -> Result<()> {
        let (tell, mut told) = sync::mpsc::channel(64);
        let layout = host::Layout::new(self.folder);
        let options = host::Options { id: HostId(0), layout, uid_base: 100_000 };
        let outside = || self.outside.clone();
        let (vmm, net, images) = (FakeVmm(outside()), FakeNet(outside()), FakeImages(outside()));
        let host = Arc::new(host::Host::new(options, vmm, net, images, tell));
        let recipes = dispatch::Recipes(BTreeMap::from([(profile_id()?, recipe(source))]));
        let hands = dispatch::Hands { forge, host, clock };
        let dispatcher =
            dispatch::Dispatcher::new(hands, Arc::new(recipes), (door.clone(), window));
        tasks.spawn(dispatcher.run(orders));
        tasks.spawn(async move {
            while let Some(host::Told { event, kept }) = told.recv().await {
                door.keep(event, kept).await;
            }
        });
        Ok(())
    }

    fn options(&self) -> forge::Options {
        let current = flint_wire::Secret::new(SECRET.to_owned());
        forge::Options {
            api_url: self.github.url().to_owned(),
            ca_certificates: None,
            scope: forge::Scope::Organization("flint-demo".to_owned()),
            credentials: forge::Credentials::App {
                id: "123456".to_owned(),
                private_key: flint_wire::Secret::new(self.pem.clone()),
            },
            webhook: forge::WebhookAuth::Secrets { current, other: None },
            runner_group: forge::RunnerGroup::Number(1),
        }
    }

    fn scale_set(&self, options: &forge::Options) -> Result<forge::scale_set::ProfileSet> {
        let caller = Arc::new(forge::caller::Caller::new(options)?);
        let sets = forge::scale_set::ScaleSets::new(caller, options.scope.clone())?;
        let (name, group) = ("flint".to_owned(), forge::RunnerGroup::Number(1));
        let labels = [name.clone()].into();
        Ok(forge::scale_set::ProfileSet::new(
            Arc::new(sets),
            forge::scale_set::Wanted { name, group, labels },
        ))
    }
}
