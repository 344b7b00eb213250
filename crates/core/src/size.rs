//! Sizes that jobs ask for by a label: `flint-8cpu-32gb-disk100gb`.
//!
//! A size that is asked for becomes a profile of its own, made of the one that offers sizes (its *template*), with exactly
//! the labels of the job. It goes with the last job and microVM that need it.

use crate::id::ProfileId;
use crate::units::{MiB, Resources, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// What a profile lets jobs ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// The first part of the label, lower case: `flint`.
    pub prefix: String,
    /// The largest of each.
    pub max: Resources,
    /// How many microVMs there may be at once, of all sizes together. The profile's own are not among them: its pool
    /// must not keep sizes out.
    pub count: u32,
    /// What the host's processors are called in a label: `x64`, `arm64`.
    pub arch: String,
    /// The names of images that may be asked for instead of the profile's own.
    pub images: BTreeSet<String>,
    /// How many microVMs of sizes are kept booted for jobs that ask for `warm`, of all sizes together.
    #[serde(default)]
    pub warm: u32,
}

/// A size whose jobs ask for `warm` is kept booted for this long after the last of them.
pub(crate) const WARM_FOR: Duration = Duration::from_secs(30 * 60);

/// A size that a job asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    /// What was not named is the template's own.
    pub shape: Resources,
    /// An image's name; `None`: the template's own.
    pub image: Option<String>,
    /// Whether one is kept booted for the next job like it.
    pub warm: bool,
}

/// Where a profile that was made for a size comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MadeOf {
    /// The profile that offers the size.
    pub template: ProfileId,
    /// An image's name; `None`: the template's own.
    pub image: Option<String>,
    /// Until when one is kept booted; `None`: its jobs do not ask for that.
    #[serde(default)]
    pub warm_until: Option<Timestamp>,
}

/// What is wrong with a label that asks for a size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadSize {
    /// A part means nothing.
    Unknown {
        /// The part.
        part: String,
        /// The images there are.
        images: BTreeSet<String>,
    },
    /// Two parts say the same.
    Twice {
        /// What is named twice.
        what: Part,
    },
    /// Nothing is asked for that small.
    Zero {
        /// Of what.
        what: Part,
    },
    /// More than the limit.
    Above {
        /// Of what.
        what: Part,
        /// How much.
        asked: String,
        /// The limit.
        max: String,
    },
    /// Another processor than the host has.
    Arch {
        /// The host's.
        has: String,
    },
    /// No size is kept booted here.
    NotWarm,
    /// As many different sizes as there may be.
    TooMany {
        /// How many that is.
        max: usize,
    },
}

/// What a part of a label is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// `8cpu`.
    Vcpus,
    /// `32gb`.
    Memory,
    /// `disk100gb`.
    Disk,
    /// `x64`, `arm64`.
    Arch,
    /// An image's name.
    Image,
    /// `warm`.
    Warm,
}

/// Asks for one that is kept booted.
const WARM: &str = "warm";
const ARCHS: [&str; 2] = ["x64", "arm64"];

impl Sizes {
    /// Whether a label asks for a size here, right or wrong. Case does not matter.
    #[must_use]
    pub fn is_asked_by(&self, label: &str) -> bool {
        self.parts(&label.to_ascii_lowercase()).is_some()
    }

    /// What a label asks for; `own` is what holds for all that it does not name. `None`: it is about something else.
    #[must_use]
    pub fn read(&self, label: &str, own: &Resources) -> Option<Result<Size, BadSize>> {
        let label = label.to_ascii_lowercase();
        let parts = self.parts(&label)?;
        let mut size = Size { shape: *own, image: None, warm: false };
        let mut named = BTreeSet::new();
        for part in parts.split('-') {
            let what = match self.take(part, &mut size) {
                Ok(what) => what,
                Err(bad) => return Some(Err(bad)),
            };
            if !named.insert(what) {
                return Some(Err(BadSize::Twice { what }));
            }
        }
        Some(Ok(size))
    }

    /// What follows the prefix. `flint` alone, and `flinty-8cpu`, are plain labels.
    fn parts<'a>(&self, label: &'a str) -> Option<&'a str> {
        label.strip_prefix(&self.prefix)?.strip_prefix('-').filter(|rest| !rest.is_empty())
    }

    fn take(&self, part: &str, size: &mut Size) -> Result<Part, BadSize> {
        let max = &self.max;
        // Before numbers: an image may be called `24gb`, and whoever wrote the configuration meant it.
        if self.images.contains(part) {
            size.image = Some(part.to_owned());
            return Ok(Part::Image);
        }
        if part == WARM {
            size.warm = self.warm > 0;
            return if size.warm { Ok(Part::Warm) } else { Err(BadSize::NotWarm) };
        }
        if let Some(disk) = part.strip_prefix("disk").and_then(gib) {
            size.shape.disk = within(Part::Disk, disk, max.disk)?;
            return Ok(Part::Disk);
        }
        if let Some(memory) = gib(part) {
            size.shape.memory = within(Part::Memory, memory, max.memory)?;
            return Ok(Part::Memory);
        }
        if let Some(vcpus) = number(part, "cpu") {
            let vcpus = u32::try_from(vcpus).unwrap_or(u32::MAX);
            size.shape.vcpus = within(Part::Vcpus, vcpus, max.vcpus)?;
            return Ok(Part::Vcpus);
        }
        match ARCHS.contains(&part) {
            true if part == self.arch => Ok(Part::Arch),
            true => Err(BadSize::Arch { has: self.arch.clone() }),
            false => Err(BadSize::Unknown { part: part.to_owned(), images: self.images.clone() }),
        }
    }
}

fn within<T: Copy + Default + PartialOrd + fmt::Display>(
    what: Part,
    asked: T,
    max: T,
) -> Result<T, BadSize> {
    if asked <= T::default() {
        return Err(BadSize::Zero { what });
    }
    if asked > max {
        return Err(BadSize::Above { what, asked: asked.to_string(), max: max.to_string() });
    }
    Ok(asked)
}

/// `32gb` in MiB. What overflows is above every limit.
fn gib(part: &str) -> Option<MiB> {
    number(part, "gb").map(|gib| MiB(gib.saturating_mul(1024)))
}

/// Digits alone before the unit: no sign, no point. More digits than a number has are above every limit.
fn number(part: &str, unit: &str) -> Option<u64> {
    let digits = part.strip_suffix(unit)?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// A profile's name for a size: `flint-8c32g`, `flint-8c32gd100`; and a number where that is taken.
pub(crate) fn name(template: &ProfileId, size: &Size, number: usize) -> Option<ProfileId> {
    let Resources { vcpus, memory, disk } = size.shape;
    let gib = |size: MiB| size.0.div_ceil(1024);
    let mut tail = format!("-{vcpus}c{}gd{}", gib(memory), gib(disk));
    if number > 1 {
        tail.push_str(&format!("-{number}"));
    }
    let room = NAME_MAX.saturating_sub(tail.len());
    let head: String = template.as_str().chars().take(room).collect();
    ProfileId::new(&format!("{}{tail}", head.trim_end_matches('-'))).ok()
}

/// The longest name of a profile.
const NAME_MAX: usize = 24;

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Part::Vcpus => "vCPUs",
            Part::Memory => "memory",
            Part::Disk => "disk",
            Part::Arch => "processor",
            Part::Image => "image",
            Part::Warm => "word `warm`",
        })
    }
}

impl fmt::Display for BadSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadSize::Unknown { part, images } => {
                let part = part.escape_debug();
                write!(
                    f,
                    "`{part}` is no part of a size (`8cpu`, `32gb`, `disk100gb`, `x64`, `warm`"
                )?;
                for image in images {
                    write!(f, ", `{image}`")?;
                }
                f.write_str(")")
            }
            BadSize::Twice { what } => write!(f, "it names the {what} twice"),
            BadSize::Zero { what } => write!(f, "it asks for no {what}"),
            BadSize::Above { what, asked, max } => {
                write!(f, "it asks for {asked} {what}; the most is {max}")
            }
            BadSize::Arch { has } => write!(f, "the host's processors are {has}"),
            BadSize::NotWarm => {
                f.write_str("it asks for `warm`, and no size is kept booted here: see `sizes.warm`")
            }
            BadSize::TooMany { max } => {
                write!(f, "there are {max} different sizes already, which are the most")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Resources = Resources { vcpus: 2, memory: MiB(4 << 10), disk: MiB(20 << 10) };

    fn sizes() -> Sizes {
        let max = Resources { vcpus: 16, memory: MiB(64 << 10), disk: MiB(200 << 10) };
        let images = BTreeSet::from(["ubuntu24".to_owned(), "ubuntu22".to_owned()]);
        let (prefix, arch) = ("flint".to_owned(), "x64".to_owned());
        Sizes { prefix, max, count: 4, arch, images, warm: 1 }
    }

    fn read(label: &str) -> Option<Result<Size, BadSize>> {
        sizes().read(label, &OWN)
    }

    fn shape(vcpus: u32, memory: u64, disk: u64) -> Resources {
        Resources { vcpus, memory: MiB(memory << 10), disk: MiB(disk << 10) }
    }

    #[test]
    fn parts_come_in_any_order_and_what_is_not_named_is_the_templates() {
        let size = |label: &str| read(label).unwrap().unwrap();
        assert_eq!(size("flint-8cpu-32gb").shape, shape(8, 32, 20));
        assert_eq!(size("flint-disk100gb-32gb-8cpu").shape, shape(8, 32, 100));
        assert_eq!(size("FLINT-16CPU").shape, shape(16, 4, 20));
        let named = size("flint-ubuntu24-x64-2cpu");
        assert_eq!((named.image.as_deref(), named.shape), (Some("ubuntu24"), shape(2, 4, 20)));
        assert!(!named.warm && size("flint-warm-2cpu").warm && size("flint-warm").warm);
    }

    #[test]
    fn a_label_about_something_else_is_none_of_it() {
        for label in ["flint", "flint-", "flinty-8cpu", "self-hosted", ""] {
            assert_eq!(read(label), None, "{label}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |label: &str| read(label).unwrap().unwrap_err().to_string();
        assert_eq!(wrong("flint-64cpu"), "it asks for 64 vCPUs; the most is 16");
        assert_eq!(wrong("flint-65gb"), "it asks for 65 GiB memory; the most is 64 GiB");
        assert_eq!(wrong("flint-8cpu-4cpu"), "it names the vCPUs twice");
        assert_eq!(wrong("flint-0cpu"), "it asks for no vCPUs");
        assert_eq!(wrong("flint-warm-8cpu-warm"), "it names the word `warm` twice");
        let cold = Sizes { warm: 0, ..sizes() };
        let refused = cold.read("flint-8cpu-warm", &OWN).unwrap().unwrap_err().to_string();
        assert!(refused.contains("`sizes.warm`"), "{refused}");
        assert_eq!(wrong("flint-arm64"), "the host's processors are x64");
        assert!(wrong("flint-99999999999999999999gb").contains("the most is 64 GiB"));
        for label in ["flint-8", "flint-cpu", "flint--8cpu", "flint-+8cpu", "flint-8cpu-gpu"] {
            let wrong = wrong(label);
            assert!(
                wrong.contains("is no part of a size") && wrong.contains("`ubuntu22`"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_name_says_the_size_and_always_fits() {
        let template = |name: &str| ProfileId::new(name).unwrap();
        let size = |shape| Size { shape, image: None, warm: false };
        let name = |of: &str, shape, number| name(&template(of), &size(shape), number).unwrap();
        assert_eq!(name("flint", shape(8, 32, 20), 1).as_str(), "flint-8c32gd20");
        assert_eq!(name("flint", shape(8, 32, 20), 2).as_str(), "flint-8c32gd20-2");
        let long = name("a-very-long-profile-name", shape(32, 1024, 10_240), 64);
        assert_eq!(long.as_str(), "a-very-32c1024gd10240-64");
    }
}
