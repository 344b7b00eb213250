//! The lines on standard output that people and agents look for.

use std::error::Error as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// One line as it is, at once: whoever reads the pipe must not wait for a buffer.
pub(super) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    // A closed pipe must not end the job.
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// `2026-11-23 15:04:05Z: text`.
pub(super) fn stamped(text: &str) {
    line(&format!("{}: {text}", clock(now_s())));
}

/// An error with all its causes.
pub(super) fn error(error: &super::Error) {
    let mut text = format!("An error occurred: {error}");
    let mut cause = error.source();
    while let Some(next) = cause {
        text.push_str(&format!(": {next}"));
        cause = next.source();
    }
    line(&text);
}

/// Seconds since 1970.
pub(super) fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Days to a date by the civil calendar's 400-year cycle; a whole date crate would be most of this binary.
fn clock(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400 + 719_468, seconds % 86_400);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::clock;

    #[test]
    fn the_clock_knows_leap_days_and_year_ends() {
        assert_eq!(clock(0), "1970-01-01 00:00:00Z");
        assert_eq!(clock(1_709_209_845), "2024-02-29 12:30:45Z");
        assert_eq!(clock(1_798_761_599), "2026-12-31 23:59:59Z");
    }
}
