//! Sends one request to an engine, bounded in bytes and time, and describes its failure.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use super::version::Version;
use super::{Engine, EngineError};
use crate::client::{SetBy, Trust, excerpt, timeout_message};
use crate::http::error::{innermost, io_kind};
use crate::tls::advice;

/// How long a short response may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
const STALE_SOCKET: &str = "the engine created a new socket, and the old one is still mounted here: the engine is unreachable until this \
                     container is restarted. To avoid this, mount the folder of the socket instead of the socket \
                     (-v /run:/host/run --engine unix:///host/run/docker.sock)";
/// How much of an error response is read.
const MAX_ERROR_BYTES: usize = 64 << 10;

/// One request; its path is relative to the API version.
pub(super) struct EngineRequest<'a> {
    method: Method,
    /// The path's segments, not yet escaped.
    path: &'a [&'a str],
    query: &'a [(&'a str, &'a str)],
    body: Option<&'a Value>,
}

impl<'a> EngineRequest<'a> {
    pub(super) const fn get(path: &'a [&'a str], query: &'a [(&'a str, &'a str)]) -> Self {
        Self { method: Method::GET, path, query, body: None }
    }

    pub(super) const fn post(
        path: &'a [&'a str],
        query: &'a [(&'a str, &'a str)],
        body: Option<&'a Value>,
    ) -> Self {
        Self { method: Method::POST, path, query, body }
    }
}

/// The limits of a response: bytes and time.
#[derive(Clone, Copy)]
pub(super) struct ResponseLimits {
    pub(super) bytes: usize,
    pub(super) within: Duration,
}

/// The request and the engine's address, for errors.
#[derive(Clone, Debug)]
pub(super) struct RequestContext {
    engine: Arc<str>,
    socket: Option<Arc<Path>>,
    request: Arc<str>,
}

/// A complete response.
pub(super) struct EngineResponse {
    pub(super) status: StatusCode,
    pub(super) context: RequestContext,
    body: Vec<u8>,
}

impl Engine {
    /// Asks the engine for its newest version, and negotiates.
    pub(super) async fn negotiate(&self) -> Result<Version, EngineError> {
        let call = EngineRequest::get(&["_ping"], &[]);
        let (request, context) = self.request(&call, None)?;
        let pinged = timeout(REQUEST_TIMEOUT, async {
            let response = request.send().await.map_err(|error| context.broken(&error))?;
            let theirs = response.headers().get("api-version").and_then(|value| value.to_str().ok());
            let version = Version::settled(theirs);
            let response = read_response(response, context.clone(), MAX_ERROR_BYTES).await?;
            if response.status == StatusCode::OK { Ok(version) } else { Err(response.refusal()) }
        });
        let version = pinged.await.map_err(|_| context.fault(&timeout_message(REQUEST_TIMEOUT)))??;
        *self.version.lock().unwrap_or_else(PoisonError::into_inner) = Some(version);
        Ok(version)
    }

    /// Returns the negotiated version; negotiates first if needed.
    async fn negotiated(&self) -> Result<Version, EngineError> {
        let settled = *self.version.lock().unwrap_or_else(PoisonError::into_inner);
        match settled {
            Some(version) => Ok(version),
            None => self.negotiate().await,
        }
    }

    /// Sends a request and returns its complete response, whatever the status.
    pub(super) async fn send(
        &self,
        call: &EngineRequest<'_>,
        bound: ResponseLimits,
    ) -> Result<EngineResponse, EngineError> {
        let asked = timeout(bound.within, async {
            let (request, context) = self.prepare(call).await?;
            let response = request.send().await.map_err(|error| context.broken(&error))?;
            read_response(response, context, bound.bytes).await
        });
        let Ok(response) = asked.await else {
            let settled = *self.version.lock().unwrap_or_else(PoisonError::into_inner);
            let (_, context) = self.request(call, settled)?;
            return Err(context.fault(&timeout_message(bound.within)));
        };
        response.inspect(|response| {
            // The engine was replaced by one that no longer speaks this version: the next request negotiates again.
            if response.status == StatusCode::BAD_REQUEST
                && response.message().is_some_and(|message| message.contains("client version"))
            {
                *self.version.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
        })
    }

    /// Returns a request ready to be sent, with the negotiated version.
    pub(super) async fn prepare(
        &self,
        call: &EngineRequest<'_>,
    ) -> Result<(reqwest::RequestBuilder, RequestContext), EngineError> {
        let version = self.negotiated().await?;
        self.request(call, Some(version))
    }

    fn request(
        &self,
        call: &EngineRequest<'_>,
        version: Option<Version>,
    ) -> Result<(reqwest::RequestBuilder, RequestContext), EngineError> {
        let url = self.url_of(call, version)?;
        let context = RequestContext {
            engine: Arc::clone(&self.address.shown),
            socket: self.address.socket.clone(),
            request: format!("{} {}", call.method, url.path()).into(),
        };
        let mut request = self.http.request(call.method.clone(), url);
        if let Some(body) = call.body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        Ok((request, context))
    }

    fn url_of(&self, call: &EngineRequest<'_>, version: Option<Version>) -> Result<Url, EngineError> {
        // URLs resolve these segments, even when escaped: the request would go to another path.
        if call.path.iter().any(|segment| matches!(*segment, "" | "." | "..")) {
            let why = format!("{}: an id or a name is empty or only dots", self.address.shown);
            return Err(EngineError::new(why));
        }
        let mut url = self.address.base.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(version.map(|version| version.to_string())).extend(call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(call.query);
        }
        Ok(url)
    }
}

impl EngineResponse {
    /// Parses the response as JSON. The error does not show the text: it may be a container's environment.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, EngineError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            let at = format!("line {}, column {}", error.line(), error.column());
            self.context.fault(&match error.classify() {
                serde_json::error::Category::Eof => format!("the response is cut off at {at}"),
                serde_json::error::Category::Data => {
                    format!("the response does not match this API, at {at}")
                }
                _ => format!("the response is not JSON, at {at}: is this a container engine?"),
            })
        })
    }

    /// Returns the engine's own message of an error response; `None`: the sender may not have been the engine.
    pub(super) fn message(&self) -> Option<String> {
        let reply: Value = serde_json::from_slice(&self.body).ok()?;
        Some(reply["message"].as_str()?.to_owned())
    }

    /// Returns the error for an unsuccessful response.
    pub(super) fn refusal(&self) -> EngineError {
        let reply = match self.message() {
            Some(message) => excerpt(message.as_bytes()),
            None => excerpt(&self.body),
        };
        self.context.fault(&format!("status {}: {reply}", self.status.as_u16()))
    }
}

/// Reads a response to its end; of an error response only the part that is shown.
pub(super) async fn read_response(
    mut response: Response,
    context: RequestContext,
    limit: usize,
) -> Result<EngineResponse, EngineError> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| context.broken(&error))? {
        if !status.is_success() && body.len() + chunk.len() > MAX_ERROR_BYTES {
            break;
        }
        if body.len() + chunk.len() > limit {
            return Err(context.fault(&format!("the response is larger than {} MiB", limit >> 20)));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(EngineResponse { status, context, body })
}

impl RequestContext {
    /// Returns whether the socket file was deleted on the host but is still mounted here.
    fn is_stale(&self) -> bool {
        let socket = self.socket.as_deref().and_then(|path| std::fs::metadata(path).ok());
        socket.is_some_and(|found| found.nlink() == 0)
    }

    pub(super) fn fault(&self, why: &str) -> EngineError {
        EngineError::new(format!("{}: {}: {why}", self.engine, self.request))
    }

    /// Returns the error for a connection that failed or broke.
    pub(super) fn broken(&self, error: &reqwest::Error) -> EngineError {
        let (cause, kind) = (innermost(error), io_kind(error));
        // An engine may reject this side's certificate after the handshake.
        if let Some(tls) = cause.downcast_ref() {
            return self.fault(&handshake(tls, error.url().and_then(Url::host_str).unwrap_or("its host")));
        }
        let advice = match kind {
            _ if !error.is_connect() => "the response broke off",
            Some(io::ErrorKind::NotFound) if self.socket.is_some() => {
                "the socket does not exist; is the engine running? In a container, mount the folder of the socket: \
                 -v /run:/host/run --engine unix:///host/run/docker.sock"
            }
            Some(io::ErrorKind::PermissionDenied) if self.socket.is_some() => {
                "permission to open the socket is denied; run as root, or join the group that owns it (usually docker)"
            }
            Some(io::ErrorKind::ConnectionRefused) if self.is_stale() => {
                return EngineError { stale_socket: true, ..self.fault(STALE_SOCKET) };
            }
            Some(io::ErrorKind::ConnectionRefused) if self.socket.is_some() => {
                "nothing listens on the socket; is the engine running?"
            }
            Some(io::ErrorKind::ConnectionRefused) => {
                "nothing listens there; is the engine running, and configured to listen on TCP?"
            }
            Some(io::ErrorKind::TimedOut) => "is the host up, and does a firewall block this port?",
            _ => "no connection",
        };
        self.fault(&format!("{advice} ({cause})"))
    }
}

/// Describes why a handshake failed, and what to do about it.
fn handshake(error: &rustls::Error, host: &str) -> String {
    let flags = Trust { set_by: SetBy::Engine, ..Trust::default() }.flags();
    advice::of_server(&flags, host, error).unwrap_or_else(|| format!("TLS failed: {error}"))
}
