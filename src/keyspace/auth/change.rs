//! Changes of users and roles, and their effect.

use std::collections::BTreeSet;
use std::fmt;

use super::{Auth, GUEST, MAX_BYTES, ROOT, Role, User, length};

/// The number of writes by which etcd creates its directories for users and roles.
const INITIAL_WRITES: u64 = 4;

/// One change of users or roles, as stored in the log.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Enable authentication.
    Enable,
    /// Disable authentication.
    Disable,
    /// Create or change a user: with grants or revocations it is changed, with roles created, and a hash alone does
    /// either.
    PutUser {
        /// The name.
        name: String,
        /// The hash of the password, where one was given.
        hash: Option<String>,
        /// The roles of a new user.
        roles: Option<Vec<String>>,
        /// Roles to add.
        grant: Vec<String>,
        /// Roles to remove.
        revoke: Vec<String>,
    },
    /// Remove a user.
    DeleteUser(String),
    /// Create or change a role: with grants or revocations it is changed.
    PutRole {
        /// The name.
        name: String,
        /// The permissions of a new role.
        permissions: Role,
        /// Permissions to add.
        grant: Option<Role>,
        /// Permissions to remove.
        revoke: Option<Role>,
    },
    /// Remove a role.
    DeleteRole(String),
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, name) = match self {
            Self::Enable => ("Enable", ""),
            Self::Disable => ("Disable", ""),
            Self::PutUser { name, .. } => ("PutUser", name.as_str()),
            Self::DeleteUser(name) => ("DeleteUser", name.as_str()),
            Self::PutRole { name, .. } => ("PutRole", name.as_str()),
            Self::DeleteRole(name) => ("DeleteRole", name.as_str()),
        };
        f.debug_tuple(what).field(&name).finish()
    }
}

/// The result of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Done, with nothing to show.
    Done,
    /// The user with its current roles.
    User {
        /// In stored order.
        roles: Option<Vec<String>>,
        /// Whether the user is new.
        created: bool,
    },
    /// The role with its current permissions.
    Role {
        /// All of its permissions.
        permissions: Role,
        /// Whether the role is new.
        created: bool,
    },
}

/// Why a change was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// Authentication is already enabled.
    AlreadyEnabled,
    /// Authentication is already disabled.
    AlreadyDisabled,
    /// Without the user root, nobody could disable it again.
    NoRootUser,
    /// The user does not exist.
    NoUser,
    /// A user with this name already exists.
    UserExists,
    /// A new user needs a password.
    NoPassword,
    /// The change would have no effect.
    UserUnchanged,
    /// The user already has this role.
    RoleGranted(String),
    /// The user does not have this role.
    RoleNotGranted(String),
    /// The user root cannot be removed while authentication is enabled.
    RootUser,
    /// The role does not exist.
    NoRole,
    /// A role with this name already exists.
    RoleExists,
    /// The change would have no effect.
    RoleUnchanged,
    /// The role may already read this.
    ReadGranted(String),
    /// The role may already write this.
    WriteGranted(String),
    /// The role root cannot be changed.
    RootRole,
    /// Users and roles would take more than [`MAX_BYTES`].
    Full,
}

/// The outcome of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeOutcome {
    /// The result; after a refusal nothing has changed.
    pub result: Result<Changed, ChangeError>,
    /// The number of writes in etcd, which keeps users in the store: the index rises by it.
    pub writes: u64,
}

impl Auth {
    /// Applies a change; the same on every member.
    pub fn apply(&mut self, change: &Change) -> ChangeOutcome {
        let mut writes = 0;
        let result = self.apply_change(change, &mut writes);
        ChangeOutcome { result, writes }
    }

    fn apply_change(&mut self, change: &Change, writes: &mut u64) -> Result<Changed, ChangeError> {
        match change {
            Change::Enable => self.enable(writes),
            Change::Disable => {
                if !self.enabled {
                    return Err(ChangeError::AlreadyDisabled);
                }
                self.write(writes);
                self.enabled = false;
                Ok(Changed::Done)
            }
            Change::PutUser { name, hash, roles, grant, revoke } => {
                let grants = !grant.is_empty() || !revoke.is_empty();
                let makes = roles.as_ref().is_some_and(|roles| !roles.is_empty());
                if grants || !makes && self.users.contains_key(name) {
                    return self.change_user(name, hash.as_deref(), grant, revoke, writes);
                }
                self.make_user(name, hash.as_deref(), roles.clone(), writes)
            }
            Change::DeleteUser(name) => {
                if self.enabled && name == ROOT {
                    return Err(ChangeError::RootUser);
                }
                self.begin(writes);
                self.users.remove(name).ok_or(ChangeError::NoUser)?;
                *writes += 1;
                Ok(Changed::Done)
            }
            Change::PutRole { name, permissions, grant, revoke } => {
                if name == ROOT {
                    return Err(ChangeError::RootRole);
                }
                if [grant, revoke].into_iter().flatten().all(Role::is_empty) {
                    return self.make_role(name, permissions, writes);
                }
                self.change_role(name, grant.as_ref(), revoke.as_ref(), writes)
            }
            Change::DeleteRole(name) => {
                if name == ROOT {
                    return Err(ChangeError::RootRole);
                }
                self.begin(writes);
                self.roles.remove(name).ok_or(ChangeError::NoRole)?;
                *writes += 1;
                Ok(Changed::Done)
            }
        }
    }

    fn begin(&mut self, writes: &mut u64) {
        if !self.begun {
            self.begun = true;
            *writes += INITIAL_WRITES;
        }
    }

    fn write(&mut self, writes: &mut u64) {
        self.begin(writes);
        *writes += 1;
    }

    fn enable(&mut self, writes: &mut u64) -> Result<Changed, ChangeError> {
        if self.enabled {
            return Err(ChangeError::AlreadyEnabled);
        }
        if !self.users.contains_key(ROOT) {
            return Err(ChangeError::NoRootUser);
        }
        if !self.roles.contains_key(GUEST) {
            self.roles.insert(GUEST.to_owned(), Role::everything());
            self.write(writes);
        }
        self.write(writes);
        self.enabled = true;
        Ok(Changed::Done)
    }

    /// Refuses what would exceed the limit.
    fn check_size(&self, more: usize) -> Result<(), ChangeError> {
        if self.weight().saturating_add(more) > MAX_BYTES { Err(ChangeError::Full) } else { Ok(()) }
    }

    fn make_user(
        &mut self,
        name: &str,
        hash: Option<&str>,
        mut roles: Option<Vec<String>>,
        writes: &mut u64,
    ) -> Result<Changed, ChangeError> {
        let hash = hash.ok_or(ChangeError::NoPassword)?;
        if self.users.contains_key(name) {
            return Err(ChangeError::UserExists);
        }
        attach(name, &mut roles);
        let user = User { hash: hash.to_owned(), roles: roles.clone() };
        self.check_size(name.len() + hash.len() + length(&roles))?;
        self.users.insert(name.to_owned(), user);
        self.write(writes);
        Ok(Changed::User { roles, created: true })
    }

    fn change_user(
        &mut self,
        name: &str,
        hash: Option<&str>,
        grant: &[String],
        revoke: &[String],
        writes: &mut u64,
    ) -> Result<Changed, ChangeError> {
        let old = self.users.get(name).ok_or(ChangeError::NoUser)?;
        let mut roles: BTreeSet<&str> = old.roles.iter().flatten().map(String::as_str).collect();
        for role in grant {
            if !roles.insert(role) {
                return Err(ChangeError::RoleGranted(role.clone()));
            }
        }
        for role in revoke {
            if !roles.remove(role.as_str()) {
                return Err(ChangeError::RoleNotGranted(role.clone()));
            }
        }
        let roles = Some(roles.into_iter().map(str::to_owned).collect());
        // A missing or unsorted list becomes a sorted one, which is a change to etcd.
        if hash.is_none() && roles == old.roles {
            return Err(ChangeError::UserUnchanged);
        }
        self.check_size(hash.map_or(0, str::len) + length(&roles))?;
        let hash = hash.map_or_else(|| old.hash.clone(), str::to_owned);
        // When revoked, the role root is missing from the response, but stays in the state.
        let mut kept = roles.clone();
        attach(name, &mut kept);
        self.users.insert(name.to_owned(), User { hash, roles: kept });
        self.write(writes);
        Ok(Changed::User { roles, created: false })
    }

    fn make_role(
        &mut self,
        name: &str,
        permissions: &Role,
        writes: &mut u64,
    ) -> Result<Changed, ChangeError> {
        if self.roles.contains_key(name) {
            return Err(ChangeError::RoleExists);
        }
        self.check_size(name.len() + length(&permissions.read) + length(&permissions.write))?;
        self.roles.insert(name.to_owned(), permissions.clone());
        self.write(writes);
        Ok(Changed::Role { permissions: permissions.clone(), created: true })
    }

    fn change_role(
        &mut self,
        name: &str,
        grant: Option<&Role>,
        revoke: Option<&Role>,
        writes: &mut u64,
    ) -> Result<Changed, ChangeError> {
        let old = self.roles.get(name).ok_or(ChangeError::NoRole)?;
        let mut new = old.clone();
        if let Some(more) = grant {
            new.read = Some(merged(&new.read, &more.read).map_err(ChangeError::ReadGranted)?);
            new.write = Some(merged(&new.write, &more.write).map_err(ChangeError::WriteGranted)?);
        }
        if let Some(less) = revoke {
            new.read = Some(without(&new.read, &less.read));
            new.write = Some(without(&new.write, &less.write));
        }
        if new == *old {
            return Err(ChangeError::RoleUnchanged);
        }
        self.check_size(grant.map_or(0, |more| length(&more.read) + length(&more.write)))?;
        self.roles.insert(name.to_owned(), new.clone());
        self.write(writes);
        Ok(Changed::Role { permissions: new, created: false })
    }
}

/// Adds the role root to the user root, whatever the change says.
fn attach(name: &str, roles: &mut Option<Vec<String>>) {
    if name == ROOT && !roles.iter().flatten().any(|role| role == ROOT) {
        roles.get_or_insert_default().push(ROOT.to_owned());
    }
}

/// Merges two lists, sorted; the error is an element of both.
fn merged(old: &Option<Vec<String>>, more: &Option<Vec<String>>) -> Result<Vec<String>, String> {
    let mut all: BTreeSet<&String> = old.iter().flatten().collect();
    for item in more.iter().flatten() {
        if !all.insert(item) {
            return Err(item.clone());
        }
    }
    Ok(all.into_iter().cloned().collect())
}

fn without(old: &Option<Vec<String>>, less: &Option<Vec<String>>) -> Vec<String> {
    let mut all: BTreeSet<&String> = old.iter().flatten().collect();
    for item in less.iter().flatten() {
        all.remove(item);
    }
    all.into_iter().cloned().collect()
}
