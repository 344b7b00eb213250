//! The way from a wish to an App that is installed: two facts come from the browser, the third from GitHub.
//!
//! What GitHub shows once, the key, is on the disk before the browser is sent on. From then on nothing can be lost: the
//! rest can be done by hand, and `flint doctor --github` says what is left.

use super::app::App;
use super::error::{Error, Unfinished};
use super::manifest::manifest;
use super::page::{self, Answer};
use super::server::Asked;
use super::visit::{Door, Visit};
use super::{Files, Wish};
use crate::forge::pages::Pages;
use crate::forge::setup::Setup;
use flint_wire::Secret;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// As long as a manifest's code is good.
const PATIENCE: Duration = Duration::from_hours(1);
/// How often GitHub is asked whether the App is installed, while no browser says so: 1,200 calls an hour of 5,000.
const GLANCE: Duration = Duration::from_secs(3);
/// For the browser to come back from the installation that GitHub already tells of.
const LINGER: Duration = Duration::from_secs(5);

/// One run.
pub(super) struct Flow<'a> {
    pub(super) wish: &'a Wish,
    pub(super) files: &'a Files,
    pub(super) say: &'a (dyn Fn(&str) + Sync),
    pub(super) setup: Setup,
    pub(super) pages: Pages,
    pub(super) door: Arc<Door>,
    pub(super) stage: Stage,
}

/// How far it is.
pub(super) enum Stage {
    /// No App yet.
    Asking,
    /// The App is there; its files are, too.
    Made(Box<App>),
    /// All done.
    Installed { app: String },
}

/// Waits for Ctrl-C. Without a way to hear of it, the kernel ends the program by it.
async fn heard(interrupt: &mut Option<Signal>) {
    match interrupt {
        Some(interrupt) => drop(interrupt.recv().await),
        None => std::future::pending().await,
    }
}

impl Flow<'_> {
    /// Says where the page is.
    pub(super) fn invite(&self) {
        let address = self.wish.listen;
        let page = self.door.page("");
        let port = page.port().unwrap_or_else(|| address.port());
        (self.say)(&format!("open {page}"));
        (self.say)(&format!(
            "  in a browser on this host; from another one first: ssh -L {port}:{}:{port} THIS_HOST",
            address.ip()
        ));
        (self.say)("  Ctrl-C ends it; nothing is made before you say so at GitHub");
    }

    /// Until the App is installed. Gives its name.
    pub(super) async fn go(
        &mut self,
        asked: &mut mpsc::Receiver<Asked>,
        mut interrupt: Option<Signal>,
    ) -> Result<String, Error> {
        let mut deadline = Instant::now() + PATIENCE;
        let mut glance = tokio::time::interval(GLANCE);
        loop {
            tokio::select! {
                Some(Asked { visit, answer }) = asked.recv() => {
                    let seen = matches!(visit, Visit::Installed);
                    let (page, end) = self.visit(visit).await;
                    // Who went away needs no page.
                    answer.send(page).ok();
                    end?;
                    if let (Stage::Installed { app }, true) = (&self.stage, seen) {
                        return Ok(app.clone());
                    }
                }
                _ = glance.tick() => {
                    if matches!(self.stage, Stage::Made(_)) && self.look().await? {
                        deadline = Instant::now() + LINGER;
                    }
                }
                () = tokio::time::sleep_until(deadline) => return match &self.stage {
                    Stage::Installed { app } => Ok(app.clone()),
                    _ => Err(Error::TooLate { unfinished: self.unfinished() }),
                },
                () = heard(&mut interrupt) => return match &self.stage {
                    Stage::Installed { app } => Ok(app.clone()),
                    _ => Err(Error::Stopped { unfinished: self.unfinished() }),
                },
            }
        }
    }

    fn unfinished(&self) -> Unfinished {
        match &self.stage {
            Stage::Made(app) => Unfinished::NotInstalled { page: app.install.to_string() },
            Stage::Asking | Stage::Installed { .. } => Unfinished::NoApp,
        }
    }

    /// What somebody sees, and whether all ends by it.
    async fn visit(&mut self, visit: Visit) -> (Answer, Result<(), Error>) {
        match (visit, &self.stage) {
            (Visit::Refused(refusal), _) => (page::refused(refusal), Ok(())),
            (Visit::Start, Stage::Asking) => (self.start(), Ok(())),
            (Visit::Made(code), Stage::Asking) => self.made(&code).await,
            (Visit::Installed, Stage::Asking) => {
                let help = "Begin at the address that the terminal shows.";
                (page::failed(409, "No App was made", help), Ok(()))
            }
            (Visit::Start | Visit::Made(_), Stage::Made(app)) => {
                (Answer::Go(app.install.clone()), Ok(()))
            }
            (Visit::Installed, Stage::Made(_)) => {
                let looked = self.look().await;
                (self.standing(), looked.map(drop))
            }
            (_, Stage::Installed { .. }) => (self.standing(), Ok(())),
        }
    }

    fn start(&self) -> Answer {
        let action = self.pages.new_app(self.door.state());
        let manifest = manifest(self.wish, &self.door.page("made"), &self.door.page("installed"));
        page::start(self.wish, &action, &manifest)
    }

    fn standing(&self) -> Answer {
        match &self.stage {
            Stage::Installed { app } => page::done(app, &self.wish.scope),
            Stage::Made(app) => page::waiting(&app.install),
            Stage::Asking => self.start(),
        }
    }

    /// Exchanges the code, and stores what comes of it before anything else.
    async fn made(&mut self, code: &Secret) -> (Answer, Result<(), Error>) {
        let made = match self.setup.exchange(code).await {
            Ok(made) => made,
            // The person can begin again.
            Err(error) => {
                (self.say)(&crate::error::chain(&error));
                return (page::not_exchanged(&error), Ok(()));
            }
        };
        match App::keep(made, self.wish, self.files, &self.pages) {
            Ok(app) => {
                let key = self.files.key.display();
                (self.say)(&format!("the App `{}` is made; its key is in {key}", app.name));
                (self.say)(&format!("  waiting until it is installed: {}", app.install));
                let install = app.install.clone();
                self.stage = Stage::Made(Box::new(app));
                (Answer::Go(install), Ok(()))
            }
            Err(error) => {
                let help = error.help().unwrap_or_default();
                (page::failed(500, &error.to_string(), &help), Err(error))
            }
        }
    }

    /// Asks GitHub whether the App is installed; true when it is.
    async fn look(&mut self) -> Result<bool, Error> {
        let Stage::Made(app) = &mut self.stage else {
            return Ok(false);
        };
        if !app.is_installed().await? {
            return Ok(false);
        }
        let app = app.name.clone();
        (self.say)(&format!("`{app}` is installed in {}", self.wish.scope));
        self.stage = Stage::Installed { app };
        Ok(true)
    }
}
