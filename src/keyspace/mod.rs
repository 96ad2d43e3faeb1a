//! The state machine of the store: commands in, outcomes and events out.
//!
//! Owns: the tree of keys, the change counter (the *index*), TTLs, the window of past events, the watchers, the
//! counters of `/v2/stats/store`, and the byte forms of commands, nodes and events for logs and snapshots.
//!
//! Promises: no network, no disk, no wall clock: a command carries everything that it depends on, including the
//! time, so that members that apply the same commands hold the same bytes. A refused command changes nothing.
//! Undecodable bytes are an error, never a panic, and never allocate out of proportion to their length. Decoded
//! commands have clean keys; other callers must check theirs with `is_key`.
//!
//! Leaves out: agreeing on the order of commands and storing them (`consensus`), and every form used over HTTP
//! (`protocol`, `api`).

pub mod auth;
mod bottom_up;
mod bytes;
mod change;
mod children;
mod codec;
mod command;
mod delivery;
mod error;
mod event;
mod expiry;
mod history;
mod loader;
mod name;
mod path;
mod pending_changes;
mod record;
mod replace;
mod space;
mod store_stats;
mod time;
mod tree;
mod view;
mod watch;
mod watchers;

#[cfg(test)]
pub(crate) mod tests;

pub use command::{Command, Operation};
pub use delivery::Delivery;
pub use error::{Code, DecodeError, Error};
pub use event::{Action, Event, EventNode};
pub use history::{ClearedEvent, HistoryEntry};
pub use loader::Loader;
pub use path::{MAX_DEPTH_TIMES_LENGTH, is_key};
pub use pending_changes::{Changes, WrittenKey};
pub use record::{DirId, NodePlace, NodeRecord, RemovedNode};
pub use space::Keyspace;
pub use store_stats::StoreStats;
pub use time::{Time, expiry, remaining};
pub use view::{NodeKind, NodeView};
pub use watch::{Watch, WatchOptions};

use std::sync::Arc;

/// A key as stored: raw bytes, absolute, clean (no empty, `.` or `..` segment, no `/` at the end but for the root,
/// which is `/` itself). Not always UTF-8.
pub type Key = Arc<[u8]>;
/// A value: raw bytes.
pub type Value = Arc<[u8]>;
/// How many events the window of past events holds, internal ones and refreshes included (etcd's figure).
pub const HISTORY_EVENTS: usize = 1000;
/// How many bytes of values the window may keep alive: beyond that, the oldest large events lose their values. etcd
/// has no such limit; there, a thousand values of the largest size take ten gigabytes.
pub const HISTORY_BYTES: usize = 64 << 20;
