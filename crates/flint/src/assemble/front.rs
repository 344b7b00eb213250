//! The half that faces the network, started and kept.

use super::Error;
use super::host::RealHost;
use super::options::{scope, webhook};
use crate::config::{Config, GithubOptions};
use crate::daemon::door::{Door, Window};
use crate::daemon::front::FrontDesk;
use crate::front::keeper::{self, Keeper};
use crate::front::tls_files::TlsFiles;
use crate::front::words::{Gate, Hook};
use crate::sys::again::SELF;
use std::net::TcpListener;
use tokio::sync::watch;

/// Takes the port.
pub(super) fn listen(config: &Config) -> Result<TcpListener, Error> {
    keeper::bind(config.server.listen).map_err(|source| Error::Front { source })
}

/// Starts the front, which serves from now on.
pub(super) async fn start(config: &Config, listener: TcpListener) -> Result<Keeper, Error> {
    let started = Keeper::start(options(config), listener).await;
    started.map_err(|source| Error::Front { source })
}

/// Who answers it.
pub(super) fn desk(door: &Door, window: &Window, host: &RealHost) -> FrontDesk {
    FrontDesk { door: door.clone(), window: window.clone(), refused: host.refusals() }
}

/// Keeps it until the daemon stops.
pub(super) async fn face(keeper: Keeper, desk: FrontDesk, mut stopped: watch::Receiver<bool>) {
    let stop = async move { drop(stopped.wait_for(|stopped| *stopped).await) };
    keeper.run(desk, stop).await;
}

fn options(config: &Config) -> keeper::Options {
    let server = &config.server;
    let files = server
        .tls
        .as_ref()
        .map(|tls| TlsFiles { certificate: tls.certificate.clone(), key: tls.key.clone() });
    keeper::Options {
        program: SELF.into(),
        listen: server.listen,
        uid: server.uid,
        confine: server.confine,
        directory: config.host.run_dir.clone(),
        hook: Hook { gates: config.github.iter().map(gate).collect() },
        tls: files,
        ping: keeper::PING,
    }
}

/// What an entry's secrets vouch for: of an enterprise no webhook tells.
fn gate(github: &GithubOptions) -> Gate {
    let scopes = github.scopes.iter().filter(|one| one.has_webhooks()).map(scope);
    Gate { auth: webhook(github), scopes: scopes.collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Credentials, RunnerGroup, Scope, Webhooks, values};
    use crate::front::words::{Down, PACKET_MAX};
    use flint_wire::Secret;

    fn entry(scopes: Vec<Scope>, secret: &str) -> GithubOptions {
        let secret = || Secret::new(secret.to_owned());
        GithubOptions {
            ca_certificates: None,
            url: url::Url::parse("https://api.github.com/").expect("it is one"),
            scopes,
            credentials: Credentials::Token(secret()),
            webhooks: Webhooks::Signed(vec![secret(), secret()]),
            runner_group: RunnerGroup::Number(1),
        }
    }

    #[test]
    fn the_fullest_entry_fits_into_a_packet() {
        let name = "x".repeat(values::NAME_MAX);
        let scope = Scope::Repository { owner: name.clone(), name };
        // Each byte of it takes six in JSON.
        let secret = "\u{1}".repeat(values::WEBHOOK_SECRET_MAX);
        let gate = gate(&entry(vec![scope; values::SCOPES_MAX], &secret));
        let packet = serde_json::to_vec(&Down::Gate(gate)).unwrap();
        assert!(packet.len() <= PACKET_MAX, "{}", packet.len());
    }

    #[test]
    fn no_secret_vouches_for_an_enterprise() {
        let scopes = [Scope::Enterprise("corp".to_owned()), Scope::Organization("acme".to_owned())];
        let gate = gate(&entry(scopes.to_vec(), "s"));
        assert_eq!(gate.scopes, [crate::forge::Scope::Organization("acme".to_owned())]);
    }
}
