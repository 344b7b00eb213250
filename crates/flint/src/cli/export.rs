//! `flint export`: the facts of a store as a log for `flint replay`, with a daemon on it or without.

use super::error::Error;
use super::now;
use super::output::Output;
use crate::error::{Exit, Problem};
use crate::replay::{FORMAT, Gathered, Header, Names, StandIns, entry_line, header_line};
use crate::store::{self, Entry, Reader};
use flint_core::units::Timestamp;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What to export, and where to.
pub(super) struct Wish {
    /// At least so far back; none: all.
    pub(super) since: Option<Duration>,
    /// With the names as they are.
    pub(super) raw: bool,
    /// Standard output without.
    pub(super) output: Option<PathBuf>,
}

/// What ends an export early.
enum Stop {
    Store(store::Error),
    Write(io::Error),
    Json(serde_json::Error),
}

impl From<store::Error> for Stop {
    fn from(error: store::Error) -> Self {
        Stop::Store(error)
    }
}

/// Writes the log of the store in this directory.
///
/// # Errors
/// When there is no store, when it is damaged (what comes before the damage is written), or when it cannot be written.
pub(super) fn run(out: Output, directory: &Path, wish: &Wish) -> Result<Exit, Problem> {
    let reader = Reader::open(directory).map_err(of_store)?;
    let since = wish.since.map(|back| {
        let back = u64::try_from(back.as_millis()).unwrap_or(u64::MAX);
        Timestamp(now().0.saturating_sub(back))
    });
    let stand_ins = if wish.raw { None } else { Some(gather(&reader, since)?) };
    let instance = match &stand_ins {
        Some(stand_ins) => stand_ins.instance().to_owned(),
        None => reader.instance().map_err(of_store)?,
    };
    let header = Header {
        format: FORMAT,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        instance,
        written: now(),
        names: if wish.raw { Names::Kept } else { Names::Replaced },
    };
    let Some(path) = &wish.output else {
        let written = write(&reader, since, (&header, stand_ins.as_ref()), io::stdout().lock());
        return match written {
            // Our reader went away: `flint export | head`.
            Err(Stop::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Ok),
            Err(stop) => Err(problem(stop, Path::new("standard output"))),
            Ok(_) => Ok(Exit::Ok),
        };
    };
    let file = create(path).map_err(|source| problem(Stop::Write(source), path))?;
    match write(&reader, since, (&header, stand_ins.as_ref()), file) {
        Ok(facts) => {
            out.line(&format!("{facts} facts in {}", path.display()))?;
            Ok(Exit::Ok)
        }
        // What could be read of a damaged store is worth keeping; half a line is not.
        Err(Stop::Store(error)) => Err(problem(Stop::Store(error), path)),
        Err(stop) => {
            // Not a device or a pipe that was named as the file.
            if fs::symlink_metadata(path).is_ok_and(|file| file.is_file()) {
                drop(fs::remove_file(path));
            }
            Err(problem(stop, path))
        }
    }
}

/// Of a damaged store as much as can be read: the second reading stops there too.
fn gather(reader: &Reader, since: Option<Timestamp>) -> Result<StandIns, Problem> {
    let mut names = Gathered::new(&reader.instance().map_err(of_store)?);
    let mut found = false;
    let read = reader.read(since, &mut |entry: Entry| {
        found = true;
        names.add(entry);
        Ok::<(), store::Error>(())
    });
    match read {
        Err(error) if !found => Err(of_store(error)),
        Ok(()) | Err(_) => Ok(names.finish()),
    }
}

fn write(
    reader: &Reader,
    since: Option<Timestamp>,
    (header, stand_ins): (&Header, Option<&StandIns>),
    to: impl Write,
) -> Result<u64, Stop> {
    let mut to = BufWriter::new(to);
    let mut facts = 0;
    to.write_all(header_line(header).map_err(Stop::Json)?.as_bytes()).map_err(Stop::Write)?;
    let read = reader.read(since, &mut |mut entry: Entry| {
        facts += u64::from(matches!(entry, Entry::Fact { .. }));
        if let Some(stand_ins) = stand_ins {
            stand_ins.replace(&mut entry);
        }
        let line = entry_line(entry).map_err(Stop::Json)?;
        to.write_all(line.as_bytes()).map_err(Stop::Write)
    });
    to.flush().map_err(Stop::Write)?;
    read.map(|()| facts)
}

/// For its owner alone: with `--raw` it holds names.
fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

fn of_store(error: store::Error) -> Problem {
    let help = error.help();
    Problem::new(Exit::Failed, error).help(help)
}

fn problem(stop: Stop, path: &Path) -> Problem {
    let path = path.to_owned();
    match stop {
        Stop::Store(error) => of_store(error),
        Stop::Write(source) => Error::File { path, source }.into(),
        Stop::Json(source) => Error::Answer { call: "export".to_owned(), source }.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{Log, Walk};
    use crate::store::{Change, Sqlite, Store};
    use crate::sys::bounded;
    use flint_core::event::{Event, ForgeEvent};
    use flint_core::id::JobKey;
    use flint_core::job::JobRequest;
    use flint_core::policy::Origin;
    use std::os::unix::fs::PermissionsExt;

    const OUT: Output = Output { json: false };

    /// A store with a start and two facts.
    fn store() -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let mut store = Sqlite::open(directory.path()).unwrap();
        let world = store.load().unwrap();
        let request = JobRequest {
            repository: "octo/secret-plans".to_owned(),
            workflow: "CI".to_owned(),
            name: "build".to_owned(),
            labels: vec!["linux".to_owned()],
            run_id: 1,
            url: "https://github.com/octo/secret-plans/actions/runs/1".to_owned(),
            scale_set: None,
            origin: Origin::PRIVATE,
        };
        let job = JobKey { id: 7, attempt: 1 };
        let events = [
            Event::Started {
                profiles: Default::default(),
                hosts: Default::default(),
                limits: Default::default(),
                scopes: Default::default(),
                readers: Default::default(),
            },
            Event::Forge(ForgeEvent::JobQueued { job, request }),
            Event::Tick,
        ];
        for event in events {
            let events = std::slice::from_ref(&event);
            let change = Change { at: now(), events, ..Change::default() };
            store.commit(&world, &world, change).unwrap();
        }
        directory
    }

    fn export(directory: &Path, raw: bool, to: &Path) -> Result<Exit, Problem> {
        let wish = Wish { since: Some(Duration::from_secs(60)), raw, output: Some(to.to_owned()) };
        run(OUT, directory, &wish)
    }

    fn facts(text: &str) -> usize {
        let mut log = Log::open(text.as_bytes()).unwrap();
        let mut walk = Walk::default();
        let mut steps = 0;
        while let Some(entry) = log.next_entry().unwrap() {
            steps += usize::from(walk.take(entry).is_some());
        }
        steps + usize::from(walk.end().is_some())
    }

    #[test]
    fn an_export_has_stand_ins_unless_it_is_raw_and_is_for_its_owner_alone() {
        let directory = store();
        let to = directory.path().join("log");
        assert_eq!(export(directory.path(), false, &to).unwrap(), Exit::Ok);
        let text = fs::read_to_string(&to).unwrap();
        assert!(text.contains("repo-1") && !text.contains("octo"), "{text}");
        assert_eq!(facts(&text), 3);
        assert_eq!(to.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(export(directory.path(), true, &to).unwrap(), Exit::Ok);
        let text = fs::read_to_string(&to).unwrap();
        assert!(text.contains("octo/secret-plans"), "{text}");
        assert_eq!(facts(&text), 3);
    }

    #[test]
    fn of_a_damaged_log_comes_what_lies_before_the_damage() {
        let directory = store();
        let raw = rusqlite::Connection::open(directory.path().join("flint.db")).unwrap();
        raw.execute("update events set body = '{' where seq = 3", []).unwrap();
        drop(raw);
        let to = directory.path().join("log");
        let problem = export(directory.path(), false, &to).expect_err("the log is damaged");
        assert!(problem.render(false).contains("a row of `events`"), "{}", problem.render(false));
        assert_eq!(facts(&fs::read_to_string(&to).unwrap()), 2);
    }

    #[test]
    fn a_full_disk_leaves_no_half_a_log_and_a_device_is_not_removed() {
        let directory = store();
        let full = bounded::full(directory.path());
        let problem = export(directory.path(), true, &full).expect_err("it takes nothing");
        let told = problem.render(false);
        assert!(told.contains("/full`") && told.contains("No space left"), "{told}");
        assert!(full.exists());
        let problem = export(directory.path(), true, Path::new("/no/such/file")).expect_err("no");
        assert!(problem.render(false).contains("`/no/such/file`"));
    }
}
