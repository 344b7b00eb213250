//! What the program itself says of a network that is in its way: `flint doctor`, `network` and `serve`.

use super::world::{SERVER, World};
use flint::sys::netns;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A configuration for classic mode, which could serve but for what it finds.
fn configuration(world: &World, dir: &Path) -> PathBuf {
    let (config, token) = (dir.join("flint.toml"), dir.join("token"));
    fs::write(&token, "ghp_0123456789").unwrap();
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let (prefix, dir, token) = (&world.options.prefix, dir.display(), token.display());
    let text = format!(
        "[github]\norganization = \"acme\"\ntoken_file = \"{token}\"\ninsecure_no_secret = true\n\
         [server]\nlisten = \"127.0.0.1:9198\"\n\
         [host]\nstate_dir = \"{dir}/state\"\nrun_dir = \"{dir}/run\"\nnetns_prefix = \"{prefix}\"\n\
         dns = [\"{SERVER}\"]\nbridge = \"br-flint\"\n"
    );
    fs::write(&config, text).unwrap();
    config
}

/// Runs the program in the uplink's namespace.
fn flint(world: &World, config: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_flint"));
    command.arg("--config").arg(config).args(arguments);
    netns::run_in(&world.uplink.path(), || command.output()).unwrap().unwrap()
}

fn lines(output: &Output) -> Vec<[String; 4]> {
    let lines: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    let field = |line: &Value, name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let line = |line| ["item", "verdict", "reading", "fix"].map(|name| field(line, name));
    lines.iter().map(line).collect()
}

#[test]
fn the_doctor_says_what_stands_in_guests_way_and_how_it_goes_away() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let config = configuration(&world, dir.path());
    let found = lines(&flint(&world, &config, &["--json", "doctor"]));
    let of = |found: &[[String; 4]], item: &str| found.iter().find(|line| line[0] == item).cloned();
    assert_eq!(of(&found, "network").expect("the control")[1], "ok");
    assert!(of(&found, "connections").is_some(), "{found:#?}");
    world.uplink.run(
        "ip link add br-flint type bridge
         ip route add 10.0.0.128/25 via 198.51.100.1
         nft 'table ip filter { chain FORWARD { type filter hook forward priority filter; policy drop; }; }'",
    );
    let output = flint(&world, &config, &["--json", "doctor"]);
    assert_eq!(output.status.code(), Some(3), "it would not work");
    let found = lines(&output);
    assert_eq!(of(&found, "network"), None);
    let [_, verdict, reading, fix] = of(&found, "bridge").expect("a line for the bridge");
    assert_eq!(
        (verdict.as_str(), reading.as_str()),
        ("bad", "the bridge `br-flint` was made by somebody else, and is not touched")
    );
    let mark = format!("`ip link set br-flint alias \"flint {}\"`", world.options.prefix);
    assert!(fix.ends_with(&mark), "{fix}");
    let [_, verdict, _, fix] = of(&found, "forward rules").expect("a line for the rules");
    assert_eq!(verdict, "warn");
    assert!(fix.contains("-i 'br-flint' -j ACCEPT"), "{fix}");
    assert_eq!(of(&found, "address pool").expect("a line for the pool")[1], "warn");
}

#[test]
fn a_foreign_bridge_is_named_with_its_fix_by_each_order_and_by_a_start() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let config = configuration(&world, dir.path());
    world.uplink.run("ip link add br-flint type bridge");
    let before = world.uplink.run("ip -d link; ip addr; nft list ruleset");
    for order in [&["network", "up"][..], &["network", "down"], &["serve"]] {
        let output = flint(&world, &config, order);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for part in [
            "cannot use the bridge `br-flint`",
            &format!("its alias is ``, and not `flint {}`", world.options.prefix),
            "help: name another in `host.bridge`",
        ] {
            assert!(said.contains(part), "{order:?}: {said}");
        }
    }
    let shown = flint(&world, &config, &["network", "show"]);
    assert!(shown.status.success());
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.starts_with("br-flint: there, but not Flint's\n"), "{shown}");
    assert_eq!(world.uplink.run("ip -d link; ip addr; nft list ruleset"), before);
}

#[test]
fn the_bridge_is_made_shown_and_removed_by_the_program() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let config = configuration(&world, dir.path());
    for (order, shown) in [("up", "br-flint: up\n"), ("down", "br-flint: not there\n")] {
        let output = flint(&world, &config, &["network", order]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(output.stdout.starts_with(shown.as_bytes()), "{order}");
    }
    assert_eq!(world.uplink.run("ip -o link | grep br- || true"), "");
}
