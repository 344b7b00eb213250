//! One slot's addresses: which are open, which are being opened, and the answers that wait for it. Pure.
//!
//! Each slot opens one batch at a time, so no guest's questions take the turn of another's.

use super::super::rules::NAMED;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Addresses stay open a little longer than the answer lives, for a connection that was decided on before: and not
/// for less than it takes to make one.
const GRACE: Duration = Duration::from_secs(30);

/// Answers that wait until a batch is open; one more is lost, as a packet is, and its guest asks again.
const WAITING_MAX: usize = 64;

/// What `nft` is given at once.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Batch {
    /// The answers that go out when it is open.
    pub(super) answers: Vec<u64>,
    /// Each address, and for how many seconds.
    pub(super) addresses: Vec<(IpAddr, u64)>,
    since: Instant,
}

/// What an answer leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It goes out: all of it is open.
    Answer(u64),
    /// This is to be opened.
    Open(Batch),
    /// It waits, or is lost.
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Opening {
    /// Until when addresses are open. Only what the kernel has taken is in it.
    open: BTreeMap<IpAddr, Instant>,
    busy: bool,
    waiting: Vec<(u64, Vec<(IpAddr, u32)>)>,
}

impl Opening {
    /// An answer's addresses, each with its time to live.
    pub(super) fn found(
        &mut self,
        number: u64,
        addresses: Vec<(IpAddr, u32)>,
        now: Instant,
    ) -> Next {
        if self.closed(&addresses, now).is_empty() {
            return Next::Answer(number);
        }
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push((number, addresses));
        }
        match self.busy {
            true => Next::Nothing,
            false => self.begin(now),
        }
    }

    /// A batch has ended. What could not be opened is not open: its guest asks again.
    pub(super) fn ended(&mut self, batch: &Batch, opened: bool, now: Instant) -> Next {
        self.busy = false;
        if opened {
            self.open.retain(|_, until| *until > now);
            let until = |seconds| batch.since + Duration::from_secs(seconds);
            let taken = batch.addresses.iter().map(|(address, time)| (*address, until(*time)));
            self.open.extend(taken.take(NAMED.saturating_sub(self.open.len())));
        }
        self.begin(now)
    }

    fn begin(&mut self, now: Instant) -> Next {
        if self.waiting.is_empty() {
            return Next::Nothing;
        }
        let (answers, found): (Vec<u64>, Vec<_>) =
            std::mem::take(&mut self.waiting).into_iter().unzip();
        let addresses = self.closed(&found.concat(), now).into_iter().collect();
        self.busy = true;
        Next::Open(Batch { answers, addresses, since: now })
    }

    /// Those that are not open for as long as their answer lives.
    fn closed(&self, addresses: &[(IpAddr, u32)], now: Instant) -> BTreeMap<IpAddr, u64> {
        let mut closed = BTreeMap::new();
        for (address, ttl) in addresses {
            let time = Duration::from_secs(u64::from(*ttl));
            // Half of the grace, or each question would open its addresses for a moment more.
            if self.open.get(address).is_none_or(|until| *until < now + time + GRACE / 2) {
                let longest = closed.entry(*address).or_default();
                *longest = (time + GRACE).as_secs().max(*longest);
            }
        }
        closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Vec<(IpAddr, u32)> {
        vec![(IpAddr::from([203, 0, 113, last]), 60)]
    }

    fn batch(next: Next) -> Batch {
        let Next::Open(batch) = next else { panic!("{next:?}") };
        batch
    }

    #[test]
    fn an_answer_goes_out_when_its_addresses_are_open_and_then_at_once() {
        let (mut slot, now) = (Opening::default(), Instant::now());
        let first = batch(slot.found(1, address(1), now));
        assert_eq!((&first.answers, &first.addresses), (&vec![1], &vec![(address(1)[0].0, 90)]));
        // Asked again meanwhile: not open yet, so not answered yet.
        assert_eq!(slot.found(2, address(1), now), Next::Nothing);
        let second = batch(slot.ended(&first, true, now));
        assert_eq!((&second.answers, second.addresses.len()), (&vec![2], 0), "it is open by now");
        assert_eq!(slot.ended(&second, true, now), Next::Nothing);
        assert_eq!(slot.found(3, address(1), now), Next::Answer(3));
        let late = now + Duration::from_secs(16);
        assert_eq!(batch(slot.found(4, address(1), late)).addresses[0].1, 90, "for longer");
    }

    #[test]
    fn what_could_not_be_opened_is_opened_when_it_is_asked_for_again() {
        let (mut slot, now) = (Opening::default(), Instant::now());
        let failed = batch(slot.found(1, address(1), now));
        assert_eq!(slot.ended(&failed, false, now), Next::Nothing);
        assert_eq!(batch(slot.found(2, address(1), now)).addresses, failed.addresses);
    }

    #[test]
    fn a_flood_opens_one_batch_at_a_time_and_what_is_lost_of_it_is_not_taken_for_open() {
        let (mut flood, now) = (Opening::default(), Instant::now());
        let first = batch(flood.found(0, address(0), now));
        for last in 1..=255 {
            assert_eq!(flood.found(u64::from(last), address(last), now), Next::Nothing);
        }
        let second = batch(flood.ended(&first, true, now));
        assert_eq!((second.answers.len(), second.addresses.len()), (WAITING_MAX, WAITING_MAX));
        assert_eq!(flood.ended(&second, true, now), Next::Nothing);
        let lost = batch(flood.found(999, address(255), now));
        assert_eq!(lost.addresses.len(), 1);
    }

    #[test]
    fn what_is_remembered_as_open_is_bounded_by_what_the_kernel_takes() {
        let (mut slot, now) = (Opening::default(), Instant::now());
        let many = |from: u32| -> Vec<_> {
            (from..from + 6_000).map(|n| (IpAddr::from(n.to_be_bytes()), 60)).collect()
        };
        for from in [0x1000_0000, 0x2000_0000] {
            let batch = batch(slot.found(1, many(from), now));
            slot.ended(&batch, true, now);
        }
        assert_eq!(slot.open.len(), NAMED);
        let later = now + Duration::from_secs(91);
        let batch = batch(slot.found(2, many(0x3000_0000), later));
        slot.ended(&batch, true, later);
        assert_eq!(slot.open.len(), 6_000, "what has ended is forgotten");
    }
}
