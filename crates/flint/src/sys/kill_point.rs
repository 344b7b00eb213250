//! Ends this process as `kill -9` does when it comes to a named place, for tests of what a crash leaves behind.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is waited for: a label, and how many times it may still be reached.
struct Aim {
    label: String,
    left: AtomicU64,
}

static AIM: OnceLock<Option<Aim>> = OnceLock::new();

/// Sends SIGKILL to this process if `variable` holds `label:n` and this is the `n`-th time that `label` is reached.
pub fn reached(variable: &str, label: &str) {
    let aim = AIM.get_or_init(|| std::env::var(variable).ok().as_deref().and_then(read));
    let Some(aim) = aim.as_ref().filter(|aim| aim.label == label) else { return };
    if aim.left.fetch_sub(1, Ordering::AcqRel) == 1 {
        // Nothing runs after it, in no thread.
        let _never =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

fn read(text: &str) -> Option<Aim> {
    let (label, times) = text.rsplit_once(':')?;
    let times: u64 = times.parse().ok()?;
    Some(Aim { label: label.to_owned(), left: AtomicU64::new(times) })
}

#[cfg(test)]
mod tests {
    use super::read;
    use std::sync::atomic::Ordering;

    #[test]
    fn an_aim_is_a_label_and_a_number() {
        let aim = read("before-boot:3").unwrap();
        assert_eq!((aim.label.as_str(), aim.left.load(Ordering::Relaxed)), ("before-boot", 3));
        assert!(read("before-boot").is_none() && read("before-boot:many").is_none());
    }
}
