//! The App that GitHub is asked to make: what it may do and hear, and where its maker comes back to.
//!
//! Source: GitHub's page on registering an App from a manifest.

use super::Wish;
use crate::forge::rights::{EVENT, needs};
use crate::forge::setup::NO_HOOK;
use serde_json::{Map, Value, json};
use url::Url;

/// Shown on the App's page.
const HOME: &str = "https://github.com/flint-actions/flint";

/// The manifest. `made` and `installed` are pages of ours.
pub(super) fn manifest(wish: &Wish, made: &Url, installed: &Url) -> Value {
    let permissions: Map<String, Value> = needs(&wish.scope)
        .iter()
        .map(|need| (need.name.to_owned(), Value::from(need.level)))
        .collect();
    let hook = wish.hook.as_ref().map_or(NO_HOOK, Url::as_str);
    json!({
        "name": wish.name,
        "url": HOME,
        "description": "Runs workflow jobs in microVMs of our own.",
        "public": false,
        "hook_attributes": { "url": hook, "active": wish.hook.is_some() },
        "redirect_url": made.as_str(),
        "setup_url": installed.as_str(),
        "default_permissions": permissions,
        "default_events": [EVENT],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forge::Scope;

    fn wish(scope: Scope, hook: Option<&str>) -> Wish {
        Wish::of_a_test("https://api.github.com/", scope, hook)
    }

    fn asked(wish: &Wish) -> Value {
        let page = |path: &str| Url::parse(&format!("http://127.0.0.1:9199/k/{path}")).unwrap();
        manifest(wish, &page("made"), &page("installed"))
    }

    #[test]
    fn the_app_may_do_what_flint_needs_and_nothing_else() {
        let wish = wish(
            Scope::Organization("acme".to_owned()),
            Some("https://flint.acme.example/webhook"),
        );
        insta::assert_snapshot!(serde_json::to_string_pretty(&asked(&wish)).unwrap(), @r#"
        {
          "default_events": [
            "workflow_job"
          ],
          "default_permissions": {
            "actions": "read",
            "metadata": "read",
            "organization_self_hosted_runners": "write"
          },
          "description": "Runs workflow jobs in microVMs of our own.",
          "hook_attributes": {
            "active": true,
            "url": "https://flint.acme.example/webhook"
          },
          "name": "flint-acme",
          "public": false,
          "redirect_url": "http://127.0.0.1:9199/k/made",
          "setup_url": "http://127.0.0.1:9199/k/installed",
          "url": "https://github.com/flint-actions/flint"
        }
        "#);
    }

    #[test]
    fn without_an_address_its_webhook_is_off() {
        let scope = Scope::Repository { owner: "ana".to_owned(), name: "site".to_owned() };
        let asked = asked(&wish(scope, None));
        assert_eq!(asked["hook_attributes"]["active"], false);
        assert_eq!(asked["default_permissions"]["administration"], "write");
    }
}
