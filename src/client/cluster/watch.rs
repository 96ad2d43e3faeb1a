//! A watch that moves from one endpoint to the next, and the parsing of events.

use std::time::Duration;

use reqwest::Method;
use tokio::time::{Instant, sleep, timeout};

use super::error::RequestError;
use super::escape;
use super::request::Cluster;
use crate::client::request::{Attempts, Expected, HttpRequest, Reply};
use crate::client::v2_wire::Event;
use crate::protocol::quoted;

/// A watch that an endpoint ends before this time was not established.
const MIN_WATCH_DURATION: Duration = Duration::from_secs(1);
/// The delay before a watch that ended without an event is opened again.
const WATCH_RETRY_DELAY: Duration = Duration::from_millis(200);
/// A watch without events is reopened after this time at the index it has reached, so that its position is still in
/// the history when it must move to another member.
const IDLE_WATCH_INTERVAL: Duration =
    if cfg!(test) { Duration::from_millis(600) } else { Duration::from_secs(50) };
/// How long after accepting a watch an endpoint may take to send a past event.
const HISTORY_REPLAY_TIMEOUT: Duration =
    if cfg!(test) { Duration::from_millis(200) } else { Duration::from_secs(20) };

/// The position of a watch. It advances with the endpoints' responses, so that the next endpoint continues where a
/// failed one stopped.
pub(super) struct KeyWatch<'c> {
    cluster: &'c Cluster,
    path: Vec<u8>,
    /// The index to wait from; 0: from now on.
    from: u64,
    /// The cluster that `from` belongs to, as counted by [`Cluster::epoch`].
    epoch: u64,
    recursive: bool,
    /// The current endpoint's index when it accepted the watch, and the time of that.
    accepted: Option<(u64, Instant)>,
}

impl<'c> KeyWatch<'c> {
    pub(super) fn new(
        cluster: &'c Cluster,
        path: Vec<u8>,
        (from, epoch): (u64, u64),
        recursive: bool,
    ) -> Self {
        Self { cluster, path, from, epoch, recursive, accepted: None }
    }

    /// Returns the next event.
    pub(super) async fn next(mut self) -> Result<Event, RequestError> {
        // Without other members to move to, the position does not matter.
        let idle =
            if self.cluster.client.endpoints.syncs_members() { IDLE_WATCH_INTERVAL } else { Duration::MAX };
        loop {
            match timeout(idle, self.event()).await {
                // A proxy ended an idle watch; the delay prevents a tight loop when it does so at once.
                Ok(Err(RequestError::Empty)) => sleep(WATCH_RETRY_DELAY).await,
                Ok(event) => return event,
                Err(_) => self.advance_idle(),
            }
        }
    }

    async fn event(&mut self) -> Result<Event, RequestError> {
        let client = &self.cluster.client;
        let mut attempts = Attempts::new();
        self.accepted = None;
        loop {
            self.check_epoch()?;
            let request = self.request();
            let opened = client.run(&request, &mut attempts).await;
            self.check_epoch()?;
            let Some(mut reply) = opened else { return Err(self.cluster.failure(&request, attempts).await) };
            let Some(rest) = reply.rest.take() else { return event(reply) };
            let from = self.from;
            self.accept(&reply);
            match client.read_event(rest).await {
                Ok((body, content)) => {
                    let event = event(Reply { body, content, ..reply })?;
                    let found = event.node.modified;
                    return if found < from {
                        Err(RequestError::OldEvent { found, from })
                    } else {
                        Ok(event)
                    };
                }
                Err(error) => {
                    client.endpoints.failed(&reply.node);
                    if self.accepted.take().is_some_and(|(_, since)| since.elapsed() >= MIN_WATCH_DURATION) {
                        // The watch was established for a while, so all other endpoints get a new try.
                        attempts = Attempts::new();
                    }
                    attempts.errors.push((reply.node, error));
                }
            }
        }
    }

    /// Returns the request, which has no time limit: it responds when something happens.
    fn request(&self) -> HttpRequest {
        let query = escape::pairs(vec![
            ("recursive", self.recursive.to_string().into_bytes()),
            ("wait", b"true".to_vec()),
            ("waitIndex", self.from.to_string().into_bytes()),
        ]);
        let request = self.cluster.request(Method::GET, &self.path, &query);
        HttpRequest { limit: None, expected: Expected::Stream, ..request }
    }

    /// Fails when the store is no longer the cluster of the index.
    fn check_epoch(&self) -> Result<(), RequestError> {
        if self.epoch == self.cluster.epoch() { Ok(()) } else { Err(RequestError::Replaced) }
    }

    /// Notes that an endpoint accepted the watch. "From now on" becomes a number.
    fn accept(&mut self, reply: &Reply) {
        self.accepted = reply.index().map(|index| (index, Instant::now()));
        if let (0, Some((index, _))) = (self.from, self.accepted) {
            self.from = index.saturating_add(1);
        }
    }

    /// Notes that no event has come. If the endpoint accepted the watch long enough ago, its history had no event for
    /// it.
    fn advance_idle(&mut self) {
        if let Some((index, since)) = self.accepted
            && since.elapsed() >= HISTORY_REPLAY_TIMEOUT
        {
            self.from = self.from.max(index.saturating_add(1));
        }
    }
}

/// Returns the event of a response.
pub(super) fn event(mut reply: Reply) -> Result<Event, RequestError> {
    if !matches!(reply.status.as_u16(), 200 | 201) {
        return Err(serde_json::from_slice(&reply.body).map_or(RequestError::NotJson, RequestError::Etcd));
    }
    if reply.body.is_empty() {
        return Err(RequestError::Empty);
    }
    let mut event = reply.take_event().map_err(|_| RequestError::NotJson)?;
    event.cluster = reply.cluster();
    event.index = match reply.header("x-etcd-index") {
        None | Some("") => 0,
        Some(text) => text.parse().map_err(|_| {
            RequestError::Refused(format!("strconv.ParseUint: parsing {}: invalid syntax", quoted(text)))
        })?,
    };
    Ok(event)
}
