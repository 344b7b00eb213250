//! A manifest, and what GitHub refuses of one.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use url::Url;

/// GitHub's longest name of an App.
const LONGEST_NAME: usize = 34;

/// What an App shall be.
#[derive(Deserialize)]
pub(super) struct Manifest {
    #[serde(default)]
    pub(super) name: String,
    url: String,
    #[serde(rename = "hook_attributes")]
    pub(super) hook: HookAsked,
    pub(super) redirect_url: String,
    #[serde(default)]
    pub(super) setup_url: String,
    #[serde(default)]
    public: bool,
    #[serde(rename = "default_permissions", default)]
    pub(super) permissions: BTreeMap<String, String>,
    #[serde(rename = "default_events", default)]
    pub(super) events: BTreeSet<String>,
}

#[derive(Deserialize)]
pub(super) struct HookAsked {
    pub(super) url: String,
    #[serde(default = "yes")]
    pub(super) active: bool,
}

fn yes() -> bool {
    true
}

impl Manifest {
    /// Reads one. `Err` says what the owner is told.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let manifest: Manifest =
            serde_json::from_str(text).map_err(|error| format!("Invalid manifest: {error}"))?;
        for (what, url) in [
            ("url", &manifest.url),
            ("redirect_url", &manifest.redirect_url),
            ("hook_attributes.url", &manifest.hook.url),
        ] {
            let good = Url::parse(url).is_ok_and(|url| url.has_host());
            if !good {
                return Err(format!("Invalid manifest: {what} must be a URL"));
            }
        }
        if manifest.public {
            return Err("This server makes no public Apps".to_owned());
        }
        // GitHub sends this event only to those who may read what it is about.
        let hears = manifest.events.contains("workflow_job");
        if hears && !manifest.permissions.contains_key("actions") {
            return Err("Default events unsupported: workflow_job".to_owned());
        }
        Ok(manifest)
    }

    /// The same under the name that the owner chose on GitHub's page.
    pub(super) fn named(mut self, name: String) -> Result<Self, &'static str> {
        if name.trim().is_empty() {
            return Err("Name can't be blank");
        }
        if name.chars().count() > LONGEST_NAME {
            return Err("Name is too long (maximum is 34 characters)");
        }
        self.name = name;
        Ok(self)
    }
}
