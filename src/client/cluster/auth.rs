//! The v2 API of users and roles, with typed responses.

use reqwest::Method;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::error::RequestError;
use super::request::{Cluster, parse};
use crate::client::request::{HttpRequest, Reply};

const USERS: &[u8] = b"/v2/auth/users";
const ROLES: &[u8] = b"/v2/auth/roles";
const ENABLE: &[u8] = b"/v2/auth/enable";

/// The key patterns that a role may read and write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permissions {
    /// Patterns it may read.
    #[serde(default)]
    pub read: Option<Vec<String>>,
    /// Patterns it may write.
    #[serde(default)]
    pub write: Option<Vec<String>>,
}

/// A role.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Its name.
    pub name: String,
    /// What it permits.
    pub permissions: Permissions,
}

/// A user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: String,
    /// The names of its roles.
    pub roles: Vec<String>,
}

/// The users and roles of a cluster, with one deadline for all requests of this value.
#[derive(Clone, Copy, Debug)]
pub struct Auth<'c> {
    cluster: &'c Cluster,
    deadline: Option<Instant>,
}

/// A user as a request sends it.
#[derive(Serialize, Default)]
struct UserRequest<'s> {
    user: &'s str,
    #[serde(skip_serializing_if = "str::is_empty")]
    password: &'s str,
    roles: Option<()>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    grant: &'s [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    revoke: &'s [String],
}

#[derive(Clone, Serialize, Deserialize, Default)]
struct KeyPermissions {
    #[serde(default)]
    kv: Permissions,
}

/// A role as a request sends it.
#[derive(Serialize, Default)]
struct RoleRequest<'s> {
    role: &'s str,
    permissions: KeyPermissions,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<KeyPermissions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoke: Option<KeyPermissions>,
}

#[derive(Deserialize, Default)]
struct RoleReply {
    #[serde(default)]
    role: String,
    #[serde(default)]
    permissions: KeyPermissions,
}

#[derive(Deserialize, Default)]
struct UserReply {
    #[serde(default)]
    user: String,
    #[serde(default)]
    roles: Option<Vec<RoleReply>>,
}

impl<'c> Auth<'c> {
    /// Returns access to the users and roles of `cluster`.
    #[must_use]
    pub const fn new(cluster: &'c Cluster, deadline: Option<Instant>) -> Self {
        Self { cluster, deadline }
    }

    /// Enables or disables authentication.
    ///
    /// # Errors
    /// Any.
    pub async fn enable(&self, on: bool) -> Result<(), RequestError> {
        let method = if on { Method::PUT } else { Method::DELETE };
        self.send(method, ENABLE.to_vec(), None, &[200, 201]).await.map(drop)
    }

    /// Returns the names of all users.
    ///
    /// # Errors
    /// Any.
    pub async fn users(&self) -> Result<Vec<String>, RequestError> {
        #[derive(Deserialize)]
        struct Listed {
            #[serde(default)]
            users: Option<Vec<UserReply>>,
        }
        let reply = self.send(Method::GET, USERS.to_vec(), None, &[200]).await?;
        let listed: Listed = parse(&reply)?;
        Ok(listed.users.into_iter().flatten().map(|user| user.user).collect())
    }

    /// Returns one user.
    ///
    /// # Errors
    /// Any.
    pub async fn user(&self, name: &str) -> Result<User, RequestError> {
        let reply = self.send(Method::GET, item_path(USERS, name), None, &[200]).await?;
        let received: UserReply = parse(&reply)?;
        let roles = received.roles.into_iter().flatten().map(|role| role.role).collect();
        Ok(User { name: received.user, roles })
    }

    /// Creates a user, or changes the password of an existing one.
    ///
    /// # Errors
    /// Any.
    pub async fn add_user(&self, name: &str, password: &str) -> Result<(), RequestError> {
        self.put_user(&UserRequest { user: name, password, ..UserRequest::default() }, &[200, 201]).await
    }

    /// Changes a user's password.
    ///
    /// # Errors
    /// Any. For a missing user it returns an error although the store creates that user.
    pub async fn change_password(&self, name: &str, password: &str) -> Result<(), RequestError> {
        self.put_user(&UserRequest { user: name, password, ..UserRequest::default() }, &[200]).await
    }

    /// Grants roles to a user, or revokes them.
    ///
    /// # Errors
    /// Any.
    pub async fn change_user_roles(
        &self,
        name: &str,
        roles: &[String],
        grant: bool,
    ) -> Result<(), RequestError> {
        let (grant, revoke): (&[String], &[String]) = if grant { (roles, &[]) } else { (&[], roles) };
        self.put_user(&UserRequest { user: name, grant, revoke, ..UserRequest::default() }, &[200]).await
    }

    /// Deletes a user.
    ///
    /// # Errors
    /// Any.
    pub async fn remove_user(&self, name: &str) -> Result<(), RequestError> {
        self.send(Method::DELETE, item_path(USERS, name), None, &[200, 201]).await.map(drop)
    }

    /// Returns the names of all roles.
    ///
    /// # Errors
    /// Any; a rejection shows the status, not the store's message, as in etcdctl's client.
    pub async fn roles(&self) -> Result<Vec<String>, RequestError> {
        #[derive(Deserialize)]
        struct Listed {
            #[serde(default)]
            roles: Option<Vec<RoleReply>>,
        }
        let request = self.cluster.request(Method::GET, ROLES, "");
        let reply = self.cluster.expect_status(&request, self.deadline, &[200]).await?;
        let listed: Listed = parse(&reply)?;
        Ok(listed.roles.into_iter().flatten().map(|role| role.role).collect())
    }

    /// Returns one role.
    ///
    /// # Errors
    /// Any.
    pub async fn role(&self, name: &str) -> Result<Role, RequestError> {
        let reply = self.send(Method::GET, item_path(ROLES, name), None, &[200]).await?;
        role_of(&reply)
    }

    /// Creates a role without permissions.
    ///
    /// # Errors
    /// Any.
    pub async fn add_role(&self, name: &str) -> Result<(), RequestError> {
        self.put_role(&RoleRequest { role: name, ..RoleRequest::default() }, &[200, 201]).await.map(drop)
    }

    /// Grants permissions to a role, or revokes them.
    ///
    /// # Errors
    /// Any.
    pub async fn change_role_permissions(
        &self,
        name: &str,
        kv: Permissions,
        grant: bool,
    ) -> Result<Role, RequestError> {
        let (grant, revoke) =
            if grant { (Some(KeyPermissions { kv }), None) } else { (None, Some(KeyPermissions { kv })) };
        let sent = RoleRequest { role: name, grant, revoke, ..RoleRequest::default() };
        role_of(&self.put_role(&sent, &[200]).await?)
    }

    /// Deletes a role.
    ///
    /// # Errors
    /// Any.
    pub async fn remove_role(&self, name: &str) -> Result<(), RequestError> {
        self.send(Method::DELETE, item_path(ROLES, name), None, &[200, 201]).await.map(drop)
    }

    async fn put_user(&self, user: &UserRequest<'_>, wanted: &[u16]) -> Result<(), RequestError> {
        let body = json(user)?;
        self.send(Method::PUT, item_path(USERS, user.user), Some(body), wanted).await.map(drop)
    }

    async fn put_role(&self, role: &RoleRequest<'_>, wanted: &[u16]) -> Result<Reply, RequestError> {
        let body = json(role)?;
        self.send(Method::PUT, item_path(ROLES, role.role), Some(body), wanted).await
    }

    /// Returns the response if its status is one of those expected; otherwise the error in it.
    async fn send(
        &self,
        method: Method,
        path: Vec<u8>,
        body: Option<String>,
        wanted: &[u16],
    ) -> Result<Reply, RequestError> {
        let secret = body.as_ref().is_some_and(|body| body.contains("\"password\""));
        let body = body.map(|body| ("application/json", body.into()));
        let request = HttpRequest { body, secret, ..self.cluster.request(method, &path, "") };
        let reply = self.cluster.execute(&request, self.deadline).await?;
        if wanted.contains(&reply.status.as_u16()) { Ok(reply) } else { Err(refusal(&reply)) }
    }
}

fn json(sent: &impl Serialize) -> Result<String, RequestError> {
    serde_json::to_string(sent).map_err(|error| RequestError::Refused(error.to_string()))
}

fn item_path(folder: &[u8], name: &str) -> Vec<u8> {
    if name.is_empty() { folder.to_vec() } else { [folder, b"/", name.as_bytes()].concat() }
}

fn role_of(reply: &Reply) -> Result<Role, RequestError> {
    let received: RoleReply = parse(reply)?;
    Ok(Role { name: received.role, permissions: received.permissions.kv })
}

/// Returns the error of a response; a response of an unexpected status may have no message.
fn refusal(reply: &Reply) -> RequestError {
    #[derive(Deserialize)]
    struct ErrorBody {
        #[serde(default)]
        message: String,
    }
    match (serde_json::from_slice::<ErrorBody>(&reply.body), reply.body.first()) {
        (Ok(reported), _) => RequestError::Refused(reported.message),
        (Err(_), Some(first)) if first.is_ascii_uppercase() => {
            let first = char::from(*first);
            RequestError::Refused(format!("invalid character '{first}' looking for beginning of value"))
        }
        (Err(_), _) => RequestError::NotJson,
    }
}
