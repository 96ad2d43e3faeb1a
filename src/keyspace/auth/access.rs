//! Checks what a role allows.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

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

/// What the right to a watch depends on, so that it can be checked again. The default is a client without credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchRights {
    /// The user, and a digest of the password's hash: a changed password ends the watch too.
    login: Option<(Arc<str>, u64)>,
    /// Whether the path ended in a slash, which patterns distinguish.
    slash: bool,
}

impl WatchRights {
    /// The rights of a client that opens a watch of `path`, the key as written in the path of the request. `user` is its
    /// user with the name, if it has credentials.
    #[must_use]
    pub fn new(user: Option<(&str, &User)>, path: &[u8]) -> Self {
        let login = user.map(|(name, user)| (name.into(), user.login_digest()));
        Self { login, slash: path.ends_with(b"/") }
    }
}

impl User {
    /// Returns a number that changes with the password.
    fn login_digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash.hash(&mut hasher);
        hasher.finish()
    }
}

impl Auth {
    /// Returns whether a client with these rights may watch `key`, a stored key.
    #[must_use]
    pub fn allows_watch(&self, rights: &WatchRights, key: &[u8], recursive: bool) -> bool {
        if !self.enabled {
            return true;
        }
        let mut path = if key == b"/" { vec![] } else { key.to_vec() };
        if rights.slash {
            path.push(b'/');
        }
        let asked = KeyAccess { key: &path, mode: AccessMode::Read, recursive };
        match &rights.login {
            None => self.allows_guests(asked),
            Some((name, digest)) => {
                self.user(name).is_some_and(|user| user.login_digest() == *digest && self.allows(user, asked))
            }
        }
    }

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
