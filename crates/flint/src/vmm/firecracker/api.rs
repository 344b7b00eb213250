//! Firecracker's API: HTTP/1.1 over a UNIX socket, one call at a time, each with a deadline.

use crate::sys::socket;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Longer than any answer of Firecracker that we read.
const ANSWER_MAX: usize = 64 * 1024;

/// One microVM's API.
#[derive(Clone, Debug)]
pub struct Api {
    socket: PathBuf,
    deadline: Duration,
}

/// A call that was not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiError {
    /// Nobody listens at the socket.
    #[error("cannot connect to `{socket}`")]
    Connect {
        /// Where.
        socket: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It answered with an error.
    #[error("answered {status}: {fault}")]
    Refused {
        /// The HTTP status: 400, 413 for too much MMDS data, 503 for too many connections.
        status: u16,
        /// Its own words.
        fault: String,
    },
    /// The conversation broke.
    #[error("the connection broke")]
    Broken {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No answer in time.
    #[error("no answer within {} s", deadline.as_secs())]
    Silent {
        /// How long we waited.
        deadline: Duration,
    },
}

impl ApiError {
    /// What the user can do, when the words are known.
    #[must_use]
    pub fn help(&self) -> Option<&'static str> {
        let ApiError::Refused { fault, .. } = self else { return None };
        let known = [
            (
                "/dev/kvm",
                "the jail's file system must not be mounted `nodev`, and `/dev/kvm` must work: see `flint doctor`",
            ),
            (
                "Error creating KVM object",
                "KVM is not usable here: see `flint doctor`, or use `--vmm qemu`",
            ),
            (
                "kernel image",
                "the kernel must be an uncompressed ELF `vmlinux`; `make kernel` builds one",
            ),
            (
                "Open tap device failed",
                "the tap device is missing, busy, or belongs to another user",
            ),
            ("TapOpen", "the tap device is missing, busy, or belongs to another user"),
        ];
        known.into_iter().find(|(words, _)| fault.contains(words)).map(|(_, help)| help)
    }

    /// Whether the socket is simply not there yet.
    fn is_early(&self) -> bool {
        use io::ErrorKind::{ConnectionRefused, NotFound};
        matches!(self, ApiError::Connect { source, .. } if matches!(source.kind(), NotFound | ConnectionRefused))
    }
}

impl Api {
    /// The API at this socket. `deadline` is for each call: the API is one queue, and a snapshot may be before us.
    #[must_use]
    pub fn new(socket: PathBuf, deadline: Duration) -> Self {
        Api { socket, deadline }
    }

    /// Waits until it answers. The socket's file may be there a moment before it listens.
    ///
    /// # Errors
    /// [`ApiError`] when it does not answer within the deadline.
    pub async fn up(&self) -> Result<String, ApiError> {
        let poll = async {
            loop {
                match self.call(Method::GET, "/version", None).await {
                    Err(e) if e.is_early() => tokio::time::sleep(Duration::from_millis(2)).await,
                    answered => return answered,
                }
            }
        };
        tokio::time::timeout(self.deadline, poll)
            .await
            .unwrap_or(Err(ApiError::Silent { deadline: self.deadline }))
    }

    /// `PUT`s a body.
    ///
    /// # Errors
    /// [`ApiError`]; after a refusal the process mostly stays usable.
    pub async fn put<T: Serialize + Sync>(&self, path: &str, body: &T) -> Result<(), ApiError> {
        self.give(Method::PUT, path, body).await
    }

    /// `PATCH`es with a body: what may change while a guest runs.
    ///
    /// # Errors
    /// [`ApiError`]
    pub async fn patch<T: Serialize + Sync>(&self, path: &str, body: &T) -> Result<(), ApiError> {
        self.give(Method::PATCH, path, body).await
    }

    async fn give<T: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: &T,
    ) -> Result<(), ApiError> {
        let body = serde_json::to_vec(body).map_err(|e| ApiError::Broken { source: e.into() })?;
        self.call(method, path, Some(body)).await.map(drop)
    }

    /// `GET`s a text.
    ///
    /// # Errors
    /// [`ApiError`]
    pub async fn get(&self, path: &str) -> Result<String, ApiError> {
        self.call(Method::GET, path, None).await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<String, ApiError> {
        let exchange = self.exchange(method, path, body);
        tokio::time::timeout(self.deadline, exchange)
            .await
            .unwrap_or(Err(ApiError::Silent { deadline: self.deadline }))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<String, ApiError> {
        let stream = socket::connect(&self.socket).await;
        let stream =
            stream.map_err(|source| ApiError::Connect { socket: self.socket.clone(), source })?;
        let broken = |e: hyper::Error| ApiError::Broken { source: e.into() };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // A body of known length: Firecracker takes no chunks, and hyper then sends `Content-Length`.
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("Host", "localhost")
            .header("Accept", "application/json")
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|e| ApiError::Broken { source: e.into() })?;
        let mut answer = std::pin::pin!(async {
            let response = sender.send_request(request).await.map_err(broken)?;
            let status = response.status();
            let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
            let body = body.map_err(|source| ApiError::Broken { source })?.to_bytes();
            Ok((status, String::from_utf8_lossy(&body).into_owned()))
        });
        let (status, text) = tokio::select! {
            answer = &mut answer => answer?,
            // It broke, but the answer may have come before: a body that is too long is refused while it is sent.
            Err(e) = connection => answer.await.map_err(|_: ApiError| broken(e))?,
        };
        judge(status, text)
    }
}

fn judge(status: StatusCode, text: String) -> Result<String, ApiError> {
    if status.is_success() {
        return Ok(text);
    }
    Err(ApiError::Refused { status: status.as_u16(), fault: fault(&text) })
}

/// The words of an error body: `fault_message` of an API error, `error` of a protocol error. The latter may hold raw
/// newlines, which is not JSON; then the body as it is.
fn fault(text: &str) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_str(text).ok();
    let field = |name: &str| parsed.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let words = field("fault_message").or_else(|| field("error"));
    words.unwrap_or_else(|| text.split_whitespace().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixListener;

    /// Answers each connection with the next of these texts, and gives back what was asked.
    async fn serve(listener: UnixListener, answers: Vec<String>) -> Vec<String> {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap();
            asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        asked
    }

    fn api(dir: &tempfile::TempDir) -> (Api, UnixListener) {
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        (Api::new(path, Duration::from_secs(5)), listener)
    }

    #[tokio::test]
    async fn a_call_carries_its_length_and_an_empty_answer_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        let (api, listener) = api(&dir);
        let server =
            serve(listener, vec!["HTTP/1.1 204 \r\nServer: Firecracker API\r\n\r\n".to_owned()]);
        let body = serde_json::json!({"action_type": "InstanceStart"});
        let (asked, put) = tokio::join!(server, api.put("/actions", &body));
        put.unwrap();
        let asked = asked.concat().to_lowercase();
        assert!(asked.starts_with("put /actions http/1.1\r\n"), "{asked}");
        assert!(asked.contains("content-length: 31\r\n") && !asked.contains("chunked"), "{asked}");
    }

    #[tokio::test]
    async fn a_refusal_gives_its_own_words_even_when_they_are_no_json() {
        let dir = tempfile::tempdir().unwrap();
        let (api, listener) = api(&dir);
        let refusal =
            |body: &str| format!("HTTP/1.1 400 \r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let plain = refusal("{\"fault_message\": \"Open tap device failed\"}");
        let broken = refusal("{ \"error\": \"Payload too large.\nMore\" }");
        let server = serve(listener, vec![plain, broken]);
        let calls = async {
            let first = api.put("/a", &1).await.unwrap_err().to_string();
            (first, api.put("/b", &2).await.unwrap_err().to_string())
        };
        let (_, (first, second)) = tokio::join!(server, calls);
        assert!(
            first.contains("answered 400") && first.contains("Open tap device failed"),
            "{first}"
        );
        assert!(second.contains("Payload too large. More"), "{second}");
    }

    #[tokio::test]
    async fn silence_ends_at_the_deadline() {
        let dir = tempfile::tempdir().unwrap();
        let (mut api, _listener) = api(&dir);
        api.deadline = Duration::from_millis(50);
        assert!(matches!(api.get("/").await, Err(ApiError::Silent { .. })));
    }

    #[test]
    fn a_fault_is_found_in_both_kinds_of_error() {
        assert_eq!(fault(r#"{"fault_message": "no kernel"}"#), "no kernel");
        assert_eq!(fault("{ \"error\": \"a\nb\" }"), "{ \"error\": \"a b\" }");
    }
}
