//! Checks what a role allows.

use super::{Auth, GUEST, ROOT, Role, User};

/// A request for access to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAccess<'k> {
    /// The key as written in the path, with its trailing slash if there is one.
    pub key: &'k [u8],
    /// The kind of access.
    pub mode: AccessMode,
    /// Whether it includes everything below.
    pub recursive: bool,
}

/// The kinds of access to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// Read the key.
    Read,
    /// Change the key.
    Write,
}

impl Auth {
    /// Returns whether one of the user's roles allows it.
    #[must_use]
    pub fn allows(&self, user: &User, asked: KeyAccess<'_>) -> bool {
        let roles = user.roles.iter().flatten();
        roles
            .into_iter()
            .any(|name| name == ROOT || self.roles.get(name).is_some_and(|role| role.allows(asked)))
    }

    /// Returns whether clients without credentials are allowed to. For a subtree only its top is checked, as in etcd.
    #[must_use]
    pub fn allows_guests(&self, asked: KeyAccess<'_>) -> bool {
        let asked = KeyAccess { recursive: false, ..asked };
        self.roles.get(GUEST).is_some_and(|role| role.allows(asked))
    }
}

impl Role {
    fn allows(&self, asked: KeyAccess<'_>) -> bool {
        let patterns = match asked.mode {
            AccessMode::Read => &self.read,
            AccessMode::Write => &self.write,
        };
        patterns.iter().flatten().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => asked.key.starts_with(prefix.as_bytes()),
            // Only a pattern that ends in a star matches more than one key.
            None => !asked.recursive && asked.key == pattern.as_bytes() && !pattern.is_empty(),
        })
    }
}
