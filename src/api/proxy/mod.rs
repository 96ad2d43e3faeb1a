//! Answers on behalf of a cluster: requests go to a member that can be reached, and its answer comes back as it is.
//!
//! Owns: the list of the members' client URLs and how it follows the cluster, which of them are out of use for a
//! while, the connections to them, what of a request and an answer crosses over, and the `proxy` part of a data
//! folder.
//!
//! Promises: an answer is what etcd's v2 proxy would give, but sooner: a head is passed on when the member sends it,
//! an event when it happens. A request goes to one member after another until one answers; to the same one again only
//! when it certainly was not carried out, or only reads. A member that dies while it answers ends the answer.
//!
//! Leaves out: listening, connections of clients and their bounds, which are those of every port of this room.

mod connection;
mod dial;
mod directory;
mod endpoint;
mod figures;
mod folder;
mod forward;
mod headers;
mod hops;
mod peers;
mod pool;
mod refresh;
mod response_stream;
mod routes;
mod settings;

use std::sync::Arc;

use tokio::sync::watch;

use super::error::ApiError;
use super::server::{DRAIN_TIMEOUT, Server};
use crate::stop::{Loops, Stop};

pub use folder::{FolderOwner, held, knows_peers};
pub(super) use response_stream::ResponseStream;
pub use settings::{ProxyMode, ProxySettings};

use directory::MemberEndpoint;
use forward::Forwarder;
use refresh::Refresh;

/// A proxy that has its ports and its part of the data folder, and takes connections once [`Proxy::run`] runs.
#[derive(Debug)]
pub struct Proxy {
    server: Server,
    forwarder: Arc<Forwarder>,
    refresh: Refresh,
}

impl Proxy {
    /// Opens the listeners, and reads or makes the folder. Needs a tokio runtime around it, and blocks for the time
    /// of a few file operations.
    ///
    /// # Errors
    /// What keeps a listener from opening; a folder or file that cannot be read or made.
    pub fn open(settings: &ProxySettings) -> Result<Self, ApiError> {
        let server = Server::bind(&settings.api)?;
        let forwarder = Arc::new(Forwarder::new(settings, server.most())?);
        let refresh = Refresh::open(settings, Arc::clone(&forwarder))?;
        Ok(Self { server, forwarder, refresh })
    }

    /// The listen URLs, with the ports that were found where 0 was asked for.
    #[must_use]
    pub fn client_urls(&self) -> Vec<String> {
        self.server.client_urls()
    }

    /// Where its state can be seen while it runs.
    #[must_use]
    pub fn handle(&self) -> ProxyHandle {
        ProxyHandle { lists: self.forwarder.directory.follow(), forwarder: Arc::clone(&self.forwarder) }
    }

    /// Asks for the members once, then serves until `stop`; `serving` is called in between.
    ///
    /// # Errors
    /// A listener that ended although nobody had asked for a stop.
    pub async fn run(mut self, serving: impl FnOnce() + Send, stop: Stop) -> Result<(), ApiError> {
        // Who connects now waits in the port's queue, rather than to hear that there is no member.
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

/// A look at a running proxy.
#[derive(Clone, Debug)]
pub struct ProxyHandle {
    forwarder: Arc<Forwarder>,
    lists: watch::Receiver<Vec<Arc<MemberEndpoint>>>,
}

impl ProxyHandle {
    /// The members' client URLs in the order in which they are tried, without those that are out of use for a while.
    #[must_use]
    pub fn endpoints(&self) -> Vec<String> {
        self.forwarder.directory.usable().iter().map(|endpoint| endpoint.endpoint.url.clone()).collect()
    }

    /// Waits until the list of members was read anew, since the last call or since this was made.
    pub async fn refreshed(&mut self) {
        // The sender lives in what this holds.
        let _ = self.lists.changed().await;
    }

    /// Has the list of members read anew at once.
    pub fn refresh(&self) {
        self.forwarder.directory.wanted.notify_one();
    }
}
