//! The configuration that is written: few keys, each with a word to whoever opens the file.

use super::files::Files;
use super::wish::{CaCertificate, Wish};
use crate::config::defaults;
use crate::forge::Scope;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use url::{Host, Url};

/// What `runs-on` can ask for beside the labels.
const SCALE_SET: &str = "flint";

/// What the configuration is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Config<'a> {
    /// What was wanted.
    pub(super) wish: &'a Wish,
    /// Where the secrets are.
    pub(super) files: &'a Files,
    /// The App's number.
    pub(super) app: u64,
    /// The App's page.
    pub(super) page: &'a str,
}

/// The file's text.
pub(super) fn render(config: &Config<'_>) -> String {
    let Config { wish, files, app, page } = config;
    let mut text =
        "# Flint's configuration, made by `flint init`. docs/config.md explains every key; \
                    `flint doctor` checks this file and\n# the machine.\n\n[github]\n"
            .to_owned();
    let mut line = |words: String| text.extend([words.as_str(), "\n"]);
    line("# Whose jobs are served.".to_owned());
    line(match &wish.scope {
        Scope::Organization(login) => format!("organization = {}", quoted(login)),
        scope @ Scope::Repository { .. } => format!("repository = {}", quoted(&scope.to_string())),
        Scope::Enterprise(slug) => format!("enterprise = {}", quoted(slug)),
    });
    line(format!("# The GitHub App: {page}"));
    line(format!("app_id = {app}"));
    line("# Its key and the secret that its webhooks are signed with. Nobody but Flint may read them.".to_owned());
    line(format!("private_key = {}", quoted(&files.key.to_string_lossy())));
    line(format!("webhook_secret_file = {}", quoted(&files.secret.to_string_lossy())));
    if wish.api.as_str().trim_end_matches('/') != defaults::GITHUB_URL {
        line("# GitHub's REST address.".to_owned());
        line(format!("url = {}", quoted(wish.api.as_str())));
    }
    if let Some(CaCertificate { path, .. }) = &wish.ca_certificate {
        line(
            "# Its authority, which is trusted beside the public ones, here and in microVMs."
                .to_owned(),
        );
        line(format!("ca_certificate = {}", quoted(&path.to_string_lossy())));
    }
    line("\n[server]".to_owned());
    for words in heard(wish.hook.as_ref()) {
        line(words);
    }
    line(
        "\n# One entry per kind of runner: a job goes to one that has all labels that it asks for."
            .to_owned(),
    );
    text + &profile(wish.hook.as_ref())
}

/// How Flint hears of jobs. What tells of them without a webhook is said here, too.
fn heard(hook: Option<&Url>) -> Vec<String> {
    let mut lines = match hook {
        Some(url) if url.scheme() == "https" => vec![
            format!("# GitHub sends webhooks to {url}: a proxy with TLS there passes them on to this"),
            "# address. Without a proxy: `tls_certificate`, `tls_key` and the address that GitHub reaches.".to_owned(),
        ],
        Some(url) => vec![format!("# GitHub sends webhooks to {url}.")],
        None => vec![
            "# GitHub sends nothing here: profiles ask it for their jobs. `/healthz` and `/metrics` are here.".to_owned(),
        ],
    };
    lines.push(format!("listen = {}", quoted(&listen(hook).to_string())));
    lines
}

/// Behind a proxy, loopback; without TLS, just what GitHub calls.
fn listen(hook: Option<&Url>) -> SocketAddr {
    let default: SocketAddr = defaults::LISTEN.parse().expect("the default address is one");
    match hook {
        Some(url) if url.scheme() == "http" => {
            let ip = match url.host() {
                Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
                Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
                _ => default.ip(),
            };
            SocketAddr::new(ip, url.port_or_known_default().unwrap_or(default.port()))
        }
        _ => SocketAddr::new(Ipv4Addr::LOCALHOST.into(), default.port()),
    }
}

/// The one that would be there without any, to be changed.
fn profile(hook: Option<&Url>) -> String {
    let labels: Vec<String> = defaults::labels().iter().map(|label| quoted(label)).collect();
    let gib = |size: flint_core::units::MiB| format!("{} GiB", size.0 / 1024);
    format!(
        "[[profile]]
name = {}
{}labels = [{}]
vcpus = {}
memory = {}
scratch = {}
# MicroVMs that are booted ahead, and how many there may be.
#warm = 0
#max = {}
",
        quoted(defaults::PROFILE),
        source(hook),
        labels.join(", "),
        defaults::VCPUS,
        quoted(&gib(defaults::MEMORY)),
        quoted(&gib(defaults::SCRATCH)),
        defaults::SLOTS,
    )
}

/// Where the profile's jobs come from; webhooks need no word.
fn source(hook: Option<&Url>) -> String {
    match hook {
        Some(_) => String::new(),
        None => format!(
            "# It asks GitHub for its jobs, by a runner scale set of this name.\nsource = \"scale-set\"\nscale_set = {}\n",
            quoted(SCALE_SET)
        ),
    }
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::config::{Config as Checked, File, Machine, Purpose, Sources};
    use crate::init::Existing;
    use flint_core::units::MiB;
    use std::fs;

    fn acme() -> Scope {
        Scope::Organization("acme".to_owned())
    }

    fn text(wish: &Wish, files: &Files) -> String {
        render(&Config { wish, files, app: 42, page: "https://github.com/apps/flint-acme" })
    }

    /// What the daemon makes of it.
    fn checked(wish: &Wish) -> Checked {
        let dir = tempfile::tempdir().unwrap();
        let files =
            Files::prepare(&dir.path().join("a \"b\"/flint.toml"), Existing::Refuse).unwrap();
        let pem = "-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n";
        fs::write(&files.key, pem).unwrap();
        fs::write(&files.secret, "word").unwrap();
        let file = File { path: files.config.clone(), text: text(wish, &files) };
        let sources = Sources { file: Some(file), ..Sources::default() };
        let machine = Machine { cpus: 2, memory: MiB(8192), free_disk: |_| Some(MiB(1 << 20)) };
        let found = config::check(&sources, &machine, Purpose::Serve);
        assert!(!found.report.is_fatal(), "{}", found.report.render(false));
        found.config.unwrap()
    }

    #[test]
    fn the_file_speaks_to_whoever_opens_it() {
        let files = Files {
            config: "/etc/flint/flint.toml".into(),
            key: "/etc/flint/private.pem".into(),
            secret: "/etc/flint/webhook-secret".into(),
        };
        let hook = Some("https://flint.acme.example/webhook");
        insta::assert_snapshot!(text(&Wish::of_a_test("https://api.github.com/", acme(), hook), &files), @r#"
        # Flint's configuration, made by `flint init`. docs/config.md explains every key; `flint doctor` checks this file and
        # the machine.

        [github]
        # Whose jobs are served.
        organization = "acme"
        # The GitHub App: https://github.com/apps/flint-acme
        app_id = 42
        # Its key and the secret that its webhooks are signed with. Nobody but Flint may read them.
        private_key = "/etc/flint/private.pem"
        webhook_secret_file = "/etc/flint/webhook-secret"

        [server]
        # GitHub sends webhooks to https://flint.acme.example/webhook: a proxy with TLS there passes them on to this
        # address. Without a proxy: `tls_certificate`, `tls_key` and the address that GitHub reaches.
        listen = "127.0.0.1:9198"

        # One entry per kind of runner: a job goes to one that has all labels that it asks for.
        [[profile]]
        name = "default"
        labels = ["self-hosted", "linux", "x64"]
        vcpus = 2
        memory = "4 GiB"
        scratch = "20 GiB"
        # MicroVMs that are booted ahead, and how many there may be.
        #warm = 0
        #max = 64
        "#);
    }

    #[test]
    fn flint_starts_with_it_whatever_was_wanted() {
        let public = checked(&Wish::of_a_test("https://api.github.com/", acme(), None));
        let github = &public.github[0];
        assert_eq!(github.scopes, [config::Scope::Organization("acme".to_owned())]);
        assert_eq!(github.url.as_str(), "https://api.github.com/");
        assert!(
            matches!(github.credentials, config::Credentials::App { ref id, .. } if id == "42")
        );
        assert_eq!(public.server.listen.to_string(), "127.0.0.1:9198");
        let sets: Vec<_> = public.profiles.values().map(|of| of.scale_set.as_deref()).collect();
        assert_eq!(sets, [Some("flint")]);

        let scope = Scope::Repository { owner: "ana".to_owned(), name: "site".to_owned() };
        let hook = Some("http://192.0.2.7:9198/webhook");
        let server = checked(&Wish::of_a_test("https://ghes.example/api/v3/", scope, hook));
        assert_eq!(server.github[0].url.as_str(), "https://ghes.example/api/v3/");
        assert_eq!(server.server.listen.to_string(), "192.0.2.7:9198");
        assert!(server.profiles.values().all(|of| of.scale_set.is_none()));
    }

    #[test]
    fn an_authority_is_named_where_it_lies() {
        let plain = Wish::of_a_test("https://ghes.example/api/v3/", acme(), None);
        let ca = CaCertificate { path: "/etc/ssl/acme.pem".into(), pem: String::new() };
        let wish = Wish { ca_certificate: Some(ca), ..plain };
        let files = Files {
            config: "/etc/flint/flint.toml".into(),
            key: "/etc/flint/private.pem".into(),
            secret: "/etc/flint/webhook-secret".into(),
        };
        let text = text(&wish, &files);
        assert!(text.contains("\nca_certificate = \"/etc/ssl/acme.pem\"\n"), "{text}");
    }

    #[test]
    fn it_listens_where_it_is_called() {
        let at = |hook: &str| listen(Some(&Url::parse(hook).unwrap())).to_string();
        assert_eq!(at("https://flint.acme.example/webhook"), "127.0.0.1:9198");
        assert_eq!(at("http://flint.acme.example:8080/webhook"), "0.0.0.0:8080");
        assert_eq!(at("http://127.0.0.1/webhook"), "127.0.0.1:80");
        assert_eq!(listen(None).to_string(), "127.0.0.1:9198");
    }
}
