//! What may be typed, what is shown, and what a daemon's answers become.

use super::args::{Cli, Command};
use super::client::Client;
use super::error::Error;
use super::files::kind;
use super::output::short;
use super::tables;
use crate::api::{
    BreakerRow, GithubRow, JobRow, Jobs, LimitedRow, ProfileRow, QuotaRow, Refusal, RefusesRow,
    ScaleSetRow, Status, UnansweredRow, VmRow, Vms, WhyAnswer,
};
use crate::error::{Exit, Problem};
use crate::text::escaped_lines;
use axum::Router;
use axum::http::StatusCode;
use axum::routing::{get, post};
use clap::{CommandFactory, Parser};
use flint_core::id::VmId;
use flint_core::units::{MiB, Resources, Timestamp};
use flint_core::vm::Times;
use std::path::PathBuf;
use std::time::Duration;

const NOW: Timestamp = Timestamp(1_790_000_000_000);

fn typed(words: &str) -> Cli {
    let words = std::iter::once("flint").chain(words.split_whitespace());
    Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"))
}

fn wrong(words: &str) -> String {
    let words = std::iter::once("flint").chain(words.split_whitespace());
    match Cli::try_parse_from(words) {
        Ok(_) => panic!("it was accepted"),
        Err(error) => {
            assert_eq!(error.exit_code(), 2);
            error.to_string()
        }
    }
}

fn before(seconds: u64) -> Timestamp {
    Timestamp(NOW.0 - seconds * 1000)
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn the_original_flints_command_line_means_serve_with_these() {
    let equals = "--jailer=/root/flint/jailer --firecracker=/root/flint/firecracker \
        --kernel=/root/flint/vmlinux --filesystem=/root/flint/rootfs.ext4 \
        --privateKey=/root/flint/private.pem --webhookSecret=ABCDefgh --organization=flint-actions \
        --appID=123456";
    let dashes = equals
        .replace("privateKey", "private-key")
        .replace("webhookSecret", "webhook-secret")
        .replace("appID", "app-id");
    for words in
        [equals.to_owned(), equals.replace('=', " "), dashes.clone(), dashes.replace('=', " ")]
    {
        for words in [words.clone(), format!("serve {words}"), format!("{words} serve")] {
            let cli = typed(&words);
            let flags = match cli.command {
                Some(Command::Serve { flags }) => flags.or(cli.flags),
                None => cli.flags,
                Some(_) => panic!("{words}"),
            };
            let given = |key: &str| flags.get(key).unwrap_or_default().to_owned();
            assert_eq!(given("host.jailer"), "/root/flint/jailer");
            assert_eq!(given("host.firecracker"), "/root/flint/firecracker");
            assert_eq!(given("profile.kernel"), "/root/flint/vmlinux");
            assert_eq!(given("profile.image"), "/root/flint/rootfs.ext4");
            assert_eq!(given("github.private_key"), "/root/flint/private.pem");
            assert_eq!(given("github.webhook_secret"), "ABCDefgh");
            assert_eq!(given("github.organization"), "flint-actions");
            assert_eq!(given("github.app_id"), "123456");
        }
    }
    assert!(typed(&format!("--interactive {equals}")).interactive);
}

#[test]
fn the_flag_before_the_command_gives_way_to_the_one_after() {
    let cli = typed("--slots 1 --vmm qemu serve --slots 2");
    let Some(Command::Serve { flags }) = cli.command else { panic!("it is serve") };
    let flags = flags.or(cli.flags);
    assert_eq!((flags.get("host.slots"), flags.get("host.vmm")), (Some("2"), Some("qemu")));
}

#[test]
fn a_command_for_the_guest_keeps_its_own_flags() {
    let cli = typed("run --profile big --image /x -- ls -la --json");
    let Some(Command::Run { profile, flags, argv }) = cli.command else { panic!("it is run") };
    assert_eq!(profile.as_deref(), Some("big"));
    assert_eq!(flags.get("profile.image"), Some("/x"));
    assert_eq!(argv, ["ls", "-la", "--json"]);
    assert!(!cli.json);
}

#[test]
fn what_makes_no_sense_is_refused_with_code_2() {
    assert!(wrong("why soon").contains("soon"));
    assert!(wrong("logs 42").contains("`42` is not a microVM, such as `vm-42`"));
    assert!(wrong("--krenel x").contains("--kernel"));
    assert!(wrong("run").contains("COMMAND"));
    assert!(wrong("frobnicate").contains("frobnicate"));
    let Some(Command::Logs { vm, .. }) = typed("logs vm-42 --follow --console").command else {
        panic!("it is logs")
    };
    assert_eq!(vm, VmId(42));
}

#[test]
fn an_export_goes_back_by_a_time_and_a_replay_shows_a_part_or_one_world() {
    let command = typed("export --since 2h --raw -o log --state-dir /x").command;
    let Some(Command::Export { since, raw, output, flags }) = command else {
        panic!("it is export")
    };
    assert_eq!((since, raw), (Some(Duration::from_secs(7200)), true));
    assert_eq!(output, Some(PathBuf::from("log")));
    assert_eq!(flags.get("host.state_dir"), Some("/x"));
    let Some(Command::Export { since, .. }) = typed("export --since 3d").command else {
        panic!("it is export")
    };
    assert_eq!(since, Some(Duration::from_secs(3 * 86_400)));
    assert!(wrong("export --since soon").contains("`soon` is no time to go back, such as `2h`"));
    assert!(wrong("export --since=-2h").contains("-2h"));
    let Some(Command::Replay { from, to, at, .. }) = typed("replay log --from 3 --to 9").command
    else {
        panic!("it is replay")
    };
    assert_eq!((from, to, at), (Some(3), Some(9), None));
    assert!(wrong("replay log --at 3 --to 9").contains("--to"));
}

#[test]
fn times_are_short() {
    let times = [
        (0, "0 ms"),
        (999, "999 ms"),
        (1_500, "1.5 s"),
        (250_000, "4m 10s"),
        (7_500_000, "2h 05m"),
    ];
    for (millis, text) in times {
        assert_eq!(short(Duration::from_millis(millis)), text);
    }
}

#[test]
fn a_stream_keeps_its_lines_and_loses_its_escapes() {
    let text = "a\tb\r\n\u{1b}[2Jc\n\u{7}";
    assert_eq!(escaped_lines(text), "a\tb\n\\u{1b}[2Jc\n\\u{7}");
}

#[test]
fn files_are_known_by_their_first_bytes() {
    let with = |at: usize, magic: &[u8]| {
        let mut head = vec![0; 2048];
        head[at..at + magic.len()].copy_from_slice(magic);
        head
    };
    assert_eq!(kind(&with(0, b"\x7fELF")), Some("vmlinux"));
    assert_eq!(kind(&with(0x202, b"HdrS")), Some("bzImage"));
    assert_eq!(kind(&with(1080, &[0x53, 0xEF])), Some("ext4"));
    assert_eq!(kind(&with(1024, &[0xE2, 0xE1, 0xF5, 0xE0])), Some("erofs"));
    assert_eq!(kind(&with(0, b"hello")), None);
    assert_eq!(kind(b""), None);
}

fn vms() -> Vms {
    let times = Times {
        planned: before(9),
        launched: Some(before(8)),
        ready: Some(Timestamp(before(8).0 + 850)),
        ..Times::default()
    };
    let vm = VmRow {
        id: "vm-42".to_owned(),
        profile: "linux-4".to_owned(),
        phase: "busy".to_owned(),
        job: Some(34_918_273_645),
        since: before(65),
        slot: 3,
        shape: Resources::default(),
        times,
        trouble: None,
    };
    let trouble = Some("cannot boot\u{1b}[31m\nred".to_owned());
    let other =
        VmRow { id: "vm-43".to_owned(), job: None, trouble, times: Times::default(), ..vm.clone() };
    Vms { vms: vec![vm, other] }
}

#[test]
fn microvms_are_a_table() {
    insta::assert_snapshot!(tables::vms(&vms(), NOW), @r"
    VM     PROFILE  PHASE  FOR     JOB          SLOT  BOOT    TROUBLE
    vm-42  linux-4  busy   1m 05s  34918273645  3     850 ms
    vm-43  linux-4  busy   1m 05s  -            3     -       cannot boot\u{1b}[31m\nred
    ");
}

#[test]
fn jobs_are_a_table_of_where_their_time_went() {
    let times = Times { started: Some(before(90)), done: Some(before(30)), ..Times::default() };
    let ours = JobRow {
        id: 7,
        attempt: 1,
        run: 1,
        repository: "octo/hello".to_owned(),
        workflow: "ci".to_owned(),
        name: "build".to_owned(),
        labels: vec!["self-hosted".to_owned()],
        profile: Some("default".to_owned()),
        state: "success".to_owned(),
        vm: Some("vm-1".to_owned()),
        received: before(95),
        completed: Some(before(29)),
        times: Some(times),
        url: String::new(),
    };
    let waits = JobRow {
        id: 8,
        attempt: 2,
        run: 1,
        profile: None,
        state: "queued".to_owned(),
        vm: None,
        completed: None,
        times: None,
        ..ours.clone()
    };
    insta::assert_snapshot!(tables::jobs(&Jobs { jobs: vec![waits, ours] }, NOW), @r"
    JOB    STATE    REPOSITORY  NAME   PROFILE   VM    WAITED  RAN     AGE
    8 (2)  queued   octo/hello  build  not ours  -     -       -       1m 35s
    7      success  octo/hello  build  default   vm-1  5.0 s   1m 00s  1m 35s
    ");
}

fn status() -> Status {
    let shape = Resources { vcpus: 2, memory: MiB(4096), disk: MiB(20_480) };
    Status {
        version: "0.1.0".to_owned(),
        instance: "k3x9q2".to_owned(),
        started: before(4_000),
        vmm: "qemu: no guest boots in this machine's KVM".to_owned(),
        draining: true,
        capacity: Resources { vcpus: 8, memory: MiB(28_672), disk: MiB(512_000) },
        used: shape,
        slots: 64,
        slots_used: 1,
        profiles: vec![ProfileRow {
            name: "default".to_owned(),
            labels: vec!["linux".to_owned(), "x64".to_owned()],
            shape,
            warm: 0,
            max: 4,
            vms: 1,
            queued: 2,
            scale_set: None,
            runner: None,
        }],
        breakers: vec![BreakerRow {
            profile: "default".to_owned(),
            failures: 5,
            open: true,
            until: NOW.after(Duration::from_secs(90)),
            why: "github answered 403".to_owned(),
        }],
        github: GithubRow::default(),
    }
}

#[test]
fn the_status_says_what_github_keeps_from_us() {
    let soon = NOW.after(Duration::from_secs(90));
    let quota = |budget: &str, remaining| QuotaRow {
        installation: "octo".to_owned(),
        budget: budget.to_owned(),
        remaining,
        limit: 5_000,
        resets: soon,
    };
    let github = GithubRow {
        quotas: vec![quota("app", 4_900), quota("installation", 400)],
        limited: vec![LimitedRow { installation: "octo".to_owned(), until: soon }],
        refuses: vec![RefusesRow {
            scope: "octo/hello".to_owned(),
            why: "GitHub answered 403: no".to_owned(),
        }],
        unanswered: vec![UnansweredRow {
            question: "jobs of octo/hello".to_owned(),
            failures: 2,
            why: "no \u{1b}[31manswer".to_owned(),
            again: soon,
        }],
        skew: Some(600),
    };
    let shown = tables::status(&Status { breakers: Vec::new(), github, ..status() }, NOW);
    let shown = shown.lines().skip(6).collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(shown, @r"
    this host's clock differs from GitHub's by 600 s, and guests take it over: set it, and let chrony or systemd-timesyncd keep it
    GitHub takes no calls of octo for 1m 30s: its rate limit is reached
    GitHub refuses every runner in octo/hello: GitHub answered 403: no
    GitHub's quota (installation of octo): 400 of 5000 calls are left, full again in 1m 30s
    GitHub does not answer (jobs of octo/hello), 2 times, again in 1m 30s: no \u{1b}[31manswer
    ");
}

#[test]
fn the_status_shows_the_beginning_of_what_a_scale_set_passed_over() {
    let shown = |why: String| {
        let mut status = status();
        let set = ScaleSetRow { assigned: Some(1), trouble: None, passed_over: Some(why) };
        status.profiles[0].scale_set = Some(set);
        tables::status(&status, NOW)
    };
    let short = shown("message 7: it is no JSON: <html>\u{202e}".to_owned());
    let line = r"passed over of its scale set: message 7: it is no JSON: <html>\u{202e}";
    assert!(short.lines().any(|shown| shown.ends_with(line)), "{short}");
    let long = shown("é".repeat(4000));
    let line = format!("scale set: {}… (`flint --json status` has more)", "é".repeat(320));
    assert!(long.lines().any(|shown| shown.ends_with(&line)), "{long}");
}

#[test]
fn the_status_is_one_screen() {
    insta::assert_snapshot!(tables::status(&status(), NOW), @r"
    flint 0.1.0, up 1h 06m, draining: takes no new microVMs
    qemu: no guest boots in this machine's KVM
    1 of 64 slots, 2 of 8 vCPUs, 4 GiB of 28 GiB memory, 20 GiB of 500 GiB disk

    PROFILE  LABELS      SHAPE                  VMS     WARM  QUEUED
    default  linux, x64  2 vCPU, 4 GiB, 20 GiB  1 of 4  0     2
    profile default: breaker open for 1m 30s after 5 failures: github answered 403
    ");
}

#[test]
fn why_is_one_sentence() {
    let answer = WhyAnswer {
        job: 7,
        state: "queued".to_owned(),
        because: Some("no-profile".to_owned()),
        sentence: "no profile has the label `gpu`\u{7}".to_owned(),
        egress: Vec::new(),
    };
    assert_eq!(
        tables::why(&answer),
        r"job 7 is queued (no-profile): no profile has the label `gpu`\u{7}"
    );
}

#[test]
fn why_also_says_what_the_network_refused() {
    let answer = WhyAnswer {
        job: 7,
        state: "failure".to_owned(),
        because: None,
        sentence: "it ran in vm-3 and ended with `failure`".to_owned(),
        egress: vec!["egress: refused: the name evil.example\n, once".to_owned()],
    };
    assert_eq!(
        tables::why(&answer),
        "job 7 is failure: it ran in vm-3 and ended with `failure`\n\
        egress: refused: the name evil.example\\n, once"
    );
}

/// A daemon's socket in a directory of its own, with these answers.
async fn daemon(answers: Router) -> (tempfile::TempDir, Client) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("flint.sock");
    let listener = tokio::net::UnixListener::bind(&path).unwrap();
    tokio::spawn(async move { axum::serve(listener, answers).await });
    (directory, Client::new(path))
}

#[tokio::test]
async fn an_answer_is_read_as_its_type() {
    let answers = Router::new()
        .route("/v1/vms", get(async || axum::Json(vms())))
        .route("/v1/drain", post(async || axum::Json(status())));
    let (_directory, client) = daemon(answers).await;
    assert_eq!(client.get::<Vms>("/v1/vms").await.unwrap(), vms());
    assert!(client.post::<Status>("/v1/drain").await.unwrap().draining);
}

#[tokio::test]
async fn a_refusal_keeps_the_daemons_words() {
    let refusal =
        Refusal { error: "no job 7 is known".to_owned(), help: Some("`flint jobs`".to_owned()) };
    let answers = Router::new()
        .route("/v1/why/7", get(async || (StatusCode::NOT_FOUND, axum::Json(refusal))))
        .route("/v1/status", get(async || (StatusCode::INTERNAL_SERVER_ERROR, "oops")));
    let (_directory, client) = daemon(answers).await;
    let problem: Problem = client.get::<WhyAnswer>("/v1/why/7").await.unwrap_err().into();
    assert_eq!(problem.render(false), "error: no job 7 is known\n  help: `flint jobs`");
    assert_eq!(problem.exit, Exit::Refused);
    let error = client.get::<Status>("/v1/status").await.unwrap_err();
    assert_eq!(error.to_string(), "the daemon answered 500 to `GET /v1/status`");
}

#[tokio::test]
async fn an_answer_that_is_something_else_is_an_error() {
    let answers = Router::new().route("/v1/vms", get(async || "{\"vms\": 3}"));
    let (_directory, client) = daemon(answers).await;
    assert!(matches!(client.get::<Vms>("/v1/vms").await, Err(Error::Answer { .. })));
}

#[tokio::test]
async fn a_stream_arrives_whole() {
    let text = "line\n".repeat(100_000);
    let sent = text.clone();
    let answers = Router::new().route("/v1/logs/vm-1", get(async || sent));
    let (_directory, client) = daemon(answers).await;
    let mut got = Vec::new();
    let take = |piece: &[u8]| {
        got.extend_from_slice(piece);
        Ok(())
    };
    client.stream("/v1/logs/vm-1", take).await.unwrap();
    assert_eq!(got, text.as_bytes());
}

#[tokio::test]
async fn nobody_on_the_socket_is_an_error_with_help() {
    let client = Client::new(PathBuf::from("/no/such/flint.sock"));
    let problem: Problem = client.get::<Vms>("/v1/vms").await.unwrap_err().into();
    assert_eq!(problem.exit, Exit::Failed);
    assert!(problem.render(false).contains("systemctl status flint"));
}
