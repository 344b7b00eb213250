//! The pages: plain HTML without script, of our own words and of texts that are escaped.

use super::Wish;
use super::visit::Refusal;
use crate::forge::rights::{EVENT, needs};
use crate::forge::{self, Scope};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use serde_json::Value;
use std::fmt::Write;
use url::Url;

const STYLE: &str = include_str!("page.css");

/// An answer to a visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A page, with its HTTP status.
    Page(u16, String),
    /// On to GitHub.
    Go(Url),
}

/// What a page may load: its own style and nothing else. The form's target is not in it: browsers would also hold it
/// against where GitHub sends people on to sign in.
pub(super) fn policy() -> String {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; frame-ancestors 'none'"
    )
}

/// The first page: its one button sends the manifest to GitHub.
pub(super) fn start(wish: &Wish, action: &Url, manifest: &Value) -> Answer {
    let place = escape(&wish.scope.to_string());
    let github = escape(action.host_str().unwrap_or_default());
    let rows: String =
        rows(wish).into_iter().fold(String::new(), |mut rows, [head, text, more]| {
            let (head, text, more) = (escape(&head), escape(&text), escape(&more));
            writeln!(rows, "<tr><th>{head}</th><td>{text}<small>{more}</small></td></tr>")
                .expect("a string takes every text");
            rows
        });
    let body = format!(
        "<h1>Give Flint a GitHub App</h1>
<p>Flint registers runners for <strong>{place}</strong> through a GitHub App that belongs to you. This button asks {github} to \
make it, with just these rights. There you can change its name; then you choose where it is installed.</p>
<table>
{rows}</table>
<form action=\"{}\" method=\"post\">
<input type=\"hidden\" name=\"manifest\" value=\"{}\">
<button type=\"submit\" id=\"make\">Make the App at GitHub</button>
</form>
<p><small>The key goes to the host that serves this page, and stays there. {} Nothing is made before you say so at GitHub.</small></p>",
        escape(action.as_str()),
        escape(&manifest.to_string()),
        owner_hint(&wish.scope),
    );
    Answer::Page(200, document("Give Flint a GitHub App", &body))
}

fn owner_hint(scope: &Scope) -> String {
    match scope {
        Scope::Organization(login) | Scope::Enterprise(login) => {
            format!(
                "If GitHub shows “404”, you are not signed in as an owner of {}.",
                escape(login)
            )
        }
        Scope::Repository { owner, .. } => {
            format!("You must be signed in as {} or as one of its owners.", escape(owner))
        }
    }
}

/// A row each: what, how much, what for.
fn rows(wish: &Wish) -> Vec<[String; 3]> {
    let row = |head: &str, text: &str, more: &str| [head, text, more].map(str::to_owned);
    let mut rows = vec![row("Name", &wish.name, "one of its kind in all of GitHub")];
    rows.extend(needs(&wish.scope).iter().map(|need| row(need.title, need.level, need.purpose)));
    rows.push(row("Event", EVENT, "a job is queued, runs, or has ended"));
    rows.push(match &wish.hook {
        Some(url) => row("Webhook", url.as_str(), "where GitHub tells of jobs"),
        None => row("Webhook", "none", "Flint asks GitHub for its jobs"),
    });
    rows
}

/// The last page.
pub(super) fn done(app: &str, scope: &Scope) -> Answer {
    let (app, scope) = (escape(app), escape(&scope.to_string()));
    let text = format!("The App <strong>{app}</strong> is installed in <strong>{scope}</strong>.");
    told(200, "Done", &format!("{text} Go back to the terminal; this page can be closed."))
}

/// The App is there, and not yet installed.
pub(super) fn waiting(install: &Url) -> Answer {
    let text = "GitHub says that the App is not installed yet. If you asked an owner for it, they must agree first; else \
                install it here: ";
    let link = escape(install.as_str());
    told(200, "Not installed yet", &format!("{text}<a href=\"{link}\">{link}</a>"))
}

/// The code was of no use, or nobody knows.
pub(super) fn failed(status: u16, what: &str, help: &str) -> Answer {
    told(status, what, &escape(help))
}

/// GitHub did not give the App for its code.
pub(super) fn not_exchanged(error: &forge::Error) -> Answer {
    let (status, help) = match error {
        forge::Error::NotFound { .. } => (
            410,
            "GitHub's code was used already, or is older than an hour. If an App of that name is in your settings now, \
             delete it there; then begin again at the address that the terminal shows."
                .to_owned(),
        ),
        error => {
            let why = error.help().unwrap_or_else(|| error.to_string());
            (502, format!("{why}. Load this page again in a moment."))
        }
    };
    failed(status, "GitHub did not give the App", &help)
}

/// A visit that has no effect.
pub(super) fn refused(refusal: Refusal) -> Answer {
    let (status, title, text) = match refusal {
        Refusal::OtherHost => (421, "Not here", "Open the address that the terminal shows."),
        Refusal::NoPage => (404, "No such page", "Open the address that the terminal shows."),
        Refusal::OtherState => (
            403,
            "Not from here",
            "This answer of GitHub does not belong to this run of flint init: nothing was done with it. Begin at the \
             address that the terminal shows.",
        ),
        Refusal::NoCode => (
            400,
            "No App was made",
            "GitHub sent no code. Begin again at the address that the terminal shows.",
        ),
    };
    told(status, title, text)
}

/// `html` is our own words around escaped texts.
fn told(status: u16, title: &str, html: &str) -> Answer {
    let body = format!("<h1>{}</h1>\n<p>{html}</p>", escape(title));
    Answer::Page(status, document(title, &body))
}

fn document(title: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <main>\n{body}\n</main>\n</html>\n"
    )
}

/// A text that no browser takes for anything else, also between quotes.
fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in crate::text::escaped(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(scope: Scope, hook: Option<&str>) -> Wish {
        Wish::of_a_test("https://api.github.com/", scope, hook)
    }

    /// Without the style, which says nothing.
    fn shown(answer: &Answer) -> String {
        match answer {
            Answer::Page(status, html) => format!("{status}\n{}", html.replace(STYLE, "..")),
            Answer::Go(url) => format!("to {url}"),
        }
    }

    #[test]
    fn the_first_page_says_what_is_asked_for_and_has_one_button() {
        let action = Url::parse("https://github.com/organizations/acme/settings/apps/new?state=s");
        let wish = wish(
            Scope::Organization("acme".to_owned()),
            Some("https://flint.acme.example/webhook"),
        );
        let page = start(&wish, &action.unwrap(), &serde_json::json!({ "name": "flint-acme" }));
        insta::assert_snapshot!(shown(&page), @r#"
        200
        <!doctype html>
        <html lang="en">
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width">
        <title>Give Flint a GitHub App</title>
        <style>..</style>
        <main>
        <h1>Give Flint a GitHub App</h1>
        <p>Flint registers runners for <strong>acme</strong> through a GitHub App that belongs to you. This button asks github.com to make it, with just these rights. There you can change its name; then you choose where it is installed.</p>
        <table>
        <tr><th>Name</th><td>flint-acme<small>one of its kind in all of GitHub</small></td></tr>
        <tr><th>Repository → Metadata</th><td>read<small>see the repositories</small></td></tr>
        <tr><th>Repository → Actions</th><td>read<small>hear of jobs, and ask about those of which no webhook told</small></td></tr>
        <tr><th>Organization → Self-hosted runners</th><td>write<small>register and remove runners</small></td></tr>
        <tr><th>Event</th><td>workflow_job<small>a job is queued, runs, or has ended</small></td></tr>
        <tr><th>Webhook</th><td>https://flint.acme.example/webhook<small>where GitHub tells of jobs</small></td></tr>
        </table>
        <form action="https://github.com/organizations/acme/settings/apps/new?state=s" method="post">
        <input type="hidden" name="manifest" value="{&quot;name&quot;:&quot;flint-acme&quot;}">
        <button type="submit" id="make">Make the App at GitHub</button>
        </form>
        <p><small>The key goes to the host that serves this page, and stays there. If GitHub shows “404”, you are not signed in as an owner of acme. Nothing is made before you say so at GitHub.</small></p>
        </main>
        </html>
        "#);
    }

    #[test]
    fn no_text_of_strangers_becomes_markup() {
        let hostile = "<script>alert('x')</script>\" onclick=\"x\u{202e}";
        let scope = Scope::Organization(hostile.to_owned());
        let action = Url::parse("https://ghes.example/").unwrap();
        let mut wish = wish(scope.clone(), None);
        wish.name = hostile.to_owned();
        let manifest = serde_json::json!({ "name": hostile });
        for page in
            [start(&wish, &action, &manifest), done(hostile, &scope), failed(502, hostile, hostile)]
        {
            let html = shown(&page);
            assert!(!html.contains("<script") && !html.contains("\" onclick"), "{html}");
            assert!(!html.contains('\u{202e}'), "{html}");
        }
    }

    #[test]
    fn a_page_loads_nothing_but_its_style() {
        let policy = policy();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        let Answer::Page(_, html) = done("a", &Scope::Organization("b".to_owned())) else {
            panic!()
        };
        assert!(!html.contains("http") && !html.contains("src="), "{html}");
        assert!(html.contains(&format!("<style>{STYLE}</style>")));
    }

    #[test]
    fn what_has_no_effect_says_where_to_begin() {
        let refusals = [Refusal::OtherHost, Refusal::NoPage, Refusal::OtherState, Refusal::NoCode];
        for refusal in refusals {
            let Answer::Page(status, html) = refused(refusal) else { panic!("it is a page") };
            assert!(status >= 400 && html.contains("the terminal shows"), "{html}");
        }
    }
}
