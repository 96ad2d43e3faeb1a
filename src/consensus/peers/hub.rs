//! The data shared by the tasks of this room.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use hyper::StatusCode;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use super::admission::Admission;
use super::directory::{Handshake, HandshakeError, PeerDirectory};
use super::fetch_request::FetchRequest;
use super::loss_question::LossQuestion;
use super::peer_queue::PeerQueue;
use super::pins::Pins;
use super::rate_limiter::RateLimiter;
use super::removal::RemovalReports;
use super::unknown_peers::UnknownPeers;
use super::{Addresses, Inbound, PeerVerification};
use crate::consensus::member::Member;
use crate::consensus::peer_secret::PeerSecret;
use crate::keyspace::Time;
use crate::log_throttle::LogThrottle;
use crate::stop::Stop;
use crate::tls::Connector;

/// How often members ping each other.
pub(super) const PING_INTERVAL: Duration = Duration::from_millis(500);
/// Different messages about peers that are logged per minute.
const MAX_LOG_LINES: usize = 256;
/// Members that only other members have reported.
const MAX_UNKNOWN_PEERS: usize = 16;
/// When to retry after the driver's queue was full.
const DRIVER_RETRY_DELAY: Duration = Duration::from_millis(5);

/// Passes an item to the driver, or returns it when there is no room. Never blocks.
pub(in crate::consensus) type Deliver = Arc<dyn Fn(Inbound) -> Result<(), Inbound> + Send + Sync>;
/// Returns the store's time.
pub(in crate::consensus) type Now = Arc<dyn Fn() -> Time + Send + Sync>;

/// Shared by all tasks and by the driver's [`super::PeerSender`].
pub(super) struct PeerHub {
    pub(super) election: Duration,
    pub(super) snapshots: PathBuf,
    pub(super) tls: Connector,
    pub(super) secret: Option<PeerSecret>,
    pub(super) verification: PeerVerification,
    pub(super) admission: Arc<Admission>,
    pub(super) removal: RemovalReports,
    pub(super) loss_question: LossQuestion,
    pub(super) deliver: Deliver,
    pub(super) now: Now,
    pub(super) pins: Pins,
    pub(super) rate_limiter: RateLimiter,
    pub(super) log_throttle: LogThrottle,
    pub(super) fetch_request: FetchRequest,
    pub(super) unknown_peers: UnknownPeers,
    pub(super) peer_queues: RwLock<BTreeMap<u64, Arc<PeerQueue>>>,
    pub(super) peer_queues_changed: Notify,
    /// Bytes of snapshots sent.
    pub(super) served: AtomicU64,
    pub(super) directory: RwLock<Arc<PeerDirectory>>,
    sessions: Mutex<BTreeMap<u64, PeerSession>>,
    started_at: Instant,
}

impl fmt::Debug for PeerHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerHub").field("peer_queues", &self.peer_queues).finish_non_exhaustive()
    }
}

/// The stream that currently represents a member.
#[derive(Debug)]
struct PeerSession {
    process: u64,
    serial: u64,
    last_seen: Arc<AtomicU64>,
    end: Stop,
}

/// The right to represent a member; released when dropped.
#[derive(Debug)]
pub(super) struct SessionGuard {
    hub: Arc<PeerHub>,
    from: u64,
    serial: u64,
    last_seen: Arc<AtomicU64>,
    /// Another stream of the same member replaced this one.
    pub(super) end: Stop,
}

impl PeerHub {
    pub(super) fn new(beginning: super::PeersInit) -> Self {
        let super::PeersInit {
            directory,
            election,
            snapshots,
            tls,
            secret,
            verification,
            deliver,
            now,
            pins,
        } = beginning;
        Self {
            election,
            snapshots,
            tls,
            secret,
            verification,
            admission: Arc::default(),
            removal: RemovalReports::default(),
            loss_question: LossQuestion::default(),
            deliver,
            now,
            pins,
            rate_limiter: RateLimiter::default(),
            log_throttle: LogThrottle::new(MAX_LOG_LINES),
            fetch_request: FetchRequest::default(),
            unknown_peers: UnknownPeers::default(),
            peer_queues: RwLock::default(),
            peer_queues_changed: Notify::new(),
            served: AtomicU64::new(0),
            directory: RwLock::new(Arc::new(directory)),
            sessions: Mutex::default(),
            started_at: Instant::now(),
        }
    }

    pub(super) fn directory(&self) -> Arc<PeerDirectory> {
        Arc::clone(&self.directory.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns whether TLS verifies who responds at `url`.
    pub(super) fn verifies(&self, url: &str) -> bool {
        self.verification.called && url.starts_with("https://")
    }

    /// Changes the directory, and the streams that follow from it.
    pub(super) fn update_directory(&self, change: impl FnOnce(&mut PeerDirectory)) {
        // Locked to the end: the log and a lookup may change it at the same time.
        let mut slot = self.directory.write().unwrap_or_else(PoisonError::into_inner);
        let mut directory = PeerDirectory::clone(&slot);
        change(&mut directory);
        let known =
            directory.members.values().map(|known| &known.member).chain(directory.unknown_peers.values());
        let others = known.filter(|member| member.id != directory.own);
        let addresses = others.map(|member| (member.id, member.peer_urls.clone())).collect();
        *slot = Arc::new(directory);
        self.set_addresses(addresses);
    }

    /// Adds members that the log does not contain yet.
    pub(super) fn add_unknown_peers(&self, members: Vec<Member>) {
        self.update_directory(|directory| {
            for member in members {
                let known =
                    directory.members.contains_key(&member.id) || directory.removed.contains(&member.id);
                if known || member.id == directory.own || directory.unknown_peers.len() >= MAX_UNKNOWN_PEERS {
                    continue;
                }
                let name = &member.name;
                tracing::info!(
                    "member {:x} ({name}) joined while this one was away, as other members report",
                    member.id
                );
                directory.unknown_peers.insert(member.id, member);
            }
        });
    }

    /// Opens streams to new members, ends those to members that left, and changes addresses.
    pub(super) fn set_addresses(&self, others: Addresses) {
        let mut peer_queues = self.peer_queues.write().unwrap_or_else(PoisonError::into_inner);
        for (_, peer_queue) in peer_queues.extract_if(.., |id, _| !others.contains_key(id)) {
            peer_queue.end.request();
        }
        for (id, urls) in others {
            match peer_queues.get(&id) {
                Some(peer_queue) => peer_queue.set_urls(urls),
                None => {
                    peer_queues.insert(id, Arc::new(PeerQueue::new(id, urls)));
                }
            }
        }
        drop(peer_queues);
        self.peer_queues_changed.notify_one();
    }

    pub(super) fn peer_queue(&self, id: u64) -> Option<Arc<PeerQueue>> {
        self.peer_queues.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// Passes the driver an item that must not be lost; waits while its queue is full.
    pub(super) async fn report(&self, mut what: Inbound) {
        while let Err(back) = (self.deliver)(what) {
            what = back;
            sleep(DRIVER_RETRY_DELAY).await;
        }
    }

    /// Reports to the driver, once per loss, that a member's process is gone.
    pub(super) async fn report_gone(&self, id: u64) {
        if let Some(peer_queue) = self.peer_queue(id)
            && !peer_queue.gone.swap(true, Relaxed)
        {
            tracing::info!("member {} is gone: its process ended", self.directory().shown(id));
            self.report(Inbound::Gone(id)).await;
        }
    }

    fn uptime_millis(&self) -> u64 {
        u64::try_from(self.started_at.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Gives a stream the session of a member. An older stream of the same process, or one that timed out, loses it.
    pub(super) fn open_session(
        self: &Arc<Self>,
        handshake: &Handshake,
    ) -> Result<SessionGuard, HandshakeError> {
        let from = handshake.from;
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let (age, silent) = (self.uptime_millis(), self.election.max(PING_INTERVAL * 3));
        let mut serial = 0;
        if let Some(session) = sessions.get(&from) {
            let since = Duration::from_millis(age.saturating_sub(session.last_seen.load(Relaxed)));
            if session.process != handshake.process && since < silent {
                return Err(HandshakeError::new(
                    StatusCode::CONFLICT,
                    format!(
                        "two processes claim to be member {from:x}: stop the one that does not belong there"
                    ),
                ));
            }
            session.end.request();
            serial = session.serial + 1;
        }
        let (last_seen, end) = (Arc::new(AtomicU64::new(age)), Stop::new());
        let session = PeerSession {
            process: handshake.process,
            serial,
            last_seen: Arc::clone(&last_seen),
            end: end.clone(),
        };
        sessions.insert(from, session);
        Ok(SessionGuard { hub: Arc::clone(self), from, serial, last_seen, end })
    }
}

/// Checks the caller's handshake.
pub(super) fn check(hub: &PeerHub, handshake: &Handshake) -> Result<(), HandshakeError> {
    let checked = hub.directory().check(handshake);
    if checked.as_ref().is_err_and(|refusal| refusal.status == StatusCode::FORBIDDEN) {
        hub.unknown_peers.add(handshake.from);
    }
    checked
}

impl SessionGuard {
    /// Records that bytes arrived, so the sender is alive.
    pub(super) fn record_activity(&self) {
        self.last_seen.store(self.hub.uptime_millis(), Relaxed);
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        let mut sessions = self.hub.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.get(&self.from).is_some_and(|session| session.serial == self.serial) {
            sessions.remove(&self.from);
        }
    }
}
