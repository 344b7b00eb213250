//! One token for all calls: an installation's, made when needed and renewed before it ends; or a person's, as it was given.

use super::app_auth::App;
use super::rest::{self, Bearer, Call, Freshness, Reply, Rest};
use super::{Credentials, Error, Scope};
use flint_core::units::Timestamp;
use flint_wire::Secret;
use reqwest::Method;
use serde::Deserialize;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// A token with less than this left is renewed: a call must not outlive its token.
const SPARE: Duration = Duration::from_secs(5 * 60);

/// The App at one installation, or a person.
pub(super) struct Tokens {
    /// A person has none.
    app: Option<App>,
    /// Below it GitHub's API tells of the installation: `orgs/LOGIN`.
    home: Vec<String>,
    // Held while a token is made: whoever else wants one waits for it instead of making another.
    held: Mutex<Held>,
}

/// A token as handed out. The number tells an old one from its successor.
#[derive(Clone)]
pub(super) struct Token {
    pub(super) text: Arc<Secret>,
    number: u64,
    expires: Timestamp,
}

#[derive(Default)]
struct Held {
    installation: Option<u64>,
    token: Option<Token>,
    made: u64,
}

/// The App where our scope installed it.
#[derive(Deserialize)]
pub(super) struct Installation {
    pub(super) id: u64,
    /// The App's number, whichever of its two ids we were given.
    #[serde(default)]
    pub(super) app_id: serde_json::Value,
}

#[derive(Deserialize)]
struct Minted {
    token: Secret,
    expires_at: jiff::Timestamp,
}

impl Tokens {
    pub(super) fn new(credentials: &Credentials, scope: &Scope) -> Result<Self, Error> {
        let home = scope.home().into_iter().map(str::to_owned).collect();
        Ok(match credentials {
            Credentials::App { id, private_key } => {
                let app = Some(App::new(id, private_key)?);
                Tokens { app, home, held: Mutex::default() }
            }
            Credentials::Token(text) => {
                let (text, expires) = (Arc::new(text.clone()), Timestamp(u64::MAX));
                let token = Some(Token { text, number: 0, expires });
                let held = Mutex::new(Held { token, ..Held::default() });
                Tokens { app: None, home, held }
            }
        })
    }

    pub(super) fn is_app(&self) -> bool {
        self.app.is_some()
    }

    fn app(&self) -> Result<&App, Error> {
        self.app.as_ref().ok_or_else(|| Error::Forbidden {
            call: "ask as an App".to_owned(),
            said: "a personal access token is no App's, and only the App may".to_owned(),
        })
    }

    /// The token in use, renewed when little of it is left.
    pub(super) async fn get(&self, rest: &Rest) -> Result<Token, Error> {
        let mut held = self.held.lock().await;
        let fresh = |token: &&Token| rest::now().after(SPARE) < token.expires;
        match held.token.as_ref().filter(fresh) {
            Some(token) => Ok(token.clone()),
            None => self.make(rest, &mut held).await,
        }
    }

    /// Another token than `refused`, which GitHub answered 401 to.
    pub(super) async fn renewed(&self, rest: &Rest, refused: &Token) -> Result<Token, Error> {
        let mut held = self.held.lock().await;
        match held.token.as_ref().filter(|token| token.number != refused.number) {
            Some(newer) => Ok(newer.clone()),
            None => self.make(rest, &mut held).await,
        }
    }

    async fn make(&self, rest: &Rest, held: &mut Held) -> Result<Token, Error> {
        let app = self.app.as_ref().ok_or_else(|| Error::Unauthorized {
            call: "use the personal access token".to_owned(),
            said: "it was refused".to_owned(),
            skew: None,
        })?;
        held.token = None;
        let proof = app.proof(rest::now())?;
        let installation = match held.installation {
            Some(id) => id,
            None => self.find_installation(rest, &proof).await?.id,
        };
        held.installation = Some(installation);
        let id = installation.to_string();
        let path = ["app", "installations", &id, "access_tokens"];
        let made = as_app(rest, &proof, Method::POST, &path, &[]).await;
        if matches!(made, Err(Error::NotFound { .. })) {
            // The App was installed anew: the next try must look again.
            held.installation = None;
        }
        let minted: Minted = made?.json()?;
        let expires = Timestamp(u64::try_from(minted.expires_at.as_millisecond()).unwrap_or(0));
        held.made += 1;
        let token = Token { text: Arc::new(minted.token), number: held.made, expires };
        held.token = Some(token.clone());
        Ok(token)
    }

    async fn find_installation(&self, rest: &Rest, proof: &Secret) -> Result<Installation, Error> {
        let mut path: Vec<&str> = self.home.iter().map(String::as_str).collect();
        path.push("installation");
        as_app(rest, proof, Method::GET, &path, &[]).await?.json()
    }

    /// Reads what only the App itself may read.
    pub(super) async fn read_as_app(
        &self,
        rest: &Rest,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> Result<Reply, Error> {
        let proof = self.app()?.proof(rest::now())?;
        as_app(rest, &proof, Method::GET, path, query).await
    }

    /// Which installation is ours at present: an App that was installed anew has another number than before.
    pub(super) async fn installation(&self, rest: &Rest) -> Result<Installation, Error> {
        let proof = self.app()?.proof(rest::now())?;
        self.find_installation(rest, &proof).await
    }
}

async fn as_app(
    rest: &Rest,
    proof: &Secret,
    method: Method,
    path: &[&str],
    query: &[(&str, &str)],
) -> Result<Reply, Error> {
    let (bearer, freshness) = (Bearer::App(proof), Freshness::Sent);
    rest.send(Call { method, path, query, body: None, bearer, freshness }).await
}
