//! Users, roles and what they may do: the part of the replicated state that etcd's v2 auth is about.
//!
//! Owns: the users with their roles and password hashes, the roles with their patterns, whether they are heeded, how
//! a change of them is carried out, what a role allows, and the byte forms of both.
//!
//! Promises: the same changes give the same state on every member: a change carries the hash of a password, never
//! a password, so nothing here draws salt or looks at a clock. A refused change changes nothing but, like etcd's, the count
//! of writes. The state is bounded ([`MAX_BYTES`]). No `Debug` output holds a hash.
//!
//! Leaves out: passwords, their hashing and checking, who is asking, and every text that goes out (`api`).

mod access;
mod change;
mod codec;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

pub use access::{AccessMode, KeyAccess};
pub use change::{Change, ChangeError, ChangeOutcome, Changed};

/// The user and the role that may do everything.
pub const ROOT: &str = "root";
/// The role of those who give no name.
pub const GUEST: &str = "guest";
/// What users and roles may take together: they are written with every head of the mirror and of a snapshot.
pub const MAX_BYTES: usize = 1 << 20;

/// Users, roles, and whether they are heeded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Auth {
    enabled: bool,
    /// Whether etcd would have made the directories for its users by now, which it counts as writes.
    begun: bool,
    users: BTreeMap<String, User>,
    roles: BTreeMap<String, Role>,
}

/// A user.
#[derive(Clone, PartialEq, Eq)]
pub struct User {
    /// The password's hash, as a PHC string.
    pub hash: String,
    /// As they were given, then sorted by the first change; `None` where none were ever named. Not all need exist.
    pub roles: Option<Vec<String>>,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("roles", &self.roles).finish_non_exhaustive()
    }
}

impl User {
    /// Whether the user holds the role.
    #[must_use]
    pub fn holds(&self, role: &str) -> bool {
        self.roles.iter().flatten().any(|own| own == role)
    }
}

/// The patterns of keys that a role may read and write; `None` where none were ever named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Role {
    /// What it may read.
    pub read: Option<Vec<String>>,
    /// What it may write.
    pub write: Option<Vec<String>>,
}

impl Role {
    /// Whether it names no pattern.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        [&self.read, &self.write].into_iter().flatten().all(Vec::is_empty)
    }

    /// What may do everything.
    fn everything() -> Self {
        let all = || Some(vec!["/*".to_owned()]);
        Self { read: all(), write: all() }
    }
}

impl Auth {
    /// Whether users and roles are heeded.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// The user of this name.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.get(name)
    }

    /// The role of this name; `root` is always there.
    #[must_use]
    pub fn role(&self, name: &str) -> Option<Role> {
        if name == ROOT { Some(Role::everything()) } else { self.roles.get(name).cloned() }
    }

    /// The users that a list shows, by name. Like keys, those that begin with `_` are hidden.
    pub fn users(&self) -> impl Iterator<Item = (&str, &User)> {
        let all = self.users.iter().map(|(name, user)| (name.as_str(), user));
        all.filter(|(name, _)| !name.starts_with('_'))
    }

    /// The names of the roles that a list shows, `root` among them.
    #[must_use]
    pub fn role_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.roles.keys().map(String::as_str).collect();
        names.retain(|name| !name.starts_with('_'));
        names.push(ROOT);
        names.sort_unstable();
        names
    }

    /// What it takes in bytes, nearly.
    fn weight(&self) -> usize {
        let list =
            |list: &Option<Vec<String>>| list.iter().flatten().map(|item| item.len() + 2).sum::<usize>();
        let users =
            self.users.iter().map(|(name, user)| name.len() + user.hash.len() + list(&user.roles) + 8);
        let roles =
            self.roles.iter().map(|(name, role)| name.len() + list(&role.read) + list(&role.write) + 8);
        users.chain(roles).sum()
    }
}
