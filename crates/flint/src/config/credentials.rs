//! Who Flint is at GitHub: an App with its key, or a person with a token.

use super::Credentials;
use super::github::{read_secret, warn_if_readable};
use super::reader::{Found, Reader, Section};
use super::report::Origin;
use flint_wire::Secret;
use std::path::PathBuf;

/// The App, unless a token is given in its place. Of two sources the one that comes first wins, as with any other key.
pub(super) fn read<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<Credentials> {
    let rank = |origin: Option<Origin>| origin.map(|origin| origin.rank());
    let token = reader.origin(section, "token_file");
    let app = ["app_id", "private_key"].into_iter().filter_map(|key| reader.origin(section, key));
    let app = app.min_by_key(Origin::rank);
    let by_token =
        token.is_some() || (app.is_none() && reader.credential("github-token").is_some());
    match (rank(token.clone()), rank(app)) {
        (Some(token_rank), Some(app_rank)) if token_rank == app_rank => {
            let message = "both an App and a token are given".to_owned();
            let help = "keep the App: it has rights of its own, and does not leave with a person";
            reader.error(token.unwrap_or(Origin::Nowhere), message, help.to_owned());
            None
        }
        (Some(token_rank), Some(app_rank)) if app_rank < token_rank => app_of(reader, section),
        _ if by_token => token_of(reader, section).map(Credentials::Token),
        _ => app_of(reader, section),
    }
}

fn app_of<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<Credentials> {
    let (id, private_key) = (app_id(reader, section), private_key(reader, section));
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
fn app_id<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<String> {
    if reader.origin(section, "app_id").is_none() {
        let help = "the number on the App's page: `app_id` in `[github]`, or --app-id; without an App a personal \
                    access token will do: `token_file`, or --token-file";
        reader.error(Origin::Nowhere, "the GitHub App's id is missing".to_owned(), help.to_owned());
        return None;
    }
    reader.number_or_word(section, "app_id").map(|found| found.value)
}

fn private_key<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<Secret> {
    let given: Option<Found<PathBuf>> = reader.word(section, "private_key");
    let Some(file) = given.or_else(|| reader.credential("private-key")) else {
        if reader.origin(section, "private_key").is_none() {
            let help = "the .pem file made on the App's page: `private_key` in `[github]`, or --private-key";
            let message = "the GitHub App's private key is missing".to_owned();
            reader.error(Origin::Nowhere, message, help.to_owned());
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
