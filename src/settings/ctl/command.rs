//! Turns the options of commands into jobs.

use std::path::PathBuf;

use crate::client::cluster::{Delete, Get, Set};
use crate::ctl::{Backup, CtlCommand, ImportSource, PermissionChange};

use super::super::go_flags::Flags;
use super::access::with_scheme;

/// The most connections that are useful for parallel writes.
const MAX_CONNECTIONS: usize = 32;

pub(super) fn get(flags: &Flags) -> Get {
    Get { recursive: flags.on("recursive"), sorted: flags.on("sort"), quorum: flags.on("quorum") }
}

pub(super) fn set(flags: &Flags) -> CtlCommand {
    let (previous_value, previous_index) = (flags.bytes("swap-with-value"), flags.index("swap-with-index"));
    CtlCommand::Set(Set { ttl: flags.ttl(), previous_value, previous_index, ..Set::default() })
}

pub(super) fn make(flags: &Flags) -> CtlCommand {
    let ttl = flags.ttl();
    if flags.on("in-order") {
        return CtlCommand::MakeInOrder { ttl };
    }
    CtlCommand::Set(Set { ttl, exists: Some(false), ..Set::default() })
}

pub(super) fn update(flags: &Flags) -> CtlCommand {
    CtlCommand::Set(Set { ttl: flags.ttl(), exists: Some(true), ..Set::default() })
}

pub(super) fn dir(flags: &Flags, exists: Option<bool>) -> CtlCommand {
    CtlCommand::Set(Set { dir: true, ttl: flags.ttl(), exists, ..Set::default() })
}

pub(super) fn remove(flags: &Flags) -> CtlCommand {
    CtlCommand::Remove(Delete {
        dir: flags.on("dir"),
        recursive: flags.on("recursive"),
        previous_value: flags.bytes("with-value"),
        previous_index: flags.index("with-index"),
    })
}

pub(super) fn watch(flags: &Flags) -> CtlCommand {
    let (after, recursive) = (flags.index("after-index"), flags.on("recursive"));
    CtlCommand::Watch { forever: flags.on("forever"), after, recursive }
}

pub(super) fn exec_watch(flags: &Flags) -> CtlCommand {
    CtlCommand::ExecWatch { after: flags.index("after-index"), recursive: flags.on("recursive") }
}

pub(super) fn export(flags: &Flags) -> CtlCommand {
    CtlCommand::Export { format: flags.text("format"), ttl: flags.on("ttl"), quorum: flags.on("quorum") }
}

pub(super) fn backup(flags: &Flags) -> CtlCommand {
    let path = |name: &str| flags.all(name).pop().map(PathBuf::from).unwrap_or_default();
    let unused = ["wal-dir", "backup-wal-dir", "with-v3"].into_iter().filter(|name| flags.given(name));
    let (data_dir, backup_dir) = (path("data-dir"), path("backup-dir"));
    CtlCommand::Backup(Backup { data_dir, backup_dir, ignored: unused.collect() })
}

pub(super) fn import(flags: &Flags) -> CtlCommand {
    if flags.given("from") {
        return CtlCommand::ImportFrom(ImportSource {
            endpoints: flags.text("from").split(',').map(with_scheme).collect(),
            user: flags.filled("from-user"),
            hidden: texts(flags, "hidden"),
            merge: flags.on("merge"),
            follow: flags.on("follow"),
            clients: if flags.given("c") { clients(flags) } else { MAX_CONNECTIONS },
        });
    }
    match flags.all("snap").pop().filter(|path| !path.is_empty()) {
        Some(path) => CtlCommand::ImportSnapshot {
            path: path.into(),
            hidden: texts(flags, "hidden"),
            clients: clients(flags),
        },
        None => CtlCommand::Import {
            format: flags.text("format"),
            dry_run: flags.on("dry-run"),
            prune: flags.on("prune"),
        },
    }
}

fn clients(flags: &Flags) -> usize {
    usize::try_from(flags.number("c").unwrap_or(10)).unwrap_or(1).clamp(1, 64)
}

pub(super) fn roles(flags: &Flags, grant: bool) -> CtlCommand {
    CtlCommand::UserRoles { roles: texts(flags, "roles"), grant }
}

fn texts(flags: &Flags, name: &str) -> Vec<String> {
    flags.all(name).iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

pub(super) fn permissions(flags: &Flags, grant: bool) -> CtlCommand {
    let (read, write, both) = (flags.on("read"), flags.on("write"), flags.on("readwrite"));
    CtlCommand::RolePermissions {
        change: PermissionChange { path: flags.text("path"), read, write, both },
        grant,
    }
}
