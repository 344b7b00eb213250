//! What is kept of microVMs, also of those that are gone: their logs and consoles.

use crate::host::Host;
use crate::host::log::{self, View};
use crate::images::Images;
use crate::net::{EGRESS, Net};
use crate::sys::bounded;
use crate::vmm::Vmm;
use flint_core::id::VmId;

/// How much of a log's end may hold remarks about the network.
const REMARKS_MAX: u64 = 16 << 10;

/// Log files that are kept, consoles and older halves counted.
const LOGS_KEPT: usize = 400;

impl<V: Vmm, N: Net, I: Images> Host<V, N, I> {
    /// A microVM's log, as long as it is here. After that its file is [`crate::host::Layout::log`].
    #[must_use]
    pub fn log(&self, vm: VmId) -> Option<View> {
        self.known().guests.get(&vm).map(|guest| guest.log.view())
    }

    /// The last bytes of a microVM's log file, gone or not; empty when there is none any more.
    #[must_use]
    pub fn kept_log(&self, vm: VmId, most: u64) -> Vec<u8> {
        bounded::tail(&self.options.layout.log(vm), most)
    }

    /// The last bytes of a microVM's console, gone or not.
    #[must_use]
    pub fn kept_console(&self, vm: VmId, most: u64) -> Vec<u8> {
        bounded::tail(&self.options.layout.console(vm), most)
    }

    /// What a microVM was refused of the network, a line each: by the kernel's counters while it is there, and after that
    /// as its log ends.
    pub async fn refused(&self, vm: VmId) -> Vec<String> {
        if let Some(slot) = self.slot_of(vm)
            && let Ok(refusals) = self.net.refusals(slot).await
            && !refusals.lines().is_empty()
        {
            return refusals.lines();
        }
        log::remarks(&self.kept_log(vm, REMARKS_MAX), EGRESS)
    }

    /// Before each launch: the oldest files go.
    pub(super) fn make_room_for_logs(&self) {
        let dir = self.options.layout.logs();
        let made = std::fs::create_dir_all(&dir).and_then(|()| bounded::prune(&dir, LOGS_KEPT));
        if let Err(error) = made {
            tracing::warn!(dir = %dir.display(), %error, "cannot keep logs");
        }
    }
}
