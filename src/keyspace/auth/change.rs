//! Changes of users and roles, and how they are carried out.

use std::collections::BTreeSet;
use std::fmt;

use super::{Auth, GUEST, MAX_BYTES, ROOT, Role, User};

/// How many writes etcd takes to make its directories for users and roles.
const INITIAL_WRITES: u64 = 4;

/// One change of it, as the log carries it.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Heed users and roles from now on.
    Enable,
    /// Heed them no more.
    Disable,
    /// Make a user, or change one: what is granted or revoked changes, named roles make, and a hash alone does either.
    PutUser {
        /// The name.
        name: String,
        /// The hash of the password, where one was given.
        hash: Option<String>,
        /// The roles of a new user.
        roles: Option<Vec<String>>,
        /// The roles it is to have too.
        grant: Vec<String>,
        /// The roles it is to have no more.
        revoke: Vec<String>,
    },
    /// Remove a user.
    DeleteUser(String),
    /// Make a role, or change one: something granted or revoked changes.
    PutRole {
        /// The name.
        name: String,
        /// What a new role may do.
        permissions: Role,
        /// What it may do too.
        grant: Option<Role>,
        /// What it may do no more.
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

/// What a change came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is done, and there is nothing to show.
    Done,
    /// A user has these roles now.
    User {
        /// In the order they are kept.
        roles: Option<Vec<String>>,
        /// Whether there was none of this name.
        created: bool,
    },
    /// A role may do this now.
    Role {
        /// All of it.
        permissions: Role,
        /// Whether there was none of this name.
        created: bool,
    },
}

/// Why a change was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeError {
    /// It is on already.
    AlreadyEnabled,
    /// It is off already.
    AlreadyDisabled,
    /// Nobody could turn it off again.
    NoRootUser,
    /// There is no such user.
    NoUser,
    /// There is one of this name.
    UserExists,
    /// A new user needs a password.
    NoPassword,
    /// Nothing would be another.
    UserUnchanged,
    /// The user has this role.
    RoleHeld(String),
    /// The user does not have this role.
    RoleNotHeld(String),
    /// The user root stays as long as users are heeded.
    RootUser,
    /// There is no such role.
    NoRole,
    /// There is one of this name.
    RoleExists,
    /// Nothing would be another.
    RoleUnchanged,
    /// The role may read that.
    ReadHeld(String),
    /// The role may write that.
    WriteHeld(String),
    /// The role root is as it is.
    RootRole,
    /// Users and roles would take more than [`MAX_BYTES`].
    Full,
}

/// How a change ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeOutcome {
    /// What it came to; after a refusal nothing has changed.
    pub result: Result<Changed, ChangeError>,
    /// How many writes it would have been for etcd, which keeps users in the store: so much the index rises.
    pub writes: u64,
}

impl Auth {
    /// Carries out a change; the same on every member.
    pub fn apply(&mut self, change: &Change) -> ChangeOutcome {
        let mut writes = 0;
        let result = self.carry_out(change, &mut writes);
        ChangeOutcome { result, writes }
    }

    fn carry_out(&mut self, change: &Change, writes: &mut u64) -> Result<Changed, ChangeError> {
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

    /// Refuses what would take more room than there is.
    fn room(&self, more: usize) -> Result<(), ChangeError> {
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
        self.room(name.len() + hash.len() + length(&roles))?;
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
                return Err(ChangeError::RoleHeld(role.clone()));
            }
        }
        for role in revoke {
            if !roles.remove(role.as_str()) {
                return Err(ChangeError::RoleNotHeld(role.clone()));
            }
        }
        let roles = Some(roles.into_iter().map(str::to_owned).collect());
        // A list that was never there or is not in order becomes one that is: to etcd that is a change.
        if hash.is_none() && roles == old.roles {
            return Err(ChangeError::UserUnchanged);
        }
        self.room(hash.map_or(0, str::len) + length(&roles))?;
        let hash = hash.map_or_else(|| old.hash.clone(), str::to_owned);
        // Revoked, the role root is gone from the answer and from nowhere else.
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
        self.room(name.len() + length(&permissions.read) + length(&permissions.write))?;
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
            new.read = Some(joined(&new.read, &more.read).map_err(ChangeError::ReadHeld)?);
            new.write = Some(joined(&new.write, &more.write).map_err(ChangeError::WriteHeld)?);
        }
        if let Some(less) = revoke {
            new.read = Some(without(&new.read, &less.read));
            new.write = Some(without(&new.write, &less.write));
        }
        if new == *old {
            return Err(ChangeError::RoleUnchanged);
        }
        self.room(grant.map_or(0, |more| length(&more.read) + length(&more.write)))?;
        self.roles.insert(name.to_owned(), new.clone());
        self.write(writes);
        Ok(Changed::Role { permissions: new, created: false })
    }
}

/// The user root has the role root whatever else is said.
fn attach(name: &str, roles: &mut Option<Vec<String>>) {
    if name == ROOT && !roles.iter().flatten().any(|role| role == ROOT) {
        roles.get_or_insert_default().push(ROOT.to_owned());
    }
}

fn length(list: &Option<Vec<String>>) -> usize {
    list.iter().flatten().map(|item| item.len() + 2).sum()
}

/// Both lists as one, sorted; the error is what is in both.
fn joined(old: &Option<Vec<String>>, more: &Option<Vec<String>>) -> Result<Vec<String>, String> {
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
