//! The proxy of a cluster: requests go to a reachable member, and its response is returned unchanged.
//!
//! Owns: the list of the members' client URLs and how it follows the cluster, their suspensions, the connections to
//! them, which parts of a request and a response are forwarded, and the `proxy` part of a data folder.
//!
//! Promises: a response equals that of etcd's v2 proxy, but sooner: a head is forwarded when the member sends it,
//! an event when it happens. A request goes to one member after another until one responds; to the same one again
//! only when it certainly was not carried out, or only reads. If a member dies during a response, the response
//! ends.
//!
//! Leaves out: listening, client connections and their limits, which this room shares among all ports.

mod data_dir;
mod endpoint_list;
mod forward;
mod forwarder;
mod headers;
mod hops;
mod member_list;
mod metrics;
mod refresh;
mod response_stream;
mod routes;
mod settings;

use std::sync::Arc;

use tokio::sync::watch;

use super::error::ApiError;
use super::server::{DRAIN_TIMEOUT, Server};
use crate::stop::{Loops, Stop};

pub use data_dir::{DataDirOwner, data_dir_owner, has_peer_urls};
pub use settings::{ProxyMode, ProxySettings};

use endpoint_list::MemberEndpoint;
use forwarder::Forwarder;
use refresh::Refresh;

/// A proxy with its ports and its part of the data folder; it accepts connections once [`Proxy::run`] runs.
#[derive(Debug)]
pub struct Proxy {
    server: Server,
    forwarder: Arc<Forwarder>,
    refresh: Refresh,
}

impl Proxy {
    /// Opens the listeners, and reads or creates the folder. Needs a tokio runtime, and blocks for a few file
    /// operations.
    ///
    /// # Errors
    /// A listener cannot open, or the folder or file cannot be read or created.
    pub fn open(settings: &ProxySettings) -> Result<Self, ApiError> {
        let server = Server::bind(&settings.api)?;
        let forwarder = Arc::new(Forwarder::new(settings, server.most())?);
        let refresh = Refresh::open(settings, Arc::clone(&forwarder))?;
        Ok(Self { server, forwarder, refresh })
    }

    /// Returns the listen URLs, with the actual ports where 0 was requested.
    #[must_use]
    pub fn client_urls(&self) -> Vec<String> {
        self.server.client_urls()
    }

    /// Returns a handle that shows its state while it runs.
    #[must_use]
    pub fn handle(&self) -> ProxyHandle {
        ProxyHandle { lists: self.forwarder.endpoint_list.follow(), forwarder: Arc::clone(&self.forwarder) }
    }

    /// Fetches the members once, calls `serving`, then serves until `stop`.
    ///
    /// # Errors
    /// A listener ended before the stop.
    pub async fn run(mut self, serving: impl FnOnce() + Send, stop: Stop) -> Result<(), ApiError> {
        // Clients that connect now wait in the port's queue, instead of getting an error that there is no member.
        tokio::select! {
            () = self.refresh.once() => {}
            () = stop.wait() => return Ok(()),
        }
        serving();
        let mut loops = Loops::new(stop.clone());
        loops.spawn("proxy refresh", self.refresh.run(stop.clone()));
        let served = tokio::select! {
            served = self.server.serve(self.forwarder, stop) => served,
            ended = loops.first_failure() => Err(ApiError::Ended(ended)),
        };
        loops.drain(DRAIN_TIMEOUT).await;
        served
    }
}

/// Shows the state of a running proxy.
#[derive(Clone, Debug)]
pub struct ProxyHandle {
    forwarder: Arc<Forwarder>,
    lists: watch::Receiver<Vec<Arc<MemberEndpoint>>>,
}

impl ProxyHandle {
    /// Returns the members' client URLs in the order in which they are tried, without suspended ones.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.forwarder.endpoint_list.usable_urls()
    }

    /// Waits until the list of members was read again, since the last call or since the handle was made.
    pub async fn refreshed(&mut self) {
        // `self` keeps the sender alive.
        let _ = self.lists.changed().await;
    }

    /// Has the list of members read again at once.
    pub fn refresh(&self) {
        self.forwarder.endpoint_list.wanted.notify_one();
    }
}
