//! The tiers of tests: what each is made of, and what it needs.

use crate::cargo::Target;

/// A tier.
pub(crate) struct Tier {
    /// As on the command line and in `FLINT_REQUIRE`.
    pub(crate) name: &'static str,
    /// What must be there, in the order in which it is looked for.
    pub(crate) needs: &'static [Need],
    /// The target that a tier is named after: it must exist.
    pub(crate) target: Option<(&'static str, &'static str)>,
    /// How many tests at once, where it is not for the test program to say.
    pub(crate) threads: Option<&'static str>,
}

/// Something a machine may not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// The right to make namespaces, taps and mounts.
    Root,
    /// `/dev/net/tun`.
    Tun,
    /// Network namespaces.
    Namespaces,
    /// A program in PATH.
    Program(&'static str),
    /// systemd, whether it manages this machine or not.
    Systemd,
    /// The unified hierarchy of control groups.
    Cgroup2,
    /// QEMU's firmware for `microvm`.
    Qboot,
    /// The guests' kernel; made when it is not there.
    Kernel,
    /// The guests' image; made when it is not there.
    Image,
    /// A `/dev/kvm` that opens.
    Kvm,
    /// A program named by a variable, or in PATH.
    Binary {
        /// The variable.
        variable: &'static str,
        /// The program.
        name: &'static str,
    },
}

/// All tiers, cheapest first.
pub(crate) const TIERS: &[Tier] = &[
    Tier { name: "unit", needs: &[], target: None, threads: None },
    Tier { name: "scripts", needs: &[], target: Some(("flint-core", "scripts")), threads: None },
    Tier { name: "lives", needs: &[], target: Some(("flint-sim", "lives")), threads: None },
    Tier { name: "daemon", needs: &[], target: Some(("flint", "daemon")), threads: None },
    Tier {
        name: "browser",
        needs: &[Need::Program("chromium"), Need::Program("chromedriver")],
        target: Some(("flint", "browser")),
        threads: Some("1"),
    },
    Tier {
        name: "net",
        needs: &[
            Need::Root,
            Need::Tun,
            Need::Namespaces,
            Need::Program("ip"),
            Need::Program("nft"),
        ],
        target: Some(("flint", "net")),
        threads: Some("1"),
    },
    Tier {
        name: "scope",
        needs: &[
            Need::Root,
            Need::Namespaces,
            Need::Systemd,
            Need::Program("systemd-run"),
            Need::Program("setpriv"),
            Need::Cgroup2,
        ],
        target: Some(("flint", "scope")),
        threads: Some("1"),
    },
    Tier {
        name: "vm",
        needs: &[
            Need::Root,
            Need::Tun,
            Need::Namespaces,
            Need::Program("nft"),
            Need::Program("qemu-system-x86_64"),
            Need::Qboot,
            Need::Kernel,
            Need::Image,
        ],
        target: Some(("flint", "vm")),
        // Without KVM a booting guest takes a whole core.
        threads: Some("1"),
    },
    Tier {
        name: "firecracker",
        needs: &[
            Need::Root,
            Need::Tun,
            Need::Namespaces,
            Need::Program("nft"),
            // The tier builds its own guest.
            Need::Program("gcc"),
            Need::Binary { variable: "FLINT_FIRECRACKER", name: "firecracker" },
            Need::Binary { variable: "FLINT_JAILER", name: "jailer" },
            Need::Kvm,
        ],
        target: Some(("flint", "firecracker")),
        threads: Some("1"),
    },
];

/// The tier of a target. Each target has one, so that no test is ever left out.
pub(crate) fn tier_of(target: &Target) -> &'static str {
    let named = TIERS.iter().find(|tier| {
        tier.target.is_some_and(|(package, name)| {
            let more = format!("{name}_");
            target.package == package && (target.name == name || target.name.starts_with(&more))
        })
    });
    match (named, target.package.as_str()) {
        (Some(tier), _) => tier.name,
        (None, "flint" | "flint-sim") => "daemon",
        (None, _) => "unit",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(package: &str, name: &str) -> &'static str {
        tier_of(&Target { package: package.into(), name: name.into(), by_name: false })
    }

    #[test]
    fn every_target_has_a_tier() {
        assert_eq!(tier("flint-core", "scripts"), "scripts");
        assert_eq!(tier("flint", "net"), "net");
        assert_eq!(tier("flint", "net_isolation"), "net");
        assert_eq!(tier("flint", "scope"), "scope");
        assert_eq!(tier("flint", "forge"), "daemon");
        assert_eq!(tier("flint", "init"), "daemon");
        assert_eq!(tier("flint", "browser"), "browser");
        assert_eq!(tier("flint", "netting"), "daemon");
        assert_eq!(tier("flint-sim", "github"), "daemon");
        assert_eq!(tier("flint-wire", "golden"), "unit");
    }
}
