//! The machine and its network, the port for webhooks, and limits.

use super::*;

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
