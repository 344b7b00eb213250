//! What jobs ask for: the labels of each profile, and what they mean beside those of the others.

use super::reader::{Reader, Section};
use super::report::Origin;
use super::{ProfileOptions, defaults, scopes};
use flint_core::id::ProfileId;
use std::collections::{BTreeMap, BTreeSet};

/// GitHub's limit of a runner's labels.
const LABELS_MAX: usize = 100;

/// GitHub's limit of a label and of a scale set's name.
const LABEL_MAX: usize = 256;

/// What jobs of a profile ask for.
enum Asked<'p> {
    /// All its labels.
    Labels,
    /// Its scale set, by name.
    Set(&'p str),
    /// All labels of its scale set but the name.
    Others,
}

/// Lower case, as the core compares them.
pub(super) fn label(text: &str) -> Result<String, String> {
    match text {
        "" => Err("a label: it is empty".to_owned()),
        text if text.trim() != text => Err("a label without spaces around it".to_owned()),
        text if text.chars().count() > LABEL_MAX || text.contains([',', '\n']) => {
            Err(format!("a label of at most {LABEL_MAX} characters, without a comma"))
        }
        text => Ok(text.to_ascii_lowercase()),
    }
}

/// What is given, else what runners have at GitHub by default. A scale set has its name, and what is given.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    scale_set: Option<&str>,
) -> BTreeSet<String> {
    let Some(found) = reader.list(section, "labels", label) else {
        let name = scale_set.map(|name| BTreeSet::from([name.to_owned()]));
        return name.unwrap_or_else(|| defaults::labels().into_iter().collect());
    };
    let mut labels: BTreeSet<String> = found.value.into_iter().collect();
    let given = labels.len();
    labels.extend(scale_set.map(str::to_owned));
    let wrong = match labels.len() {
        _ if given == 0 => Some("`profile.labels` is empty: no job could ask for it".to_owned()),
        ..=LABELS_MAX => None,
        count => {
            let with = if count > given { ", its scale set's name with them" } else { "" };
            Some(format!(
                "`profile.labels` has {count} labels{with}; GitHub takes {LABELS_MAX} of a runner"
            ))
        }
    };
    if let Some(message) = wrong {
        reader.error(found.origin, message, None);
    }
    labels
}

/// A label that asks for a size of one profile and is a plain label of another would mean two things.
pub(super) fn refuse_plain_sizes(
    reader: &mut Reader<'_>,
    profiles: &BTreeMap<ProfileId, ProfileOptions>,
) {
    let offers = profiles.iter().filter_map(|(id, o)| o.profile.sizes.as_ref().map(|s| (id, s)));
    for (name, sizes) in offers {
        for (other, options) in profiles {
            let labels = options.profile.labels.iter();
            for label in labels.filter(|label| sizes.is_asked_by(label)) {
                let message = format!(
                    "the label `{label}` of profile `{other}` also asks for a size of profile `{name}`"
                );
                let help =
                    format!("give `{name}` another `sizes.prefix`, or `{other}` another label");
                reader.error(Origin::Nowhere, message, help);
            }
        }
        let twin = profiles.iter().filter(|(other, _)| *other > name);
        for (other, options) in twin {
            if options.profile.sizes.as_ref().is_some_and(|s| s.prefix == sizes.prefix) {
                let message = format!(
                    "profiles `{name}` and `{other}` offer sizes by one prefix, `{}`",
                    sizes.prefix
                );
                let help = "give one of them another `sizes.prefix`".to_owned();
                reader.error(Origin::Nowhere, message, help);
            }
        }
    }
}

/// A runner of a size has the labels that its job asked for. Another job that asks for some of them, and not for the size,
/// may take it.
pub(super) fn warn_of_sizes(
    reader: &mut Reader<'_>,
    profiles: &BTreeMap<ProfileId, ProfileOptions>,
) {
    for (name, options) in profiles.iter().filter(|(_, o)| o.profile.sizes.is_some()) {
        let fits = |other: &ProfileOptions| shared(other, options).is_some();
        let others: Vec<_> = profiles.iter().filter(|(id, o)| *id != name && fits(o)).collect();
        for (other, _) in others {
            let message = format!(
                "jobs of profile `{other}` ask for labels that sizes of `{name}` may have too: GitHub may give them its runners"
            );
            let help = "ask for a size alone, as `runs-on: PREFIX-4cpu-8gb`".to_owned();
            reader.warn(Origin::Nowhere, message, help);
        }
    }
}

/// GitHub gives a job to any runner that has all its labels: if what jobs of one profile ask for is all among another's,
/// a runner of the other may take the job for which the first one's microVM was started.
pub(super) fn warn_of_overlaps(
    reader: &mut Reader<'_>,
    profiles: &BTreeMap<ProfileId, ProfileOptions>,
) {
    for (name, options) in profiles {
        for (other, wider) in profiles.iter().filter(|(other, _)| *other != name) {
            let Some(asked) = shared(options, wider) else { continue };
            let said_already = other < name && shared(wider, options).is_some();
            // Two with one set are an error.
            let one_set = options.scale_set.is_some() && options.scale_set == wider.scale_set;
            if scopes::apart(options, wider) || said_already || one_set {
                continue;
            }
            let what = match asked {
                Asked::Labels => {
                    format!("every label of profile `{name}` is also one of `{other}`")
                }
                Asked::Others => format!(
                    "every label of profile `{name}`, but its scale set's name, is also one of `{other}`"
                ),
                Asked::Set(set) => {
                    format!(
                        "the scale set's name `{set}` of profile `{name}` is also a label of `{other}`"
                    )
                }
            };
            let help = match asked {
                Asked::Labels | Asked::Others => format!(
                    "give `{name}` a label that `{other}` has not, and ask for it in `runs-on`"
                ),
                Asked::Set(_) => {
                    format!("give `{name}` another `scale_set`, or `{other}` another label")
                }
            };
            reader.warn(
                Origin::Nowhere,
                format!("{what}: GitHub may give its jobs to either"),
                help,
            );
        }
    }
}

/// What jobs of `options` ask for that runners of `wider` have too.
fn shared<'p>(options: &'p ProfileOptions, wider: &ProfileOptions) -> Option<Asked<'p>> {
    let (labels, has) = (&options.profile.labels, &wider.profile.labels);
    let Some(set) = options.scale_set.as_deref() else {
        return labels.is_subset(has).then_some(Asked::Labels);
    };
    if has.contains(set) {
        return Some(Asked::Set(set));
    }
    let mut others = labels.iter().filter(|label| *label != set).peekable();
    let asked = others.peek().is_some() && others.all(|label| has.contains(label));
    asked.then_some(Asked::Others)
}
