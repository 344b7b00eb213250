//! The App's credentials: whether the key is one, without asking anyone.

use super::Line;
use crate::config::GithubOptions;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::RsaKeyPair;

/// All lines about GitHub.
pub(super) fn look(github: &GithubOptions, ask: bool) -> Vec<Line> {
    let mut lines = vec![key(github.private_key.expose())];
    if ask {
        // The call itself is the forge's to make; it is not wired to the doctor yet.
        let fix = "start flint: its first line about GitHub says whether the App is known";
        lines.push(Line::warn("app", format!("{} was not asked", github.url), fix));
    }
    lines
}

fn key(pem: &str) -> Line {
    match modulus_bits(pem) {
        Some(bits) => Line::ok("private key", format!("RSA, {bits} bits")),
        None => {
            let fix = "make a new one on the App's page (Private keys) and download its .pem file";
            Line::bad("private key", "it is no RSA private key", fix)
        }
    }
}

/// The size of the key in a PEM text, PKCS#1 or PKCS#8.
pub(super) fn modulus_bits(pem: &str) -> Option<usize> {
    let body: String = pem
        .lines()
        .map(str::trim)
        .skip_while(|line| !line.starts_with("-----BEGIN"))
        .skip(1)
        .take_while(|line| !line.starts_with("-----END"))
        .collect();
    let der = zeroize::Zeroizing::new(STANDARD.decode(body).ok()?);
    let pair = RsaKeyPair::from_pkcs8(&der).or_else(|_| RsaKeyPair::from_der(&der)).ok()?;
    Some(pair.public().modulus_len() * 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_between_the_marks_must_be_a_key() {
        for text in
            ["", "hello", "-----BEGIN RSA PRIVATE KEY-----\nMII=\n-----END RSA PRIVATE KEY-----\n"]
        {
            assert_eq!(modulus_bits(text), None, "{text}");
        }
    }
}
