//! Turns the options of commands into jobs.

use std::path::PathBuf;

use crate::client::cluster::Get;
use crate::ctl::{Backup, From, Job, PermissionChange};

use super::access::with_scheme;
use super::flags::Flags;

/// The most connections that are useful for parallel writes.
const MAX_CONNECTIONS: usize = 32;

pub(super) fn get(flags: &Flags) -> Get {
    Get { recursive: flags.on("recursive"), sorted: flags.on("sort"), quorum: flags.on("quorum") }
}

pub(super) fn set(flags: &Flags) -> Job {
    let (swap_value, swap_index) = (flags.bytes("swap-with-value"), flags.index("swap-with-index"));
    Job::Set { ttl: flags.ttl(), swap_value, swap_index }
}

pub(super) fn remove(flags: &Flags) -> Job {
    Job::Remove {
        dir: flags.on("dir"),
        recursive: flags.on("recursive"),
        with_value: flags.bytes("with-value"),
        with_index: flags.index("with-index"),
    }
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

pub(super) fn backup(flags: &Flags) -> Backup {
    let path = |name: &str| flags.all(name).pop().map(PathBuf::from).unwrap_or_default();
    let unused = ["wal-dir", "backup-wal-dir", "with-v3"].into_iter().filter(|name| flags.given(name));
    Backup { data_dir: path("data-dir"), backup_dir: path("backup-dir"), without_meaning: unused.collect() }
}

pub(super) fn import(flags: &Flags) -> Job {
    if flags.given("from") {
        return Job::ImportFrom(From {
            endpoints: flags.text("from").split(',').map(with_scheme).collect(),
            user: Some(flags.text("from-user")).filter(|user| !user.is_empty()),
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

pub(super) fn roles(flags: &Flags) -> Vec<String> {
    texts(flags, "roles")
}

fn texts(flags: &Flags, name: &str) -> Vec<String> {
    flags.all(name).iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

pub(super) fn permissions(flags: &Flags) -> PermissionChange {
    let (read, write) = (flags.on("read"), flags.on("write"));
    PermissionChange { path: flags.text("path"), read, write, both: flags.on("readwrite") }
}
