//! What a configuration means, which source wins, and what each mistake looks like.

mod github;
mod host;
mod profiles;
mod scopes;

use super::*;
use flint_core::id::ProfileId;
use std::fs;

const KEY: &str = "-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\n";

/// Sources that serve; a directory with a key and a secret in it.
struct Given {
    directory: tempfile::TempDir,
    sources: Sources,
}

fn given(file: &str) -> Given {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key.pem");
    fs::write(&key, KEY).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut sources = Sources::default();
    sources.flags.set("github.organization", "octo-org");
    sources.flags.set("github.app_id", "123456");
    sources.flags.set("github.private_key", key.to_str().unwrap());
    sources.flags.set("github.webhook_secret", "ABCDefgh");
    sources.file = Some(File { path: "flint.toml".into(), text: file.to_owned() });
    Given { directory, sources }
}

fn machine() -> Machine {
    Machine { cpus: 8, memory: MiB(32 * 1024), free_disk: |_| Some(MiB(500 * 1024)) }
}

fn good(sources: &Sources) -> Config {
    let checked = check(sources, &machine(), Purpose::Serve);
    checked.config.unwrap_or_else(|| panic!("{}", checked.report.render(false)))
}

fn bad(sources: &Sources) -> String {
    let checked = check(sources, &machine(), Purpose::Serve);
    assert!(checked.config.is_none(), "no problem was found");
    checked.report.render(false)
}

fn app(github: &GithubOptions) -> (&str, &str) {
    let Credentials::App { id, private_key } = &github.credentials else { panic!("it is an App") };
    (id, private_key.expose())
}

fn secrets(github: &GithubOptions) -> Vec<&str> {
    let Webhooks::Signed(secrets) = &github.webhooks else { panic!("there are secrets") };
    secrets.iter().map(Secret::expose).collect()
}

fn profile<'a>(config: &'a Config, name: &str) -> &'a ProfileOptions {
    &config.profiles[&ProfileId::new(name).unwrap()]
}

#[test]
fn flags_alone_give_one_profile_of_the_documented_shape() {
    let mut given = given("");
    given.sources.file = None;
    given.sources.flags.set("profile.kernel", "/root/flint/vmlinux");
    given.sources.flags.set("profile.image", "/root/flint/rootfs.ext4");
    let config = good(&given.sources);
    let options = profile(&config, "default");
    let labels: Vec<&str> = options.profile.labels.iter().map(String::as_str).collect();
    let arch = if cfg!(target_arch = "aarch64") { "arm64" } else { "x64" };
    assert_eq!(labels.len(), 3);
    assert!(["self-hosted", "linux", arch].iter().all(|label| labels.contains(label)));
    let shape = Resources { vcpus: 2, memory: MiB(4096), disk: MiB(20 * 1024) };
    assert_eq!(options.profile.shape, shape);
    assert_eq!(options.kernel, Path::new("/root/flint/vmlinux"));
    assert_eq!(options.image, Path::new("/root/flint/rootfs.ext4"));
    let github = config.github[0].clone();
    assert_eq!(github.scopes, [Scope::Organization("octo-org".to_owned())]);
    assert_eq!(app(&github).0, "123456");
    assert_eq!(github.runner_group, RunnerGroup::Number(1));
    assert_eq!(github.url.as_str(), "https://api.github.com/");
    assert_eq!(secrets(&github), ["ABCDefgh"]);
    assert_eq!(config.server.listen.to_string(), "0.0.0.0:9198");
    assert_eq!(config.host.capacity.vcpus, 8);
    assert_eq!(config.host.capacity.memory, MiB(28 * 1024));
    assert_eq!(config.host.capacity.disk, MiB(498 * 1024));
    assert_eq!((config.host.uid_base, config.host.gid_base), (123, 100));
}

#[test]
fn a_full_file_means_what_it_says() {
    let mut given = given(
        r#"
[github]
url = "https://ghe.example/api/v3"
repository = "octocat/hello-world"
app_id = 42
private_key = "KEY"
webhook_secrets = ["new", "old"]
runner_group = 3

[server]
listen = "127.0.0.1:8080"

[host]
state_dir = "/srv/flint"
vmm = "qemu"
slots = 16
vcpus = 4
cpu_overcommit = 2.5
memory = "16 GiB"
disk = "1 TiB"
uplink_netns = "lab"
address_pool = "172.20.0.0/24"
dns = ["9.9.9.9"]
allow = ["10.1.0.0/16"]
drain_timeout = "1h 30m"

[[profile]]
name = "big"
labels = ["Self-Hosted", "big"]
vcpus = 8
memory = "8 GiB"
scratch = "100GiB"
image = "/srv/big.ext4"
kernel = "/srv/vmlinux"
warm = 1
max = 2
timeouts = { boot = "10s", register = "20 seconds", idle = "3m", job = "5h" }

[[profile]]
name = "small"
labels = ["small"]
"#,
    );
    let key = given.sources.flags.get("github.private_key").unwrap().to_owned();
    given.sources.flags = Flags::default();
    let file = given.sources.file.as_mut().unwrap();
    file.text = file.text.replace("KEY", &key);
    let config = good(&given.sources);
    let github = &config.github[0];
    assert_eq!(github.url.as_str(), "https://ghe.example/api/v3/");
    let (owner, name) = ("octocat".to_owned(), "hello-world".to_owned());
    assert_eq!(github.scopes, [Scope::Repository { owner, name }]);
    assert_eq!(app(github).0, "42");
    assert_eq!(secrets(github), ["new", "old"]);
    let host = &config.host;
    assert_eq!((host.vmm, host.slots, host.capacity.vcpus), (VmmChoice::Qemu, 16, 10));
    assert_eq!((host.capacity.memory, host.capacity.disk), (MiB(16_384), MiB(1_048_576)));
    assert_eq!(host.address_pool.to_string(), "172.20.0.0/24");
    assert_eq!(host.drain_timeout, Duration::from_mins(90));
    let big = profile(&config, "big");
    assert!(big.profile.labels.contains("self-hosted"), "labels are lower case");
    assert_eq!(big.profile.shape.disk, MiB(100 * 1024));
    assert_eq!((big.profile.warm, big.profile.max), (1, 2));
    assert_eq!(big.profile.timeouts.register, Duration::from_secs(20));
    let small = profile(&config, "small");
    assert_eq!(small.kernel, Path::new("/srv/flint/kernel/vmlinux"));
    assert_eq!((small.profile.max, small.profile.warm), (16, 0));
}

#[test]
fn flags_win_over_variables_and_variables_over_the_file() {
    let mut given = given("[host]\nslots = 1\nvmm = \"qemu\"\nrun_dir = \"/file\"\n");
    for (name, value) in
        [("FLINT_SLOTS", "2"), ("FLINT_VMM", "auto"), ("FLINT_DNS", "9.9.9.9, 1.1.1.1")]
    {
        given.sources.variables.insert(name.to_owned(), value.to_owned().into());
    }
    given.sources.flags.set("host.slots", "3");
    let host = good(&given.sources).host;
    assert_eq!((host.slots, host.vmm), (3, VmmChoice::Auto));
    assert_eq!((host.run_dir.as_path(), host.dns.len()), (Path::new("/file"), 2));
    assert_eq!(given.sources.run_dir(), Path::new("/file"));
}

#[test]
fn all_problems_of_a_file_are_shown_at_once_each_at_its_line() {
    let given = given(
        r#"[github]
webhock_secret = "oops"
runner_group = 0

[host]
slots = 0
memory = "64 GB"
cpu_overcommit = -1
address_pool = "192.168.0.0/16"
allow = ["10.0.0.1/8", 7]
drain_timeout = "soon"
kernel = "/vmlinux"

[[profile]]
name = "a"
labels = []
vcpus = 33
memory = "4096"
timeouts = { boot = "0s", bot = "1s" }

[[profile]]
name = "a"
warm = 5
max = 2
memory = "29 GiB"

[[profile]]
name = "Not_a_name"

[[profile]]
labels = ["x"]

[servers]
listen = "nowhere"
"#,
    );
    insta::assert_snapshot!(bad(&given.sources));
}

#[test]
fn a_wrong_flag_and_a_wrong_variable_are_named() {
    let mut given = given("");
    given.sources.flags.set("host.slots", "many");
    given.sources.variables.insert("FLINT_VMM".to_owned(), "xen".to_owned().into());
    given.sources.variables.insert("FLINT_KERNAL".to_owned(), "/x".to_owned().into());
    given.sources.variables.insert("FLINT_RUNNER_DIR".to_owned(), "/x".to_owned().into());
    insta::assert_snapshot!(bad(&given.sources));
}

#[test]
fn text_that_is_no_toml_is_shown_at_its_place() {
    let given = given("[host]\nslots = \nstate_dir = \"/x\"\nvmm = qemu\n");
    insta::assert_snapshot!(bad(&given.sources));
}

#[test]
fn a_section_of_the_wrong_kind_is_explained() {
    let given = given("host = 3\n[profile]\nname = \"x\"\n");
    insta::assert_snapshot!(bad(&given.sources));
}

#[test]
fn a_secret_is_never_shown_not_even_in_a_broken_line() {
    for file in [
        "[github]\nwebhook_secret = \"hunter2\n",
        "[github]\nwebhook_secret = [\"hunter2\"]\n",
        "[github]\nwebhook_secrets = [\n  \"hunter2\",\n  \"hunter2x\", \"hunter2y\", 5\n]\n",
        "github = { webhook_secret = \"hunter2\", x = 1 }\n",
        "[github]\nwebhook_secret = \"\"\"\nhunter2\n\"\"\" x\n",
        "github.webhook_secret = hunter2\n",
    ] {
        let mut given = given(file);
        let mut flags = Flags::default();
        for key in ["github.organization", "github.app_id", "github.private_key"] {
            flags.set(key, given.sources.flags.get(key).unwrap());
        }
        given.sources.flags = flags;
        let shown = bad(&given.sources);
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_quoted_key_with_a_dot_is_no_key_of_a_table_below() {
    let report = bad(&given("[[profile]]\nname = \"a\"\n\"timeouts.boot\" = \"2m\"\n").sources);
    assert!(report.contains("timeouts.boot"), "{report}");
}

#[test]
fn a_file_of_another_program_does_not_fill_the_terminal() {
    let keys: String = (0..60).map(|n| format!("key_{n} = 1\n")).collect();
    let report = bad(&given(&format!("[host]\n{keys}")).sources);
    assert!(report.contains("key_49") && !report.contains("key_51"), "{report}");
    assert!(report.ends_with("more problems"), "{report}");
}

/// The manual lists every key with its flag and variable, and the example file has no key that does not exist.
#[test]
fn the_manual_names_every_key() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manual = fs::read_to_string(root.join("docs/config.md")).unwrap();
    for key in KEYS {
        let name = key.path.rsplit('.').next().unwrap();
        assert!(manual.contains(&format!("| `{name}`")), "docs/config.md lacks {}", key.path);
        let flag = key.flag.map_or(String::new(), |flag| format!("`--{flag}`"));
        assert!(manual.contains(&flag), "docs/config.md lacks {flag}");
    }
}

#[test]
fn the_example_file_is_a_configuration() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = fs::read_to_string(root.join("packaging/flint.toml")).unwrap();
    let shown = check(&given(&text).sources, &machine(), Purpose::Serve).report.render(false);
    assert_eq!(shown, "");
    // Every key that is there as a comment exists, too.
    let uncommented: String = text
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        })
        .collect();
    let report = check(&given(&uncommented).sources, &machine(), Purpose::Serve).report;
    let unknown = report.problems.iter().find(|problem| problem.message.starts_with("unknown key"));
    assert_eq!(unknown, None);
}
