//! Fuzzing of what a client sends on a connection.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use super::server::respond::bare;
use super::server::{Body, ConnState, ServerContext, Service, discard, request_head, serve};

/// A client that has sent everything gets its answers at once.
const SLOW: Duration = Duration::from_secs(10);

thread_local! {
    static RUNTIME: RefCell<Runtime> =
        RefCell::new(Builder::new_current_thread().enable_all().build().expect("a runtime"));
}

#[derive(Debug)]
struct Reads(Arc<ServerContext>);

impl Service for Reads {
    fn context(&self) -> &Arc<ServerContext> {
        &self.0
    }

    async fn handle(_: &Arc<ConnState<Self>>, head: Parts, body: Incoming) -> Response<Body> {
        let host = request_head::authority(&head);
        assert!(request_head::host_name(host).len() <= host.len());
        discard(body).await;
        let refused = request_head::malformed(&head).is_some();
        bare(if refused { StatusCode::BAD_REQUEST } else { StatusCode::OK }, Body::Full(Bytes::new()))
    }
}

/// Sends the bytes on a connection: every answer is one of HTTP, and the connection ends.
pub(crate) fn request(data: &[u8]) {
    let answers = RUNTIME.with_borrow(|runtime| {
        runtime.block_on(async {
            let (mut near, far) = tokio::io::duplex(1 << 20);
            let service = Arc::new(Reads(Arc::new(ServerContext::new(4))));
            let client = async {
                near.write_all(data).await.ok();
                near.shutdown().await.ok();
                let mut answers = Vec::new();
                near.read_to_end(&mut answers).await.ok();
                answers
            };
            let both =
                async { tokio::join!(client, serve(far, ConnState::new(service, false, Arc::default()))).0 };
            timeout(SLOW, both).await.expect("the connection of a client that has gone ends")
        })
    });
    assert!(answers.is_empty() || answers.starts_with(b"HTTP/1."));
    assert!(answers.len() <= 512 * (data.len() + 1), "{} bytes for {}", answers.len(), data.len());
}
