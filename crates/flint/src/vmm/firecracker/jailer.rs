//! The jailer's command line, and whether its programs can be used at all.

use super::{FILTER, Filter, Options};
use crate::sys::{spawn, tree};
use crate::vmm::jail::Jail;
use crate::vmm::{Error, Nic};
use flint_core::id::VmId;
use std::ffi::OsString;
use std::io;
use std::path::Path;

/// One run of the jailer.
///
/// Without `--daemonize` and `--new-pid-ns` it becomes Firecracker under the same process id, which its record names.
/// It is given no cgroup: Flint makes the group itself and the process is in it before the jailer begins, the same
/// way for each VMM and each version of cgroups.
#[derive(Debug)]
pub struct Jailer<'a> {
    /// The programs.
    pub options: &'a Options,
    /// The directory of all jails.
    pub jails_dir: &'a Path,
    /// The jail to be entered.
    pub jail: &'a Jail,
}

/// The versions of both programs, which are equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions(pub String);

impl Jailer<'_> {
    /// The arguments for this microVM.
    #[must_use]
    pub fn arguments(&self, vm: VmId, nic: Option<&Nic>) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        let mut give = |name: &str, value: OsString| args.extend([OsString::from(name), value]);
        give("--id", vm.to_string().into());
        give("--exec-file", self.options.firecracker.clone().into());
        give("--uid", self.jail.uid.to_string().into());
        give("--gid", self.jail.gid.to_string().into());
        give("--chroot-base-dir", self.jails_dir.into());
        if let Some(nic) = nic {
            give("--netns", nic.netns.clone().into());
        }
        give("--resource-limit", "no-file=2048".into());
        // The rest is Firecracker's own; the jailer adds the id.
        let own: &[&str] = match self.options.filter {
            Filter::BuiltIn => &[],
            Filter::File(_) => &["--", "--seccomp-filter", FILTER],
            Filter::Off => &["--", "--no-seccomp"],
        };
        args.extend(own.iter().map(OsString::from));
        args
    }

    /// Looks at both programs: there, runnable, static, of one version.
    ///
    /// # Errors
    /// [`Error::Program`] with the first thing that is wrong.
    pub async fn check(options: &Options) -> Result<Versions, Error> {
        let firecracker = version(&options.firecracker).await?;
        let jailer = version(&options.jailer).await?;
        let program = options.firecracker.clone();
        match spawn::is_dynamic(&program) {
            Ok(false) => {}
            Ok(true) => {
                let why = "it is a dynamic program; a jail has no libraries, and only the static build has its seccomp filter";
                return Err(Error::Program { program, why: why.to_owned() });
            }
            Err(e) => return Err(Error::Program { program, why: e.to_string() }),
        }
        for program in [&options.firecracker, &options.jailer] {
            closed(program)?;
        }
        if firecracker != jailer {
            let why = format!("it is version {firecracker}, the jailer is version {jailer}");
            return Err(Error::Program { program, why });
        }
        Ok(Versions(firecracker))
    }
}

/// Root starts both programs: whoever can put others in their place is root.
fn closed(program: &Path) -> Result<(), Error> {
    let wrong = |why| Error::Program { program: program.to_owned(), why };
    match tree::writable_by_others(program) {
        Ok(None) => Ok(()),
        Ok(Some(open)) => {
            let open = open.display();
            Err(wrong(format!(
                "others than root can write `{open}`: chown it to root and chmod go-w"
            )))
        }
        Err(e) => Err(wrong(e.to_string())),
    }
}

/// The version in the first line that `--version` prints: `Firecracker v1.12.0`, `Jailer v1.12.0`.
async fn version(program: &Path) -> Result<String, Error> {
    let wrong = |why: String| Error::Program { program: program.to_owned(), why };
    let (ok, text) = spawn::output(program, &["--version"]).await.map_err(|e| match e.kind() {
        io::ErrorKind::NotFound if program.exists() => {
            wrong("it is there, but its loader is not: it was built for another system".to_owned())
        }
        io::ErrorKind::NotFound => wrong("there is no such file".to_owned()),
        _ => wrong(e.to_string()),
    })?;
    let first = text.lines().next().unwrap_or_default();
    let version = first.split_whitespace().last().filter(|word| word.contains('.'));
    match version {
        Some(version) if ok => Ok(version.trim_start_matches('v').to_owned()),
        _ => Err(wrong(format!("`--version` printed `{first}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    #[test]
    fn the_command_line_names_the_jail_its_user_and_its_namespace() {
        let mut options = Options::new("/opt/jailer".into(), "/opt/firecracker".into());
        let (dir, root) =
            (PathBuf::from("/j/firecracker/vm-42"), PathBuf::from("/j/firecracker/vm-42/root"));
        let jail = Jail { dir, root, uid: 130, gid: 107, cgroups: Vec::new(), max_file: 0 };
        let nic = Nic { netns: "/run/netns/flint-7".into(), tap: "vmtap0".into(), mac: "m".into() };
        let line = |options: &Options| {
            let jailer = Jailer { options, jails_dir: Path::new("/j"), jail: &jail };
            let args = jailer.arguments(VmId(42), Some(&nic));
            args.iter().map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        let plain = "--id vm-42 --exec-file /opt/firecracker --uid 130 --gid 107 --chroot-base-dir /j \
            --netns /run/netns/flint-7 --resource-limit no-file=2048";
        assert_eq!(line(&options), plain);
        options.filter = Filter::File("/opt/filter".into());
        assert_eq!(line(&options), format!("{plain} -- --seccomp-filter seccomp.bpf"));
    }

    #[tokio::test]
    async fn a_program_that_is_missing_or_dynamic_is_named_with_its_cure() {
        let dir = tempfile::tempdir().unwrap();
        let fake = dir.path().join("firecracker");
        let missing = Options::new(fake.clone(), fake.clone());
        let error = Jailer::check(&missing).await.unwrap_err();
        assert!(error.to_string().contains("there is no such file"), "{error}");
        assert!(error.help().unwrap().contains("--vmm qemu"));
        std::fs::copy("/bin/true", &fake).unwrap();
        assert!(closed(&fake).is_ok());
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        let error = closed(&fake).unwrap_err().to_string();
        assert!(error.contains("others than root can write"), "{error}");
        let dynamic = Options::new("/usr/bin/env".into(), "/usr/bin/env".into());
        let error = Jailer::check(&dynamic).await.unwrap_err();
        assert!(error.to_string().contains("/usr/bin/env"), "{error}");
    }
}
