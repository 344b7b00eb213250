//! What a token in the form of a JWT says of itself. Its signature is GitHub's to verify: here it is only read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flint_core::units::Timestamp;
use flint_wire::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

#[derive(Deserialize)]
struct Claims {
    exp: u64,
}

/// When it ends, if it says so.
pub(super) fn ends(token: &Secret) -> Option<Timestamp> {
    let claims = token.expose().split('.').nth(1)?;
    let claims = Zeroizing::new(URL_SAFE_NO_PAD.decode(claims.trim_end_matches('=')).ok()?);
    let Claims { exp } = serde_json::from_slice(&claims).ok()?;
    Some(Timestamp(exp.saturating_mul(1000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokens_end_is_read_without_its_signature() {
        let token = |claims: &str| Secret::new(format!("x.{}.y", URL_SAFE_NO_PAD.encode(claims)));
        assert_eq!(ends(&token("{\"exp\": 7, \"sub\": \"a\"}")), Some(Timestamp(7000)));
        assert_eq!(ends(&token("{\"exp\": 18446744073709551615}")), Some(Timestamp(u64::MAX)));
        for none in [token("{}"), token("{\"exp\": \"soon\"}"), Secret::new("opaque".to_owned())] {
            assert_eq!(ends(&none), None);
        }
    }
}
