//! The routes of the peer port: the list of members in etcd's form, the version, streams, snapshots.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::json;

use super::admission::Place;
use super::call::CHALLENGE;
use super::directory::{Handshake, HandshakeError, PeerDirectory};
use super::hub::{PeerHub, SessionGuard, check};
use super::loss_check::{self, CONFIRMED};
use super::proof::{Call, NONCE, Nonce, PROOF, StreamKeys, members_proof};
use super::sender::{PROTOCOL, STREAM, VERSION_HEADER};
use super::serve;
use crate::http::server::{Body, respond};

/// A connection that became a stream.
#[derive(Debug)]
pub(super) struct UpgradedStream {
    pub(super) upgrade: OnUpgrade,
    pub(super) open_session: SessionGuard,
    pub(super) from: u64,
    pub(super) keys: Option<StreamKeys>,
}

/// What belongs to one connection.
#[derive(Debug)]
pub(super) struct ConnContext {
    place: Arc<Place>,
    /// Where the handshake's handler leaves the stream.
    upgraded: Mutex<Option<UpgradedStream>>,
    /// The caller's nonce and this member's, for the next request.
    nonces: Mutex<Option<(Nonce, Nonce)>>,
}

impl ConnContext {
    pub(super) fn new(place: Arc<Place>) -> Self {
        Self { place, upgraded: Mutex::default(), nonces: Mutex::default() }
    }

    /// Returns the stream that the connection became.
    pub(super) fn take_upgraded(&self) -> Option<UpgradedStream> {
        self.upgraded.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The path of snapshots, followed by the raft index in sixteen hex digits.
pub(super) const SNAPSHOTS: &str = "/retune/peers/snapshot/";

/// Returns the response to a request.
pub(super) async fn handle(
    hub: &Arc<PeerHub>,
    request: Request<Incoming>,
    context: &ConnContext,
) -> Response<Body> {
    let path = request.uri().path().to_owned();
    match path.as_str() {
        "/members" | "/version" if request.method() != Method::GET => respond::not_allowed(Some("GET")),
        "/members" => members(hub, request.headers()),
        "/version" => version(&hub.directory()),
        _ if request.method() != Method::GET => respond::not_found(),
        CHALLENGE => {
            challenge(hub, request.headers(), context).unwrap_or_else(|refusal| refused(hub, &refusal, None))
        }
        STREAM | CONFIRMED => for_member(hub, request, context).await,
        path if path.starts_with(SNAPSHOTS) => for_member(hub, request, context).await,
        _ => respond::not_found(),
    }
}

/// Handles a request that only members may send.
async fn for_member(hub: &Arc<PeerHub>, request: Request<Incoming>, context: &ConnContext) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let (handshake, call) = match authenticate(hub, &path, request.headers(), context) {
        Ok(authenticated) => authenticated,
        Err(refusal) => return refused(hub, &refusal, None),
    };
    let response = match check(hub, &handshake).and_then(|()| admit(hub, &handshake, context)) {
        Err(refusal) => Err(refusal),
        Ok(()) => match path.as_str() {
            STREAM => stream(hub, &handshake, request, context, call.as_ref()),
            CONFIRMED => confirmed(hub, &handshake).await,
            path => {
                let index = path.strip_prefix(SNAPSHOTS).unwrap_or_default();
                serve::snapshot(hub, (&handshake, call.as_ref()), index, request.headers()).await
            }
        },
    };
    response.unwrap_or_else(|refusal| refused(hub, &refusal, call.as_ref()))
}

/// Returns a nonce for the next request on this connection, which the caller must prove.
fn challenge(
    hub: &PeerHub,
    headers: &HeaderMap,
    context: &ConnContext,
) -> Result<Response<Body>, HandshakeError> {
    let handshake = Handshake::read(headers)?;
    if hub.secret.is_none() {
        let (from, own) = (handshake.from, hub.directory().own);
        return Err(HandshakeError::new(
            StatusCode::UNAUTHORIZED,
            format!(
                "member {from:x} has a --peer-secret-file and member {own:x} has none: give all members the same"
            ),
        ));
    }
    let nonce = Nonce::read(headers)
        .ok_or_else(|| HandshakeError::new(StatusCode::BAD_REQUEST, "a nonce is requested by sending one"))?;
    let own = Nonce::draw();
    *context.nonces.lock().unwrap_or_else(PoisonError::into_inner) = Some((nonce, own));
    let mut response = respond::empty(StatusCode::OK);
    response.headers_mut().insert(NONCE, own.header());
    Ok(response)
}

/// Reads the caller's handshake; with a secret, the caller must have proven that it holds it.
fn authenticate(
    hub: &PeerHub,
    path: &str,
    headers: &HeaderMap,
    context: &ConnContext,
) -> Result<(Handshake, Option<Call>), HandshakeError> {
    let handshake = Handshake::read(headers)?;
    let Some(secret) = &hub.secret else { return Ok((handshake, None)) };
    // Each pair is for one request.
    let nonces = context.nonces.lock().unwrap_or_else(PoisonError::into_inner).take();
    let call = nonces.map(|nonces| Call::new(secret, nonces, &handshake, path));
    if let Some(call) = call
        && call.is_caller_proven(headers)
    {
        return Ok((handshake, Some(call)));
    }
    let (from, own) = (handshake.from, hub.directory().own);
    let reason = if headers.contains_key(PROOF) {
        format!("the --peer-secret-file of member {from:x} holds another secret than that of member {own:x}")
    } else {
        format!("member {own:x} has a --peer-secret-file and member {from:x} has none")
    };
    Err(HandshakeError::new(StatusCode::UNAUTHORIZED, format!("{reason}: give all members the same")))
}

/// Gives the connection a place among those of its member.
fn admit(hub: &PeerHub, handshake: &Handshake, context: &ConnContext) -> Result<(), HandshakeError> {
    let from = handshake.from;
    if context.place.belongs_to(from) {
        return Ok(());
    }
    let own = hub.directory().own;
    let reason = format!("member {from:x} has too many connections to member {own:x}");
    Err(HandshakeError::new(StatusCode::SERVICE_UNAVAILABLE, reason))
}

fn stream(
    hub: &Arc<PeerHub>,
    handshake: &Handshake,
    mut request: Request<Incoming>,
    context: &ConnContext,
    call: Option<&Call>,
) -> Result<Response<Body>, HandshakeError> {
    let form = handshake.negotiated_version()?;
    let upgrade = request.headers().get(UPGRADE).is_some_and(|value| value == PROTOCOL);
    if !upgrade {
        return Err(HandshakeError::new(StatusCode::BAD_REQUEST, "a stream is requested by an upgrade"));
    }
    let open_session = hub.open_session(handshake)?;
    let upgrade = hyper::upgrade::on(&mut request);
    let keys = call.map(Call::called_keys);
    let granted = UpgradedStream { upgrade, open_session, from: handshake.from, keys };
    *context.upgraded.lock().unwrap_or_else(PoisonError::into_inner) = Some(granted);
    let status = StatusCode::SWITCHING_PROTOCOLS;
    let mut response = respond::empty(status);
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(PROTOCOL));
    headers.insert(VERSION_HEADER, HeaderValue::from(form));
    if let Some(call) = call {
        headers.insert(PROOF, call.called_proof(status, form.to_string().as_bytes()));
    }
    Ok(response)
}

/// Tells a member which entry it has confirmed to this one as its leader.
async fn confirmed(hub: &PeerHub, handshake: &Handshake) -> Result<Response<Body>, HandshakeError> {
    let confirmed = loss_check::confirmed(hub, handshake.from).await.ok_or_else(|| {
        let reason = format!("member {:x} does not lead", hub.directory().own);
        HandshakeError::new(StatusCode::MISDIRECTED_REQUEST, reason)
    })?;
    Ok(respond::text(StatusCode::OK, format!("{confirmed}\n")))
}

/// Returns the list of members in the form of etcd's peer port.
fn members(hub: &PeerHub, headers: &HeaderMap) -> Response<Body> {
    let directory = hub.directory();
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
    let cluster = format!("{:x}", directory.cluster);
    let proof = hub.secret.as_ref().zip(Nonce::read(headers));
    let proof = proof.map(|(secret, nonce)| members_proof(secret, nonce, &cluster, out.as_bytes()));
    let mut response = respond::json(StatusCode::OK, out);
    if let Some(proof) = proof {
        response.headers_mut().insert(PROOF, proof);
    }
    response.headers_mut().insert("X-Etcd-Cluster-Id", cluster.parse().expect("hex digits"));
    response
}

fn version(directory: &PeerDirectory) -> Response<Body> {
    let (server, cluster) = (json!(directory.version), json!(directory.cluster_version));
    respond::json(StatusCode::OK, format!("{{\"etcdserver\":{server},\"etcdcluster\":{cluster}}}"))
}

/// Returns a refusal with its reason, and logs it. A caller that has proven itself gets a proof.
fn refused(hub: &PeerHub, refusal: &HandshakeError, call: Option<&Call>) -> Response<Body> {
    let HandshakeError { status, reason } = refusal;
    if hub.log_throttle.due_exact(reason) {
        tracing::warn!("a member's request was refused: {reason} ({})", status.as_u16());
    }
    let text = format!("{reason}\n");
    let proof = call.map(|call| call.called_proof(*status, text.as_bytes()));
    let mut response = respond::text(*status, text);
    if let Some(proof) = proof {
        response.headers_mut().insert(PROOF, proof);
    }
    response
}
