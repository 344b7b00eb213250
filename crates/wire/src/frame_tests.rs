//! What the lines must look like, byte for byte, and what happens to broken ones.

use super::{Decoder, FrameError, Resync, encode, encode_hello, opening};
use crate::guest::{FromGuest, Said, Stream};
use crate::host::{Admits, Network, Network6, Repositories, ToGuest, Work};
use crate::{LINE_MAX, Secret};

fn to_guest(message: &ToGuest) -> String {
    String::from_utf8(encode(message).unwrap().to_vec()).unwrap()
}

fn said(seq: u64, message: FromGuest) -> Said {
    Said { seq, message }
}

/// The bytes of a message, and the same message from these bytes.
fn golden(message: Said, line: &str) {
    assert_eq!(String::from_utf8(encode(&message).unwrap().to_vec()).unwrap(), format!("{line}\n"));
    let mut decoder = Decoder::<Said>::new();
    decoder.push(format!("{line}\n").as_bytes());
    assert_eq!(decoder.next_message(), Some(Ok(message)));
}

/// Host messages have no `Debug` (secrets), so their round trip is compared as bytes.
fn golden_to_guest(message: &ToGuest, line: &str) {
    assert_eq!(to_guest(message), format!("{line}\n"));
    let mut decoder = Decoder::<ToGuest>::new();
    decoder.push(format!("{line}\n").as_bytes());
    let again = decoder.next_message().expect("a whole line was pushed");
    assert_eq!(to_guest(&again.unwrap_or_else(|error| panic!("{error}"))), format!("{line}\n"));
}

#[test]
fn each_word_of_the_host_keeps_its_bytes() {
    golden_to_guest(
        &ToGuest::Hello { protocol: 1, nonce: "00ff".into() },
        r#"{"say":"hello","protocol":1,"nonce":"00ff"}"#,
    );
    let network = Network {
        address: "192.168.241.2/29".into(),
        gateway: "192.168.241.1".into(),
        dns: vec!["192.168.241.1".into()],
        ipv6: None,
    };
    golden_to_guest(
        &ToGuest::Configure {
            hostname: "vm-42".into(),
            time_unix_ns: 1_790_000_000_000_000_001,
            entropy: Secret::new("ab".into()),
            network: Some(network.clone()),
        },
        r#"{"say":"configure","hostname":"vm-42","time_unix_ns":1790000000000000001,"entropy":"ab","network":{"address":"192.168.241.2/29","gateway":"192.168.241.1","dns":["192.168.241.1"]}}"#,
    );
    let network = Network {
        ipv6: Some(Network6 { address: "fd46::2/64".into(), gateway: "fd46::1".into() }),
        ..network
    };
    golden_to_guest(
        &ToGuest::Configure {
            hostname: "vm-42".into(),
            time_unix_ns: 1,
            entropy: Secret::new("ab".into()),
            network: Some(network),
        },
        r#"{"say":"configure","hostname":"vm-42","time_unix_ns":1,"entropy":"ab","network":{"address":"192.168.241.2/29","gateway":"192.168.241.1","dns":["192.168.241.1"],"ipv6":{"address":"fd46::2/64","gateway":"fd46::1"}}}"#,
    );
    golden_to_guest(
        &ToGuest::Configure {
            hostname: "vm-1".into(),
            time_unix_ns: 1,
            entropy: Secret::new(String::new()),
            network: None,
        },
        r#"{"say":"configure","hostname":"vm-1","time_unix_ns":1,"entropy":"","network":null}"#,
    );
    golden_to_guest(
        &ToGuest::Work(Work::Runner {
            jit_config: Secret::new("e30=".into()),
            admits: None,
            repositories: None,
            ca_certificates: None,
        }),
        r#"{"say":"work","kind":"runner","jit_config":"e30="}"#,
    );
    golden_to_guest(
        &ToGuest::Work(Work::Runner {
            jit_config: Secret::new("e30=".into()),
            admits: Some(Admits { public: false, forks: true }),
            repositories: Some(Repositories { only: vec!["acme/*".into()], except: Vec::new() }),
            ca_certificates: None,
        }),
        r#"{"say":"work","kind":"runner","jit_config":"e30=","admits":{"public":false,"forks":true},"repositories":{"only":["acme/*"],"except":[]}}"#,
    );
    golden_to_guest(
        &ToGuest::Work(Work::Runner {
            jit_config: Secret::new("e30=".into()),
            admits: None,
            repositories: None,
            ca_certificates: Some("-----BEGIN\n".into()),
        }),
        r#"{"say":"work","kind":"runner","jit_config":"e30=","ca_certificates":"-----BEGIN\n"}"#,
    );
    golden_to_guest(
        &ToGuest::Work(Work::Command { argv: vec!["uname".into(), "-a".into()] }),
        r#"{"say":"work","kind":"command","argv":["uname","-a"]}"#,
    );
    golden_to_guest(
        &ToGuest::Work(Work::Login { password: Secret::new("runner".into()) }),
        r#"{"say":"work","kind":"login","password":"runner"}"#,
    );
    golden_to_guest(&ToGuest::Ack { seq: 7 }, r#"{"say":"ack","seq":7}"#);
    golden_to_guest(&ToGuest::Stop { grace_s: 30 }, r#"{"say":"stop","grace_s":30}"#);
}

#[test]
fn each_word_of_the_guest_keeps_its_bytes() {
    golden(
        said(
            0,
            FromGuest::Hello {
                protocol: 1,
                nonce: "00ff".into(),
                agent: "0.1.0".into(),
                boot_id: "b".into(),
                kernel: "6.1".into(),
                configured: false,
                admits: false,
                repositories: false,
                ca_certificates: false,
            },
        ),
        r#"{"seq":0,"say":"hello","protocol":1,"nonce":"00ff","agent":"0.1.0","boot_id":"b","kernel":"6.1","configured":false}"#,
    );
    golden(
        said(
            0,
            FromGuest::Hello {
                protocol: 1,
                nonce: "n".into(),
                agent: "a".into(),
                boot_id: "b".into(),
                kernel: "k".into(),
                configured: true,
                admits: true,
                repositories: true,
                ca_certificates: true,
            },
        ),
        r#"{"seq":0,"say":"hello","protocol":1,"nonce":"n","agent":"a","boot_id":"b","kernel":"k","configured":true,"admits":true,"repositories":true,"ca_certificates":true}"#,
    );
    golden(
        said(1, FromGuest::Ready { kernel_ms: 900, agent_ms: 120, runner: None }),
        r#"{"seq":1,"say":"ready","kernel_ms":900,"agent_ms":120}"#,
    );
    let runner = Some("2.337.0".to_owned());
    golden(
        said(1, FromGuest::Ready { kernel_ms: 900, agent_ms: 120, runner }),
        r#"{"seq":1,"say":"ready","kernel_ms":900,"agent_ms":120,"runner":"2.337.0"}"#,
    );
    golden(said(2, FromGuest::Listening), r#"{"seq":2,"say":"listening"}"#);
    golden(said(3, FromGuest::JobStarted), r#"{"seq":3,"say":"job_started"}"#);
    golden(said(4, FromGuest::JobDone), r#"{"seq":4,"say":"job_done"}"#);
    golden(
        said(5, FromGuest::Log { stream: Stream::Out, text: "a\"\n√".into(), cut: false }),
        r#"{"seq":5,"say":"log","stream":"out","text":"a\"\n√"}"#,
    );
    golden(
        said(6, FromGuest::Log { stream: Stream::Agent, text: "x".into(), cut: true }),
        r#"{"seq":6,"say":"log","stream":"agent","text":"x","cut":true}"#,
    );
    golden(said(7, FromGuest::LogLost { lines: 9 }), r#"{"seq":7,"say":"log_lost","lines":9}"#);
    golden(said(8, FromGuest::Exited { code: 143 }), r#"{"seq":8,"say":"exited","code":143}"#);
    golden(
        said(9, FromGuest::Failed { step: "mount /dev/vdb".into(), error: "no".into() }),
        r#"{"seq":9,"say":"failed","step":"mount /dev/vdb","error":"no"}"#,
    );
    golden(said(10, FromGuest::Bye), r#"{"seq":10,"say":"bye"}"#);
}

#[test]
fn a_message_may_come_in_single_bytes() {
    let mut decoder = Decoder::<Said>::new();
    let line = b"{\"seq\":3,\"say\":\"bye\"}\n";
    for byte in &line[..line.len() - 1] {
        decoder.push(&[*byte]);
        assert_eq!(decoder.next_message(), None);
    }
    decoder.push(b"\n");
    assert_eq!(decoder.next_message(), Some(Ok(said(3, FromGuest::Bye))));
    assert_eq!(decoder.next_message(), None);
}

#[test]
fn an_unknown_message_and_an_empty_line_are_skipped() {
    let mut decoder = Decoder::<Said>::new();
    decoder
        .push(b"{\"seq\":1,\"say\":\"weather\",\"wind\":3}\n\n  \r\n{\"seq\":2,\"say\":\"bye\"}\n");
    assert_eq!(decoder.next_message(), Some(Ok(said(2, FromGuest::Bye))));
    assert_eq!(decoder.next_message(), None);
}

#[test]
fn an_unknown_field_is_ignored() {
    let mut decoder = Decoder::<Said>::new();
    decoder.push(b"{\"seq\":2,\"say\":\"exited\",\"code\":0,\"core\":true}\n");
    assert_eq!(decoder.next_message(), Some(Ok(said(2, FromGuest::Exited { code: 0 }))));
}

#[test]
fn a_broken_line_costs_only_itself_and_never_shows_its_text() {
    let mut decoder = Decoder::<ToGuest>::new();
    decoder.push(b"{\"say\":\"work\",\"kind\":\"runner\",\"jit_config\":[\"s3cret\"]}\n");
    decoder.push(b"s3cret\n{\"say\":\"ack\",\"seq\":1}\n");
    for _ in 0..2 {
        let Some(Err(error)) = decoder.next_message() else { panic!("the line is broken") };
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }
    assert!(matches!(decoder.next_message(), Some(Ok(ToGuest::Ack { seq: 1 }))));
}

#[test]
fn a_line_that_is_too_long_is_dropped_to_its_end_within_the_bound() {
    let mut decoder = Decoder::<Said>::new();
    let mut errors = 0;
    for _ in 0..40 {
        decoder.push(&[b'x'; 4096]);
        while let Some(outcome) = decoder.next_message() {
            assert_eq!(outcome, Err(FrameError::TooLong));
            errors += 1;
        }
        assert!(decoder.bytes.len() < LINE_MAX + 4096);
    }
    assert_eq!(errors, 1);
    decoder.push(b"tail\n{\"seq\":1,\"say\":\"bye\"}\n");
    assert_eq!(decoder.next_message(), Some(Ok(said(1, FromGuest::Bye))));
}

#[test]
fn a_message_longer_than_a_line_is_not_written() {
    let log = FromGuest::Log { stream: Stream::Out, text: "x".repeat(LINE_MAX), cut: false };
    assert_eq!(encode(&said(1, log)).err(), Some(FrameError::TooLong));
}

#[test]
fn a_hello_ends_the_line_that_was_cut_before_it() {
    let mut decoder = Decoder::<ToGuest>::new();
    decoder.push(b"{\"say\":\"ack\",\"se");
    decoder.push(&opening("n2").unwrap());
    assert!(matches!(decoder.next_message(), Some(Err(FrameError::NotAMessage { .. }))));
    assert!(matches!(decoder.next_message(), Some(Ok(ToGuest::Hello { .. }))));
}

#[test]
fn nothing_passes_before_the_nonce_is_echoed() {
    let hello = |nonce: &str| FromGuest::Hello {
        protocol: 1,
        nonce: nonce.into(),
        agent: String::new(),
        boot_id: String::new(),
        kernel: String::new(),
        configured: true,
        admits: true,
        repositories: true,
        ca_certificates: true,
    };
    let mut decoder = Decoder::<Said>::new();
    decoder.push(b"tail of a line\n{\"seq\":4,\"say\":\"bye\"}\n");
    decoder.push(&encode_hello(&said(0, hello("old"))).unwrap());
    decoder.push(b"{\"seq\":5,\"say\":\"bye\"}\n");
    decoder.push(&encode_hello(&said(0, hello("new"))).unwrap());
    decoder.push(b"{\"seq\":6,\"say\":\"listening\"}\nbroken\n");

    let mut resync = Resync::new("new".into());
    let mut passed = Vec::new();
    while let Some(outcome) = decoder.next_message() {
        passed.extend(resync.admit(outcome));
    }
    assert_eq!(
        passed,
        [
            Ok(said(0, hello("new"))),
            Ok(said(6, FromGuest::Listening)),
            Err(FrameError::NotAMessage { bytes: 6 }),
        ]
    );
}
