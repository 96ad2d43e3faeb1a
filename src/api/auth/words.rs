//! Users, roles and refusals in etcd's JSON and wording.

use hyper::StatusCode;

use crate::api::respond::Rejection;
use crate::keyspace::auth::{self, Auth, MAX_BYTES, Role};
use crate::protocol::json_bytes;

/// Lists all users, with those of their roles that exist.
pub(super) fn users(auth: &Auth) -> Vec<u8> {
    let mut out = b"{\"users\":".to_vec();
    let mut none = true;
    for (name, user) in auth.users() {
        out.push(if none { b'[' } else { b',' });
        none = false;
        let roles = user.roles.iter().flatten().filter_map(|role| Some((role.as_str(), auth.role(role)?)));
        put_user(&mut out, name, &roles.collect::<Vec<_>>());
    }
    out.extend_from_slice(if none { b"null}\n" } else { b"]}\n" });
    out
}

/// Shows one user; it is an error if one of its roles does not exist.
pub(super) fn user(auth: &Auth, name: &str) -> Result<Vec<u8>, Rejection> {
    let says = || format!("auth: User {name} does not exist.");
    let user = auth.user(name).ok_or_else(|| Rejection::Message(StatusCode::NOT_FOUND, says().into()))?;
    let roles = user.roles.iter().flatten();
    let roles = roles.map(|role| Ok((role.as_str(), auth.role(role).ok_or_else(|| no_role(role))?)));
    let mut out = Vec::new();
    put_user(&mut out, name, &roles.collect::<Result<Vec<_>, Rejection>>()?);
    out.push(b'\n');
    Ok(out)
}

fn put_user(out: &mut Vec<u8>, name: &str, roles: &[(&str, Role)]) {
    out.extend_from_slice(b"{\"user\":");
    json_bytes(out, name.as_bytes());
    for (at, (name, role)) in roles.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b",\"roles\":[" } else { b"," });
        put_role(out, name, role);
    }
    out.extend_from_slice(if roles.is_empty() { b"}" } else { b"]}" });
}

/// Lists all roles.
pub(super) fn roles(auth: &Auth) -> Vec<u8> {
    let mut out = b"{\"roles\":[".to_vec();
    for (at, name) in auth.role_names().into_iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        put_role(&mut out, name, &auth.role(name).unwrap_or_default());
    }
    out.extend_from_slice(b"]}\n");
    out
}

/// Shows one role.
pub(super) fn role(name: &str, role: &Role) -> Vec<u8> {
    let mut out = Vec::new();
    put_role(&mut out, name, role);
    out.push(b'\n');
    out
}

fn put_role(out: &mut Vec<u8>, name: &str, role: &Role) {
    out.extend_from_slice(b"{\"role\":");
    json_bytes(out, name.as_bytes());
    out.extend_from_slice(b",\"permissions\":{\"kv\":{\"read\":");
    put_list(out, role.read.as_deref());
    out.extend_from_slice(b",\"write\":");
    put_list(out, role.write.as_deref());
    out.extend_from_slice(b"}}}");
}

fn put_list(out: &mut Vec<u8>, list: Option<&[String]>) {
    let Some(list) = list else { return out.extend_from_slice(b"null") };
    out.push(b'[');
    for (at, item) in list.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        json_bytes(out, item.as_bytes());
    }
    out.push(b']');
}

/// Returns the response to a change of a user: with the names of its roles.
pub(super) fn changed_user(name: &str, roles: Option<&[String]>) -> Vec<u8> {
    let mut out = b"{\"user\":".to_vec();
    json_bytes(&mut out, name.as_bytes());
    out.extend_from_slice(b",\"roles\":");
    put_list(&mut out, roles);
    out.extend_from_slice(b"}\n");
    out
}

pub(super) fn no_role(name: &str) -> Rejection {
    Rejection::Message(StatusCode::NOT_FOUND, format!("auth: Role {name} does not exist.").into())
}

/// Returns why a change of the user or role `name` is refused; etcd's wording differs for deletions.
pub(super) fn refused(why: auth::ChangeError, name: &str, deletes: bool) -> Rejection {
    use auth::ChangeError as Why;
    const CONFLICT: StatusCode = StatusCode::CONFLICT;
    let (status, says) = match why {
        Why::AlreadyEnabled => (CONFLICT, "already enabled".to_owned()),
        Why::AlreadyDisabled => (CONFLICT, "already disabled".to_owned()),
        Why::NoRootUser => (CONFLICT, "No root user available, please create one".to_owned()),
        Why::NoUser if deletes => (StatusCode::NOT_FOUND, format!("User {name} does not exist")),
        Why::NoUser => (StatusCode::NOT_FOUND, format!("User {name} does not exist.")),
        Why::UserExists => (CONFLICT, format!("User {name} already exists.")),
        Why::NoPassword => {
            (StatusCode::BAD_REQUEST, format!("Cannot create user {name} with an empty password"))
        }
        Why::UserUnchanged => {
            let says = "User not updated. Use grant/revoke/password to update the user.";
            (StatusCode::BAD_REQUEST, says.to_owned())
        }
        Why::RoleHeld(role) => (CONFLICT, format!("Granting duplicate role {role} for user {name}")),
        Why::RoleNotHeld(role) => (CONFLICT, format!("Revoking ungranted role {role} for user {name}")),
        Why::RootUser => (StatusCode::FORBIDDEN, "Cannot delete root user while auth is enabled.".to_owned()),
        Why::NoRole if deletes => (StatusCode::NOT_FOUND, format!("Role {name} doesn't exist.")),
        Why::NoRole => (StatusCode::NOT_FOUND, format!("Role {name} does not exist.")),
        Why::RoleExists => (CONFLICT, format!("Role {name} already exists.")),
        Why::RoleUnchanged => {
            let says = "Role not updated. Use grant/revoke to update the role.";
            (StatusCode::BAD_REQUEST, says.to_owned())
        }
        Why::ReadHeld(pattern) => (CONFLICT, format!("Granting duplicate read permission {pattern}")),
        Why::WriteHeld(pattern) => (CONFLICT, format!("Granting duplicate write permission {pattern}")),
        Why::RootRole => (StatusCode::FORBIDDEN, format!("Cannot modify role {name}: is root role.")),
        Why::Full => {
            let says = format!("users and roles together may take {MAX_BYTES} bytes at most");
            (StatusCode::INSUFFICIENT_STORAGE, says)
        }
    };
    Rejection::Message(status, format!("auth: {says}").into())
}
