//! The daemon's API, asked: HTTP/1 over its UNIX socket.

use super::error::Error;
use crate::api::Refusal;
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::io;
use std::path::PathBuf;
use tokio::net::UnixStream;

/// Far above a full host's list of jobs; a peer on the socket that is no daemon must not fill our memory.
const ANSWER_MAX: usize = 64 * 1024 * 1024;

/// The way to one daemon. Each call has a connection of its own: they are local and few.
#[derive(Clone, Debug)]
pub struct Client {
    socket: PathBuf,
}

impl Client {
    /// For the daemon at this socket, which need not be there yet.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Client { socket }
    }

    /// Asks, and reads the answer's JSON.
    ///
    /// # Errors
    /// [`Error`]: nobody there, a broken connection, a refusal, or an answer that is not `T`.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.json(Method::GET, path).await
    }

    /// Orders, and reads the answer's JSON.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.json(Method::POST, path).await
    }

    /// Asks for a stream of text, and gives each piece to `take` as it comes, until the daemon ends it.
    ///
    /// # Errors
    /// As [`Client::get`], and what `take` answers.
    pub async fn stream(
        &self,
        path: &str,
        mut take: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Error> {
        let mut answer = self.call(Method::GET, path).await?.into_body();
        while let Some(frame) = answer.frame().await {
            let broken = |source| Error::Call { call: format!("GET {path}"), source };
            if let Some(piece) = frame.map_err(broken)?.data_ref() {
                take(piece).map_err(|source| Error::Output { source })?;
            }
        }
        Ok(())
    }

    async fn json<T: DeserializeOwned>(&self, method: Method, path: &str) -> Result<T, Error> {
        let call = format!("{method} {path}");
        let answer = self.call(method, path).await?;
        let body = whole(&call, answer.into_body()).await?;
        serde_json::from_slice(&body).map_err(|source| Error::Answer { call, source })
    }

    /// An answer whose status is 2xx.
    async fn call(&self, method: Method, path: &str) -> Result<Response<Incoming>, Error> {
        let call = format!("{method} {path}");
        let stream = UnixStream::connect(&self.socket)
            .await
            .map_err(|source| Error::Socket { path: self.socket.clone(), source })?;
        let broken = |source| Error::Call { call: call.clone(), source };
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // Ends with the answer or the connection; what breaks it is seen by the one who waits for the answer.
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "flint")
            .body(Empty::<Bytes>::new())
            .expect("our own paths are valid");
        let answer = sender.send_request(request).await.map_err(broken)?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let body = whole(&call, answer.into_body()).await?;
        Err(refusal(&call, status.as_u16(), &body))
    }
}

async fn whole(call: &str, body: Incoming) -> Result<Bytes, Error> {
    let collected = Limited::new(body, ANSWER_MAX).collect().await;
    collected.map(http_body_util::Collected::to_bytes).map_err(|error| {
        match error.downcast::<hyper::Error>() {
            Ok(source) => Error::Call { call: call.to_owned(), source: *source },
            Err(other) => {
                debug_assert!(other.is::<LengthLimitError>(), "a limited body fails in two ways");
                Error::TooLong { call: call.to_owned(), limit: ANSWER_MAX }
            }
        }
    })
}

fn refusal(call: &str, status: u16, body: &[u8]) -> Error {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(Refusal { error, help }) => Error::Refused { error, help },
        Err(_) => {
            let error = format!("the daemon answered {status} to `{call}`");
            Error::Refused { error, help: None }
        }
    }
}
