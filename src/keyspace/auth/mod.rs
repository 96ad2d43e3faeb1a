//! Users, roles and what they may do: the part of the replicated state for etcd's v2 auth.
//!
//! Owns: the users with their roles and password hashes, the roles with their patterns, whether authentication is
//! enabled, how a change is applied, what a role allows, and the byte forms of both.
//!
//! Promises: the same changes give the same state on every member: a change carries the hash of a password, never a
//! password, so nothing here needs a random salt or a clock. A refused change changes nothing but, like etcd's, the
//! count of writes. The state is bounded ([`MAX_BYTES`]). No `Debug` output holds a hash.
//!
//! Leaves out: passwords, their hashing and checking, identifying the client, and every text of a response (`api`).

mod access;
mod change;
mod codec;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use access::{AccessMode, KeyAccess, WatchRights};
pub use change::{Change, ChangeError, ChangeOutcome, Changed};

/// The user and the role with all permissions.
pub const ROOT: &str = "root";
/// The role of clients without credentials.
pub const GUEST: &str = "guest";
/// The size limit of users and roles together: they are written with every head of the mirror and of a snapshot.
pub const MAX_BYTES: usize = 1 << 20;

/// Users, roles, and whether authentication is enabled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    enabled: bool,
    /// Whether etcd would have created its directories for users by now, which count as writes.
    begun: bool,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
}

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The password's hash, as a PHC string.
    pub hash: String,
    /// In the given order, sorted by the first change; `None` if none were ever given. They need not exist.
    pub roles: Option<Vec<String>>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("roles", &self.roles).finish_non_exhaustive()
    }
}

impl User {
    /// Returns whether the user has the role.
    #[must_use]
    pub fn holds(&self, role: &str) -> bool {
        self.roles.iter().flatten().any(|own| own == role)
    }
}

/// The key patterns that a role may read and write; `None` if none were ever given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// Patterns of readable keys.
    pub read: Option<Vec<String>>,
    /// Patterns of writable keys.
    pub write: Option<Vec<String>>,
}

impl Role {
    /// Returns whether it has no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.read, &self.write].into_iter().flatten().all(Vec::is_empty)
    }

    /// Returns the permissions of `root`.
    fn everything() -> Self {
        let all = || Some(vec!["/*".to_owned()]);
        Self { read: all(), write: all() }
    }
}

impl Auth {
    /// Returns whether authentication is enabled.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// Returns the user of this name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// Returns the role of this name; `root` always exists.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<Role> {
        if name == ROOT { Some(Role::everything()) } else { self.roles.get(name).cloned() }
    }

    /// Returns the users in a listing, by name. Like keys, names that begin with `_` are hidden.
    pub fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        let all = self.users.iter().map(|(name, user)| (name.as_str(), user));
        all.filter(|(name, _)| !name.starts_with('_'))
    }

    /// Returns the names of the roles in a listing, including `root`.
    #[must_use]
    pub fn role_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.roles.keys().map(String::as_str).collect();
        names.retain(|name| !name.starts_with('_'));
        names.push(ROOT);
        names.sort_unstable();
        names
    }

    /// Returns the approximate size in bytes.
    fn weight(&self) -> usize {
        let users =
            self.users.iter().map(|(name, user)| name.len() + user.hash.len() + length(&user.roles) + 8);
        let roles =
            self.roles.iter().map(|(name, role)| name.len() + length(&role.read) + length(&role.write) + 8);
        users.chain(roles).sum()
    }
}

/// Returns the approximate size of a list in bytes.
fn length(list: &Option<Vec<String>>) -> usize {
    list.iter().flatten().map(|item| item.len() + 2).sum()
}
