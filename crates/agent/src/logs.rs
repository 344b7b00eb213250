//! The work's output, line by line, within bounds.

use crate::error::{During, Error};
use crate::input::Input;
use crate::outbox::Outbox;
use flint_wire::guest::Stream;
use flint_wire::{FromGuest, LOG_TEXT_MAX};
use std::io::{BufRead, BufReader, PipeReader};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Reads one stream of the work to its end on a thread; the receiver hears when it is over.
pub(crate) fn follow(
    pipe: PipeReader,
    stream: Stream,
    outbox: Arc<Outbox>,
    listening: Option<Sender<Input>>,
) -> Result<Receiver<()>, Error> {
    let (over, wait) = channel();
    let follow = move || {
        let mut pipe = BufReader::with_capacity(16 * 1024, pipe);
        while let Some((text, cut)) = next_line(&mut pipe) {
            if let Some(heard) = &listening
                && says_listening(&text)
            {
                // The talk takes inputs until the power goes off.
                let _sent = heard.send(Input::Listening);
            }
            outbox.log(FromGuest::Log { stream, text, cut });
        }
        let _waited_for = over.send(());
    };
    thread::Builder::new().name("log".into()).spawn(follow).during("start a thread")?;
    Ok(wait)
}

/// The next line without its end, and whether it was cut. What goes beyond the bound is read and dropped.
fn next_line(from: &mut impl BufRead) -> Option<(String, bool)> {
    let mut line = Vec::new();
    let mut cut = false;
    loop {
        let read = from.fill_buf().unwrap_or_default();
        if read.is_empty() {
            break (!line.is_empty()).then_some(());
        }
        let end = read.iter().position(|byte| *byte == b'\n');
        let part = &read[..end.unwrap_or(read.len())];
        let room = (LOG_TEXT_MAX + 1).saturating_sub(line.len()).min(part.len());
        cut |= room < part.len();
        line.extend_from_slice(&part[..room]);
        let used = end.map_or(part.len(), |end| end + 1);
        from.consume(used);
        if end.is_some() {
            break Some(());
        }
    }?;
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    let mut text = String::from_utf8_lossy(&line).into_owned();
    // The replacement of broken bytes makes a text longer, so it is cut after it.
    if text.len() > LOG_TEXT_MAX {
        text.truncate(text.floor_char_boundary(LOG_TEXT_MAX));
        cut = true;
    }
    Some((text, cut))
}

/// Whether this is the runner's own `2026-11-23 22:48:00Z: Listening for Jobs`. A job may print the same: it is
/// a hint, and it counts only before a job has begun.
fn says_listening(text: &str) -> bool {
    const SHAPE: &[u8] = b"dddd-dd-dd dd:dd:ddZ: ";
    let Some((stamp, rest)) = text.as_bytes().split_at_checked(SHAPE.len()) else { return false };
    let fits = |(byte, shape): (&u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        exact => byte == exact,
    };
    stamp.iter().zip(SHAPE).all(fits) && rest.trim_ascii_end() == b"Listening for Jobs"
}

#[cfg(test)]
mod tests {
    use super::{next_line, says_listening};
    use flint_wire::LOG_TEXT_MAX;

    fn lines(mut bytes: &[u8]) -> Vec<(String, bool)> {
        std::iter::from_fn(|| next_line(&mut bytes)).collect()
    }

    #[test]
    fn lines_lose_their_ends_and_nothing_else() {
        let expected = ["a", "", "b c", "last"].map(|text| (text.to_owned(), false));
        assert_eq!(lines(b"a\n\nb c\r\nlast"), expected);
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_one_is_whole() {
        let mut bytes = vec![b'x'; LOG_TEXT_MAX * 3];
        bytes.extend(b"\nnext\n");
        let lines = lines(&bytes);
        assert_eq!(lines[0], ("x".repeat(LOG_TEXT_MAX), true));
        assert_eq!(lines[1], ("next".to_owned(), false));
    }

    #[test]
    fn a_line_of_just_the_bound_is_not_cut() {
        let bytes = vec![b'x'; LOG_TEXT_MAX];
        assert_eq!(lines(&bytes), [("x".repeat(LOG_TEXT_MAX), false)]);
    }

    #[test]
    fn broken_utf8_is_replaced_within_the_bound() {
        let lines = lines(&vec![0xff; LOG_TEXT_MAX]);
        assert!(lines[0].0.len() <= LOG_TEXT_MAX && lines[0].1);
    }

    #[test]
    fn only_the_runners_own_form_says_listening() {
        assert!(says_listening("2026-11-23 22:48:00Z: Listening for Jobs"));
        assert!(!says_listening("Listening for Jobs"));
        assert!(!says_listening("x2026-11-23 22:48:00Z: Listening for Jobs"));
        assert!(!says_listening("2026-11-23 22:48:00Z: Running job: Listening for Jobs"));
        assert!(!says_listening("2026-11-23 22:48:00Z: Listening for Jobs and more"));
    }
}
