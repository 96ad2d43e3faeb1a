//! One request over a connection of its own.

use std::io;
use std::pin::{Pin, pin};

use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// Sends a request over `stream` and passes the response to `take`. The error is why there is no response.
pub(crate) async fn exchange<S, B, T, F>(
    stream: S,
    max_head_bytes: usize,
    request: Request<B>,
    take: impl FnOnce(Response<Incoming>) -> F,
) -> hyper::Result<T>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    F: Future<Output = T>,
{
    converse(stream, max_head_bytes, |mut sender| async move {
        Ok(take(sender.send_request(request).await?).await)
    })
    .await?
}

/// Runs `work`, which sends requests over `stream`, one after the other.
pub(crate) async fn converse<S, B, T, F>(
    stream: S,
    max_head_bytes: usize,
    work: impl FnOnce(SendRequest<B>) -> F,
) -> hyper::Result<T>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    F: Future<Output = T>,
{
    let (sender, connection) = http1::Builder::new()
        .title_case_headers(true)
        .max_buf_size(max_head_bytes)
        .handshake(TokioIo::new(stream))
        .await?;
    // Its type is hidden: the compiler cannot prove the future of a boxed stream's connection to be `Send`.
    let connection: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>> =
        Box::pin(connection.with_upgrades());
    Ok(drive(work(sender), connection).await)
}

/// Runs `work` to its end, while also polling the connection that it uses.
pub(crate) async fn drive<T>(
    work: impl Future<Output = T>,
    mut connection: Pin<Box<impl Future + ?Sized>>,
) -> T {
    let mut work = pin!(work);
    tokio::select! {
        biased;
        outcome = &mut work => return outcome,
        _ = &mut connection => {}
    }
    // Dropping it fails the requests that still wait on it.
    drop(connection);
    work.await
}

/// Reads a body of at most `most` bytes.
pub(crate) async fn read_body(response: Response<Incoming>, most: usize) -> io::Result<Bytes> {
    let body = Limited::new(response.into_body(), most).collect().await;
    let body = body.map_err(|error| match error.downcast::<LengthLimitError>() {
        Ok(_) => io::Error::other(format!("its body is longer than {most} bytes")),
        Err(error) => io::Error::other(error),
    });
    Ok(body?.to_bytes())
}

/// Reads a body to its end or until `most` bytes have arrived.
pub(crate) async fn read_prefix(mut body: Incoming, most: usize) -> hyper::Result<Vec<u8>> {
    let mut read = Vec::new();
    while read.len() < most
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame?.into_data() {
            read.extend_from_slice(&data);
        }
    }
    Ok(read)
}
