//! What is wanted: from flags, and for what they leave open from questions.

use super::ask::Questions;
use super::{Error, Existing, Person};
use crate::config::ca::{self, Refused};
use crate::config::{defaults, values};
use crate::forge::Scope;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use url::Url;

/// Beside the daemon's own port.
const LISTEN: &str = "127.0.0.1:9199";

/// GitHub's longest name of an App.
const LONGEST_NAME: usize = 34;

/// Where Flint takes webhooks; behind a proxy it may be called otherwise.
const HOOK_PATH: &str = "/webhook";

/// What was given on the command line.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Given {
    /// Serve the jobs of this organization
    #[arg(long, value_name = "LOGIN", env = "FLINT_ORGANIZATION")]
    pub organization: Option<String>,
    /// Serve the jobs of one repository instead
    #[arg(
        long,
        value_name = "OWNER/NAME",
        env = "FLINT_REPOSITORY",
        conflicts_with = "organization"
    )]
    pub repository: Option<String>,
    /// GitHub's REST address; Enterprise Server: `https://HOST/api/v3` [default: `https://api.github.com`]
    #[arg(long, value_name = "URL", env = "FLINT_GITHUB_URL")]
    pub github_url: Option<String>,
    /// The authority of an Enterprise Server, if public ones do not know it: a PEM file, which stays where it is
    #[arg(long, value_name = "FILE", env = "FLINT_CA_CERTIFICATE")]
    pub ca_certificate: Option<PathBuf>,
    /// Where GitHub reaches Flint's webhook, such as `https://flint.acme.example/webhook`; empty: Flint asks GitHub for its jobs
    #[arg(long, value_name = "URL")]
    pub webhook_url: Option<String>,
    /// The App's name, one of its kind in all of GitHub [default: flint-OWNER]
    #[arg(long, value_name = "NAME")]
    pub app_name: Option<String>,
    /// Where the page is served, on loopback [default: 127.0.0.1:9199]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Write a new configuration where one is; the old one is kept beside it
    #[arg(long)]
    pub force: bool,
}

/// What is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// GitHub's REST address; ends with `/`.
    pub api: Url,
    /// Authorities that are trusted beside the system's.
    pub ca_certificate: Option<CaCertificate>,
    /// Whose jobs.
    pub scope: Scope,
    /// Where webhooks go. `None`: the profile has a scale set.
    pub hook: Option<Url>,
    /// The App's name.
    pub name: String,
    /// Where the page is served.
    pub listen: SocketAddr,
    /// The file to write; the secrets lie beside it.
    pub config: PathBuf,
    /// What becomes of files that are there.
    pub existing: Existing,
}

/// A file of authorities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaCertificate {
    /// Its path from the root, as the configuration names it.
    pub path: PathBuf,
    /// What it holds, PEM.
    pub pem: String,
}

impl Wish {
    /// Takes the flags, and asks for what they leave open if somebody is there.
    ///
    /// # Errors
    /// [`Error::Missing`] and [`Error::Flag`] name a flag; [`Error::Answer`] when the terminal went away.
    pub fn complete(given: Given, config: PathBuf, person: Person<'_>) -> Result<Wish, Error> {
        let listen = flag("--listen", given.listen.as_deref().unwrap_or(LISTEN), loopback)?;
        let mut ask = Questions::new(person);
        let scope = match (&given.organization, &given.repository) {
            (Some(text), _) => flag("--organization", text, |text| {
                values::organization(text).map(Scope::Organization)
            })?,
            (None, Some(text)) => flag("--repository", text, repository)?,
            (None, None) => ask.required(
                "Whose jobs shall run here? An organization, or one repository as owner/name",
                "--organization or --repository",
                scope,
            )?,
        };
        let api = match &given.github_url {
            Some(text) => flag("--github-url", text, values::url)?,
            None => ask.optional(
                "GitHub's REST address; of an Enterprise Server https://HOST/api/v3",
                defaults::GITHUB_URL,
                values::url,
            )?,
        };
        let ca_certificate = given.ca_certificate.as_deref().map(authorities).transpose()?;
        let hook = match &given.webhook_url {
            Some(text) => flag("--webhook-url", text, hook)?,
            None => ask.optional(
                "Where GitHub reaches this Flint, such as https://flint.acme.example/webhook; empty: Flint asks for its jobs",
                "",
                hook,
            )?,
        };
        let name = match &given.app_name {
            Some(text) => flag("--app-name", text, app_name)?,
            None => ask.optional(
                "The App's name, one of its kind in all of GitHub",
                &default_name(&scope),
                app_name,
            )?,
        };
        let existing = if given.force { Existing::SetAside } else { Existing::Refuse };
        Ok(Wish { api, ca_certificate, scope, hook, name, listen, config, existing })
    }
}

fn flag<T>(
    flag: &'static str,
    given: &str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<T, Error> {
    read(given).map_err(|wanted| Error::Flag { flag, given: given.to_owned(), wanted })
}

fn authorities(path: &Path) -> Result<CaCertificate, Error> {
    let refused =
        |Refused { problem, help }| Error::CaCertificate { path: path.to_owned(), problem, help };
    let pem = ca::read_file(path).map_err(refused)?.pem;
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Ok(CaCertificate { path, pem })
}

fn scope(text: &str) -> Result<Scope, String> {
    if text.contains('/') {
        return repository(text);
    }
    values::organization(text).map(Scope::Organization)
}

fn repository(text: &str) -> Result<Scope, String> {
    values::repository(text).map(|(owner, name)| Scope::Repository { owner, name })
}

/// The page hands out an App's key: nobody but this host may reach it.
fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = values::listen(text)?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("an address of loopback, such as `127.0.0.1:9199`; reach it from elsewhere by `ssh -L`"
        .to_owned())
}

fn hook(text: &str) -> Result<Option<Url>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let wanted =
        || "an address such as `https://flint.acme.example/webhook`, or nothing".to_owned();
    let mut url = Url::parse(text).map_err(|_| wanted())?;
    let plain = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() || !plain {
        return Err(wanted());
    }
    if url.path() == "/" {
        url.set_path(HOOK_PATH);
    }
    Ok(Some(url))
}

fn app_name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || " -_.".contains(c);
    if (1..=LONGEST_NAME).contains(&text.len()) && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    Err(format!("1 to {LONGEST_NAME} of a-z, A-Z, 0-9, space and `-_.`"))
}

fn default_name(scope: &Scope) -> String {
    let whole = format!("flint-{}", scope.owner());
    whole.chars().take(LONGEST_NAME).collect()
}

#[cfg(test)]
impl Wish {
    /// For an App called `flint-acme`.
    pub(super) fn of_a_test(api: &str, scope: Scope, hook: Option<&str>) -> Wish {
        Wish {
            api: Url::parse(api).unwrap(),
            ca_certificate: None,
            scope,
            hook: hook.map(|hook| Url::parse(hook).unwrap()),
            name: "flint-acme".to_owned(),
            listen: ([127, 0, 0, 1], 9199).into(),
            config: "flint.toml".into(),
            existing: Existing::Refuse,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Exit;
    use std::sync::Mutex;

    fn nobody(given: Given) -> Result<Wish, Error> {
        let person = Person { say: &|_| {}, hear: None };
        Wish::complete(given, "flint.toml".into(), person)
    }

    fn acme() -> Given {
        Given { organization: Some("acme".to_owned()), ..Given::default() }
    }

    #[test]
    fn an_organization_is_enough_where_nobody_can_be_asked() {
        let wish = nobody(acme()).unwrap();
        assert_eq!((wish.name.as_str(), wish.hook), ("flint-acme", None));
        assert_eq!(wish.api.as_str(), "https://api.github.com/");
        assert_eq!(wish.listen.to_string(), "127.0.0.1:9199");
    }

    #[test]
    fn what_is_missing_and_what_is_wrong_names_its_flag() {
        let told = |given: Given| {
            let error = nobody(given).unwrap_err();
            assert_eq!(error.exit(), Exit::Usage);
            format!("{error}: {}", error.help().unwrap())
        };
        let with = |edit: fn(&mut Given)| {
            let mut given = acme();
            edit(&mut given);
            told(given)
        };
        assert!(told(Given::default()).contains("--organization or --repository"));
        assert!(
            with(|g| g.webhook_url = Some("flint.acme.example".to_owned()))
                .contains("--webhook-url")
        );
        assert!(with(|g| g.listen = Some("0.0.0.0:9199".to_owned())).contains("ssh -L"));
        assert!(with(|g| g.app_name = Some("x".repeat(35))).contains("1 to 34"));
        assert!(with(|g| g.github_url = Some("ghes".to_owned())).contains("--github-url"));
        assert!(with(|g| g.organization = Some("a/b".to_owned())).contains("--organization"));
    }

    #[test]
    fn an_address_without_a_path_is_that_of_the_webhook() {
        let url = |text: &str| hook(text).unwrap().map(|url| url.to_string());
        assert_eq!(url(""), None);
        let wanted = Some("https://flint.acme.example/webhook".to_owned());
        assert_eq!(url("https://flint.acme.example"), wanted);
        assert_eq!(url("https://flint.acme.example/webhook"), wanted);
        assert_eq!(url("https://acme.example/x"), Some("https://acme.example/x".to_owned()));
    }

    #[test]
    fn a_dialogue_asks_again_until_an_answer_will_do_and_enter_takes_the_default() {
        let said = Mutex::new(Vec::new());
        let typed = Mutex::new(["no no", "ana/site", "", "https://flint.acme.example", ""].iter());
        let say = |line: &str| said.lock().unwrap().push(line.to_owned());
        let hear = || Ok(typed.lock().unwrap().next().map(|line| (*line).to_owned()));
        let person = Person { say: &say, hear: Some(&hear) };
        let wish = Wish::complete(Given::default(), "flint.toml".into(), person).unwrap();
        let scope = Scope::Repository { owner: "ana".to_owned(), name: "site".to_owned() };
        assert_eq!((wish.scope, wish.name.as_str()), (scope, "flint-ana"));
        assert_eq!(wish.hook.unwrap().as_str(), "https://flint.acme.example/webhook");
        insta::assert_snapshot!(said.into_inner().unwrap().join("\n"), @r"
        Whose jobs shall run here? An organization, or one repository as owner/name:
          it must be an organization's login, as in its address, such as `octo-org`:
        GitHub's REST address; of an Enterprise Server https://HOST/api/v3 [https://api.github.com]:
        Where GitHub reaches this Flint, such as https://flint.acme.example/webhook; empty: Flint asks for its jobs:
        The App's name, one of its kind in all of GitHub [flint-ana]:
        ");
    }

    #[test]
    fn a_terminal_that_goes_away_ends_the_questions() {
        let hear = || Ok(None);
        let person = Person { say: &|_| {}, hear: Some(&hear) };
        let error = Wish::complete(Given::default(), "flint.toml".into(), person).unwrap_err();
        assert!(matches!(error, Error::Answer { .. }));
    }
}
