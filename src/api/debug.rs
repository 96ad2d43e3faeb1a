//! `/debug/vars` and `/config/local/log`: for operators.

use std::ffi::OsString;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use hyper::http::request::Parts;
use nix::sys::resource::{Resource, getrlimit};
use serde_json::Value;

use super::auth;
use super::metrics::resident_bytes;
use super::respond::{self, ApiResponse};
use super::settings::LogLevel;
use super::shared::ConnState;
use super::unmarshal;
use crate::http::server;

/// The longest request to set the log's level.
const MAX_BODY_BYTES: usize = 64 << 10;

/// Returns variables in the form of Go's `expvar`. `memstats` has only the one figure that is known here.
pub(super) fn vars(conn: &ConnState) -> ApiResponse {
    let handle = &conn.shared.handle;
    let (members, metrics) = (handle.members(), handle.metrics());
    let words = respond::json_list(std::env::args_os().map(OsString::into_encoded_bytes));
    let files = getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft);
    let (id, lead) = (members.own_id, members.leader.unwrap_or_default());
    let state = if metrics.leads { "StateLeader" } else { "StateFollower" };
    let shown = format!(
        "{{\n\"cmdline\": {words},\n\"file_descriptor_limit\": {files},\n\"memstats\": {{\"Sys\":{}}},\n\"raft.status\": \
         {{\"id\":\"{id:x}\",\"term\":{},\"vote\":\"{lead:x}\",\"commit\":{},\"lead\":\"{lead:x}\",\
         \"raftState\":\"{state}\",\"applied\":{},\"progress\":{{}},\"leadtransferee\":\"0\"}}\n}}\n",
        resident_bytes(),
        handle.position().term,
        metrics.committed,
        metrics.applied,
    );
    respond::typed(StatusCode::OK, HeaderValue::from_static("application/json; charset=utf-8"), shown)
}

/// Sets the log level from now on. With authentication, only root may.
pub(super) async fn log_level(conn: &ConnState, head: &Parts, body: Incoming) -> ApiResponse {
    if let Err(refused) = auth::authorize_root(conn, &head.headers).await {
        server::discard(body).await;
        return refused.to_response();
    }
    let invalid = || respond::message(StatusCode::BAD_REQUEST, b"Invalid json body");
    let Ok(body) = server::take(body, MAX_BODY_BYTES, &conn.bodies()).await else { return invalid() };
    let Ok(asked) = requested_level(&body.bytes) else { return invalid() };
    let Some(level) = LogLevel::parse(&asked) else {
        return respond::message(StatusCode::BAD_REQUEST, format!("Invalid log level {asked}").as_bytes());
    };
    if let Some(set) = conn.shared.info.set_log_level {
        set(level);
    }
    respond::empty(StatusCode::NO_CONTENT)
}

/// Returns the level that a request names; empty when it names none.
fn requested_level(body: &Bytes) -> Result<String, ()> {
    let value = unmarshal::parse(body).map_err(|_| ())?;
    match unmarshal::field(&value, "Level") {
        Some(Value::String(level)) => Ok(level.clone()),
        None | Some(Value::Null) if matches!(value, Value::Object(_) | Value::Null) => Ok(String::new()),
        _ => Err(()),
    }
}
