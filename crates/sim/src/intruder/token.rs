//! What a packet carries so that it is known wherever it turns up: `escape/guarded/host-udp!`.

const START: &[u8] = b"escape/";
const END: u8 = b'!';

/// The longest name of a phase and an attempt.
const LONGEST: usize = 64;

/// The token of an attempt.
pub fn of(phase: &str, name: &str) -> Vec<u8> {
    [START, phase.as_bytes(), b"/", name.as_bytes(), &[END]].concat()
}

/// All that these bytes carry, as `guarded/host-udp`.
pub fn all_in(bytes: &[u8]) -> Vec<String> {
    let starts = bytes.windows(START.len()).enumerate().filter(|(_, word)| *word == START);
    let token = |(at, _): (usize, &[u8])| {
        let rest = &bytes[at + START.len()..];
        let end = rest.iter().take(LONGEST).position(|byte| *byte == END)?;
        String::from_utf8(rest[..end].to_vec()).ok()
    };
    starts.filter_map(token).collect()
}

#[cfg(test)]
mod tests {
    use super::{all_in, of};

    #[test]
    fn a_token_is_found_among_other_bytes() {
        let bytes =
            [b"\0\x01", &of("guarded", "host-udp")[..], b"x", &of("flat", "vlan-0")].concat();
        assert_eq!(all_in(&bytes), ["guarded/host-udp", "flat/vlan-0"]);
        assert_eq!(all_in(b"escape/without an end"), [""; 0]);
    }
}
