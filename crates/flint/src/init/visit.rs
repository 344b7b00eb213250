//! Who may come to the page, and what for. A visit that is not proved is answered and has no effect.
//!
//! The page's address holds a key that only this terminal showed, so nobody else on this host uses it; GitHub brings back
//! the state that only this page gave it, so nobody makes Flint take another App. Both are made anew for each run.

use flint_wire::Secret;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use std::borrow::Cow;
use std::net::SocketAddr;
use url::{Url, form_urlencoded};

/// Longer than any code of GitHub's, which has 40 characters.
const LONGEST_CODE: usize = 255;

/// The page's place and its two proofs.
pub(super) struct Door {
    address: SocketAddr,
    key: String,
    state: String,
    /// For comparisons that take the same time however much is right.
    compare: hmac::Key,
}

/// Why somebody came.
pub(super) enum Visit {
    /// To begin.
    Start,
    /// GitHub sent them back: the App is made, and this is its code.
    Made(Secret),
    /// GitHub sent them back: the App is installed, or that was asked for.
    Installed,
    /// For nothing.
    Refused(Refusal),
}

/// Why a visit has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It names another host: some other page leads here.
    OtherHost,
    /// No such page; a wrong key is no more than that.
    NoPage,
    /// GitHub's answer without the state, or with another one.
    OtherState,
    /// GitHub's answer without a code.
    NoCode,
}

impl Door {
    /// A door at this address, with new proofs.
    ///
    /// # Errors
    /// When the kernel gives no randomness.
    pub(super) fn new(address: SocketAddr) -> std::io::Result<Self> {
        let (key, state, compare) = (random()?, random()?, random()?);
        let compare = hmac::Key::new(hmac::HMAC_SHA256, compare.as_bytes());
        Ok(Door { address, key, state, compare })
    }

    /// The state that GitHub brings back.
    pub(super) fn state(&self) -> &str {
        &self.state
    }

    /// A page of ours: `""`, `made` or `installed`.
    pub(super) fn page(&self, name: &str) -> Url {
        let text = format!("http://{}/{}/{name}", self.address, self.key);
        Url::parse(&text).expect("an address and hexadecimal digits make a URL")
    }

    /// What a request is for.
    pub(super) fn read(&self, host: Option<&str>, path: &str, query: Option<&str>) -> Visit {
        // A name that somebody makes point to loopback is not ours.
        let known = [self.address.to_string(), format!("localhost:{}", self.address.port())];
        if !host.is_some_and(|host| known.iter().any(|known| known == host)) {
            return Visit::Refused(Refusal::OtherHost);
        }
        let Some((key, page)) = path.strip_prefix('/').and_then(|path| path.split_once('/')) else {
            return Visit::Refused(Refusal::NoPage);
        };
        match page {
            _ if !self.same(key, &self.key) => Visit::Refused(Refusal::NoPage),
            "" => Visit::Start,
            "made" => self.made(query.unwrap_or_default()),
            "installed" => Visit::Installed,
            _ => Visit::Refused(Refusal::NoPage),
        }
    }

    fn made(&self, query: &str) -> Visit {
        let given = |name: &str| {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            pairs.find(|(key, _)| key == name).map(|(_, value)| value)
        };
        if !given("state").is_some_and(|state| self.same(&state, &self.state)) {
            return Visit::Refused(Refusal::OtherState);
        }
        let plain = |code: &Cow<'_, str>| {
            (1..=LONGEST_CODE).contains(&code.len())
                && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
        };
        match given("code").filter(plain) {
            Some(code) => Visit::Made(Secret::new(code.into_owned())),
            None => Visit::Refused(Refusal::NoCode),
        }
    }

    fn same(&self, given: &str, wanted: &str) -> bool {
        let tag = hmac::sign(&self.compare, wanted.as_bytes());
        hmac::verify(&self.compare, given.as_bytes(), tag.as_ref()).is_ok()
    }
}

/// 128 bits, as hexadecimal digits.
fn random() -> std::io::Result<String> {
    random_hex::<16>()
}

/// So many random bytes, as hexadecimal digits.
///
/// # Errors
/// When the kernel gives no randomness.
pub(super) fn random_hex<const N: usize>() -> std::io::Result<String> {
    let mut bytes = zeroize::Zeroizing::new([0_u8; N]);
    let none = |_| std::io::Error::other("the kernel gives no randomness");
    SystemRandom::new().fill(bytes.as_mut_slice()).map_err(none)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door() -> Door {
        Door::new(([127, 0, 0, 1], 9199).into()).unwrap()
    }

    fn read(door: &Door, host: &str, path: &str, query: &str) -> String {
        match door.read(Some(host), path, Some(query)) {
            Visit::Start => "start".to_owned(),
            Visit::Made(code) => format!("made {}", code.expose()),
            Visit::Installed => "installed".to_owned(),
            Visit::Refused(refusal) => format!("{refusal:?}"),
        }
    }

    #[test]
    fn each_page_is_below_the_key() {
        let door = door();
        let at = |name: &str| door.page(name).path().to_owned();
        let state = format!("code=c0de&state={}", door.state());
        for host in ["127.0.0.1:9199", "localhost:9199"] {
            assert_eq!(read(&door, host, &at(""), ""), "start");
            assert_eq!(read(&door, host, &at("made"), &state), "made c0de");
            assert_eq!(read(&door, host, &at("installed"), "setup_action=install"), "installed");
        }
    }

    #[test]
    fn without_the_key_there_is_no_page_and_another_host_is_none_of_ours() {
        let door = door();
        let path = door.page("").path().to_owned();
        assert_eq!(read(&door, "evil.example:9199", &path, ""), "OtherHost");
        assert!(matches!(door.read(None, &path, None), Visit::Refused(Refusal::OtherHost)));
        let other = door.page("other").path().to_owned();
        for path in ["/", "/made", "//", "/0000/", "", "/0000/installed", &other] {
            assert_eq!(read(&door, "127.0.0.1:9199", path, ""), "NoPage", "{path}");
        }
    }

    #[test]
    fn an_answer_without_the_state_that_was_sent_has_no_effect() {
        let door = door();
        let made = door.page("made").path().to_owned();
        let other = door.state().replace(|c: char| c.is_ascii_digit(), "f") + "0";
        for query in ["", "code=c0de", "code=c0de&state=", &format!("code=c0de&state={other}")] {
            assert_eq!(read(&door, "127.0.0.1:9199", &made, query), "OtherState", "{query}");
        }
        let state = format!("state={}", door.state());
        for code in ["", "&code=", "&code=a/../b", &format!("&code={}", "a".repeat(256))] {
            let query = format!("{state}{code}");
            assert_eq!(read(&door, "127.0.0.1:9199", &made, &query), "NoCode", "{code}");
        }
    }
}
