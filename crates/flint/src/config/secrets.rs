//! Secrets: how webhooks are proven, and the files that hold what nobody else may read.

use super::Webhooks;
use super::github::Entry;
use super::reader::{Found, Reader, Section};
use super::report::Origin;
use super::values::WEBHOOK_SECRET_MAX;
use flint_wire::Secret;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The secrets of the source that wins; within one source only one of the three keys may be there.
pub(super) fn webhooks<'a>(reader: &mut Reader<'a>, entry: &Entry<'a>) -> Option<Webhooks> {
    let section = entry.section;
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
                short(secret, reader, &file.origin).map(|secret| Webhooks::Signed(vec![secret]))
            }
            None => without_secret(reader, entry),
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
        _ if text.len() > WEBHOOK_SECRET_MAX => {
            Err(format!("a secret of at most {WEBHOOK_SECRET_MAX} bytes"))
        }
        _ => Ok(Secret::new(text.to_owned())),
    };
    match name {
        "webhook_secret" => reader.text(section, name, full).map(|found| vec![found.value]),
        "webhook_secret_file" => {
            let file: Found<PathBuf> = reader.word(section, name)?;
            let secret = read_secret(reader, "webhook secret", &file)?;
            warn_if_readable(reader, &file);
            short(secret, reader, &file.origin).map(|secret| vec![secret])
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

fn short(secret: Secret, reader: &mut Reader<'_>, origin: &Origin) -> Option<Secret> {
    if secret.expose().len() <= WEBHOOK_SECRET_MAX {
        return Some(secret);
    }
    let message = format!("the webhook secret has more than {WEBHOOK_SECRET_MAX} bytes");
    let help = "is it the right file? `openssl rand -hex 32` makes a good secret".to_owned();
    reader.error(origin.clone(), message, help);
    None
}

fn without_secret<'a>(reader: &mut Reader<'a>, entry: &Entry<'a>) -> Option<Webhooks> {
    let insecure = reader.switch(entry.section, "insecure_no_secret").filter(|found| found.value);
    if let Some(found) = insecure {
        let message =
            "webhooks are taken from anyone: no secret, and `insecure_no_secret` is given";
        reader.warn(found.origin, message.to_owned(), None);
        return Some(Webhooks::Unsigned);
    }
    let message = "the webhook's secret is missing: anyone could send jobs".to_owned();
    let help = format!(
        "set the same text as in the App's settings: `webhook_secret_file` in `[github]`, a systemd credential \
         `webhook-secret`{}",
        reader.or(", FLINT_WEBHOOK_SECRET, or --webhook-secret")
    );
    reader.error(entry.origin.clone(), message, help);
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
