//! `/metrics` of a proxy: requests by result, under etcd's names.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hyper::{Method, StatusCode};

use super::super::counters::{BUCKET_COUNT, bound};
use super::super::metrics::{self, MetricsPage};
use super::super::respond::ApiResponse;

/// Why a request failed, at one member or completely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum DropReason {
    /// There was no endpoint.
    NoEndpoint,
    /// No endpoint responded.
    NoResponse,
    /// One endpoint did not respond.
    NotSent,
}

impl DropReason {
    const fn label(self) -> &'static str {
        match self {
            Self::NoEndpoint => "zero_endpoints",
            Self::NoResponse => "failed_getting_response",
            Self::NotSent => "failed_sending_request",
        }
    }
}

/// The time from a request to the head of its response.
#[derive(Debug, Default)]
struct Durations {
    /// By the lowest bound that covers them; the last element counts those beyond all.
    within: [u64; BUCKET_COUNT + 1],
    seconds: f64,
}

#[derive(Debug, Default)]
struct Counts {
    received: BTreeMap<&'static str, u64>,
    handled: BTreeMap<(u16, &'static str), u64>,
    dropped: BTreeMap<(&'static str, DropReason), u64>,
    durations: BTreeMap<&'static str, Durations>,
}

/// All counters.
#[derive(Debug, Default)]
pub(super) struct ProxyMetrics {
    counts: Mutex<Counts>,
}

impl ProxyMetrics {
    pub(super) fn received(&self, method: &Method) {
        *self.lock().received.entry(label(method)).or_default() += 1;
    }

    pub(super) fn dropped(&self, method: &Method, why: DropReason) {
        *self.lock().dropped.entry((label(method), why)).or_default() += 1;
    }

    pub(super) fn handled(&self, method: &Method, status: StatusCode, took: Duration) {
        let (method, mut counts) = (label(method), self.lock());
        *counts.handled.entry((status.as_u16(), method)).or_default() += 1;
        let durations = counts.durations.entry(method).or_default();
        durations.within[bound(took)] += 1;
        durations.seconds += took.as_secs_f64();
    }

    /// Returns the page.
    pub(super) fn page(&self, endpoints: usize, connections: usize) -> ApiResponse {
        let mut page = MetricsPage::new();
        self.lock().write(&mut page);
        page.gauge("retune_proxy_endpoints", "Endpoints in use.", endpoints as u64);
        page.gauge("retune_store_client_connections", "Connections of clients.", connections as u64);
        page.process();
        metrics::page(page)
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn write(&self, page: &mut MetricsPage) {
        let name = "etcd_proxy_requests_total";
        page.head(name, "counter", "Counter requests incoming by method.");
        for (method, count) in &self.received {
            page.line(format_args!("{name}{{method=\"{method}\"}} {count}"));
        }
        let name = "etcd_proxy_handled_total";
        page.head(name, "counter", "Counter of requests fully handled (by authoratitave servers)");
        for ((status, method), count) in &self.handled {
            page.line(format_args!("{name}{{code=\"{status}\",method=\"{method}\"}} {count}"));
        }
        let name = "etcd_proxy_dropped_total";
        page.head(name, "counter", "Counter of requests dropped in the proxy.");
        for ((method, why), count) in &self.dropped {
            let why = why.label();
            page.line(format_args!("{name}{{method=\"{method}\",proxying_error=\"{why}\"}} {count}"));
        }
        let name = "etcd_proxy_handling_duration_seconds";
        let help = "Bucketed histogram of handling time of successful events (non-watches), by method (GET/PUT etc.).";
        page.head(name, "histogram", help);
        for (method, durations) in &self.durations {
            page.durations(name, method, durations.within, durations.seconds);
        }
    }
}

/// An unknown method must not create a row of its own.
fn label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::PUT => "PUT",
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        Method::PATCH => "PATCH",
        _ => "OTHER",
    }
}
