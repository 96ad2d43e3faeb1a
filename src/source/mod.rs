//! Where values come from: one snapshot, then changes.
//!
//! Owns: etcd v2 ([`etcd2`]) and v3 ([`etcd3`]), the environment ([`mod@env`]) and files ([`mod@file`]), each behind
//! the same [`Source`]; following one for ever, through outages ([`follow`], [`link`]).
//! Promises: keys are absolute and clean; a snapshot of etcd v3 has one revision, and one of its transactions arrives
//! in one batch; changes join their snapshot without a gap; no change is lost in an outage, because whatever cannot be
//! resumed is listed again; each outage is reported once; every wait, queue and response is bounded. Every future here
//! may be dropped at any point.
//! Leaves out: the use of the values (`reloader`), HTTP and failover (`client`), the spelling of settings
//! (`settings`).
//!
//! What the sources do not show: etcd v2 lists no key with a segment that begins with `_`, unless a root names it;
//! etcd v3 keys that do not begin with `/` or are not clean are left out; `null` in a file gives no key.

mod env;
mod error;
mod etcd2;
mod etcd3;
mod file;
mod flatten;
mod follow;
mod fswatch;
mod glob;
mod link;
mod roots;
mod settings;
#[cfg(test)]
mod tests;
mod walk;

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::client::v2::V2;
use crate::client::v3::V3;
use crate::client::{Client, ClientError, Credentials};
use crate::values::{Change, Datum};

pub use error::SourceError;
pub use fswatch::FileWatcher;
pub use settings::{Backend, Follow, Settings};

use etcd2::Etcd2;
use etcd3::Etcd3;
use file::Files;
use link::{Closed, Link, WatchEnd};

/// Everything below some roots at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Absolute clean keys with their values, in no particular order.
    pub entries: Vec<(Arc<str>, Datum)>,
    /// The position in the store's history; 0 for sources without a history.
    pub revision: u64,
}

/// An event of a followed source.
#[derive(Debug)]
pub enum SourceEvent {
    /// All keys; a key that is not in it does not exist.
    Snapshot(Snapshot),
    /// The changes since the last event, in order.
    Changes {
        /// Never empty.
        changes: Vec<Change>,
        /// The new position in the store's history; 0 for sources without a history.
        revision: u64,
    },
    /// The source cannot be read. Sent once per outage; the last values stay valid.
    Down(SourceError),
    /// The source can be read again after `Down`. The missed changes follow, as changes or as a snapshot.
    Up,
}

/// A snapshot with the index each root was read at.
#[derive(Debug)]
struct Listing {
    snapshot: Snapshot,
    indexes: Vec<u64>,
}

/// One source of values.
#[derive(Debug)]
pub struct Source {
    kind: SourceKind,
    label: String,
    /// The client, for a source that is a store.
    client: Option<Arc<Client>>,
}

#[derive(Debug)]
enum SourceKind {
    Etcd { v2: Etcd2, v3: Etcd3, switched: AtomicBool },
    EtcdV3(Etcd3),
    Env,
    File(Files),
}

impl Source {
    /// Checks the settings and reads certificate files; does not use the network yet.
    ///
    /// # Errors
    /// `Settings` or `Store` for invalid settings or a certificate file that cannot be used.
    pub fn new(settings: Settings) -> Result<Self, SourceError> {
        let name = settings.backend.name();
        let mut store = None;
        let (kind, label) = match settings.backend {
            Backend::Etcd => {
                let (client, login) = client(settings)?;
                store = Some(Arc::clone(&client));
                let v2 = Etcd2::new(V2::new(Arc::clone(&client), login.as_ref()));
                let v3 = Etcd3::new(V3::new(Arc::clone(&client), login));
                (SourceKind::Etcd { v2, v3, switched: AtomicBool::new(false) }, client.describe())
            }
            Backend::EtcdV3 => {
                let (client, login) = client(settings)?;
                store = Some(Arc::clone(&client));
                (SourceKind::EtcdV3(Etcd3::new(V3::new(Arc::clone(&client), login))), client.describe())
            }
            Backend::Env => (SourceKind::Env, String::new()),
            Backend::File => {
                let files = Files::new(settings.files, &settings.filter)?;
                let label = files.describe();
                (SourceKind::File(files), label)
            }
        };
        let label = format!("{name} {label}");
        Ok(Self { kind, label: label.trim_end().to_owned(), client: store })
    }

    /// Returns one consistent snapshot of everything at and below `roots`, which are absolute, clean and disjoint
    /// (except where etcd hides one below another). Without roots it sends no request.
    ///
    /// # Errors
    /// Any but `Settings`.
    pub async fn fetch(&self, roots: &[String]) -> Result<Snapshot, SourceError> {
        Ok(self.list(roots).await?.snapshot)
    }

    /// Returns whether the source reports changes. The environment does not: it is read again at each `relist`.
    #[must_use]
    pub const fn watches(&self) -> bool {
        !matches!(self.kind, SourceKind::Env)
    }

    /// Returns the source's name in logs; contains no secret.
    #[must_use]
    pub fn describe(&self) -> String {
        self.label.clone()
    }

    /// Keeps the list of a store's members up to date, for ever.
    async fn follow_members(&self) -> Infallible {
        match &self.client {
            Some(client) => client.follow_members().await,
            None => std::future::pending().await,
        }
    }

    /// Returns the number of the current cluster; it grows when the store is replaced by another cluster.
    fn epoch(&self) -> u64 {
        self.client.as_ref().map_or(0, |client| client.epoch())
    }

    async fn list(&self, roots: &[String]) -> Result<Listing, SourceError> {
        if roots.is_empty() {
            return Ok(Listing { snapshot: Snapshot::default(), indexes: Vec::new() });
        }
        match &self.kind {
            SourceKind::Etcd { v2, v3, switched } => {
                if !switched.load(Ordering::Relaxed) {
                    match v2.list(roots).await {
                        Err(ClientError::NotServed { .. }) => {}
                        other => return Ok(other?),
                    }
                }
                let listing = v3.list(roots).await?;
                if !switched.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        source = self.label,
                        "the store has no etcd v2 API, so its v3 API is used; say `etcdv3` to begin with it"
                    );
                }
                Ok(listing)
            }
            SourceKind::EtcdV3(v3) => Ok(v3.list(roots).await?),
            SourceKind::Env => Ok(env::list(roots)),
            SourceKind::File(files) => files.list(roots).await,
        }
    }

    /// Sends changes after a listing until the position in the history is lost.
    async fn watch(&self, roots: &[String], from: &WatchStart, link: &mut Link) -> Result<WatchEnd, Closed> {
        match &self.kind {
            SourceKind::Etcd { v2, switched, .. } if !switched.load(Ordering::Relaxed) => {
                v2.watch(roots, from, link).await
            }
            SourceKind::Etcd { v3, .. } | SourceKind::EtcdV3(v3) => v3.watch(roots, from, link).await,
            SourceKind::Env => std::future::pending().await,
            SourceKind::File(files) => files.watch(roots, &from.entries, link).await,
        }
    }
}

/// What a watch needs to know of its listing.
#[derive(Debug)]
struct WatchStart {
    /// The index at which each root was read.
    indexes: Vec<u64>,
    /// The cluster they belong to; the number grows when the store is replaced by another cluster.
    epoch: u64,
    /// Only for sources without a history, which compare.
    entries: Vec<(Arc<str>, Datum)>,
}

impl WatchStart {
    fn after(listing: &Listing, epoch: u64) -> Self {
        let indexes = listing.indexes.clone();
        let entries = if indexes.is_empty() { listing.snapshot.entries.clone() } else { Vec::new() };
        Self { indexes, epoch, entries }
    }
}

fn client(settings: Settings) -> Result<(Arc<Client>, Option<Credentials>), SourceError> {
    if settings.tls.insecure {
        tracing::warn!("the store's certificate is not verified: any server is accepted");
    }
    Ok((Arc::new(settings.client()?), settings.login))
}
