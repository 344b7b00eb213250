//! Where scale sets can be at GitHub.
//!
//! Source: actions/scaleset (its configuration's URL).

use crate::forge::Scope;
use crate::forge::lack::Lack;
use crate::forge::pages::{below, web};
use url::Url;

/// A scope at one GitHub.
pub(super) struct Home {
    scope: Scope,
    by_app: bool,
    /// GitHub's pages, without a path.
    web: Url,
}

impl Home {
    pub(super) fn new(api: &Url, by_app: bool, scope: Scope) -> Self {
        Home { scope, by_app, web: web(api) }
    }

    /// The page that a registration is for.
    pub(super) fn page(&self) -> Url {
        match &self.scope {
            Scope::Enterprise(slug) => self.below(&["enterprises", slug]),
            Scope::Organization(login) => self.below(&[login]),
            Scope::Repository { owner, name } => self.below(&[owner, name]),
        }
    }

    /// The page on which whoever calls is given what it lacks.
    pub(super) fn settings(&self) -> Url {
        self.permission().page(&self.web, &self.scope.home())
    }

    /// The page of a workflow run.
    pub(super) fn run(&self, repository: &str, run: u64) -> Url {
        let (owner, name) = repository.split_once('/').unwrap_or((repository, ""));
        self.below(&[owner, name, "actions", "runs", &run.to_string()])
    }

    /// What whoever calls lacks when GitHub refuses scale sets here.
    pub(super) fn permission(&self) -> Lack {
        Lack::at(self.by_app, &self.scope)
    }

    fn below(&self, path: &[&str]) -> Url {
        below(&self.web, path)
    }
}

/// An address that GitHub named, if a token may be sent there: it must be no less protected than `ours`.
pub(super) fn named(text: &str, ours: &Url) -> Result<Url, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    let url = Url::parse(text).map_err(|_| "it is no URL")?;
    let safe = url.scheme() == "https" || (url.scheme() == "http" && ours.scheme() == "http");
    if !safe || url.host().is_none() {
        return Err("it is not an https URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it names a user");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(api: &str, scope: Scope) -> Home {
        Home::new(&Url::parse(api).unwrap(), !matches!(scope, Scope::Enterprise(_)), scope)
    }

    fn organization() -> Scope {
        Scope::Organization("flint-demo".to_owned())
    }

    #[test]
    fn each_kind_of_github_has_its_pages_elsewhere() {
        for (api, page) in [
            ("https://api.github.com", "https://github.com/flint-demo"),
            ("https://api.github.com/", "https://github.com/flint-demo"),
            ("https://api.octocorp.ghe.com", "https://octocorp.ghe.com/flint-demo"),
            ("https://ghes.example/api/v3", "https://ghes.example/flint-demo"),
            ("https://ghes.example:8443/api/v3/", "https://ghes.example:8443/flint-demo"),
            ("https://api.example/api/v3", "https://api.example/flint-demo"),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000/flint-demo"),
        ] {
            assert_eq!(home(api, organization()).page().as_str(), page, "{api}");
        }
    }

    #[test]
    fn each_place_has_its_page_its_permission_and_where_it_is_given() {
        let api = "https://api.github.com";
        let enterprise = home(api, Scope::Enterprise("octo-corp".to_owned()));
        assert_eq!(enterprise.page().as_str(), "https://github.com/enterprises/octo-corp");
        assert_eq!(enterprise.settings().as_str(), "https://github.com/settings/tokens");
        let fix = enterprise.permission().fix("PAGE");
        assert!(fix.contains("classic token with `manage_runners:enterprise` at PAGE"), "{fix}");
        let ours = home(api, organization());
        let settings = "https://github.com/organizations/flint-demo/settings/installations";
        assert_eq!(ours.settings().as_str(), settings);
        let scope = Scope::Repository { owner: "ana".to_owned(), name: "x/../y".to_owned() };
        let repository = home(api, scope);
        assert_eq!(repository.page().as_str(), "https://github.com/ana/x%2F..%2Fy");
        let fix = repository.permission().fix("PAGE");
        assert!(fix.contains("Repository → Administration: write"), "{fix}");
    }

    #[test]
    fn a_token_goes_to_no_address_that_is_less_protected_than_our_own() {
        let https = Url::parse("https://api.github.com").unwrap();
        let http = Url::parse("http://127.0.0.1:1").unwrap();
        assert!(named("https://broker.example/rest/", &https).is_ok());
        assert!(named("http://127.0.0.1:1/x", &http).is_ok());
        for bad in ["", "x", "http://broker.example/", "https://me@broker.example/", "data:,x"] {
            assert!(named(bad, &https).is_err(), "{bad}");
        }
    }
}
