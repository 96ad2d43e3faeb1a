//! What a role allows.

use super::{Auth, GUEST, ROOT, Role, User};

/// A key that somebody wants to get at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAccess<'k> {
    /// As it stands in the path, with the slash at its end if there is one.
    pub key: &'k [u8],
    /// What for.
    pub mode: AccessMode,
    /// Whether all below it is meant too.
    pub recursive: bool,
}

/// What somebody wants with a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// To see it.
    Read,
    /// To change it.
    Write,
}

impl Auth {
    /// Whether one of the user's roles allows it.
    #[must_use]
    pub fn allows(&self, user: &User, asked: KeyAccess<'_>) -> bool {
        let roles = user.roles.iter().flatten();
        roles
            .into_iter()
            .any(|name| name == ROOT || self.roles.get(name).is_some_and(|role| role.allows(asked)))
    }

    /// Whether those may who give no name. A wish for a whole subtree is measured as one for its top alone, as etcd
    /// does it.
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
            // Only what ends in a star speaks of more than one key.
            None => !asked.recursive && asked.key == pattern.as_bytes() && !pattern.is_empty(),
        })
    }
}
