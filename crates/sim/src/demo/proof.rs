//! Checks what the demo claims: every job ran well, each in a guest of its own, and nothing is left.

use super::Seen;
use std::collections::BTreeSet;

/// Everything that is not as it should be, in words.
pub(super) fn wrong(seen: &Seen, leftovers: &[String]) -> Vec<String> {
    let mut wrong: Vec<String> =
        leftovers.iter().map(|left| format!("still there: {left}")).collect();
    for row in &seen.rows {
        if row.state != "success" {
            wrong.push(format!("job {} `{}` ended with {}", row.id, row.name, row.state));
        }
        if row.vm.is_none() {
            wrong.push(format!("job {} `{}` ran in no microVM of Flint's", row.id, row.name));
        }
    }
    if seen.microvms() != seen.rows.len() {
        wrong.push(format!("{} jobs ran in {} microVMs", seen.rows.len(), seen.microvms()));
    }
    let boots: Vec<(u64, Option<Boot>)> =
        seen.logs.iter().map(|(id, lines)| (*id, boot(lines))).collect();
    let mut ids = BTreeSet::from([host_boot_id()]);
    for (id, boot) in boots {
        match boot {
            None => wrong.push(format!("job {id} did not say where it ran")),
            Some(boot) if !ids.insert(boot.id.clone()) => {
                wrong.push(format!("job {id} ran in a kernel that others ran in: {}", boot.id));
            }
            Some(boot) if boot.kernel == host_kernel() => {
                wrong.push(format!("job {id} ran on the host's kernel {}", boot.kernel));
            }
            Some(_) => {}
        }
    }
    wrong
}

/// Where a job ran, in its own words: `kernel 6.1.0 boot 0e1f…`.
struct Boot {
    kernel: String,
    id: String,
}

fn boot(lines: &[String]) -> Option<Boot> {
    lines.iter().find_map(|line| {
        let (_, rest) = line.split_once("kernel ")?;
        let (kernel, id) = rest.split_once(" boot ")?;
        // The command itself may be in the log, too.
        let plain = id.trim().len() == 36 && !kernel.contains('$');
        plain.then(|| Boot { kernel: kernel.to_owned(), id: id.trim().to_owned() })
    })
}

fn host_boot_id() -> String {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    id.unwrap_or_default().trim().to_owned()
}

fn host_kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}
