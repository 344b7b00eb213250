//! `flint image update-runner` as a person types it, with downloads over loopback; and what `flint doctor` says of runners.
#![cfg(test)]

use flint::images::runner::look;
use flint_sim::archives;
use flint_sim::github::{Config, FakeGithub, FaultKind, RunnerRelease, generate_pem};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::SystemTime;
use tempfile::TempDir;
use tokio::net::TcpListener;

const DAY_MS: u64 = 86_400_000;

/// An image with a runner of version 2.336.0, a configuration that names it, and a GitHub.
struct Bench {
    dir: TempDir,
    github: FakeGithub,
}

impl Bench {
    async fn new(api: &str) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let pem = generate_pem().unwrap();
        fs::write(dir.path().join("private.pem"), &pem).unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let github = FakeGithub::start(listener, Config::new(pem)).await.unwrap();
        let text = format!(
            "[github]\nurl = \"{}{api}\"\norganization = \"flint-demo\"\napp_id = 123456\nprivate_key = \"{}\"\n\
             webhook_secret = \"s\"\n[host]\nstate_dir = \"{}\"\n[[profile]]\nname = \"default\"\nimage = \"{}\"\n",
            github.url(),
            dir.path().join("private.pem").display(),
            dir.path().display(),
            image(dir.path()).display(),
        );
        fs::write(dir.path().join("flint.toml"), text).unwrap();
        make_image(dir.path());
        Bench { dir, github }
    }

    fn release(&self, version: &str, days_ago: u64, prerelease: bool) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now_ms = u64::try_from(now.as_millis()).unwrap();
        self.github.release_runner(RunnerRelease {
            version: version.to_owned(),
            published_ms: now_ms - days_ago * DAY_MS,
            prerelease,
            archive: archives::runner(version).gz(),
        });
    }

    fn flint(&self, words: &[&str]) -> Output {
        let config = self.dir.path().join("flint.toml");
        flint(&[words, &["--config", config.to_str().unwrap()]].concat())
    }

    fn update(&self, words: &[&str]) -> Output {
        self.flint(&[&["image", "update-runner"], words].concat())
    }

    /// An update that is refused leaves the image as it was.
    fn refused(&self, words: &[&str]) -> String {
        let output = self.update(words);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(self.version(), "2.336.0");
        assert!(!self.dir.path().join(".rootfs.ext4.update").exists());
        said
    }

    fn version(&self) -> String {
        look(&image(self.dir.path())).unwrap().version.unwrap()
    }

    /// Verdict and reading of the line about the image's runner.
    fn doctor(&self, words: &[&str]) -> (String, String) {
        let output = self.flint(&[&["--json", "doctor"], words].concat());
        let lines: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let line = lines.iter().find(|line| line["item"] == "runner").unwrap();
        let reading = line["reading"].as_str().unwrap();
        let (_, reading) = reading.split_once("rootfs.ext4: ").unwrap();
        (line["verdict"].as_str().unwrap().to_owned(), reading.to_owned())
    }
}

fn image(dir: &Path) -> PathBuf {
    dir.join("rootfs.ext4")
}

fn make_image(dir: &Path) {
    let (root, bin) = (dir.join("root"), dir.join("root/opt/actions-runner/bin"));
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("Runner.Listener"), archives::program()).unwrap();
    fs::write(bin.join("Runner.Listener.deps.json"), archives::manifest("2.336.0")).unwrap();
    let mut mkfs = Command::new("mkfs.ext4");
    let made = mkfs.args(["-q", "-F", "-d"]).arg(&root).arg(image(dir)).arg("8M").output().unwrap();
    assert!(made.status.success(), "{made:?}");
    fs::remove_dir_all(&root).unwrap();
}

fn flint(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_flint")).args(words).stdin(Stdio::null()).output().unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn says(at: &str, value: Value) -> FaultKind {
    FaultKind::Says { at: at.to_owned(), value }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_runner_is_downloaded_once_and_put_in() {
    let bench = Bench::new("").await;
    bench.release("2.336.0", 60, false);
    bench.release("2.337.0", 10, false);
    bench.release("2.338.0-rc1", 1, true);
    let told = said(&bench.update(&[]));
    assert!(told.contains("rootfs.ext4: 2.336.0 → 2.337.0; new microVMs take it"), "{told}");
    assert_eq!(bench.version(), "2.337.0");
    let kept = bench.dir.path().join("rootfs.ext4.old");
    assert!(told.contains(&format!("Back: mv {} ", kept.display())), "{told}");
    assert_eq!(look(&kept).unwrap().version.as_deref(), Some("2.336.0"));

    let again = bench.update(&["--json"]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!((&again[0]["to"], &again[0]["kept"]), (&json!("2.337.0"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_version_is_taken_from_the_list_of_releases() {
    let bench = Bench::new("").await;
    bench.release("2.337.0", 40, false);
    bench.release("2.338.0", 10, false);
    said(&bench.update(&["--version", "2.337.0"]));
    assert_eq!(bench.version(), "2.337.0");
    let output = bench.update(&["--version", "2.339.0"]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("because: cannot GET /repos/actions/runner/releases/tags/v2.339.0"),
        "{told}"
    );
    assert!(told.contains("help: there is no such version") && told.contains("--from"), "{told}");
    let output = bench.update(&["--version", "newest"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("such as `2.337.0`"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_cannot_be_checked_or_differs_is_not_used() {
    let bench = Bench::new("").await;
    bench.release("2.337.0", 10, false);
    bench.github.fault("runner-downloads", 1, says("/1/sha256_checksum", "a".repeat(64).into()));
    let told = bench.refused(&[]);
    assert!(told.contains(&format!(", not {}", "a".repeat(64))), "{told}");
    assert!(told.contains("help: nothing was changed"), "{told}");

    bench.github.fault("runner-downloads", 1, says("/1/sha256_checksum", Value::Null));
    let told = bench.refused(&[]);
    assert!(
        told.contains("GitHub tells no SHA-256 of it") && told.contains("help: give"),
        "{told}"
    );

    let told = bench.refused(&["--sha256", &"b".repeat(64)]);
    assert!(told.contains(&format!(", not {}", "b".repeat(64))), "{told}");

    bench.github.fault("runner-downloads", 1, says("/1/download_url", "file:///etc/shadow".into()));
    assert!(bench.refused(&[]).contains("it names no archive for Linux"));

    let gone = format!("{}/nowhere.tar.gz", bench.github.url());
    bench.github.fault("runner-downloads", 1, says("/1/download_url", gone.into()));
    assert!(bench.refused(&[]).contains("/nowhere.tar.gz`: the server answered 404"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_archive_that_is_here_needs_no_github_and_no_configuration() {
    let dir = tempfile::tempdir().unwrap();
    make_image(dir.path());
    let archive = dir.path().join("runner.tar.gz");
    fs::write(&archive, archives::runner("2.337.0").gz()).unwrap();
    let (image, archive) = (image(dir.path()), archive);
    let (image, archive) = (image.to_str().unwrap(), archive.to_str().unwrap());
    let told = said(&flint(&["image", "update-runner", "--image", image, "--from", archive]));
    assert!(told.contains("2.336.0 → 2.337.0"), "{told}");
    let again = ["image", "update-runner", "--image", image, "--from", archive, "--sha256", "abc"];
    let output = flint(&again);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("64 hexadecimal digits"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_enterprise_server_gives_its_newest_and_has_no_list() {
    let bench = Bench::new("/api/v3").await;
    bench.release("2.337.0", 100, false);
    let missing = || FaultKind::Status {
        status: 404,
        message: String::new(),
        headers: Default::default(),
        error_kind: String::new(),
    };
    bench.github.fault("runner-release", 1, missing());
    assert!(bench.refused(&["--version", "2.336.1"]).contains("give it with --from"));
    bench.github.fault("runner-releases", 1, missing());
    // GitHub's 30 days are not its rule.
    assert_eq!(
        bench.doctor(&["--github"]),
        ("note".to_owned(), "2.336.0; 2.337.0 is out".to_owned())
    );
    said(&bench.update(&[]));
    assert_eq!(bench.version(), "2.337.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_says_how_long_an_images_runner_gets_jobs() {
    let bench = Bench::new("").await;
    let (verdict, reading) = bench.doctor(&[]);
    assert_eq!(
        (verdict.as_str(), reading.as_str()),
        ("ok", "2.336.0; `flint doctor --github` asks for newer ones")
    );
    bench.release("2.336.0", 60, false);
    assert_eq!(bench.doctor(&["--github"]), ("ok".to_owned(), "2.336.0, the newest".to_owned()));
    bench.release("2.337.0", 25, false);
    bench.release("2.338.0", 2, false);
    let (verdict, reading) = bench.doctor(&["--github"]);
    assert_eq!(verdict, "warn");
    assert!(reading.starts_with("2.336.0; 2.338.0 is out: it gets jobs until 20"), "{reading}");

    let bench = Bench::new("").await;
    bench.release("2.337.0", 31, false);
    let (verdict, reading) = bench.doctor(&["--github"]);
    assert_eq!(verdict, "bad");
    assert!(reading.starts_with("2.336.0; 2.337.0 is out: it gets no jobs since 20"), "{reading}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_dates_doctor_says_that_there_is_a_newer_one() {
    let bench = Bench::new("").await;
    bench.release("2.337.0", 31, false);
    let refused = FaultKind::Status {
        status: 403,
        message: "no".to_owned(),
        headers: Default::default(),
        error_kind: String::new(),
    };
    bench.github.fault("runner-releases", 1, refused);
    let (verdict, reading) = bench.doctor(&["--github"]);
    assert_eq!(verdict, "note");
    assert_eq!(reading, "2.336.0; 2.337.0 is out: it gets jobs for 30 days from then");
}
