//! Who calls as an App: the one of the start, or one that was made.

use super::super::key::Key;
use super::super::rest::{Answer, bearer, common, refusal};
use super::super::server::Shared;
use axum::http::HeaderMap;
use serde_json::Value;

/// An App that proved to be itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Caller {
    /// The App of [`super::super::Config`].
    OfTheStart,
    /// One that was made.
    Made(u64),
}

/// Verifies an App's JWT, with GitHub's rules about its times.
pub(in super::super) fn caller(shared: &Shared, headers: &HeaderMap) -> Result<Caller, Answer> {
    common(headers)?;
    let undecodable = || refusal(401, "A JSON web token could not be decoded");
    let token = bearer(headers).ok_or_else(undecodable)?;
    let mut known = known(shared).into_iter();
    let signed =
        known.find_map(|app| Some((app.key.verified_claims(token).ok()?, app.caller, app.ids)));
    let (claims, caller, ids) = signed.ok_or_else(undecodable)?;
    let number = || claims["iss"].as_u64().map(|number| number.to_string());
    let issuer = claims["iss"].as_str().map(str::to_owned).or_else(number);
    if !issuer.is_some_and(|issuer| ids.contains(&issuer)) {
        return Err(refusal(
            401,
            "'Issuer' claim ('iss') must be an Integer or the client ID of this App",
        ));
    }
    in_time(&claims, shared.clock.now() / 1000).map(|()| caller)
}

/// An App's key, and what it may call itself.
struct Known {
    caller: Caller,
    key: Key,
    ids: Vec<String>,
}

fn known(shared: &Shared) -> Vec<Known> {
    let first = Known {
        caller: Caller::OfTheStart,
        key: shared.app_key.clone(),
        ids: vec![shared.config.app.clone()],
    };
    let made = shared.look(|state| {
        let made = state.apps.all.values().filter_map(|app| {
            let ids = vec![app.id.to_string(), app.client_id.clone()];
            Some(Known { caller: Caller::Made(app.id), key: app.key.clone()?, ids })
        });
        made.collect::<Vec<_>>()
    });
    std::iter::once(first).chain(made).collect()
}

fn in_time(claims: &Value, now_s: u64) -> Result<(), Answer> {
    match (claims["iat"].as_u64(), claims["exp"].as_u64()) {
        (_, Some(exp)) if exp <= now_s => {
            Err(refusal(401, "'Expiration time' claim ('exp') must be in the future"))
        }
        (_, Some(exp)) if exp > now_s + 600 => {
            Err(refusal(401, "'Expiration time' claim ('exp') is too far in the future"))
        }
        (Some(iat), _) if iat > now_s => {
            Err(refusal(401, "'Issued at' claim ('iat') must be in the past"))
        }
        (Some(_), Some(_)) => Ok(()),
        _ => Err(refusal(401, "A JSON web token could not be decoded")),
    }
}
