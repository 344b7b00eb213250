//! What GitHub says of the App, judged: a line for each permission and event, each with the page where it is set.

use super::Line;
use super::github::bad;
use crate::error::chain;
use crate::forge::pages::{Account, Pages};
use crate::forge::rights::{EVENT, Need, Rights, needs};
use crate::forge::setup::NO_HOOK;
use crate::forge::{Error, GroupView, Hook, Installed, Known, Options, Proofs, Scope, WebhookAuth};
use url::Url;

/// Of what tells of jobs, where no profile hears by it.
const UNNEEDED: &str = "not needed: every profile has a scale set";

/// All that was read.
pub(super) struct Seen {
    pub(super) app: Known,
    pub(super) installed: Result<Installed, Error>,
    pub(super) hook: Result<Hook, Error>,
    /// What a token may do; `None` without an installation.
    pub(super) proofs: Option<Proofs>,
}

/// The lines, in the order in which they should be put right.
pub(super) fn lines(options: &Options, seen: &Seen) -> Vec<Line> {
    let pages = Pages::new(&api(options), &options.scope, account(options, &seen.app));
    let mut lines =
        vec![Line::ok("app", format!("{}, known at {}", seen.app.html_url, options.api_url))];
    lines.push(installation(options, seen, &pages));
    let given = seen.installed.as_ref().ok();
    let needs = needs(&options.scope);
    lines.extend(needs.iter().map(|need| permission(need, &seen.app, given, &pages)));
    // Profiles with scale sets hear of their jobs otherwise.
    let hears = !matches!(options.webhook, WebhookAuth::Refused);
    if hears {
        lines.push(event(&seen.app, given, &pages));
        lines.push(webhook(&seen.hook, &seen.app, &pages));
    } else {
        lines.extend([EVENT, "webhook"].map(|item| Line::ok(item, UNNEEDED)));
    }
    lines.extend(seen.proofs.iter().flat_map(|proofs| proved(proofs, &options.scope)));
    lines
}

fn api(options: &Options) -> Url {
    Url::parse(&options.api_url).expect("the client was made of it")
}

/// A repository's owner may be a person; whose the App is says so. An organization is one.
fn account(options: &Options, app: &Known) -> Account {
    match options.scope {
        Scope::Organization(_) | Scope::Enterprise(_) => Account::Organization,
        Scope::Repository { .. } => app.account(),
    }
}

fn installation(options: &Options, seen: &Seen, pages: &Pages) -> Line {
    let scope = &options.scope;
    match &seen.installed {
        Ok(Installed { suspended_at: Some(since), id, .. }) => Line::bad(
            "installation",
            format!("suspended since {since}"),
            &format!("end the suspension: {}", pages.installation(*id)),
        ),
        Ok(Installed { repositories, .. }) if repositories == "selected" => {
            Line::ok("installation", format!("in {scope}, for selected repositories"))
        }
        Ok(_) => Line::ok("installation", format!("in {scope}, for all repositories")),
        Err(Error::NotFound { .. }) => Line::bad(
            "installation",
            format!("not in {scope}"),
            &format!("install the App there: {}/installations/new", seen.app.html_url),
        ),
        Err(error) => bad("installation", error, "ask again later"),
    }
}

/// First what the App asks for, then what it was given: the owner must accept a change.
fn permission(need: &Need, app: &Known, given: Option<&Installed>, pages: &Pages) -> Line {
    let Need { name, title, level, purpose } = *need;
    let reading = |rights: &Rights| rights.level(need).unwrap_or("none").to_owned();
    if !app.rights.allow(need) {
        let fix = format!("set {title} to {level}, to {purpose}: {}", pages.permissions(&app.slug));
        let reading = format!("the App asks for: {}; needed: {level}", reading(&app.rights));
        return Line::bad(name, reading, &fix);
    }
    match given {
        Some(given) if !given.rights.allow(need) => {
            let fix = format!("accept the App's new permissions: {}", pages.installation(given.id));
            let reading = format!("the App has: {}; needed: {level}", reading(&given.rights));
            Line::bad(name, reading, &fix)
        }
        Some(given) => Line::ok(name, reading(&given.rights)),
        None => Line::ok(name, format!("the App asks for: {}", reading(&app.rights))),
    }
}

fn event(app: &Known, given: Option<&Installed>, pages: &Pages) -> Line {
    if !app.rights.hear() {
        let fix = format!("subscribe to Workflow job: {}", pages.permissions(&app.slug));
        return Line::bad(EVENT, "the App does not subscribe to it", &fix);
    }
    match given {
        Some(given) if !given.rights.hear() => {
            let fix = format!("accept the App's new permissions: {}", pages.installation(given.id));
            Line::bad(EVENT, "the installation does not send it", &fix)
        }
        _ => Line::ok(EVENT, "subscribed"),
    }
}

fn webhook(hook: &Result<Hook, Error>, app: &Known, pages: &Pages) -> Line {
    let page = pages.app(&app.slug);
    match hook {
        Ok(Hook { url: Some(url), content_type }) if !url.is_empty() && url != NO_HOOK => {
            match content_type.as_deref() {
                Some("form") => {
                    let fix = format!("set its content type to application/json: {page}");
                    Line::bad("webhook", format!("{url}, as a form"), &fix)
                }
                _ => Line::ok("webhook", url.clone()),
            }
        }
        Ok(_) => Line::note(
            "webhook",
            "none: GitHub tells of no job by itself",
            &format!("set its URL, ending in /webhook, and make it active: {page}"),
        ),
        Err(error) => Line::note("webhook", chain(error), &format!("look at {page}")),
    }
}

/// What read-only calls showed, whatever the App or the token claims to have.
pub(super) fn proved(proofs: &Proofs, scope: &Scope) -> Vec<Line> {
    let fix = "look at the App's permissions, or the token's";
    let mut lines = vec![match &proofs.runners {
        Ok(()) => Line::ok("runners", format!("a token lists those of {scope}")),
        Err(error) => bad("runners", error, fix),
    }];
    // Of what cannot be listed the rest is known.
    if proofs.runners.is_err() {
        return lines;
    }
    lines.push(match &proofs.group {
        Ok(group) => Line::ok("runner group", group_of(group)),
        Err(error @ Error::NotFound { .. }) => {
            let fix = "make it, or name another: `github.runner_group`";
            Line::bad("runner group", chain(error), fix)
        }
        Err(error) => bad("runner group", error, fix),
    });
    lines.extend(match (&proofs.runs, scope) {
        (Ok(Some(name)), _) => {
            Some(Line::ok("runs", format!("a token reads those of {}", crate::text::line(name))))
        }
        // Nobody asks for runs there.
        (Ok(None), Scope::Enterprise(_)) => None,
        (Ok(None), _) => {
            let fix = "give the App, or the token, the repositories whose jobs it is to run";
            Some(Line::note("runs", format!("no repository of {scope} can be seen"), fix))
        }
        (Err(error), _) => Some(bad("runs", error, fix)),
    });
    lines
}

/// A job of a repository that its group does not admit gets no runner, and a scale set never hears of it.
fn group_of(GroupView { name, visibility }: &GroupView) -> String {
    let name = crate::text::line(name);
    match visibility.as_deref() {
        None | Some("all") => name,
        Some(visibility) => {
            let visibility = crate::text::line(visibility);
            format!("{name}, which admits {visibility} repositories alone")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::show;
    use crate::forge::{Credentials, RunnerGroup};
    use flint_wire::Secret;
    use serde_json::{Value, json};

    fn options(scope: Scope) -> Options {
        Options {
            api_url: "https://api.github.com".to_owned(),
            ca_certificates: None,
            scope,
            credentials: Credentials::Token(Secret::new(String::new())),
            webhook: WebhookAuth::Insecure,
            runner_group: RunnerGroup::Number(1),
        }
    }

    fn acme() -> Options {
        options(Scope::Organization("acme".to_owned()))
    }

    fn rights() -> Value {
        json!({ "events": ["workflow_job"], "permissions": {
            "metadata": "read", "actions": "read", "organization_self_hosted_runners": "write" } })
    }

    fn app(rights: &Value) -> Known {
        let mut shown = json!({ "id": 1, "slug": "flint-acme", "html_url": "https://github.com/apps/flint-acme" });
        shown.as_object_mut().unwrap().extend(rights.as_object().unwrap().clone());
        serde_json::from_value(shown).unwrap()
    }

    fn installed(rights: &Value) -> Installed {
        let mut shown = json!({ "id": 7, "repository_selection": "all", "suspended_at": null });
        shown.as_object_mut().unwrap().extend(rights.as_object().unwrap().clone());
        serde_json::from_value(shown).unwrap()
    }

    fn hook(url: &str, content_type: &str) -> Hook {
        Hook { url: Some(url.to_owned()), content_type: Some(content_type.to_owned()) }
    }

    fn group(visibility: &str) -> GroupView {
        GroupView { name: "Default".to_owned(), visibility: Some(visibility.to_owned()) }
    }

    fn good() -> Seen {
        Seen {
            app: app(&rights()),
            installed: Ok(installed(&rights())),
            hook: Ok(hook("https://flint.acme.example/webhook", "json")),
            proofs: Some(Proofs {
                runners: Ok(()),
                group: Ok(group("all")),
                runs: Ok(Some("acme/web".to_owned())),
            }),
        }
    }

    #[test]
    fn each_permission_and_event_has_its_line() {
        insta::assert_snapshot!(show(&lines(&acme(), &good()), false), @r"
            ITEM                              READING
        ok  app                               https://github.com/apps/flint-acme, known at https://api.github.com
        ok  installation                      in acme, for all repositories
        ok  metadata                          read
        ok  actions                           read
        ok  organization_self_hosted_runners  write
        ok  workflow_job                      subscribed
        ok  webhook                           https://flint.acme.example/webhook
        ok  runners                           a token lists those of acme
        ok  runner group                      Default
        ok  runs                              a token reads those of acme/web
        ");
    }

    #[test]
    fn what_the_app_does_not_ask_for_is_named_with_the_page_where_it_is_set() {
        let mut less = rights();
        less["permissions"]["actions"].take();
        less["permissions"]["organization_self_hosted_runners"] = "read".into();
        less["events"] = json!([]);
        let seen = Seen {
            app: app(&less),
            installed: Ok(installed(&less)),
            hook: Ok(hook("https://flint.acme.example/webhook", "form")),
            ..good()
        };
        insta::assert_snapshot!(show(&lines(&acme(), &seen), false), @r"
             ITEM                              READING
        ok   app                               https://github.com/apps/flint-acme, known at https://api.github.com
        ok   installation                      in acme, for all repositories
        ok   metadata                          read
        bad  actions                           the App asks for: none; needed: read
        bad  organization_self_hosted_runners  the App asks for: read; needed: write
        bad  workflow_job                      the App does not subscribe to it
        bad  webhook                           https://flint.acme.example/webhook, as a form
        ok   runners                           a token lists those of acme
        ok   runner group                      Default
        ok   runs                              a token reads those of acme/web
          help: actions: set Repository → Actions to read, to hear of jobs, and ask about those of which no webhook told: https://github.com/organizations/acme/settings/apps/flint-acme/permissions
          help: organization_self_hosted_runners: set Organization → Self-hosted runners to write, to register and remove runners: https://github.com/organizations/acme/settings/apps/flint-acme/permissions
          help: workflow_job: subscribe to Workflow job: https://github.com/organizations/acme/settings/apps/flint-acme/permissions
          help: webhook: set its content type to application/json: https://github.com/organizations/acme/settings/apps/flint-acme
        ");
    }

    #[test]
    fn what_the_owner_has_not_accepted_is_accepted_at_the_installation() {
        let mut less = rights();
        less["permissions"]["actions"].take();
        less["events"] = json!([]);
        let seen = Seen { installed: Ok(installed(&less)), hook: Ok(Hook::default()), ..good() };
        insta::assert_snapshot!(show(&lines(&acme(), &seen), false), @r"
              ITEM                              READING
        ok    app                               https://github.com/apps/flint-acme, known at https://api.github.com
        ok    installation                      in acme, for all repositories
        ok    metadata                          read
        bad   actions                           the App has: none; needed: read
        ok    organization_self_hosted_runners  write
        bad   workflow_job                      the installation does not send it
        note  webhook                           none: GitHub tells of no job by itself
        ok    runners                           a token lists those of acme
        ok    runner group                      Default
        ok    runs                              a token reads those of acme/web
          help: actions: accept the App's new permissions: https://github.com/organizations/acme/settings/installations/7
          help: workflow_job: accept the App's new permissions: https://github.com/organizations/acme/settings/installations/7
          help: webhook: set its URL, ending in /webhook, and make it active: https://github.com/organizations/acme/settings/apps/flint-acme
        ");
    }

    #[test]
    fn where_every_profile_has_a_scale_set_nothing_has_to_be_told() {
        let mut less = rights();
        less["events"] = json!([]);
        let seen = Seen { app: app(&less), hook: Ok(Hook::default()), ..good() };
        let options = Options { webhook: WebhookAuth::Refused, ..acme() };
        let lines = lines(&options, &seen);
        assert!(lines.iter().all(|line| line.fix.is_none()), "{lines:#?}");
        assert_eq!(lines.iter().filter(|line| line.reading == UNNEEDED).count(), 2);
    }

    #[test]
    fn an_app_that_is_not_installed_says_where_to_install_it() {
        let error = || Error::NotFound {
            call: "GET /x".to_owned(),
            said: "Not Found".to_owned(),
            pathless: None,
        };
        let seen = Seen { installed: Err(error()), hook: Err(error()), proofs: None, ..good() };
        insta::assert_snapshot!(show(&lines(&acme(), &seen), false), @r"
              ITEM                              READING
        ok    app                               https://github.com/apps/flint-acme, known at https://api.github.com
        bad   installation                      not in acme
        ok    metadata                          the App asks for: read
        ok    actions                           the App asks for: read
        ok    organization_self_hosted_runners  the App asks for: write
        ok    workflow_job                      subscribed
        note  webhook                           cannot GET /x: GitHub answered 404: Not Found
          help: installation: install the App there: https://github.com/apps/flint-acme/installations/new
          help: webhook: look at https://github.com/organizations/acme/settings/apps/flint-acme
        ");
    }

    #[test]
    fn what_no_call_shows_is_named_with_what_to_do() {
        let error = |call: &str| Error::NotFound {
            call: call.to_owned(),
            said: "no".to_owned(),
            pathless: None,
        };
        let proofs = Proofs {
            runners: Ok(()),
            group: Err(error("find the runner group `build`")),
            runs: Ok(None),
        };
        let scope = acme().scope;
        insta::assert_snapshot!(show(&proved(&proofs, &scope), false), @r"
              ITEM          READING
        ok    runners       a token lists those of acme
        bad   runner group  cannot find the runner group `build`: GitHub answered 404: no
        note  runs          no repository of acme can be seen
          help: runner group: make it, or name another: `github.runner_group`
          help: runs: give the App, or the token, the repositories whose jobs it is to run
        ");
        let words = group_of(&group("selected"));
        assert_eq!(words, "Default, which admits selected repositories alone");
        let enterprise = Scope::Enterprise("big".to_owned());
        assert_eq!(proved(&proofs, &enterprise).len(), 2, "nobody asks for runs there");
        let proofs = Proofs { runners: Err(error("list runners")), ..proofs };
        assert_eq!(proved(&proofs, &scope).len(), 1, "the rest follows from it");
    }
}
