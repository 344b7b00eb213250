//! Each question put once: to the host, or to GitHub. What was found out is told as facts.

use super::door::Door;
use super::orders::Outcome;
use crate::error::advised;
use crate::forge::{Answer, Forge, Told};
use crate::host::Host;
use crate::images::Images;
use crate::net::Net;
use crate::vmm::Vmm;
use flint_core::ask::{AskFailure, Question};
use flint_core::event::{Event, ForgeEvent, HostEvent};
use flint_core::id::{HostId, Slot};
use flint_core::units::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;

pub(super) async fn host<V: Vmm, N: Net, I: Images>(
    here: Arc<Host<V, N, I>>,
    id: HostId,
    owned: BTreeSet<Slot>,
    asked: Timestamp,
) -> Outcome {
    Outcome::told(Event::Host(match here.inventory(&owned, asked).await {
        Ok(inventory) => inventory,
        Err(error) => {
            let why = advised(&error, error.help().as_deref());
            tracing::warn!(error = why, "cannot scan the host");
            HostEvent::ScanFailed { host: id, why }
        }
    }))
}

/// What was found is told before the word that the question is answered. A delivery is told like one that arrives:
/// once, whatever else brings it.
pub(super) async fn forge<F: Forge>(
    github: Arc<F>,
    door: Door,
    question: Question,
    asked: Timestamp,
) -> Outcome {
    let failed = |failure, why| {
        tracing::warn!(?question, error = why, "GitHub does not answer");
        let question = question.clone();
        Event::Forge(ForgeEvent::AskFailed { question, failure, why })
    };
    let Answer { told, quota } = match github.ask(question.clone(), asked).await {
        Ok(answer) => answer,
        Err(error) => {
            let why = advised(&error, error.help().as_deref());
            return Outcome::told(failed(error.ask_failure(), why));
        }
    };
    let mut events = Vec::new();
    let left = |(installation, quota)| ForgeEvent::QuotaLeft { installation, quota };
    events.extend(quota.map(|quota| Event::Forge(left(quota))));
    for Told { delivery, event } in told {
        let event = Event::Forge(event);
        let Some(guid) = delivery else {
            events.push(event);
            continue;
        };
        if door.deliver(guid, event).await.is_err() {
            let why = "the store takes no facts".to_owned();
            return Outcome::told(failed(AskFailure::Transient, why));
        }
    }
    Outcome { events, hand_over: None }
}
