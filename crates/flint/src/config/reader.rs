//! Reads values by type from whatever source has them, and remembers everything that is wrong instead of stopping.

use super::keys::{self, KEYS, Key};
use super::report::{Origin, Problem, Severity};
use super::source::Sources;
use super::values;
use serde_spanned::Spanned;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use toml::de::{DeTable, DeValue};

/// A table of the file, or the lack of one.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    /// As in the table of keys: `host`, `profile.timeouts`.
    pub(super) name: &'static str,
    /// Its entries.
    pub(super) table: Option<&'a DeTable<'a>>,
}

/// A value and where it came from.
#[derive(Clone)]
pub(super) struct Found<T> {
    pub(super) value: T,
    pub(super) origin: Origin,
}

/// A value as it was written.
#[derive(Clone, Copy)]
enum Raw<'a> {
    /// In a flag or a variable: always text.
    Text(&'a str),
    /// In the file: typed.
    Toml(&'a DeValue<'a>),
}

/// The sources, and what was found wrong with them so far.
pub(super) struct Reader<'a> {
    sources: &'a Sources,
    /// A section whose flags and variables are not heard: the file has more than one of it.
    pub(super) deaf_for: Option<&'static str>,
    pub(super) problems: Vec<Problem>,
}

impl Origin {
    /// 0 for the source that wins.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Origin::Flag(_) => 0,
            Origin::Variable(_) => 1,
            Origin::File { .. } => 2,
            Origin::Nowhere => 3,
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(sources: &'a Sources) -> Self {
        Reader { sources, deaf_for: None, problems: Vec::new() }
    }

    /// Notes an error at `origin`.
    pub(super) fn error(
        &mut self,
        origin: Origin,
        message: String,
        help: impl Into<Option<String>>,
    ) {
        let (severity, label) = (Severity::Error, String::new());
        self.problems.push(Problem { severity, message, origin, label, help: help.into() });
    }

    /// The end of a help that names flags or variables, where these are heard.
    pub(super) fn or(&self, flags: &'static str) -> &'static str {
        if self.deaf_for.is_none() { flags } else { "" }
    }

    /// Notes something that Flint can live with.
    pub(super) fn warn(
        &mut self,
        origin: Origin,
        message: String,
        help: impl Into<Option<String>>,
    ) {
        let (severity, label) = (Severity::Warning, String::new());
        self.problems.push(Problem { severity, message, origin, label, help: help.into() });
    }

    /// A text that `parse` accepts; its error says what was wanted instead.
    pub(super) fn text<T>(
        &mut self,
        section: Section<'a>,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Found<T>> {
        self.typed(section, name, |raw| match raw {
            Raw::Text(text) => parse(text),
            Raw::Toml(value) => {
                parse(value.as_str().ok_or_else(|| wanted_instead(&parse, "a text"))?)
            }
        })
    }

    /// A path or a name: any text but the empty one.
    pub(super) fn word<T: From<String>>(
        &mut self,
        section: Section<'a>,
        name: &str,
    ) -> Option<Found<T>> {
        self.text(section, name, |text| match text {
            "" => Err("a text that is not empty".to_owned()),
            _ => Ok(T::from(text.to_owned())),
        })
    }

    /// A whole number in `range`.
    pub(super) fn number<T: TryFrom<u64>>(
        &mut self,
        section: Section<'a>,
        name: &str,
        range: RangeInclusive<u64>,
    ) -> Option<Found<T>> {
        self.typed(section, name, |raw| {
            let number = match raw {
                Raw::Text(text) => text.parse().ok(),
                Raw::Toml(value) => value.as_integer().and_then(|integer| {
                    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
                }),
            };
            let fits = number.filter(|number| range.contains(number));
            let wanted = || format!("a whole number from {} to {}", range.start(), range.end());
            fits.and_then(|number| T::try_from(number).ok()).ok_or_else(wanted)
        })
    }

    /// A text without spaces that may as well be written as a number.
    pub(super) fn number_or_word(
        &mut self,
        section: Section<'a>,
        name: &str,
    ) -> Option<Found<String>> {
        self.typed(section, name, |raw| {
            let text = match raw {
                Raw::Text(text) => Some(text),
                Raw::Toml(DeValue::Integer(integer)) => Some(integer.as_str()),
                Raw::Toml(value) => value.as_str(),
            };
            let plain = |text: &&str| {
                !text.is_empty()
                    && text.chars().all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c))
            };
            let wanted = || "a number or a client id".to_owned();
            text.filter(plain).map(str::to_owned).ok_or_else(wanted)
        })
    }

    /// A text that may as well be written as a number.
    pub(super) fn number_or_text<T>(
        &mut self,
        section: Section<'a>,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Found<T>> {
        self.typed(section, name, |raw| {
            let text = match raw {
                Raw::Text(text) => Some(text),
                Raw::Toml(DeValue::Integer(integer)) => Some(integer.as_str()),
                Raw::Toml(value) => value.as_str(),
            };
            text.map_or_else(|| Err("a number or a text".to_owned()), &parse)
        })
    }

    /// The file of a systemd credential, if systemd gave it.
    pub(super) fn credential(&self, name: &str) -> Option<Found<PathBuf>> {
        let file = self.sources.credentials.as_ref()?.join(name);
        file.exists().then_some(Found { value: file, origin: Origin::Nowhere })
    }

    /// A factor in `range`.
    pub(super) fn factor(
        &mut self,
        section: Section<'a>,
        name: &str,
        range: RangeInclusive<f64>,
    ) -> Option<Found<f64>> {
        self.typed(section, name, |raw| {
            let number: Option<f64> = match raw {
                Raw::Text(text) => text.parse().ok(),
                Raw::Toml(DeValue::Float(float)) => float.as_str().parse().ok(),
                Raw::Toml(DeValue::Integer(integer)) => integer.as_str().parse().ok(),
                Raw::Toml(_) => None,
            };
            let wanted = || format!("a number from {} to {}", range.start(), range.end());
            number.filter(|number| range.contains(number)).ok_or_else(wanted)
        })
    }

    /// `true` or `false`.
    pub(super) fn switch(&mut self, section: Section<'a>, name: &str) -> Option<Found<bool>> {
        self.typed(section, name, |raw| {
            let value = match raw {
                Raw::Text("true" | "1") => Some(true),
                Raw::Text("false" | "0" | "") => Some(false),
                Raw::Text(_) => None,
                Raw::Toml(value) => value.as_bool(),
            };
            value.ok_or_else(|| "`true` or `false`".to_owned())
        })
    }

    /// A list: in the file of texts, in a flag or a variable with commas.
    pub(super) fn list<T>(
        &mut self,
        section: Section<'a>,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Found<Vec<T>>> {
        let Found { value, origin } = self.entries(section, name, parse)?;
        let value = value.into_iter().map(|entry| entry.value).collect();
        Some(Found { value, origin })
    }

    /// One word, or a list of them; each with its own place.
    pub(super) fn words<T>(
        &mut self,
        section: Section<'a>,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<Found<T>> {
        let listed = match self.raw(section, name) {
            Some((Raw::Text(text), _)) => text.contains(','),
            Some((Raw::Toml(value), _)) => value.is_array(),
            None => return Vec::new(),
        };
        if listed {
            self.entries(section, name, parse).map(|found| found.value).unwrap_or_default()
        } else {
            self.text(section, name, parse).into_iter().collect()
        }
    }

    /// A list whose entries keep their places.
    fn entries<T>(
        &mut self,
        section: Section<'a>,
        name: &str,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Found<Vec<Found<T>>>> {
        let (raw, origin) = self.raw(section, name)?;
        let items: Vec<(Raw<'a>, Origin)> = match raw {
            Raw::Text(text) => text
                .split(',')
                .map(|item| (Raw::Text(item.trim()), origin.clone()))
                .filter(|(item, _)| !matches!(item, Raw::Text("")))
                .collect(),
            Raw::Toml(DeValue::Array(items)) => {
                items.iter().map(|item| (Raw::Toml(item.get_ref()), item.span().into())).collect()
            }
            Raw::Toml(other) => {
                self.unfit(section, name, origin, "a list of texts", other.type_str());
                return None;
            }
        };
        let parsed = |(raw, at): (Raw<'a>, Origin)| {
            let found = match raw {
                Raw::Text(text) => parse(text),
                Raw::Toml(value) => value.as_str().map_or(Err("a text".to_owned()), &parse),
            };
            match found {
                Ok(value) => Some(Found { value, origin: at }),
                Err(wanted) => {
                    self.unfit(section, name, at, &wanted, "");
                    None
                }
            }
        };
        let value: Vec<Found<T>> = items.into_iter().filter_map(parsed).collect();
        Some(Found { value, origin })
    }

    /// One word, or a list of texts.
    pub(super) fn word_or_list<T>(
        &mut self,
        section: Section<'a>,
        name: &str,
        word: impl Fn(&str) -> Result<T, String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Option<Found<Vec<T>>> {
        match self.raw(section, name)? {
            (Raw::Toml(DeValue::Array(_)), _) => self.list(section, name, parse),
            _ => {
                let Found { value, origin } = self.text(section, name, word)?;
                Some(Found { value: vec![value], origin })
            }
        }
    }

    /// Names every key of a table that means nothing, with the one that was probably meant.
    pub(super) fn refuse_unknown(&mut self, section: Section<'a>) {
        let prefix = format!("{}.", section.name);
        let tables = KEYS.iter().filter_map(|key| key.section().strip_prefix(&prefix));
        let known: Vec<&str> = KEYS
            .iter()
            .filter(|key| key.section() == section.name)
            .map(|key| key.name())
            .chain(tables)
            .collect();
        for (key, _) in section.table.into_iter().flat_map(DeTable::iter) {
            self.refuse_unless(&known, section.name, key);
        }
    }

    /// Names the key if it is none of `known`.
    pub(super) fn refuse_unless(
        &mut self,
        known: &[&str],
        section: &str,
        key: &Spanned<toml::de::DeString<'a>>,
    ) {
        let name: &str = key.get_ref();
        if known.contains(&name) {
            return;
        }
        let place = if section.is_empty() { String::new() } else { format!(" in `[{section}]`") };
        let near = values::nearest(name, known.iter().copied());
        let elsewhere = KEYS.iter().find(|key| key.name() == name).map(|key| key.section());
        let help = match (near, elsewhere) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, Some("profile")) => "it belongs into a `[[profile]]`".to_owned(),
            (None, Some(elsewhere)) => format!("it belongs into `[{elsewhere}]`"),
            (None, None) => format!("known here: {}", known.join(", ")),
        };
        self.error(key.span().into(), format!("unknown key `{name}`{place}"), help);
    }

    /// The flags and variables that were given for a section.
    pub(super) fn given_outside(&self, section: Section<'a>) -> Vec<(&'static str, Origin)> {
        let keys = KEYS.iter().filter(|key| key.section() == section.name);
        keys.filter_map(|key| Some((key.name(), self.outside(key)?.1))).collect()
    }

    /// Where a key was given, whatever it holds.
    pub(super) fn origin(&self, section: Section<'a>, name: &str) -> Option<Origin> {
        self.raw(section, name).map(|(_, origin)| origin)
    }

    fn typed<T>(
        &mut self,
        section: Section<'a>,
        name: &str,
        convert: impl Fn(Raw<'a>) -> Result<T, String>,
    ) -> Option<Found<T>> {
        let (raw, origin) = self.raw(section, name)?;
        match convert(raw) {
            Ok(value) => Some(Found { value, origin }),
            Err(wanted) => {
                let found = match raw {
                    Raw::Text(_) => "text",
                    Raw::Toml(value) => value.type_str(),
                };
                self.unfit(section, name, origin, &wanted, found);
                None
            }
        }
    }

    /// The value of the source that wins.
    fn raw(&self, section: Section<'a>, name: &str) -> Option<(Raw<'a>, Origin)> {
        let key = keys::find(section.name, name).expect("only keys of the table are read");
        if let Some((text, origin)) =
            self.outside(key).filter(|_| self.deaf_for != Some(section.name))
        {
            return Some((Raw::Text(text), origin));
        }
        let value = section.table?.get(name)?;
        Some((Raw::Toml(value.get_ref()), value.span().into()))
    }

    /// What a flag or a variable says.
    fn outside(&self, key: &Key) -> Option<(&'a str, Origin)> {
        let flag = key.flag?;
        if let Some(text) = self.sources.flags.get(key.path) {
            return Some((text, Origin::Flag(format!("--{flag}"))));
        }
        let variable = key.variable()?;
        let text = self.sources.variables.get(&variable)?;
        Some((text, Origin::Variable(variable)))
    }

    fn unfit(
        &mut self,
        section: Section<'a>,
        name: &str,
        origin: Origin,
        wanted: &str,
        found: &str,
    ) {
        let from_file = matches!(origin, Origin::File { .. });
        let number_misfit = wanted.contains("number") && matches!(found, "integer" | "float");
        let label = match found {
            "" | "text" | "string" => String::new(),
            found if from_file && !number_misfit => format!("this is of type {found}"),
            _ => String::new(),
        };
        let message = format!("`{}.{name}` is not {wanted}", section.name);
        self.problems.push(Problem {
            severity: Severity::Error,
            message,
            origin,
            label,
            help: None,
        });
    }
}

/// What `parse` says it wants, asked with a text that nothing accepts; `otherwise` if it would take even that.
fn wanted_instead<T>(parse: &impl Fn(&str) -> Result<T, String>, otherwise: &str) -> String {
    parse("").err().unwrap_or_else(|| otherwise.to_owned())
}
