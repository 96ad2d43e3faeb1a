//! Members on real folders: started, stopped, killed, damaged.

mod backup;
mod damage;
mod encoding;
mod history;
mod limits;
mod mirror;
mod restart;
pub(super) mod simulation;
mod unreadable_log;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;

use super::{Handle, OpenError, ProposeOutcome, RaftNode, Settings};
use crate::keyspace::{Event, Operation, Time};
use crate::stop::Stop;

impl Handle {
    /// Makes a store for a test, which ends with the process.
    pub(crate) fn in_memory() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let node = RaftNode::open(settings(folder.path()), None).expect("a new store opens");
        let mut handle = node.handle();
        handle.temp_dir = Some(Arc::new(folder));
        handle
    }
}

pub(super) fn settings(data_dir: &Path) -> Settings {
    let peer = "http://127.0.0.1:2380".to_owned();
    Settings {
        name: "default".to_owned(),
        data_dir: data_dir.to_path_buf(),
        cluster_token: "etcd-cluster".to_owned(),
        initial_cluster: vec![("default".to_owned(), peer.clone())],
        listen_peer_urls: Vec::new(),
        peer_tls: crate::tls::TlsFiles::default(),
        peer_secret: None,
        start: super::StartMode::New,
        peer_urls: vec![peer],
        client_urls: vec!["http://127.0.0.1:2379".to_owned()],
        snapshot_count: 100_000,
        heartbeat: Duration::from_millis(100),
        election: Duration::from_secs(1),
        quota: None,
        version: "3.4.0".to_owned(),
    }
}

/// A member under test.
struct Running {
    handle: Handle,
    stop: Stop,
    end: tokio::task::JoinHandle<Result<(), super::MemberFailure>>,
}

impl Running {
    async fn start(settings: Settings) -> Result<Self, OpenError> {
        Ok(Self::of(RaftNode::open(settings, None)?).await)
    }

    async fn of(node: RaftNode) -> Self {
        let (handle, stop) = (node.handle(), Stop::new());
        #[expect(clippy::disallowed_methods, reason = "a test holds the handle itself")]
        let mut end = tokio::spawn(node.run(super::PeerServer::default(), stop.clone()));
        tokio::select! {
            () = handle.ready() => {}
            ended = &mut end => panic!("it stopped before it was ready: {ended:?}"),
        }
        Self { handle, stop, end }
    }

    async fn stop(self) {
        self.stop.request();
        self.end.await.expect("no panic").expect("a clean end");
    }

    async fn set(&self, key: &str, value: &[u8]) -> Arc<Event> {
        let answer = self.propose(set(key, value, None)).await;
        answer.result.expect("a set that works")
    }

    async fn propose(&self, operation: Operation) -> ProposeOutcome {
        self.handle.propose(operation).await.expect("an answer")
    }

    fn value(&self, key: &str) -> Option<Vec<u8>> {
        self.handle.view(|keyspace| Some(keyspace.get(key.as_bytes()).ok()?.value()?.to_vec()))
    }

    fn index(&self) -> u64 {
        self.handle.view(|keyspace| keyspace.index())
    }

    fn digest(&self) -> u64 {
        self.handle.view(|keyspace| keyspace.digest())
    }
}

/// Waits until `so` is true; fails with `what` after a while.
async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !so().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn set(key: &str, value: &[u8], expires: Option<Time>) -> Operation {
    Operation::Set { key: key.as_bytes().into(), dir: false, value: value.into(), expires, refresh: false }
}

fn delete(key: &str) -> Operation {
    Operation::Delete { key: key.as_bytes().into(), dir: true, recursive: true }
}

/// Copies a folder, in the state that a kill would leave.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder to copy") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copied file");
        }
    }
}
