//! `/health`: whether this member can serve reads that are not stale.

use std::time::Duration;

use bytes::Bytes;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};
use tokio::time::timeout;

use super::counters::add;
use super::respond::{self, ApiResponse};
use super::shared::ConnState;

/// The timeout of the group's confirmation.
const READ_INDEX_TIMEOUT: Duration = Duration::from_secs(1);

/// Returns whether a request is a health check.
pub(super) fn is_check(head: &Parts) -> bool {
    head.method == Method::GET && head.uri.path() == "/health"
}

/// Healthy: a leader is known, and the group responds in time. `exclude` names alarms that this store does not
/// have, so it is ignored.
pub(super) async fn handle(conn: &ConnState) -> ApiResponse {
    let handle = &conn.shared.handle;
    let counters = &conn.shared.counters;
    let led = handle.members().leader.is_some();
    if led && matches!(timeout(READ_INDEX_TIMEOUT, handle.read_index()).await, Ok(Ok(()))) {
        add(&counters.healthy, 1);
        return respond::typed(StatusCode::OK, respond::TEXT, Bytes::from_static(b"{\"health\":\"true\"}"));
    }
    add(&counters.unhealthy, 1);
    respond::text(StatusCode::SERVICE_UNAVAILABLE, Bytes::from_static(b"{\"health\":\"false\"}\n"))
}
