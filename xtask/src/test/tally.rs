//! Counts tests by the result lines that every test program prints.

use std::time::Duration;

/// What became of some tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Tests that passed.
    pub(crate) passed: usize,
    /// Tests that failed, and programs that did not even get to their tests.
    pub(crate) failed: usize,
    /// How long it took, building included.
    pub(crate) time: Duration,
}

impl Tally {
    /// Takes in one line of a test program, which may carry colours.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some((_, counts)) = line.split_once("test result: ") {
            self.passed += number_before(counts, " passed").unwrap_or(0);
            self.failed += number_before(counts, " failed").unwrap_or(0);
        }
    }

    /// Takes in how the program ended: one that fails without a failed test has failed itself.
    pub(crate) fn ended(&mut self, success: bool, failed_before: usize) {
        if !success && self.failed == failed_before {
            self.failed += 1;
        }
    }

    /// Adds another tally.
    pub(crate) fn add(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.time += other.time;
    }
}

fn number_before(text: &str, word: &str) -> Option<usize> {
    let head = &text[..text.find(word)?];
    let start = head.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    head[start..].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up_with_and_without_colours() {
        let mut tally = Tally::default();
        tally.line("test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        tally.line("test result: \u{1b}[31mFAILED\u{1b}[0m. 2 passed; 3 failed; 0 ignored");
        tally.line("test a::b ... ok");
        assert_eq!((tally.passed, tally.failed), (42, 3));
    }

    #[test]
    fn a_program_that_does_not_get_to_its_tests_is_one_failure() {
        let mut tally = Tally::default();
        tally.ended(false, 0);
        assert_eq!(tally.failed, 1);
        tally.line("test result: FAILED. 0 passed; 1 failed;");
        tally.ended(false, 1);
        assert_eq!(tally.failed, 2);
        tally.ended(true, 2);
        assert_eq!(tally.failed, 2);
    }
}
