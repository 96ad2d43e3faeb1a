//! How other rooms reach the replica.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::entry::RaftCommand;
use super::identity;
use super::member::{Member, Members, MembershipError};
use super::metrics::ReplicaMetrics;
use super::outcome::{Position, ProposeError, ProposeOutcome};
use super::peers::PeerMetrics;
use super::request::{DriverRequest, Proposal, QUEUE_CAPACITY};
use super::shared::Shared;
use super::state::Applied;
use crate::keyspace::auth::{Auth, Change, ChangeError, Changed, WatchRights};
use crate::keyspace::{Command, Error, Keyspace, Operation, Time, Watch, WatchOptions};

/// Bytes of values that may wait for a result; beyond that, proposals are refused at once.
const MAX_QUEUED_BYTES: usize = 256 << 20;
/// The assumed size of a pending change of users.
const AUTH_CHANGE_BYTES: usize = 64 << 10;
/// What a directory takes in a snapshot.
const DIRECTORY_BYTES: usize = 48;
/// How often to check whether the clock is the group's.
const CLOCK_CHECK_INTERVAL: Duration = Duration::from_millis(5);
/// Queue slots that clients leave to messages of other members.
const RESERVED_PEER_SLOTS: usize = 2048;
/// How long another member may take to become leader when this one stops.
const LEADER_TRANSFER_TIMEOUT: Duration = Duration::from_secs(3);
/// The longest a member's URLs may be together, in bytes.
const MAX_MEMBER_URL_BYTES: usize = 4096;

/// A handle to the replica; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
    /// The folder of a member that a test started, kept as long as its handle.
    #[cfg(test)]
    #[allow(dead_code, reason = "it is only held")]
    pub(super) temp_dir: Option<Arc<tempfile::TempDir>>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("position", &self.position()).finish_non_exhaustive()
    }
}

impl Handle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            #[cfg(test)]
            temp_dir: None,
        }
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Waits until this member has a leader and has published its addresses.
    pub async fn ready(&self) {
        let mut ready = self.shared.ready.subscribe();
        // The sender lives as long as `shared` does.
        ready.wait_for(|ready| *ready).await.ok();
    }

    /// The store's clock: it does not jump while the process runs. Used to compute `expires` and the remaining
    /// seconds.
    #[must_use]
    pub fn now(&self) -> Time {
        self.shared.clock.now()
    }

    /// Waits until [`Handle::now`] is the group's clock rather than only this host's. It waits only in a member
    /// that has just started and knows no leader yet.
    ///
    /// # Errors
    /// No leader in bounded time.
    pub async fn clock_ready(&self) -> Result<(), ProposeError> {
        let since = Instant::now();
        while !self.shared.clock.settled() {
            if since.elapsed() > self.shared.request_timeout {
                return Err(self.shared.timeout_error(since));
            }
            tokio::time::sleep(CLOCK_CHECK_INTERVAL).await;
        }
        Ok(())
    }

    /// Proposes `operation`; returns when it is durable and applied here.
    ///
    /// # Errors
    /// No result in bounded time, or a queue or the disk is full.
    pub async fn propose(&self, operation: Operation) -> Result<ProposeOutcome, ProposeError> {
        let bytes = weight(&operation);
        if !matches!(operation, Operation::Delete { .. } | Operation::CompareAndDelete { .. }) {
            self.shared.take_write_budget(disk_bytes(&operation))?;
        }
        let command = RaftCommand::Key(Command { at: self.now(), operation });
        match self.propose_command(command, bytes).await? {
            (Applied::Key(result), position) => Ok(ProposeOutcome { result, position }),
            // The operation was applied, but it arrived here in a snapshot, which does not carry its result.
            _ => Err(ProposeError::TimedOut),
        }
    }

    /// Returns whether authentication is enabled; reads a flag.
    #[must_use]
    pub fn auth_enabled(&self) -> bool {
        self.shared.auth_enabled()
    }

    /// Returns the users and roles as this member knows them.
    #[must_use]
    pub fn auth(&self) -> Arc<Auth> {
        Arc::clone(&self.shared.read().auth)
    }

    /// Proposes a change of users or roles; returns when it is durable and applied here.
    ///
    /// # Errors
    /// No result in bounded time, or a queue or the disk is full. A refusal of the change itself is in the
    /// inner result.
    pub async fn change_auth(&self, change: Change) -> Result<Result<Changed, ChangeError>, ProposeError> {
        if matches!(change, Change::PutUser { .. } | Change::PutRole { .. }) {
            self.shared.take_write_budget(AUTH_CHANGE_BYTES)?;
        }
        match self.propose_command(RaftCommand::Auth(change), AUTH_CHANGE_BYTES).await? {
            (Applied::Auth(result), _) => Ok(result),
            _ => Err(ProposeError::TimedOut),
        }
    }

    async fn propose_command(
        &self,
        command: RaftCommand,
        bytes: usize,
    ) -> Result<(Applied, Position), ProposeError> {
        let shared = &self.shared;
        let (reply, answer) = oneshot::channel();
        // Messages of the other members need space too, most of all under load.
        let full = shared.queued.fetch_add(bytes, Relaxed) > MAX_QUEUED_BYTES
            || shared.requests.len() > QUEUE_CAPACITY - RESERVED_PEER_SLOTS;
        let request = DriverRequest::Propose(Proposal { command, reply, bytes });
        let sent = if full { Err(ProposeError::Overloaded) } else { shared.send(request) };
        if let Err(refused) = sent {
            shared.queued.fetch_sub(bytes, Relaxed);
            return Err(refused);
        }
        let since = Instant::now();
        match timeout(shared.request_timeout, answer).await {
            Ok(Ok(Err(ProposeError::TimedOut))) => Err(shared.timeout_error(since)),
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(ProposeError::Stopping),
            Err(_) => {
                shared.counters.failed.fetch_add(1, Relaxed);
                Err(shared.timeout_error(since))
            }
        }
    }

    /// Asks the group for its commit index (`quorum=true`) and waits until `view` is at least as new as this call.
    ///
    /// # Errors
    /// No result in bounded time.
    pub async fn read_index(&self) -> Result<(), ProposeError> {
        let (reply, answer) = oneshot::channel();
        self.shared.send(DriverRequest::Read(reply))?;
        match timeout(self.shared.request_timeout, answer).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(ProposeError::Stopping),
            Err(_) => Err(ProposeError::TimedOut),
        }
    }

    /// Reads this member's own state. `read` must be quick: it blocks writes.
    pub fn view<R>(&self, read: impl FnOnce(&Keyspace) -> R) -> R {
        read(&self.shared.read().keyspace)
    }

    /// Registers a watch. It ends when its client loses these rights.
    ///
    /// # Errors
    /// `HistoryCleared`.
    pub fn watch(&self, key: &[u8], what: WatchOptions, rights: WatchRights) -> Result<Watch, Error> {
        self.shared.write().keyspace.watch_with(key, what, rights)
    }

    /// Returns the state of the log.
    #[must_use]
    pub fn position(&self) -> Position {
        self.shared.position()
    }

    /// Returns the members of the group.
    #[must_use]
    pub fn members(&self) -> Arc<Members> {
        self.shared.members()
    }

    /// Returns the version that the group agreed on; empty before it did.
    #[must_use]
    pub fn version(&self) -> String {
        self.shared.read().roster.version.clone()
    }

    /// Changes a member's peer URLs.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn update_member(&self, id: u64, mut urls: Vec<String>) -> Result<(), MembershipError> {
        self.known(id)?;
        urls.sort();
        if urls.iter().map(String::len).sum::<usize>() > MAX_MEMBER_URL_BYTES {
            return Err(MembershipError::TooLong);
        }
        self.change_membership(RaftCommand::PeerUrls { id, urls }).await
    }

    /// Removes a member from the group.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn remove_member(&self, id: u64) -> Result<(), MembershipError> {
        self.known(id)?;
        let members = self.members();
        let voters = members.all.iter().filter(|member| !member.learner);
        let (gone, left): (Vec<_>, Vec<_>) = voters.partition(|member| member.id == id);
        let reached = left.iter().filter(|member| self.is_connected(member.id)).count();
        // Removing a member without a vote is always safe; after removing a voter, the others must still form a
        // majority.
        if !gone.is_empty() && reached < left.len() / 2 + 1 {
            tracing::warn!(
                "removing member {id:x} was refused: of the {} that would be left, {reached} can be reached, which is no \
                 majority",
                left.len()
            );
            return Err(MembershipError::Unsafe);
        }
        self.change_membership(RaftCommand::Remove { id }).await
    }

    /// Adds a member to the group. It has no vote until it has started and caught up.
    ///
    /// # Errors
    /// See [`MembershipError`].
    pub async fn add_member(&self, mut urls: Vec<String>) -> Result<Member, MembershipError> {
        let members = self.members();
        if members.all.iter().flat_map(|member| &member.peer_urls).any(|url| urls.contains(url)) {
            return Err(MembershipError::UrlTaken);
        }
        if !self.shared.listens.load(Relaxed) {
            let refusal = MembershipError::NoListener;
            tracing::error!("a member cannot be added: {refusal}");
            return Err(refusal);
        }
        if urls.iter().map(String::len).sum::<usize>() > MAX_MEMBER_URL_BYTES {
            return Err(MembershipError::TooLong);
        }
        if let Some(waiting) = members.all.iter().find(|member| member.incarnation == 0) {
            let refusal = MembershipError::NotStarted(waiting.id);
            tracing::warn!("adding a member was refused: {refusal}");
            return Err(refusal);
        }
        urls.sort();
        urls.dedup();
        let seconds = self.now() / 1_000_000_000;
        let id = identity::hash((urls.concat() + &seconds.to_string()).as_bytes());
        self.change_membership(RaftCommand::Add { id, urls: urls.clone() }).await?;
        Ok(Member { id, peer_urls: urls, learner: true, ..Member::default() })
    }

    /// If this member leads, transfers leadership; returns when it no longer leads, or after a timeout. Returns at once
    /// when the replica has ended.
    pub async fn transfer_leadership(&self) {
        if !self.metrics().leads || self.members().all.iter().filter(|member| !member.learner).count() < 2 {
            return;
        }
        if self.shared.send(DriverRequest::TransferLeadership) == Err(ProposeError::Stopping) {
            return;
        }
        let limit = Instant::now() + LEADER_TRANSFER_TIMEOUT;
        while self.metrics().leads && Instant::now() < limit {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    async fn change_membership(&self, command: RaftCommand) -> Result<(), MembershipError> {
        match self.propose_command(command, MAX_MEMBER_URL_BYTES).await {
            Ok((Applied::Roster(result), _)) => result,
            Ok(_) | Err(_) => Err(MembershipError::Unavailable),
        }
    }

    /// Returns whether `id` is this member, or is connected to it.
    fn is_connected(&self, id: u64) -> bool {
        id == self.members().own_id || self.shared.is_connected(id)
    }

    fn known(&self, id: u64) -> Result<(), MembershipError> {
        if self.shared.read().roster.removed.contains(&id) {
            return Err(MembershipError::Removed);
        }
        let known = self.members().all.iter().any(|member| member.id == id);
        if known { Ok(()) } else { Err(MembershipError::Unknown) }
    }

    /// Returns the metrics of the other members, ordered by id.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerMetrics> {
        self.shared.peers()
    }

    /// Returns whether the group removed this member.
    #[must_use]
    pub fn removed(&self) -> bool {
        self.shared.removed.load(Relaxed)
    }

    /// Returns counters and gauges.
    #[must_use]
    pub fn metrics(&self) -> ReplicaMetrics {
        ReplicaMetrics {
            committed: self.position().index,
            applied: self.shared.applied(),
            queued: self.shared.requests.len() as u64,
            started: self.shared.started,
            ..self.shared.counters.read()
        }
    }
}

/// Returns roughly how many bytes a change takes on disk: it may create a directory for each level of its key.
pub(super) fn disk_bytes(operation: &Operation) -> usize {
    let levels = match operation {
        Operation::Set { key, .. } | Operation::Create { key, .. } => {
            key.iter().filter(|byte| **byte == b'/').count()
        }
        _ => 0,
    };
    weight(operation) + levels * DIRECTORY_BYTES
}

/// Returns roughly how many bytes a change occupies while it is pending.
fn weight(operation: &Operation) -> usize {
    match operation {
        Operation::Set { key, value, .. }
        | Operation::Create { key, value, .. }
        | Operation::Update { key, value, .. }
        | Operation::CompareAndSwap { key, value, .. } => key.len() + value.len(),
        Operation::Delete { key, .. } | Operation::CompareAndDelete { key, .. } => key.len(),
        Operation::Expire => 0,
    }
}
