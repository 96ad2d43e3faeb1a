//! Whether a request may go on.

use hyper::StatusCode;
use hyper::header::HeaderMap;

use super::basic::{self, Brought, Login};
use crate::api::connection::Seat;
use crate::api::respond::Refused;
use crate::keyspace::auth::{Asked, Auth, ROOT, User};
use crate::protocol::{ErrorCode, Fault};

const DENIED: &str = "Insufficient credentials";

/// Lets a request for a key go on, or not.
pub(in crate::api) async fn to_key(
    seat: &Seat,
    headers: &HeaderMap,
    asked: Asked<'_>,
) -> Result<(), Refused> {
    let auth = seat.shared.handle.auth();
    let allowed = !auth.enabled()
        || match basic::read(headers) {
            Brought::Nothing => auth.allows_guests(asked),
            Brought::Garbled => false,
            Brought::Login(login) => {
                known(seat, &auth, login).await?.is_some_and(|user| auth.allows(user, asked))
            }
        };
    if allowed { Ok(()) } else { Err(Refused::Fault(Fault::of_request(ErrorCode::UNAUTHORIZED, DENIED))) }
}

/// Lets a request go on that only who has the role root may make, or not.
pub(in crate::api) async fn to_root(seat: &Seat, headers: &HeaderMap) -> Result<(), Refused> {
    if !seat.shared.handle.guarded() {
        return Ok(());
    }
    let auth = seat.shared.handle.auth();
    let allowed = !auth.enabled()
        || match basic::read(headers) {
            Brought::Nothing | Brought::Garbled => false,
            Brought::Login(login) => known(seat, &auth, login).await?.is_some_and(|user| user.holds(ROOT)),
        };
    if allowed { Ok(()) } else { Err(Refused::Message(StatusCode::UNAUTHORIZED, DENIED.into())) }
}

/// The user that this is, if it is one.
async fn known<'a>(seat: &Seat, auth: &'a Auth, login: Login) -> Result<Option<&'a User>, Refused> {
    let user = auth.user(&login.name);
    let hash = user.map(|user| user.hash.as_str());
    let right = seat.shared.passwords.check(&login.name, hash, login.password).await?;
    if user.is_some() && !right {
        // Only of those that there are: what else is typed as a name may be a password.
        tracing::debug!(user = login.name, "a wrong password");
    }
    Ok(user.filter(|_| right))
}
