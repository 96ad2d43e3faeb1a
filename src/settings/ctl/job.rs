//! Turns the options of commands into jobs.

use std::path::PathBuf;

use crate::client::cluster::{Delete, Get, Set};
use crate::ctl::{Backup, From, Job, PermissionChange};

use super::super::go_flags::Flags;
use super::access::with_scheme;

/// The most connections that are useful for parallel writes.
const MAX_CONNECTIONS: usize = 32;

pub(super) fn get(flags: &Flags) -> Get {
    Get { recursive: flags.on("recursive"), sorted: flags.on("sort"), quorum: flags.on("quorum") }
}

pub(super) fn set(flags: &Flags) -> Job {
    let (previous_value, previous_index) = (flags.bytes("swap-with-value"), flags.index("swap-with-index"));
    Job::Set(Set { ttl: flags.ttl(), previous_value, previous_index, ..Set::default() })
}

pub(super) fn make(flags: &Flags) -> Job {
    let ttl = flags.ttl();
    if flags.on("in-order") {
        return Job::MakeInOrder { ttl };
    }
    Job::Set(Set { ttl, exists: Some(false), ..Set::default() })
}

pub(super) fn update(flags: &Flags) -> Job {
    Job::Set(Set { ttl: flags.ttl(), exists: Some(true), ..Set::default() })
}

pub(super) fn dir(flags: &Flags, exists: Option<bool>) -> Job {
    Job::Set(Set { dir: true, ttl: flags.ttl(), exists, ..Set::default() })
}

pub(super) fn remove(flags: &Flags) -> Job {
    Job::Remove(Delete {
        dir: flags.on("dir"),
        recursive: flags.on("recursive"),
        previous_value: flags.bytes("with-value"),
        previous_index: flags.index("with-index"),
    })
}

pub(super) fn watch(flags: &Flags) -> Job {
    let (after, recursive) = (flags.index("after-index"), flags.on("recursive"));
    Job::Watch { forever: flags.on("forever"), after, recursive }
}

pub(super) fn exec_watch(flags: &Flags) -> Job {
    Job::ExecWatch { after: flags.index("after-index"), recursive: flags.on("recursive") }
}

pub(super) fn export(flags: &Flags) -> Job {
    Job::Export { format: flags.text("format"), ttl: flags.on("ttl"), quorum: flags.on("quorum") }
}

pub(super) fn backup(flags: &Flags) -> Job {
    let path = |name: &str| flags.all(name).pop().map(PathBuf::from).unwrap_or_default();
    let unused = ["wal-dir", "backup-wal-dir", "with-v3"].into_iter().filter(|name| flags.given(name));
    let (data_dir, backup_dir) = (path("data-dir"), path("backup-dir"));
    Job::Backup(Backup { data_dir, backup_dir, without_meaning: unused.collect() })
}

pub(super) fn import(flags: &Flags) -> Job {
    if flags.given("from") {
        return Job::ImportFrom(From {
            endpoints: flags.text("from").split(',').map(with_scheme).collect(),
            user: flags.filled("from-user"),
            hidden: texts(flags, "hidden"),
            merge: flags.on("merge"),
            follow: flags.on("follow"),
            clients: if flags.given("c") { clients(flags) } else { MAX_CONNECTIONS },
        });
    }
    match flags.all("snap").pop().filter(|path| !path.is_empty()) {
        Some(path) => {
            Job::ImportSnapshot { path: path.into(), hidden: texts(flags, "hidden"), clients: clients(flags) }
        }
        None => Job::Import {
            format: flags.text("format"),
            dry_run: flags.on("dry-run"),
            prune: flags.on("prune"),
        },
    }
}

fn clients(flags: &Flags) -> usize {
    usize::try_from(flags.number("c").unwrap_or(10)).unwrap_or(1).clamp(1, 64)
}

pub(super) fn roles(flags: &Flags, grant: bool) -> Job {
    Job::UserRoles { roles: texts(flags, "roles"), grant }
}

fn texts(flags: &Flags, name: &str) -> Vec<String> {
    flags.all(name).iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

pub(super) fn permissions(flags: &Flags, grant: bool) -> Job {
    let (read, write, both) = (flags.on("read"), flags.on("write"), flags.on("readwrite"));
    Job::RolePermissions { change: PermissionChange { path: flags.text("path"), read, write, both }, grant }
}
