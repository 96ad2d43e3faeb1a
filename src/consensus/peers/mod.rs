//! Speaking to the other members: one long-lived framed stream a direction, and snapshot files on request.
//!
//! Owns: the peer port and what is served there, the streams to the others with their bounded queues, the shapes of
//! messages on the wire, the fetching of snapshot files, and how long messages take.
//!
//! Promises: what comes from outside is bounded, and checked before anything believes it: cluster, sender, receiver,
//! incarnation and protocol version in the greeting, length and checksum of each frame. Nobody is ever waited for: a full
//! queue drops its messages, which raft repairs, and tells the driver. A stream that broke is opened again with backoff.
//!
//! Leaves out: what messages mean (`replica`), and when a snapshot is needed.

mod acquaint;
mod book;
mod connection;
mod dial;
mod fetch;
mod figures;
mod form;
mod frame;
mod lane;
mod office;
mod pace;
mod part;
mod pins;
mod receiver;
mod routes;
mod said;
mod sender;
mod serve;
mod server;
mod survey;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use raft::prelude::{Message, MessageType};
use tokio::task::JoinSet;

use self::office::Office;
use super::roster::Roster;
use super::state::State;
use crate::keyspace::Time;
use crate::stop::{Ended, Loops, Stop};
use crate::tls::Connector;

pub(super) use self::book::{Book, Known};
pub use self::figures::{Latency, PeerFigures};
pub(super) use self::office::{Deliver, Now};
pub(super) use self::pins::Pins;
pub use self::server::PeerServer;
pub use self::survey::{Survey, survey};

/// How long goodbyes and open connections may take at the stop.
const DRAIN: Duration = Duration::from_secs(1);

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
pub(super) struct Beginning {
    /// The group at the start.
    pub(super) book: Book,
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
    /// Shared with the keeper.
    pub(super) pins: Pins,
}

/// The driver's side: hands messages over. Never blocks. The default one has no receivers.
#[derive(Clone, Debug, Default)]
pub(super) struct Post {
    office: Option<Arc<Office>>,
}

impl Post {
    /// Queues messages for their receivers (`message.to`), in order. A message of an unknown receiver is dropped.
    pub(super) fn send(&self, messages: Vec<Message>) {
        let Some(office) = &self.office else { return };
        let lanes = office.lanes.read().unwrap_or_else(PoisonError::into_inner);
        for message in messages {
            if let Some(lane) = lanes.get(&message.to) {
                if message.get_msg_type() == MessageType::MsgSnapshot {
                    office.pins.announce(message.get_snapshot().get_metadata().index);
                }
                lane.push(message);
            }
        }
    }

    /// Opens streams to new members, ends those to members that left, and changes addresses.
    #[cfg(test)]
    pub(super) fn set_addresses(&self, others: Addresses) {
        if let Some(office) = &self.office {
            let own = office.book().own;
            office.set_addresses(others.into_iter().filter(|(id, _)| *id != own).collect());
        }
    }

    /// Changes whom this member listens to. Streams of those that left are closed, and their calls refused.
    #[cfg(test)]
    pub(super) fn set_book(&self, book: Book) {
        if let Some(office) = &self.office {
            office.set_book(book);
        }
    }

    /// Takes over who belongs to the group.
    pub(super) fn set_group(&self, roster: &Roster) {
        let Some(office) = &self.office else { return };
        office.regroup(|book| {
            book.members = roster.members.iter().map(|(id, member)| (*id, Known::of(member))).collect();
            book.removed.clone_from(&roster.removed);
            book.cluster_version.clone_from(&roster.version);
            // Those who joined later than this member knows of stay until the log tells of them.
            book.strangers.retain(|id, _| !roster.members.contains_key(id) && !roster.removed.contains(id));
        });
    }

    /// What is counted of the others, in the order of ids.
    pub(super) fn figures(&self) -> Vec<PeerFigures> {
        let Some(office) = &self.office else { return Vec::new() };
        let lanes = office.lanes.read().unwrap_or_else(PoisonError::into_inner);
        lanes.values().map(|lane| lane.figures.read(lane.id)).collect()
    }
}

/// The side that runs on tokio: the peer port, a sender for each other member, and the fetching of snapshots.
#[derive(Debug)]
pub(super) struct Peers {
    office: Arc<Office>,
}

impl Peers {
    /// Both sides of the room. Nothing runs yet.
    pub(super) fn new(beginning: Beginning) -> (Post, Self) {
        let office = Arc::new(Office::new(beginning));
        (Post { office: Some(Arc::clone(&office)) }, Self { office })
    }

    /// Serves and speaks until the stop; then says goodbye to the others.
    ///
    /// # Errors
    /// A part that ended although nobody had asked for a stop.
    pub(super) async fn run(self, server: PeerServer, stop: Stop) -> Result<(), Ended> {
        let mut loops = Loops::new(stop.clone());
        let places = server::places();
        for listener in server.listeners {
            let (office, places) = (Arc::clone(&self.office), Arc::clone(&places));
            loops.spawn("peer listener", listener.run(office, places, stop.clone()));
        }
        loops.spawn("peer streams", senders(Arc::clone(&self.office), stop.clone()));
        loops.spawn("snapshot fetcher", fetch::run(Arc::clone(&self.office), stop.clone()));
        let ended = tokio::select! {
            () = stop.wait() => Ok(()),
            ended = loops.first_failure() => Err(ended),
            never = acquaint::run(&self.office) => match never {},
        };
        loops.drain(DRAIN).await;
        ended
    }
}

/// Keeps a sender for each lane.
async fn senders(office: Arc<Office>, stop: Stop) -> Result<(), std::io::Error> {
    let mut running = JoinSet::new();
    while !stop.requested() {
        let lanes: Vec<_> =
            office.lanes.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for lane in lanes {
            if !lane.started.swap(true, Relaxed) {
                running.spawn(sender::run(lane, Arc::clone(&office), stop.clone()));
            }
        }
        tokio::select! {
            () = office.lanes_changed.notified() => {}
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
