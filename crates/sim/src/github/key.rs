//! RSA keys: made by openssl, because ring cannot make them; taken apart and used here.

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::signature::{RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents};
use serde_json::{Value, json};
use std::process::Command;

/// A private key as its nine PKCS#1 numbers: n e d p q dp dq qinv after the version.
#[derive(Clone)]
pub(super) struct Key {
    numbers: Vec<Vec<u8>>,
}

/// Makes a key of 2048 bits, PEM. Takes some tenths of a second.
///
/// # Errors
/// When `openssl` is not there or fails.
pub fn generate_pem() -> anyhow::Result<String> {
    let made = Command::new("openssl").args(["genrsa", "2048"]).output();
    let made = made.context("cannot run `openssl genrsa`: install the package openssl")?;
    ensure!(
        made.status.success(),
        "openssl genrsa failed: {}",
        String::from_utf8_lossy(&made.stderr)
    );
    Ok(String::from_utf8(made.stdout)?)
}

impl Key {
    /// Takes a PEM text apart, PKCS#1 or PKCS#8.
    pub(super) fn from_pem(pem: &str) -> anyhow::Result<Self> {
        let body: String =
            pem.lines().filter(|line| !line.starts_with("-----")).flat_map(str::chars).collect();
        let der = STANDARD.decode(body.trim()).context("the key is not PEM")?;
        let (_, outer, _) = element(&der)?;
        let mut items = elements(outer)?;
        // PKCS#8: version, algorithm, then PKCS#1 inside an octet string.
        if let Some((0x04, inner)) = items.get(2).copied() {
            let (_, inner, _) = element(inner)?;
            items = elements(inner)?;
        }
        ensure!(items.len() >= 9, "the key is not RSA");
        let strip = |bytes: &[u8]| bytes.iter().copied().skip_while(|byte| *byte == 0).collect();
        Ok(Key { numbers: items[1..9].iter().map(|(_, bytes)| strip(bytes)).collect() })
    }

    /// The numbers as the runner's `.credentials_rsaparams` holds them.
    pub(super) fn rsa_parameters(&self) -> Value {
        // .NET wants each number at its full length.
        let half = self.numbers[0].len() / 2;
        let text = |at: usize, length: usize| {
            let number = &self.numbers[at];
            let mut padded = vec![0; length.saturating_sub(number.len())];
            padded.extend_from_slice(number);
            STANDARD.encode(padded)
        };
        json!({ "modulus": text(0, 0), "exponent": text(1, 0), "d": text(2, 2 * half), "p": text(3, half),
            "q": text(4, half), "dp": text(5, half), "dq": text(6, half), "inverseQ": text(7, half) })
    }

    /// Checks a JWT's RS256 signature. Gives its claims.
    pub(super) fn verified_claims(&self, token: &str) -> anyhow::Result<Value> {
        let (signed, signature) = token.rsplit_once('.').context("not a JWT")?;
        let (header, claims) = signed.split_once('.').context("not a JWT")?;
        let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header)?)?;
        if header["alg"] != "RS256" {
            bail!("the algorithm is not RS256");
        }
        let public = RsaPublicKeyComponents { n: &self.numbers[0], e: &self.numbers[1] };
        let signature = URL_SAFE_NO_PAD.decode(signature)?;
        let checked = public.verify(&RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature);
        checked.map_err(|_| anyhow::anyhow!("the signature is wrong"))?;
        Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?)
    }
}

/// One DER element: tag, content, rest.
fn element(bytes: &[u8]) -> anyhow::Result<(u8, &[u8], &[u8])> {
    let cut = || anyhow::anyhow!("the key's DER is cut");
    let (tag, first) =
        (*bytes.first().with_context(cut)?, usize::from(*bytes.get(1).with_context(cut)?));
    let (length, at) = if first < 0x80 {
        (first, 2)
    } else {
        let octets = bytes.get(2..2 + (first & 0x7f)).with_context(cut)?;
        (octets.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte)), 2 + octets.len())
    };
    let content = bytes.get(at..at.saturating_add(length)).with_context(cut)?;
    Ok((tag, content, &bytes[at + length..]))
}

fn elements(mut bytes: &[u8]) -> anyhow::Result<Vec<(u8, &[u8])>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (tag, content, rest) = element(bytes)?;
        found.push((tag, content));
        bytes = rest;
    }
    Ok(found)
}
