//! One HTTP/1.1 request over plain TCP. Small on purpose: it goes into a guest image.

use super::Error;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// The server holds a poll for up to 50 s.
const READ_TIMEOUT: Duration = Duration::from_secs(75);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A job message of a large workflow is some 100 kB.
const LONGEST: u64 = 16 * 1024 * 1024;

/// What to send.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) token: Option<&'a str>,
    pub(super) kind: &'a str,
    pub(super) body: &'a [u8],
}

/// What came back.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Sends it on a connection of its own.
pub(super) fn send(request: &Request<'_>) -> Result<Response, Error> {
    let bad = || Error::Url { url: request.url.to_owned() };
    let rest = request.url.strip_prefix("http://").ok_or_else(bad)?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let address =
        if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let network = |source| Error::Network { url: format!("http://{authority}"), source };
    let mut head = format!(
        "{} {path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\nUser-Agent: flint-fake-runner/{}\r\n\
         Content-Type: {}\r\nContent-Length: {}\r\n",
        request.method,
        super::VERSION,
        request.kind,
        request.body.len(),
    );
    if let Some(token) = request.token {
        head.push_str(&format!("Authorization: Bearer {token}\r\n"));
    }
    head.push_str("\r\n");
    let talk = || -> io::Result<Vec<u8>> {
        let mut stream = connect(&address)?;
        stream.write_all(head.as_bytes())?;
        stream.write_all(request.body)?;
        let mut answer = Vec::new();
        stream.take(LONGEST).read_to_end(&mut answer)?;
        Ok(answer)
    };
    talk().and_then(|answer| parse(&answer)).map_err(network)
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => {
                stream.set_read_timeout(Some(READ_TIMEOUT))?;
                stream.set_write_timeout(Some(READ_TIMEOUT))?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn parse(answer: &[u8]) -> io::Result<Response> {
    let broken = |what: &'static str| io::Error::new(io::ErrorKind::InvalidData, what);
    let end = answer
        .windows(4)
        .position(|w| w == b"\r\n\r\n")
        .ok_or_else(|| broken("the answer was cut off"))?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let body = &answer[end + 4..];
    let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok());
    let status = status.ok_or_else(|| broken("the answer is not HTTP"))?;
    let header = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.trim())
    };
    if status == 204 {
        return Ok(Response { status, body: Vec::new() });
    }
    if header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        return Ok(Response {
            status,
            body: unchunk(body).ok_or_else(|| broken("a chunk is broken"))?,
        });
    }
    let length =
        header("content-length").and_then(|v| v.parse::<usize>().ok()).unwrap_or(body.len());
    let body = body.get(..length).ok_or_else(|| broken("the body was cut off"))?;
    Ok(Response { status, body: body.to_vec() })
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        let (start, stop) = (end + 2, end.checked_add(2)?.checked_add(size)?);
        body.extend_from_slice(rest.get(start..stop)?);
        rest = rest.get(stop + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_and_counted_bodies_read_alike() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        let counted = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde";
        for answer in [chunked.as_slice(), counted.as_slice()] {
            let read = parse(answer).expect("it is well formed");
            assert_eq!((read.status, read.body.as_slice()), (200, b"abcde".as_slice()));
        }
    }

    #[test]
    fn an_answer_that_was_cut_is_an_error() {
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab").is_err());
        assert!(parse(b"HTTP/1.1 200").is_err());
    }
}
