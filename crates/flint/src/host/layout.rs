//! Every name on this host, from an id alone. Nothing here looks at the disk.

use flint_core::id::VmId;
use std::path::{Path, PathBuf};

/// The names below a state directory, `/var/lib/flint`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    state_dir: PathBuf,
}

impl Layout {
    /// The names below this directory.
    #[must_use]
    pub fn new(state_dir: &Path) -> Self {
        Layout { state_dir: state_dir.to_owned() }
    }

    /// The scratch disks, `vm-42.ext4`. On one file system with the jails, which hold links to them.
    #[must_use]
    pub fn scratch(&self) -> PathBuf {
        self.state_dir.join("scratch")
    }

    /// The jails, `<engine>/vm-42/`.
    #[must_use]
    pub fn jails(&self) -> PathBuf {
        self.state_dir.join("jail")
    }

    /// The logs and consoles.
    #[must_use]
    pub fn logs(&self) -> PathBuf {
        self.state_dir.join("logs")
    }

    /// A microVM's log: what its work printed.
    #[must_use]
    pub fn log(&self, vm: VmId) -> PathBuf {
        self.logs().join(format!("{vm}.log"))
    }

    /// A microVM's console: what its kernel printed. The VMM writes it.
    #[must_use]
    pub fn console(&self, vm: VmId) -> PathBuf {
        self.logs().join(format!("{vm}.console"))
    }

    /// Whether KVM runs guests here, once known.
    #[must_use]
    pub fn canary(&self) -> PathBuf {
        self.state_dir.join("canary")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_enough_to_find_everything() {
        let layout = Layout::new(Path::new("/var/lib/flint"));
        assert_eq!(layout.log(VmId(42)), Path::new("/var/lib/flint/logs/vm-42.log"));
        assert_eq!(layout.console(VmId(42)), Path::new("/var/lib/flint/logs/vm-42.console"));
    }
}
