//! Communication with the other members: one long-lived framed stream per direction, and snapshot files on request.
//!
//! Owns: the peer port and its routes, the streams to the others with their bounded queues, the wire form of
//! messages, the fetching of snapshot files, and the round-trip times.
//!
//! Promises: input is bounded, and checked before it is used: cluster, sender, receiver, incarnation and protocol
//! version in the handshake, length and checksum of each frame; with a peer secret, also that each comes from a member.
//! Callers that are not known to be members take few places, and none of a member's. What a caller cannot prove makes
//! no member leave its group: the others are asked first. Nothing waits for a peer: a full queue drops its
//! messages, which raft repairs, and reports it to the driver. A broken stream is opened again with backoff.
//!
//! Leaves out: what messages mean (`replica`), and when a snapshot is needed.

mod admission;
mod call;
mod connection;
mod dial;
mod directory;
mod discovery;
mod fetch;
mod fetch_request;
mod frame;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzz;
mod hub;
mod loss_check;
mod loss_question;
mod message_codec;
mod metrics;
mod partial_snapshot;
mod peer_queue;
mod pins;
mod proof;
mod rate_limiter;
mod receiver;
mod remote_cluster;
mod removal;
mod routes;
mod sender;
mod serve;
mod server;
mod snapshot_parts;
mod unknown_peers;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use raft::prelude::{Message, MessageType};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use self::hub::PeerHub;
use super::peer_secret::PeerSecret;
use super::roster::Roster;
use super::state::State;
use crate::keyspace::Time;
use crate::stop::{EndedLoop, Loops, Stop};
use crate::tls::Connector;

pub(super) use self::directory::{KnownMember, PeerDirectory};
pub(super) use self::hub::{Deliver, Now};
pub use self::metrics::{Latency, PeerMetrics};
pub(super) use self::pins::Pins;
pub use self::remote_cluster::{RemoteCluster, fetch_cluster};
pub use self::server::PeerServer;

/// How long close frames and open connections may take at the stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// What arrives from the other members, for the driver.
#[derive(Debug)]
pub(super) enum Inbound {
    /// Messages, with the sender's clock when it sent them.
    Messages { from: u64, time: Time, messages: Vec<Message> },
    /// The stream to it was (re)opened: what was sent before may be lost, including a snapshot announcement.
    Connected(u64),
    /// The stream to it broke, or messages for it had to be dropped.
    Unreachable(u64),
    /// Its process is certainly gone: its stream ended and its port refuses connections, or it sent a close frame. Sent
    /// once per loss, before or after `Unreachable`.
    Gone(u64),
    /// The announced snapshot was fetched and checked, and is durable in the snapshots folder, under its name with
    /// the extension `snapshot::FETCHED`.
    Fetched { message: Box<Message>, state: Box<State>, path: PathBuf },
    /// The other side gave up on a snapshot.
    SnapshotFailed(u64),
    /// So many of the others report that this member was removed that it is true. Repeated at each attempt to reach
    /// them.
    Removed,
    /// A member asks which of its entries this one, as leader, knows to be in its log.
    AskConfirmed { of: u64, reply: oneshot::Sender<Option<u64>> },
    /// A leader was asked, at its own address, which entry this member has confirmed to it; `None`: it does not lead.
    LossChecked { confirmed: Option<u64> },
}

/// The URLs of the other members.
pub(super) type Addresses = BTreeMap<u64, Vec<String>>;

/// What TLS or a peer secret proves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PeerVerification {
    /// Whoever calls this member has proven to be a member.
    pub(super) callers: bool,
    /// Whoever responds at an `https` URL has proven to be what the URL names.
    pub(super) called: bool,
}

/// The arguments of [`Peers::new`].
pub(super) struct PeersInit {
    /// The group at the start.
    pub(super) directory: PeerDirectory,
    /// A stream without traffic for this long counts as broken.
    pub(super) election: Duration,
    /// The folder of snapshot files, both served and fetched.
    pub(super) snapshots: PathBuf,
    /// Connects to `https` URLs of the others.
    pub(super) tls: Connector,
    /// What all members hold, if the cluster has it.
    pub(super) secret: Option<PeerSecret>,
    pub(super) verification: PeerVerification,
    /// Passes what arrives to the driver.
    pub(super) deliver: Deliver,
    /// Returns the store's time.
    pub(super) now: Now,
    /// Shared with the persister.
    pub(super) pins: Pins,
}

/// The driver's side: queues messages. Never blocks.
#[derive(Clone, Debug)]
pub(super) struct PeerSender {
    hub: Arc<PeerHub>,
}

impl PeerSender {
    /// Queues messages for their receivers (`message.to`), in order. A message of an unknown receiver is dropped.
    pub(super) fn send(&self, messages: Vec<Message>) {
        let hub = &self.hub;
        let peer_queues = hub.peer_queues.read().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            if let Some(peer_queue) = peer_queues.get(&message.to) {
                if message.get_msg_type() == MessageType::MsgSnapshot {
                    hub.pins.announce(message.get_snapshot().get_metadata().index);
                }
                peer_queue.push(message);
            }
        }
    }

    /// Returns whether what arrives is certainly from members.
    pub(super) fn senders_are_proven(&self) -> bool {
        self.hub.verification.callers
    }

    /// Asks `leader` which entry this member has confirmed to it; the answer is [`Inbound::LossChecked`].
    pub(super) fn check_loss(&self, leader: u64) {
        self.hub.loss_question.set(leader);
    }

    /// Adopts the group's list of members.
    pub(super) fn set_group(&self, roster: &Roster) {
        self.hub.update_directory(|directory| {
            directory.members =
                roster.members.iter().map(|(id, member)| (*id, KnownMember::of(member))).collect();
            directory.removed.clone_from(&roster.removed);
            directory.cluster_version.clone_from(&roster.version);
            // Members that joined after this one's log ends stay until the log contains them.
            directory
                .unknown_peers
                .retain(|id, _| !roster.members.contains_key(id) && !roster.removed.contains(id));
        });
    }

    /// Returns the metrics of the others, ordered by id.
    pub(super) fn metrics(&self) -> Vec<PeerMetrics> {
        let peer_queues = self.hub.peer_queues.read().unwrap_or_else(PoisonError::into_inner);
        peer_queues.values().map(|peer_queue| peer_queue.metrics.read(peer_queue.id)).collect()
    }
}

/// The asynchronous side: the peer port, a sender for each other member, and the fetching of snapshots.
#[derive(Debug)]
pub(super) struct Peers {
    hub: Arc<PeerHub>,
}

impl Peers {
    /// Creates both sides. Nothing runs yet.
    pub(super) fn new(beginning: PeersInit) -> (PeerSender, Self) {
        let hub = Arc::new(PeerHub::new(beginning));
        (PeerSender { hub: Arc::clone(&hub) }, Self { hub })
    }

    /// Runs until the stop, then sends the others a close frame.
    ///
    /// # Errors
    /// A part ended before the stop.
    pub(super) async fn run(self, server: PeerServer, stop: Stop) -> Result<(), EndedLoop> {
        let mut loops = Loops::new(stop.clone());
        for listener in server.listeners {
            loops.spawn("peer listener", listener.run(Arc::clone(&self.hub), stop.clone()));
        }
        loops.spawn("peer streams", senders(Arc::clone(&self.hub), stop.clone()));
        loops.spawn("snapshot fetcher", fetch::run(Arc::clone(&self.hub), stop.clone()));
        let ended = tokio::select! {
            () = stop.wait() => Ok(()),
            ended = loops.first_failure() => Err(ended),
            never = discovery::run(&self.hub) => match never {},
            never = loss_check::run(&self.hub) => match never {},
        };
        loops.drain(DRAIN_TIMEOUT).await;
        ended
    }
}

/// Runs a sender for each peer queue.
async fn senders(hub: Arc<PeerHub>, stop: Stop) -> Result<(), std::io::Error> {
    let mut running = JoinSet::new();
    while !stop.requested() {
        let peer_queues: Vec<_> =
            hub.peer_queues.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for peer_queue in peer_queues {
            if !peer_queue.started.swap(true, Relaxed) {
                running.spawn(sender::run(peer_queue, Arc::clone(&hub), stop.clone()));
            }
        }
        tokio::select! {
            () = hub.peer_queues_changed.notified() => {}
            Some(ended) = running.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    return Err(std::io::Error::other("the task that sends to a member panicked"));
                }
            }
            () = stop.wait() => {}
        }
    }
    while running.join_next().await.is_some() {}
    Ok(())
}
