//! One member: opened, run, stopped.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, TrySendError, bounded};
use tokio::sync::oneshot;

use super::data_dir::DataDir;
use super::driver::{Driver, DriverInit, Outbox, PublishAttributes};
use super::error::{MemberFailure, OpenError};
use super::handle::Handle;
use super::identity::Identity;
use super::metrics::Counters;
use super::peers::{
    self, Inbound, PeerDirectory, PeerSender, PeerServer, PeerVerification, Peers, Pins, RemoteCluster,
};
use super::persister::{LastReported, Persister};
use super::recover::{Recovered, check_identity, force_single_member, recover};
use super::replica::Replica;
use super::request::Hint;
use super::request::{DriverRequest, QUEUE_CAPACITY};
use super::settings::{Settings, StartMode};
use super::shared::{Shared, SharedInit};
use crate::stop::{Loops, Stop};
use crate::tls::Connector;

/// Hints that may wait for the persister; one of each kind is enough.
const HINT_QUEUE_CAPACITY: usize = 8;
/// How long to wait for the driver: one that waits for a full disk does not receive the request to stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// One member of the store. Its threads live until [`RaftNode::run`] ends.
pub struct RaftNode {
    shared: Arc<Shared>,
    peers: Peers,
    driver: JoinHandle<()>,
    persister: JoinHandle<()>,
    driver_ended: oneshot::Receiver<Result<(), MemberFailure>>,
    persister_ended: oneshot::Receiver<Result<(), MemberFailure>>,
}

impl RaftNode {
    /// Opens the data folder, repairs what a crash left, and starts the threads. Blocks. `found` is what the other
    /// members report about their group; it is used when the folder is empty.
    ///
    /// # Errors
    /// The folder belongs to another program, is in use, damaged or cannot be written. It is left as it
    /// was.
    pub fn open(settings: Settings, found: Option<&RemoteCluster>) -> Result<Self, OpenError> {
        let folder = Arc::new(DataDir::open(&settings.data_dir)?);
        let (mut identity, beginning) = Identity::open(&folder, &settings, found)?;
        let counters = Arc::new(Counters::default());
        let mut recovered = recover(&folder, &mut identity, beginning, &counters)?;
        if settings.start == StartMode::ForceNew {
            recovered = force_single_member(recovered, &folder, identity.id)?;
        }
        check_identity(&recovered.state, identity.id, &settings)?;
        let (send_request, requests) = bounded(QUEUE_CAPACITY);
        let (send_hint, hints) = bounded(HINT_QUEUE_CAPACITY);
        let Recovered { log, state, mirror, snapshot } = recovered;
        counters.snapshot_index.store(snapshot, Relaxed);
        let applied = state.applied.index;
        let roster = state.roster.clone();
        let (mirrored_index, mirrored_oldest) = (state.keyspace.index(), state.keyspace.oldest_event());
        let purger = log.purger();
        let ticks = settings.election.as_millis() / settings.heartbeat.as_millis().max(1);
        let ticks = usize::try_from(ticks).unwrap_or(usize::MAX).max(2);
        let replica = Replica::new(identity.id, log, applied, ticks).map_err(OpenError::Settings)?;
        let shared = Arc::new(Shared::new(SharedInit {
            state,
            own_id: identity.id,
            cluster_id: identity.cluster,
            request_timeout: settings.request_timeout(),
            counters,
            requests: send_request,
            hints: send_hint,
        }));
        let (process, pins) = (rand::random(), Pins::default());
        let (peer_sender, peers) = wire(&shared, &identity, process, &settings, &folder, pins.clone())?;
        peer_sender.set_group(&roster);
        shared.peer_sender.set(peer_sender.clone()).ok();
        let parts = DriverInit {
            replica,
            shared: Arc::clone(&shared),
            requests,
            process,
            publish_attributes: PublishAttributes {
                name: settings.name,
                client_urls: settings.client_urls,
                incarnation: identity.incarnation(),
                version: settings.version,
            },
            outbox: Outbox::PeerSender(peer_sender),
            heartbeat: settings.heartbeat,
            election: settings.election,
        };
        let driver = Driver::new(parts, Instant::now());
        let persister = Persister {
            shared: Arc::clone(&shared),
            hints,
            folder,
            mirror,
            purger,
            pins,
            snapshot_count: settings.snapshot_count.max(1),
            quota: settings.quota,
            last_snapshot: snapshot,
            mirrored_index,
            mirrored_oldest,
            retry_at: Instant::now(),
            compaction: super::persister::Compaction::default(),
            snapshot_at: None,
            appended_at_snapshot: 0,
            wanted: false,
            snapshot_done: None,
            purge: false,
            last_reported: LastReported::default(),
        };
        Self::start(shared, peers, driver, persister)
    }

    fn start(
        shared: Arc<Shared>,
        peers: Peers,
        driver: Driver,
        persister: Persister,
    ) -> Result<Self, OpenError> {
        let failed =
            |error: std::io::Error| OpenError::Settings(format!("no thread can be started: {error}"));
        let (driver_done, driver_ended) = oneshot::channel();
        let (keeper_done, persister_ended) = oneshot::channel();
        // A thread that panics drops its sender; the closed channel is enough to notice it.
        let driver = std::thread::Builder::new().name("consensus".to_owned()).spawn(move || {
            driver_done.send(driver.run()).ok();
        });
        let persister = std::thread::Builder::new().name("persister".to_owned()).spawn(move || {
            keeper_done.send(persister.run()).ok();
        });
        let (driver, persister) = (driver.map_err(failed)?, persister.map_err(failed)?);
        Ok(Self { shared, peers, driver, persister, driver_ended, persister_ended })
    }

    /// Returns a handle to the replica.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.shared))
    }

    /// Runs until `stop` is requested, then writes everything to disk and ends the threads. Other members reach
    /// this one at `server`.
    ///
    /// # Errors
    /// The member had to stop by itself.
    pub async fn run(self, server: PeerServer, stop: Stop) -> Result<(), MemberFailure> {
        let Self { shared, peers, driver, persister, mut driver_ended, mut persister_ended } = self;
        shared.listens.store(!server.urls().is_empty(), Relaxed);
        let stop_peers = Stop::new();
        let mut loops = Loops::new(stop_peers.clone());
        loops.spawn("peers", peers.run(server, stop_peers));
        let result = tokio::select! {
            () = stop.wait() => Ok(()),
            ended = &mut driver_ended => ended.unwrap_or(Err(MemberFailure::Thread("consensus"))),
            ended = &mut persister_ended => ended.unwrap_or(Err(MemberFailure::Thread("persister"))),
            ended = loops.first_failure() => {
                tracing::error!("{ended}");
                Err(MemberFailure::Thread("peers"))
            }
        };
        shared.removed.store(result == Err(MemberFailure::Removed), Relaxed);
        let broken = matches!(result, Err(MemberFailure::Log(_) | MemberFailure::DataDirRemoved(_)));
        shared.counters.broken.store(broken, Relaxed);
        let end = tokio::task::spawn_blocking(move || {
            // If the queues are full, the threads are busy and will reach the request soon.
            shared.requests.send_timeout(DriverRequest::Stop, STOP_TIMEOUT).ok();
            let until = Instant::now() + STOP_TIMEOUT;
            while !driver.is_finished() && Instant::now() < until {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            shared.hints.send_timeout(Hint::Stop, STOP_TIMEOUT).ok();
            // The mirror's library may wait forever for a failing disk.
            while broken && !persister.is_finished() && Instant::now() < until {
                std::thread::park_timeout(Duration::from_millis(5));
            }
            if driver.is_finished() {
                // A panic has already been reported.
                driver.join().ok();
                if !broken {
                    persister.join().ok();
                }
            } else {
                tracing::warn!(
                    "the log is still waiting for its disk; its pending writes were not acknowledged"
                );
            }
        });
        end.await.ok();
        // Last: closing the streams shows the others at once that this member is gone, so nothing may be left to send.
        loops.drain(STOP_TIMEOUT).await;
        result
    }
}

/// The way to the other members.
fn wire(
    shared: &Arc<Shared>,
    identity: &Identity,
    process: u64,
    settings: &Settings,
    folder: &DataDir,
    pins: Pins,
) -> Result<(PeerSender, Peers), OpenError> {
    let tls = Connector::open(&settings.peer_tls);
    let (secret, verification) = (settings.peer_secret.clone(), verification(settings));
    let (inbox, clock) = (shared.requests.clone(), Arc::downgrade(shared));
    Ok(Peers::new(peers::PeersInit {
        directory: PeerDirectory {
            cluster: identity.cluster,
            own: identity.id,
            process,
            incarnation: identity.incarnation(),
            version: settings.version.clone(),
            ..PeerDirectory::default()
        },
        election: settings.election,
        snapshots: folder.snapshots(),
        tls: tls.map_err(|error| OpenError::Settings(error.to_string()))?,
        secret,
        verification,
        deliver: Arc::new(move |inbound| deliver(&inbox, inbound)),
        now: Arc::new(move || clock.upgrade().map_or(0, |shared| shared.clock.now())),
        pins,
    }))
}

/// Returns what is proven about other members.
fn verification(settings: &Settings) -> PeerVerification {
    let secure = settings.listen_peer_urls.iter().all(|url| url.starts_with("https://"));
    PeerVerification {
        callers: settings.peer_secret.is_some() || (settings.peer_tls.client_auth && secure),
        called: !settings.peer_tls.unverified,
    }
}

/// Passes an item to the driver; returns it when there is no room.
fn deliver(inbox: &Sender<DriverRequest>, inbound: Inbound) -> Result<(), Inbound> {
    match inbox.try_send(DriverRequest::Inbound(inbound)) {
        Err(TrySendError::Full(DriverRequest::Inbound(back))) => Err(back),
        // A driver that has ended needs no message.
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_to_an_ended_driver_are_not_counted_as_dropped() {
        let (inbox, requests) = bounded(1);
        assert!(deliver(&inbox, Inbound::Gone(1)).is_ok());
        assert!(deliver(&inbox, Inbound::Gone(2)).is_err(), "there is no room");
        drop(requests);
        assert!(deliver(&inbox, Inbound::Gone(3)).is_ok());
    }
}
