//! Where values come from: one snapshot, then deltas.
//!
//! Owns: etcd v2 ([`etcd2`]) and v3 ([`etcd3`]), the environment ([`mod@env`]) and files ([`mod@file`]), each behind the same
//! [`Source`]; following one for ever, through outages ([`follow`], [`link`]).
//! Promises: keys are absolute and clean; a snapshot of etcd v3 is of one revision, and one of its transactions comes
//! in one piece of news; deltas join their snapshot without a gap; no change is lost by an outage, because what cannot
//! be resumed is listed again; an outage is told once; every wait, queue and answer is bounded. Every future here may
//! be dropped at any point.
//! Leaves out: what the values are for (`reloader`), HTTP and failover (`client`), the settings' spelling (`settings`).
//!
//! What each source cannot show: etcd v2 lists no key with a segment that begins with `_`, unless a root names it;
//! etcd v3 keys that do not begin with `/` or are not clean are left out; `null` in a file is a key that is not there.

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
use crate::client::{Client, ClientError, Config, Credentials, Trust};
use crate::values::{Change, Datum};

pub use error::SourceError;
pub use fswatch::FileWatcher;
pub use settings::{Backend, Follow, Login, Secret, Settings, Tls};

use etcd2::Etcd2;
use etcd3::Etcd3;
use file::Files;
use link::{Closed, End, Link};

/// Everything below some roots at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Absolute clean keys with their values, in no particular order.
    pub entries: Vec<(Arc<str>, Datum)>,
    /// Where in the store's history this was; 0 for sources without a history.
    pub revision: u64,
}

/// What a followed source has to say.
#[derive(Debug)]
pub enum SourceEvent {
    /// Everything there is; what is not in it is gone.
    Snapshot(Snapshot),
    /// What happened since the last news, in order.
    Changes {
        /// Never empty.
        changes: Vec<Change>,
        /// Where in the store's history this brings us; 0 for sources without a history.
        revision: u64,
    },
    /// The source cannot be read. Said once per outage; the values last told stay the best there are.
    Down(SourceError),
    /// The source can be read again after `Down`. What was missed follows, as changes or as a snapshot.
    Up,
}

/// A snapshot with the index each root was read at.
#[derive(Debug)]
struct Listing {
    snapshot: Snapshot,
    indexes: Vec<u64>,
}

/// From where on a store is watched.
#[derive(Clone, Copy, Debug)]
struct Start<'i> {
    /// The index that each root was read at.
    indexes: &'i [u64],
    /// Which of the clusters that were this store one after the other they are of.
    epoch: u64,
}

/// One place values come from.
#[derive(Debug)]
pub struct Source {
    kind: SourceKind,
    label: String,
    /// Where the values are in a store: the client for it.
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
    /// Checks the settings and reads certificate files; nothing goes over the network yet.
    ///
    /// # Errors
    /// `Settings` for what cannot work, `File` for a certificate file that cannot be used.
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

    /// One consistent snapshot of everything at and below `roots`, which are absolute, clean and disjoint (but for
    /// one that etcd hides below another). Without
    /// roots nothing is asked.
    ///
    /// # Errors
    /// Any but `Settings`.
    pub async fn fetch(&self, roots: &[String]) -> Result<Snapshot, SourceError> {
        Ok(self.list(roots).await?.snapshot)
    }

    /// Whether the source tells of changes by itself. The environment does not: it is read again at each `relist`.
    #[must_use]
    pub const fn watches(&self) -> bool {
        !matches!(self.kind, SourceKind::Env)
    }

    /// What logs call this source; holds no secret.
    #[must_use]
    pub fn describe(&self) -> String {
        self.label.clone()
    }

    /// Keeps up with the members of a store for ever.
    async fn follow_members(&self) -> Infallible {
        match &self.client {
            Some(client) => client.follow_members().await,
            None => std::future::pending().await,
        }
    }

    /// Which of the clusters that were this store one after the other is in use.
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

    /// Sends changes after a listing until the place in the history is lost.
    async fn watch(&self, roots: &[String], from: &WatchStart, link: &mut Link) -> Result<End, Closed> {
        match &self.kind {
            SourceKind::Etcd { v2, switched, .. } if !switched.load(Ordering::Relaxed) => {
                v2.watch(roots, from.start(), link).await
            }
            SourceKind::Etcd { v3, .. } | SourceKind::EtcdV3(v3) => v3.watch(roots, from.start(), link).await,
            SourceKind::Env => std::future::pending().await,
            SourceKind::File(files) => files.watch(roots, &from.entries, link).await,
        }
    }
}

/// What a watch needs to know of the listing it goes on from.
#[derive(Debug)]
struct WatchStart {
    indexes: Vec<u64>,
    epoch: u64,
    /// Only for sources without a history, which must compare.
    entries: Vec<(Arc<str>, Datum)>,
}

impl WatchStart {
    fn after(listing: &Listing, epoch: u64) -> Self {
        let indexes = listing.indexes.clone();
        let entries = if indexes.is_empty() { listing.snapshot.entries.clone() } else { Vec::new() };
        Self { indexes, epoch, entries }
    }

    fn start(&self) -> Start<'_> {
        Start { indexes: &self.indexes, epoch: self.epoch }
    }
}

fn client(settings: Settings) -> Result<(Arc<Client>, Option<Credentials>), SourceError> {
    let Settings { nodes, srv_record, scheme, tls, login, timeout, sync, .. } = settings;
    let Tls { ca, cert, key, insecure } = tls;
    if insecure {
        tracing::warn!("the store's certificate is not checked: whoever answers is believed");
    }
    let trust = Trust { ca, cert, key, insecure, ..Trust::default() };
    let client = Client::new(&Config { nodes, srv_record, scheme, trust, timeout, sync })?;
    let login =
        login.map(|login| Credentials { name: login.username, password: login.password.expose().to_owned() });
    Ok((Arc::new(client), login))
}
