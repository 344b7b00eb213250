//! The bodies of Firecracker's API calls, hand-written: a field that is not set is not sent, because an older
//! Firecracker refuses fields it does not know.
//!
//! Paths are as seen from inside the jail. Ids are letters, digits and `_` (no `-`, unlike the jailer's).

use crate::vmm::DiskRate;
use serde::Serialize;

/// `PUT /logger`.
#[derive(Debug, Serialize)]
pub struct Logger<'a> {
    /// A file that is there.
    pub log_path: &'a str,
    /// `Warning`: at `Info` each request's body is logged.
    pub level: &'a str,
}

/// `PUT /metrics`. Each line holds what came since the line before.
#[derive(Debug, Serialize)]
pub struct Metrics<'a> {
    /// A file that is there.
    pub metrics_path: &'a str,
}

/// `PUT /machine-config`.
#[derive(Debug, Serialize)]
pub struct Machine {
    /// 1 to 32.
    pub vcpu_count: u32,
    /// Memory in MiB.
    pub mem_size_mib: u64,
}

/// `PUT /boot-source`.
#[derive(Debug, Serialize)]
pub struct BootSource<'a> {
    /// An ELF kernel.
    pub kernel_image_path: &'a str,
    /// The initramfs.
    pub initrd_path: &'a str,
    /// Replaces the default line as a whole, which has `nomodule`.
    pub boot_args: &'a str,
}

/// `PUT /drives/{drive_id}`.
#[derive(Debug, Serialize)]
pub struct Disk<'a> {
    /// As in the path of the call.
    pub drive_id: &'a str,
    /// The image file.
    pub path_on_host: &'a str,
    /// Exactly one drive is, and it comes first: vda.
    pub is_root_device: bool,
    /// Its default is false, so it is always said.
    pub is_read_only: bool,
    /// `Unsafe` offers no flush: a scratch disk dies with its guest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_type: Option<&'a str>,
    /// How much of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limiter: Option<RateLimiter>,
}

/// Two token buckets, each of which holds a request back.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct RateLimiter {
    /// Of bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<Bucket>,
    /// Of requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops: Option<Bucket>,
}

/// So much in so long. A single request may be larger than the bucket: it is let through, and waited for afterwards.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Bucket {
    size: u64,
    /// Milliseconds.
    refill_time: u64,
}

impl RateLimiter {
    /// What holds a disk to this rate, if it has one.
    #[must_use]
    pub fn of(rate: DiskRate) -> Option<RateLimiter> {
        let bandwidth = rate.bytes_per_second.map(Bucket::per_second);
        let ops = rate.operations_per_second.map(Bucket::per_second);
        (bandwidth.is_some() || ops.is_some()).then_some(RateLimiter { bandwidth, ops })
    }
}

impl Bucket {
    /// In tenths of a second, so that nobody waits a whole one.
    fn per_second(rate: u64) -> Bucket {
        Bucket { size: (rate / 10).max(1), refill_time: 100 }
    }
}

/// `PUT /network-interfaces/{iface_id}`.
#[derive(Debug, Serialize)]
pub struct Interface<'a> {
    /// As in the path of the call.
    pub iface_id: &'a str,
    /// A tap of the namespace that belongs to the jail's user.
    pub host_dev_name: &'a str,
    /// The guest's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guest_mac: Option<&'a str>,
}

/// `PUT /vsock`. The socket is made by this call.
#[derive(Debug, Serialize)]
pub struct Vsock<'a> {
    /// 3 or more.
    pub guest_cid: u32,
    /// The socket to make; must not be there.
    pub uds_path: &'a str,
}

/// `PUT /entropy`: a virtio-rng without a limit.
#[derive(Debug, Serialize)]
pub struct Entropy {}

/// `PUT /actions`.
#[derive(Debug, Serialize)]
pub struct Action<'a> {
    /// `InstanceStart`, `FlushMetrics`, `SendCtrlAltDel`.
    pub action_type: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_set_is_not_sent() {
        let nic = Interface { iface_id: "net0", host_dev_name: "vmtap0", guest_mac: None };
        let text = serde_json::to_string(&nic).unwrap();
        assert_eq!(text, r#"{"iface_id":"net0","host_dev_name":"vmtap0"}"#);
    }

    #[test]
    fn a_rate_becomes_a_bucket_of_a_tenth_of_it() {
        let rate = |bytes, operations| {
            let rate = DiskRate { bytes_per_second: bytes, operations_per_second: operations };
            RateLimiter::of(rate).map(|limiter| serde_json::to_string(&limiter).unwrap())
        };
        assert_eq!(rate(None, None), None);
        let bytes = r#"{"bandwidth":{"size":10485760,"refill_time":100}}"#;
        assert_eq!(rate(Some(100 << 20), None).as_deref(), Some(bytes));
        let ops = r#"{"ops":{"size":500,"refill_time":100}}"#;
        assert_eq!(rate(None, Some(5_000)).as_deref(), Some(ops));
    }
}
