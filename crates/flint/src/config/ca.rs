//! The authorities of a GitHub that public ones do not know: a file of certificates, checked before anybody trusts it.

use super::reader::{Found, Reader, Section};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A chain has some KB. All of it goes to each guest, in one line with its work.
const FILE_MAX: u64 = 32 << 10;

/// As in every PEM file.
const WIDTH: usize = 64;

/// Certificates of authorities.
#[derive(Debug)]
pub(crate) struct Authorities {
    /// All of them as PEM, and nothing else.
    pub(crate) pem: String,
    /// What is not fatal: some are out of date.
    pub(crate) warnings: Vec<String>,
}

/// Why a file is of no use, and what helps.
#[derive(Debug)]
pub(crate) struct Refused {
    /// What is wrong with it.
    pub(crate) problem: String,
    /// What to do.
    pub(crate) help: &'static str,
}

/// The certificates of `ca_certificate`; `None` if there are none, or none that can be used.
pub(super) fn read<'a>(reader: &mut Reader<'a>, section: Section<'a>) -> Option<String> {
    let file: Found<PathBuf> = reader.word(section, "ca_certificate")?;
    let path = file.value.display();
    match read_file(&file.value) {
        Ok(Authorities { pem, warnings }) => {
            for warning in warnings {
                let help = "get the authority's new certificate: guests refuse this one".to_owned();
                reader.warn(file.origin.clone(), format!("`{path}`: {warning}"), help);
            }
            Some(pem)
        }
        Err(Refused { problem, help }) => {
            let message = format!("cannot use the CA certificate `{path}`: {problem}");
            reader.error(file.origin, message, help.to_owned());
            None
        }
    }
}

/// Reads a file and checks each certificate in it.
pub(crate) fn read_file(path: &Path) -> Result<Authorities, Refused> {
    let mut bytes = Vec::new();
    let opened = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes));
    opened.map_err(|error| Refused { problem: error.to_string(), help: unread(error.kind()) })?;
    let now = jiff::Timestamp::now().strftime("%Y%m%d%H%M%SZ").to_string();
    check(&bytes, &now)
}

fn unread(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::NotFound => "is the path right? It is taken from Flint's working directory",
        io::ErrorKind::PermissionDenied => "Flint's user must be able to read it",
        _ => "it must be a file of text",
    }
}

/// `now` as a certificate would say it: `20261123120000Z`.
fn check(bytes: &[u8], now: &str) -> Result<Authorities, Refused> {
    let refused = |problem: &str, help| Refused { problem: problem.to_owned(), help };
    if bytes.len() as u64 > FILE_MAX {
        let help = "each guest gets all of it: leave only this GitHub's authority in it, not the system's list";
        return Err(refused("it is longer than 32 KiB", help));
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        let help = "make PEM of it: openssl x509 -inform der -in FILE -out FILE.pem";
        return Err(refused("it is no text; a certificate in DER form, perhaps", help));
    };
    if text.contains("PRIVATE KEY-----") {
        let help = "give only the authority's certificate: each guest gets this file, and a key in it would be no secret";
        return Err(refused("there is a private key in it", help));
    }
    if text.trim().is_empty() {
        return Err(refused("it is empty", WANTED));
    }
    let mut found = Authorities { pem: String::new(), warnings: Vec::new() };
    for (der, number) in CertificateDer::pem_slice_iter(bytes).zip(1_u32..) {
        let der = der.map_err(|_| refused("its PEM is damaged", WANTED))?;
        let usable = RootCertStore::empty().add(der.clone());
        usable.map_err(|_| refused(&format!("its certificate {number} is damaged"), WANTED))?;
        found
            .warnings
            .extend(out_of_date(&der, now).map(|when| format!("certificate {number} {when}")));
        found.pem.push_str(&pem(&der));
    }
    if found.pem.is_empty() {
        return Err(refused("there is no certificate in it", WANTED));
    }
    Ok(found)
}

const WANTED: &str = "it must hold the authority's certificate, whole: from `-----BEGIN CERTIFICATE-----` to the end of \
                      the `-----END CERTIFICATE-----` line";

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines = text.as_bytes().chunks(WIDTH).map(|line| String::from_utf8_lossy(line) + "\n");
    format!("-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n", lines.collect::<String>())
}

/// Flint's own TLS does not look at an authority's dates; most programs in a guest do.
fn out_of_date(der: &[u8], now: &str) -> Option<String> {
    let [from, to] = validity(der)?;
    let day = |time: &str| format!("{}-{}-{}", &time[..4], &time[4..6], &time[6..8]);
    match () {
        () if to.as_str() < now => Some(format!("has expired on {}", day(&to))),
        () if from.as_str() > now => Some(format!("is not valid before {}", day(&from))),
        () => None,
    }
}

/// Its first and last moment. RFC 5280: version, serial number, algorithm and issuer come before.
fn validity(der: &[u8]) -> Option<[String; 2]> {
    const VERSION: u8 = 0xa0;
    let (_, certificate, _) = value(der)?;
    let (_, mut rest, _) = value(certificate)?;
    if rest.first() == Some(&VERSION) {
        rest = value(rest)?.2;
    }
    for _ in ["serial number", "algorithm", "issuer"] {
        rest = value(rest)?.2;
    }
    let (_, validity, _) = value(rest)?;
    let (kind, from, after) = value(validity)?;
    let (other, to, _) = value(after)?;
    Some([time(kind, from)?, time(other, to)?])
}

/// A time with four digits of its year, so that texts compare as times do.
fn time(kind: u8, text: &[u8]) -> Option<String> {
    const UTC: u8 = 0x17;
    let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii())?;
    let whole = match kind {
        UTC if text < "50" => format!("20{text}"),
        UTC => format!("19{text}"),
        _ => text.to_owned(),
    };
    (whole.len() == "20261123120000Z".len()).then_some(whole)
}

/// One value in DER: its tag, what is in it, and what follows it.
fn value(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        ..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| (length << 8) | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// The certificate of a made-up authority, good for this many days.
    fn authority(days: &str) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let [key, certificate] = ["key.pem", "ca.pem"].map(|name| folder.path().join(name));
        let mut openssl = Command::new("openssl");
        openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]);
        openssl.args(["-nodes", "-days", days, "-subj", "/CN=made up"]);
        let made = openssl.arg("-out").arg(&certificate).arg("-keyout").arg(&key).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        (std::fs::read_to_string(certificate).unwrap(), std::fs::read_to_string(key).unwrap())
    }

    fn problem(bytes: &[u8]) -> String {
        let Refused { problem, help } = check(bytes, "20261123120000Z").unwrap_err();
        assert!(help.len() > 20, "{help}");
        problem
    }

    #[test]
    fn only_certificates_are_taken_whatever_stands_around_them() {
        let ((one, _), (two, _)) = (authority("2"), authority("2"));
        let text = format!("Subject: made up\n{one}\n# the old one\r\n{two}");
        let found = check(text.as_bytes(), "20261123120000Z").unwrap();
        assert_eq!(found.pem, format!("{one}{two}"));
    }

    #[test]
    fn each_file_that_is_of_no_use_says_why() {
        let (certificate, key) = authority("2");
        let der = STANDARD
            .decode(certificate.lines().filter(|l| !l.starts_with('-')).collect::<String>());
        let cut = certificate.replace("-----END CERTIFICATE-----", "");
        let wrong = certificate.replacen("MII", "AAA", 1);
        let told = [
            problem(b""),
            problem(b" \n"),
            problem(b"localhost\n"),
            problem(&der.unwrap()),
            problem(format!("{certificate}{key}").as_bytes()),
            problem(cut.as_bytes()),
            problem(wrong.as_bytes()),
            problem(certificate.replace("TIFICATE-----\nM", "TIFICATE-----\n%").as_bytes()),
            problem(certificate.replace("CERTIFICATE", "TRUSTED CERTIFICATE").as_bytes()),
            problem(certificate.repeat(60).as_bytes()),
        ];
        insta::assert_snapshot!(told.join("\n"), @r"
        it is empty
        it is empty
        there is no certificate in it
        it is no text; a certificate in DER form, perhaps
        there is a private key in it
        its PEM is damaged
        its certificate 1 is damaged
        its PEM is damaged
        there is no certificate in it
        it is longer than 32 KiB
        ");
        assert!(!told.join("").contains(key.lines().nth(1).unwrap()));
    }

    #[test]
    fn one_that_is_out_of_date_is_told() {
        let (certificate, _) = authority("2");
        let told = |now| check(certificate.as_bytes(), now).unwrap().warnings.join("; ");
        let today = jiff::Timestamp::now().strftime("%Y-%m-%d").to_string();
        let now = jiff::Timestamp::now().strftime("%Y%m%d%H%M%SZ").to_string();
        assert_eq!(told(&now), "");
        assert!(told("20990101000000Z").starts_with("certificate 1 has expired on 20"));
        let early = told("19700101000000Z");
        assert!(early.starts_with("certificate 1 is not valid before 20"), "{early} {today}");
        let (long, _) = authority("12000");
        let found = check(long.as_bytes(), "20990101000000Z").unwrap();
        assert!(
            found.warnings[0].contains("has expired on 205"),
            "a date with four digits: {found:?}"
        );
    }
}
