//! Conversations of every version that is still spoken, as they were when that version was made.

use flint_wire::frame::{Decoder, Message, encode};
use flint_wire::{OLDEST_PROTOCOL, PROTOCOL, Said, ToGuest};
use std::path::Path;

/// What random texts and the clock's numbers are taken to be.
fn filled(line: &str) -> String {
    line.replace("{nonce}", "00ff")
        .replace("{entropy}", "ab")
        .replace("{time}", "1790000000000000001")
}

/// One line in, one message, and the same line out again.
fn keeps_its_bytes<M: Message>(line: &str) {
    let mut decoder = Decoder::<M>::new();
    decoder.push(format!("{line}\n").as_bytes());
    let Some(Ok(message)) = decoder.next_message() else { panic!("not understood: {line}") };
    let again = encode(&message).expect("it came from a line");
    assert_eq!(String::from_utf8_lossy(&again), format!("{line}\n"));
}

#[test]
fn each_version_that_is_spoken_keeps_its_bytes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    for version in OLDEST_PROTOCOL..=PROTOCOL {
        let text =
            std::fs::read_to_string(folder.join(format!("conversation-{version}.txt"))).unwrap();
        let said =
            |mark: &'static str| text.lines().filter_map(move |line| line.strip_prefix(mark));
        said("> ").for_each(|line| keeps_its_bytes::<ToGuest>(&filled(line)));
        said("< ").for_each(|line| keeps_its_bytes::<Said>(&filled(line)));
        // `stop` and the two other works are said by nobody yet; a hello, the configuration, work and acks are.
        assert!(said("> ").count() >= 4 && said("< ").count() >= 9, "version {version}");
    }
}
