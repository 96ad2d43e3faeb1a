//! A simulated member: the real driver over the real log in a folder, without threads and without sled.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use raft::prelude::Message;

use super::super::super::data_dir::DataDir;
use super::super::super::driver::{Driver, DriverInit, Outbox, PublishAttributes};
use super::super::super::error::{MemberFailure, OpenError};
use super::super::super::identity::Identity;
use super::super::super::log::SnapshotOffer;
use super::super::super::metrics::Counters;
use super::super::super::peers::RemoteCluster;
use super::super::super::recover::{Recovered, check_identity, recover};
use super::super::super::replica::Replica;
use super::super::super::request::DriverRequest;
use super::super::super::request::Hint;
use super::super::super::settings::{Settings, StartMode};
use super::super::super::shared::{Shared, SharedInit};
use super::super::super::snapshot;
use super::checks::watches::WatchProgress;
use super::plant::on_a_thread;

pub(super) const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);
pub(super) const ELECTION_TIMEOUT: Duration = Duration::from_secs(1);

/// A member, up or down.
pub(super) struct Member {
    pub(super) id: u64,
    pub(super) settings: Settings,
    found: Option<RemoteCluster>,
    pub(super) life: Option<RunningMember>,
    /// When it is started again.
    pub(super) up_at: Option<u64>,
    /// It was removed, and knows it.
    pub(super) left: bool,
    /// The last snapshot that it fetched, with its announcement.
    pub(super) fetched: Option<(Message, Vec<u8>)>,
}

/// A member that is up.
pub(super) struct RunningMember {
    pub(super) driver: Driver,
    pub(super) shared: Arc<Shared>,
    pub(super) hints: Receiver<Hint>,
    pub(super) watching: WatchProgress,
    /// The last applied entry that was checked.
    pub(super) seen: u64,
    pub(super) last_snapshot: u64,
    pub(super) wanted_at: Option<u64>,
    /// When the driver learns of the last snapshot; never before it learns of the previous one.
    pub(super) told_at: u64,
    /// It has published its name.
    pub(super) ready: bool,
    // Last, so that the folder is unlocked only after the log is closed.
    folder: DataDir,
}

/// Returns a member's settings; `others` are all that found the group with it.
pub(super) fn settings(root: &Path, name: &str, others: &[String], start: StartMode) -> Settings {
    Settings {
        initial_cluster: others.iter().map(|other| (other.clone(), url(other))).collect(),
        name: name.to_owned(),
        data_dir: root.join(name),
        start,
        peer_urls: vec![url(name)],
        heartbeat: HEARTBEAT_INTERVAL,
        election: ELECTION_TIMEOUT,
        ..super::super::settings(root)
    }
}

pub(super) fn url(name: &str) -> String {
    format!("http://{name}:2380")
}

impl Member {
    pub(super) fn new(id: u64, settings: Settings, found: Option<RemoteCluster>) -> Self {
        Self { id, settings, found, life: None, up_at: None, left: false, fetched: None }
    }

    /// Starts it, as `Node::open` does.
    pub(super) fn open(&mut self, process: u64, now: Instant) -> Result<(), OpenError> {
        let settings = &self.settings;
        let folder = DataDir::open(&settings.data_dir)?;
        let (mut identity, beginning) = Identity::open(&folder, settings, self.found.as_ref())?;
        let counters = Arc::new(Counters::default());
        // The log's library caches the last block by file and offset, per thread: several members on one thread
        // would read each other's block.
        let recovered = on_a_thread(|| recover(&folder, &mut identity, beginning, &counters));
        let Recovered { log, state, snapshot, .. } = recovered?;
        check_identity(&state, identity.id, settings)?;
        self.id = identity.id;
        let (send_request, requests) = bounded::<DriverRequest>(1);
        let (send_hint, hints) = bounded(8);
        let applied = state.applied.index;
        let replica = Replica::new(identity.id, log, applied, 10).map_err(OpenError::Settings)?;
        let shared = Arc::new(Shared::new(SharedInit {
            state,
            own_id: identity.id,
            cluster_id: identity.cluster,
            request_timeout: settings.request_timeout(),
            counters,
            requests: send_request,
            hints: send_hint,
        }));
        let parts = DriverInit {
            replica,
            shared: Arc::clone(&shared),
            requests,
            process,
            publish_attributes: PublishAttributes {
                name: settings.name.clone(),
                client_urls: settings.client_urls.clone(),
                incarnation: identity.incarnation(),
                version: settings.version.clone(),
            },
            outbox: Outbox::Buffered(Vec::new()),
            heartbeat: HEARTBEAT_INTERVAL,
            election: ELECTION_TIMEOUT,
        };
        let driver = Driver::new(parts, now);
        let watching = WatchProgress::begin(&shared);
        self.life = Some(RunningMember {
            driver,
            shared,
            hints,
            watching,
            seen: applied,
            last_snapshot: snapshot,
            wanted_at: None,
            told_at: 0,
            ready: false,
            folder,
        });
        Ok(())
    }

    pub(super) fn snapshots(&self) -> PathBuf {
        self.settings.data_dir.join("member/snapshots")
    }
}

impl RunningMember {
    /// Writes a snapshot as the persister does; returns the request for the driver.
    pub(super) fn snapshot(&mut self) -> DriverRequest {
        let folder = self.folder.snapshots();
        let state = self.shared.read();
        snapshot::write(&folder, &state).expect("a snapshot can be written");
        let offer = SnapshotOffer { mark: state.applied, members: state.roster.conf_state() };
        drop(state);
        snapshot::prune(&folder, &std::collections::BTreeSet::new());
        let before = std::mem::replace(&mut self.last_snapshot, offer.mark.index);
        DriverRequest::Snapshotted { cut: if before == offer.mark.index { 0 } else { before }, offer }
    }

    /// Does everything that is due.
    pub(super) fn step(&mut self, now: Instant) -> Result<(), MemberFailure> {
        self.driver.step(now)
    }
}
