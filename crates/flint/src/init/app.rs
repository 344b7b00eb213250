//! The App from the moment at which GitHub shows its key: stored first, then asked after until it is installed.

use super::files::Files;
use super::template;
use super::visit::random_hex;
use super::{Error, Wish};
use crate::config::defaults;
use crate::forge::pages::Pages;
use crate::forge::setup::Made;
use crate::forge::{self, Credentials, GitHub, Options, RunnerGroup, WebhookAuth};
use flint_wire::Secret;
use url::Url;

/// A new App may be unknown for a moment where it is asked for.
const DENIALS_MAX: u32 = 5;
/// No runner is named by it.
const NOBODY: &str = "init";

/// An App whose key and configuration are on the disk.
pub(super) struct App {
    pub(super) name: String,
    /// Where it is installed.
    pub(super) install: Url,
    client: GitHub,
    denials: u32,
}

impl App {
    /// Stores what GitHub shows this once.
    ///
    /// # Errors
    /// [`Error::OtherOwner`] before anything is written; [`Error::Lost`] when not all of it could be.
    pub(super) fn keep(
        made: Made,
        wish: &Wish,
        files: &Files,
        pages: &Pages,
    ) -> Result<App, Error> {
        let wanted = wish.scope.owner();
        let (page, install) = (below(pages, &made, ""), below(pages, &made, "/installations/new"));
        if !made.owner.eq_ignore_ascii_case(wanted) {
            let (wanted, page) = (wanted.to_owned(), page.to_string());
            return Err(Error::OtherOwner { app: made.name, owner: made.owner, wanted, page });
        }
        store(&made, &page, wish, files).map_err(|source| Error::Lost {
            app: made.name.clone(),
            page: page.to_string(),
            source: Box::new(source),
        })?;
        let options = Options {
            api_url: wish.api.as_str().trim_end_matches('/').to_owned(),
            ca_certificates: wish.ca_certificate.as_ref().map(|ca| ca.pem.clone()),
            scope: wish.scope.clone(),
            credentials: Credentials::App {
                id: made.id.to_string(),
                private_key: made.private_key,
            },
            webhook: WebhookAuth::Refused,
            runner_group: RunnerGroup::Number(defaults::RUNNER_GROUP),
        };
        let client = GitHub::new(&options, NOBODY).map_err(|source| Error::GitHub { source })?;
        Ok(App { name: made.name, install, client, denials: 0 })
    }

    /// Asks GitHub whether it is installed. No answer is no.
    ///
    /// # Errors
    /// When GitHub says again and again that it does not know the App.
    pub(super) async fn is_installed(&mut self) -> Result<bool, Error> {
        match self.client.installed().await {
            Ok(_) => Ok(true),
            Err(source @ (forge::Error::Unauthorized { .. } | forge::Error::Forbidden { .. })) => {
                self.denials += 1;
                let refused = self.denials > DENIALS_MAX;
                if refused { Err(Error::GitHub { source }) } else { Ok(false) }
            }
            Err(_) => Ok(false),
        }
    }
}

fn store(made: &Made, page: &Url, wish: &Wish, files: &Files) -> Result<(), Error> {
    let config = template::Config { wish, files, app: made.id, page: page.as_str() };
    let config = template::render(&config);
    // Without a webhook GitHub makes no secret; one of ours is ready for when there is one.
    let own = || random_hex::<32>().map(Secret::new);
    let secret = made.webhook_secret.clone().map_or_else(own, Ok);
    let secret = secret.map_err(|source| Error::Write { path: files.secret.clone(), source })?;
    files.store(&made.private_key, &secret, &config)
}

/// The App's page or one below it, at the GitHub that was asked for, whatever host its answer names.
fn below(pages: &Pages, made: &Made, more: &str) -> Url {
    let mut page = pages.home().clone();
    page.set_path(&format!("{}{more}", made.page.path().trim_end_matches('/')));
    page
}
