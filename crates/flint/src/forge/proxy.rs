//! The proxy between Flint and GitHub, as the environment has it. Its password is never told.
//!
//! The HTTP client reads the variables by itself, by curl's rules, and goes without a proxy that it cannot read. Here it
//! is told who the proxy is, and one that cannot be read is refused.

use super::transport::Unready;
use hyper::Uri;
use hyper_util::client::proxy::matcher::Matcher;
use std::env;
use std::ffi::OsString;
use std::fmt;
use url::Url;

/// Each with its other spelling. The first of the two that is set counts.
const HTTPS: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const HTTP: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
/// For what has no other.
const ALL: [&str; 2] = ["ALL_PROXY", "all_proxy"];

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Where it is, without user and password.
    address: String,
    /// What says so.
    variable: &'static str,
}

impl Proxy {
    /// The one on the way to an address, unless `NO_PROXY` has it.
    #[must_use]
    pub fn of(url: &Url) -> Option<Proxy> {
        let uri: Uri = url.as_str().parse().ok()?;
        let found = Matcher::from_env().intercept(&uri)?;
        let (variable, _) = given(url.scheme(), env::var_os)?;
        Some(Proxy { address: found.uri().to_string().trim_end_matches('/').to_owned(), variable })
    }

    /// The variable that names it.
    #[must_use]
    pub fn variable(&self) -> &'static str {
        self.variable
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the proxy `{}` of {}", self.address, self.variable)
    }
}

/// Words for an error: the way that was taken.
pub(super) fn through(proxy: Option<&Proxy>) -> String {
    proxy.map(|proxy| format!(" through {proxy}")).unwrap_or_default()
}

/// Refuses what the client would pass over in silence.
///
/// # Errors
/// [`Unready::Proxy`].
pub(super) fn check(base: &Url) -> Result<(), Unready> {
    check_in(base.scheme(), env::var_os)
}

fn check_in(scheme: &str, env: impl Fn(&'static str) -> Option<OsString>) -> Result<(), Unready> {
    let Some((variable, value)) = given(scheme, env) else { return Ok(()) };
    let problem = value.to_str().map_or(Some("it is no text"), problem);
    problem.map_or(Ok(()), |problem| Err(Unready::Proxy { variable, problem }))
}

/// The variable that counts for a scheme. One that is set and empty is none.
fn given(
    scheme: &str,
    env: impl Fn(&'static str) -> Option<OsString>,
) -> Option<(&'static str, OsString)> {
    let first = |names: [&'static str; 2]| {
        let set = names.into_iter().find_map(|name| Some((name, env(name)?)));
        set.filter(|(_, value)| !value.is_empty())
    };
    let own = if scheme == "https" { HTTPS } else { HTTP };
    first(own).or_else(|| first(ALL))
}

/// What is wrong with a proxy's address. No part of it is told: it may be the password's.
fn problem(text: &str) -> Option<&'static str> {
    let Ok(uri) = text.parse::<Uri>() else { return Some("it is no address") };
    let Some(authority) = uri.authority() else { return Some("it is no address") };
    match uri.scheme_str() {
        Some("http" | "https") | None => {}
        Some(socks) if socks.starts_with("socks") => {
            return Some("Flint speaks to HTTP proxies, not to SOCKS");
        }
        Some(_) => return Some("it begins with neither http:// nor https://"),
    }
    let signs = text.matches('@').count();
    if signs > 1 || (signs == 1 && !authority.as_str().contains('@')) {
        return Some("a character of its user or password must be written as %XX");
    }
    let (_, place) = authority.as_str().rsplit_once('@').unwrap_or(("", authority.as_str()));
    match authority.host() {
        "" => Some("it names no host"),
        host if host.len() < place.len() && uri.port_u16().is_none() => {
            Some("its port is no number")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<const N: usize>(
        set: [(&'static str, &'static str); N],
    ) -> impl Fn(&'static str) -> Option<OsString> {
        move |name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into())
    }

    #[test]
    fn the_variable_that_counts_is_named() {
        let named = |scheme, env: &dyn Fn(&'static str) -> Option<OsString>| {
            given(scheme, env).map(|(variable, _)| variable)
        };
        assert_eq!(named("https", &with([])), None);
        assert_eq!(named("https", &with([("HTTP_PROXY", "a")])), None);
        assert_eq!(named("http", &with([("http_proxy", "a")])), Some("http_proxy"));
        let both = with([("https_proxy", "a"), ("HTTPS_PROXY", "b"), ("ALL_PROXY", "c")]);
        assert_eq!(named("https", &both), Some("HTTPS_PROXY"));
        assert_eq!(named("http", &both), Some("ALL_PROXY"));
        let empty = with([("HTTPS_PROXY", ""), ("https_proxy", "a"), ("all_proxy", "c")]);
        assert_eq!(named("https", &empty), Some("all_proxy"));
    }

    #[test]
    fn an_address_that_cannot_be_used_is_refused_and_not_quoted() {
        for good in
            ["http://proxy:3128", "proxy:3128", "proxy", "http://ana:p%40ss@proxy", "https://p:1/"]
        {
            assert_eq!(problem(good), None, "{good}");
        }
        for bad in [
            "http://",
            "://proxy",
            "http://proxy:port",
            "socks5://proxy:1080",
            "ftp://proxy",
            "http://ana:s3cret@more@proxy:3128",
            "http://ana:12/s3cret@proxy:3128",
            "http://ana:s3#cret@proxy:3128",
            "/proxy",
            "ana s3cret",
        ] {
            let value = OsString::from(bad);
            let env = |name| (name == "HTTPS_PROXY").then(|| value.clone());
            let error = check_in("https", env).expect_err(bad);
            let told = format!("{error} {error:?} {}", error.help().expect("it has a fix"));
            assert!(told.contains("HTTPS_PROXY") && !told.contains("s3"), "{told}");
        }
    }
}
