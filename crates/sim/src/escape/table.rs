//! What came of each attempt.

use std::fmt;

/// One attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// In one word.
    pub name: String,
    /// In a few.
    pub what: String,
    /// Whether the intruder has what it should not.
    pub succeeded: bool,
    /// Whether the same succeeds where nothing holds it; else the attempt proves nothing.
    pub control: bool,
    /// How it went, in the words of whoever saw it.
    pub how: String,
}

/// All of them.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// In the order in which they were tried.
    pub rows: Vec<Row>,
    /// What else is not as it should be.
    pub wrong: Vec<String>,
}

impl Summary {
    /// Whether nothing succeeded, and everything would have.
    #[must_use]
    pub fn good(&self) -> bool {
        let good = |row: &Row| !row.succeeded && row.control;
        self.wrong.is_empty() && self.rows.iter().all(good)
    }

    /// The last line.
    #[must_use]
    pub fn line(&self) -> String {
        let succeeded = self.rows.iter().filter(|row| row.succeeded).count();
        let idle = self.rows.iter().filter(|row| !row.control).count();
        let without = match idle {
            0 => String::new(),
            some => format!(", {some} without a control"),
        };
        format!("escape: {} tried, {succeeded} succeeded{without}", self.rows.len())
    }
}

impl Row {
    /// The heads of the columns.
    pub const HEAD: &str = "attempt                  guarded    unguarded  what";
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guarded = if self.succeeded { "SUCCEEDED" } else { "held" };
        let unguarded = if self.control { "succeeds" } else { "NOT SHOWN" };
        write!(f, "{:<24} {guarded:<10} {unguarded:<10} {}", self.name, self.what)?;
        // Most were not answered, which the column says.
        if self.how.is_empty() { Ok(()) } else { write!(f, " ({})", self.how) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, Summary};

    fn row(succeeded: bool, control: bool) -> Row {
        let [name, what, how] = ["host-tcp", "TCP to the host", ""].map(str::to_owned);
        Row { name, what, succeeded, control, how }
    }

    #[test]
    fn an_attempt_that_succeeds_and_one_without_a_control_are_not_good() {
        let summary = |rows: &[Row]| Summary { rows: rows.to_vec(), wrong: Vec::new() };
        let good = summary(&[row(false, true), row(false, true)]);
        assert!(good.good());
        assert_eq!(good.line(), "escape: 2 tried, 0 succeeded");
        let through = summary(&[row(true, true)]);
        assert!(!through.good());
        assert_eq!(through.line(), "escape: 1 tried, 1 succeeded");
        let idle = summary(&[row(false, false)]);
        assert!(!idle.good());
        assert_eq!(idle.line(), "escape: 1 tried, 0 succeeded, 1 without a control");
    }
}
