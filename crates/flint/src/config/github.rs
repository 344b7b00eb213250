//! Whose jobs, and how webhooks are proven.

use super::reader::{Found, Reader, Section};
use super::report::Origin;
use super::{GithubOptions, Purpose, RunnerGroup, Scope, Webhooks, credentials, defaults, values};
use flint_wire::Secret;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Reads `[github]`; `None` when something that is needed is missing. A local purpose needs nothing and reads no file;
/// where no profile `hears` of its jobs by webhooks, no secret is needed.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    (purpose, hears): (Purpose, bool),
) -> Option<GithubOptions> {
    if purpose == Purpose::Local {
        return None;
    }
    let default_url = || values::url(defaults::GITHUB_URL).expect("the default address is one");
    let url =
        reader.text(section, "url", values::url).map_or_else(default_url, |found| found.value);
    let group = runner_group(reader, section);
    let scope = scope(reader, section);
    let credentials = credentials::read(reader, section);
    let webhooks = if hears { webhooks(reader, section) } else { Some(Webhooks::Refused) };
    Some(GithubOptions {
        url,
        scope: scope?,
        credentials: credentials?,
        webhooks: webhooks?,
        runner_group: group.map_or(RunnerGroup::Number(defaults::RUNNER_GROUP), |g| g.value),
    })
}

/// A number, or a name in quotes.
fn runner_group<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<Found<RunnerGroup>> {
    let numbers = 1..=u64::from(u32::MAX);
    reader.number_or_text(section, "runner_group", |text| match text.trim() {
        "" => Err("a runner group: its number or its name".to_owned()),
        text if text.bytes().all(|byte| byte.is_ascii_digit()) => match text.parse() {
            Ok(number) if numbers.contains(&number) => Ok(RunnerGroup::Number(number)),
            Ok(_) | Err(_) => {
                Err(format!("a number from {} to {}", numbers.start(), numbers.end()))
            }
        },
        text => Ok(RunnerGroup::Name(text.to_owned())),
    })
}

fn scope<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<Scope> {
    let given = ["organization", "repository"].map(|name| reader.origin(section, name));
    match given {
        [None, None] => {
            let message = "nobody's jobs are served: no organization and no repository".to_owned();
            let help = "set `organization` or `repository` in `[github]`, or give --organization";
            reader.error(Origin::Nowhere, message, help.to_owned());
            None
        }
        // A flag that names the other kind replaces the file's choice, as with any other key.
        [Some(organization), Some(repository)] if organization.rank() == repository.rank() => {
            let message = "both an organization and a repository are given".to_owned();
            let help = "keep one: an organization's runners serve its repositories too";
            reader.error(repository, message, help.to_owned());
            None
        }
        [Some(organization), Some(repository)] if organization.rank() > repository.rank() => {
            repository_scope(reader, section)
        }
        [Some(_), _] => reader
            .text(section, "organization", values::organization)
            .map(|found| Scope::Organization(found.value)),
        [None, Some(_)] => repository_scope(reader, section),
    }
}

fn repository_scope<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<Scope> {
    let (owner, name) = reader.text(section, "repository", values::repository)?.value;
    Some(Scope::Repository { owner, name })
}

/// The secrets of the source that wins; within one source only one of the three keys may be there.
fn webhooks<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<Webhooks> {
    let names = ["webhook_secret", "webhook_secret_file", "webhook_secrets"];
    let mut given: Vec<(&str, Origin)> = names
        .iter()
        .filter_map(|name| reader.origin(section, name).map(|origin| (*name, origin)))
        .collect();
    given.sort_by_key(|(_, origin)| origin.rank());
    match given.as_slice() {
        [(one, first), (other, second), ..] if first.rank() == second.rank() => {
            let message = format!("both `{one}` and `{other}` are given");
            let help = "keep one; `webhook_secrets` takes two while one is being replaced";
            reader.error(second.clone(), message, help.to_owned());
            None
        }
        [(name, _), ..] => read_secrets(reader, section, name).map(Webhooks::Signed),
        [] => match reader.credential("webhook-secret") {
            Some(file) => {
                let secret = read_secret(reader, "webhook secret", &file)?;
                Some(Webhooks::Signed(vec![secret]))
            }
            None => without_secret(reader, section),
        },
    }
}

fn read_secrets<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    name: &str,
) -> Option<Vec<Secret>> {
    let full = |text: &str| match text.trim() {
        "" => Err("a secret: it is empty".to_owned()),
        _ => Ok(Secret::new(text.to_owned())),
    };
    match name {
        "webhook_secret" => reader.text(section, name, full).map(|found| vec![found.value]),
        "webhook_secret_file" => {
            let file: Found<PathBuf> = reader.word(section, name)?;
            let secret = read_secret(reader, "webhook secret", &file)?;
            warn_if_readable(reader, &file);
            Some(vec![secret])
        }
        _ => {
            let found = reader.list(section, name, full)?;
            if (1..=2).contains(&found.value.len()) {
                return Some(found.value);
            }
            let message = "`github.webhook_secrets` is not a list of one or two secrets".to_owned();
            reader.error(found.origin, message, None);
            None
        }
    }
}

fn without_secret<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<Webhooks> {
    if reader.switch(section, "insecure_no_secret").is_some_and(|found| found.value) {
        let message =
            "webhooks are taken from anyone: no secret, and --insecure-no-secret is given";
        reader.warn(Origin::Nowhere, message.to_owned(), None);
        return Some(Webhooks::Unsigned);
    }
    let message = "the webhook's secret is missing: anyone could send jobs".to_owned();
    let help = "set the same text as in the App's settings: `webhook_secret_file` in `[github]`, \
                a systemd credential `webhook-secret`, FLINT_WEBHOOK_SECRET, or --webhook-secret";
    reader.error(Origin::Nowhere, message, help.to_owned());
    None
}

/// The file's text without the newline at its end; a file that is empty is a problem.
pub(super) fn read_secret(
    reader: &mut Reader<'_>,
    what: &str,
    file: &Found<PathBuf>,
) -> Option<Secret> {
    let path = file.value.display();
    match std::fs::read_to_string(&file.value) {
        Ok(text) if text.trim().is_empty() => {
            reader.error(file.origin.clone(), format!("the {what} `{path}` is empty"), None);
            None
        }
        Ok(mut text) => {
            text.truncate(text.trim_end_matches(['\r', '\n']).len());
            Some(Secret::new(text))
        }
        Err(error) => {
            let help = match error.kind() {
                io::ErrorKind::NotFound => {
                    "is the path right? It is taken from Flint's working directory"
                }
                io::ErrorKind::PermissionDenied => "Flint's user must be able to read it",
                _ => "it must be a file of text",
            };
            let message = format!("cannot read the {what} `{path}`: {error}");
            reader.error(file.origin.clone(), message, help.to_owned());
            None
        }
    }
}

pub(super) fn warn_if_readable(reader: &mut Reader<'_>, file: &Found<PathBuf>) {
    if readable_by_others(&file.value) {
        let message = format!("every user of this host can read `{}`", file.value.display());
        let help = format!("chmod 600 {}", file.value.display());
        reader.warn(file.origin.clone(), message, help);
    }
}

fn readable_by_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}
