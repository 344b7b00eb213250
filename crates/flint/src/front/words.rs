//! What the two halves say to each other: small enums, and the bounds that the root half checks again.
//!
//! The front may be in a stranger's hand. So a fact has a type of its own, of which only the three kinds that a
//! webhook tells exist, and [`Fact::checked`] believes no length, no character and no number.

use crate::forge::{Scope, WebhookAuth, payload};
use crate::text;
use flint_core::event::ForgeEvent;
use flint_core::id::{JobKey, RunnerName, ScopeId};
use flint_core::job::{Conclusion, JobRequest};
use flint_wire::Secret;
use serde::{Deserialize, Serialize};

/// The longest packet. A fact whose every text is as long as it may be has 110 KiB.
pub const PACKET_MAX: usize = 128 * 1024;

/// What the front says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Up {
    /// The first word: it has confined itself, but for these.
    Confined {
        /// What it could not have, and why.
        lost: Vec<String>,
    },
    /// It serves.
    Serving,
    /// A certificate and key that it cannot use.
    Unusable {
        /// Why.
        why: String,
    },
    /// A proven delivery; [`Down::Done`] with this number answers.
    Delivery {
        /// Counted by the front.
        number: u64,
        /// GitHub's id of the event.
        guid: String,
        /// What it tells.
        fact: Fact,
    },
    /// Somebody asks for a page; [`Down::Text`] with this number answers.
    Page {
        /// Counted by the front.
        number: u64,
        /// Which.
        page: Page,
        /// What the front has counted.
        counted: Counted,
    },
    /// The answer to [`Down::Ping`].
    Pong {
        /// What the front has counted.
        counted: Counted,
    },
}

/// What the root half says.
#[derive(Serialize, Deserialize)]
pub enum Down {
    /// The first word, after the front's.
    Hello(Hello),
    /// After it, as many as it said.
    Gate(Gate),
    /// The end of a delivery.
    Done {
        /// Which.
        number: u64,
        /// What became of it.
        taken: Taken,
    },
    /// A piece of a page.
    Text {
        /// Which.
        number: u64,
        /// Whether the daemon is well: 200 or 503.
        well: bool,
        /// The piece.
        text: String,
        /// Whether more follows.
        more: bool,
    },
    /// A new certificate and key.
    Tls(TlsPair),
    /// Are you there?
    Ping,
    /// Take no more, end what is under way, then yourself.
    Stop,
}

/// What the front has to know, beside the gates.
#[derive(Clone, Serialize, Deserialize)]
pub struct Hello {
    /// How many gates follow, each in a packet of its own: all together may be too long for one.
    pub gates: usize,
    /// For connections; none are plain.
    pub tls: Option<TlsPair>,
}

/// How deliveries are proven, and whose are taken.
#[derive(Clone, Default)]
pub struct Hook {
    /// One for each entry of the configuration.
    pub gates: Vec<Gate>,
}

/// How deliveries of one entry are proven, and of whose jobs they may tell.
#[derive(Clone, Serialize, Deserialize)]
pub struct Gate {
    /// How they are proven.
    pub auth: WebhookAuth,
    /// Jobs of others are counted and not passed on, unless another gate lets them through.
    pub scopes: Vec<Scope>,
}

/// A certificate chain and its key, PEM.
#[derive(Clone, Serialize, Deserialize)]
pub struct TlsPair {
    /// The chain, the server's own first.
    pub certificate: String,
    /// The key.
    pub key: Secret,
}

/// What a webhook tells of a job.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Fact {
    /// It waits.
    Queued {
        /// Which.
        job: JobKey,
        /// What it asks for.
        request: JobRequest,
    },
    /// Somebody took it.
    Started {
        /// Which.
        job: JobKey,
        /// What it asked for.
        request: JobRequest,
        /// Who.
        runner: Option<RunnerName>,
    },
    /// It is over.
    Completed {
        /// Which.
        job: JobKey,
        /// What it asked for.
        request: JobRequest,
        /// Who ran it.
        runner: Option<RunnerName>,
        /// How it ended.
        conclusion: Conclusion,
    },
}

/// A page that the front shows and the root half writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Page {
    /// Whether facts can be stored.
    Health,
    /// For Prometheus.
    Metrics,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Taken {
    /// Its fact is on disk now.
    New,
    /// It was before.
    Known,
    /// It is not, and GitHub must be told so.
    Refused,
}

/// What the front has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// Requests to the webhook's path.
    pub received: u64,
    /// Facts written down.
    pub committed: u64,
    /// Facts that were known by their GUID.
    pub repeated: u64,
    /// Pings of GitHub's.
    pub pings: u64,
    /// Events, actions and states that Flint does nothing about.
    pub ignored: u64,
    /// Jobs of others.
    pub foreign: u64,
    /// Wrong, missing or malformed signatures.
    pub unproven: u64,
    /// Bodies over the cap.
    pub too_large: u64,
    /// Proven deliveries that could not be read.
    pub malformed: u64,
    /// Facts that could not be written down, and bodies that there was no room for.
    pub unavailable: u64,
}

/// A word that no honest front says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is out of bounds")]
pub struct Unsound {
    /// What of it.
    pub what: &'static str,
}

impl Fact {
    /// The fact of a webhook; none of another kind.
    #[must_use]
    pub fn of(event: ForgeEvent) -> Option<Fact> {
        Some(match event {
            ForgeEvent::JobQueued { job, request } => Fact::Queued { job, request },
            ForgeEvent::JobStarted { job, request, runner } => {
                Fact::Started { job, request, runner }
            }
            ForgeEvent::JobCompleted { job, request, runner, conclusion } => {
                Fact::Completed { job, request, runner, conclusion }
            }
            _ => return None,
        })
    }

    /// The event, if an honest front could have said this of a job in one of `scopes`.
    ///
    /// # Errors
    /// [`Unsound`] names the first thing that is not.
    pub fn checked(self, scopes: &[ScopeId]) -> Result<ForgeEvent, Unsound> {
        let event = match self {
            Fact::Queued { job, request } => {
                sound(job, &request)?;
                ForgeEvent::JobQueued { job, request }
            }
            Fact::Started { job, request, runner } => {
                sound(job, &request)?;
                named(runner.as_ref())?;
                ForgeEvent::JobStarted { job, request, runner }
            }
            Fact::Completed { job, request, runner, conclusion } => {
                sound(job, &request)?;
                named(runner.as_ref())?;
                line("a conclusion", &conclusion.0)?;
                ForgeEvent::JobCompleted { job, request, runner, conclusion }
            }
        };
        let covered = |name: &str| scopes.iter().any(|scope| scope.covers(name));
        let ours = payload::repository(&event).is_some_and(covered);
        if ours { Ok(event) } else { Err(Unsound { what: "a repository" }) }
    }
}

impl Hook {
    /// One gate for one scope.
    #[must_use]
    pub fn one(auth: WebhookAuth, scope: Scope) -> Hook {
        Hook { gates: vec![Gate { auth, scopes: vec![scope] }] }
    }

    /// What all gates together let through.
    #[must_use]
    pub fn scopes(&self) -> Vec<ScopeId> {
        self.gates.iter().flat_map(|gate| gate.scopes.iter().map(Scope::id)).collect()
    }

    /// The first words to a front.
    pub fn words(&self, tls: Option<TlsPair>) -> impl Iterator<Item = Down> {
        let hello = Down::Hello(Hello { gates: self.gates.len(), tls });
        std::iter::once(hello).chain(self.gates.iter().cloned().map(Down::Gate))
    }
}

/// A GUID, if it is one line of a bounded length.
///
/// # Errors
/// [`Unsound`] if it is not.
pub fn guid(guid: String) -> Result<String, Unsound> {
    line("a delivery's id", &guid)?;
    if guid.is_empty() { Err(Unsound { what: "a delivery's id" }) } else { Ok(guid) }
}

fn sound(job: JobKey, request: &JobRequest) -> Result<(), Unsound> {
    if job.id == 0 || job.attempt == 0 {
        return Err(Unsound { what: "a job's number" });
    }
    // What a scale set tells never comes this way.
    if request.scale_set.is_some() {
        return Err(Unsound { what: "a scale set" });
    }
    line("a repository", &request.repository)?;
    line("a workflow", &request.workflow)?;
    line("a job's name", &request.name)?;
    line("a job's address", &request.url)?;
    if request.labels.len() > payload::MOST_LABELS {
        return Err(Unsound { what: "the number of labels" });
    }
    request.labels.iter().try_for_each(|label| line("a label", label))
}

fn named(runner: Option<&RunnerName>) -> Result<(), Unsound> {
    runner.map_or(Ok(()), |runner| line("a runner's name", runner.as_str()))
}

/// Exactly what the front's reader of payloads lets through.
fn line(what: &'static str, told: &str) -> Result<(), Unsound> {
    if text::line(told) == told { Ok(()) } else { Err(Unsound { what }) }
}

impl std::ops::Add for Counted {
    type Output = Counted;

    /// Saturating: these are a stranger's numbers.
    fn add(self, more: Counted) -> Counted {
        Counted {
            received: self.received.saturating_add(more.received),
            committed: self.committed.saturating_add(more.committed),
            repeated: self.repeated.saturating_add(more.repeated),
            pings: self.pings.saturating_add(more.pings),
            ignored: self.ignored.saturating_add(more.ignored),
            foreign: self.foreign.saturating_add(more.foreign),
            unproven: self.unproven.saturating_add(more.unproven),
            too_large: self.too_large.saturating_add(more.too_large),
            malformed: self.malformed.saturating_add(more.malformed),
            unavailable: self.unavailable.saturating_add(more.unavailable),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flint_core::policy::Origin;

    fn ours() -> [ScopeId; 2] {
        [ScopeId::organization("other-org"), ScopeId::organization("o")]
    }

    fn request() -> JobRequest {
        JobRequest {
            repository: "o/r".to_owned(),
            workflow: "w".to_owned(),
            name: "n".to_owned(),
            labels: vec!["self-hosted".to_owned()],
            run_id: 3,
            url: "u".to_owned(),
            scale_set: None,
            origin: Origin::PRIVATE,
        }
    }

    fn queued(edit: impl FnOnce(&mut JobRequest)) -> Fact {
        let mut request = request();
        edit(&mut request);
        Fact::Queued { job: JobKey { id: 7, attempt: 1 }, request }
    }

    fn refused(fact: Fact) -> &'static str {
        fact.checked(&ours()).expect_err("no honest front says this").what
    }

    #[test]
    fn a_fact_crosses_the_link_unchanged() {
        let job = JobKey { id: 7, attempt: 1 };
        let runner = Some(RunnerName::told("vm-1-small-k3x9q2"));
        let conclusion = Conclusion("success".to_owned());
        let events = [
            ForgeEvent::JobQueued { job, request: request() },
            ForgeEvent::JobStarted { job, request: request(), runner: runner.clone() },
            ForgeEvent::JobCompleted { job, request: request(), runner, conclusion },
        ];
        for event in events {
            let fact = Fact::of(event.clone()).unwrap();
            let packet = serde_json::to_vec(&fact).unwrap();
            let fact: Fact = serde_json::from_slice(&packet).unwrap();
            assert_eq!(fact.checked(&ours()), Ok(event));
        }
        assert!(Fact::of(ForgeEvent::Deregistered { vm: flint_core::id::VmId(1) }).is_none());
    }

    #[test]
    fn the_longest_honest_fact_fits_into_a_packet() {
        let long = "\u{10000}".repeat(text::FIELD);
        let fact = queued(|request| {
            request.labels = vec![long.clone(); payload::MOST_LABELS];
            request.repository = format!("o/{}", "\u{10000}".repeat(text::FIELD - 2));
            request.workflow.clone_from(&long);
            request.name.clone_from(&long);
            request.url.clone_from(&long);
        });
        let word = Up::Delivery { number: u64::MAX, guid: long, fact };
        assert!(serde_json::to_vec(&word).unwrap().len() <= PACKET_MAX);
        let Up::Delivery { fact, .. } = word else { panic!("it is a delivery") };
        assert!(fact.checked(&ours()).is_ok());
    }

    #[test]
    fn the_root_half_believes_no_bound_of_the_front() {
        let long = "x".repeat(text::FIELD + 1);
        assert_eq!(
            refused(queued(|r| r.labels = vec![String::new(); 101])),
            "the number of labels"
        );
        assert_eq!(refused(queued(|r| r.labels = vec![long.clone()])), "a label");
        assert_eq!(refused(queued(|r| r.name = "a\u{1b}[31m".to_owned())), "a job's name");
        assert_eq!(refused(queued(|r| r.workflow = "\u{202e}".to_owned())), "a workflow");
        assert_eq!(refused(queued(|r| r.url.clone_from(&long))), "a job's address");
        assert_eq!(refused(queued(|r| r.repository = "other/r".to_owned())), "a repository");
        let job = JobKey { id: 0, attempt: 1 };
        assert_eq!(refused(Fact::Queued { job, request: request() }), "a job's number");
        let job = JobKey { id: 7, attempt: 1 };
        let runner = Some(RunnerName::told(&long));
        assert_eq!(refused(Fact::Started { job, request: request(), runner }), "a runner's name");
        let conclusion = Conclusion("a\nb".to_owned());
        let completed = Fact::Completed { job, request: request(), runner: None, conclusion };
        assert_eq!(refused(completed), "a conclusion");
        assert!(guid(String::new()).is_err() && guid(long).is_err());
        assert!(guid("72d3162e-cc78-11e3-81ab-4c9367dc0958".to_owned()).is_ok());
    }

    #[test]
    fn a_word_of_another_kind_cannot_be_said() {
        let other = br#"{"Delivery":{"number":1,"guid":"g","fact":{"Deregistered":{"vm":1}}}}"#;
        assert!(serde_json::from_slice::<Up>(other).is_err());
        let huge = Counted { received: u64::MAX, ..Counted::default() };
        assert_eq!((huge + huge).received, u64::MAX);
    }
}
