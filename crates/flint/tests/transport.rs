//! The way to a GitHub with an authority of its own, with and without a proxy in it.
//!
//! Which proxy is used is the environment's, and that is one for the whole process: what needs another is this test's
//! own program once more, or `flint` itself.

#[path = "transport/proxy.rs"]
mod proxy;
#[path = "transport/tls.rs"]
mod tls;

use flint::error::chain;
use flint::forge::caller::Caller;
use flint::forge::scale_set::{ProfileSet, ScaleSets, Wanted};
use flint::forge::setup::Setup;
use flint::forge::{
    Credentials, Error, Forge as _, GitHub, Options, Removal, Request, RunnerGroup, Scope,
    WebhookAuth,
};
use flint::init::{self, Given, Person, Wish};
use flint_core::id::{ProfileId, RunnerName, VmId};
use flint_sim::github::{Config, FakeGithub, generate_pem};
use flint_wire::Secret;
use proxy::Proxy;
use serde_json::Value;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, OnceLock};
use tls::{Authority, Pair, Shield};

const INSTANCE: &str = "k3x9q2";
/// Says to this test's program that it is to play Flint: the files of its GitHub are in this folder.
const PLAY: &str = "FLINT_TEST_PLAY";
const VARIABLES: [&str; 4] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];
const PASSWORD: &str = "hunter2";

/// A GitHub with TLS of an authority that nobody knows.
struct Server {
    fake: FakeGithub,
    shield: Shield,
    authority: Authority,
    folder: tempfile::TempDir,
}

fn pem() -> &'static str {
    static PEM: OnceLock<String> = OnceLock::new();
    PEM.get_or_init(|| generate_pem().expect("openssl is a test's requirement"))
}

impl Server {
    async fn start() -> Server {
        Server::with(|authority| authority.sign("DNS:localhost")).await
    }

    async fn with(pair: impl FnOnce(&Authority) -> Pair) -> Server {
        let authority = Authority::new();
        let outside = Shield::hold().await;
        let mut config = Config::new(pem().to_owned());
        config.public_url = url(outside.local_addr().expect("it is bound"));
        let inside = Shield::hold().await;
        let behind = inside.local_addr().expect("it is bound");
        let fake = FakeGithub::start(inside, config).await.expect("it starts");
        let shield = Shield::raise(outside, &pair(&authority), behind);
        let folder = tempfile::tempdir().expect("there is a temporary folder");
        Server { fake, shield, authority, folder }
    }

    fn url(&self) -> String {
        url(self.shield.address)
    }

    /// What `flint doctor --github` says of it in this environment: item, verdict, reading, and what to do.
    async fn doctor(&self, set: &[(&'static str, String)]) -> (Vec<[String; 4]>, String) {
        let (config, key) = (self.folder.path().join("flint.toml"), self.folder.path().join("key"));
        std::fs::write(&key, pem()).expect("the folder is ours");
        let quoted = |path: &Path| toml::Value::from(path.to_string_lossy().as_ref()).to_string();
        let text = format!(
            "[github]\nurl = \"{}\"\norganization = \"flint-demo\"\napp_id = 123456\nprivate_key = {}\n\
             insecure_no_secret = true\nca_certificate = {}\n",
            self.url(),
            quoted(&key),
            quoted(&self.authority.file())
        );
        std::fs::write(&config, text).expect("the folder is ours");
        let mut command = Command::new(env!("CARGO_BIN_EXE_flint"));
        command.args(["--json", "--config"]).arg(&config).args(["doctor", "--github"]);
        let ran = ran_with(command, set).await;
        let lines: Vec<Value> = serde_json::from_slice(&ran.stdout).expect("it is a list");
        let field = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
        let lines = lines
            .iter()
            .map(|line| ["item", "verdict", "reading", "fix"].map(|name| field(line, name)));
        let ours = lines.skip_while(|[item, ..]| item != "proxy" && item != "private key");
        let all = [ran.stdout.clone(), ran.stderr].concat();
        (ours.collect(), String::from_utf8_lossy(&all).into_owned())
    }
}

fn url(address: SocketAddr) -> String {
    format!("https://localhost:{}", address.port())
}

/// A program in an environment with these proxies and no others.
async fn ran_with(mut command: Command, set: &[(&'static str, String)]) -> Output {
    for name in VARIABLES {
        command.env_remove(name).env_remove(name.to_lowercase());
    }
    command.envs(set.iter().cloned());
    // The fake GitHub is served meanwhile.
    let ran = tokio::task::spawn_blocking(move || command.output()).await;
    ran.expect("it does not panic").expect("the program is there")
}

/// This test's program once more, as Flint.
async fn play(server: &Server, test: &str, set: &[(&'static str, String)]) {
    let folder = server.folder.path();
    for (name, text) in
        [("url", server.url()), ("ca", server.authority.pem()), ("key", pem().to_owned())]
    {
        std::fs::write(folder.join(name), text).expect("the folder is ours");
    }
    let mut command = Command::new(std::env::current_exe().expect("it runs"));
    command.args(["--exact", test, "--nocapture"]).env(PLAY, folder);
    let ran = ran_with(command, set).await;
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
    assert!(!said.contains(PASSWORD), "{said}");
}

/// The GitHub, its authority, and our App of a program that plays Flint.
fn played() -> Option<[String; 3]> {
    let folder = PathBuf::from(std::env::var_os(PLAY)?);
    let read = |name| std::fs::read_to_string(folder.join(name)).expect("it is there");
    Some(["url", "ca", "key"].map(read))
}

fn app(key: &str) -> Credentials {
    Credentials::App { id: "123456".to_owned(), private_key: Secret::new(key.to_owned()) }
}

fn scope() -> Scope {
    Scope::Organization("flint-demo".to_owned())
}

fn options(api_url: &str, ca_certificates: Option<String>, key: &str) -> Options {
    Options {
        api_url: api_url.to_owned(),
        ca_certificates,
        scope: scope(),
        credentials: app(key),
        webhook: WebhookAuth::Refused,
        runner_group: RunnerGroup::Number(1),
    }
}

fn sets(api_url: &str, ca_certificates: Option<String>, key: &str) -> ScaleSets {
    let caller = Caller::new(&options(api_url, ca_certificates, key));
    let caller = Arc::new(caller.expect("the options are good"));
    ScaleSets::new(caller, scope()).expect("a client can be made")
}

/// Each of Flint's own clients asks something.
async fn everything(url: &str, ca: &str, key: &str) {
    let ours = Some(ca.to_owned());
    let forge = GitHub::new(&options(url, ours.clone(), key), INSTANCE).expect("it is good");
    let profile = ProfileId::new("default").expect("it is a name");
    let name = |vm| RunnerName::of(VmId(vm), &profile, INSTANCE, 1);
    let labels = ["linux".to_owned()].into();
    let request = Request {
        name: name(1),
        vm: VmId(1),
        profile: profile.clone(),
        scope: scope().id(),
        labels,
    };
    let made = forge.register(request).await.unwrap_or_else(|error| panic!("{}", chain(&error)));
    assert_eq!(made.ca_certificates.as_deref(), Some(ca), "its runner needs it, too");
    let gone = forge.deregister(VmId(1), scope().id(), vec![name(1)]).await;
    assert_eq!(gone.expect("it answers"), Removal::Gone);

    let (group, labels) = (RunnerGroup::Number(1), ["linux".to_owned()].into());
    let wanted = Wanted { name: "flint".to_owned(), group, labels };
    let set = ProfileSet::new(Arc::new(sets(url, ours, key)), wanted);
    let session = set.open("flint-test", None).await.expect("it is free");
    let made = set.jit(&name(2)).await.expect("the name is free");
    assert_eq!(made.ca_certificates.as_deref(), Some(ca));
    set.sets().refresh(&session).await.expect("it is ours");
    set.sets().close(&session).await.expect("it is ours");

    let setup = Setup::new(url, Some(ca)).expect("it is good");
    assert!(setup.owner(&scope()).await.expect("it answers").account.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_goes_through_the_proxy_and_trusts_the_authority() {
    if let Some([url, ca, key]) = played() {
        return everything(&url, &ca, &key).await;
    }
    let (server, proxy) = (Server::start().await, Proxy::start(None).await);
    let value = format!("http://ana:{PASSWORD}@{}", proxy.address);
    let test = "every_call_goes_through_the_proxy_and_trusts_the_authority";
    play(&server, test, &[("HTTPS_PROXY", value)]).await;
    let asked = proxy.asked();
    let way = format!("CONNECT localhost:{}", server.shield.address.port());
    // As base64.
    let by = Some("Basic YW5hOmh1bnRlcjI=".to_owned());
    let wanted = proxy::Asked { what: way, by };
    assert!(asked.len() >= 3 && asked.iter().all(|asked| *asked == wanted), "{asked:?}");
    assert_eq!(asked.len(), server.shield.taken(), "nobody came another way");
    assert_eq!(server.fake.counters().calls("generate-jitconfig"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_of_no_proxy_is_asked_without_one() {
    if let Some([url, ca, key]) = played() {
        return everything(&url, &ca, &key).await;
    }
    let (server, proxy) = (Server::start().await, Proxy::start(None).await);
    let value = format!("http://ana:{PASSWORD}@{}", proxy.address);
    let set = [("ALL_PROXY", value), ("NO_PROXY", "example.org,localhost".to_owned())];
    play(&server, "a_host_of_no_proxy_is_asked_without_one", &set).await;
    assert_eq!((proxy.asked(), server.shield.taken() >= 3), (Vec::new(), true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_says_which_proxy_is_used_and_not_with_which_password() {
    let (server, proxy) = (Server::start().await, Proxy::start(None).await);
    let value = format!("http://ana:{PASSWORD}@{}", proxy.address);
    let (lines, all) = server.doctor(&[("https_proxy", value)]).await;
    let [item, verdict, reading, _] = &lines[0];
    assert_eq!((item.as_str(), verdict.as_str()), ("proxy", "ok"), "{lines:#?}");
    let named = format!("through the proxy `http://{}` of https_proxy", proxy.address);
    assert!(reading.contains(&named), "{reading}");
    assert!(lines.iter().any(|[item, verdict, ..]| item == "runners" && verdict == "ok"));
    assert!(!all.contains(PASSWORD) && !all.contains("ana:"), "{all}");
    let (lines, _) = server.doctor(&[]).await;
    assert!(lines.iter().all(|[item, ..]| item != "proxy"), "{lines:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_no_help_is_named_with_its_variable_and_without_its_password() {
    let server = Server::start().await;
    let asking = Proxy::start(Some("407 Proxy Authentication Required")).await;
    let closed = Proxy::start(Some("502 Bad Gateway")).await;
    let nobody = Shield::hold().await.local_addr().expect("it was bound");
    let with = |address| format!("http://ana:{PASSWORD}@{address}");
    let cases = [
        (with(asking.address), "proxy authorization required", "HTTPS_PROXY=http://USER"),
        (with(closed.address), "tunnel error", "allow CONNECT to GitHub's hosts"),
        (with(nobody), "Connection refused", "that HTTPS_PROXY is right"),
    ];
    for (value, cause, help) in cases {
        let (lines, all) = server.doctor(&[("HTTPS_PROXY", value.clone())]).await;
        let app = lines.iter().find(|[item, ..]| item == "app").expect("it is asked for");
        let place = value.rsplit_once('@').expect("it has a user").1;
        let named =
            format!("no answer from GitHub through the proxy `http://{place}` of HTTPS_PROXY");
        assert!(app[1] == "bad" && app[2].contains(&named) && app[2].contains(cause), "{app:?}");
        assert!(app[3].contains(help), "{app:?}");
        assert!(!all.contains(PASSWORD), "{all}");
    }
    for (value, problem) in [
        (format!("socks5://ana:{PASSWORD}@{nobody}"), "not to SOCKS"),
        (format!("http://ana:{PASSWORD}@ss@{nobody}"), "written as %XX"),
        (format!("http://ana:1/{PASSWORD}@{nobody}"), "written as %XX"),
        (format!("http://ana:{PASSWORD}@host:port"), "port is no number"),
    ] {
        let (lines, all) = server.doctor(&[("ALL_PROXY", value)]).await;
        let [[item, verdict, reading, fix]] = &lines[..] else { panic!("{lines:#?}") };
        assert_eq!((item.as_str(), verdict.as_str()), ("proxy", "bad"));
        assert!(reading.contains("cannot use ALL_PROXY") && reading.contains(problem), "{reading}");
        assert!(fix.contains("ALL_PROXY is an address such as"), "{fix}");
        assert!(!all.contains(PASSWORD), "{all}");
    }
    assert_eq!(server.shield.taken(), 0);
}

/// What all of Flint's clients say of a server that they do not trust.
async fn distrusted(server: &Server, ca: Option<String>) -> Vec<String> {
    let url = server.url();
    let forge = GitHub::new(&options(&url, ca.clone(), pem()), INSTANCE);
    let sets = sets(&url, ca.clone(), pem());
    let setup = Setup::new(&url, ca.as_deref()).expect("it is good");
    let error = forge.expect("it is good").app().await.expect_err("it is not trusted");
    assert!(matches!(error, Error::NoAnswer { .. }), "{error}");
    let told = [error.help(), sets.check().await.expect_err("it is not trusted").help()];
    let owner = setup.owner(&scope()).await.expect_err("it is not trusted").help();
    told.into_iter().chain([owner]).map(|help| help.expect("there is a fix")).collect()
}

#[tokio::test]
async fn a_server_that_is_not_trusted_says_what_to_set() {
    let server = Server::start().await;
    let other = Authority::new();
    for ca in [None, Some(other.pem())] {
        for help in distrusted(&server, ca).await {
            assert!(help.contains("set `github.ca_certificate`"), "{help}");
        }
    }
    assert_eq!(server.fake.tokens(), 0);
}

#[tokio::test]
async fn a_certificate_that_cannot_be_a_servers_says_why() {
    let named = Server::with(|authority| authority.sign("DNS:ghes.example")).await;
    let ca = Some(named.authority.pem());
    for help in distrusted(&named, ca).await {
        assert!(help.contains("is for another name"), "{help}");
    }
    let own = Server::with(Authority::own).await;
    let ca = Some(own.authority.pem());
    for help in distrusted(&own, ca).await {
        assert!(help.contains("the certificate of an authority as its own"), "{help}");
    }
}

#[tokio::test]
async fn flint_init_asks_a_server_of_an_unknown_authority() {
    let server = Server::start().await;
    let folder = server.folder.path();
    let wish = |ca_certificate| {
        let given = Given {
            organization: Some("flint-demo".to_owned()),
            github_url: Some(server.url()),
            webhook_url: Some(String::new()),
            listen: Some("127.0.0.1:0".to_owned()),
            ca_certificate,
            ..Given::default()
        };
        let nobody = Person { say: &|_| {}, hear: None };
        Wish::complete(given, folder.join("flint.toml"), nobody)
    };
    let without = init::run(&wish(None).expect("nothing is missing"), &|_| {}).await;
    let help = without.expect_err("it is not trusted").help().expect("there is a fix");
    assert!(help.contains("--ca-certificate"), "{help}");

    let error = wish(Some(folder.join("nowhere"))).expect_err("it is not there");
    assert!(error.to_string().contains("for --ca-certificate: No such file"), "{error}");
    assert_eq!(error.exit(), flint::error::Exit::Usage);

    let wish = wish(Some(server.authority.file())).expect("nothing is missing");
    let (say, mut said) = tokio::sync::mpsc::unbounded_channel();
    let running = tokio::spawn(async move {
        init::run(&wish, &|line| drop(say.send(line.to_owned()))).await.map(drop)
    });
    let first = said.recv().await.expect("it goes on");
    assert!(first.starts_with("open http://127.0.0.1:"), "the account was found: {first}");
    running.abort();
}
