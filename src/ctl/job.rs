//! The job of one call.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::client::cluster::{Delete, Get, Set};

use super::Access;
use super::end::End;

/// One call of `retune ctl` or `etcdctl`.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The job.
    pub job: Job,
    /// The command's arguments that are not options.
    pub words: Vec<OsString>,
    /// How to connect to the cluster.
    pub access: Access,
    /// `simple`, `extended` or `json`; any other word is an error when there is something to print.
    pub output: String,
    /// Notes about the settings, printed to stderr first.
    pub notes: Vec<String>,
}

impl Job {
    /// Returns whether it may run for days.
    #[must_use]
    pub const fn is_lasting(&self) -> bool {
        match self {
            Self::Watch { .. } | Self::ExecWatch { .. } => true,
            Self::ImportFrom(from) => from.follow,
            _ => false,
        }
    }
}

impl Invocation {
    /// Returns a call that only prints.
    #[must_use]
    pub fn say(message: Message) -> Self {
        let (words, notes) = (Vec::new(), Vec::new());
        Self { job: Job::Say(message), words, access: Access::default(), output: String::new(), notes }
    }

    /// Refuses arguments.
    pub(super) fn no_words(&self) -> Result<(), End> {
        if self.words.is_empty() { Ok(()) } else { Err(End::usage("No arguments accepted\n")) }
    }

    /// Returns the only argument, or an error with this text.
    pub(super) fn only_word(&self, usage: &str) -> Result<String, End> {
        match &self.words[..] {
            [word] => Ok(word.to_string_lossy().into_owned()),
            _ => Err(End::usage(usage)),
        }
    }
}

/// Texts to print, and the exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// For stdout.
    pub stdout: String,
    /// For stderr.
    pub stderr: String,
    /// The exit code.
    pub code: u8,
}

/// The folders of `backup`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// The data folder of a stopped member.
    pub data_dir: PathBuf,
    /// The folder of the copy.
    pub backup_dir: PathBuf,
    /// Options of etcdctl that were given and have no meaning here.
    pub without_meaning: Vec<&'static str>,
}

/// The running store that `import --from` copies from, and how.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct From {
    /// Base URLs as they were typed.
    pub endpoints: Vec<String>,
    /// A name, or `name:password`.
    pub user: Option<String>,
    /// Keys that no listing shows; each is copied as well.
    pub hidden: Vec<String>,
    /// Continue although the target has keys of its own.
    pub merge: bool,
    /// Afterwards copy every change until interrupted.
    pub follow: bool,
    /// How many writes run concurrently.
    pub clients: usize,
}

impl std::fmt::Debug for From {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The user name and the endpoints may hold a password.
        f.debug_struct("From")
            .field("merge", &self.merge)
            .field("follow", &self.follow)
            .finish_non_exhaustive()
    }
}

/// Permissions to grant to a role or revoke.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PermissionChange {
    /// The pattern of keys.
    pub path: String,
    /// Read it.
    pub read: bool,
    /// Write it.
    pub write: bool,
    /// Both.
    pub both: bool,
}

/// The job, with the options of its command.
#[derive(Clone, Debug)]
pub enum Job {
    /// Print this.
    Say(Message),
    /// `get`
    Get(Get),
    /// `ls`
    List {
        /// How to read.
        get: Get,
        /// Mark directories.
        slash: bool,
    },
    /// `set`, `mk`, `update`, and the same for directories.
    Set(Set),
    /// `mk --in-order`: creates the key under a new name that sorts by age.
    MakeInOrder {
        /// Seconds to live; 0: no expiry.
        ttl: u64,
    },
    /// `rm` and `rmdir`
    Remove(Delete),
    /// `watch`
    Watch {
        /// Continue after the first event.
        forever: bool,
        /// Start after this index; 0: from now on.
        after: u64,
        /// Also watch everything below.
        recursive: bool,
    },
    /// `exec-watch`
    ExecWatch {
        /// Start after this index; 0: from now on.
        after: u64,
        /// Also watch everything below.
        recursive: bool,
    },
    /// `member list`
    MemberList,
    /// `member add`
    MemberAdd,
    /// `member remove`
    MemberRemove,
    /// `member update`
    MemberUpdate,
    /// `auth enable` and `auth disable`
    Auth {
        /// Whether to enable it.
        enable: bool,
    },
    /// `user add`
    UserAdd,
    /// `user get`
    UserGet,
    /// `user list`
    UserList,
    /// `user remove`
    UserRemove,
    /// `user grant` and `user revoke`
    UserRoles {
        /// The roles.
        roles: Vec<String>,
        /// Whether to grant them.
        grant: bool,
    },
    /// `user passwd`
    UserPasswd,
    /// `role add`
    RoleAdd,
    /// `role get`
    RoleGet,
    /// `role list`
    RoleList,
    /// `role remove`
    RoleRemove,
    /// `role grant` and `role revoke`
    RolePermissions {
        /// What to grant or revoke.
        change: PermissionChange,
        /// Whether to grant it.
        grant: bool,
    },
    /// `cluster-health`
    ClusterHealth {
        /// Repeat every ten seconds.
        forever: bool,
    },
    /// `backup`
    Backup(Backup),
    /// `export`
    Export {
        /// The document's format; empty for the default.
        format: String,
        /// Include TTLs.
        ttl: bool,
        /// Read only what the majority has.
        quorum: bool,
    },
    /// `import FILE`
    Import {
        /// The document's format; empty: from the file's name.
        format: String,
        /// Only print what would be written.
        dry_run: bool,
        /// Remove keys that are not in the document.
        prune: bool,
    },
    /// `import --from URL`
    ImportFrom(From),
    /// `import --snap FILE`
    ImportSnapshot {
        /// The snapshot of etcd 0.4.
        path: PathBuf,
        /// Hidden keys to copy as well.
        hidden: Vec<String>,
        /// How many writes run concurrently.
        clients: usize,
    },
    /// `diff`
    Diff {
        /// The document's format; empty: from the file's name.
        format: String,
    },
    /// `edit`
    Edit {
        /// The document's format; empty for the default.
        format: String,
    },
    /// Candidates for shell completion.
    CompleteKeys,
}
