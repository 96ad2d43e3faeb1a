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
    Whole(Bytes),
    /// Piece by piece, as each becomes available.
    Stream(Box<dyn BodyStream>),
}

/// A body whose pieces become available one after another.
pub(crate) trait BodyStream: fmt::Debug + Send {
    /// Returns the next piece; `None` after the last.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>>;

    /// Returns whether it is known that no piece follows.
    fn ended(&self) -> bool;

    /// Returns how many bytes follow, as far as that is known.
    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Body {
    /// Makes a body of `length` bytes. If the pieces fail or end earlier, the connection closes.
    pub(crate) fn pieces(
        length: u64,
        pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    ) -> Self {
        Self::Stream(Box::new(Pieces { left: length, stream: Box::pin(pieces) }))
    }
}

/// A body of known length.
struct Pieces {
    left: u64,
    stream: Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>,
}

impl BodyStream for Pieces {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        let piece = ready!(self.stream.as_mut().poll_next(cx));
        let piece = piece.map(|piece| piece.map_err(|_| Broken));
        if let Some(Ok(bytes)) = &piece {
            self.left = self.left.saturating_sub(bytes.len() as u64);
        }
        Poll::Ready(piece)
    }

    fn ended(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl fmt::Debug for Pieces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pieces").field("left", &self.left).finish_non_exhaustive()
    }
}

/// The rest of a response is unavailable; the connection closes, so that the client does not mistake the part for
/// the whole.
#[derive(Debug)]
pub(crate) struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the response broke off")
    }
}

impl std::error::Error for Broken {}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Self::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Self::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::Stream(stream) => {
                stream.poll_piece(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Stream(stream) => stream.ended(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Stream(stream) => stream.size_hint(),
        }
    }
}
