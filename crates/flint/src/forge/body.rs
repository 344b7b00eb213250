//! The bodies of GitHub's answers: bounded, and overwritten when they are done with, for they may hold tokens.

use super::Error;
use super::proxy::Proxy;
use reqwest::Response;
use reqwest::header::CONTENT_LENGTH;
use zeroize::Zeroizing;

/// A page of 100 runners is about 100 kB.
const LONGEST: usize = 8 * 1024 * 1024;

/// Room for an answer that does not say how long it is.
const FIRST_ROOM: usize = 16 << 10;

/// Reads an answer's body; no more of it than any honest one has.
pub(super) async fn read(mut response: Response, call: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let too_long =
        || Error::Garbage { call: call.to_owned(), problem: "it is longer than 8 MiB".to_owned() };
    let told =
        response.headers().get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if told.is_some_and(|length| length > LONGEST) {
        return Err(too_long());
    }
    let mut body = Zeroizing::new(Vec::with_capacity(told.unwrap_or(FIRST_ROOM)));
    let proxy = Proxy::of(response.url());
    let broken = |source: reqwest::Error| Error::NoAnswer {
        call: call.to_owned(),
        proxy: proxy.clone(),
        source: source.without_url(),
    };
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > LONGEST {
            return Err(too_long());
        }
        append(&mut body, &chunk);
    }
    Ok(body)
}

/// A vector that grows leaves what it held where it was: this one is overwritten first.
fn append(body: &mut Zeroizing<Vec<u8>>, chunk: &[u8]) {
    if body.capacity() - body.len() < chunk.len() {
        let mut larger = Vec::with_capacity((body.len() + chunk.len()) * 2);
        larger.extend_from_slice(body);
        *body = Zeroizing::new(larger);
    }
    body.extend_from_slice(chunk);
}

#[cfg(test)]
mod tests {
    use super::append;
    use zeroize::Zeroizing;

    #[test]
    fn a_body_that_grows_keeps_all_of_it() {
        let mut body = Zeroizing::new(Vec::with_capacity(4));
        for chunk in [&b"abc"[..], b"defgh", b"", b"i"] {
            append(&mut body, chunk);
        }
        assert_eq!(body.as_slice(), b"abcdefghi");
    }
}
