//! `/retune/snapshot`: a backup of the store, for `retune store backup`.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::SizeHint;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use tokio::task::{JoinHandle, spawn_blocking};

use super::auth;
use super::respond::{self, ApiResponse};
use super::shared::ConnState;
use crate::consensus::{Backup, NoBackup};
use crate::http::server::{Body, BodyStream, Broken, ConnPhase};

/// Returns a file of everything in the store, not older than the request.
pub(super) async fn response(conn: &Arc<ConnState>, head: &Parts) -> ApiResponse {
    // A backup contains everything, so only root may have it.
    if let Err(refused) = auth::to_root(conn, &head.headers).await {
        return refused.response();
    }
    let hindered = |says: &str| respond::message(StatusCode::SERVICE_UNAVAILABLE, says.as_bytes());
    match conn.shared.handle.backup().await {
        Ok(backup) => {
            let (index, length) = (backup.index(), backup.length());
            let body = BackupBody { reading: Reading::Idle(backup), left: length, conn: Arc::clone(conn) };
            let mut response = respond::bare(StatusCode::OK, Body::Stream(Box::new(body)));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            headers.insert(respond::ETCD_INDEX, HeaderValue::from(index));
            headers.insert(respond::CLUSTER_ID, conn.shared.cluster_id.clone());
            response
        }
        Err(NoBackup::Hindered(says)) => hindered(&says),
        Err(NoBackup::Refused(_)) => hindered(
            "the group does not respond, so this member may not know the newest writes; a stopped member's folder can \
             be backed up with --data-dir",
        ),
    }
}

/// A backup being sent. Its file is read outside the serving thread.
#[derive(Debug)]
struct BackupBody {
    reading: Reading,
    left: u64,
    conn: Arc<ConnState>,
}

#[derive(Debug)]
enum Reading {
    Idle(Backup),
    Under(JoinHandle<(Backup, io::Result<Vec<u8>>)>),
    Over,
}

impl BodyStream for BackupBody {
    /// If the response ends too early, the connection is closed, so that the client notices.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Broken>>> {
        loop {
            match std::mem::replace(&mut self.reading, Reading::Over) {
                Reading::Over => return Poll::Ready(None),
                Reading::Idle(_) if self.left == 0 => return Poll::Ready(None),
                Reading::Idle(mut backup) => {
                    self.reading = Reading::Under(spawn_blocking(move || {
                        let piece = backup.next_piece();
                        (backup, piece)
                    }));
                }
                Reading::Under(mut task) => match Pin::new(&mut task).poll(cx) {
                    Poll::Pending => {
                        self.reading = Reading::Under(task);
                        return Poll::Pending;
                    }
                    Poll::Ready(Ok((backup, Ok(piece)))) if !piece.is_empty() => {
                        self.left -= piece.len() as u64;
                        self.reading = Reading::Idle(backup);
                        return Poll::Ready(Some(Ok(Bytes::from(piece))));
                    }
                    Poll::Ready(ended) => {
                        if let Ok((_, Err(error))) = ended {
                            tracing::warn!("a backup could not be read while it was sent: {error}");
                        }
                        return Poll::Ready(None);
                    }
                },
            }
        }
    }

    fn ended(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

impl Drop for BackupBody {
    fn drop(&mut self) {
        self.conn.enter(ConnPhase::Rest);
    }
}
