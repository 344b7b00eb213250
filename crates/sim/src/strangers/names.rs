//! What guests ask for and what resolvers answer, as the process that serves guests with a list of names reads it.

use flint::net::names::question::{Question, TTL_MAX};

/// The name that answers are about if the input asks for none.
const PLAIN: &[u8] = b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x06static\x04acme\x07example\0\0\x01\0\x01";

/// The header's length.
const HEADER: usize = 12;

/// The bytes are a guest's question; and what follows the header of an answer to that question, or to a plain one.
pub fn names(bytes: &[u8]) {
    let given = Question::read(bytes);
    let plain = Question::read(PLAIN);
    for question in given.iter().chain(&plain) {
        drop(question.refusal());
        let Some((asked, letters)) = question.ask(7, [0x5a; 32]) else { continue };
        assert!(letters.eq_ignore_ascii_case(&question.name));
        let mut forged = answer(&asked, bytes);
        // As it comes, and as it would come from somebody who has seen the question.
        for packet in [bytes, &forged] {
            let Some(answer) = question.answer(7, &letters, packet) else { continue };
            assert!(answer.reply.len() <= 1_232, "longer than anybody takes");
            assert!(answer.addresses.iter().all(|(_, seconds)| *seconds <= TTL_MAX));
        }
        forged[1] ^= 1;
        assert_eq!(question.answer(7, &letters, &forged), None, "another number");
    }
}

/// Our own question's header and name, with the input's counts of records and the input's records.
fn answer(asked: &[u8], bytes: &[u8]) -> Vec<u8> {
    let (counts, records) = bytes.split_at(bytes.len().min(8));
    let mut packet = asked.to_vec();
    // Without the last eleven bytes, which say how long an answer we take.
    packet.truncate(asked.len().saturating_sub(11).max(HEADER));
    packet[2] |= 0x80;
    for (place, count) in packet[6..HEADER].iter_mut().zip(counts) {
        *place = *count;
    }
    packet.extend_from_slice(records);
    packet
}
