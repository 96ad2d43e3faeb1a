//! The whole room: members on loopback that connect, fail, and come back. Their drivers are lists of what arrived;
//! a member is killed by dropping its tasks, as the kernel would drop its sockets.

mod encoding;
mod forgery;
mod handshakes;
mod port;
mod relay;
mod secret;
mod snapshots;
mod streams;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use raft::prelude::{Entry, Message, MessageType};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::hub::PeerHub;
use super::{
    Inbound, KnownMember, PeerDirectory, PeerSender, PeerServer, PeerVerification, Peers, PeersInit, Pins,
};
use crate::consensus::PeerSecret;
use crate::consensus::member::Member;
use crate::stop::{EndedLoop, Stop};

const CLUSTER_ID: u64 = 0xc1;
const ELECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// A member of a test's group.
struct Side {
    peer_sender: PeerSender,
    hub: Arc<PeerHub>,
    url: String,
    stop: Stop,
    running: JoinSet<Result<(), EndedLoop>>,
    seen: Arc<Mutex<Vec<Inbound>>>,
    full: Arc<AtomicBool>,
    folder: TempDir,
}

impl Side {
    /// Takes everything that has arrived.
    fn take(&self) -> Vec<Inbound> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }

    /// Waits until an item for which `wanted` is true has arrived.
    async fn until(&self, what: &str, wanted: impl Fn(&Inbound) -> bool) {
        eventually(what, || self.seen.lock().unwrap().iter().any(&wanted)).await;
    }

    fn has(&self, wanted: impl Fn(&Inbound) -> bool) -> bool {
        self.seen.lock().unwrap().iter().any(wanted)
    }

    async fn kill(&mut self) {
        self.running.shutdown().await;
    }

    async fn end(&mut self) {
        self.stop.request();
        while let Some(ended) = self.running.join_next().await {
            assert!(ended.unwrap().is_ok());
        }
    }

    /// Changes from whom this member accepts streams.
    fn set_directory(&self, directory: PeerDirectory) {
        *self.hub.directory.write().unwrap() = Arc::new(directory);
    }

    /// Returns the indexes of the received appends, in order.
    fn appends(&self) -> Vec<u64> {
        let seen = self.seen.lock().unwrap();
        let messages = seen.iter().flat_map(|inbound| match inbound {
            Inbound::Messages { messages, .. } => messages.as_slice(),
            _ => &[],
        });
        let appends = messages.filter(|message| message.get_msg_type() == MessageType::MsgAppend);
        appends.map(|message| message.index).collect()
    }
}

/// Waits for `probe` with a limit.
async fn eventually(what: &str, mut probe: impl FnMut() -> bool) {
    let start = Instant::now();
    while !probe() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Returns the directory of member `own` of `group` (ids and URLs).
fn directory(own: u64, group: &[(u64, &str)]) -> PeerDirectory {
    let known = |(id, url): &(u64, &str)| {
        let (name, client_urls) = (format!("n{id}"), vec![format!("http://127.0.0.1:{id}")]);
        let member =
            Member { id: *id, name, peer_urls: vec![(*url).to_owned()], client_urls, ..Member::default() };
        (*id, KnownMember { member, incarnation: Some(100 + id) })
    };
    PeerDirectory {
        cluster: CLUSTER_ID,
        own,
        process: 1000 + own,
        incarnation: 100 + own,
        members: group.iter().map(known).collect(),
        version: "3.4.0".to_owned(),
        cluster_version: "3.4.0".to_owned(),
        ..PeerDirectory::default()
    }
}

fn bind(url: &str) -> PeerServer {
    PeerServer::bind(&[url.to_owned()], None).unwrap()
}

/// Starts a member with `directory`.
fn start(directory: PeerDirectory, server: PeerServer) -> Side {
    start_with(None, directory, server)
}

/// The same with a secret.
fn start_with(secret: Option<&str>, directory: PeerDirectory, server: PeerServer) -> Side {
    let (seen, full) = (Arc::<Mutex<Vec<Inbound>>>::default(), Arc::new(AtomicBool::new(false)));
    let folder = TempDir::new().unwrap();
    let deliver = {
        let (seen, full) = (Arc::clone(&seen), Arc::clone(&full));
        move |inbound| {
            if full.load(Relaxed) {
                return Err(inbound);
            }
            seen.lock().unwrap().push(inbound);
            Ok(())
        }
    };
    let (own, members) = (directory.own, directory.members.clone());
    let (peer_sender, peers) = Peers::new(PeersInit {
        directory,
        election: ELECTION_TIMEOUT,
        snapshots: folder.path().to_owned(),
        tls: crate::tls::Connector::open(&crate::tls::TlsFiles::default()).unwrap(),
        secret: secret.map(PeerSecret::of),
        verification: PeerVerification { callers: secret.is_some(), called: true },
        deliver: Arc::new(deliver),
        now: Arc::new(|| 77),
        pins: Pins::default(),
    });
    let others = members.into_iter().filter(|(id, _)| *id != own);
    peers.hub.set_addresses(others.map(|(id, known)| (id, known.member.peer_urls)).collect());
    let (stop, url) = (Stop::new(), server.urls()[0].clone());
    let hub = Arc::clone(&peers.hub);
    let mut running = JoinSet::new();
    running.spawn(peers.run(server, stop.clone()));
    Side { peer_sender, hub, url, stop, running, seen, full, folder }
}

/// Starts two members that know each other and are connected.
async fn pair() -> (Side, Side) {
    pair_with(None).await
}

/// The same with a secret.
async fn pair_with(secret: Option<&str>) -> (Side, Side) {
    let servers = [bind("http://127.0.0.1:0"), bind("http://127.0.0.1:0")];
    let urls: Vec<_> = servers.iter().map(|server| server.urls()[0].clone()).collect();
    let group = [(1, urls[0].as_str()), (2, urls[1].as_str())];
    let [first, second] = servers;
    let sides =
        (start_with(secret, directory(1, &group), first), start_with(secret, directory(2, &group), second));
    sides.0.until("1 speaks to 2", |inbound| matches!(inbound, Inbound::Connected(2))).await;
    sides.1.until("2 speaks to 1", |inbound| matches!(inbound, Inbound::Connected(1))).await;
    sides
}

fn message(kind: MessageType, from: u64, to: u64) -> Message {
    let mut message = Message { from, to, term: 3, ..Message::default() };
    message.set_msg_type(kind);
    message
}

fn append(from: u64, to: u64, index: u64, bytes: usize) -> Message {
    let entry = Entry { term: 3, index: index + 1, data: vec![7; bytes].into(), ..Entry::default() };
    Message { index, entries: vec![entry].into(), ..message(MessageType::MsgAppend, from, to) }
}
