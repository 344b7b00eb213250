//! The store on disks that are full or read-only: a small tmpfs in a mount namespace of each test's own, which goes with
//! it. Needs root and says so.
#![cfg(test)]

use flint::store::{Change, Error, Query, Reader, Sqlite, Store, look};
use flint_core::event::{Event, ForgeEvent};
use flint_core::fold::fold;
use flint_core::id::JobKey;
use flint_core::job::JobRequest;
use flint_core::policy::Origin;
use flint_core::units::Timestamp;
use flint_core::world::World;
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

/// Set in the process that has a mount namespace of its own.
const INSIDE: &str = "FLINT_TEST_OWN_MOUNTS";

/// Runs the test of this name again, alone, in a process whose mounts nobody else sees and which end with it.
fn with_own_mounts(name: &str, work: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        return work();
    }
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private"]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", name]).env(INSIDE, "1");
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    // A name that is misspelt would run nothing, and that would pass.
    assert!(output.status.success() && told.contains("1 passed"), "run as root? {told}{errors}");
}

/// A directory on a file system of its own.
struct Small(tempfile::TempDir);

impl Small {
    fn of_kib(size: u32) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let options = CString::new(format!("size={size}k")).unwrap();
        mount("flint-test", dir.path(), "tmpfs", MountFlags::empty(), options.as_c_str()).unwrap();
        Small(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Leaves exactly this many pages free.
    fn fill_but(&self, pages: u64) {
        let page = vec![1; 4096];
        let mut file = fs::File::create(self.ballast()).unwrap();
        while std::io::Write::write_all(&mut file, &page).is_ok() {}
        let length = file.metadata().unwrap().len();
        file.set_len(length.saturating_sub(pages * 4096)).unwrap();
    }

    fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }

    fn remount(&self, flags: MountFlags) {
        mount_remount(self.path(), flags, c"").unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Else the directory below it could not be removed.
        rustix::mount::unmount(self.path(), rustix::mount::UnmountFlags::DETACH).ok();
    }
}

fn queued(id: u64) -> Event {
    let request = JobRequest {
        repository: "octo/widgets".to_owned(),
        workflow: "CI".to_owned(),
        name: "x".repeat(6_000),
        labels: vec!["linux".to_owned()],
        run_id: 1,
        url: String::new(),
        scale_set: None,
        origin: Origin::PRIVATE,
    };
    Event::Forge(ForgeEvent::JobQueued { job: JobKey { id, attempt: 1 }, request })
}

/// Takes a delivery in, as the controller does; whether it was answered as committed.
fn deliver(store: &mut Sqlite, world: &mut World, id: u64) -> Result<(), Error> {
    let mut next = world.clone();
    let event = queued(id);
    let records = fold(&mut next, NOW, event.clone());
    let guid = format!("guid-{id}");
    let change =
        Change { at: NOW, events: &[event], deliveries: &[guid.as_str()], records: &records };
    store.commit(world, &next, change)?;
    *world = next;
    Ok(())
}

/// What a daemon finds that starts after a power cut now: the files as they lie on the disk.
fn after_a_crash(directory: &Path) -> (World, Vec<bool>) {
    let copy = tempfile::tempdir().unwrap();
    for name in ["flint.db", "flint.db-wal"] {
        if directory.join(name).exists() {
            fs::copy(directory.join(name), copy.path().join(name)).unwrap();
        }
    }
    let mut store = Sqlite::open(copy.path()).unwrap();
    let known = (0..64).map(|id| store.knows(&format!("guid-{id}")).unwrap()).collect();
    (store.load().unwrap(), known)
}

#[test]
fn whatever_page_is_the_last_what_was_answered_is_there_and_what_was_not_is_not() {
    with_own_mounts(
        "whatever_page_is_the_last_what_was_answered_is_there_and_what_was_not_is_not",
        || {
            let disk = Small::of_kib(4 << 10);
            let mut store = Sqlite::open(disk.path()).unwrap();
            let mut world = store.load().unwrap();
            let (mut refused, mut taken) = (0, 0);
            for id in 0..48 {
                disk.fill_but(id * 5 % 40);
                let answer = deliver(&mut store, &mut world, id);
                let (found, known) = after_a_crash(disk.path());
                assert_eq!(found, world, "after delivery {id}: {answer:?}");
                assert_eq!(known[usize::try_from(id).unwrap()], answer.is_ok());
                match answer {
                    Ok(()) => taken += 1,
                    Err(error) => {
                        assert!(error.help().unwrap().contains("make room"), "{error:?}");
                        refused += 1;
                    }
                }
                disk.make_room();
                if !known[usize::try_from(id).unwrap()] {
                    // GitHub tells it again, and there is room.
                    deliver(&mut store, &mut world, id).unwrap();
                }
            }
            assert!(refused > 8 && taken > 8, "{refused} refused, {taken} taken");
            assert_eq!(after_a_crash(disk.path()).1[..48], [true; 48]);
            assert_eq!(world.jobs.len(), 48);
        },
    );
}

#[test]
fn a_start_on_a_full_disk_works_or_says_that_there_is_no_room() {
    with_own_mounts("a_start_on_a_full_disk_works_or_says_that_there_is_no_room", || {
        let disk = Small::of_kib(2 << 10);
        let mut store = Sqlite::open(disk.path()).unwrap();
        let mut world = store.load().unwrap();
        deliver(&mut store, &mut world, 1).unwrap();
        drop(store);
        for pages in 0..24 {
            disk.fill_but(pages);
            match Sqlite::open(disk.path()).and_then(|mut store| store.load()) {
                Ok(found) => assert_eq!(found, world),
                Err(error) => {
                    let help = error.help().unwrap_or_default();
                    assert!(help.contains("make room"), "{pages} pages: {error:?}: {help}");
                }
            }
            disk.make_room();
        }
        assert_eq!(Sqlite::open(disk.path()).unwrap().load().unwrap(), world);
    });
}

#[test]
fn a_new_store_on_a_full_disk_is_refused_and_made_when_there_is_room() {
    with_own_mounts("a_new_store_on_a_full_disk_is_refused_and_made_when_there_is_room", || {
        let disk = Small::of_kib(2 << 10);
        for pages in 0..64 {
            disk.fill_but(pages);
            let opened = Sqlite::open(disk.path());
            disk.make_room();
            let Err(error) = opened else { continue };
            assert!(error.help().is_some_and(|help| help.contains("make room")), "{error:?}");
            let mut store = Sqlite::open(disk.path()).unwrap();
            assert_eq!(store.load().unwrap().next_vm, 1);
            drop(store);
            for name in ["flint.db", "flint.db-wal", "flint.db-shm", "flint.lock"] {
                drop(fs::remove_file(disk.path().join(name)));
            }
        }
    });
}

/// Error, cause and advice in one text.
fn told(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}; {}", error.help().unwrap_or_default())
}

#[test]
fn a_read_only_directory_is_refused_and_its_log_can_still_be_read() {
    with_own_mounts("a_read_only_directory_is_refused_and_its_log_can_still_be_read", || {
        let disk = Small::of_kib(2 << 10);
        let mut store = Sqlite::open(disk.path()).unwrap();
        let mut world = store.load().unwrap();
        let started = Event::Started {
            profiles: Default::default(),
            hosts: Default::default(),
            limits: Default::default(),
            scopes: Default::default(),
            readers: Default::default(),
        };
        let events = std::slice::from_ref(&started);
        store.commit(&world, &world, Change { at: NOW, events, ..Change::default() }).unwrap();
        deliver(&mut store, &mut world, 1).unwrap();
        drop(store);
        disk.remount(MountFlags::RDONLY);
        let error = Sqlite::open(disk.path()).expect_err("nothing can be written there");
        let error = told(&error);
        for word in ["flint.lock", "Read-only file system", "mount it writable"] {
            assert!(error.contains(word), "{error}");
        }
        let error = told(&look(disk.path()).expect_err("the doctor refuses it too"));
        for word in ["flint.db", "Read-only file system", "mount it writable"] {
            assert!(error.contains(word), "{error}");
        }
        let mut facts = 0;
        let mut count = |_| {
            facts += 1;
            Ok::<(), Error>(())
        };
        Reader::open(disk.path()).unwrap().read(None, &mut count).unwrap();
        assert_eq!(facts, 3, "a world and two facts");
        disk.remount(MountFlags::empty());
        assert_eq!(Sqlite::open(disk.path()).unwrap().load().unwrap(), world);
    });
}

#[test]
fn a_read_only_file_is_refused_by_its_name() {
    with_own_mounts("a_read_only_file_is_refused_by_its_name", || {
        let disk = Small::of_kib(2 << 10);
        drop(Sqlite::open(disk.path()).unwrap());
        let file = disk.path().join("flint.db");
        mount_bind(&file, &file).unwrap();
        mount_remount(&file, MountFlags::BIND | MountFlags::RDONLY, c"").unwrap();
        let error = told(&Sqlite::open(disk.path()).expect_err("it cannot be written"));
        for word in ["flint.db", "Read-only file system", "mount it writable"] {
            assert!(error.contains(word), "{error}");
        }
        assert!(look(disk.path()).is_err());
        rustix::mount::unmount(&file, rustix::mount::UnmountFlags::DETACH).unwrap();
        let history = Sqlite::open(disk.path()).unwrap().history(&Query::Newest(1));
        assert!(history.is_ok(), "{history:?}");
    });
}
