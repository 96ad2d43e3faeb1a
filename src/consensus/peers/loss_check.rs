//! Asks a leader what this member has confirmed to it, when an unproven message claims more than this member's log has.
//! The question goes to the leader's own address, where whoever sent that message does not respond. Members that prove
//! themselves never ask it.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use hyper::StatusCode;
use hyper::header::HeaderMap;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Inbound;
use super::call::call;
use super::hub::PeerHub;
use crate::http::client::read_body;

/// The path at which a leader says which entry the caller has confirmed: in decimal digits.
pub(super) const CONFIRMED: &str = "/retune/peers/confirmed";
/// How long the question may take, and the driver to answer it on the other side.
const ASK_TIMEOUT: Duration = Duration::from_secs(3);
const DRIVER_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_BODY_BYTES: usize = 64;

/// Asks, one question after the other, and passes the answers to the driver.
pub(super) async fn run(hub: &PeerHub) -> Infallible {
    loop {
        let leader = hub.loss_question.next().await;
        for url in hub.peer_queue(leader).map(|queue| queue.urls()).unwrap_or_default() {
            match timeout(ASK_TIMEOUT, ask(hub, &url, leader)).await {
                Ok(Ok(confirmed)) => {
                    hub.report(Inbound::LossChecked { confirmed }).await;
                    break;
                }
                Ok(Err(error)) => tracing::debug!("{url} does not say what it knows of this member: {error}"),
                Err(_) => tracing::debug!("{url} does not say in time what it knows of this member"),
            }
        }
    }
}

/// Returns the last entry that the member at `url` knows to be in this member's log; `None` if it does not lead.
async fn ask(hub: &PeerHub, url: &str, leader: u64) -> io::Result<Option<u64>> {
    let asked = call(hub, (url, leader), CONFIRMED, HeaderMap::new(), |reply| async move {
        if reply.response.status() != StatusCode::OK {
            return reply.refusal().await.map(Err);
        }
        let (response, _) = reply.unchecked();
        let body = read_body(response, MAX_BODY_BYTES).await?;
        let text = std::str::from_utf8(&body).map_err(io::Error::other)?;
        text.trim().parse().map(Some).map(Ok).map_err(io::Error::other)
    });
    match asked.await? {
        Ok(confirmed) => Ok(confirmed),
        Err(refusal) if refusal.status == StatusCode::MISDIRECTED_REQUEST => Ok(None),
        Err(refusal) => Err(io::Error::other(refusal.reason)),
    }
}

/// Returns what this member, if it leads, knows to be in the log of member `of`.
pub(super) async fn confirmed(hub: &PeerHub, of: u64) -> Option<u64> {
    let (reply, answer) = oneshot::channel();
    (hub.deliver)(Inbound::AskConfirmed { of, reply }).ok()?;
    timeout(DRIVER_TIMEOUT, answer).await.ok()?.ok()?
}
