//! The way to GitHub: whom TLS trusts there, and what helps when there is no answer.

use super::Error;
use super::proxy::{self, Proxy};
use reqwest::{Certificate, ClientBuilder};
use rustls::{CertificateError, Error as TlsError};
use std::error::Error as StdError;
use std::io;
use std::time::Duration;
use url::Url;

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// A variable names a proxy that is none.
    #[error("cannot use {variable}: {problem}")]
    Proxy {
        /// Which.
        variable: &'static str,
        /// What is wrong with it; never a part of it, it may hold a password.
        problem: &'static str,
    },
    /// The client itself.
    #[error(transparent)]
    Http(#[from] reqwest::Error),
}

impl Unready {
    /// What a person can do, when a person can.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Unready::Proxy { variable, .. } => Some(format!(
                "{variable} is an address such as http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, special characters as %XX"
            )),
            Unready::Http(_) => None,
        }
    }
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client for the GitHub at `base`. `authorities` (PEM) are trusted beside the system's.
///
/// # Errors
/// [`Error::Client`].
pub(super) fn client(base: &Url, authorities: Option<&str>) -> Result<ClientBuilder, Error> {
    // Already set by somebody else is as good: every part of Flint uses the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let unready = |source| Error::Client { source };
    proxy::check(base).map_err(unready)?;
    let parsed = authorities.map(|pem| Certificate::from_pem_bundle(pem.as_bytes())).transpose();
    let authorities = parsed.map_err(|source| unready(source.into()))?.unwrap_or_default();
    let builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT);
    Ok(builder.tls_certs_merge(authorities))
}

/// What a person can do about a call without an answer; `None` if nothing special is known of it.
pub(super) fn help(proxy: Option<&Proxy>, error: &reqwest::Error) -> Option<String> {
    match (tls(error), proxy) {
        (Some(error), _) => untrusted(error).map(str::to_owned),
        (None, Some(proxy)) => Some(closed(proxy, error)),
        (None, None) => None,
    }
}

/// The error of TLS among the causes. Those of input and output hide theirs from the chain.
fn tls(error: &reqwest::Error) -> Option<&TlsError> {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        let hidden = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = hidden.map(|hidden| hidden as &(dyn StdError + 'static)).or_else(|| error.source());
    }
    None
}

fn untrusted(error: &TlsError) -> Option<&'static str> {
    let TlsError::InvalidCertificate(problem) = error else { return None };
    Some(match problem {
        // An authority that made itself a new key under its old name gives the second.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is signed by an authority that this host does not know: set `github.ca_certificate` \
             (--ca-certificate) to the file of that authority's own certificate; a proxy that opens TLS has one, too"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server needs a new certificate, unless this host's clock is wrong"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "this host's clock is wrong, or the server's certificate is for later: set the clock, or turn NTP on"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name: `github.url` must have one that stands in it"
        }
        // A certificate that vouches for itself, as openssl makes it by default.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the server shows the certificate of an authority as its own: give it one of its own, signed by that authority"
        }
        _ => {
            "the server's certificate cannot be used: look at it with `openssl s_client -connect HOST:443`"
        }
    })
}

fn says(error: &reqwest::Error, words: &str) -> bool {
    let mut causes = std::iter::successors(error.source(), |error| (*error).source());
    causes.any(|error| error.to_string().contains(words))
}

fn closed(proxy: &Proxy, error: &reqwest::Error) -> String {
    let variable = proxy.variable();
    // The client's errors about tunnels have no names, only words; and no word has the proxy's status.
    if says(error, "proxy authorization required") {
        return format!(
            "the proxy wants another user and password: {variable}=http://USER:PASSWORD@HOST:PORT, special characters as %XX"
        );
    }
    if says(error, "tunnel error: unsuccessful") {
        return "the proxy does not let Flint through: allow CONNECT to GitHub's hosts, port 443, there; hosts that need no \
                proxy belong into NO_PROXY"
            .to_owned();
    }
    format!(
        "check that the proxy is there and that {variable} is right; hosts that need no proxy belong into NO_PROXY"
    )
}
