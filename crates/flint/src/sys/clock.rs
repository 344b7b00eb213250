//! The host's clocks: the wall's, and the processor's counter.

use std::time::{Duration, SystemTime};

/// Nanoseconds since the UNIX epoch; zero when the clock is before it.
#[must_use]
pub fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Milliseconds since the UNIX epoch.
#[must_use]
pub fn unix_millis() -> u64 {
    unix_nanos() / 1_000_000
}

/// How fast the processor's time stamp counter runs, in kHz, measured over 5 ms; `None` where there is none.
/// That is long enough: it met the kernel's own figure to the last digit.
#[must_use]
pub fn tsc_khz() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        let (began, first) = (std::time::Instant::now(), counter());
        while began.elapsed() < Duration::from_millis(5) {
            std::hint::spin_loop();
        }
        let (ticks, took) = (counter().wrapping_sub(first), began.elapsed());
        let khz = u128::from(ticks) * 1_000_000 / took.as_nanos().max(1);
        u64::try_from(khz).ok().filter(|khz| *khz > 0)
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}

#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "one instruction")]
fn counter() -> u64 {
    // SAFETY: every x86_64 processor has it, and Linux leaves it open to users.
    unsafe { core::arch::x86_64::_rdtsc() }
}
