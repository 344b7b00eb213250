//! TLS on the webhook's port: what is served, and certificates that change while connections are open.
#![cfg(test)]

#[expect(dead_code, reason = "other tests of the stage need the rest")]
#[path = "front/stage.rs"]
mod stage;

use flint::forge::{Scope, WebhookAuth};
use flint::front::tls_files::TlsFiles;
use flint::front::words::{Down, Hook, TlsPair, Up};
use flint::front::{Error, Link, half, link, server};
use flint_wire::Secret;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate for 127.0.0.1 that vouches for itself, and its key, in files of this name.
fn make(folder: &Path, name: &str) -> TlsFiles {
    let files = TlsFiles {
        certificate: folder.join(format!("{name}.crt")),
        key: folder.join(format!("{name}.key")),
    };
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    openssl.args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")]);
    openssl.args(["-addext", "subjectAltName=IP:127.0.0.1"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    openssl.arg("-out").arg(&files.certificate).arg("-keyout").arg(&files.key);
    let made = openssl.output().expect("openssl is a test's requirement");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    files
}

fn pair(files: &TlsFiles) -> TlsPair {
    let read = |path| std::fs::read_to_string(path).expect("it was made");
    TlsPair { certificate: read(&files.certificate), key: Secret::new(read(&files.key)) }
}

/// A connection to whoever has this certificate.
async fn connect(
    address: std::net::SocketAddr,
    trusted: &TlsFiles,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(&trusted.certificate).expect("it was made");
    roots.add(certificate).expect("it is one");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("ring has them").with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::from(address.ip());
    let stream = TcpStream::connect(address).await?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

/// The whole answer to a question without a desk: 401 shows that it was read.
async fn ask(stream: &mut TlsStream<TcpStream>) -> String {
    let request = format!("{}{{}}", stage::head(2, "00"));
    stream.write_all(request.as_bytes()).await.expect("it is read");
    let mut answer = Vec::new();
    // Without a goodbye of TLS the end is an error.
    stream.read_to_end(&mut answer).await.ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_new_pair_is_used_from_the_next_connection_on_and_a_bad_one_never() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (make(folder.path(), "first"), make(folder.path(), "second"));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = link::pair().unwrap();
    let (ours, theirs) = (Link::new(ours).unwrap(), Link::new(theirs).unwrap());
    let auth = WebhookAuth::Secrets { current: Secret::new("s3cret".to_owned()), other: None };
    let hook = Hook::one(auth, Scope::Organization("flint-demo".to_owned()));
    for word in hook.words(Some(pair(&first))) {
        ours.say(&word).await.unwrap();
    }
    let serving = tokio::spawn(half::serve(theirs, listener, server::Limits::WEBHOOK));
    assert!(matches!(ours.hear().await, Ok(Some(Up::Serving))));

    let mut old = connect(address, &first).await.unwrap();
    assert!(connect(address, &second).await.is_err());
    let mut plain = TcpStream::connect(address).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    plain.read_to_end(&mut answer).await.ok();
    assert!(!answer.starts_with(b"HTTP"), "what is not TLS gets no page");

    let key = Secret::new(String::new());
    let bad = TlsPair { certificate: pair(&second).certificate, key };
    let mixed = TlsPair { key: pair(&first).key, ..pair(&second) };
    for bad in [bad, mixed] {
        ours.say(&Down::Tls(bad)).await.unwrap();
        assert!(matches!(ours.hear().await, Ok(Some(Up::Unusable { .. }))));
    }
    connect(address, &first).await.unwrap();
    ours.say(&Down::Tls(pair(&second))).await.unwrap();
    ours.say(&Down::Ping).await.unwrap();
    // Words are taken in order: the pair is in use by now.
    assert!(matches!(ours.hear().await, Ok(Some(Up::Pong { .. }))));
    assert!(connect(address, &first).await.is_err());
    let mut new = connect(address, &second).await.unwrap();
    for stream in [&mut old, &mut new] {
        assert!(ask(stream).await.starts_with("HTTP/1.1 401"));
    }
    drop(ours);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_real_front_serves_tls_and_reads_its_files_again_on_sighup() {
    let folder = tempfile::tempdir().unwrap();
    let (files, next) = (make(folder.path(), "now"), make(folder.path(), "next"));
    let stage = stage::Stage::start(|options| options.tls = Some(files.clone())).await;
    let mut stream = connect(stage.address, &files).await.unwrap();
    assert!(ask(&mut stream).await.starts_with("HTTP/1.1 401"));
    std::fs::copy(&next.certificate, &files.certificate).unwrap();
    std::fs::copy(&next.key, &files.key).unwrap();
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
    // The front takes them in its own time; its next connection after that has them.
    while connect(stage.address, &next).await.is_err() {}
    stage.end().await;
}

#[tokio::test]
async fn files_that_are_of_no_use_end_the_start_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (make(folder.path(), "one"), make(folder.path(), "other"));
    let start = async |tls: TlsFiles| {
        let refused = stage::Stage::try_start(|options| options.tls = Some(tls)).await;
        refused.err().expect("it is refused")
    };
    let mixed = TlsFiles { certificate: one.certificate.clone(), key: other.key.clone() };
    let error = start(mixed).await;
    assert!(matches!(&error, Error::Tls { why } if why.contains("go together")), "{error}");
    let missing = TlsFiles { key: folder.path().join("nowhere"), ..one.clone() };
    let error = start(missing).await;
    assert!(matches!(&error, Error::TlsFile { path, .. } if path.ends_with("nowhere")), "{error}");
    let long = folder.path().join("long");
    std::fs::write(&long, vec![b'x'; 41 * 1024]).unwrap();
    let error = start(TlsFiles { certificate: long, ..one }).await;
    assert!(error.help().is_some_and(|help| help.contains("40 KiB")), "{error}");
}
