//! Makes a life that fails as simple as it stays failing, and writes it down as a script.

use super::life::Life;
use super::setup::Setup;

/// So many lives are tried at most.
const TRIES: usize = 400;

/// A life that fails, and is simple.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What a checker found in it.
    pub why: String,
    /// What it began with.
    pub setup: Setup,
    /// What was told and ordered in it, in the language of the core's scripts.
    pub script: String,
}

/// Makes the life of this seed simpler, as long as it fails. `None`: it does not fail at all.
#[must_use]
pub fn shrink(seed: u64) -> Option<Shrunk> {
    let mut setup = Setup::draw(seed);
    Life::new(setup.clone(), false).run().err()?;
    let mut tries = 0;
    // Each simpler one that fails is smaller than the one before, so this ends.
    while let Some(simpler) = setup.simpler().into_iter().find(|simpler| {
        tries += 1;
        tries <= TRIES && Life::new(simpler.clone(), false).run().is_err()
    }) {
        setup = simpler;
    }
    let mut life = Life::written(setup.clone());
    let failed = life.live().err()?;
    let script = life.script.as_ref()?.text(&setup, &failed.why);
    Some(Shrunk { why: failed.why, setup, script })
}
