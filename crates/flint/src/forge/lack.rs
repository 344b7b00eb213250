//! What whoever GitHub answers 403 to lacks, and the page where it is given: an App has permissions, a person's token
//! has others.

use super::Scope;
use super::pages::below;
use url::Url;

/// Where it would be needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Organization,
    Repository,
    Enterprise,
}

/// Who lacks the right to have runners, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    by_app: bool,
    place: Place,
}

impl Lack {
    /// In a scope.
    #[must_use]
    pub fn at(by_app: bool, scope: &Scope) -> Self {
        let place = match scope {
            Scope::Organization(_) => Place::Organization,
            Scope::Repository { .. } => Place::Repository,
            Scope::Enterprise(_) => Place::Enterprise,
        };
        Lack { by_app, place }
    }

    /// Of a call, by its path below the API.
    pub(super) fn of(by_app: bool, path: &[&str]) -> Option<Self> {
        let place = match *path.first()? {
            "orgs" => Place::Organization,
            "repos" => Place::Repository,
            "enterprises" => Place::Enterprise,
            _ => return None,
        };
        Some(Lack { by_app, place })
    }

    /// The page where it is given. `home` is the place's path below the API.
    pub(super) fn page(self, web: &Url, home: &[&str]) -> Url {
        let names = home.get(1..).unwrap_or_default();
        let path: Vec<&str> = match (self.by_app, self.place, names) {
            (true, Place::Organization, [login, ..]) => {
                vec!["organizations", login, "settings", "installations"]
            }
            (true, Place::Repository, [owner, name, ..]) => {
                vec![owner, name, "settings", "installations"]
            }
            _ => vec!["settings", "tokens"],
        };
        below(web, &path)
    }

    /// What a person can do at that page.
    pub(super) fn fix(self, page: &str) -> String {
        let menu = "Settings → Developer settings → Personal access tokens";
        match (self.by_app, self.place) {
            (true, Place::Organization) => format!(
                "give the App the permissions Organization → Self-hosted runners: write and, for webhooks, Repository → \
                 Actions: read, accept them at {page}, and look for IP allow lists"
            ),
            (true, Place::Repository) => format!(
                "give the App the permissions Repository → Administration: write and, for webhooks, Repository → Actions: \
                 read, accept them at {page}, and look for IP allow lists"
            ),
            (false, Place::Organization) => format!(
                "give the token at {page} ({menu}) what it lacks: a fine-grained one of the organization Self-hosted \
                 runners: read and write and, for webhooks, Actions: read-only; a classic one `admin:org` and `repo`. Then \
                 look whether the organization must approve it or wants single sign-on, and for IP allow lists"
            ),
            (false, Place::Repository) => format!(
                "give the token at {page} ({menu}) what it lacks: a fine-grained one of the repository Administration: read \
                 and write and, for webhooks, Actions: read-only; a classic one `repo`. Then look for IP allow lists"
            ),
            (_, Place::Enterprise) => format!(
                "make a classic token with `manage_runners:enterprise` at {page} ({menu}), and put it into the file that \
                 `token_file` names: GitHub lets neither Apps nor fine-grained tokens have an enterprise's runners"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fix(by_app: bool, path: &[&str]) -> String {
        let lack = Lack::of(by_app, path).expect("it is a place");
        lack.fix(lack.page(&Url::parse("https://github.com").unwrap(), path).as_str())
    }

    #[test]
    fn an_app_gets_permissions_and_a_token_its_own_rights() {
        let app = fix(true, &["orgs", "acme", "actions", "runners"]);
        assert!(app.contains("App the permissions Organization → Self-hosted runners"), "{app}");
        assert!(app.contains("https://github.com/organizations/acme/settings/installations"));
        let app = fix(true, &["repos", "ana", "x/../y", "actions"]);
        assert!(app.contains("Repository → Administration: write"), "{app}");
        assert!(app.contains("https://github.com/ana/x%2F..%2Fy/settings/installations"), "{app}");
        for (path, right) in
            [(["orgs", "acme", "x"], "`admin:org`"), (["repos", "a", "b"], "`repo`")]
        {
            let token = fix(false, &path);
            assert!(token.contains(right) && token.contains("fine-grained"), "{token}");
            assert!(token.contains("https://github.com/settings/tokens"), "{token}");
            assert!(token.contains("Developer settings → Personal access tokens"), "{token}");
            assert!(!token.contains("App"), "{token}");
        }
        for by_app in [true, false] {
            let enterprise = fix(by_app, &["enterprises", "big"]);
            assert!(enterprise.contains("classic token with `manage_runners:enterprise`"));
        }
        assert_eq!(Lack::of(true, &["installation", "repositories"]), None);
    }
}
