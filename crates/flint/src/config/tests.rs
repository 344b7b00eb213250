//! What a configuration means, which source wins, and what each mistake looks like.

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
    let github = config.github.unwrap();
    assert_eq!(github.scope, Scope::Organization("octo-org".to_owned()));
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
    let github = config.github.as_ref().unwrap();
    assert_eq!(github.url.as_str(), "https://ghe.example/api/v3/");
    let (owner, name) = ("octocat".to_owned(), "hello-world".to_owned());
    assert_eq!(github.scope, Scope::Repository { owner, name });
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
fn a_flag_for_the_secret_replaces_the_files_secret_file() {
    let given = given("[github]\nwebhook_secret_file = \"/nowhere\"\n");
    let github = good(&given.sources).github.unwrap();
    assert_eq!(secrets(&github), ["ABCDefgh"]);
}

#[test]
fn secrets_may_come_as_systemd_credentials() {
    let mut given = given("");
    let directory = given.directory.path();
    fs::write(directory.join("webhook-secret"), "from systemd\n").unwrap();
    fs::copy(directory.join("key.pem"), directory.join("private-key")).unwrap();
    given.sources.credentials = Some(directory.to_owned());
    given.sources.flags = Flags::default();
    given.sources.flags.set("github.repository", "octocat/hello-world");
    given.sources.flags.set("github.app_id", "Iv23liAbc");
    let github = good(&given.sources).github.unwrap();
    assert_eq!(secrets(&github), ["from systemd"]);
    assert_eq!(app(&github).1, KEY.trim_end());
}

#[test]
fn scale_sets_need_no_secret_and_have_names_of_their_own() {
    let text = r#"
[github]
runner_group = "build machines"

[[profile]]
name = "small"
source = "scale-set"

[[profile]]
name = "big"
source = "scale-set"
scale_set = "Linux-Big"
labels = ["linux", "big"]
"#;
    let mut given = given(text);
    let key = given.sources.flags.get("github.private_key").unwrap().to_owned();
    given.sources.flags = Flags::default();
    given.sources.flags.set("github.organization", "octo-org");
    given.sources.flags.set("github.app_id", "1");
    given.sources.flags.set("github.private_key", &key);
    let config = good(&given.sources);
    let github = config.github.as_ref().unwrap();
    assert!(matches!(github.webhooks, Webhooks::Refused));
    assert_eq!(github.runner_group, RunnerGroup::Name("build machines".to_owned()));
    let labels = |name: &str| {
        let labels = profile(&config, name).profile.labels.iter();
        labels.map(String::as_str).collect::<Vec<_>>()
    };
    assert_eq!(profile(&config, "small").scale_set.as_deref(), Some("small"));
    assert_eq!(labels("small"), ["small"]);
    assert_eq!(profile(&config, "big").scale_set.as_deref(), Some("linux-big"));
    assert_eq!(labels("big"), ["big", "linux"]);
}

#[test]
fn labels_are_counted_and_measured() {
    let labelled = |labels: &str| format!("[[profile]]\nname = \"a\"\nlabels = [{labels}]\n");
    let many = (0..101).map(|n| format!("\"l{n}\"")).collect::<Vec<_>>().join(", ");
    let many = bad(&given(&labelled(&many)).sources);
    assert!(many.contains("has 101 labels; GitHub takes 100 of a runner"), "{many}");
    let long = "ä".repeat(256);
    let config = good(&given(&labelled(&format!("\"{long}\", \"With Space\""))).sources);
    let labels = &profile(&config, "a").profile.labels;
    assert!(labels.contains(&long) && labels.contains("with space"), "{labels:?}");
    for wrong in [format!("\"{long}x\""), "\" padded\"".to_owned(), "\"\"".to_owned()] {
        let shown = bad(&given(&labelled(&wrong)).sources);
        assert!(shown.contains("`profile.labels` is not"), "{shown}");
    }
}

#[test]
fn a_token_stands_in_for_an_app() {
    let mut given = given("");
    let path = given.directory.path().join("token");
    fs::write(&path, "ghp_secret\n").unwrap();
    given.sources.flags.set("github.token_file", path.to_str().unwrap());
    let both = bad(&given.sources);
    assert!(both.starts_with("error: both an App and a token are given"), "{both}");
    given.sources.flags = Flags::default();
    given.sources.flags.set("github.organization", "octo-org");
    given.sources.flags.set("github.webhook_secret", "ABCDefgh");
    given.sources.flags.set("github.token_file", path.to_str().unwrap());
    let Credentials::Token(token) = good(&given.sources).github.unwrap().credentials else {
        panic!("it is a token")
    };
    assert_eq!(token.expose(), "ghp_secret");
    fs::write(&path, "two words").unwrap();
    let wrong = bad(&given.sources);
    assert!(wrong.contains("holds no token") && !wrong.contains("two words"), "{wrong}");
}

#[test]
fn a_scale_set_that_cannot_be_is_explained() {
    let text = r#"
[[profile]]
name = "a"
source = "poll"

[[profile]]
name = "b"
scale_set = "b"

[[profile]]
name = "c"
source = "scale-set"
sizes = { prefix = "c" }

[[profile]]
name = "d"
source = "scale-set"
scale_set = "One"

[[profile]]
name = "e"
source = "scale-set"
scale_set = "one"
labels = ["e"]
"#;
    insta::assert_snapshot!(bad(&given(text).sources));
}

#[test]
fn without_a_secret_flint_starts_only_if_told_to() {
    let mut given = given("");
    given.sources.flags = Flags::default();
    given.sources.flags.set("github.organization", "octo-org");
    given.sources.flags.set("github.app_id", "1");
    let key = given.directory.path().join("key.pem");
    given.sources.flags.set("github.private_key", key.to_str().unwrap());
    insta::assert_snapshot!(bad(&given.sources));
    given.sources.flags.set("github.insecure_no_secret", "true");
    let checked = check(&given.sources, &machine(), Purpose::Serve);
    assert!(checked.report.render(false).starts_with("warning: webhooks are taken from anyone"));
    let github = checked.config.unwrap().github.unwrap();
    assert!(matches!(github.webhooks, Webhooks::Unsigned));
}

#[test]
fn a_microvm_by_hand_needs_no_github() {
    let config = check(&Sources::default(), &machine(), Purpose::Local).config.unwrap();
    assert!(config.github.is_none());
}

#[test]
fn nothing_given_names_all_that_is_missing() {
    insta::assert_snapshot!(bad(&Sources::default()));
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
fn both_an_organization_and_a_repository_are_too_many() {
    let mut given = given("");
    given.sources.flags.set("github.repository", "octocat/hello-world");
    insta::assert_snapshot!(bad(&given.sources));
}

#[test]
fn a_repository_flag_replaces_the_files_organization() {
    let mut given = given("[github]\norganization = \"octo-org\"\n");
    let mut flags = Flags::default();
    for key in ["github.app_id", "github.private_key", "github.webhook_secret"] {
        flags.set(key, given.sources.flags.get(key).unwrap());
    }
    flags.set("github.repository", "octocat/hello-world");
    given.sources.flags = flags;
    let scope = good(&given.sources).github.unwrap().scope;
    assert!(matches!(scope, Scope::Repository { .. }));
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
fn a_key_that_is_missing_unreadable_or_none_is_a_problem_of_its_own() {
    let given = given("");
    let directory = given.directory.path();
    fs::write(directory.join("none.pem"), "hello").unwrap();
    fs::write(directory.join("empty.pem"), "\n").unwrap();
    fs::write(directory.join("binary.pem"), [0xff, 0xfe]).unwrap();
    for (file, words) in [
        ("absent.pem", "No such file"),
        ("none.pem", "holds no private key"),
        ("empty.pem", "is empty"),
        ("binary.pem", "cannot read the private key"),
        (".", "Is a directory"),
    ] {
        let mut sources = given.sources.clone();
        sources.flags.set("github.private_key", directory.join(file).to_str().unwrap());
        let shown = bad(&sources);
        assert!(shown.contains(words) && shown.contains("--private-key"), "{shown}");
    }
}

#[test]
fn a_key_that_everyone_can_read_is_a_warning() {
    let given = given("");
    let key = given.directory.path().join("key.pem");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let checked = check(&given.sources, &machine(), Purpose::Serve);
    assert!(checked.config.is_some());
    assert!(checked.report.problems[0].help.as_ref().unwrap().starts_with("chmod 600"));
}

#[test]
fn labels_that_github_could_match_twice_are_a_warning() {
    let profiles = |one: &str, two: &str| {
        format!(
            "[[profile]]\nname = \"a\"\nlabels = {one}\n[[profile]]\nname = \"b\"\nlabels = {two}\n"
        )
    };
    let warnings = |one: &str, two: &str| {
        let given = given(&profiles(one, two));
        let checked = check(&given.sources, &machine(), Purpose::Serve);
        assert!(checked.config.is_some());
        checked.report.problems.len()
    };
    assert_eq!(warnings(r#"["linux"]"#, r#"["linux", "gpu"]"#), 1);
    assert_eq!(warnings(r#"["linux"]"#, r#"["LINUX"]"#), 1);
    assert_eq!(warnings(r#"["linux", "small"]"#, r#"["linux", "gpu"]"#), 0);
}

#[test]
fn a_default_that_does_not_fit_this_machine_is_a_warning_but_a_written_one_an_error() {
    let small = Machine { cpus: 1, memory: MiB(2048), free_disk: |_| Some(MiB(8 * 1024)) };
    let defaults = given("");
    let checked = check(&defaults.sources, &small, Purpose::Serve);
    assert_eq!((checked.config.is_some(), checked.report.problems.len()), (true, 3));
    let written =
        given("[[profile]]\nname = \"a\"\nmemory = \"4 GiB\"\nvcpus = 1\nscratch = \"1 GiB\"\n");
    let checked = check(&written.sources, &small, Purpose::Serve);
    assert_eq!((checked.config.is_some(), checked.report.problems.len()), (false, 1));
}

#[test]
fn sizes_have_units() {
    for (text, mib) in [("4 GiB", 4096), ("4gib", 4096), ("512MiB", 512), ("1 TiB", 1_048_576)] {
        assert_eq!(values::size(text), Ok(MiB(mib)), "{text}");
    }
    for text in [
        "4",
        "4 GB",
        "GiB",
        "",
        "-1 GiB",
        "4 G",
        "99999999999999999999 GiB",
        "99999999999999999 TiB",
    ] {
        assert!(values::size(text).is_err(), "{text}");
    }
}

#[test]
fn a_network_is_written_with_its_length_and_nothing_behind_it() {
    let wrong = |text| values::network(text).unwrap_err();
    assert_eq!(wrong("10.0.0.1/8"), "a network: did you mean `10.0.0.0/8`?");
    assert_eq!(wrong("10.0.0.0/33"), "a network such as `10.1.0.0/16`");
    assert_eq!(wrong("10.0.0.1"), "a network such as `10.1.0.0/16`");
}

#[test]
fn egress_is_a_word_or_a_list() {
    let config = good(
        &given(
            r#"
        [host]
        ipv6 = "2001:db8:1:2::/64"
        [[profile]]
        name = "plain"
        [[profile]]
        name = "github"
        labels = ["a"]
        egress = "github"
        [[profile]]
        name = "none"
        labels = ["b"]
        egress = "none"
        [[profile]]
        name = "list"
        labels = ["c"]
        egress = ["github", "*.acme.example", "10.1.0.0/16"]
        egress_audit = true
        bandwidth = "200 Mbit/s"
        connections = 100
        "#,
        )
        .sources,
    );
    assert_eq!(config.host.ipv6, Ipv6::Prefix("2001:db8:1:2::/64".parse().unwrap()));
    assert_eq!(profile(&config, "plain").egress, Egress::internet());
    let names = |name| profile(&config, name).egress.names().map(<[_]>::len);
    assert_eq!([names("github"), names("none"), names("list")], [Some(10), None, Some(11)]);
    let list = &profile(&config, "list").egress;
    assert_eq!((list.audit, list.limits.bytes_per_second), (true, Some(25_000_000)));
    assert_eq!(list.limits.connections, 100);
}

#[test]
fn a_bridge_has_the_originals_address_and_profiles_may_open_theirs() {
    let config = good(
        &given(
            r#"
        [host]
        bridge = "br-flint"
        ipv6 = "2001:db8:1:2::/64"
        [[profile]]
        name = "open"
        inbound = ["2001:db8:77::/48"]
        "#,
        )
        .sources,
    );
    let bridge = config.host.bridge.as_ref().unwrap();
    assert_eq!((bridge.name.as_str(), bridge.length), ("br-flint", 24));
    assert_eq!(bridge.address.to_string(), "10.0.0.1");
    assert_eq!(profile(&config, "open").egress.inbound, ["2001:db8:77::/48".parse().unwrap()]);
    let other = "[host]\nbridge = \"b\"\nbridge_address = \"172.20.0.9/16\"\nslots = 4096\n";
    let other = good(&given(other).sources).host.bridge.unwrap();
    assert_eq!(other.network().to_string(), "172.20.0.0/16");
}

#[test]
fn a_disk_has_a_rate_in_bytes_and_in_number() {
    let file =
        "[[profile]]\nname = \"a\"\ndisk_bandwidth = \"200 MiB/s\"\ndisk_operations = 5000\n";
    let rate = profile(&good(&given(file).sources), "a").disk_rate;
    assert_eq!(rate.bytes_per_second, Some(200 << 20));
    assert_eq!(rate.operations_per_second, Some(5_000));
    for wrong in ["\"200 Mbit/s\"", "\"200 MiB\"", "\"1 MiB/s\"", "200"] {
        let file = format!("[[profile]]\nname = \"a\"\ndisk_bandwidth = {wrong}\n");
        let report = bad(&given(&file).sources);
        assert!(report.contains("`profile.disk_bandwidth` is not a rate such as"), "{report}");
    }
}

#[test]
fn a_profile_offers_sizes_within_limits_and_its_prefix_is_nobody_elses() {
    let file = |sizes: &str| {
        format!("[[profile]]\nname = \"big\"\nlabels = [\"big\"]\nsizes = {{ {sizes} }}\n")
    };
    let config = good(&given(&file("vcpus = 4, images = [\"ubuntu24=/i/u.ext4\"]")).sources);
    let big = profile(&config, "big");
    let sizes = big.profile.sizes.as_ref().unwrap();
    assert_eq!((sizes.prefix.as_str(), sizes.max.vcpus), ("big", 4));
    assert_eq!(sizes.max.memory, config.host.capacity.memory);
    assert_eq!(big.images["ubuntu24"], Path::new("/i/u.ext4"));
    let other = "[[profile]]\nname = \"b\"\nlabels = [\"big-2cpu\"]\n";
    for (sizes, other, said) in [
        ("vcpus = 33", "", "`profile.sizes.vcpus` is not"),
        ("memory = \"900 GiB\"", "", "is more than this host hands out"),
        ("prefix = \"Big one\"", "", "1 to 24 of a-z and 0-9"),
        ("images = [\"u24\"]", "", "`ubuntu24=/PATH"),
        ("cpus = 4", "", "unknown key `cpus`"),
        ("", other, "the label `big-2cpu` of profile `b` also asks for a size of profile `big`"),
    ] {
        let report = bad(&given(&(file(sizes) + other)).sources);
        assert!(report.contains(said), "{report}");
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

#[test]
fn what_a_bridge_cannot_be_is_said_at_its_key() {
    let wrong = bad(&given(
        r#"
        [host]
        bridge = "br flint"
        bridge_address = "10.0.0.0/24"
        [[profile]]
        name = "a"
        inbound = ["2001:db8::/32", "10.0.0.0/8"]
        "#,
    )
    .sources);
    let more = bad(&given(
        r#"
        [host]
        bridge = "br-flint"
        bridge_address = "10.0.0.1/27"
        ipv6 = "2001:db8:1::/56"
        [[profile]]
        name = "a"
        "#,
    )
    .sources);
    let alone = bad(&given("[host]\nbridge_address = \"10.0.0.1/24\"\n").sources);
    let public = "[[profile]]\nname = \"a\"\ninbound = [\"2001:db8::/32\"]\n";
    let closed = bad(&given(public).sources);
    insta::assert_snapshot!([wrong, more, alone, closed].join("\n"));
}

#[test]
fn what_an_egress_cannot_be_is_said_at_its_entry() {
    let wrong = bad(&given(
        r#"
        [host]
        ipv6 = "fe80::/64"
        [[profile]]
        name = "a"
        egress = ["github", "*", "*.com", "10.0.0.1/8", "0.0.0.0/0", "internet", "http://x.y"]
        bandwidth = "fast"
        [[profile]]
        name = "b"
        labels = ["b"]
        egress = "everywhere"
        [[profile]]
        name = "c"
        labels = ["c"]
        egress_audit = true
        "#,
    )
    .sources);
    insta::assert_snapshot!(wrong);
}

#[test]
fn an_egress_without_github_is_a_warning_and_another_github_is_its_own() {
    let mut given = given("[[profile]]\nname = \"a\"\negress = [\"acme.example\"]\n");
    let checked = check(&given.sources, &machine(), Purpose::Serve);
    let report = checked.report.render(false);
    assert!(report.contains("leaves out GitHub, so a runner there never gets a job"), "{report}");
    given.sources.flags.set("github.url", "https://ghes.acme.example/api/v3");
    given.sources.file.as_mut().unwrap().text =
        "[[profile]]\nname = \"a\"\negress = \"github\"\n".to_owned();
    let config = good(&given.sources);
    let names = profile(&config, "a").egress.names().unwrap();
    for host in ["ghes.acme.example", "codeload.ghes.acme.example", "github.com"] {
        assert!(names.iter().any(|name| name.covers(host)), "{host}");
    }
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

#[test]
fn limits_are_compared_without_case_and_a_bad_one_says_what_it_should_be() {
    let text = r#"
[github]
organization = "acme"
app_id = 1
private_key = "key.pem"
insecure_no_secret = true
[limits]
per_repository = 4
repositories = ["Acme/Web=8", "acme/idle=0", "web=3", "acme/x=many"]
owners = ["ACME=9", "acme/web=1"]
"#;
    let shown = check(&given(text).sources, &machine(), Purpose::Local).report.render(false);
    for wanted in ["owner/name=4", "name=4"] {
        assert!(shown.contains(wanted), "{shown}");
    }
    assert!(shown.matches("error").count() >= 3, "{shown}");
    let good = text.replace(r#", "web=3", "acme/x=many""#, "").replace(r#", "acme/web=1""#, "");
    let limits = check(&given(&good).sources, &machine(), Purpose::Local).config.unwrap().limits;
    let of = |name| limits.of_repository(name);
    assert_eq!((of("acme/web"), of("ACME/idle"), of("o/r")), (Some(8), Some(0), Some(4)));
    assert_eq!((limits.of_owner("acme"), limits.of_owner("o")), (Some(9), None));
}

#[test]
fn tls_needs_both_files_and_its_key_is_for_nobody_else() {
    let given = given("[server]\ntls_certificate = \"/nowhere/crt\"");
    let report = bad(&given.sources);
    assert!(
        report.contains("`server.tls_certificate` is given without `server.tls_key`"),
        "{report}"
    );
    let path = |name: &str| given.directory.path().join(name);
    let (certificate, key) = (path("crt"), path("tls.key"));
    let mut both = given.sources;
    both.file = None;
    both.flags.set("server.tls_certificate", certificate.to_str().unwrap());
    both.flags.set("server.tls_key", key.to_str().unwrap());
    let report = bad(&both);
    assert!(report.contains(&format!("cannot read `{}`", key.display())), "{report}");
    for file in [&certificate, &key] {
        fs::write(file, "PEM").unwrap();
        fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    }
    let report = check(&both, &machine(), Purpose::Serve).report.render(false);
    let warning = |file: &Path| format!("every user of this host can read `{}`", file.display());
    assert!(
        report.contains(&warning(&key)) && !report.contains(&warning(&certificate)),
        "{report}"
    );
    let config = good(&both);
    assert_eq!(config.server.tls, Some(TlsOptions { certificate, key }));
}

#[test]
fn the_front_s_user_is_no_microvm_s_and_not_root() {
    let config = good(&given("").sources);
    assert_eq!((config.server.uid, config.server.confine), (65_534, true));
    let config = good(&given("[server]\nuid = 4000\nconfine = false").sources);
    assert_eq!((config.server.uid, config.server.confine), (4000, false));
    let report = bad(&given("[server]\nuid = 1010\n[host]\nuid_base = 1000\nslots = 16").sources);
    assert!(report.contains("`server.uid` 1010 is also a microVM's"), "{report}");
    assert!(report.contains("1000 to 1016"), "{report}");
    let report = bad(&given("[server]\nuid = 0").sources);
    assert!(report.contains("a whole number from 1 to"), "{report}");
}
