//! Decides whether a request is allowed.

use hyper::StatusCode;
use hyper::header::HeaderMap;

use super::basic::{self, Credentials, Login};
use crate::api::respond::Rejection;
use crate::api::shared::ConnState;
use crate::keyspace::auth::{Auth, KeyAccess, ROOT, User};
use crate::protocol::{ErrorBody, ErrorCode};

const DENIED: &str = "Insufficient credentials";

/// Checks whether a request for a key is allowed.
pub(in crate::api) async fn authorize_key(
    conn: &ConnState,
    headers: &HeaderMap,
    asked: KeyAccess<'_>,
) -> Result<(), Rejection> {
    let auth = conn.shared.handle.auth();
    let allowed = !auth.enabled()
        || match basic::read(headers) {
            Credentials::Missing => auth.allows_guests(asked),
            Credentials::Malformed => false,
            Credentials::Login(login) => {
                authenticate(conn, &auth, login).await?.is_some_and(|user| auth.allows(user, asked))
            }
        };
    if allowed {
        Ok(())
    } else {
        Err(Rejection::Error(ErrorBody::of_request(ErrorCode::UNAUTHORIZED, DENIED)))
    }
}

/// Checks whether a request is allowed that needs the role root.
pub(in crate::api) async fn authorize_root(conn: &ConnState, headers: &HeaderMap) -> Result<(), Rejection> {
    if !conn.shared.handle.auth_enabled() {
        return Ok(());
    }
    let auth = conn.shared.handle.auth();
    let allowed = !auth.enabled()
        || match basic::read(headers) {
            Credentials::Missing | Credentials::Malformed => false,
            Credentials::Login(login) => {
                authenticate(conn, &auth, login).await?.is_some_and(|user| user.holds(ROOT))
            }
        };
    if allowed { Ok(()) } else { Err(Rejection::Message(StatusCode::UNAUTHORIZED, DENIED.into())) }
}

/// Returns the user, if the login is valid.
async fn authenticate<'a>(
    conn: &ConnState,
    auth: &'a Auth,
    login: Login,
) -> Result<Option<&'a User>, Rejection> {
    let user = auth.user(&login.name);
    let hash = user.map(|user| user.hash.as_str());
    let right = conn.shared.passwords.check(&login.name, hash, login.password).await?;
    if user.is_some() && !right {
        // Log only existing names: other input may be a password.
        tracing::debug!(user = login.name, "a wrong password");
    }
    Ok(user.filter(|_| right))
}
