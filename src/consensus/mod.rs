//! Agreeing on the order of commands, and keeping it.
//!
//! Owns: the replica (a member of a raft group as a value: ticks, messages and proposals in, effects out), its log
//! on disk, the durable mirror of the state, snapshots, the data folder with its lock and identity, the streams to the
//! other members, who belongs to the group, and the two threads that drive all that. Others hold a [`Handle`].
//!
//! The way of a write: [`Handle::propose`] queues it; the driver's thread takes what is queued and puts it to the leader,
//! which sends it to the others and appends it to its log with one fdatasync; when a quorum has it on disk, every member
//! applies it to its state in memory, and the one that was asked answers. The persister's thread follows behind: it mirrors
//! what changed, writes a snapshot now and then and has the log cut back to it.
//!
//! Promises: a command is answered only after a quorum has its log entry on disk and it is applied. A proposal that may
//! have been lost with a leader is put to the next one, and never carried out twice. A restart finds every answered
//! command. Nothing rests on the mirror alone: with a snapshot and the log it can be rebuilt, and is. A damaged file
//! is recognised and either made good from the others or refused with a message. A disk that fails stops the member
//! with a message instead of answering half-truths; a full one holds writes up until there is room.
//!
//! Leaves out: the client port (`api`), and what commands mean (`keyspace`).

mod backup;
mod backup_file;
mod backups;
mod clock;
mod driver;
mod entry;
mod error;
mod figures;
mod folder;
mod handle;
mod identity;
mod library;
mod log;
mod member;
mod mirror;
mod node;
mod online;
mod outcome;
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
pub use error::{Failure, OpenError};
pub use figures::Figures;
pub use handle::Handle;
pub use identity::is_new;
pub use library::panic_is_reported;
pub use member::{Member, MemberRefusal, Members};
pub use node::Node;
pub use online::{Backup, NoBackup};
pub use outcome::{Position, ProposeError, ProposeOutcome};
pub use peers::{Latency, PeerFigures, PeerServer, Survey, survey};
pub use restore::{Restored, restore};
pub use settings::{Settings, Start};
