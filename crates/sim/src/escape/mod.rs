//! Breaks out, or tries to: real guests of the real daemon, and in one of them somebody who is root and wants more.
//!
//! Everything in the network is tried twice by the same guest: as Flint has set it up, and again on a flat bridge without
//! any rule, where it has to succeed, or the first time proved nothing. What cannot be tried so shows in another way that
//! it would work ([`Row::control`]).

mod desk;
mod ears;
mod host;
mod stage;
mod table;
mod tricks;

pub use table::{Row, Summary};

use crate::demo::daemon::{Daemon, How, profiles};
use crate::demo::leftovers::Search;
use crate::demo::{Github, Options};
use crate::github::generate_pem;
use crate::intruder::{self, Place, Proof, places};
use anyhow::{Context, Result, bail};
use desk::{Desk, Guest};
use ears::{Ears, Heard};
use host::Host;
use stage::{Slots, Stage};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The two guests that stay to the end.
const WORKFLOW: &str = include_str!("workflow.yml");

/// How much is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Everything.
    All,
    /// What is tried in the network.
    Network,
}

/// Everything at work.
struct Play {
    stage: Stage,
    desk: Desk,
    host_ears: Ears,
    internet_ears: Ears,
    heard: Arc<Heard>,
}

/// What one phase of the network showed, by attempt.
type Seen = BTreeMap<String, (bool, String)>;

/// Tries everything; `say` is told each row as it comes.
///
/// # Errors
/// When something it needs is missing, or a guest does not go on. Everything it made is removed then too.
pub fn run(options: &Options, part: Part, say: &dyn Fn(&str)) -> Result<Summary> {
    std::fs::create_dir_all(&options.scratch)?;
    let folder = tempfile::Builder::new().prefix("escape-").tempdir_in(&options.scratch)?;
    let stage = Stage::make(&options.name)?;
    let pem = generate_pem()?;
    let github = Github::start(&stage.places, pem.clone())?;
    let heard = Arc::new(Heard::default());
    let internet = stage.places.github_file();
    let mut play = Play {
        desk: Desk::open(&internet)?,
        host_ears: Ears::of_the_host(&stage.host_file(), &heard)?,
        internet_ears: Ears::of_the_internet(&internet, &heard)?,
        stage,
        heard,
    };
    let how = How { adjust, ..How::plain(&pem) };
    let daemon = Daemon::start(options, &play.stage.places, folder.path(), how)?;
    let mut host = Host::new(daemon)?;
    let played = play.all(&mut host, &github, part, say);
    play.stage.unflatten();
    let stopped = host.daemon.stop();
    let state_dir = host.daemon.state_dir();
    let uplink = play.stage.places.host();
    let search = Search { prefix: &options.name, state_dir: &state_dir, uplink };
    let mut summary = played
        .with_context(|| format!("{}\n{}", host.daemon.last_words(), printed(&github, &host)))?;
    stopped?;
    let left = search.leftovers();
    summary.wrong.extend(left.iter().map(|left| format!("still there: {left}")));
    Ok(summary)
}

/// What the two guests printed, and what their consoles show.
fn printed(github: &Github, host: &Host) -> String {
    let jobs = github.0.jobs();
    let ours = jobs.iter().filter(|job| ["intruder", "neighbour"].contains(&job.name.as_str()));
    let logs = ours.map(|job| format!("{}:\n{}\n", job.name, github.0.log(job.id).join("\n")));
    logs.chain(["vm-1", "vm-2"].map(|vm| host.console(vm))).collect()
}

/// What guests have here besides what the demo's have: IPv6, a resolver, and room for the sweep of all ports.
fn adjust(configuration: &mut toml::Table) {
    if let Some(host) = configuration.get_mut("host").and_then(toml::Value::as_table_mut) {
        host.insert("address_pool".to_owned(), stage::POOL.into());
        host.insert("ipv6".to_owned(), "nat".into());
        host.insert("dns".to_owned(), vec![places::RESOLVER.to_string()].into());
        // Of some guests' runners GitHub never hears again.
        host.insert("drain_timeout".to_owned(), "2s".into());
        host.insert("vcpus".to_owned(), 6.into());
        host.insert("memory".to_owned(), "6 GiB".into());
    }
    for profile in profiles(configuration) {
        if profile.get("name").and_then(toml::Value::as_str) == Some("medium") {
            profile.insert("connections".to_owned(), 65_536.into());
        }
    }
}

impl Play {
    fn all(
        &mut self,
        host: &mut Host,
        github: &Github,
        part: Part,
        say: &dyn Fn(&str),
    ) -> Result<Summary> {
        host.ready()?;
        let role = if part == Part::All { "intruder run" } else { "intruder network" };
        github.0.queue(&WORKFLOW.replace("intruder run", role))?;
        let mut neighbour = self.desk.take("neighbour", &["listen"])?;
        let slots = Slots { intruder: host.slot_of("medium")?, neighbour: host.slot_of("small")? };
        say(Row::HEAD);
        let mut summary = Summary::default();
        let mut tell = |rows: Vec<Row>| {
            rows.iter().for_each(|row| say(&row.to_string()));
            summary.rows.extend(rows);
        };
        if part == Part::All {
            github.0.queue(tricks::WORKFLOW)?;
        }
        let [near, near6, _] = self.stage.ends(slots.neighbour)?;
        let [_, _, veth] = self.stage.ends(slots.intruder)?;
        let mac = "06:00:c0:a8:f1:02";
        let (judged, guarded) =
            self.phase(host, ("intruder", "guarded"), &mut neighbour, [&near, &near6, mac, &veth])?;
        tell(judged);
        if part == Part::All {
            tell(tricks::judge(self, host, github)?);
        }
        // The same guests, and the same attempts once more.
        neighbour.say(&["flat"])?;
        // It is heard as long as it is known under its old address.
        neighbour.hear()?.context("the neighbour has gone")?;
        self.stage.flatten(&slots)?;
        let mut neighbour = self.desk.take("neighbour-flat", &["listen"])?;
        let (near, near6) = (places::NEIGHBOUR.to_string(), places::NEIGHBOUR6.to_string());
        let known = [near.as_str(), &near6, "06:00:c0:a8:f1:03", &veth];
        let (_, flat) = self.phase(host, ("intruder-flat", "flat"), &mut neighbour, known)?;
        neighbour.say(&["end"])?;
        tell(rows(&guarded, &flat));
        if part == Part::All {
            let tried = |name: &str| summary.rows.iter().any(|row| row.name == name);
            let missing = host::JUDGED.iter().filter(|(name, _)| !tried(name));
            let missing = missing.map(|(name, _)| format!("`{name}` was not tried"));
            let missing: Vec<_> = missing.collect();
            summary.wrong.extend(missing);
        }
        if !host.until_left(0)? {
            summary.wrong.push("guests outstay their time".to_owned());
        }
        Ok(summary)
    }

    /// One pass of the intruder: what was judged as it went, and what the network showed.
    fn phase(
        &mut self,
        host: &mut Host,
        (who, phase): (&str, &str),
        neighbour: &mut Guest,
        known: [&str; 4],
    ) -> Result<(Vec<Row>, Seen)> {
        let mut intruder = self.desk.take(who, &[&["go"], &known[..]].concat())?;
        let (mut judged, mut tried) = (Vec::new(), BTreeMap::new());
        loop {
            let line = intruder.hear()?.context("the intruder has gone")?;
            let words: Vec<&str> = line.iter().map(String::as_str).collect();
            match words.as_slice() {
                ["judged", name, succeeded, control, rest @ ..] => {
                    judged.push(Row {
                        name: (*name).to_owned(),
                        what: host::what(name).to_owned(),
                        succeeded: *succeeded == "yes",
                        control: *control == "yes",
                        how: rest.concat(),
                    });
                }
                ["measure", name, count] => {
                    judged.push(host.measure(name, count.parse().unwrap_or(0))?);
                    intruder.say(&["measured"])?;
                }
                ["tried", _, name, word, rest @ ..] => {
                    tried.insert((*name).to_owned(), (*word == "answered", rest.concat()));
                }
                ["end", _] => break,
                other => bail!("the intruder says {other:?}"),
            }
        }
        self.catch_up(neighbour)?;
        let seen = intruder::attempts().into_iter().map(|attempt| {
            let name = attempt.name;
            let (answered, how) = tried.remove(name).unwrap_or((false, "not tried".to_owned()));
            let succeeded = match attempt.proof {
                Proof::Answered => answered,
                Proof::Heard(place) => self.heard.has(place, &format!("{phase}/{name}")),
            };
            (name.to_owned(), (succeeded, how))
        });
        let seen = seen.collect();
        // When the other side has heard everything, the intruder may go on.
        intruder.say(&["end"])?;
        Ok((judged, seen))
    }

    /// Returns when everything that was sent so far has been heard, or never will be.
    fn catch_up(&self, neighbour: &mut Guest) -> Result<()> {
        self.host_ears.catch_up();
        self.internet_ears.catch_up();
        neighbour.say(&["anything"])?;
        loop {
            let line = neighbour.hear()?.context("the neighbour has gone")?;
            match line.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
                ["heard", token] => self.heard.add(Place::Neighbour, (*token).to_owned()),
                _ => return Ok(()),
            }
        }
    }
}

/// Both phases side by side.
fn rows(guarded: &Seen, flat: &Seen) -> Vec<Row> {
    let row = |attempt: intruder::Attempt| {
        let seen = |phase: &Seen| phase.get(attempt.name).cloned();
        let missing = || (true, "nothing is known of it".to_owned());
        let (succeeded, how) = seen(guarded).unwrap_or_else(missing);
        let (control, flat_how) = seen(flat).unwrap_or((false, String::new()));
        let how = match (succeeded, control) {
            (false, false) => flat_how,
            (true, _) => how,
            (false, true) => String::new(),
        };
        let (name, what) = (attempt.name.to_owned(), attempt.what.to_owned());
        Row { name, what, succeeded, control, how }
    };
    intruder::attempts().into_iter().map(row).collect()
}
