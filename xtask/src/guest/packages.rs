//! The machine's own package manager: which distribution, which mirrors, which versions.

use super::tools::{output, run};
use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The distribution of this machine.
pub(crate) struct Distribution {
    /// `debian` or `ubuntu`.
    pub(crate) id: String,
    /// `bookworm`, `noble`.
    pub(crate) suite: String,
    /// `amd64`, `arm64`.
    pub(crate) architecture: String,
}

impl Distribution {
    /// This machine's.
    pub(crate) fn here() -> Result<Self> {
        let release =
            fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?;
        let field = |name: &str| {
            let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        let id = field("ID").unwrap_or_default();
        if !["debian", "ubuntu"].contains(&id.as_str()) {
            bail!("cannot build a guest on `{id}`: only Debian and Ubuntu are supported");
        }
        let suite = field("VERSION_CODENAME").context("/etc/os-release has no VERSION_CODENAME")?;
        let architecture =
            output(Command::new("dpkg").arg("--print-architecture"))?.trim().to_owned();
        Ok(Distribution { id, suite, architecture })
    }

    /// The metapackage of the kernel for virtual machines.
    pub(crate) fn kernel_package(&self) -> String {
        match self.id.as_str() {
            "debian" => format!("linux-image-cloud-{}", self.architecture),
            _ => "linux-image-virtual".to_owned(),
        }
    }

    /// The distribution's keyring.
    pub(crate) fn keyring(&self) -> PathBuf {
        PathBuf::from(format!("/usr/share/keyrings/{}-archive-keyring.gpg", self.id))
    }

    /// The distribution's own mirrors as this machine uses them; other vendors' repositories stay out.
    pub(crate) fn sources(&self, suite: &str) -> Result<String> {
        let format = "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT) $(ARCHITECTURE)";
        let targets = output(Command::new("apt-get").args([
            "indextargets",
            "--format",
            format,
            "Created-By: Packages",
        ]))?;
        let sources = parse_sources(&targets, self, suite);
        if sources.is_empty() {
            bail!("apt knows no {} mirror of `{suite}`: run `apt-get update` first", self.id);
        }
        Ok(sources)
    }
}

fn parse_sources(targets: &str, distribution: &Distribution, suite: &str) -> String {
    let keyring = distribution.keyring();
    let mut sources = String::new();
    for target in targets.lines() {
        let [origin, uri, release, component, architecture] =
            target.split_whitespace().collect::<Vec<_>>()[..]
        else {
            continue;
        };
        let ours = origin.eq_ignore_ascii_case(&distribution.id)
            && architecture == distribution.architecture
            && (release == suite || release.starts_with(&format!("{suite}-")))
            // Newer than the release: only on request.
            && !release.ends_with("-backports");
        if ours {
            let keyring = keyring.display();
            sources += &format!("deb [signed-by={keyring}] {uri} {release} {component}\n");
        }
    }
    sources
}

/// The real kernel package behind a metapackage, and its version.
pub(crate) fn resolve_kernel(package: &str) -> Result<(String, String)> {
    let mut name = package.to_owned();
    for _ in 0..4 {
        let record = output(Command::new("apt-cache").args(["show", "--no-all-versions", &name]))?;
        let field =
            |key: &str| record.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
        if let Some(next) = field("Depends:").and_then(next_image) {
            name = next.to_owned();
            continue;
        }
        let version = field("Version:").with_context(|| format!("apt does not know `{name}`"))?;
        return Ok((name, version.to_owned()));
    }
    bail!("`{package}` leads to no kernel")
}

/// `linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)` of a metapackage; a real one depends on no other image.
fn next_image(depends: &str) -> Option<&str> {
    let mut packages = depends.split(',').filter_map(|package| package.split_whitespace().next());
    packages.find(|name| name.starts_with("linux-image-"))
}

/// Downloads a package and unpacks its files; nothing is installed.
pub(crate) fn unpack(package: &str, work: &Path, into: &Path) -> Result<()> {
    // apt's own unprivileged user cannot write here, and need not.
    run(Command::new("apt-get")
        .args(["-q", "-o", "APT::Sandbox::User=root", "download", package])
        .current_dir(work))?;
    let deb = fs::read_dir(work)?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&format!("{package}_")) && name.ends_with(".deb")
        })
        .with_context(|| format!("apt downloaded no file for `{package}`"))?;
    run(Command::new("dpkg-deb").arg("-x").arg(deb).arg(into))
}

#[cfg(test)]
mod tests {
    use super::{Distribution, next_image, parse_sources};

    #[test]
    fn a_metapackage_leads_to_its_image() {
        let depends = " linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)";
        assert_eq!(next_image(depends), Some("linux-image-6.1.0-56-cloud-amd64"));
        assert_eq!(next_image(" kmod, linux-base (>= 4.3~), initramfs-tools"), None);
    }

    #[test]
    fn only_the_distributions_own_mirrors_are_used() {
        let here = Distribution {
            id: "debian".into(),
            suite: "bookworm".into(),
            architecture: "amd64".into(),
        };
        let targets = "Debian http://mirror/debian/ bookworm main amd64\n\
            Debian http://mirror/debian/ bookworm-updates main amd64\n\
            Debian http://mirror/debian/ bookworm-backports main amd64\n\
            Debian http://mirror/debian/ bookworm main i386\n\
            Vendor http://vendor/ bookworm main amd64\nhttp://flat/ x\n";
        let keyring = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]";
        let expected = format!(
            "deb {keyring} http://mirror/debian/ bookworm main\n\
             deb {keyring} http://mirror/debian/ bookworm-updates main\n"
        );
        assert_eq!(parse_sources(targets, &here, "bookworm"), expected);
    }
}
