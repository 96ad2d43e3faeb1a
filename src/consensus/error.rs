//! Why a member cannot start, and why a running one stopped.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::disk;

/// Why the data folder cannot be opened. It is unchanged unless the message says otherwise.
#[derive(Debug, Error)]
pub enum OpenError {
    /// A file operation failed.
    #[error("{path}: {doing}: {why}", path = path.display(), why = disk::explain(error))]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's error.
        error: io::Error,
    },
    /// The log could not be written or read: what failed, where and what to do.
    #[error("{0}")]
    Disk(String),
    /// Another process holds the lock.
    #[error("{path} is in use by process {holder}: stop that one, or give this member a --data-dir of its own", path = path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its process id, or `unknown`.
        holder: String,
    },
    /// The folder belongs to another program or another version.
    #[error("{path}: {what}", path = path.display())]
    Foreign {
        /// The folder or file.
        path: PathBuf,
        /// What was found and what to do.
        what: String,
    },
    /// The content of a file is not what was written.
    #[error("{path} is damaged: {what}", path = path.display())]
    Damaged {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong and what to do.
        what: String,
    },
    /// The group removed this member.
    #[error(
        "{path}: member {id:x} was removed from its cluster: it can no longer use its data. To let it join again, \
         move the folder away, add it (ctl member add), and start it with --initial-cluster-state existing",
        path = path.display()
    )]
    Removed {
        /// The data folder.
        path: PathBuf,
        /// The member's id.
        id: u64,
    },
    /// The settings contradict each other or the folder.
    #[error("{0}")]
    Settings(String),
}

impl OpenError {
    pub(super) fn io(path: &std::path::Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |error| Self::Io { path, doing, error }
    }
}

/// Why a running member stopped by itself.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MemberFailure {
    /// The log could not be written or read: what failed, where and what to do.
    #[error(
        "{0}; this member stops, since it cannot work without its log: fix the cause, then start it again"
    )]
    Log(String),
    /// A committed entry cannot be decoded.
    #[error("log entry {index} cannot be understood: {what}; was it written by a newer version?")]
    Entry {
        /// Its raft index.
        index: u64,
        /// Why.
        what: String,
    },
    /// The disk was rolled back, or lost what it had synced.
    #[error(
        "this member's log ends at entry {last}, although it confirmed {confirmed} to the others: its data folder is an old \
         copy or lost writes. It must not vote any more: remove the member from the group (ctl member remove), move \
         the data folder away, and add it again (ctl member add)"
    )]
    LostEntries {
        /// The last entry it has.
        last: u64,
        /// The entry that the leader knows it had.
        confirmed: u64,
    },
    /// The other members removed this one.
    #[error(
        "this member was removed from the group: it can no longer use its data, and it will not start again"
    )]
    Removed,
    /// Raft itself cannot continue.
    #[error(
        "the members of the group do not agree on who belongs to it: {0}; restore this member from a backup"
    )]
    Raft(String),
    /// The data folder was removed.
    #[error("{path} is gone (ENOENT), with everything in it: put it back, then start this member again", path = .0.display())]
    DataDirRemoved(PathBuf),
    /// A thread ended because of a bug.
    #[error("the {0} thread ended unexpectedly; its error is logged above")]
    Thread(&'static str),
}
