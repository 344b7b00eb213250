//! The one-job registration: three files in base64, one of them a private key.

use super::Error;
use super::console::now_s;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::rsa::{KeyPairComponents, PublicKeyComponents};
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use serde_json::{Value, json};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Who this runner is.
pub(super) struct Identity {
    files: Vec<(&'static str, Vec<u8>)>,
    pub(super) agent_id: u64,
    pub(super) name: String,
    pub(super) work_folder: String,
    pub(super) server: String,
    pub(super) authorization_url: String,
    client_id: String,
    key: RsaKeyPair,
}

const NAMES: [&str; 3] = [".runner", ".credentials", ".credentials_rsaparams"];

/// The name of the runner that a one-job registration is for.
#[must_use]
pub fn runner_name(config: &str) -> Option<String> {
    Identity::decode(config).ok().map(|identity| identity.name)
}

impl Identity {
    /// Reads what GitHub's `generate-jitconfig` gave.
    pub(super) fn decode(config: &str) -> Result<Self, Error> {
        let outer = object(&unbase64(config.trim(), "the whole")?, "the whole")?;
        let mut files = Vec::new();
        let mut values = Vec::new();
        for name in NAMES {
            let text = outer[name].as_str().ok_or_else(|| bad(&format!("it has no `{name}`")))?;
            let bytes = unbase64(text, name)?;
            values.push(object(&bytes, name)?);
            files.push((name, bytes));
        }
        let (runner, credentials, key) = (&values[0], &values[1], &values[2]);
        let text = |value: &Value, name: &str| {
            value[name]
                .as_str()
                .map(str::to_owned)
                .ok_or_else(|| bad(&format!("it has no `{name}`")))
        };
        if runner["useV2Flow"] != true {
            return Err(bad("it is not for the V2 protocol"));
        }
        let agent_id = &runner["agentId"];
        let agent_id = agent_id.as_u64().or_else(|| agent_id.as_str()?.parse().ok());
        let mut server = text(runner, "serverUrlV2")?;
        if !server.ends_with('/') {
            server.push('/');
        }
        Ok(Identity {
            agent_id: agent_id.ok_or_else(|| bad("it has no `agentId`"))?,
            name: text(runner, "agentName")?,
            work_folder: runner["workFolder"].as_str().unwrap_or("_work").to_owned(),
            server,
            authorization_url: text(&credentials["data"], "authorizationUrl")?,
            client_id: text(&credentials["data"], "clientId")?,
            key: key_pair(key)?,
            files,
        })
    }

    /// Writes the hidden files as the real one does, readable by the runner's user only.
    pub(super) fn write_files(&self, root: &Path) -> Result<(), Error> {
        for (name, bytes) in &self.files {
            let path = root.join(name);
            let mut options = fs::OpenOptions::new();
            let open = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
            let written = open.and_then(|mut file| file.write_all(bytes));
            written.map_err(|source| Error::File { path, source })?;
        }
        Ok(())
    }

    /// Proves who we are: valid from now on, for 5 minutes. A guest with a wrong clock is refused.
    pub(super) fn assertion(&self) -> Result<String, Error> {
        let now = now_s();
        let claims = json!({ "iss": self.client_id, "sub": self.client_id, "aud": self.authorization_url,
            "jti": unique(), "nbf": now, "iat": now, "exp": now + 300 });
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
        let mut signature = vec![0; self.key.public().modulus_len()];
        self.key
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
            .map_err(|_| bad("its key cannot sign"))?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn unique() -> String {
    let mut bytes = [0; 16];
    // Without entropy the id repeats and the server refuses it, which is the right end.
    let _ = SystemRandom::new().fill(&mut bytes);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn key_pair(key: &Value) -> Result<RsaKeyPair, Error> {
    let number = |name: &str| -> Result<Vec<u8>, Error> {
        let text = key[name].as_str().ok_or_else(|| bad(&format!("its key has no `{name}`")))?;
        let bytes = unbase64(text, name)?;
        // .NET pads its numbers to a fixed length; ring wants none.
        Ok(bytes.into_iter().skip_while(|byte| *byte == 0).collect())
    };
    let parts = KeyPairComponents {
        public_key: PublicKeyComponents { n: number("modulus")?, e: number("exponent")? },
        d: number("d")?,
        p: number("p")?,
        q: number("q")?,
        dP: number("dp")?,
        dQ: number("dq")?,
        qInv: number("inverseQ")?,
    };
    RsaKeyPair::from_components(&parts)
        .map_err(|rejected| bad(&format!("its key is not usable ({rejected})")))
}

fn unbase64(text: &str, what: &str) -> Result<Vec<u8>, Error> {
    STANDARD.decode(text).map_err(|_| bad(&format!("{what} is no base64")))
}

fn object(bytes: &[u8], what: &str) -> Result<Value, Error> {
    // The real runner's files may begin with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice(bytes).map_err(|_| bad(&format!("{what} is no JSON")))
}

fn bad(problem: &str) -> Error {
    Error::BadConfig { problem: problem.to_owned() }
}
