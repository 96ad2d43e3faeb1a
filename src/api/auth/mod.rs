//! `/v2/auth`: users and roles, and access checks for other routes.
//!
//! Owns: the routes below `/v2/auth`, reading names and passwords from a request, hashing and checking passwords
//! ([`passwords`]), and the decision whether a request is allowed ([`Caller`], [`authorize_root`]). Promises: while
//! authentication is disabled, a request costs one check of a flag, and its `Authorization` is not read. A password
//! is never stored or logged, and refusing an unknown name takes as long as refusing a wrong password. Leaves out:
//! what users and roles are and what they allow (`keyspace::auth`).

mod basic;
mod guard;
mod known_logins;
mod login_failures;
mod login_queue;
mod passwords;
mod render;
mod requests;

use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::{Method, StatusCode};

use super::respond::{self, ApiResponse, CLUSTER_ID, Rejection};
use super::shared::ConnState;
use crate::consensus::ProposeError;
use crate::http::server::discard;
use crate::keyspace::auth::{Auth, Change, Changed};

pub(super) use guard::{Caller, authorize_root, denied};
pub(super) use passwords::Passwords;

/// The subject of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AuthRoute {
    Users,
    User,
    Roles,
    Role,
    Enable,
    /// A path with more than a user or a role.
    TooLong,
}

impl AuthRoute {
    const fn allow(self) -> &'static str {
        match self {
            Self::Users | Self::Roles => "GET",
            Self::User | Self::Role | Self::Enable => "GET,PUT,DELETE",
            Self::TooLong => "",
        }
    }
}

/// Returns the response to a request to `/v2/auth/REST`.
pub(super) async fn handle(conn: &ConnState, head: &Parts, body: Incoming, rest: &[u8]) -> ApiResponse {
    let Some((about, name)) = parse_route(rest) else {
        discard(body).await;
        return respond::not_found();
    };
    if about == AuthRoute::TooLong {
        discard(body).await;
        return respond::message(StatusCode::BAD_REQUEST, b"Invalid path");
    }
    if !about.allow().split(',').any(|method| method == head.method.as_str()) {
        discard(body).await;
        return respond::not_allowed(Some(about.allow()));
    }
    if (about != AuthRoute::Enable || head.method != Method::GET)
        && let Err(refused) = authorize_root(conn, &head.headers).await
    {
        discard(body).await;
        return refused.to_response();
    }
    let name = String::from_utf8_lossy(name);
    let answered = match head.method {
        Method::GET => {
            discard(body).await;
            shown(&conn.shared.handle.auth(), about, &name)
        }
        Method::PUT => put(conn, body, about, &name).await,
        _ => {
            discard(body).await;
            delete(conn, about, &name).await
        }
    };
    let mut response = answered.unwrap_or_else(|refused| refused.to_response());
    response.headers_mut().insert(CLUSTER_ID, conn.shared.cluster_id.clone());
    response
}

/// Returns the subject of a path, with the name in it.
fn parse_route(rest: &[u8]) -> Option<(AuthRoute, &[u8])> {
    let known = |prefix: &[u8]| {
        let name = rest.strip_prefix(prefix)?;
        (name.is_empty() || name[0] == b'/').then(|| name.strip_prefix(b"/").unwrap_or(name))
    };
    let (all, one, name) = match (known(b"users"), known(b"roles")) {
        (Some(name), _) => (AuthRoute::Users, AuthRoute::User, name),
        (_, Some(name)) => (AuthRoute::Roles, AuthRoute::Role, name),
        _ if rest == b"enable" => return Some((AuthRoute::Enable, b"")),
        _ => return None,
    };
    let name = name.strip_suffix(b"/").unwrap_or(name);
    Some(match name {
        b"" => (all, name),
        _ if name.contains(&b'/') => (AuthRoute::TooLong, name),
        _ => (one, name),
    })
}

fn shown(auth: &Auth, about: AuthRoute, name: &str) -> Result<ApiResponse, Rejection> {
    let body = match about {
        AuthRoute::Enable => format!("{{\"enabled\":{}}}", auth.enabled()),
        AuthRoute::Users => render::users(auth),
        AuthRoute::User => render::user(auth, name)?,
        AuthRoute::Roles => render::roles(auth),
        AuthRoute::Role | AuthRoute::TooLong => {
            render::role(name, &auth.role(name).ok_or_else(|| render::no_role(name))?)
        }
    };
    Ok(respond::json(StatusCode::OK, body + "\n"))
}

async fn put(
    conn: &ConnState,
    body: Incoming,
    about: AuthRoute,
    name: &str,
) -> Result<ApiResponse, Rejection> {
    if about == AuthRoute::Enable {
        discard(body).await;
        change(conn, Change::Enable, name).await?;
        return Ok(respond::json(StatusCode::OK, ""));
    }
    let sent = requests::take(conn, body).await?;
    let change_wanted = if about == AuthRoute::User {
        requests::user(conn, name, &sent.bytes).await?
    } else {
        requests::role(name, &sent.bytes)?
    };
    drop(sent);
    // A user created with roles gets the response for an existing user, as in etcd.
    let with_roles =
        matches!(&change_wanted, Change::PutUser { roles: Some(roles), .. } if !roles.is_empty());
    let status = |created: bool| {
        if created && !with_roles { StatusCode::CREATED } else { StatusCode::OK }
    };
    Ok(match change(conn, change_wanted, name).await? {
        Changed::User { roles, created } => {
            respond::json(status(created), render::changed_user(name, roles.as_deref()) + "\n")
        }
        Changed::Role { permissions, created } => {
            respond::json(status(created), render::role(name, &permissions) + "\n")
        }
        Changed::Done => respond::json(StatusCode::OK, ""),
    })
}

async fn delete(conn: &ConnState, about: AuthRoute, name: &str) -> Result<ApiResponse, Rejection> {
    let wanted = match about {
        AuthRoute::Enable => Change::Disable,
        AuthRoute::Users | AuthRoute::User => Change::DeleteUser(name.to_owned()),
        AuthRoute::Roles | AuthRoute::Role | AuthRoute::TooLong => Change::DeleteRole(name.to_owned()),
    };
    change(conn, wanted, name).await?;
    Ok(respond::json(StatusCode::OK, ""))
}

/// Proposes a change to the group.
async fn change(conn: &ConnState, change: Change, name: &str) -> Result<Changed, Rejection> {
    let deletes = matches!(change, Change::DeleteUser(_) | Change::DeleteRole(_));
    match conn.shared.handle.change_auth(change).await {
        Ok(result) => result.map_err(|refused| render::refused(refused, name, deletes)),
        Err(ProposeError::Overloaded) => Err(Rejection::Message(
            StatusCode::SERVICE_UNAVAILABLE,
            "this member has too many writes waiting; try again later".into(),
        )),
        Err(_) => Err(Rejection::Message(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error".into())),
    }
}
