//! The kill matrix: the real daemon, with real microVMs and a made-up GitHub, killed at every step of a job's life.
//!
//! After each kill it is started again, and then every job must have run once, no microVM with a job may have been
//! ended by the kill, and nothing may be left.

mod aim;
mod counter;
mod point;
mod secrets;

pub use aim::{Aim, aims};
pub use counter::{Counted, count};
pub use point::Row;

use crate::demo::Options;
use crate::github::generate_pem;
use anyhow::Result;

/// What all points came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// One for each point, in order.
    pub rows: Vec<Row>,
}

impl Summary {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn good(&self) -> bool {
        self.rows.iter().all(|row| row.wrong.is_empty())
    }

    /// The last line.
    #[must_use]
    pub fn line(&self) -> String {
        let sum = |of: fn(&Row) -> usize| self.rows.iter().map(of).sum::<usize>();
        let (jobs, lost) = (sum(|row| row.jobs), sum(|row| row.lost));
        let (killed, left) = (sum(|row| row.killed), sum(|row| row.leftovers));
        let points = self.rows.len();
        format!(
            "kill-matrix: {points} points, {jobs} jobs, {lost} lost, {killed} killed, {left} leftovers"
        )
    }
}

/// Runs these points one after another; `say` is told each row as it comes.
///
/// # Errors
/// When something it needs is missing. What a daemon does wrong is in the rows.
pub fn run(options: &Options, aims: &[Aim], say: &dyn Fn(&str)) -> Result<Summary> {
    std::fs::create_dir_all(&options.scratch)?;
    let pem = generate_pem()?;
    let mut summary = Summary::default();
    say(Row::HEAD);
    for aim in aims {
        let row = point::run(options, aim, &pem)?;
        say(&row.to_string());
        summary.rows.push(row);
    }
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::{Row, Summary};

    #[test]
    fn the_last_line_counts_and_anything_wrong_is_not_good() {
        let row = |lost, wrong: &[&str]| Row {
            label: "before-disk:2".to_owned(),
            jobs: 3,
            lost,
            wrong: wrong.iter().map(|text| (*text).to_owned()).collect(),
            ..Row::default()
        };
        let good = Summary { rows: vec![row(0, &[]), row(0, &[])] };
        assert_eq!(good.line(), "kill-matrix: 2 points, 6 jobs, 0 lost, 0 killed, 0 leftovers");
        assert!(good.good());
        let bad = Summary { rows: vec![row(0, &[]), row(1, &["job 7 did not run"])] };
        assert!(!bad.good() && bad.line().contains("1 lost"));
    }
}
