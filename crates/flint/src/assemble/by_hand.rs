//! One microVM by hand, without GitHub: `flint run` and `flint --interactive`.

use super::Error;
use super::ground::directory;
use super::host::{Assembled, assemble};
use crate::config::Config;
use crate::daemon::stop::Signals;
use crate::host::LaunchOrder;
use crate::images::Source;
use crate::store::Sqlite;
use crate::vmm::Console;
use flint_core::id::{ProfileId, Slot, VmId};
use flint_wire::Secret;
use flint_wire::guest::Stream;

/// The documented login of `--interactive`. It is set in that guest's overlay, and in no image.
const PASSWORD: &str = "runner";

/// What a process is told by its parent when a signal ended it.
const INTERRUPTED: i32 = 130;

/// One microVM started by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ByHand {
    /// Whose shape, image and kernel.
    pub profile: ProfileId,
    /// The program and its arguments, run in the guest; empty gives a login on this terminal.
    pub argv: Vec<String>,
}

/// Boots one microVM, runs the command in it, gives each line of its output to `print`, and gives its exit code.
///
/// # Errors
/// [`Error`] when the microVM or the command cannot start.
pub async fn run(
    config: Config,
    by_hand: ByHand,
    mut print: impl FnMut(Stream, &str) + Send,
) -> Result<i32, Error> {
    let mut signals = Signals::listen().map_err(|source| Error::Signals { source })?;
    directory(&config.host.state_dir)?;
    // The lock of the state directory: a daemon's slots and ids are not ours to use.
    let store = Sqlite::open(&config.host.state_dir).map_err(|source| Error::Store { source })?;
    let Assembled { host, mut told, jails, alone: _alone, .. } = assemble(&config).await?;
    let order = order(&config, &by_hand.profile)?;
    let (vm, slot) = (order.vm, order.slot);
    let work = async {
        match by_hand.argv {
            argv if argv.is_empty() => {
                host.interactive(order, Secret::new(PASSWORD.to_owned())).await.map(|()| 0)
            }
            argv => host.run_once(order, argv, |line| print(line.stream, &line.text)).await,
        }
    };
    let ended = tokio::select! {
        ended = work => ended,
        // Nobody plans here; the facts have no other reader.
        () = async { while let Some(fact) = told.recv().await { drop(fact.settle()) } } => Ok(INTERRUPTED),
        () = signals.next() => host.destroy(vm, Some(slot)).await.map(|()| INTERRUPTED),
    };
    jails.leave();
    drop(store);
    ended.map_err(|source| Error::Host { source })
}

fn order(config: &Config, profile: &ProfileId) -> Result<LaunchOrder, Error> {
    let options = config.profiles.get(profile);
    let options = options.ok_or_else(|| Error::NoProfile { profile: profile.to_string() })?;
    Ok(LaunchOrder {
        vm: VmId(0),
        slot: Slot(0),
        shape: options.profile.shape,
        source: Source { kernel: options.kernel.clone(), image: options.image.clone() },
        egress: options.egress.clone(),
        disk_rate: options.disk_rate,
        boot_timeout: options.profile.timeouts.boot,
        console: Console::Kept,
    })
}
