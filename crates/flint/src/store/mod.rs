//! The world on disk: SQLite, one writer; rows of the core's types, an event log, and history.

use flint_core::event::Event;
use flint_core::id::VmId;
use flint_core::record::{JobRecord, Record, VmRecord};
use flint_core::units::Timestamp;
use flint_core::world::World;

mod connect;
pub mod error;
mod history;
mod lock;
mod prune;
mod reader;
mod rows;
mod schema;
mod snapshot;
pub mod sqlite;
#[cfg(test)]
mod tests;
mod whole;
mod world;

pub use error::Error;
pub use reader::{Entry, Health, Reader, look};
pub use sqlite::Sqlite;

/// The seam to what must not be lost.
pub trait Store: Send + 'static {
    /// The world as last committed; a new store gives an empty one with a fresh `instance`.
    ///
    /// # Errors
    /// [`Error`]
    fn load(&mut self) -> Result<World, Error>;

    /// Writes what differs, the events, the records and the deliveries in one transaction that is on disk on return.
    ///
    /// # Errors
    /// [`Error`]; nothing of it is stored then.
    fn commit(&mut self, before: &World, after: &World, change: Change<'_>) -> Result<(), Error>;

    /// Whether a webhook delivery has been committed before.
    ///
    /// # Errors
    /// [`Error`]
    fn knows(&mut self, delivery: &str) -> Result<bool, Error>;

    /// Finished jobs and microVMs, newest first.
    ///
    /// # Errors
    /// [`Error`]
    fn history(&mut self, query: &Query) -> Result<History, Error>;
}

/// What goes with a commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'a> {
    /// When.
    pub at: Timestamp,
    /// The facts that led to it, for the log.
    pub events: &'a [Event],
    /// The webhook deliveries (GUIDs) that brought them, if any did.
    pub deliveries: &'a [&'a str],
    /// What left the world.
    pub records: &'a [Record],
}

/// Which history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// The newest this many of each.
    Newest(u32),
    /// One job by GitHub's number, which each attempt has anew, and the microVM it ran in.
    Job(u64),
    /// One microVM, and the job it ran.
    Vm(VmId),
}

/// What has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// Completed jobs.
    pub jobs: Vec<JobRecord>,
    /// MicroVMs that are gone.
    pub vms: Vec<VmRecord>,
}
