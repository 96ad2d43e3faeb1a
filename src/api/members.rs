//! `/v2/members` and `/v2/machines`: the members of the group.

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::auth;
use super::respond::{self, ApiResponse, CLUSTER_ID, Rejection, json_list, json_string};
use super::shared::ConnState;
use super::{unmarshal, urls};
use crate::consensus::{Member, MembershipError};
use crate::http::server::{self, discard};

const ALLOW: &str = "GET,POST,DELETE,PUT";
/// Why a change was refused, for our own client.
const REASON: HeaderName = HeaderName::from_static("x-retune-reason");
/// The longest request about members.
const MAX_BODY_BYTES: usize = 1 << 20;

/// Returns the response to a request to `/v2/members/REST`.
pub(super) async fn handle(conn: &ConnState, head: &Parts, body: Incoming, rest: &[u8]) -> ApiResponse {
    let id = String::from_utf8_lossy(rest);
    if matches!(head.method, Method::POST | Method::PUT | Method::DELETE)
        && let Err(refused) = auth::authorize_root(conn, &head.headers).await
    {
        discard(body).await;
        return refused.to_response();
    }
    let answered = match head.method {
        Method::POST => add(conn, &head.headers, body).await,
        Method::PUT if !id.is_empty() => update(conn, &head.headers, body, &id).await,
        _ => {
            discard(body).await;
            match head.method {
                Method::GET => Ok(shown(conn, &id)),
                Method::DELETE if !id.is_empty() => remove(conn, &id).await,
                Method::DELETE | Method::PUT => Ok(respond::not_allowed(None)),
                // The only response here without the cluster id, as in etcd.
                _ => return respond::not_allowed(Some(ALLOW)),
            }
        }
    };
    let mut response = answered.unwrap_or_else(|refused| refused.to_response());
    response.headers_mut().insert(CLUSTER_ID, conn.shared.cluster_id.clone());
    response
}

fn shown(conn: &ConnState, which: &str) -> ApiResponse {
    let members = conn.shared.handle.members();
    let shown = match which {
        "" => {
            let all: Vec<String> = members.all.iter().map(json_of).collect();
            format!("{{\"members\":[{}]}}\n", all.join(","))
        }
        "leader" => {
            let leader = members.all.iter().find(|member| Some(member.id) == members.leader);
            let Some(leader) = leader else {
                return respond::message(StatusCode::SERVICE_UNAVAILABLE, b"During election");
            };
            json_of(leader) + "\n"
        }
        _ => return respond::message(StatusCode::NOT_FOUND, b"Not found"),
    };
    respond::json(StatusCode::OK, shown)
}

fn json_of(member: &Member) -> String {
    format!(
        "{{\"id\":\"{:x}\",\"name\":{},\"peerURLs\":{},\"clientURLs\":{}}}",
        member.id,
        json_string(&member.name),
        json_list(&member.peer_urls),
        json_list(&member.client_urls),
    )
}

async fn add(conn: &ConnState, headers: &HeaderMap, body: Incoming) -> Result<ApiResponse, Rejection> {
    let urls = read_peer_urls(conn, headers, body).await?;
    let member = match conn.shared.handle.add_member(urls).await {
        Ok(member) => member,
        Err(refusal) => return Ok(unchanged(refusal, "")),
    };
    Ok(respond::json(StatusCode::CREATED, json_of(&member) + "\n"))
}

async fn update(
    conn: &ConnState,
    headers: &HeaderMap,
    body: Incoming,
    id: &str,
) -> Result<ApiResponse, Rejection> {
    let (number, urls) = match number(id) {
        Ok(number) => (number, read_peer_urls(conn, headers, body).await?),
        Err(unknown) => {
            discard(body).await;
            return Err(unknown);
        }
    };
    let updated = conn.shared.handle.update_member(number, urls).await;
    Ok(changed(updated, number))
}

async fn remove(conn: &ConnState, id: &str) -> Result<ApiResponse, Rejection> {
    let number = number(id)?;
    let removed = conn.shared.handle.remove_member(number).await;
    Ok(changed(removed, number))
}

fn changed(result: Result<(), MembershipError>, id: u64) -> ApiResponse {
    match result {
        Ok(()) => respond::empty(StatusCode::NO_CONTENT),
        Err(refusal) => unchanged(refusal, &format!("{id:x}")),
    }
}

/// Parses an id in a path: hex digits only.
fn number(id: &str) -> Result<u64, Rejection> {
    let hex = id.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = hex.then(|| u64::from_str_radix(id, 16).ok()).flatten();
    number.ok_or_else(|| refused(MembershipError::Unknown, id))
}

/// Reads the peer URLs of a request.
async fn read_peer_urls(
    conn: &ConnState,
    headers: &HeaderMap,
    body: Incoming,
) -> Result<Vec<String>, Rejection> {
    if let Err(kind) = check_type(headers.get(CONTENT_TYPE)) {
        discard(body).await;
        let says = format!("Bad Content-Type {}, accept application/json", String::from_utf8_lossy(&kind));
        return Err(Rejection::Message(StatusCode::UNSUPPORTED_MEDIA_TYPE, says.into()));
    }
    let bad = |says: String| Rejection::Message(StatusCode::BAD_REQUEST, says.into());
    let body = server::take(body, MAX_BODY_BYTES, &conn.bodies()).await;
    let body = body.map_err(|_| bad("the request's body is too long or incomplete".to_owned()))?;
    unmarshal::peer_urls(&body.bytes).and_then(|given| urls::check(&given)).map_err(bad)
}

/// Checks the Content-Type. As in etcd, its case is ignored only if it has parameters.
fn check_type(given: Option<&HeaderValue>) -> Result<(), Vec<u8>> {
    let given = given.map_or(&b""[..], HeaderValue::as_bytes);
    let kind = match given.iter().position(|byte| *byte == b';') {
        Some(at) => given[..at].to_ascii_lowercase().trim_ascii().to_vec(),
        None => given.to_vec(),
    };
    if kind == b"application/json" { Ok(()) } else { Err(kind) }
}

/// Returns the response to a refused change. etcd's message for most of them names no cause, so a header does.
fn unchanged(refusal: MembershipError, id: &str) -> ApiResponse {
    let reason = HeaderValue::from_str(&refusal.to_string());
    let mut response = refused(refusal, id).to_response();
    if let (StatusCode::INTERNAL_SERVER_ERROR, Ok(reason)) = (response.status(), reason) {
        response.headers_mut().insert(REASON, reason);
    }
    response
}

fn refused(refusal: MembershipError, id: &str) -> Rejection {
    let (status, says) = match refusal {
        MembershipError::Unknown => (StatusCode::NOT_FOUND, format!("No such member: {id}").into()),
        MembershipError::Removed => (StatusCode::GONE, format!("Member permanently removed: {id}").into()),
        MembershipError::IdTaken => (StatusCode::CONFLICT, "membership: ID exists".into()),
        MembershipError::UrlTaken => (StatusCode::CONFLICT, "membership: peerURL exists".into()),
        MembershipError::Unsafe
        | MembershipError::NoListener
        | MembershipError::NotStarted(_)
        | MembershipError::TooLong
        | MembershipError::Unavailable => (StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".into()),
    };
    Rejection::Message(status, says)
}

/// Returns all client URLs of all members.
pub(super) fn machines(conn: &ConnState) -> ApiResponse {
    let members = conn.shared.handle.members();
    let mut urls: Vec<&str> =
        members.all.iter().flat_map(|member| &member.client_urls).map(String::as_str).collect();
    urls.sort_unstable();
    respond::typed(StatusCode::OK, respond::TEXT, urls.join(", "))
}
