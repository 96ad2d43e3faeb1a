//! The members' endpoints, their order, and which of them are suspended.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::seq::SliceRandom as _;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::hops;
use crate::http::Endpoint;
use crate::log_throttle::LogThrottle;

/// How long an endpoint that leads back to a proxy is suspended.
const LOOP_RETRY_DELAY: Duration = Duration::from_secs(60);

/// A client URL of a member.
#[derive(Debug)]
pub(super) struct MemberEndpoint {
    pub(super) endpoint: Endpoint,
    suspension: Mutex<Option<Suspension>>,
}

/// Why an endpoint is suspended, and until when.
#[derive(Clone, Copy, Debug)]
struct Suspension {
    until: Instant,
    leads_back: bool,
}

impl MemberEndpoint {
    fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, suspension: Mutex::new(None) }
    }

    /// Suspends it for a while, unless it already is.
    fn suspend(&self, wait: Duration, leads_back: bool) -> bool {
        let now = Instant::now();
        let is_new = self.suspension(now).is_none();
        if is_new {
            let suspension = Suspension { until: now + wait, leads_back };
            *self.suspension.lock().unwrap_or_else(PoisonError::into_inner) = Some(suspension);
        }
        is_new
    }

    fn leads_back(&self, now: Instant) -> bool {
        self.suspension(now).is_some_and(|suspension| suspension.leads_back)
    }

    /// Returns the suspension in force.
    fn suspension(&self, now: Instant) -> Option<Suspension> {
        self.suspension
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .filter(|suspension| now < suspension.until)
    }
}

/// All endpoints, in the order in which they are tried.
#[derive(Debug)]
pub(super) struct EndpointList {
    list: watch::Sender<Vec<Arc<MemberEndpoint>>>,
    failure_wait: Duration,
    /// Limits log lines: an endpoint that stays unreachable is suspended again and again.
    log_throttle: LogThrottle,
    /// Notified when the list must be read again now.
    pub(super) wanted: Notify,
}

impl EndpointList {
    pub(super) fn new(failure_wait: Duration) -> Self {
        Self {
            list: watch::Sender::new(Vec::new()),
            failure_wait,
            log_throttle: LogThrottle::default(),
            wanted: Notify::new(),
        }
    }

    /// Sets a new list, in random order: otherwise all proxies would load the same member. Suspensions end.
    pub(super) fn replace(&self, endpoints: Vec<Endpoint>) {
        let mut list: Vec<_> =
            endpoints.into_iter().map(|endpoint| Arc::new(MemberEndpoint::new(endpoint))).collect();
        list.shuffle(&mut rand::rng());
        self.list.send_replace(list);
    }

    /// Returns the endpoints that are not suspended.
    pub(super) fn usable(&self) -> Vec<Arc<MemberEndpoint>> {
        let now = Instant::now();
        self.list
            .borrow()
            .iter()
            .filter(|endpoint| endpoint.suspension(now).is_none())
            .map(Arc::clone)
            .collect()
    }

    /// Returns the URLs of those.
    pub(super) fn usable_urls(&self) -> Vec<String> {
        self.usable().iter().map(|endpoint| endpoint.endpoint.url.clone()).collect()
    }

    /// Suspends one for the failure wait.
    pub(super) fn failed(&self, endpoint: &MemberEndpoint, why: &str) {
        let url = &endpoint.endpoint.url;
        let wait = self.failure_wait;
        if endpoint.suspend(wait, false) && self.log_throttle.due_of(url, why) {
            tracing::warn!("marked endpoint {url} unavailable for {wait:?}: {why}");
        } else {
            tracing::debug!("failed to direct request to {url}: {why}");
        }
    }

    /// Suspends one that leads back to a proxy, until the list is read again if that is sooner.
    pub(super) fn leads_back(&self, endpoint: &MemberEndpoint) {
        let url = &endpoint.endpoint.url;
        if endpoint.suspend(LOOP_RETRY_DELAY, true) && self.log_throttle.due_of(url, "leads back") {
            tracing::warn!("{}", hops::says(url));
        }
    }

    /// Returns an endpoint that leads back to a proxy.
    pub(super) fn looped(&self) -> Option<String> {
        let now = Instant::now();
        let list = self.list.borrow();
        let found = list.iter().find(|endpoint| endpoint.leads_back(now));
        found.map(|endpoint| endpoint.endpoint.url.clone())
    }

    /// Returns whether every endpoint leads back to a proxy, given that those just `tried` do.
    pub(super) fn all_loop(&self, tried: &[Arc<MemberEndpoint>]) -> bool {
        let now = Instant::now();
        let is_tried = |endpoint| tried.iter().any(|tried| Arc::ptr_eq(tried, endpoint));
        self.list.borrow().iter().all(|endpoint| is_tried(endpoint) || endpoint.leads_back(now))
    }

    /// Subscribes to new lists.
    pub(super) fn follow(&self) -> watch::Receiver<Vec<Arc<MemberEndpoint>>> {
        self.list.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(urls: &[&str]) -> Vec<Endpoint> {
        urls.iter().map(|url| Endpoint::parse(url).unwrap()).collect()
    }

    fn urls(endpoint_list: &EndpointList) -> Vec<String> {
        let mut urls: Vec<_> = endpoint_list.usable().iter().map(|one| one.endpoint.url.clone()).collect();
        urls.sort();
        urls
    }

    #[tokio::test(start_paused = true)]
    async fn a_failed_endpoint_is_skipped_until_its_retry_time() {
        let endpoint_list = EndpointList::new(Duration::from_secs(5));
        endpoint_list.replace(endpoints(&["http://a:1", "http://b:1"]));
        let all = endpoint_list.usable();
        let (failed, other) = (&all[0], all[1].endpoint.url.clone());
        endpoint_list.failed(failed, "test");
        tokio::time::advance(Duration::from_millis(4900)).await;
        // A late failure of an earlier request does not extend it.
        endpoint_list.failed(failed, "test");
        assert_eq!(urls(&endpoint_list), [other]);
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(urls(&endpoint_list).len(), 2);
    }

    #[tokio::test]
    async fn a_new_list_clears_failures_and_every_order_occurs() {
        let endpoint_list = EndpointList::new(Duration::from_secs(500));
        let mut firsts = std::collections::BTreeSet::new();
        for _ in 0..200 {
            endpoint_list.replace(endpoints(&["http://a:1", "http://b:1", "http://c:1"]));
            assert_eq!(urls(&endpoint_list).len(), 3);
            let first = endpoint_list.usable().remove(0);
            endpoint_list.failed(&first, "test");
            firsts.insert(first.endpoint.url.clone());
        }
        assert_eq!(firsts.len(), 3);
    }
}
