//! `[[profile]]`: labels, sizes and scale sets.

use super::*;

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
    let github = &config.github[0];
    assert!(matches!(github.webhooks, Webhooks::Refused));
    assert_eq!(github.runner_group, RunnerGroup::Name("build machines".to_owned()));
    let labels = |name: &str| {
        let labels = profile(&config, name).profile.labels.iter();
        labels.map(String::as_str).collect::<Vec<_>>()
    };
    assert_eq!(profile(&config, "small").scale_set.as_deref(), Some("small"));
    assert_eq!(labels("small"), ["small"]);
    assert_eq!(profile(&config, "big").scale_set.as_deref(), Some("linux-big"));
    assert_eq!(labels("big"), ["big", "linux", "linux-big"], "GitHub compares labels alone");
}

#[test]
fn labels_are_counted_and_measured() {
    let labelled = |labels: &str| format!("[[profile]]\nname = \"a\"\nlabels = [{labels}]\n");
    let many = (0..101).map(|n| format!("\"l{n}\"")).collect::<Vec<_>>().join(", ");
    let many = bad(&given(&labelled(&many)).sources);
    assert!(many.contains("has 101 labels; GitHub takes 100 of a runner"), "{many}");
    let full = (0..100).map(|n| format!("\"l{n}\"")).collect::<Vec<_>>().join(", ");
    assert!(good(&given(&labelled(&full)).sources).profiles.len() == 1);
    let set = bad(&given(&format!("{}source = \"scale-set\"\n", labelled(&full))).sources);
    let named = "has 101 labels, its scale set's name with them; GitHub takes 100";
    assert!(set.contains(named), "{set}");
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
fn a_scale_sets_name_is_one_of_its_labels_beside_those_of_others() {
    let said = |set: &str, labels: &str| {
        let text = format!(
            "[[profile]]\nname = \"a\"\nsource = \"scale-set\"\nscale_set = \"Small\"\n{set}\n\
             [[profile]]\nname = \"b\"\nlabels = {labels}\n"
        );
        let checked = check(&given(&text).sources, &machine(), Purpose::Serve);
        assert!(checked.config.is_some());
        checked.report.problems.iter().map(|found| found.message.clone()).collect::<Vec<_>>()
    };
    let name = "the scale set's name `small` of profile `a` is also a label of `b`: GitHub may give its jobs to either";
    let others = "every label of profile `a`, but its scale set's name, is also one of `b`: GitHub may give its jobs to \
                  either";
    let all = "every label of profile `b` is also one of `a`: GitHub may give its jobs to either";
    let x = "labels = [\"x\"]";
    assert_eq!(said(x, r#"["SMALL", "gpu"]"#), [name]);
    assert_eq!(said(x, r#"["small"]"#), [name], "once, not from either side");
    assert_eq!(said(x, r#"["x", "gpu"]"#), [others]);
    assert_eq!(said(r#"labels = ["x", "y"]"#, r#"["y"]"#), [all]);
    assert_eq!(said("", r#"["gpu"]"#), Vec::<String>::new());
    assert_eq!(said(x, r#"["y"]"#), Vec::<String>::new());
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
    let set = "[[profile]]\nname = \"b\"\nsource = \"scale-set\"\nscale_set = \"big-2cpu\"\nlabels = [\"x\"]\n";
    for (sizes, other, said) in [
        ("vcpus = 33", "", "`profile.sizes.vcpus` is not"),
        ("memory = \"900 GiB\"", "", "is more than this host hands out"),
        ("prefix = \"Big one\"", "", "1 to 24 of a-z and 0-9"),
        ("images = [\"u24\"]", "", "`ubuntu24=/PATH"),
        ("cpus = 4", "", "unknown key `cpus`"),
        ("", set, "the label `big-2cpu` of profile `b` also asks for a size of profile `big`"),
        ("", other, "the label `big-2cpu` of profile `b` also asks for a size of profile `big`"),
    ] {
        let report = bad(&given(&(file(sizes) + other)).sources);
        assert!(report.contains(said), "{report}");
    }
}
