//! The App's key, and the short-lived proof of being the App that is signed with it.
//!
//! Source of the rules: GitHub's page on JSON web tokens for Apps. RS256; the key is PKCS#1 from the settings page,
//! PKCS#8 when somebody converted it.

use super::Error;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flint_core::units::Timestamp;
use flint_wire::Secret;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use zeroize::Zeroizing;

/// GitHub's advice against clocks that run ahead: date the proof back.
const BACKDATED_S: u64 = 60;
/// GitHub refuses proofs that live longer than 10 minutes by its own clock.
const LIFETIME_S: u64 = 9 * 60;

/// The App: its id and its key.
pub struct App {
    issuer: String,
    key: RsaKeyPair,
}

impl App {
    /// Takes the App's client id (or numeric id) and its key.
    ///
    /// # Errors
    /// [`Error::NotAKey`].
    pub fn new(issuer: &str, private_key: &Secret) -> Result<Self, Error> {
        Ok(App { issuer: issuer.to_owned(), key: parse(private_key)? })
    }

    /// A proof of being the App, good for some minutes from `now`.
    ///
    /// # Errors
    /// [`Error::NotAKey`] when the key cannot sign.
    pub fn proof(&self, now: Timestamp) -> Result<Secret, Error> {
        let now_s = now.0 / 1000;
        let claims = serde_json::json!({
            "iat": now_s.saturating_sub(BACKDATED_S),
            "exp": now_s.saturating_add(LIFETIME_S),
            "iss": self.issuer,
        });
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| not_a_key("it cannot sign"))?;
        Ok(Secret::new(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

fn parse(pem: &Secret) -> Result<RsaKeyPair, Error> {
    let text = pem.expose();
    let begin =
        text.find("-----BEGIN ").ok_or_else(|| not_a_key("there is no `-----BEGIN` line in it"))?;
    let rest = &text[begin + "-----BEGIN ".len()..];
    let (kind, rest) =
        rest.split_once("-----").ok_or_else(|| not_a_key("its `-----BEGIN` line is cut"))?;
    let end = format!("-----END {kind}-----");
    let (body, _) =
        rest.split_once(&end).ok_or_else(|| not_a_key("its `-----END` line is missing"))?;
    if body.contains("ENCRYPTED") || kind.contains("ENCRYPTED") {
        return Err(not_a_key("it is protected by a passphrase"));
    }
    let packed: Zeroizing<String> = Zeroizing::new(body.split_whitespace().collect());
    let der = STANDARD.decode(packed.as_bytes()).map_err(|_| not_a_key("its base64 is damaged"))?;
    let der = Zeroizing::new(der);
    let key = match kind {
        "RSA PRIVATE KEY" => RsaKeyPair::from_der(&der),
        "PRIVATE KEY" => RsaKeyPair::from_pkcs8(&der),
        other => {
            return Err(not_a_key(&format!(
                "it is a `{}`, not a private RSA key",
                crate::text::line(other)
            )));
        }
    };
    key.map_err(|rejected| {
        not_a_key(&format!("it is not an RSA key of 2048 to 4096 bits ({rejected})"))
    })
}

fn not_a_key(problem: &str) -> Error {
    Error::NotAKey { problem: problem.to_owned() }
}
