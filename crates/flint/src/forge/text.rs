//! Makes text of strangers harmless to look at: bounded, on one line, without control characters.

/// The longest text of a field that crosses the border, in characters.
pub(crate) const FIELD: usize = 256;

/// `text` with every control and direction-changing character replaced, at most [`FIELD`] characters long.
///
/// Replaced, not left out: a label must not become another label by what it loses.
pub(crate) fn line(text: &str) -> String {
    let mut clean: String = text.chars().take(FIELD).map(visible).collect();
    if text.chars().nth(FIELD).is_some() {
        clean.pop();
        clean.push('…');
    }
    clean
}

fn visible(c: char) -> char {
    // Bidirectional overrides and isolates can make a log line read as another one.
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    if c.is_control() || turns { '\u{fffd}' } else { c }
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
}
