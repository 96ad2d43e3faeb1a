//! The data that every request of every connection needs: the context of any service, and what a member has
//! besides.

use std::convert::Infallible;
use std::fmt::Debug;
use std::future::Future;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use hyper::Request;
use hyper::body::Incoming;
use hyper::header::HeaderValue;
use tokio::sync::Notify;

use super::auth::Passwords;
use super::conn_limit::ConnLimit;
use super::connection::ConnState;
use super::cors::{Hosts, Origins};
use super::counters::Counters;
use super::respond::ApiResponse;
use super::routes;
use super::settings::{Info, Settings};
use crate::consensus::Handle;

/// Bytes of request bodies in memory at a time, except those that arrived together with their heads. etcd has no
/// such limit, so a few hundred clients can exhaust its memory.
const MAX_BODY_BYTES_IN_MEMORY: usize = 256 << 20;

/// A service behind the listeners: handles requests in a context.
pub(super) trait Service: Debug + Send + Sync + Sized + 'static {
    /// Returns the context of its connections.
    fn context(&self) -> &Arc<ServerContext>;

    /// Handles a request. It never fails: errors of the request are in the response.
    fn response(
        conn: Arc<ConnState<Self>>,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<ApiResponse, Infallible>> + Send;
}

/// The context of the connections of any service: their permits, the memory of their bodies, and the stop.
#[derive(Debug)]
pub(super) struct ServerContext {
    pub(super) closing: Closing,
    pub(super) conn_limit: ConnLimit,
    bodies: AtomicUsize,
}

impl ServerContext {
    pub(super) fn new(connections: usize) -> Self {
        Self {
            closing: Closing::default(),
            conn_limit: ConnLimit::new(connections),
            bodies: AtomicUsize::new(0),
        }
    }

    /// Reserves `bytes` more for a body, if there is room.
    pub(super) fn reserve(&self, bytes: usize) -> Option<Reserved<'_>> {
        let mut room = Reserved { context: self, bytes: 0 };
        room.grow(bytes).then_some(room)
    }
}

/// Shared by all listeners of a member.
#[derive(Debug)]
pub(super) struct Shared {
    context: Arc<ServerContext>,
    pub(super) handle: Handle,
    pub(super) info: Info,
    pub(super) origins: Origins,
    pub(super) hosts: Hosts,
    pub(super) max_request_bytes: usize,
    /// The cluster id as a header value; it never changes while a member runs.
    pub(super) cluster_id: HeaderValue,
    pub(super) counters: Counters,
    pub(super) passwords: Passwords,
    /// The length of the last recursive listing.
    pub(super) listed: AtomicUsize,
}

impl Shared {
    pub(super) fn new(settings: &Settings, connections: usize, handle: Handle, info: Info) -> Self {
        let cluster_id = format!("{:x}", handle.members().cluster_id);
        Self {
            origins: Origins::new(&settings.cors),
            hosts: Hosts::new(&settings.host_whitelist),
            max_request_bytes: settings.max_request_bytes,
            cluster_id: HeaderValue::from_str(&cluster_id).expect("hex digits are a header value"),
            counters: Counters::default(),
            context: Arc::new(ServerContext::new(connections)),
            passwords: Passwords::new(),
            listed: AtomicUsize::new(0),
            handle,
            info,
        }
    }
}

impl Deref for Shared {
    type Target = ServerContext;

    fn deref(&self) -> &ServerContext {
        &self.context
    }
}

impl Service for Shared {
    fn context(&self) -> &Arc<ServerContext> {
        &self.context
    }

    async fn response(conn: Arc<ConnState>, request: Request<Incoming>) -> Result<ApiResponse, Infallible> {
        routes::response(conn, request).await
    }
}

/// A reserved part of the memory for bodies; returned when dropped.
#[derive(Debug)]
pub(super) struct Reserved<'s> {
    context: &'s ServerContext,
    bytes: usize,
}

impl Reserved<'_> {
    /// Reserves `bytes` more; returns false when there is no room.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        self.bytes += bytes;
        self.context.bodies.fetch_add(bytes, Ordering::Relaxed) + bytes <= MAX_BODY_BYTES_IN_MEMORY
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.context.bodies.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// The stop signal of all connections. A waking token would take a lock at each poll of each connection; a poll
/// here only reads a flag.
#[derive(Debug, Default)]
pub(super) struct Closing {
    begun: AtomicBool,
    pub(super) notify: Notify,
}

impl Closing {
    pub(super) fn begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
        self.notify.notify_waiters();
    }

    /// Waits for the signal.
    pub(super) async fn wait(&self) {
        let mut notified = std::pin::pin!(self.notify.notified());
        // From here on it is woken; an earlier signal has set the flag.
        notified.as_mut().enable();
        if !self.begun() {
            notified.await;
        }
    }
}
