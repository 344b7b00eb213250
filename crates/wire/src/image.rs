//! What an image says of itself and of the runner in it: read by the agent in a guest, and from outside by the host.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

/// Where an image may say something of itself.
pub const ABOUT: &str = "/etc/flint/image.json";

/// Where GitHub's runner is, unless [`ABOUT`] says `runner_dir`.
pub const RUNNER_DIR: &str = "/opt/actions-runner";

/// Below the runner's folder: the program that takes jobs.
pub const LISTENER: &str = "bin/Runner.Listener";

/// Below the runner's folder: the list of what [`LISTENER`] is made of, itself first. The build of the runner writes its
/// version there, and nothing has to be run to read it.
pub const MANIFEST: &str = "bin/Runner.Listener.deps.json";

/// No list of the runner's is longer: they have some ten thousand bytes.
pub const MANIFEST_MAX: u64 = 4 << 20;

/// Longer than any version.
const VERSION_MAX: usize = 40;

/// Of a .NET program's list: the programs and libraries, `NAME/VERSION`, for each platform that it was built for.
#[derive(Deserialize)]
struct Manifest {
    targets: BTreeMap<String, BTreeMap<String, Value>>,
}

/// The runner's version by its list; `None` if it names none, or two different ones.
#[must_use]
pub fn runner_version(manifest: &[u8]) -> Option<String> {
    let manifest: Manifest = serde_json::from_slice(manifest).ok()?;
    let parts = manifest.targets.values().flat_map(BTreeMap::keys);
    let mut versions = parts.filter_map(|part| part.strip_prefix("Runner.Listener/"));
    let version = versions.next()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+');
    let sound = (1..=VERSION_MAX).contains(&version.len()) && version.chars().all(plain);
    (sound && versions.all(|other| other == version)).then(|| version.to_owned())
}

/// Where an image says that its runner is; `None` if what it says is no JSON object.
#[must_use]
pub fn runner_dir(about: &[u8]) -> Option<String> {
    let about: Value = serde_json::from_slice(about).ok()?;
    let dir = about.as_object()?.get("runner_dir").and_then(Value::as_str);
    Some(dir.unwrap_or(RUNNER_DIR).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As GitHub's build writes it, shortened.
    const REAL: &str = r#"{"runtimeTarget":{"name":".NETCoreApp,Version=v8.0/linux-x64"},"targets":{
        ".NETCoreApp,Version=v8.0":{},
        ".NETCoreApp,Version=v8.0/linux-x64":{
            "Runner.Listener/2.335.1":{"dependencies":{"Newtonsoft.Json":"13.0.3"}},
            "Newtonsoft.Json/13.0.3":{},"Runner.Common/1.0.0":{}}}}"#;

    #[test]
    fn a_runners_version_is_its_own_among_those_of_its_parts() {
        assert_eq!(runner_version(REAL.as_bytes()).as_deref(), Some("2.335.1"));
    }

    #[test]
    fn a_list_that_names_no_version_or_several_tells_nothing() {
        let one = |part: &str| format!(r#"{{"targets":{{"a":{{"{part}":{{}}}}}}}}"#);
        let two =
            r#"{"targets":{"a":{"Runner.Listener/1.0.0":{}},"b":{"Runner.Listener/2.0.0":{}}}}"#;
        let long = one(&format!("Runner.Listener/{}", "1".repeat(41)));
        for text in [
            "",
            "{}",
            "[]",
            "{\"targets\":1}",
            two,
            &long,
            &one("Newtonsoft.Json/13.0.3"),
            &one("Runner.Listener/"),
            &one("Runner.Listener/1 0"),
        ] {
            assert_eq!(runner_version(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn an_image_may_say_where_its_runner_is() {
        assert_eq!(runner_dir(br#"{"runner_dir":"/runner"}"#).as_deref(), Some("/runner"));
        assert_eq!(runner_dir(b"{}").as_deref(), Some(RUNNER_DIR));
        assert_eq!(runner_dir(b"[]"), None);
    }
}
