//! GitHub's pages for people: where they are, of the address of its API.
//!
//! Source: GitHub's pages on registering an App from a manifest, on Enterprise Server and on data residency.

use super::Scope;
use url::Url;

/// The REST API of github.com, and where its pages are instead.
const PUBLIC: (&str, &str) = ("api.github.com", "github.com");
/// Hosts of GitHub with data residency: pages at `SUB.ghe.com`, the API at `api.SUB.ghe.com`.
const RESIDENT: &str = ".ghe.com";
/// Where a GitHub Enterprise Server has its API.
const SERVER_API: &str = "/api/v3";

/// What kind of account owns an App.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account {
    /// An organization.
    Organization,
    /// A person.
    User,
}

/// The settings of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pages {
    web: Url,
    /// The organization; `None` is the person who is signed in.
    organization: Option<String>,
}

impl Pages {
    /// Of the account that owns this scope.
    #[must_use]
    pub fn new(api: &Url, scope: &Scope, account: Account) -> Self {
        let organization = (account == Account::Organization).then(|| scope.owner().to_owned());
        Pages { web: web(api), organization }
    }

    /// Where GitHub begins, without a path.
    #[must_use]
    pub fn home(&self) -> &Url {
        &self.web
    }

    /// Where an App is made from a manifest. `state` comes back with the answer.
    #[must_use]
    pub fn new_app(&self, state: &str) -> Url {
        let mut url = self.settings(&["apps", "new"]);
        url.query_pairs_mut().append_pair("state", state);
        url
    }

    /// The App's own settings: its name, its webhook, its keys.
    #[must_use]
    pub fn app(&self, slug: &str) -> Url {
        self.settings(&["apps", slug])
    }

    /// Where the App's permissions and events are set.
    #[must_use]
    pub fn permissions(&self, slug: &str) -> Url {
        self.settings(&["apps", slug, "permissions"])
    }

    /// Where the account accepts what the App asks for, and chooses repositories.
    #[must_use]
    pub fn installation(&self, id: u64) -> Url {
        self.settings(&["installations", &id.to_string()])
    }

    fn settings(&self, path: &[&str]) -> Url {
        let mut whole = match &self.organization {
            Some(login) => vec!["organizations", login.as_str(), "settings"],
            None => vec!["settings"],
        };
        whole.extend(path);
        below(&self.web, &whole)
    }
}

/// A page below another; names of strangers are safe in it.
pub(super) fn below(url: &Url, path: &[&str]) -> Url {
    let mut url = url.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().extend(path);
    }
    url
}

/// GitHub's pages, of its API.
pub(super) fn web(api: &Url) -> Url {
    let mut url = api.clone();
    let host = api.host_str().unwrap_or_default();
    let resident = host.strip_prefix("api.").filter(|rest| rest.ends_with(RESIDENT));
    let public = (host == PUBLIC.0).then_some(PUBLIC.1);
    if let Some(host) = public.or(resident) {
        // Both are names of hosts, so there is nothing to refuse.
        let _ = url.set_host(Some(host));
    }
    let path = url.path().trim_end_matches('/');
    let path = path.strip_suffix(SERVER_API).unwrap_or(path).to_owned();
    url.set_path(&path);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(api: &str, account: Account) -> Pages {
        let scope = Scope::Organization("acme".to_owned());
        Pages::new(&Url::parse(api).unwrap(), &scope, account)
    }

    #[test]
    fn an_app_is_made_on_the_page_of_its_owner() {
        for (api, account, page) in [
            (
                "https://api.github.com/",
                Account::Organization,
                "https://github.com/organizations/acme/settings/apps/new?state=s%26t",
            ),
            (
                "https://api.github.com/",
                Account::User,
                "https://github.com/settings/apps/new?state=s%26t",
            ),
            (
                "https://ghes.example/api/v3/",
                Account::Organization,
                "https://ghes.example/organizations/acme/settings/apps/new?state=s%26t",
            ),
            (
                "https://api.octocorp.ghe.com",
                Account::User,
                "https://octocorp.ghe.com/settings/apps/new?state=s%26t",
            ),
        ] {
            assert_eq!(pages(api, account).new_app("s&t").as_str(), page, "{api}");
        }
    }

    #[test]
    fn a_fix_is_on_a_page_that_has_an_address() {
        let pages = pages("https://api.github.com", Account::Organization);
        let base = "https://github.com/organizations/acme/settings";
        assert_eq!(pages.app("f/x").as_str(), format!("{base}/apps/f%2Fx"));
        assert_eq!(pages.permissions("flint").as_str(), format!("{base}/apps/flint/permissions"));
        assert_eq!(pages.installation(7).as_str(), format!("{base}/installations/7"));
    }
}
