//! Where webhooks arrive, and the process that takes them.

use super::reader::{Found, Reader, Section};
use super::secrets::warn_if_readable;
use super::{HostOptions, ServerOptions, TlsOptions, defaults, values};
use std::path::PathBuf;

/// The highest user id; the one above it means "nobody at all" to the kernel.
const UID_MAX: u64 = u32::MAX as u64 - 1;

/// Reads `[server]`. The microVMs' users are of `host`.
pub(super) fn read<'a>(
    reader: &mut Reader<'a>,
    section: Section<'a>,
    host: &HostOptions,
) -> ServerOptions {
    let default = || values::listen(defaults::LISTEN).expect("the default address is one");
    let listen = reader.text(section, "listen", values::listen);
    let tls = tls(reader, section);
    let uid = uid(reader, section, host);
    let confine = reader.switch(section, "confine").is_none_or(|found| found.value);
    ServerOptions { listen: listen.map_or_else(default, |found| found.value), tls, uid, confine }
}

fn tls<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<TlsOptions> {
    let mut file = |name: &str, credential: &str| -> Option<Found<PathBuf>> {
        reader.word(section, name).or_else(|| reader.credential(credential))
    };
    let certificate = file("tls_certificate", "tls-certificate");
    let key = file("tls_key", "tls-key");
    match (certificate, key) {
        (Some(certificate), Some(key)) => {
            for file in [&certificate, &key] {
                if let Err(error) = std::fs::File::open(&file.value) {
                    let message = format!("cannot read `{}`: {error}", file.value.display());
                    let help =
                        "a PEM file; is the path right? It is taken from Flint's working directory";
                    reader.error(file.origin.clone(), message, help.to_owned());
                }
            }
            warn_if_readable(reader, &key);
            Some(TlsOptions { certificate: certificate.value, key: key.value })
        }
        (None, None) => None,
        (Some(one), None) => alone(reader, one, "tls_certificate", "tls_key"),
        (None, Some(one)) => alone(reader, one, "tls_key", "tls_certificate"),
    }
}

fn alone(
    reader: &mut Reader<'_>,
    one: Found<PathBuf>,
    given: &str,
    missing: &str,
) -> Option<TlsOptions> {
    let message = format!("`server.{given}` is given without `server.{missing}`");
    let help = "TLS needs both; without both the port is plain HTTP, for a proxy in front of it";
    reader.error(one.origin, message, help.to_owned());
    None
}

fn uid<'a>(reader: &mut Reader<'a>, section: Section<'a>, host: &HostOptions) -> u32 {
    let Some(found) = reader.number::<u32>(section, "uid", 1..=UID_MAX) else {
        return defaults::SERVER_UID;
    };
    let after = host.uid_base.saturating_add(u32::from(host.slots));
    // Slots count from 0 or from 1: neither end is anybody else's.
    if (host.uid_base..=after).contains(&found.value) {
        let message = format!("`server.uid` {} is also a microVM's", found.value);
        let help = format!(
            "name one outside of {} to {after}, which `host.uid_base` gives them",
            host.uid_base
        );
        reader.error(found.origin, message, help);
    }
    found.value
}
