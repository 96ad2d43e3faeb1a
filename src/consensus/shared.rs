//! The data shared by the driver, the persister and all handles.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, AtomicUsize};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError};
use tokio::sync::watch;

use super::backups::Backups;
use super::clock::Clock;
use super::log::LogId;
use super::member::Members;
use super::metrics::Counters;
use super::outcome::{Position, ProposeError};
use super::peers::{PeerMetrics, PeerSender};
use super::request::{DriverRequest, Hint};
use super::roster::Roster;
use super::state::State;
use crate::keyspace::Time;
use crate::keyspace::auth::Auth;

/// Approximate log space of a change besides its key and value.
const CHANGE_OVERHEAD_BYTES: i64 = 256;

/// Whether writes are accepted, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum WriteSpace {
    Available,
    DiskLow,
    QuotaReached,
}

/// Shared by the threads of a member and by all of its handles.
pub(super) struct Shared {
    state: RwLock<State>,
    pub(super) clock: Clock,
    pub(super) counters: Arc<Counters>,
    pub(super) requests: Sender<DriverRequest>,
    pub(super) hints: Sender<Hint>,
    pub(super) request_timeout: Duration,
    /// Bytes of values that wait in the queue or in the log for their result.
    pub(super) queued: AtomicUsize,
    /// Whether this process has published this member's name and addresses.
    pub(super) ready: watch::Sender<bool>,
    /// The most urgent hint since the persister last began a round; 0 is none.
    pub(super) hinted: AtomicU8,
    /// When this process opened the store, nanoseconds since 1970.
    pub(super) started: Time,
    own_id: u64,
    /// Other members can reach this one.
    pub(super) listens: AtomicBool,
    /// The group removed this member.
    pub(super) removed: AtomicBool,
    /// The sender to the other members, once it exists.
    pub(super) peer_sender: OnceLock<PeerSender>,
    /// Bytes that may still be proposed before the free disk space is checked again.
    pub(super) write_budget: AtomicI64,
    /// Requests that wait for a backup.
    pub(super) backups: Backups,
    members: RwLock<Arc<Members>>,
    committed: AtomicU64,
    term: AtomicU64,
    applied: AtomicU64,
    write_space: AtomicU8,
    /// Raft index of a snapshot that replaced the whole state, until the persister has seen it; 0 is none.
    replaced: AtomicU64,
    /// When this member last heard of a leader, or lost one.
    leader_at: RwLock<Instant>,
    /// Whether authentication is enabled; every request checks this.
    auth_enabled: AtomicBool,
}

/// The initial values of a new `Shared`.
pub(super) struct SharedInit {
    pub(super) state: State,
    pub(super) own_id: u64,
    pub(super) cluster_id: u64,
    pub(super) request_timeout: Duration,
    pub(super) counters: Arc<Counters>,
    pub(super) requests: Sender<DriverRequest>,
    pub(super) hints: Sender<Hint>,
}

impl Shared {
    pub(super) fn new(beginning: SharedInit) -> Self {
        let SharedInit { state, own_id, cluster_id, request_timeout, counters, requests, hints } = beginning;
        let members = Members { cluster_id, own_id, ..Members::default() };
        let (applied, latest_time) = (state.applied, state.latest_time);
        let clock = Clock::start(latest_time);
        let shared = Self {
            started: clock.now(),
            own_id,
            listens: AtomicBool::new(false),
            removed: AtomicBool::new(false),
            peer_sender: OnceLock::new(),
            clock,
            write_budget: AtomicI64::new(i64::MAX),
            counters,
            requests,
            hints,
            request_timeout,
            queued: AtomicUsize::new(0),
            ready: watch::channel(false).0,
            hinted: AtomicU8::new(0),
            backups: Backups::default(),
            members: RwLock::new(Arc::new(members)),
            committed: AtomicU64::new(applied.index),
            term: AtomicU64::new(applied.term),
            applied: AtomicU64::new(applied.index),
            write_space: AtomicU8::new(WriteSpace::Available as u8),
            replaced: AtomicU64::new(0),
            leader_at: RwLock::new(Instant::now()),
            auth_enabled: AtomicBool::new(state.auth.enabled()),
            state: RwLock::new(state),
        };
        shared.set_members(&shared.read().roster, None);
        shared
    }

    /// Locks the state for reading. A poisoned lock is accepted: the panic stops the member, and until then the
    /// state is only read.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn members(&self) -> Arc<Members> {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Publishes a changed list of members, or a changed leader.
    pub(super) fn set_members(&self, roster: &Roster, leader: Option<u64>) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let all = roster.members.values().cloned().collect();
        *members = Arc::new(Members { all, leader, ..**members });
    }

    pub(super) fn position(&self) -> Position {
        Position { index: self.committed.load(Relaxed), term: self.term.load(Relaxed) }
    }

    /// Must be called whenever `auth` may have changed, before the lock on the state is released.
    pub(super) fn set_auth(&self, auth: &Auth) {
        self.auth_enabled.store(auth.enabled(), Release);
    }

    pub(super) fn auth_enabled(&self) -> bool {
        self.auth_enabled.load(Acquire)
    }

    pub(super) fn applied(&self) -> u64 {
        self.applied.load(Relaxed)
    }

    pub(super) fn set_progress(&self, committed: u64, applied: u64, term: u64) {
        self.committed.store(committed, Relaxed);
        self.applied.store(applied, Relaxed);
        self.term.store(term, Relaxed);
    }

    /// Records that a snapshot replaced the whole state.
    pub(super) fn replaced(&self, mark: LogId) {
        self.replaced.store(mark.index, Relaxed);
    }

    /// Returns the snapshot that replaced the state since the last call.
    pub(super) fn take_replaced(&self) -> Option<u64> {
        Some(self.replaced.swap(0, Relaxed)).filter(|index| *index != 0)
    }

    /// Returns the metrics of the other members.
    pub(super) fn peers(&self) -> Vec<PeerMetrics> {
        self.peer_sender.get().map(PeerSender::metrics).unwrap_or_default()
    }

    /// Returns whether the stream to a member is open.
    pub(super) fn is_connected(&self, id: u64) -> bool {
        self.peers().iter().any(|peer| peer.id == id && peer.connected)
    }

    /// Records that the leader changed.
    pub(super) fn record_leader_change(&self) {
        *self.leader_at.write().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns why a request that began at `since` was not completed in time.
    pub(super) fn timeout_error(&self, since: Instant) -> ProposeError {
        let changed = *self.leader_at.read().unwrap_or_else(PoisonError::into_inner);
        match self.members().leader {
            Some(_) if changed >= since => ProposeError::LeaderLost,
            Some(leader) if leader != self.own_id && !self.is_connected(leader) => {
                ProposeError::ConnectionLost
            }
            _ => ProposeError::TimedOut,
        }
    }

    /// Passes a request to the driver. Never blocks.
    pub(super) fn send(&self, request: DriverRequest) -> Result<(), ProposeError> {
        self.requests.try_send(request).map_err(|refused| match refused {
            TrySendError::Full(_) => ProposeError::Overloaded,
            TrySendError::Disconnected(_) => ProposeError::Stopping,
        })
    }

    /// Takes `bytes` from the write budget until the next check of the free space; a burst could otherwise fill a
    /// small disk between two checks.
    pub(super) fn take_write_budget(&self, bytes: usize) -> Result<(), ProposeError> {
        self.check_write_space()?;
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX / 2) + CHANGE_OVERHEAD_BYTES;
        if self.write_budget.fetch_sub(bytes, Relaxed) >= bytes {
            return Ok(());
        }
        self.write_budget.fetch_add(bytes, Relaxed);
        // A full queue already holds enough hints.
        self.hints.try_send(Hint::MirrorNow).ok();
        Err(ProposeError::NoSpace)
    }

    pub(super) fn check_write_space(&self) -> Result<(), ProposeError> {
        if self.write_space.load(Relaxed) == WriteSpace::Available as u8 {
            Ok(())
        } else {
            Err(ProposeError::NoSpace)
        }
    }

    /// Returns whether that is a change.
    pub(super) fn set_write_space(&self, space: WriteSpace) -> bool {
        self.write_space.swap(space as u8, Relaxed) != space as u8
    }
}
