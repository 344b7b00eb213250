//! A connection that breaks in the middle of an answer.

use hyper::body::{Bytes, Frame};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

/// A body of which only the beginning comes.
pub(super) struct Broken(Option<Bytes>);

impl Broken {
    /// The first half of this one.
    pub(super) fn half_of(whole: &Bytes) -> Self {
        Broken(Some(whole.slice(..whole.len() / 2)).filter(|half| !half.is_empty()))
    }
}

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let cut = || io::Error::new(io::ErrorKind::ConnectionReset, "cut on purpose");
        Poll::Ready(Some(self.0.take().map(Frame::data).ok_or_else(cut)))
    }
}
