//! Sends a request to another member, after both have proven that they hold the peer secret, if there is one.

use std::io;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap};
use hyper::{Request, Response, StatusCode};

use super::dial::{self, converse, dial};
use super::directory::Handshake;
use super::hub::PeerHub;
use super::proof::{Call, NONCE, Nonce, PROOF};
use crate::http::Endpoint;
use crate::http::client::read_body;

/// The path at which nonces are exchanged before a request.
pub(super) const CHALLENGE: &str = "/retune/peers/challenge";
/// The longest reason of a refusal.
const MAX_REASON_BYTES: usize = 4 << 10;
const NO_PROOF: &str = "it does not prove that it holds the peer secret: is another program there, or has that member \
                        another --peer-secret-file?";

/// What another member responded instead of what was requested.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    pub(super) reason: String,
    /// Only the member itself can have sent it.
    pub(super) proven: bool,
}

/// A response to be checked, and what its proof depends on.
pub(super) struct Reply {
    pub(super) response: Response<Incoming>,
    call: Option<Call>,
    /// TLS has verified whom it comes from.
    verified: bool,
}

impl Reply {
    /// Checks the proof of a response with this content.
    pub(super) fn check(self, content: &[u8]) -> io::Result<(Response<Incoming>, Option<Call>)> {
        let Self { response, call, .. } = self;
        if let Some(call) = &call
            && !call.is_called_proven(response.headers(), response.status(), content)
        {
            return Err(io::Error::other(NO_PROOF));
        }
        Ok((response, call))
    }

    /// Returns the response without checking it: its parts are authenticated one by one.
    pub(super) fn unchecked(self) -> (Response<Incoming>, Option<Call>) {
        (self.response, self.call)
    }

    /// Reads the reason from an unexpected response.
    pub(super) async fn refusal(self) -> io::Result<Refusal> {
        let Self { response, call, verified } = self;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = read_body(response, MAX_REASON_BYTES).await?;
        let proven = call.map_or(verified, |call| call.is_called_proven(&headers, status, &body));
        // The text comes from outside and must stay one log line.
        let text = String::from_utf8_lossy(&body);
        let reason = text.chars().filter(|c| !c.is_control()).take(500).collect();
        Ok(Refusal { status, reason, proven })
    }
}

/// Sends a GET of `path` with the handshake and these headers to member `to` at `url`, and passes the response to
/// `take`. The outer error is why there is no response; the inner one, that no proof could be exchanged.
pub(super) async fn call<T, F>(
    hub: &PeerHub,
    (url, to): (&str, u64),
    path: &str,
    headers: HeaderMap,
    take: impl FnOnce(Reply) -> F,
) -> io::Result<Result<T, Refusal>>
where
    F: Future<Output = io::Result<Result<T, Refusal>>>,
{
    let conn = dial(url, &hub.tls).await?;
    let handshake = Handshake::of(&hub.directory(), to);
    let mut request = request(url, path, &handshake)?;
    request.headers_mut().extend(headers);
    let verified = hub.verifies(url);
    let Some(secret) = hub.secret.clone() else {
        return converse(conn, |mut sender| async move {
            let response = sender.send_request(request).await.map_err(io::Error::other)?;
            take(Reply { response, call: None, verified }).await
        })
        .await;
    };
    let own = Nonce::draw();
    let mut challenge = self::request(url, CHALLENGE, &handshake)?;
    challenge.headers_mut().insert(NONCE, own.header());
    let path = path.to_owned();
    converse(conn, |mut sender| async move {
        let response = sender.send_request(challenge).await.map_err(io::Error::other)?;
        let nonce = Nonce::read(response.headers()).filter(|_| response.status() == StatusCode::OK);
        let Some(nonce) = nonce else {
            let unknown = response.status() == StatusCode::NOT_FOUND;
            let refusal = Reply { response, call: None, verified }.refusal().await?;
            // An older version, or etcd.
            let reason =
                if unknown { "it does not know --peer-secret-file".to_owned() } else { refusal.reason };
            return Ok(Err(Refusal { reason, ..refusal }));
        };
        read_body(response, MAX_REASON_BYTES).await?;
        let call = Call::new(&secret, (own, nonce), &handshake, &path);
        request.headers_mut().insert(PROOF, call.caller_proof());
        sender.ready().await.map_err(io::Error::other)?;
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        take(Reply { response, call: Some(call), verified }).await
    })
    .await
}

/// Makes a GET of `path` with the handshake's headers.
fn request(url: &str, path: &str, handshake: &Handshake) -> io::Result<Request<Empty<Bytes>>> {
    let mut request = Request::get(path).header(HOST, Endpoint::parse(url)?.authority());
    for (name, value) in handshake.headers() {
        request = request.header(name, value);
    }
    request.body(Empty::new()).map_err(io::Error::other)
}

/// Returns the error of a request to `url`, with its reason.
pub(super) fn explain(hub: &PeerHub, url: &str, error: io::Error) -> io::Error {
    dial::explain(url, &hub.tls, error)
}
