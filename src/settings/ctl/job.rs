//! Turns a command and its options into a job.

use std::path::PathBuf;

use crate::client::cluster::Get;
use crate::ctl::{Backup, From, Job, PermissionChange};

use super::access::with_scheme;
use super::flags::Flags;
use super::row::{Cmd, Name};

/// The most connections that are useful for parallel writes.
const MAX_CONNECTIONS: usize = 32;

/// One arm for each command and no wildcard: a command without a job does not compile.
pub(super) fn of(command: &Cmd, flags: &Flags) -> Job {
    let number = |name: &str| flags.number(name).unwrap_or(0);
    // Go converts the signed number it reads to the unsigned one it sends without a check.
    let index = |name: &str| number(name).cast_unsigned();
    let get = Get { recursive: flags.on("recursive"), sorted: flags.on("sort"), quorum: flags.on("quorum") };
    let (ttl, recursive) = (number("ttl"), flags.on("recursive"));
    let format = flags.text("format");
    match command.job {
        Name::Get => Job::Get { get },
        Name::List => Job::List { get, slash: flags.on("p") },
        Name::Set => {
            Job::Set { ttl, swap_value: flags.bytes("swap-with-value"), swap_index: index("swap-with-index") }
        }
        Name::Make => Job::Make { ttl, in_order: flags.on("in-order") },
        Name::MakeDir => Job::MakeDir { ttl },
        Name::Update => Job::Update { ttl },
        Name::UpdateDir => Job::UpdateDir { ttl },
        Name::SetDir => Job::SetDir { ttl },
        Name::Remove => Job::Remove {
            dir: flags.on("dir"),
            recursive,
            with_value: flags.bytes("with-value"),
            with_index: index("with-index"),
        },
        Name::RemoveDir => Job::RemoveDir,
        Name::Watch => Job::Watch { forever: flags.on("forever"), after: index("after-index"), recursive },
        Name::ExecWatch => Job::ExecWatch { after: index("after-index"), recursive },
        Name::MemberList => Job::MemberList,
        Name::MemberAdd => Job::MemberAdd,
        Name::MemberRemove => Job::MemberRemove,
        Name::MemberUpdate => Job::MemberUpdate,
        Name::AuthEnable => Job::AuthEnable,
        Name::AuthDisable => Job::AuthDisable,
        Name::UserAdd => Job::UserAdd,
        Name::UserGet => Job::UserGet,
        Name::UserList => Job::UserList,
        Name::UserRemove => Job::UserRemove,
        Name::UserGrant => Job::UserGrant { roles: texts(flags, "roles") },
        Name::UserRevoke => Job::UserRevoke { roles: texts(flags, "roles") },
        Name::UserPasswd => Job::UserPasswd,
        Name::RoleAdd => Job::RoleAdd,
        Name::RoleGet => Job::RoleGet,
        Name::RoleList => Job::RoleList,
        Name::RoleRemove => Job::RoleRemove,
        Name::RoleGrant => Job::RoleGrant(regrant(flags)),
        Name::RoleRevoke => Job::RoleRevoke(regrant(flags)),
        Name::ClusterHealth => Job::ClusterHealth { forever: flags.on("forever") },
        Name::Backup => Job::Backup(backup(flags)),
        Name::Export => Job::Export { format, ttl: flags.on("ttl"), quorum: get.quorum },
        Name::Import => import(flags, format),
        Name::Diff => Job::Diff { format },
        Name::Edit => Job::Edit { format },
        Name::CompleteKeys => Job::CompleteKeys,
        Name::Group | Name::Help => unreachable!("{} prints a page of its own", command.name),
    }
}

fn backup(flags: &Flags) -> Backup {
    let path = |name: &str| flags.all(name).pop().map(PathBuf::from).unwrap_or_default();
    let unused = ["wal-dir", "backup-wal-dir", "with-v3"].into_iter().filter(|name| flags.given(name));
    Backup { data_dir: path("data-dir"), backup_dir: path("backup-dir"), without_meaning: unused.collect() }
}

fn import(flags: &Flags, format: String) -> Job {
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
        None => Job::Import { format, dry_run: flags.on("dry-run"), prune: flags.on("prune") },
    }
}

fn clients(flags: &Flags) -> usize {
    usize::try_from(flags.number("c").unwrap_or(10)).unwrap_or(1).clamp(1, 64)
}

fn texts(flags: &Flags, name: &str) -> Vec<String> {
    flags.all(name).iter().map(|word| word.to_string_lossy().into_owned()).collect()
}

fn regrant(flags: &Flags) -> PermissionChange {
    let (read, write) = (flags.on("read"), flags.on("write"));
    PermissionChange { path: flags.text("path"), read, write, both: flags.on("readwrite") }
}
