//! What is asked of GitHub before anything is made there.

use super::{Error, Wish};
use crate::forge::pages::Account;
use crate::forge::setup::Setup;
use crate::forge::{self, Scope};

/// GitHub takes proofs that are dated by a clock up to a minute off.
const SKEW_MAX: i64 = 50;

/// Asks GitHub before anything is made: whether it can be reached, what time it is there, and who the owner is.
pub(super) async fn owner(setup: &Setup, wish: &Wish) -> Result<Account, Error> {
    let owner = wish.scope.owner().to_owned();
    let found = setup.owner(&wish.scope).await.map_err(|source| match source {
        forge::Error::NotFound { .. } => {
            Error::NoOwner { owner: owner.clone(), api: wish.api.to_string() }
        }
        source => Error::GitHub { source },
    })?;
    if let Some(skew) = found.skew.filter(|skew| skew.abs() > SKEW_MAX) {
        return Err(Error::Clock { skew });
    }
    match (&wish.scope, found.account) {
        (Scope::Organization(_), Some(Account::User)) => Err(Error::Personal { login: owner }),
        (_, account) => Ok(account.unwrap_or(Account::Organization)),
    }
}
