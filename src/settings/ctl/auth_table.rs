//! The part of the table about users, roles and whether authentication is on.

use crate::ctl::CtlCommand;

use super::super::go_flags::Flags;
use super::super::row::Row;
use super::super::row::ValueKind::{Repeat, Switch, Text};
use super::command::{permissions, roles};
use super::row::{Cmd, cmd, option};

const ROLES: &[Row] = &[option(&["roles"], Repeat, "List of roles to grant or revoke")];

const fn user(name: &'static str, usage: &'static str, build: fn(&Flags) -> CtlCommand) -> Cmd {
    cmd(name, usage, "<user>", build)
}

/// `user …`
pub(super) const USER: &[Cmd] = &[
    user("add", "add a new user for the etcd cluster", |_| CtlCommand::UserAdd),
    user("get", "get details for a user", |_| CtlCommand::UserGet),
    user("list", "list all current users", |_| CtlCommand::UserList),
    user("remove", "remove a user for the etcd cluster", |_| CtlCommand::UserRemove),
    user("grant", "grant roles to an etcd user", |flags| roles(flags, true)).options(ROLES),
    user("revoke", "revoke roles for an etcd user", |flags| roles(flags, false)).options(ROLES),
    user("passwd", "change password for a user", |_| CtlCommand::UserPasswd),
];

const fn role(name: &'static str, usage: &'static str, build: fn(&Flags) -> CtlCommand) -> Cmd {
    cmd(name, usage, "<role>", build)
}

/// `role …`
pub(super) const ROLE: &[Cmd] = &[
    cmd("add", "add a new role for the etcd cluster", "<role> ", |_| CtlCommand::RoleAdd),
    role("get", "get details for a role", |_| CtlCommand::RoleGet),
    cmd("list", "list all roles", " ", |_| CtlCommand::RoleList),
    role("remove", "remove a role from the etcd cluster", |_| CtlCommand::RoleRemove),
    role("grant", "grant path matches to an etcd role", |flags| permissions(flags, true)).options(&[
        option(&["path"], Text, "Path granted for the role to access"),
        option(&["read"], Switch, "Grant read-only access"),
        option(&["write"], Switch, "Grant write-only access"),
        option(&["readwrite", "rw"], Switch, "Grant read-write access"),
    ]),
    role("revoke", "revoke path matches for an etcd role", |flags| permissions(flags, false)).options(&[
        option(&["path"], Text, "Path revoked for the role to access"),
        option(&["read"], Switch, "Revoke read access"),
        option(&["write"], Switch, "Revoke write access"),
        option(&["readwrite", "rw"], Switch, "Revoke read-write access"),
    ]),
];

/// `auth …`
pub(super) const AUTH: &[Cmd] = &[
    cmd("enable", "enable auth access controls", " ", |_| CtlCommand::Auth { enable: true }),
    cmd("disable", "disable auth access controls", " ", |_| CtlCommand::Auth { enable: false }),
];
