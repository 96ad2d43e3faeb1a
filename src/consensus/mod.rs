//! Agrees with the other members on the order of commands, and makes it durable.
//!
//! Owns: the replica (a member of a raft group as a value: ticks, messages and proposals in, effects out), its log
//! on disk, the durable mirror of the state, snapshots, the data folder with its lock and identity, the streams to
//! the other members, the list of members, and the two threads that drive all that. Other rooms hold a [`Handle`].
//!
//! The path of a write: [`Handle::propose`] queues it; the driver thread takes it from the queue and proposes it to
//! the leader, which sends it to the other members and appends it to its log with one fdatasync; when a quorum has
//! it on disk, every member applies it to its state in memory, and the member that received the request replies.
//! The persister thread follows: it mirrors what changed, writes a snapshot now and then and has the log truncated
//! to it.
//!
//! Promises: a command is acknowledged only after a quorum has its log entry on disk and it is applied. A proposal
//! that may have been lost with a leader is sent to the next one, and never applied twice. A restart finds every
//! acknowledged command. The mirror is never the only copy: it is rebuilt from a snapshot and the log when needed.
//! A damaged file is recognised and either repaired from the other members or refused with a message. A failing
//! disk stops the member with a message; a full one delays writes until there is room.
//!
//! Leaves out: the client port (`api`), and what commands mean (`keyspace`).

mod backup;
mod backup_file;
mod backups;
mod clock;
mod data_dir;
mod driver;
mod entry;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod handle;
mod identity;
mod live_backup;
mod log;
mod member;
mod message_check;
mod metrics;
mod mirror;
mod mirror_batch;
mod mirror_delta;
mod mirror_error;
mod node;
mod outcome;
mod pairs;
mod panics;
mod peer_secret;
mod peers;
mod pending;
mod persister;
mod recover;
mod replica;
mod request;
mod restore;
mod roster;
mod session;
mod settings;
mod shared;
mod snapshot;
mod state;
mod state_codec;
mod wal_guard;

#[cfg(test)]
mod tests;

pub use backup::{BackupSummary, copy, save};
pub use backup_file::BackupWriter;
pub use error::{MemberFailure, OpenError};
pub use handle::Handle;
pub use identity::is_new;
pub use live_backup::{Backup, BackupError};
pub use member::{Member, Members, MembershipError};
pub use metrics::ReplicaMetrics;
pub use node::RaftNode;
pub use outcome::{Position, ProposeError, ProposeOutcome};
pub use panics::panic_is_reported;
pub use peer_secret::PeerSecret;
pub use peers::{Latency, PeerMetrics, PeerServer, RemoteCluster, fetch_cluster};
pub use restore::{Restored, restore};
pub use settings::{Settings, StartMode};
