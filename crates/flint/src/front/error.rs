//! Why the half that faces the network cannot be had.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// A front that does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address could not be taken.
    #[error("cannot listen on `{address}`")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The process could not be started.
    #[error("cannot start the process that faces the network")]
    Start {
        /// Why not.
        source: io::Error,
    },
    /// It may do more than it should.
    #[error("cannot confine the process that faces the network: it lacks {lost}")]
    Unconfined {
        /// What it could not have.
        lost: String,
    },
    /// It ended or hung before it served.
    #[error("the process that faces the network does not answer")]
    Silent,
    /// It said something that it may not say.
    #[error("the process that faces the network said something that it may not say")]
    Unsound {
        /// What.
        source: super::words::Unsound,
    },
    /// The line between the halves.
    #[error("cannot speak with the other half")]
    Link {
        /// Why not.
        source: io::Error,
    },
    /// A file for TLS.
    #[error("cannot read `{path}` for TLS")]
    TlsFile {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A certificate and a key that are of no use.
    #[error("cannot serve TLS: {why}")]
    Tls {
        /// Why not.
        why: String,
    },
    /// Started by hand.
    #[error("cannot serve without the daemon")]
    Alone,
}

impl Error {
    /// What the user can do about it.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Error::Listen { address, source } => return listen_help(*address, source),
            Error::Unconfined { .. } => {
                "Flint runs as root with CAP_SYS_ADMIN, SETUID, SETGID and SETPCAP, on Linux 5.9 or newer with seccomp; \
                 `confine = false` in `[server]` goes without what this machine lacks"
                    .to_owned()
            }
            Error::TlsFile { .. } => {
                "`tls_certificate` and `tls_key` of `[server]` are PEM files of at most 40 KiB each"
                    .to_owned()
            }
            Error::Tls { .. } => {
                "`tls_certificate` holds the server's certificate first, then the chain; `tls_key` holds its key"
                    .to_owned()
            }
            Error::Alone => "`flint serve` starts it by itself".to_owned(),
            Error::Start { .. } | Error::Silent | Error::Unsound { .. } | Error::Link { .. } => {
                return None;
            }
        })
    }
}

fn listen_help(address: SocketAddr, source: &io::Error) -> Option<String> {
    let port = address.port();
    match source.kind() {
        io::ErrorKind::AddrInUse => Some(format!(
            "another program has port {port} (`ss -ltnp 'sport = :{port}'` names it): end it, or choose another port"
        )),
        io::ErrorKind::PermissionDenied => {
            Some(format!("port {port} needs root or CAP_NET_BIND_SERVICE"))
        }
        io::ErrorKind::AddrNotAvailable => {
            Some(format!("no interface of this host has the address {}", address.ip()))
        }
        _ => None,
    }
}
