//! One connection to the peer port: HTTP with limits, and the stream that it may become.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::TokioIo;

use super::admission::Place;
use super::hub::PeerHub;
use super::routes::{ConnContext, UpgradedStream};
use super::{receiver, routes};
use crate::http::server::short_requests;
use crate::http::{BoxedIo, TimeoutStream};
use crate::stop::Stop;

/// How long the other side may stall a write.
const WRITE_STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves the connection until it ends.
pub(super) async fn serve(
    conn: BoxedIo,
    (remote, place): (SocketAddr, &Arc<Place>),
    hub: &Arc<PeerHub>,
    stop: &Stop,
) {
    let context = Arc::new(ConnContext::new(Arc::clone(place)));
    let service = service_fn(|request| {
        let (hub, context) = (Arc::clone(hub), Arc::clone(&context));
        async move { Ok::<_, std::convert::Infallible>(routes::handle(&hub, request, &context).await) }
    });
    let served = short_requests()
        .serve_connection(TokioIo::new(TimeoutStream::new(conn, None, Some(WRITE_STALL_TIMEOUT))), service)
        .with_upgrades()
        .await;
    if let Err(error) = served
        && error.is_parse()
    {
        log_rejection(hub, remote, "it sent no HTTP: which other program uses this port?");
    }
    if let Some(UpgradedStream { upgrade, open_session, from, keys }) = context.take_upgraded()
        && let Ok(stream) = upgrade.await
    {
        receiver::run(TokioIo::new(stream), (from, keys), &open_session, hub, stop).await;
    }
}

/// Logs, at a limited rate, connections that do not belong to the peer port.
pub(super) fn log_rejection(hub: &PeerHub, remote: SocketAddr, why: &str) {
    let remote = remote.ip().to_canonical();
    let member = hub.directory().at_host(&remote.to_string()).map(|name| format!(", as member {name}"));
    let words = format!("a call to the peer port from {remote}{} failed: {why}", member.unwrap_or_default());
    if hub.log_throttle.due_exact(&words) {
        tracing::warn!("{words}");
    }
}
