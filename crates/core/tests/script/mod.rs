//! Plays a script: takes its facts in, and writes what follows from each under it.

mod read;
mod say;

use flint_core::audit::audit;
use flint_core::event::Event;
use flint_core::fold::fold;
use flint_core::host::Host;
use flint_core::id::{HostId, InstallationId, ProfileId, ScopeId};
use flint_core::limits::Limits;
use flint_core::plan::{Action, Plan, plan};
use flint_core::profile::Profile;
use flint_core::units::Timestamp;
use flint_core::world::World;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One line of a script that is not output.
enum Line {
    /// A profile of the configuration that the next `started` brings.
    Profile(ProfileId, Profile),
    /// It leaves that configuration again.
    NoProfile(ProfileId),
    /// A host of it.
    Host(HostId, Host),
    /// How much a repository or an organization may have, from the next `started` on.
    Limits(Limits),
    /// Where runners are registered, and whose calls reach each place, from the next `started` on.
    Scopes(BTreeMap<ScopeId, InstallationId>),
    /// From here on questions to GitHub are written too.
    Asks,
    /// From here on hosts are heard from only where the script says so.
    Silent,
    /// A fact at a time.
    Fact(Timestamp, Event),
    /// The daemon starts.
    Started(Timestamp),
    /// The daemon is gone: until the next `started` nothing happens by time alone.
    Died(Timestamp),
    /// The question why a job waits.
    Why(Timestamp, u64),
    /// All rows, for a look at what is left.
    Show(Timestamp),
}

struct Player {
    world: World,
    profiles: BTreeMap<ProfileId, Profile>,
    hosts: BTreeMap<HostId, Host>,
    limits: Limits,
    scopes: BTreeMap<ScopeId, InstallationId>,
    asks: bool,
    /// Orders of the last plan: only new ones are written.
    named: Vec<Action>,
    wake_at: Option<Timestamp>,
    silent: bool,
    out: String,
}

/// The script's text with the output that its facts really have.
pub(crate) fn play(text: &str) -> String {
    let mut player = Player::new();
    for line in text.lines().filter(|line| !line.starts_with('=')) {
        let fact = read::line(line, &player.world);
        if let Some(
            Line::Fact(at, _)
            | Line::Started(at)
            | Line::Died(at)
            | Line::Why(at, _)
            | Line::Show(at),
        ) = fact
        {
            player.let_time_pass(at);
        }
        player.out.push_str(line);
        player.out.push('\n');
        if let Some(fact) = fact {
            player.take(fact);
        }
    }
    player.out
}

impl Player {
    fn new() -> Self {
        let demo = (ScopeId::organization("flint-demo"), InstallationId::new("flint-demo"));
        Player {
            world: World { instance: "k3x9q2".to_owned(), ..World::default() },
            profiles: BTreeMap::new(),
            hosts: BTreeMap::new(),
            limits: Limits::default(),
            scopes: BTreeMap::from([demo]),
            asks: false,
            named: Vec::new(),
            wake_at: None,
            silent: false,
            out: String::new(),
        }
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Profile(id, profile) => {
                self.profiles.insert(id, profile);
            }
            Line::NoProfile(id) => {
                self.profiles.remove(&id);
            }
            Line::Host(id, host) => {
                self.hosts.insert(id, host);
            }
            Line::Limits(limits) => self.limits = limits,
            Line::Scopes(scopes) => self.scopes = scopes,
            Line::Asks => self.asks = true,
            Line::Silent => self.silent = true,
            Line::Started(at) => {
                let (profiles, hosts) = (self.profiles.clone(), self.hosts.clone());
                // No order of the daemon's former life is under way any more.
                self.named.clear();
                let (limits, scopes) = (self.limits.clone(), self.scopes.clone());
                let readers = scopes.values().cloned().collect();
                let started = Event::Started { profiles, hosts, limits, scopes, readers };
                self.fold(at, started, "");
            }
            Line::Died(_) => self.wake_at = None,
            Line::Fact(at, event) => self.fold(at, event, ""),
            Line::Why(at, id) => {
                let waits = plan(&self.world, at).waits;
                let key = flint_core::id::JobKey { id, attempt: 1 };
                let why = flint_core::plan::why(&self.world, &waits, key);
                self.say(&why);
            }
            Line::Show(_) => {
                for line in say::world(&self.world) {
                    self.say(&line);
                }
            }
        }
    }

    /// Time alone may change things before the next fact.
    fn let_time_pass(&mut self, until: Timestamp) {
        while let Some(at) = self.wake_at.filter(|at| *at < until) {
            self.fold(at, Event::Tick, &format!("{}: ", say::time(at)));
        }
    }

    fn fold(&mut self, now: Timestamp, event: Event, prefix: &str) {
        for host in self.world.hosts.values_mut().filter(|_| !self.silent) {
            // A host reports about every 15 s; a script would be full of that.
            host.seen = now;
        }
        let records = fold(&mut self.world, now, event);
        // Nor is it scanned here.
        self.world.hosts.values_mut().for_each(|host| host.scan_at = Timestamp(u64::MAX));
        let Plan { world, actions, wake_at, .. } = plan(&self.world, now);
        let again = plan(&world, now);
        assert_eq!(again.world, world, "planning the planned world changes nothing");
        assert_eq!(again.actions, actions, "the same orders follow from it");
        assert_eq!(audit(&world), [], "nothing is wrong with it");
        self.world = world;
        self.wake_at = wake_at;
        for record in records {
            self.say(&format!("{prefix}{}", say::record(&record)));
        }
        let new = actions.iter().filter(|action| !self.named.contains(action));
        for action in new.filter(|action| self.asks || !matches!(action, Action::Ask { .. })) {
            self.out.push_str(&format!(
                "= {prefix}{}\n",
                say::action(action, self.world.scopes.len() > 1)
            ));
        }
        self.named = actions;
    }

    fn say(&mut self, text: &str) {
        writeln!(self.out, "= {text}").expect("a string takes all text");
    }
}
