//! The configuration's keys as command-line flags, made from the one table.

use super::keys::{KEYS, Key, Kind};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// What was given on the command line, by key. Overwritten when dropped: a secret may be among it.
#[derive(Clone, Default)]
pub struct Flags {
    values: BTreeMap<&'static str, Zeroizing<String>>,
}

impl Flags {
    /// The value given for a key, such as `host.slots`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&str> {
        self.values.get(path).map(|text| text.as_str())
    }

    /// As if the key's flag had been given.
    ///
    /// # Panics
    /// When there is no such key: the callers name keys of our own table.
    pub fn set(&mut self, path: &str, value: &str) {
        let key = KEYS.iter().find(|key| key.path == path).expect("the key is in the table");
        self.values.insert(key.path, Zeroizing::new(value.to_owned()));
    }

    /// Whether none was given.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// These, and those of `other` that are not among these: flags before and after the subcommand.
    #[must_use]
    pub fn or(mut self, other: Flags) -> Flags {
        for (path, value) in other.values {
            self.values.entry(path).or_insert(value);
        }
        self
    }
}

impl clap::FromArgMatches for Flags {
    fn from_arg_matches(matches: &clap::ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Flags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &clap::ArgMatches) -> Result<(), clap::Error> {
        for key in KEYS.iter().filter(|key| key.flag.is_some()) {
            if let Ok(Some(text)) = matches.try_get_one::<String>(key.path) {
                self.values.insert(key.path, Zeroizing::new(text.clone()));
            }
        }
        Ok(())
    }
}

impl clap::Args for Flags {
    fn augment_args(command: clap::Command) -> clap::Command {
        KEYS.iter().fold(command, |command, key| match key.flag {
            Some(flag) => command.arg(arg(key, flag)),
            None => command,
        })
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

fn arg(key: &Key, flag: &'static str) -> clap::Arg {
    let arg = clap::Arg::new(key.path).long(flag).help(key.help).help_heading(heading(key));
    let arg = key.aliases.iter().fold(arg, |arg, alias| arg.alias(*alias));
    match key.kind {
        Kind::Value(name) => arg.value_name(name),
        Kind::Switch => arg.num_args(0..=1).require_equals(true).default_missing_value("true"),
    }
}

fn heading(key: &Key) -> &'static str {
    match key.section() {
        "github" => "GitHub",
        "server" => "Webhooks",
        "host" => "Host",
        _ => "MicroVMs",
    }
}
