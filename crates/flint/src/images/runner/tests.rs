//! Real images, made, read and changed by e2fsprogs, and archives made byte by byte.

use super::{Error, Updated, Workshop, look};
use crate::images::Kind;
use flint_sim::archives::{self, Tar};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A folder with an image in it.
struct Bench {
    dir: TempDir,
    image: PathBuf,
}

impl Bench {
    /// An image of this size with what `furnish` puts into a root that has a runner of version 2.336.0.
    fn with(size: &str, furnish: impl FnOnce(&Path)) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let (root, image) = (dir.path().join("root"), dir.path().join("rootfs.ext4"));
        let runner = root.join("opt/actions-runner");
        for folder in ["bin", "externals/node20/bin", "bin.2.335.1", "_work"] {
            fs::create_dir_all(runner.join(folder)).unwrap();
        }
        fs::create_dir_all(root.join("etc/flint")).unwrap();
        fs::write(root.join("etc/motd"), "welcome").unwrap();
        fs::write(runner.join("bin/Runner.Listener"), archives::program()).unwrap();
        fs::write(runner.join("bin/Runner.Listener.deps.json"), archives::manifest("2.336.0"))
            .unwrap();
        fs::write(runner.join("bin/of the old \"one"), "gone").unwrap();
        fs::write(runner.join("externals/node20/bin/node"), "old").unwrap();
        fs::write(runner.join("bin.2.335.1/x"), "old").unwrap();
        symlink("../lib/npm", runner.join("externals/node20/bin/npm")).unwrap();
        fs::write(runner.join(".env"), "LANG=C").unwrap();
        furnish(&root);
        e2fs("mkfs.ext4", &["-q", "-F", "-m0", "-O^has_journal", "-d"], &[&root, &image], &[size]);
        fs::remove_dir_all(&root).unwrap();
        Bench { dir, image }
    }

    fn new() -> Bench {
        Bench::with("16M", |_| {})
    }

    /// What debugfs says to a command.
    fn ask(&self, command: &str) -> String {
        let asked =
            Command::new("debugfs").args(["-R", command]).arg(&self.image).output().unwrap();
        String::from_utf8(asked.stdout).unwrap()
    }

    fn change(&self, command: &str) {
        e2fs("debugfs", &["-w", "-R", command], &[&self.image], &[]);
    }

    fn names(&self, folder: &str) -> Vec<String> {
        let listed = self.ask(&format!("ls -p {folder}"));
        let names = listed.lines().filter_map(|line| line.split('/').nth(5));
        let mut names: Vec<_> =
            names.filter(|n| !matches!(*n, "." | "..")).map(str::to_owned).collect();
        names.sort();
        names
    }

    /// Mode, user and group, such as `100755 1001 121`.
    fn rights(&self, folder: &str, name: &str) -> String {
        let listed = self.ask(&format!("ls -p {folder}"));
        let line = listed.lines().find(|line| line.split('/').nth(5) == Some(name)).unwrap();
        line.split('/').skip(2).take(3).collect::<Vec<_>>().join(" ")
    }

    fn archive(&self, archive: Tar) -> PathBuf {
        let path = self.dir.path().join("actions-runner.tar.gz");
        fs::write(&path, archive.gz()).unwrap();
        path
    }

    fn update(&self, archive: &Path) -> Result<Updated, Error> {
        Workshop::beside(&self.image)?.update(archive, None, None, &|_| {})
    }

    /// The update is refused, the image as it was, and nothing left beside it.
    fn refuses(&self, archive: &Path, sha256: Option<&str>, version: Option<&str>) -> Error {
        let before = fs::read(&self.image).unwrap();
        let shop = Workshop::beside(&self.image).unwrap();
        let version = version.map(|version| version.parse().unwrap());
        let error = shop.update(archive, sha256, version, &|_| {}).unwrap_err();
        drop(shop);
        assert!(fs::read(&self.image).unwrap() == before, "the image was changed");
        let mut left: Vec<_> =
            fs::read_dir(self.dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.retain(|name| name != "rootfs.ext4" && name != "actions-runner.tar.gz");
        assert!(left.is_empty(), "{left:?}");
        error
    }

    fn is_sound(&self) {
        let checked = Command::new("e2fsck").arg("-fn").arg(&self.image).output().unwrap();
        assert!(checked.status.success(), "{}", said(&checked));
    }
}

fn e2fs(tool: &str, flags: &[&str], paths: &[&Path], rest: &[&str]) {
    let ran = Command::new(tool).args(flags).args(paths).args(rest).output().unwrap();
    assert!(ran.status.success(), "{tool}: {}", said(&ran));
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

#[test]
fn an_images_runner_tells_its_version_wherever_the_image_says_it_is() {
    let found = look(&Bench::new().image).unwrap();
    assert_eq!(
        (found.dir.as_str(), found.version.as_deref()),
        ("/opt/actions-runner", Some("2.336.0"))
    );
    let elsewhere = Bench::with("16M", |root| {
        fs::rename(root.join("opt/actions-runner"), root.join("runner")).unwrap();
        fs::write(root.join("etc/flint/image.json"), r#"{"runner_dir":"/runner/"}"#).unwrap();
        fs::remove_file(root.join("runner/bin/Runner.Listener.deps.json")).unwrap();
    });
    let found = look(&elsewhere.image).unwrap();
    assert_eq!((found.dir.as_str(), found.version), ("/runner", None));
}

#[test]
fn what_is_no_image_with_a_runner_is_named_for_what_it_is() {
    let none =
        Bench::with("16M", |root| fs::remove_dir_all(root.join("opt/actions-runner/bin")).unwrap());
    let error = look(&none.image).unwrap_err();
    assert!(
        error.to_string().ends_with("has no /opt/actions-runner/bin/Runner.Listener"),
        "{error}"
    );
    assert!(error.help().unwrap().contains("make filesystem"));
    for about in ["[]", r#"{"runner_dir":"relative"}"#, r#"{"runner_dir":"/"}"#] {
        let odd =
            Bench::with("16M", |root| fs::write(root.join("etc/flint/image.json"), about).unwrap());
        assert!(matches!(look(&odd.image), Err(Error::Strange { .. })), "{about}");
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rootfs.erofs");
    let mut erofs = vec![0; 4096];
    erofs[1024..1028].copy_from_slice(&0xe0f5_e1e2_u32.to_le_bytes());
    fs::write(&path, erofs).unwrap();
    let error = look(&path).unwrap_err();
    assert!(matches!(&error, Error::NotExt4 { found: Kind::Erofs { .. }, .. }), "{error}");
    assert!(error.help().unwrap().contains("make it anew"));
    assert!(matches!(look(&dir.path().join("nothing")), Err(Error::Unreadable { .. })));
    assert!(matches!(look(dir.path()), Err(Error::NotExt4 { found: Kind::Folder, .. })));
}

#[test]
fn an_image_gets_the_new_runner_and_keeps_everything_else() {
    let bench = Bench::new();
    for folder in ["/opt/actions-runner", "/opt/actions-runner/bin"] {
        bench.change(&format!("set_inode_field {folder} uid 1001"));
        bench.change(&format!("set_inode_field {folder} gid 121"));
    }
    bench.change("ea_set /etc/motd user.mark kept");
    fs::set_permissions(&bench.image, fs::Permissions::from_mode(0o444)).unwrap();
    let mut open = File::open(&bench.image).unwrap();
    let before = fs::read(&bench.image).unwrap();

    let updated = bench.update(&bench.archive(archives::runner("2.337.0"))).unwrap();

    let kept = bench.dir.path().join("rootfs.ext4.old");
    let wanted = Updated {
        image: fs::canonicalize(&bench.image).unwrap(),
        from: Some("2.336.0".to_owned()),
        to: "2.337.0".to_owned(),
        kept: fs::canonicalize(&kept).unwrap(),
    };
    assert_eq!(updated, wanted);
    bench.is_sound();
    assert_eq!(look(&bench.image).unwrap().version.as_deref(), Some("2.337.0"));
    let dir = "/opt/actions-runner";
    assert_eq!(bench.names(dir), [".env", "_work", "bin", "externals", "run.sh"]);
    assert_eq!(bench.names(&format!("{dir}/externals")), ["node24"]);
    assert_eq!(
        bench.names(&format!("{dir}/bin")),
        ["Runner.Listener", "Runner.Listener.deps.json", "Runner.Worker"]
    );
    assert_eq!(bench.rights(&format!("{dir}/bin"), "Runner.Listener"), "100755 1001 121");
    assert_eq!(bench.rights(&format!("{dir}/bin"), "Runner.Listener.deps.json"), "100644 1001 121");
    assert_eq!(bench.rights(dir, "bin"), "040755 1001 121");
    assert_eq!(bench.rights(&format!("{dir}/externals/node24/bin"), "npm"), "120777 1001 121");
    assert!(
        bench
            .ask(&format!("stat {dir}/externals/node24/bin/npm"))
            .contains("\"../lib/npm/npm cli.js\"")
    );
    assert_eq!(
        bench.ask(&format!("cat \"{dir}/externals/node24/lib/npm/npm cli.js\"")),
        "// npm\n"
    );
    assert_eq!(bench.ask("cat /etc/motd"), "welcome");
    assert!(bench.ask("ea_list /etc/motd").contains("user.mark"));
    assert_eq!(fs::metadata(&bench.image).unwrap().mode() & 0o7777, 0o444);

    // Whoever had the image open, as microVMs have, still has what was there.
    let mut still = Vec::new();
    open.read_to_end(&mut still).unwrap();
    assert!(still == before && fs::read(&kept).unwrap() == before);
    assert!(!bench.dir.path().join(".rootfs.ext4.update").exists());
}

#[test]
fn an_image_behind_a_link_is_changed_where_it_is_and_again_after_that() {
    let bench = Bench::new();
    let link = bench.dir.path().join("current");
    symlink(&bench.image, &link).unwrap();
    for version in ["2.337.0", "2.338.0"] {
        let shop = Workshop::beside(&link).unwrap();
        shop.update(&bench.archive(archives::runner(version)), None, None, &|_| {}).unwrap();
    }
    assert!(link.is_symlink());
    assert_eq!(look(&link).unwrap().version.as_deref(), Some("2.338.0"));
    let kept = look(&bench.dir.path().join("rootfs.ext4.old")).unwrap();
    assert_eq!(kept.version.as_deref(), Some("2.337.0"));
}

#[test]
fn an_image_that_is_too_small_grows() {
    let bench = Bench::with("2M", |_| {});
    let mut archive =
        archives::runner("2.337.0").file("./externals/large", 0o644, &vec![7; 12 << 20]);
    for number in 0..1500 {
        archive = archive.file(&format!("./externals/many/{number}"), 0o644, b"x");
    }
    bench.update(&bench.archive(archive)).unwrap();
    bench.is_sound();
    assert!(bench.ask("cat /opt/actions-runner/externals/large").bytes().all(|byte| byte == 7));
    assert_eq!(bench.names("/opt/actions-runner/externals/many").len(), 1500);
    assert!(fs::metadata(&bench.image).unwrap().len() > 12 << 20);
}

#[test]
fn an_image_with_a_journal_and_a_name_that_has_quotes_is_changed_too() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("my \"images\" of 2026");
    fs::create_dir(&folder).unwrap();
    let made = Bench::new();
    let image = folder.join("root fs.ext4");
    fs::copy(&made.image, &image).unwrap();
    e2fs("tune2fs", &["-O", "has_journal"], &[&image], &[]);
    let shop = Workshop::beside(&image).unwrap();
    shop.update(&made.archive(archives::runner("2.337.0")), None, None, &|_| {}).unwrap();
    assert_eq!(look(&image).unwrap().version.as_deref(), Some("2.337.0"));
}

#[test]
fn a_long_name_and_a_second_name_of_a_file_are_taken() {
    let bench = Bench::new();
    let deep = format!("./externals/{}/file", "d".repeat(120));
    let archive = archives::runner("2.337.0")
        .file(&deep, 0o640, b"deep")
        .again("./externals/second", "./run.sh");
    bench.update(&bench.archive(archive)).unwrap();
    let at = |path: &str| bench.ask(&format!("cat /opt/actions-runner/{path}"));
    assert_eq!((at(&deep), at("externals/second")), ("deep".to_owned(), "2.337.0".to_owned()));
    bench.is_sound();
}

#[test]
fn archives_that_no_honest_build_makes_are_refused() {
    let bench = Bench::new();
    let runner = || archives::runner("2.337.0");
    let cases = [
        (runner().file("../../etc/shadow", 0o644, b"x"), "`../../etc/shadow` leads out of it"),
        (runner().file("bin/../../x", 0o644, b"x"), "`bin/../../x` leads out of it"),
        (runner().file("/etc/shadow", 0o644, b"x"), "`/etc/shadow` is an absolute path"),
        (runner().link("bin/l", "/etc/shadow"), "the link `bin/l` leads out of it: `/etc/shadow`"),
        (runner().link("bin/l", "../../etc"), "the link `bin/l` leads out of it: `../../etc`"),
        (
            runner().link("x", "bin").file("x/Runner.Listener", 0o755, b"x"),
            "`x/Runner.Listener` lies below `x`, which is no folder",
        ),
        (runner().file("bin/Runner.Listener", 0o755, b"x"), "it has `bin/Runner.Listener` twice"),
        (
            runner().again("bin/h", "../etc/shadow"),
            "it names a file that is not in it: `../etc/shadow`",
        ),
        (runner().entry(b'3', "bin/null", 0o666, b"", ""), "`bin/null` is no file, folder or link"),
        (runner().file("a\nquit", 0o644, b"x"), "`a\\nquit` is no name of a file"),
        (Tar::default().file("README", 0o644, b"x"), "it has no bin/Runner.Listener"),
        (
            Tar::default().file("bin/Runner.Listener", 0o644, &archives::program()),
            "its bin/Runner.Listener may not be run",
        ),
        (
            Tar::default().file("bin/Runner.Listener", 0o755, b"#!/bin/sh\n"),
            "its bin/Runner.Listener is something unknown, not a program",
        ),
        (
            Tar::default().file("bin/Runner.Listener", 0o755, &archives::program()),
            "it has no bin/Runner.Listener.deps.json",
        ),
        (
            Tar::default().file("bin/Runner.Listener", 0o755, &archives::program()).file(
                "bin/Runner.Listener.deps.json",
                0o644,
                b"{}",
            ),
            "its bin/Runner.Listener.deps.json names no version",
        ),
    ];
    for (archive, problem) in cases {
        let error = bench.refuses(&bench.archive(archive), None, None);
        assert!(matches!(&error, Error::BadArchive { .. }), "{error}");
        assert!(error.to_string().ends_with(problem), "{error}: {problem}");
    }
}

#[test]
fn an_archive_that_is_damaged_or_none_is_refused() {
    let bench = Bench::new();
    let path = bench.archive(archives::runner("2.337.0"));
    let whole = fs::read(&path).unwrap();
    for bytes in [&whole[..whole.len() / 2], b"not compressed", b""] {
        fs::write(&path, bytes).unwrap();
        let error = bench.refuses(&path, None, None);
        assert!(matches!(&error, Error::BadArchive { .. }), "{error}");
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(bench.refuses(&path, None, None), Error::Unreadable { .. }));
}

#[test]
fn an_archive_with_another_sum_another_version_or_for_another_machine_is_refused() {
    let bench = Bench::new();
    let path = bench.archive(archives::runner("2.337.0"));
    let error = bench.refuses(&path, Some(&"a".repeat(64)), None);
    assert!(matches!(&error, Error::Sum { .. }), "{error}");
    assert!(error.help().unwrap().contains("nothing was changed"));
    let error = bench.refuses(&path, None, Some("2.338.0"));
    assert!(error.to_string().ends_with("it is version 2.337.0, not 2.338.0"), "{error}");
    let mut foreign = archives::program();
    foreign[18] = 0xf3;
    let foreign = Tar::default().file("bin/Runner.Listener", 0o755, &foreign);
    let error = bench.refuses(&bench.archive(foreign), None, None);
    assert!(matches!(&error, Error::Machine { found: Kind::ForeignElf, .. }), "{error}");
    assert!(error.help().unwrap().contains("actions-runner-linux-"));
}

#[test]
fn two_at_once_are_one_too_many_and_what_a_killed_one_left_is_removed() {
    let bench = Bench::new();
    let folder = bench.dir.path().join(".rootfs.ext4.update");
    fs::create_dir_all(folder.join("files")).unwrap();
    fs::write(folder.join("image.ext4"), "half").unwrap();
    let shop = Workshop::beside(&bench.image).unwrap();
    assert!(fs::read_dir(&folder).unwrap().next().is_none());
    let error = Workshop::beside(&bench.image).unwrap_err();
    assert!(matches!(&error, Error::Busy { .. }), "{error}");
    drop(shop);
    assert!(!folder.exists());
}

#[test]
fn an_image_whose_file_system_is_damaged_is_refused() {
    let bench = Bench::new();
    let archive = bench.archive(archives::runner("2.337.0"));
    // A folder that nobody knows the way to.
    bench.change("unlink /etc/flint");
    let error = bench.refuses(&archive, None, None);
    assert!(matches!(&error, Error::Tool { tool: "e2fsck", .. }), "{error}");
}
