//! One call: the command and its arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::client::cluster::{Delete, Get, Set};

use super::Access;
use super::error::CommandError;

/// One call of `retune ctl` or `etcdctl`.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// The command.
    pub command: CtlCommand,
    /// The command's arguments that are not options.
    pub args: Vec<OsString>,
    /// How to connect to the cluster.
    pub access: Access,
    /// `simple`, `extended` or `json`; any other word is an error when there is something to print.
    pub output: String,
    /// Notes about the settings, printed to stderr first.
    pub notes: Vec<String>,
}

impl CtlCommand {
    /// Returns whether it may run for days.
    #[must_use]
    pub const fn is_long_running(&self) -> bool {
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
    pub fn print(message: Message) -> Self {
        let (args, notes) = (Vec::new(), Vec::new());
        Self {
            command: CtlCommand::Print(message),
            args,
            access: Access::default(),
            output: String::new(),
            notes,
        }
    }

    /// Refuses arguments.
    pub(super) fn no_args(&self) -> Result<(), CommandError> {
        if self.args.is_empty() { Ok(()) } else { Err(CommandError::usage("No arguments accepted\n")) }
    }

    /// Returns the only argument, or an error with this text.
    pub(super) fn only_arg(&self, usage: &str) -> Result<String, CommandError> {
        match &self.args[..] {
            [arg] => Ok(arg.to_string_lossy().into_owned()),
            _ => Err(CommandError::usage(usage)),
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
    pub ignored: Vec<&'static str>,
}

/// The running store that `import --from` copies from, and how.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ImportSource {
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

impl std::fmt::Debug for ImportSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The user name and the endpoints may hold a password.
        f.debug_struct("ImportSource")
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

/// The command, with its options.
#[derive(Clone, Debug)]
pub enum CtlCommand {
    /// Print this.
    Print(Message),
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
    ImportFrom(ImportSource),
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
