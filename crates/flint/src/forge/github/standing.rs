//! The App as GitHub has it: what it asks for, what it was given, and where its webhooks go. Only reads.

use super::{Error, GitHub};
use crate::forge::pages::Account;
use crate::forge::rights::Rights;
use serde::Deserialize;

/// The App itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Known {
    /// Its number.
    pub id: u64,
    /// Its name as it stands in addresses.
    #[serde(default)]
    pub slug: String,
    /// Its public page.
    pub html_url: String,
    /// Whose it is.
    #[serde(default)]
    pub owner: Owner,
    /// What it asks of those who install it.
    #[serde(flatten)]
    pub rights: Rights,
}

/// An App's owner.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Owner {
    /// `Organization` or `User`.
    #[serde(default, rename = "type")]
    pub kind: String,
}

/// The App where our scope installed it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Installed {
    /// Its number.
    pub id: u64,
    /// `all` or `selected`.
    #[serde(default, rename = "repository_selection")]
    pub repositories: String,
    /// Since when its owner holds it back.
    #[serde(default)]
    pub suspended_at: Option<String>,
    /// What it was given; less than the App asks for until the owner accepts it.
    #[serde(flatten)]
    pub rights: Rights,
}

/// Where the App's webhooks go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Hook {
    /// Nowhere, if there is none.
    #[serde(default)]
    pub url: Option<String>,
    /// `json` or `form`.
    #[serde(default)]
    pub content_type: Option<String>,
}

impl Known {
    /// What kind of account owns it.
    #[must_use]
    pub fn account(&self) -> Account {
        if self.owner.kind == "User" { Account::User } else { Account::Organization }
    }
}

impl GitHub {
    /// The App as its owner made it.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] when id and key do not belong together, or a clock is wrong.
    pub async fn app(&self) -> Result<Known, Error> {
        self.caller.read_as_app(&["app"], &[]).await?.json()
    }

    /// The App at our scope.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it is not installed there.
    pub async fn installed(&self) -> Result<Installed, Error> {
        let mut path = self.scope.home();
        path.push("installation");
        self.caller.read_as_app(&path, &[]).await?.json()
    }

    /// Where its webhooks go.
    ///
    /// # Errors
    /// [`Error::NotFound`] on servers that do not tell.
    pub async fn hook(&self) -> Result<Hook, Error> {
        self.caller.read_as_app(&["app", "hook", "config"], &[]).await?.json()
    }
}
