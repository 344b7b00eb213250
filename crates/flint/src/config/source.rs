//! Where values come from: flags, then `FLINT_*` variables, then the file; and systemd's credentials for secrets.

use super::error::Error;
use super::flags::Flags;
use super::keys::KEYS;
use super::report::{Origin, Problem, Severity};
use super::{defaults, values};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Everything a configuration is made of, as plain data: tests need no environment.
#[derive(Clone, Default)]
pub struct Sources {
    /// From the command line.
    pub flags: Flags,
    /// Those whose name begins with `FLINT_`.
    pub variables: BTreeMap<String, Zeroizing<String>>,
    /// The file, if there is one.
    pub file: Option<File>,
    /// `$CREDENTIALS_DIRECTORY`: systemd puts `webhook-secret` and `private-key` there.
    pub credentials: Option<PathBuf>,
}

/// A configuration file that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// Its name, for people.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

impl Sources {
    /// Reads the environment and the file: `file`, or else `FLINT_CONFIG`, or else `/etc/flint/flint.toml` if it is there.
    ///
    /// # Errors
    /// [`Error`] when a file that was named, or that is there, cannot be read.
    pub fn gather(flags: Flags, file: Option<PathBuf>) -> Result<Self, Error> {
        let variables = variables()?;
        let named = file.or_else(|| variables.get("FLINT_CONFIG").map(|path| path.as_str().into()));
        let file = match named {
            Some(path) => Some(read(&path)?),
            None => read_if_there(Path::new(defaults::FILE))?,
        };
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Ok(Sources { flags, variables, file, credentials })
    }

    /// The run directory, for commands that need the API socket and nothing else: no problem of the rest of the
    /// configuration keeps them from looking.
    #[must_use]
    pub fn run_dir(&self) -> PathBuf {
        self.place("run_dir", "FLINT_RUN_DIR", defaults::RUN_DIR)
    }

    /// The state directory, for the same reason: the store must be readable where a configuration is not.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.place("state_dir", "FLINT_STATE_DIR", defaults::STATE_DIR)
    }

    fn place(&self, key: &str, variable: &str, default: &str) -> PathBuf {
        let given = self.flags.get(&format!("host.{key}")).map(str::to_owned);
        let given = given.or_else(|| self.variables.get(variable).map(|v| v.to_string()));
        let given = given.or_else(|| {
            let table: toml::Table = self.file.as_ref()?.text.parse().ok()?;
            table.get("host")?.get(key)?.as_str().map(str::to_owned)
        });
        given.map_or_else(|| PathBuf::from(default), PathBuf::from)
    }

    /// Variables that look like one of ours, misspelt. Others are none of our business.
    pub(super) fn misspelt_variables(&self) -> Vec<Problem> {
        let mut known: Vec<String> = KEYS.iter().filter_map(|key| key.variable()).collect();
        known.extend(["FLINT_CONFIG", "FLINT_SOCKET", "FLINT_LOG"].map(str::to_owned));
        let unknown = self.variables.keys().filter(|name| !known.contains(name));
        let warn = |name: &String| {
            // Two letters off: FLINT_RUN_DIR and FLINT_RUNNER_DIR are both somebody's.
            let near = values::nearest(name, known.iter().map(String::as_str))
                .filter(|near| values::distance(name, near) <= 2)?;
            Some(Problem {
                severity: Severity::Warning,
                message: format!("the environment variable `{name}` means nothing to Flint"),
                origin: Origin::Nowhere,
                label: String::new(),
                help: Some(format!("did you mean `{near}`?")),
            })
        };
        unknown.filter_map(warn).collect()
    }
}

fn variables() -> Result<BTreeMap<String, Zeroizing<String>>, Error> {
    let mut found = BTreeMap::new();
    for (name, value) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if name.starts_with("FLINT_") {
            let text = value.into_string().map_err(|_| Error::Variable { name: name.clone() })?;
            found.insert(name, Zeroizing::new(text));
        }
    }
    Ok(found)
}

fn read(path: &Path) -> Result<File, Error> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| Error::File { path: path.to_owned(), source })?;
    Ok(File { path: path.to_owned(), text })
}

fn read_if_there(path: &Path) -> Result<Option<File>, Error> {
    match read(path) {
        Ok(file) => Ok(Some(file)),
        Err(Error::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
