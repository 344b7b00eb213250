//! Where the daemon's own words go: one line per change of phase, on standard error, which systemd keeps.

use std::io::{IsTerminal, stderr};
use tracing_subscriber::EnvFilter;

/// `FLINT_LOG=debug`, or per room: `info,flint::forge=debug`.
const LEVELS: &str = "FLINT_LOG";

/// `FLINT_LOG_FORMAT=json` for machines; anything else is for people.
const FORMAT: &str = "FLINT_LOG_FORMAT";

/// Starts it, for `least` and above unless the environment says otherwise. Secrets are types that it cannot print;
/// control characters of foreign text are escaped by the formatter.
pub(super) fn start(least: &str) {
    let levels = std::env::var(LEVELS).unwrap_or_else(|_| least.to_owned());
    let filter = EnvFilter::builder().parse_lossy(levels);
    let lines = tracing_subscriber::fmt().with_writer(stderr).with_env_filter(filter);
    // An error means that a test of ours has started it already.
    drop(match std::env::var(FORMAT).as_deref() {
        Ok("json") => lines.json().try_init(),
        _ => lines.with_ansi(stderr().is_terminal()).try_init(),
    });
}

/// For the half whose lines another process takes down: neither time nor colour.
pub(super) fn start_plain() {
    let lines =
        tracing_subscriber::fmt().with_writer(stderr).with_env_filter(EnvFilter::new("warn"));
    // As above.
    drop(lines.without_time().with_ansi(false).with_target(false).try_init());
}
