//! The only place that writes to the terminal: tables, JSON, colour on terminals, nothing that drives one.

use super::error::Error;
use crate::text::escaped;
use comfy_table::{Table, presets};
use flint_core::units::Timestamp;
use serde::Serialize;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// JSON instead of tables.
    pub(super) json: bool,
}

impl Output {
    /// One line of our own words and escaped texts.
    ///
    /// # Errors
    /// [`Error::Output`]; a reader that went away (`flint ps | head`) is none.
    pub(super) fn line(self, text: &str) -> Result<(), Error> {
        match self.raw(format!("{text}\n").as_bytes()) {
            Err(source) if source.kind() != io::ErrorKind::BrokenPipe => {
                Err(Error::Output { source })
            }
            _ => Ok(()),
        }
    }

    /// Bytes as they are, at once.
    ///
    /// # Errors
    /// Why they cannot be written, a reader that went away among it: a stream ends then.
    pub(super) fn raw(self, bytes: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(bytes)?;
        out.flush()
    }

    /// The answer as JSON if that was asked for, else what `people` makes of it.
    ///
    /// # Errors
    /// As `line`.
    pub(super) fn show<T: Serialize>(
        self,
        answer: &T,
        people: impl Fn(&T) -> String,
    ) -> Result<(), Error> {
        if !self.json {
            return self.line(people(answer).trim_end());
        }
        let text = serde_json::to_string_pretty(answer)
            .map_err(|source| Error::Answer { call: "--json".to_owned(), source })?;
        self.line(&text)
    }
}

/// Whether errors may be coloured: a terminal that wants it (<https://no-color.org>).
pub(super) fn color_errors() -> bool {
    io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Whether answers may be coloured.
pub(super) fn color_answers() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A report on standard error. There is nobody to tell when even that fails.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Columns with two spaces between; every cell's text is escaped.
pub(super) fn table<const N: usize>(
    head: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(head);
    for row in rows {
        table.add_row(row.iter().map(|cell| escaped(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// `850 ms`, `3.2 s`, `4m 10s`, `2h 05m`.
pub(super) fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{} ms", duration.as_millis()),
        1..60 => format!("{:.1} s", duration.as_secs_f64()),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
    }
}

/// The time from `from` to `to` in short, or nothing.
pub(super) fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> String {
    match (from, to) {
        (Some(from), Some(to)) if to >= from => short(to.since(from)),
        _ => "-".to_owned(),
    }
}
