//! What the demo prints: each job's log as it comes, then each job's waterfall.

use flint::api::JobRow;
use flint_core::units::Timestamp;

/// How wide the bars are, in characters.
const BAR: usize = 40;

/// A line of a guest, safe for a terminal: its control characters are shown, not obeyed.
#[must_use]
pub fn line(vm: &str, text: &str) -> String {
    let plain: String = text.chars().flat_map(plain).collect();
    format!("  {vm:<6} | {plain}")
}

fn plain(c: char) -> impl Iterator<Item = char> {
    let escape = c.is_control() && c != '\t';
    let escaped = escape.then(|| c.escape_default()).into_iter().flatten();
    escaped.chain((!escape).then_some(c))
}

/// The times of a job, from the webhook to the last trace removed.
#[must_use]
pub fn waterfall(job: &JobRow) -> String {
    let vm = job.vm.as_deref().unwrap_or("no microVM");
    let mut text = String::new();
    text.push_str(&format!("job {} `{}` in {vm}: {}\n", job.id, job.name, job.state));
    let steps = steps(job);
    let end = steps.iter().map(|(_, at)| at.since(job.received).as_millis()).max().unwrap_or(1);
    let mut before = job.received;
    for (name, at) in steps {
        let from = scale(before.since(job.received).as_millis(), end);
        let to = scale(at.since(job.received).as_millis(), end).max(from);
        let bar = format!("{}{}", " ".repeat(from), "█".repeat((to - from).max(1)));
        let total = at.since(job.received).as_millis();
        let step = at.since(before).as_millis();
        let bar_width = BAR + 1;
        text.push_str(&format!("  {name:<12} {bar:<bar_width$} {total:>7} ms  +{step}\n"));
        before = at;
    }
    text
}

fn scale(millis: u128, end: u128) -> usize {
    let cells = millis.saturating_mul(BAR as u128) / end.max(1);
    usize::try_from(cells).unwrap_or(BAR).min(BAR)
}

/// The steps that were reached, in the order of their times.
fn steps(job: &JobRow) -> Vec<(&'static str, Timestamp)> {
    let times = job.times.clone().unwrap_or_default();
    let all = [
        ("received", Some(job.received)),
        ("committed", times.committed),
        ("planned", Some(times.planned)),
        ("launch", times.launched),
        ("kernel up", times.kernel_up),
        ("agent ready", times.ready),
        ("registered", times.registered),
        ("listening", times.listening),
        ("job started", times.started),
        ("job done", times.done),
        ("destroyed", times.destroyed),
    ];
    let reached = all.into_iter().filter_map(|(name, at)| at.map(|at| (name, at)));
    let mut steps: Vec<_> = reached.filter(|(_, at)| *at >= job.received).collect();
    steps.sort_by_key(|(_, at)| *at);
    steps
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn a_guest_cannot_move_the_cursor() {
        assert_eq!(line("vm-1", "a\u{1b}[2Jb"), "  vm-1   | a\\u{1b}[2Jb");
    }
}
