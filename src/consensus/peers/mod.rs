//! Speaking to the other members: one long-lived framed stream a direction, and snapshot files on request.
//!
//! Owns: the peer port and what is served there, the streams to the others with their bounded queues, the shapes of
//! messages on the wire, the fetching of snapshot files, and how long messages take.
//!
//! Promises: what comes from outside is bounded, and checked before anything believes it: cluster, sender, receiver,
//! incarnation and protocol version in the handshake, length and checksum of each frame. Nobody is ever waited for: a full
//! queue drops its messages, which raft repairs, and tells the driver. A stream that broke is opened again with backoff.
//!
//! Leaves out: what messages mean (`replica`), and when a snapshot is needed.

mod connection;
mod dial;
mod directory;
mod discovery;
mod fetch;
mod fetch_request;
mod figures;
mod form;
mod frame;
mod hub;
mod pace;
mod part;
mod peer_queue;
mod pins;
mod receiver;
mod routes;
mod sender;
mod serve;
mod server;
mod survey;
mod unknown_peers;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use raft::prelude::{Message, MessageType};
use tokio::task::JoinSet;

use self::hub::PeerHub;
use super::roster::Roster;
use super::state::State;
use crate::keyspace::Time;
use crate::stop::{EndedLoop, Loops, Stop};
use crate::tls::Connector;

pub(super) use self::directory::{Known, PeerDirectory};
pub use self::figures::{Latency, PeerFigures};
pub(super) use self::hub::{Deliver, Now};
pub(super) use self::pins::Pins;
pub use self::server::PeerServer;
pub use self::survey::{Survey, survey};

/// How long goodbyes and open connections may take at the stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// What comes from the other members, for the driver.
#[derive(Debug)]
pub(super) enum Inbound {
    /// Messages, with the sender's clock when it sent them.
    Messages { from: u64, time: Time, messages: Vec<Message> },
    /// The stream to it was opened (again): what was sent before may be lost, the announcement of a snapshot too.
    Connected(u64),
    /// The stream to it broke, or messages for it had to be dropped.
    Unreachable(u64),
    /// Its stream ended and its port refuses, or it said goodbye: its process is gone, which need not be waited for.
    /// Once a loss, before or after `Unreachable`.
    Gone(u64),
    /// The snapshot that a message announced was fetched, checked, and lies durably in the snapshots folder, under its name but
    /// with `snapshot::FETCHED` for an ending.
    Fetched { message: Box<Message>, state: Box<State>, path: PathBuf },
    /// The other side gave a snapshot up.
    SnapshotFailed(u64),
    /// The others say that this member was removed from the group. Said again at each try to reach them.
    Removed,
}

/// Where the other members are reached.
pub(super) type Addresses = BTreeMap<u64, Vec<String>>;

/// What [`Peers::new`] has to be told.
pub(super) struct PeersInit {
    /// The group at the start.
    pub(super) directory: PeerDirectory,
    /// Without a sign of life for this long, a stream is taken for broken.
    pub(super) election: Duration,
    /// Where snapshot files lie: those that are served, and those that are fetched.
    pub(super) snapshots: PathBuf,
    /// For `https` URLs of the others.
    pub(super) tls: Connector,
    /// Takes what comes in.
    pub(super) deliver: Deliver,
    /// Tells the store's time.
    pub(super) now: Now,
    /// Shared with the persister.
    pub(super) pins: Pins,
}

/// The driver's side: hands messages over. Never blocks. The default one has no receivers.
#[derive(Clone, Debug, Default)]
pub(super) struct PeerSender {
    hub: Option<Arc<PeerHub>>,
}

impl PeerSender {
    /// Queues messages for their receivers (`message.to`), in order. A message of an unknown receiver is dropped.
    pub(super) fn send(&self, messages: Vec<Message>) {
        let Some(hub) = &self.hub else { return };
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

    /// Opens streams to new members, ends those to members that left, and changes addresses.
    #[cfg(test)]
    pub(super) fn set_addresses(&self, others: Addresses) {
        if let Some(hub) = &self.hub {
            let own = hub.directory().own;
            hub.set_addresses(others.into_iter().filter(|(id, _)| *id != own).collect());
        }
    }

    /// Changes whom this member listens to. Streams of those that left are closed, and their calls refused.
    #[cfg(test)]
    pub(super) fn set_directory(&self, directory: PeerDirectory) {
        if let Some(hub) = &self.hub {
            hub.set_directory(directory);
        }
    }

    /// Takes over who belongs to the group.
    pub(super) fn set_group(&self, roster: &Roster) {
        let Some(hub) = &self.hub else { return };
        hub.regroup(|directory| {
            directory.members = roster.members.iter().map(|(id, member)| (*id, Known::of(member))).collect();
            directory.removed.clone_from(&roster.removed);
            directory.cluster_version.clone_from(&roster.version);
            // Those who joined later than this member knows of stay until the log tells of them.
            directory
                .unknown_peers
                .retain(|id, _| !roster.members.contains_key(id) && !roster.removed.contains(id));
        });
    }

    /// What is counted of the others, in the order of ids.
    pub(super) fn figures(&self) -> Vec<PeerFigures> {
        let Some(hub) = &self.hub else { return Vec::new() };
        let peer_queues = hub.peer_queues.read().unwrap_or_else(PoisonError::into_inner);
        peer_queues.values().map(|peer_queue| peer_queue.figures.read(peer_queue.id)).collect()
    }
}

/// The side that runs on tokio: the peer port, a sender for each other member, and the fetching of snapshots.
#[derive(Debug)]
pub(super) struct Peers {
    hub: Arc<PeerHub>,
}

impl Peers {
    /// Both sides of the room. Nothing runs yet.
    pub(super) fn new(beginning: PeersInit) -> (PeerSender, Self) {
        let hub = Arc::new(PeerHub::new(beginning));
        (PeerSender { hub: Some(Arc::clone(&hub)) }, Self { hub })
    }

    /// Serves and speaks until the stop; then says goodbye to the others.
    ///
    /// # Errors
    /// A part that ended although nobody had asked for a stop.
    pub(super) async fn run(self, server: PeerServer, stop: Stop) -> Result<(), EndedLoop> {
        let mut loops = Loops::new(stop.clone());
        let places = server::places();
        for listener in server.listeners {
            let (hub, places) = (Arc::clone(&self.hub), Arc::clone(&places));
            loops.spawn("peer listener", listener.run(hub, places, stop.clone()));
        }
        loops.spawn("peer streams", senders(Arc::clone(&self.hub), stop.clone()));
        loops.spawn("snapshot fetcher", fetch::run(Arc::clone(&self.hub), stop.clone()));
        let ended = tokio::select! {
            () = stop.wait() => Ok(()),
            ended = loops.first_failure() => Err(ended),
            never = discovery::run(&self.hub) => match never {},
        };
        loops.drain(DRAIN_TIMEOUT).await;
        ended
    }
}

/// Keeps a sender for each peer queue.
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
                    return Err(std::io::Error::other("the task that speaks to a member panicked"));
                }
            }
            () = stop.wait() => {}
        }
    }
    while running.join_next().await.is_some() {}
    Ok(())
}
