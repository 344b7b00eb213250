//! A connection that breaks in the middle of an answer.

use hyper::body::{Bytes, Frame};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A body that breaks after its first bytes.
pub(super) struct Broken;

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::ConnectionReset, "cut on purpose"))))
    }
}
