//! Makes text of strangers harmless to look at: without what drives a terminal or misleads a reader. One list for all.

/// The longest text of a field that crosses the border, in characters.
pub(crate) const FIELD: usize = 256;

/// `text` with every character replaced that misleads, at most [`FIELD`] characters long.
///
/// Replaced, not left out: a label must not become another label by what it loses.
pub(crate) fn line(text: &str) -> String {
    let visible = |c| if misleads(c) { '\u{fffd}' } else { c };
    cut(text, FIELD).chars().map(visible).collect()
}

/// `text`, at most so many characters of it; the last one says so.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let mut kept: String = text.chars().take(most).collect();
    if text.chars().nth(most).is_some() {
        kept.pop();
        kept.push('…');
    }
    kept
}

/// Whether a character could drive a terminal, or make a text read as another one: control characters, marks and
/// overrides of the writing direction, line separators, and what is not seen at all. The joiners of emoji and of some
/// scripts (U+200C, U+200D) are none.
pub(crate) fn misleads(c: char) -> bool {
    let direction = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let unseen = matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}');
    c.is_control() || direction || unseen
}

/// Text of strangers without what could drive a terminal or mislead: that appears as `\u{..}`.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if misleads(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The same of several lines: they stay lines, and tabs stay.
pub(crate) fn escaped_lines(text: &str) -> String {
    let keep = |c: char| c == '\n' || c == '\t';
    text.split_inclusive(keep)
        .map(|piece| match piece.strip_suffix(keep) {
            // A console ends its lines with CR LF.
            Some(line) => escaped(line.trim_end_matches('\r')) + &piece[line.len()..],
            None => escaped(piece),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_and_overrides_lose_their_power() {
        assert_eq!(line("a\u{1b}[31mb\n\u{202e}c"), "a\u{fffd}[31mb\u{fffd}\u{fffd}c");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        let cut = line(&"é".repeat(300));
        assert_eq!(cut.chars().count(), FIELD);
        assert!(cut.ends_with('…'));
        assert_eq!(line(&"é".repeat(FIELD)), "é".repeat(FIELD));
    }

    #[test]
    fn a_strangers_text_cannot_drive_the_terminal() {
        let hostile = "a\u{1b}]0;title\u{7}\r\nb\u{202e}c\u{9b}31m é 日本";
        assert_eq!(escaped(hostile), r"a\u{1b}]0;title\u{7}\r\nb\u{202e}c\u{9b}31m é 日本");
        assert_eq!(escaped_lines("a\tb\r\n\u{1b}c\n"), "a\tb\n\\u{1b}c\n");
    }

    #[test]
    fn what_is_not_seen_and_what_turns_a_line_around_misleads_and_no_script_does() {
        assert!(
            "\u{61c}\u{200b}\u{200e}\u{2028}\u{2066}\u{feff}\u{e0041}\u{ad}".chars().all(misleads)
        );
        assert!(!"é 日本 עברית العربية 👩\u{200d}🔧 नमस्\u{200d}ते".chars().any(misleads));
    }
}
