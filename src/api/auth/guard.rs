//! Decides whether a request is allowed.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::HeaderMap;

use super::basic::{self, Credentials, Login};
use crate::api::respond::Rejection;
use crate::api::shared::ConnState;
use crate::keyspace::auth::{Auth, KeyAccess, ROOT, User, WatchRights};
use crate::protocol::{ErrorBody, ErrorCode};

const DENIED: &str = "Insufficient credentials";

/// The client of a request, after its password was checked.
#[derive(Debug)]
pub(in crate::api) enum Caller {
    /// Authentication is disabled.
    Anybody,
    /// No credentials.
    Guest(Arc<Auth>),
    /// A malformed header, a wrong name or a wrong password.
    Stranger,
    /// A user with a valid login, by name.
    User(Arc<Auth>, String),
}

impl Caller {
    /// Checks the login of a request.
    pub(in crate::api) async fn identify(conn: &ConnState, headers: &HeaderMap) -> Result<Self, Rejection> {
        if !conn.shared.handle.auth_enabled() {
            return Ok(Self::Anybody);
        }
        let auth = conn.shared.handle.auth();
        if !auth.enabled() {
            return Ok(Self::Anybody);
        }
        Ok(match basic::read(headers) {
            Credentials::Missing => Self::Guest(auth),
            Credentials::Malformed => Self::Stranger,
            Credentials::Login(login) => match authenticate(conn, &auth, login).await? {
                Some(name) => Self::User(auth, name),
                None => Self::Stranger,
            },
        })
    }

    /// Returns whether the client has proven who it is, or need not.
    pub(in crate::api) const fn is_trusted(&self) -> bool {
        matches!(self, Self::Anybody | Self::User(..))
    }

    /// Returns whether users and roles have not changed since the check.
    pub(in crate::api) fn is_current(&self, conn: &ConnState) -> bool {
        match self {
            Self::Anybody => !conn.shared.handle.auth_enabled(),
            Self::Guest(auth) | Self::User(auth, _) => Arc::ptr_eq(auth, &conn.shared.handle.auth()),
            Self::Stranger => true,
        }
    }

    /// Returns whether a request for a key is allowed.
    pub(in crate::api) fn allows(&self, asked: KeyAccess<'_>) -> bool {
        match self {
            Self::Anybody => true,
            Self::Guest(auth) => auth.allows_guests(asked),
            Self::Stranger => false,
            Self::User(auth, name) => auth.user(name).is_some_and(|user| auth.allows(user, asked)),
        }
    }

    /// Refuses a request for a key that is not allowed.
    pub(in crate::api) fn check(&self, asked: KeyAccess<'_>) -> Result<(), Rejection> {
        if self.allows(asked) { Ok(()) } else { Err(denied()) }
    }

    /// Returns what the right to a watch of `path` depends on.
    pub(in crate::api) fn watch_rights(&self, path: &[u8]) -> WatchRights {
        let user = match self {
            Self::User(auth, name) => auth.user(name).map(|user| (name.as_str(), user)),
            Self::Anybody | Self::Guest(_) | Self::Stranger => None,
        };
        WatchRights::new(user, path)
    }

    fn user(&self) -> Option<&User> {
        if let Self::User(auth, name) = self { auth.user(name) } else { None }
    }
}

/// The error for a request for a key that is not allowed.
pub(in crate::api) fn denied() -> Rejection {
    Rejection::Error(ErrorBody::of_request(ErrorCode::UNAUTHORIZED, DENIED))
}

/// Checks whether a request is allowed that needs the role root.
pub(in crate::api) async fn authorize_root(conn: &ConnState, headers: &HeaderMap) -> Result<(), Rejection> {
    let caller = Caller::identify(conn, headers).await?;
    let allowed = matches!(caller, Caller::Anybody) || caller.user().is_some_and(|user| user.holds(ROOT));
    if allowed { Ok(()) } else { Err(Rejection::Message(StatusCode::UNAUTHORIZED, DENIED.into())) }
}

/// Returns the user's name, if the login is valid.
async fn authenticate(conn: &ConnState, auth: &Auth, login: Login) -> Result<Option<String>, Rejection> {
    let user = auth.user(&login.name);
    let hash = user.map(|user| user.hash.as_str());
    let right = conn.shared.passwords.check(conn.client_id(), &login.name, hash, login.password).await?;
    if user.is_some() && !right {
        // Log only existing names: other input may be a password.
        tracing::debug!(user = login.name, "a wrong password");
    }
    Ok((user.is_some() && right).then_some(login.name))
}
