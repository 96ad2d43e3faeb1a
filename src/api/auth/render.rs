//! Users, roles and refusals in etcd's JSON and wording.

use hyper::StatusCode;

use crate::api::respond::{Rejection, json_list, json_string};
use crate::keyspace::auth::{self, Auth, MAX_BYTES, Role};

/// Lists all users, with those of their roles that exist.
pub(super) fn users(auth: &Auth) -> String {
    let users = auth.users().map(|(name, user)| {
        let roles = user.roles.iter().flatten().filter_map(|name| Some(role(name, &auth.role(name)?)));
        user_with(name, &roles.collect::<Vec<_>>())
    });
    let users: Vec<String> = users.collect();
    // Go's list without a user.
    let users = if users.is_empty() { "null".to_owned() } else { format!("[{}]", users.join(",")) };
    format!("{{\"users\":{users}}}")
}

/// Shows one user; it is an error if one of its roles does not exist.
pub(super) fn user(auth: &Auth, name: &str) -> Result<String, Rejection> {
    let says = || format!("auth: User {name} does not exist.");
    let user = auth.user(name).ok_or_else(|| Rejection::Message(StatusCode::NOT_FOUND, says().into()))?;
    let roles = user.roles.iter().flatten();
    let roles = roles.map(|name| Ok(role(name, &auth.role(name).ok_or_else(|| no_role(name))?)));
    Ok(user_with(name, &roles.collect::<Result<Vec<_>, Rejection>>()?))
}

fn user_with(name: &str, roles: &[String]) -> String {
    let roles = if roles.is_empty() { String::new() } else { format!(",\"roles\":[{}]", roles.join(",")) };
    format!("{{\"user\":{}{roles}}}", json_string(name))
}

/// Lists all roles.
pub(super) fn roles(auth: &Auth) -> String {
    let roles = auth.role_names().into_iter().map(|name| role(name, &auth.role(name).unwrap_or_default()));
    format!("{{\"roles\":[{}]}}", roles.collect::<Vec<_>>().join(","))
}

/// Shows one role.
pub(super) fn role(name: &str, role: &Role) -> String {
    let (read, write) = (list(role.read.as_deref()), list(role.write.as_deref()));
    let name = json_string(name);
    format!("{{\"role\":{name},\"permissions\":{{\"kv\":{{\"read\":{read},\"write\":{write}}}}}}}")
}

fn list(list: Option<&[String]>) -> String {
    list.map_or_else(|| "null".to_owned(), json_list)
}

/// Returns the response to a change of a user: with the names of its roles.
pub(super) fn changed_user(name: &str, roles: Option<&[String]>) -> String {
    format!("{{\"user\":{},\"roles\":{}}}", json_string(name), list(roles))
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
        Why::RoleGranted(role) => (CONFLICT, format!("Granting duplicate role {role} for user {name}")),
        Why::RoleNotGranted(role) => (CONFLICT, format!("Revoking ungranted role {role} for user {name}")),
        Why::RootUser => (StatusCode::FORBIDDEN, "Cannot delete root user while auth is enabled.".to_owned()),
        Why::NoRole if deletes => (StatusCode::NOT_FOUND, format!("Role {name} doesn't exist.")),
        Why::NoRole => (StatusCode::NOT_FOUND, format!("Role {name} does not exist.")),
        Why::RoleExists => (CONFLICT, format!("Role {name} already exists.")),
        Why::RoleUnchanged => {
            let says = "Role not updated. Use grant/revoke to update the role.";
            (StatusCode::BAD_REQUEST, says.to_owned())
        }
        Why::ReadGranted(pattern) => (CONFLICT, format!("Granting duplicate read permission {pattern}")),
        Why::WriteGranted(pattern) => (CONFLICT, format!("Granting duplicate write permission {pattern}")),
        Why::RootRole => (StatusCode::FORBIDDEN, format!("Cannot modify role {name}: is root role.")),
        Why::Full => {
            let says = format!("users and roles together may take {MAX_BYTES} bytes at most");
            (StatusCode::INSUFFICIENT_STORAGE, says)
        }
    };
    Rejection::Message(status, format!("auth: {says}").into())
}
