//! The routes of the peer port: the list of members in etcd's form, the version, streams, snapshots.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::directory::{HandshakeError, PeerDirectory};
use super::hub::{PeerHub, SessionGuard, check};
use super::sender::{PROTOCOL, STREAM, VERSION_HEADER};
use super::serve;
use crate::http::server::{Body, respond};

/// A connection that became a stream.
#[derive(Debug)]
pub(super) struct UpgradedStream {
    pub(super) upgrade: OnUpgrade,
    pub(super) open_session: SessionGuard,
    pub(super) from: u64,
}

/// Where the handshake's handler leaves the stream.
pub(super) type UpgradeSlot = Arc<Mutex<Option<UpgradedStream>>>;

/// The path of snapshots, followed by the raft index in sixteen hex digits.
pub(super) const SNAPSHOTS: &str = "/retune/peers/snapshot/";

/// Returns the response to a request.
pub(super) async fn handle(
    hub: &Arc<PeerHub>,
    request: Request<Incoming>,
    slot: &UpgradeSlot,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/members" | "/version" if request.method() != Method::GET => respond::not_allowed(Some("GET")),
        "/members" => members(&hub.directory()),
        "/version" => version(&hub.directory()),
        STREAM if request.method() == Method::GET => {
            stream(hub, request, slot).unwrap_or_else(|refusal| refused(hub, &refusal))
        }
        path => match path.strip_prefix(SNAPSHOTS) {
            Some(index) if request.method() == Method::GET => {
                let served = serve::snapshot(hub, index, request.headers()).await;
                served.unwrap_or_else(|refusal| refused(hub, &refusal))
            }
            _ => respond::not_found(),
        },
    }
}

fn stream(
    hub: &Arc<PeerHub>,
    mut request: Request<Incoming>,
    slot: &UpgradeSlot,
) -> Result<Response<Body>, HandshakeError> {
    let handshake = check(hub, request.headers())?;
    let form = handshake.negotiated_version()?;
    let upgrade = request.headers().get(UPGRADE).is_some_and(|value| value == PROTOCOL);
    if !upgrade {
        return Err(HandshakeError::new(StatusCode::BAD_REQUEST, "a stream is requested by an upgrade"));
    }
    let open_session = hub.open_session(&handshake)?;
    let upgrade = hyper::upgrade::on(&mut request);
    let granted = UpgradedStream { upgrade, open_session, from: handshake.from };
    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(granted);
    let mut response = respond::empty(StatusCode::SWITCHING_PROTOCOLS);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    headers.insert(VERSION_HEADER, HeaderValue::from(form));
    Ok(response)
}

/// Returns the list of members in the form of etcd's peer port.
fn members(directory: &PeerDirectory) -> Response<Body> {
    let mut out = String::from("[");
    for (nth, known) in directory.members.values().enumerate() {
        let member = &known.member;
        let comma = if nth > 0 { "," } else { "" };
        write!(out, "{comma}{{\"id\":{},\"peerURLs\":{}", member.id, json!(member.peer_urls)).ok();
        // Empty fields are left out.
        if !member.name.is_empty() {
            write!(out, ",\"name\":{}", json!(member.name)).ok();
        }
        if !member.client_urls.is_empty() {
            write!(out, ",\"clientURLs\":{}", json!(member.client_urls)).ok();
        }
        out.push('}');
    }
    out.push_str("]\n");
    let mut response = respond::json(StatusCode::OK, out);
    let cluster = format!("{:x}", directory.cluster);
    response.headers_mut().insert("X-Etcd-Cluster-Id", cluster.parse().expect("hex digits"));
    response
}

fn version(directory: &PeerDirectory) -> Response<Body> {
    let (server, cluster) = (json!(directory.version), json!(directory.cluster_version));
    respond::json(StatusCode::OK, format!("{{\"etcdserver\":{server},\"etcdcluster\":{cluster}}}"))
}

/// Returns a refusal with its reason, and logs it.
fn refused(hub: &PeerHub, refusal: &HandshakeError) -> Response<Body> {
    let HandshakeError { status, reason } = refusal;
    if hub.log_throttle.due_exact(reason) {
        tracing::warn!("a member's request was refused: {reason} ({})", status.as_u16());
    }
    respond::text(*status, format!("{reason}\n"))
}
