//! `/retune/snapshot`: a backup of the store, for `retune store backup`.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use tokio::task::spawn_blocking;

use super::auth;
use super::respond::{self, ApiResponse};
use super::shared::ConnState;
use crate::consensus::{Backup, BackupError};
use crate::http::server::{Body, ConnPhase};

/// Returns a file of everything in the store, not older than the request.
pub(super) async fn handle(conn: &Arc<ConnState>, head: &Parts) -> ApiResponse {
    // A backup contains everything, so only root may have it.
    if let Err(refused) = auth::authorize_root(conn, &head.headers).await {
        return refused.to_response();
    }
    let hindered = |says: &str| respond::message(StatusCode::SERVICE_UNAVAILABLE, says.as_bytes());
    match conn.shared.handle.backup().await {
        Ok(backup) => {
            let (index, length) = (backup.index(), backup.length());
            let state = (backup, SendingGuard(Arc::clone(conn)));
            let chunks = stream::try_unfold(state, |(backup, guard)| async {
                let (backup, chunk) = next_chunk(backup).await?;
                Ok((!chunk.is_empty()).then(|| (Bytes::from(chunk), (backup, guard))))
            });
            let mut response = respond::bare(StatusCode::OK, Body::sized_stream(length, chunks));
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
            headers.insert(respond::ETCD_INDEX, HeaderValue::from(index));
            headers.insert(respond::CLUSTER_ID, conn.shared.cluster_id.clone());
            response
        }
        Err(BackupError::Unavailable(says)) => hindered(&says),
        Err(BackupError::NoQuorum(_)) => hindered(
            "the group does not respond, so this member may not know the newest writes; a stopped member's folder can \
             be backed up with --data-dir",
        ),
    }
}

/// Reads the next bytes, outside the serving thread.
async fn next_chunk(mut backup: Backup) -> io::Result<(Backup, Vec<u8>)> {
    let read = spawn_blocking(move || backup.next_chunk().map(|chunk| (backup, chunk)));
    read.await
        .map_err(io::Error::other)
        .flatten()
        .inspect_err(|error| tracing::warn!("a backup could not be read while it was sent: {error}"))
}

/// Marks the connection as idle when the response ends.
struct SendingGuard(Arc<ConnState>);

impl Drop for SendingGuard {
    fn drop(&mut self) {
        self.0.enter(ConnPhase::Idle);
    }
}
