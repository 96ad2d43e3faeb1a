//! Fetches snapshots that other members announce: one at a time, the newest first, resuming interrupted transfers.

use std::convert::Infallible;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, IF_RANGE, RANGE};
use tokio::io::AsyncWriteExt as _;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};

use super::Inbound;
use super::call::{self, Reply, call};
use super::dial;
use super::fetch_request::WantedSnapshot;
use super::hub::PeerHub;
use super::partial_snapshot::{self, PartialSnapshot};
use super::routes::SNAPSHOTS;
use super::serve::LENGTH;
use super::snapshot_parts::SnapshotParts;
use crate::backoff::Backoff;
use crate::consensus::snapshot;
use crate::consensus::state::State;
use crate::stop::Stop;

/// A transfer without a byte for this long is restarted.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// How often old parts are removed.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(600);
/// How many attempts in a row without progress, and how many damaged files, end a transfer.
const MAX_FRUITLESS_ATTEMPTS: u32 = 10;
const MAX_DAMAGED_FILES: u32 = 3;
const MIN_RETRY_DELAY: Duration = Duration::from_millis(50);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why an attempt failed.
enum FetchError {
    /// Another attempt may work; `progress`: whether bytes arrived.
    Broken { why: String, progress: bool },
    /// The received file is not a snapshot.
    Damaged(String),
    /// Further attempts are useless.
    Final(String),
}

/// Fetches announced snapshots until the stop.
pub(super) async fn run(hub: Arc<PeerHub>, stop: Stop) -> Result<(), io::Error> {
    let mut overriding = None;
    loop {
        let wanted = match overriding.take() {
            Some(wanted) => wanted,
            None => tokio::select! {
                wanted = hub.fetch_request.next() => wanted,
                never = remove_old_parts(&hub.snapshots) => match never {},
                () = stop.wait() => return Ok(()),
            },
        };
        let current = Mutex::new(wanted);
        tokio::select! {
            () = fetch(&hub, &current) => {}
            other = hub.fetch_request.other(&current) => overriding = Some(other),
            () = stop.wait() => return Ok(()),
        }
    }
}

/// Removes old parts now and then while nothing is fetched.
async fn remove_old_parts(folder: &Path) -> Infallible {
    loop {
        partial_snapshot::remove_old(folder).await;
        sleep(CLEANUP_INTERVAL).await;
    }
}

async fn fetch(hub: &PeerHub, current: &Mutex<WantedSnapshot>) {
    let now = || current.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let wanted = now();
    let (index, from) = (wanted.index(), wanted.from);
    let (mut fruitless, mut damaged) = (0, 0);
    let mut backoff = Backoff::new(MIN_RETRY_DELAY, MAX_RETRY_DELAY);
    let begun = Instant::now();
    let given_up = loop {
        match attempt(hub, &wanted).await {
            Ok((state, path)) => {
                tracing::info!("the snapshot at log index {index} was fetched in {:.1?}", begun.elapsed());
                let message = Box::new(now().message);
                return hub.report(Inbound::Fetched { message, state, path }).await;
            }
            Err(FetchError::Final(why)) => break why,
            Err(FetchError::Damaged(why)) => {
                damaged += 1;
                let shown = hub.directory().shown(from);
                tracing::warn!("the snapshot at log index {index} from member {shown} is damaged: {why}");
                if damaged == MAX_DAMAGED_FILES {
                    break "it was damaged each time".to_owned();
                }
            }
            Err(FetchError::Broken { why, progress }) => {
                fruitless = if progress { 0 } else { fruitless + 1 };
                if fruitless == MAX_FRUITLESS_ATTEMPTS {
                    break why;
                }
                if progress {
                    backoff.reset();
                }
                tracing::info!("the snapshot at log index {index} will be resumed in a moment: {why}");
            }
        }
        sleep(backoff.next()).await;
    };
    let shown = hub.directory().shown(from);
    tracing::warn!("the snapshot at log index {index} from member {shown} could not be fetched: {given_up}");
    if let Some(peer_queue) = hub.peer_queue(from) {
        peer_queue.snapshot_failed(index);
    }
}

/// Tries each of the member's URLs once.
async fn attempt(hub: &PeerHub, wanted: &WantedSnapshot) -> Result<(Box<State>, PathBuf), FetchError> {
    let (index, term) = (wanted.index(), wanted.term());
    let path = hub.snapshots.join(format!("{index:016x}.{}", snapshot::FETCHED));
    // It may have been fetched before, without the driver learning of it.
    if path.exists()
        && let Ok(state) = check(path.clone(), index, term).await
    {
        return Ok((state, path));
    }
    let peer_queue =
        hub.peer_queue(wanted.from).ok_or_else(|| FetchError::Final("its member was removed".to_owned()))?;
    let mut error_kind = FetchError::Broken { why: "its member has no URL".to_owned(), progress: false };
    for url in peer_queue.urls() {
        match transfer(hub, &url, wanted).await {
            Ok(part) => {
                match check(part.clone(), index, term).await {
                    Ok(state) => {
                        partial_snapshot::finish(&part, &path)
                            .await
                            .map_err(|error| FetchError::Final(error.to_string()))?;
                        return Ok((state, path));
                    }
                    Err(error_kind @ FetchError::Damaged(_)) => {
                        tokio::fs::remove_file(&part).await.ok();
                        return Err(error_kind);
                    }
                    Err(error_kind) => return Err(error_kind),
                };
            }
            Err(FetchError::Broken { why, progress: false }) => {
                error_kind = FetchError::Broken { why, progress: false };
            }
            Err(other) => return Err(other),
        }
    }
    Err(error_kind)
}

/// Reads the complete file, as a restart would.
async fn check(path: PathBuf, index: u64, term: u64) -> Result<Box<State>, FetchError> {
    let read = spawn_blocking(move || snapshot::read(&path)).await;
    let state = read.map_err(|error| FetchError::Final(error.to_string()))?;
    let state = state.map_err(|error| match error {
        crate::consensus::error::OpenError::Damaged { .. } => FetchError::Damaged(error.to_string()),
        other => FetchError::Final(other.to_string()),
    })?;
    if state.applied.index != index || (term != 0 && state.applied.term != term) {
        let is = state.applied;
        return Err(FetchError::Damaged(format!("it is of log index {} and term {}", is.index, is.term)));
    }
    Ok(Box::new(state))
}

/// Fetches the rest of the file from `url`; returns its path.
async fn transfer(hub: &PeerHub, url: &str, wanted: &WantedSnapshot) -> Result<PathBuf, FetchError> {
    let before = partial_snapshot::find(&hub.snapshots, wanted.index()).await;
    let asked = async {
        let path = format!("{SNAPSHOTS}{:016x}", wanted.index());
        let mut headers = HeaderMap::new();
        if let Some(part) = &before {
            let value = |text: String| text.parse().map_err(io::Error::other);
            headers.insert(RANGE, value(format!("bytes={}-", part.length))?);
            headers.insert(IF_RANGE, value(part.tag.clone())?);
        }
        call(hub, (url, wanted.from), &path, headers, |reply| async {
            // The result of the transfer does not concern the connection.
            Ok(Ok(receive(hub, wanted, before.as_ref(), reply).await))
        })
        .await
    };
    let broken = |error| FetchError::Broken { why: format!("{url}: {error}"), progress: false };
    match asked.await {
        Ok(Ok(received)) => received,
        Ok(Err(refusal)) => Err(broken(refusal.reason)),
        Err(error) => Err(broken(call::explain(hub, url, error).to_string())),
    }
}

async fn receive(
    hub: &PeerHub,
    wanted: &WantedSnapshot,
    before: Option<&PartialSnapshot>,
    reply: Reply,
) -> Result<PathBuf, FetchError> {
    let broken = |error: io::Error| FetchError::Broken { why: error.to_string(), progress: false };
    let status = reply.response.status();
    let resumed = status == StatusCode::PARTIAL_CONTENT;
    if !resumed && status != StatusCode::OK {
        let retry = status == StatusCode::FORBIDDEN || status.is_server_error();
        let reason = timeout(IDLE_TIMEOUT, reply.refusal())
            .await
            .map_err(|_| dial::timed_out("its response did not end"));
        let reason = reason.flatten().map_or_else(|error| error.to_string(), |refusal| refusal.reason);
        return Err(if retry {
            FetchError::Broken { why: reason, progress: false }
        } else {
            FetchError::Final(reason)
        });
    }
    let (response, call) = reply.unchecked();
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let number = |name: &str| header(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let tag = header(ETAG.as_str()).unwrap_or_default().to_owned();
    let have = before.filter(|_| resumed).map_or(0, |part| part.length);
    if resumed
        && !header(CONTENT_RANGE.as_str()).is_some_and(|range| range.starts_with(&format!("bytes {have}-")))
    {
        return Err(FetchError::Final("a different part than the requested one was sent".to_owned()));
    }
    let opened = partial_snapshot::open(&hub.snapshots, wanted.index(), &tag, have).await;
    let (path, file) = opened.map_err(|error| FetchError::Final(error.to_string()))?;
    let total = match &call {
        Some(_) => number(LENGTH),
        None => have.saturating_add(number(CONTENT_LENGTH.as_str())),
    };
    let parts = call.map(|call| SnapshotParts::new(call.snapshot_key(&tag, total), have, total));
    let (from, index) = (wanted.from, wanted.index());
    tracing::info!(
        "fetching the snapshot at log index {index} from member {from:x}: bytes {have} to {total}"
    );
    let stored = store(response.into_body(), (file, parts), have, total).await;
    let came = stored.map_err(|error_kind| match error_kind {
        StoreBodyError::Network(why, progress) => FetchError::Broken { why, progress },
        StoreBodyError::Disk(error) => FetchError::Final(format!("{}: {error}", path.display())),
    })?;
    if came != total {
        return Err(broken(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(path)
}

enum StoreBodyError {
    Network(String, bool),
    Disk(io::Error),
}

/// Writes the body to the file and returns the file's length. Received bytes are kept even on failure.
async fn store(
    mut body: Incoming,
    (mut file, mut parts): (tokio::fs::File, Option<SnapshotParts>),
    have: u64,
    total: u64,
) -> Result<u64, StoreBodyError> {
    let (mut at, mut logged_tenths) = (have, have * 10 / total.max(1));
    let ended = loop {
        let data = match timeout(IDLE_TIMEOUT, body.frame()).await {
            Err(_) => break Err("no more data arrives".to_owned()),
            Ok(None) => break Ok(()),
            Ok(Some(Err(error))) => break Err(error.to_string()),
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
        };
        let data = match &mut parts {
            None => data,
            Some(parts) => match parts.verified(&data) {
                Some(data) => data,
                None => break Err("a part of it is not from the other member".to_owned()),
            },
        };
        file.write_all(&data).await.map_err(StoreBodyError::Disk)?;
        at += data.len() as u64;
        let tenths = at * 10 / total.max(1);
        if tenths > logged_tenths {
            logged_tenths = tenths;
            tracing::debug!("{}0 % of the snapshot are fetched: {at} of {total} bytes", tenths);
        }
    };
    file.flush().await.map_err(StoreBodyError::Disk)?;
    file.sync_all().await.map_err(StoreBodyError::Disk)?;
    ended.map_err(|why| StoreBodyError::Network(why, at > have)).map(|()| at)
}
