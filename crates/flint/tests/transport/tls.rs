//! An authority that nobody knows, and a server with TLS of it before a plain one.

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// An authority's files.
pub(crate) struct Authority(tempfile::TempDir);

/// A certificate and its key.
#[derive(Clone)]
pub(crate) struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let authority = Authority(tempfile::tempdir().expect("there is a temporary folder"));
        authority.make("ca", "/CN=Flint's test", &["basicConstraints=critical,CA:TRUE"], &[]);
        authority
    }

    /// Its own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.0.path().join("ca.crt")
    }

    /// As the configuration reads it.
    pub(crate) fn pem(&self) -> String {
        std::fs::read_to_string(self.file()).expect("it was made")
    }

    /// Its own pair, as a server that has no other would show it.
    pub(crate) fn own(&self) -> Pair {
        Pair { certificate: self.file(), key: self.0.path().join("ca.key") }
    }

    /// A server's pair for these names.
    pub(crate) fn sign(&self, names: &str) -> Pair {
        let (ca, key) = (self.file(), self.0.path().join("ca.key"));
        let names = format!("subjectAltName={names}");
        let extensions = [names.as_str(), "basicConstraints=critical,CA:FALSE"];
        let by = ["-CA", text(&ca), "-CAkey", text(&key)];
        self.make("server", "/CN=server", &extensions, &by)
    }

    fn make(&self, name: &str, subject: &str, extensions: &[&str], by: &[&str]) -> Pair {
        let file = |ending: &str| self.0.path().join(format!("{name}.{ending}"));
        let pair = Pair { certificate: file("crt"), key: file("key") };
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-nodes", "-days", "2", "-subj", subject]).args(by);
        openssl.args(extensions.iter().flat_map(|extension| ["-addext", extension]));
        openssl.arg("-out").arg(&pair.certificate).arg("-keyout").arg(&pair.key);
        let made = openssl.output().expect("openssl is a test's requirement");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        pair
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a temporary folder's name is text")
}

/// TLS before somebody who speaks none.
pub(crate) struct Shield {
    pub(crate) address: SocketAddr,
    taken: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

impl Drop for Shield {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Shield {
    /// Holds an address; who is behind it is said later.
    pub(crate) async fn hold() -> TcpListener {
        TcpListener::bind(("127.0.0.1", 0)).await.expect("loopback has a free port")
    }

    pub(crate) fn raise(listener: TcpListener, pair: &Pair, behind: SocketAddr) -> Shield {
        let address = listener.local_addr().expect("it is bound");
        let acceptor = TlsAcceptor::from(Arc::new(config(pair)));
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // Whoever trusts nobody goes away in the middle.
                    let Ok(mut inside) = acceptor.accept(stream).await else { return };
                    let mut plain = TcpStream::connect(behind).await.expect("it is there");
                    tokio::io::copy_bidirectional(&mut inside, &mut plain).await.ok();
                });
            }
        });
        Shield { address, taken, serving }
    }

    /// Connections that were made to it.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

fn config(pair: &Pair) -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(&pair.certificate).expect("it was made");
    let key = PrivateKeyDer::from_pem_file(&pair.key).expect("it was made");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().expect("ring has them");
    let config = builder.with_no_client_auth().with_single_cert(vec![certificate], key);
    config.expect("they belong together")
}
