//! The certificate and key in use, which may change while connections are open.

use super::words::TlsPair;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::{Arc, PoisonError, RwLock};

/// What new connections use; cheap to clone, all clones are one.
#[derive(Clone, Default)]
pub struct Tls(Arc<RwLock<Option<Arc<ServerConfig>>>>);

impl Tls {
    /// From the next connection on; `None` is plain. What is of no use changes nothing, and says why.
    pub(super) fn replace(&self, pair: Option<TlsPair>) -> Result<(), String> {
        let config = pair.as_ref().map(config).transpose()?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    pub(super) fn now(&self) -> Option<Arc<ServerConfig>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn config(pair: &TlsPair) -> Result<Arc<ServerConfig>, String> {
    let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
    let chain: Vec<_> =
        chain.collect::<Result<_, _>>().map_err(|e| format!("the certificate is no PEM: {e}"))?;
    if chain.is_empty() {
        return Err("the certificate's file holds no certificate".to_owned());
    }
    let key = PrivateKeyDer::from_pem_slice(pair.key.expose().as_bytes())
        .map_err(|_| "the key's file holds no private key".to_owned())?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().map_err(|e| e.to_string())?;
    let config = builder.with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.map_err(|e| format!("certificate and key do not go together: {e}"))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flint_wire::Secret;

    fn why(certificate: &str, key: &str) -> String {
        let key = Secret::new(key.to_owned());
        let pair = TlsPair { certificate: certificate.to_owned(), key };
        config(&pair).map(drop).expect_err("it is of no use")
    }

    #[test]
    fn what_is_of_no_use_is_named_and_never_quoted() {
        let empty = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(why("", "s3cret"), "the certificate's file holds no certificate");
        assert_eq!(why(empty, "s3cret"), "the key's file holds no private key");
        assert!(!why(empty, "-----BEGIN PRIVATE KEY-----\ns3cret").contains("s3cret"));
        let tls = Tls::default();
        assert!(tls.replace(None).is_ok() && tls.now().is_none());
    }
}
