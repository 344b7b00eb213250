//! How much of each disk a guest may have.

use super::reader::{Reader, Section};
use super::values;
use crate::vmm::DiskRate;
use std::ops::RangeInclusive;

/// Reads and writes per second; a guest with less does not boot before its deadline.
const OPERATIONS: RangeInclusive<u64> = 100..=1_000_000_000;

/// Reads `disk_bandwidth` and `disk_operations`.
pub(super) fn rate<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> DiskRate {
    let bytes = reader.text(section, "disk_bandwidth", values::byte_rate);
    let operations = reader.number(section, "disk_operations", OPERATIONS);
    DiskRate {
        bytes_per_second: bytes.map(|found| found.value),
        operations_per_second: operations.map(|found| found.value),
    }
}
