//! Reads requests that change users or roles, as Go's `encoding/json` does.

use hyper::StatusCode;
use hyper::body::Incoming;
use serde_json::Value;

use super::passwords::MAX_PASSWORD_BYTES;
use crate::api::respond::Rejection;
use crate::api::shared::ConnState;
use crate::api::unmarshal::field;
use crate::http::server::{self, BodyError, BufferedBody};
use crate::keyspace::auth::{Change, Role};

/// The longest request about users or roles.
const MAX_BODY_BYTES: usize = 64 << 10;
/// The longest name.
const MAX_NAME_BYTES: usize = 256;

fn bad(says: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::Message(StatusCode::BAD_REQUEST, says.into())
}

fn no_json() -> Rejection {
    bad("Invalid JSON in request body.")
}

/// Reads the body.
pub(super) async fn take(conn: &ConnState, body: Incoming) -> Result<BufferedBody, Rejection> {
    server::take(body, MAX_BODY_BYTES, &conn.bodies()).await.map_err(|why| match why {
        BodyError::TooLarge => {
            bad(format!("a request about a user or a role may have {MAX_BODY_BYTES} bytes at most"))
        }
        BodyError::MemoryLimit => Rejection::Message(
            StatusCode::SERVICE_UNAVAILABLE,
            "too many large requests at once; try again later".into(),
        ),
        BodyError::Broken => no_json(),
    })
}

/// Reads the change of a user, and hashes its password.
pub(super) async fn user(conn: &ConnState, name: &str, body: &[u8]) -> Result<Change, Rejection> {
    let sent = first_value(body).ok_or_else(no_json)?;
    let (roles, grant, revoke) = (list(&sent, "roles")?, list(&sent, "grant")?, list(&sent, "revoke")?);
    let (sent_name, password) = (text(&sent, "user")?, text(&sent, "password")?);
    drop(sent);
    if sent_name != name {
        return Err(bad("User JSON name does not match the name in the URL"));
    }
    let (grant, revoke) = (grant.unwrap_or_default(), revoke.unwrap_or_default());
    let names_roles = roles.as_ref().is_some_and(|roles| !roles.is_empty());
    if names_roles && !(grant.is_empty() && revoke.is_empty()) {
        return Err(bad("User JSON contains both roles and grant/revoke"));
    }
    fits(name)?;
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(bad(format!("auth: a password may have {MAX_PASSWORD_BYTES} bytes at most")));
    }
    let hash = match password {
        password if password.is_empty() => None,
        password => Some(conn.shared.passwords.hash(conn.client_id(), password.into_bytes()).await?),
    };
    Ok(Change::PutUser { name: name.to_owned(), hash, roles, grant, revoke })
}

/// Reads the change of a role.
pub(super) fn role(name: &str, body: &[u8]) -> Result<Change, Rejection> {
    let sent = first_value(body).ok_or_else(no_json)?;
    let given = |name: &str| field(&sent, name).filter(|value| !value.is_null());
    let permissions = given("permissions").map(permissions).transpose()?.unwrap_or_default();
    let grant = given("grant").map(self::permissions).transpose()?;
    let revoke = given("revoke").map(self::permissions).transpose()?;
    if text(&sent, "role")? != name {
        return Err(bad("Role JSON name does not match the name in the URL"));
    }
    let changes = [&grant, &revoke].into_iter().flatten().any(|part| !part.is_empty());
    if changes && !permissions.is_empty() {
        return Err(bad("Role JSON contains both permissions and grant/revoke"));
    }
    fits(name)?;
    Ok(Change::PutRole { name: name.to_owned(), permissions, grant, revoke })
}

fn fits(name: &str) -> Result<(), Rejection> {
    if name.len() <= MAX_NAME_BYTES {
        Ok(())
    } else {
        Err(bad(format!("auth: a name may have {MAX_NAME_BYTES} bytes at most")))
    }
}

/// Parses the first JSON value, which must be an object or `null`; anything after it is ignored.
fn first_value(body: &[u8]) -> Option<Value> {
    let text = String::from_utf8_lossy(body);
    let value = serde_json::Deserializer::from_str(&text).into_iter().next()?.ok()?;
    matches!(value, Value::Object(_) | Value::Null).then_some(value)
}

fn text(object: &Value, name: &str) -> Result<String, Rejection> {
    match field(object, name) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(no_json()),
    }
}

fn list(object: &Value, name: &str) -> Result<Option<Vec<String>>, Rejection> {
    match field(object, name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) => items
            .iter()
            .map(|item| match item {
                Value::String(text) => Ok(text.clone()),
                Value::Null => Ok(String::new()),
                _ => Err(no_json()),
            })
            .collect::<Result<_, _>>()
            .map(Some),
        Some(_) => Err(no_json()),
    }
}

fn permissions(value: &Value) -> Result<Role, Rejection> {
    let object = |value: &Value| matches!(value, Value::Object(_) | Value::Null);
    let kv = field(value, "kv").unwrap_or(&Value::Null);
    if !object(value) || !object(kv) {
        return Err(no_json());
    }
    Ok(Role { read: list(kv, "read")?, write: list(kv, "write")? })
}
