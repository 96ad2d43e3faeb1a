//! The part of the table about users, roles and whether authentication is on.

use super::row::{Cmd, NONE, Name, Opt, OptKind, switch, text};

const ROLES: &[Opt] =
    &[Opt { names: &["roles"], kind: OptKind::Many, usage: "List of roles to grant or revoke" }];

const fn user(name: &'static str, job: Name, usage: &'static str, options: &'static [Opt]) -> Cmd {
    Cmd { name, job, usage, args: "<user>", options, ..NONE }
}

/// `user …`
pub(super) const USER: &[Cmd] = &[
    user("add", Name::UserAdd, "add a new user for the etcd cluster", &[]),
    user("get", Name::UserGet, "get details for a user", &[]),
    user("list", Name::UserList, "list all current users", &[]),
    user("remove", Name::UserRemove, "remove a user for the etcd cluster", &[]),
    user("grant", Name::UserGrant, "grant roles to an etcd user", ROLES),
    user("revoke", Name::UserRevoke, "revoke roles for an etcd user", ROLES),
    user("passwd", Name::UserPasswd, "change password for a user", &[]),
];

const fn role(name: &'static str, job: Name, usage: &'static str, options: &'static [Opt]) -> Cmd {
    Cmd { name, job, usage, args: "<role>", options, ..NONE }
}

/// `role …`
pub(super) const ROLE: &[Cmd] = &[
    Cmd { args: "<role> ", ..role("add", Name::RoleAdd, "add a new role for the etcd cluster", &[]) },
    role("get", Name::RoleGet, "get details for a role", &[]),
    Cmd { args: " ", ..role("list", Name::RoleList, "list all roles", &[]) },
    role("remove", Name::RoleRemove, "remove a role from the etcd cluster", &[]),
    role(
        "grant",
        Name::RoleGrant,
        "grant path matches to an etcd role",
        &[
            text(&["path"], "Path granted for the role to access"),
            switch(&["read"], "Grant read-only access"),
            switch(&["write"], "Grant write-only access"),
            switch(&["readwrite", "rw"], "Grant read-write access"),
        ],
    ),
    role(
        "revoke",
        Name::RoleRevoke,
        "revoke path matches for an etcd role",
        &[
            text(&["path"], "Path revoked for the role to access"),
            switch(&["read"], "Revoke read access"),
            switch(&["write"], "Revoke write access"),
            switch(&["readwrite", "rw"], "Revoke read-write access"),
        ],
    ),
];

/// `auth …`
pub(super) const AUTH: &[Cmd] = &[
    Cmd { name: "enable", job: Name::AuthEnable, usage: "enable auth access controls", args: " ", ..NONE },
    Cmd { name: "disable", job: Name::AuthDisable, usage: "disable auth access controls", args: " ", ..NONE },
];
