//! What one call is to do.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::client::cluster::Get;

use super::Access;

/// One call of `retune ctl` or `etcdctl`.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// What to do.
    pub job: Job,
    /// The words of the command that are no options.
    pub words: Vec<OsString>,
    /// How the cluster is reached.
    pub access: Access,
    /// `simple`, `extended` or `json`; any other word is refused when there is something to print.
    pub output: String,
    /// What is said of the settings before anything else, on stderr.
    pub notes: Vec<String>,
}

impl Job {
    /// Whether it may go on for days.
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
    /// A call that only prints.
    #[must_use]
    pub fn say(message: Message) -> Self {
        let (words, notes) = (Vec::new(), Vec::new());
        Self { job: Job::Say(message), words, access: Access::default(), output: String::new(), notes }
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

/// Which folders `backup` is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backup {
    /// The data folder of a member that does not run.
    pub data_dir: PathBuf,
    /// Where the copy goes.
    pub backup_dir: PathBuf,
    /// Options of etcdctl's that were given and mean nothing here.
    pub without_meaning: Vec<&'static str>,
}

/// From which running store `import --from` takes keys, and how.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct From {
    /// Base URLs as they were typed.
    pub endpoints: Vec<String>,
    /// A name, or `name:password`.
    pub user: Option<String>,
    /// Keys that no listing shows, each to be taken as well.
    pub hidden: Vec<String>,
    /// Go on although the target has keys of its own.
    pub merge: bool,
    /// Then carry over every change until interrupted.
    pub follow: bool,
    /// How many writes at a time.
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

/// What a role is to be able to do, or no more.
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

/// The job, with the options of its command. Numbers are what the user typed; a TTL counts when it is positive.
#[derive(Clone, Debug)]
pub enum Job {
    /// Print this.
    Say(Message),
    /// `get`
    Get {
        /// How to read.
        get: Get,
    },
    /// `ls`
    List {
        /// How to read.
        get: Get,
        /// Mark directories.
        slash: bool,
    },
    /// `set`
    Set {
        /// Seconds.
        ttl: i64,
        /// What must be there.
        swap_value: Vec<u8>,
        /// The index of what must be there.
        swap_index: u64,
    },
    /// `mk`
    Make {
        /// Seconds.
        ttl: i64,
        /// Under a new name that sorts by age.
        in_order: bool,
    },
    /// `mkdir`
    MakeDir {
        /// Seconds.
        ttl: i64,
    },
    /// `update`
    Update {
        /// Seconds.
        ttl: i64,
    },
    /// `updatedir`
    UpdateDir {
        /// Seconds.
        ttl: i64,
    },
    /// `setdir`
    SetDir {
        /// Seconds.
        ttl: i64,
    },
    /// `rm`
    Remove {
        /// Also an empty directory.
        dir: bool,
        /// Also a directory with all it holds.
        recursive: bool,
        /// What must be there.
        with_value: Vec<u8>,
        /// The index of what must be there.
        with_index: u64,
    },
    /// `rmdir`
    RemoveDir,
    /// `watch`
    Watch {
        /// Go on after the first event.
        forever: bool,
        /// From the index after this; 0 is from now on.
        after: u64,
        /// Also what is below.
        recursive: bool,
    },
    /// `exec-watch`
    ExecWatch {
        /// From the index after this; 0 is from now on.
        after: u64,
        /// Also what is below.
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
    /// `auth enable`
    AuthEnable,
    /// `auth disable`
    AuthDisable,
    /// `user add`
    UserAdd,
    /// `user get`
    UserGet,
    /// `user list`
    UserList,
    /// `user remove`
    UserRemove,
    /// `user grant`
    UserGrant {
        /// Which.
        roles: Vec<String>,
    },
    /// `user revoke`
    UserRevoke {
        /// Which.
        roles: Vec<String>,
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
    /// `role grant`
    RoleGrant(PermissionChange),
    /// `role revoke`
    RoleRevoke(PermissionChange),
    /// `cluster-health`
    ClusterHealth {
        /// Again every ten seconds.
        forever: bool,
    },
    /// `backup`
    Backup(Backup),
    /// `export`
    Export {
        /// The document's format; empty for the default.
        format: String,
        /// With times to live.
        ttl: bool,
        /// Only what the majority has.
        quorum: bool,
    },
    /// `import FILE`
    Import {
        /// The document's format; empty for what the name says.
        format: String,
        /// Only say what would be written.
        dry_run: bool,
        /// Remove what the document does not name.
        prune: bool,
    },
    /// `import --from URL`
    ImportFrom(From),
    /// `import --snap FILE`
    ImportSnapshot {
        /// The snapshot of etcd 0.4.
        path: PathBuf,
        /// Hidden keys to take as well.
        hidden: Vec<String>,
        /// How many writes at a time.
        clients: usize,
    },
    /// `diff`
    Diff {
        /// The document's format; empty for what the name says.
        format: String,
    },
    /// `edit`
    Edit {
        /// The document's format; empty for the default.
        format: String,
    },
    /// Candidates for the shells' completions.
    CompleteKeys,
}
