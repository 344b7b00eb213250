//! Who Flint is at GitHub: an App with its key, or a person with a token.

use super::github::Entry;
use super::reader::{Found, Reader, Section};
use super::secrets::{read_secret, warn_if_readable};
use super::{Credentials, Scope};
use flint_wire::Secret;
use std::path::PathBuf;

/// The App, unless a token is given in its place. Of two sources the one that comes first wins, as with any other key.
/// The runners of an `enterprise` need a token.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    entry: &Entry<'a>,
    enterprise: Option<&Found<Scope>>,
) -> Option<Credentials> {
    let section = entry.section;
    let token = reader.origin(section, "token_file");
    let app = ["app_id", "private_key"].into_iter().filter_map(|key| reader.origin(section, key));
    let app = app.map(|origin| origin.rank()).min();
    let by_token = match (&token, app) {
        (Some(token), Some(app)) if token.rank() == app && enterprise.is_none() => {
            let message = "both an App and a token are given".to_owned();
            let help = "keep the App: it has rights of its own, and does not leave with a person";
            reader.error(token.clone(), message, help.to_owned());
            return None;
        }
        (Some(token), Some(app)) => token.rank() < app,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => reader.credential("github-token").is_some(),
    };
    match enterprise {
        _ if by_token => token_of(reader, section).map(Credentials::Token),
        Some(enterprise) => {
            refuse_app(reader, enterprise);
            None
        }
        None => app_of(reader, entry),
    }
}

fn refuse_app(reader: &mut Reader<'_>, enterprise: &Found<Scope>) {
    let message =
        "an enterprise needs a personal access token: GitHub lets no App have its runners";
    let help = "make a classic token with `manage_runners:enterprise`, and name its file by `token_file`, in place of \
                `app_id` and `private_key`";
    reader.error(enterprise.origin.clone(), message.to_owned(), help.to_owned());
}

fn app_of<'a>(reader: &mut Reader<'a>, entry: &Entry<'a>) -> Option<Credentials> {
    let (id, private_key) = (app_id(reader, entry), private_key(reader, entry));
    Some(Credentials::App { id: id?, private_key: private_key? })
}

/// A personal access token. Its form is GitHub's own business.
fn token_of<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<Secret> {
    let given: Option<Found<PathBuf>> = reader.word(section, "token_file");
    let file = given.or_else(|| reader.credential("github-token"))?;
    let token = read_secret(reader, "token", &file)?;
    let plain = |byte: u8| byte.is_ascii_graphic();
    if !token.expose().bytes().all(plain) {
        let message = format!(
            "`{}` holds no token: there is a space or a line break in it",
            file.value.display()
        );
        let help = "it is one word, such as `github_pat_...` or `ghp_...`".to_owned();
        reader.error(file.origin, message, help);
        return None;
    }
    warn_if_readable(reader, &file);
    Some(token)
}

/// A number, or a client id such as `Iv23li…`; in the file with or without quotes.
fn app_id<'a>(reader: &mut Reader<'a>, entry: &Entry<'a>) -> Option<String> {
    let section = entry.section;
    if reader.origin(section, "app_id").is_none() {
        let help = format!(
            "the number on the App's page: `app_id` in `[github]`{}; without an App a personal access token will do: \
             `token_file`{}",
            reader.or(", or --app-id"),
            reader.or(", or --token-file")
        );
        reader.error(entry.origin.clone(), "the GitHub App's id is missing".to_owned(), help);
        return None;
    }
    reader.number_or_word(section, "app_id").map(|found| found.value)
}

fn private_key<'a>(reader: &mut Reader<'a>, entry: &Entry<'a>) -> Option<Secret> {
    let section = entry.section;
    let given: Option<Found<PathBuf>> = reader.word(section, "private_key");
    let Some(file) = given.or_else(|| reader.credential("private-key")) else {
        if reader.origin(section, "private_key").is_none() {
            let help = format!(
                "the .pem file made on the App's page: `private_key` in `[github]`{}",
                reader.or(", or --private-key")
            );
            let message = "the GitHub App's private key is missing".to_owned();
            reader.error(entry.origin.clone(), message, help);
        }
        return None;
    };
    let text = read_secret(reader, "private key", &file)?;
    if !text.expose().contains("PRIVATE KEY-----") {
        let message = format!("`{}` holds no private key", file.value.display());
        let help = "a PEM file begins with `-----BEGIN RSA PRIVATE KEY-----`";
        reader.error(file.origin, message, help.to_owned());
        return None;
    }
    warn_if_readable(reader, &file);
    Some(text)
}
