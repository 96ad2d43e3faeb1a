//! The body of a response.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, io};

use bytes::Bytes;
use futures_util::Stream;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Body {
    /// Complete; its length is in the head.
    Full(Bytes),
    /// Piece by piece, as each becomes available.
    Stream(Box<dyn BodyStream>),
}

/// A body whose pieces become available one after another.
pub(crate) trait BodyStream: fmt::Debug + Send {
    /// Returns the next piece; `None` after the last.
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyAborted>>>;

    /// Returns whether it is known that no piece follows.
    fn ended(&self) -> bool;

    /// Returns how many bytes follow, as far as that is known.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Body {
    /// Makes a body of `length` bytes. If the pieces fail or end earlier, the connection closes.
    pub(crate) fn sized_stream(
        length: u64,
        chunks: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Self {
        Self::Stream(Box::new(SizedStream { left: length, stream: Box::pin(chunks) }))
    }
}

/// A body of known length.
struct SizedStream {
    left: u64,
    stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
}

impl BodyStream for SizedStream {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyAborted>>> {
        let chunk = ready!(self.stream.as_mut().poll_next(cx));
        let chunk = chunk.map(|chunk| chunk.map_err(|_| BodyAborted));
        if let Some(Ok(bytes)) = &chunk {
            self.left = self.left.saturating_sub(bytes.len() as u64);
        }
        Poll::Ready(chunk)
    }

    fn ended(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl fmt::Debug for SizedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SizedStream").field("left", &self.left).finish_non_exhaustive()
    }
}

/// The rest of a response is unavailable; the connection closes, so that the client does not mistake the part for
/// the whole.
#[derive(Debug)]
pub(crate) struct BodyAborted;

impl fmt::Display for BodyAborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response broke off")
    }
}

impl std::error::Error for BodyAborted {}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyAborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyAborted>>> {
        match &mut *self {
            Self::Full(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(stream) => {
                stream.poll_chunk(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}
