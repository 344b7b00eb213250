//! What an image says about itself, and where its programs are.

use crate::error::{During, Error};
use crate::sys::Text;
use crate::users::User;
use flint_wire::image::{
    ABOUT, MANIFEST, MANIFEST_MAX, RUNNER_DIR, runner_dir, runner_version as told,
};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;

/// Where programs are looked for, and what all work gets as its own PATH.
pub(crate) const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What an image says about itself.
pub(crate) struct Image {
    /// Where GitHub's runner is.
    pub(crate) runner_dir: String,
    /// `NAME=value`, over Flint's own.
    env: Vec<(String, String)>,
}

impl Image {
    /// Reads `/etc/flint/image.json`, which need not be there.
    pub(crate) fn read() -> Result<Self, Error> {
        let step = format!("read {ABOUT}");
        match fs::read(ABOUT) {
            Ok(bytes) => {
                Image::parse(&bytes).ok_or_else(|| Error::refused(step, "not a JSON object"))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Ok(Image { runner_dir: RUNNER_DIR.to_owned(), env: Vec::new() })
            }
            Err(error) => Err(error).during(step),
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(bytes).ok()?;
        let object = value.as_object()?;
        let env = object.get("env").and_then(Value::as_object).into_iter().flatten();
        let env = env.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
        Some(Image { runner_dir: runner_dir(bytes)?, env: env.collect() })
    }
}

/// The version of the image's runner, if there is one that says so. A guest without is as good for other work.
pub(crate) fn runner_version() -> Option<String> {
    let manifest = File::open(format!("{}/{MANIFEST}", Image::read().ok()?.runner_dir)).ok()?;
    let mut bytes = Vec::new();
    manifest.take(MANIFEST_MAX).read_to_end(&mut bytes).ok()?;
    told(&bytes)
}

/// The environment of all work, without any secret; `more` is Flint's own, too.
pub(crate) fn environment(user: &User, image: &Image, more: &[(&str, String)]) -> Vec<Text> {
    let more = more.iter().map(|(name, value)| (*name, value.as_str()));
    let usual = [
        ("PATH", PATH),
        ("HOME", &user.home),
        ("USER", &user.name),
        ("LOGNAME", &user.name),
        ("SHELL", &user.shell),
        ("LANG", "C.UTF-8"),
    ];
    let all = usual.into_iter().chain(more);
    let kept = all.filter(|(name, _)| !image.env.iter().any(|(own, _)| own == name));
    let own = image.env.iter().map(|(name, value)| Text::of(&[name, "=", value]));
    kept.map(|(name, value)| Text::of(&[name, "=", value])).chain(own).collect()
}

/// A program's path, looked up as a shell does, but in this [`PATH`].
pub(crate) fn find_program(name: &str) -> Option<String> {
    if name.contains('/') {
        return Some(name.to_owned());
    }
    let runs = |path: &String| {
        fs::metadata(path)
            .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
    };
    PATH.split(':').map(|directory| format!("{directory}/{name}")).find(runs)
}

#[cfg(test)]
mod tests {
    use super::Image;

    #[test]
    fn an_image_may_say_where_its_runner_is_and_what_its_environment_is() {
        let json = br#"{"runner_dir":"/runner","env":{"ImageOS":"debian12","odd":1},"other":[]}"#;
        let image = Image::parse(json).unwrap();
        assert_eq!(image.runner_dir, "/runner");
        assert_eq!(image.env, [("ImageOS".to_owned(), "debian12".to_owned())]);
        assert_eq!(Image::parse(b"{}").unwrap().runner_dir, "/opt/actions-runner");
        assert!(Image::parse(b"[]").is_none());
    }
}
