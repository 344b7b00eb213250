//! Whom a delivery's signature proves: the secrets of an entry vouch for that entry's scopes, and for no other's.

use super::words::Hook;
use crate::forge::WebhookAuth;
use flint_core::id::ScopeId;
use ring::hmac;

/// All entries that take deliveries.
pub(super) struct Gates(Vec<Proof>);

struct Proof {
    /// None: anyone is believed.
    keys: Option<Vec<hmac::Key>>,
    scopes: Vec<ScopeId>,
}

/// The entries that believe a delivery.
pub(super) struct Proven<'a>(Vec<&'a Proof>);

impl Gates {
    /// None, if no entry takes deliveries.
    pub(super) fn new(hook: &Hook) -> Option<Gates> {
        let proofs = hook.gates.iter().filter_map(|gate| {
            let keys = match &gate.auth {
                WebhookAuth::Refused => return None,
                WebhookAuth::Insecure => None,
                WebhookAuth::Secrets { current, other } => {
                    let secrets = [Some(current), other.as_ref()].into_iter().flatten();
                    let key = |text: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, text);
                    Some(secrets.map(|secret| key(secret.expose().as_bytes())).collect())
                }
            };
            Some(Proof { keys, scopes: gate.scopes.iter().map(|scope| scope.id()).collect() })
        });
        let proofs: Vec<Proof> = proofs.collect();
        (!proofs.is_empty()).then_some(Gates(proofs))
    }

    /// Tries the signature, as GitHub's header has it, with each secret of each entry: the time that it takes tells nobody which
    /// one was right. None, if no entry believes the delivery.
    pub(super) fn prove(&self, signature: Option<&str>, body: &[u8]) -> Option<Proven<'_>> {
        let tag = signature.and_then(|text| text.strip_prefix("sha256=")).and_then(unhex);
        let believe = |proof: &&Proof| proof.holds(tag.as_deref(), body);
        let proven: Vec<&Proof> = self.0.iter().filter(believe).collect();
        (!proven.is_empty()).then_some(Proven(proven))
    }
}

impl Proof {
    fn holds(&self, tag: Option<&[u8]>, body: &[u8]) -> bool {
        let Some(keys) = &self.keys else { return true };
        let Some(tag) = tag else { return false };
        let right = |key: &hmac::Key| hmac::verify(key, body, tag).is_ok();
        keys.iter().filter(|key| right(key)).count() > 0
    }
}

impl Proven<'_> {
    /// Whether one of them serves this repository.
    pub(super) fn covers(&self, repository: &str) -> bool {
        self.0.iter().any(|proof| proof.scopes.iter().any(|scope| scope.covers(repository)))
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::Scope;
    use crate::front::words::Gate;
    use flint_wire::Secret;

    const BODY: &[u8] = b"{}";

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn secrets(current: &str, other: Option<&str>) -> WebhookAuth {
        WebhookAuth::Secrets { current: secret(current), other: other.map(secret) }
    }

    fn gate(auth: WebhookAuth, owners: &[&str]) -> Gate {
        let scopes = owners.iter().map(|owner| Scope::Organization((*owner).to_owned()));
        Gate { auth, scopes: scopes.collect() }
    }

    fn signed(secret: &str) -> String {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), BODY);
        let hex = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
        format!("sha256={}", hex.collect::<String>())
    }

    /// Which of the three owners a delivery with this signature may tell of; `None`: it is not believed.
    fn told(hook: &Hook, signature: Option<&str>) -> Option<[bool; 3]> {
        let gates = Gates::new(hook).expect("some take deliveries");
        let proven = gates.prove(signature, BODY)?;
        Some(["ACME/web", "beta/web", "gamma/web"].map(|name| proven.covers(name)))
    }

    #[test]
    fn a_secret_vouches_for_its_own_scopes_alone() {
        let hook = Hook {
            gates: vec![
                gate(secrets("one", Some("old")), &["acme"]),
                gate(secrets("two", None), &["beta", "gamma"]),
            ],
        };
        let by = |secret: &str| told(&hook, Some(&signed(secret)));
        assert_eq!(by("one"), Some([true, false, false]));
        assert_eq!(by("old"), Some([true, false, false]));
        assert_eq!(by("two"), Some([false, true, true]));
        assert_eq!(by("three"), None);
        for wrong in ["", "sha256=", "sha256=zz", "sha1=00", "sha256=\u{e4}"] {
            assert_eq!(told(&hook, Some(wrong)), None, "{wrong}");
        }
        assert_eq!(told(&hook, None), None);
    }

    #[test]
    fn one_secret_of_two_entries_vouches_for_both() {
        let entry = |owner: &str| gate(secrets("one", None), &[owner]);
        let hook = Hook { gates: vec![entry("acme"), entry("beta")] };
        assert_eq!(told(&hook, Some(&signed("one"))), Some([true, true, false]));
    }

    #[test]
    fn an_entry_that_believes_anyone_does_so_for_itself() {
        let open = gate(WebhookAuth::Insecure, &["acme"]);
        let hook = Hook { gates: vec![open, gate(secrets("two", None), &["beta"])] };
        assert_eq!(told(&hook, None), Some([true, false, false]));
        assert_eq!(told(&hook, Some(&signed("two"))), Some([true, true, false]));
    }

    #[test]
    fn an_entry_without_webhooks_is_no_gate() {
        let none = || gate(WebhookAuth::Refused, &["acme"]);
        assert!(Gates::new(&Hook { gates: vec![none()] }).is_none());
        assert!(Gates::new(&Hook { gates: Vec::new() }).is_none());
        let hook = Hook { gates: vec![none(), gate(secrets("two", None), &["beta"])] };
        assert_eq!(told(&hook, Some(&signed("two"))), Some([false, true, false]));
        assert_eq!(told(&hook, None), None);
    }
}
