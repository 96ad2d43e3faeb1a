//! Follows an engine: its events, and full lists at the start, after each disconnect, and periodically.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, OptionFuture};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::container::ListedContainer;
use super::engine::{Engine, EngineError, EngineEvent, EngineInfo, EventSubject, Events};
use crate::backoff::Backoff;
use crate::placement::Image;
use crate::stop::Stop;

/// The shortest delay before the engine is tried again.
const MIN_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);
/// How long to wait for a subscription before containers are listed without it; the engine usually confirms sooner.
const SUBSCRIBE_TIMEOUT: Duration = Duration::from_millis(50);
/// The shortest interval between image lists: a single pull causes many events.
const IMAGE_LIST_INTERVAL: Duration = Duration::from_secs(1);

/// News from the engine.
pub(super) enum EngineUpdate {
    /// The engine responds: what it reports about its host.
    Up(EngineInfo),
    /// The engine does not respond, and why.
    Down(String),
    /// All containers.
    Listed(Vec<ListedContainer>),
    /// An event.
    Event(EngineEvent),
    /// All images.
    Images(Vec<Image>),
}

/// Sends the engine's updates to `updates` until the stop. Retries an unreachable engine for ever.
///
/// # Errors
/// The socket is a mounted file that nobody will ever listen on again.
pub(super) async fn follow(
    engine: Arc<Engine>,
    relist: Duration,
    updates: mpsc::Sender<EngineUpdate>,
    stop: Stop,
) -> Result<(), String> {
    let mut session = EngineSession { engine, updates, relist, since: None, backoff: backoff(relist) };
    let work = async {
        loop {
            let begun = Instant::now();
            let LostStream { why, listed, stale } = session.follow().await;
            if stale {
                return why;
            }
            if begun.elapsed() > MAX_RETRY_DELAY {
                session.backoff.reset();
            }
            // Engines end a quiet stream now and then; that alone is no reason for a warning.
            match session.backoff.attempts() {
                1 if listed => {
                    let instead = "listing containers instead";
                    tracing::warn!("cannot follow events: {why}; {instead}");
                }
                1 => tracing::warn!("the container engine is unreachable: {why}; keys stay unchanged"),
                0 => tracing::info!("reconnecting to the container engine: {why}"),
                _ => tracing::debug!("reconnecting to the container engine: {why}"),
            }
            if !listed {
                session.report(EngineUpdate::Down(why)).await;
            }
            sleep(session.backoff.next()).await;
        }
    };
    tokio::select! {
        why = work => Err(why),
        () = stop.wait() => Ok(()),
    }
}

fn backoff(relist: Duration) -> Backoff {
    Backoff::new(MIN_RETRY_DELAY.min(relist), MAX_RETRY_DELAY.min(relist))
}

/// How following ended.
struct LostStream {
    why: String,
    /// Whether the containers could still be listed.
    listed: bool,
    /// Whether nobody will ever listen on the socket again.
    stale: bool,
}

struct EngineSession {
    engine: Arc<Engine>,
    updates: mpsc::Sender<EngineUpdate>,
    relist: Duration,
    /// The time of the last event.
    since: Option<i64>,
    backoff: Backoff,
}

/// A request that runs while events are read.
type PendingQuery<T> = BoxFuture<'static, Result<T, EngineError>>;

impl EngineSession {
    async fn report(&self, update: EngineUpdate) {
        // When the receiver is gone, this loop is about to be stopped as well.
        self.updates.send(update).await.ok();
    }

    /// Follows until that fails, and returns why. Subscribes before it lists, so that nothing in between is missed.
    async fn follow(&mut self) -> LostStream {
        match self.subscribe().await {
            Ok(events) => {
                tracing::info!("Listening for Docker events ...");
                LostStream { why: self.forward_events(events).await, listed: false, stale: false }
            }
            // Some engines have no events, and some proxies let none through.
            Err(error) => {
                let listed = !error.stale_socket && self.list_without_events().await;
                LostStream { why: error.why, listed, stale: error.stale_socket }
            }
        }
    }

    /// Lists the containers without an event stream; returns whether that worked.
    async fn list_without_events(&self) -> bool {
        let Ok(all) = self.engine.list().await else { return false };
        self.report(EngineUpdate::Listed(all)).await;
        true
    }

    async fn subscribe(&self) -> Result<Events, EngineError> {
        let info = self.engine.info().await?;
        self.report(EngineUpdate::Up(info)).await;
        let mut events = std::pin::pin!(self.engine.events(self.since));
        match timeout(SUBSCRIBE_TIMEOUT, &mut events).await {
            Ok(events) => events,
            // Some engines send nothing before the first event. List now, and again once the stream is confirmed.
            Err(_) => {
                self.list_without_events().await;
                events.await
            }
        }
    }

    async fn forward_events(&mut self, mut events: Events) -> String {
        let (mut listing, mut images) = (Some(self.list()), Some(self.images()));
        let mut host: Option<PendingQuery<EngineInfo>> = None;
        let (mut next_list, mut next_images) = (Instant::now() + self.relist, None);
        let mut retry = backoff(self.relist);
        let mut first = true;
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Ok(Some(event)) => {
                        self.since = self.since.max(event.at);
                        match event.of {
                            EventSubject::Image => {
                                next_images.get_or_insert(Instant::now() + IMAGE_LIST_INTERVAL);
                            }
                            EventSubject::Container => self.report(EngineUpdate::Event(event)).await,
                            EventSubject::Host => {
                                host = Some(self.host());
                                next_list = Instant::now();
                            }
                        }
                    }
                    Ok(None) => return "it ended the event stream".to_owned(),
                    Err(error) => return error.to_string(),
                },
                Some(listed) = OptionFuture::from(listing.as_mut()) => {
                    listing = None;
                    match listed {
                        Ok(all) => {
                            retry.reset();
                            next_list = Instant::now() + self.relist;
                            if std::mem::take(&mut first) {
                                tracing::info!("Syncing services on {} containers", all.len());
                            }
                            self.report(EngineUpdate::Listed(all)).await;
                        }
                        Err(error) => {
                            if retry.attempts() == 0 {
                                tracing::warn!("cannot list containers: {error}; keys stay unchanged");
                            }
                            next_list = Instant::now() + retry.next();
                            self.report(EngineUpdate::Down(error.to_string())).await;
                        }
                    }
                }
                Some(listed) = OptionFuture::from(images.as_mut()) => {
                    images = None;
                    // Without them, the node's record has no images.
                    match listed {
                        Ok(all) => self.report(EngineUpdate::Images(all)).await,
                        Err(error) => tracing::debug!("cannot list images: {error}"),
                    }
                }
                Some(asked) = OptionFuture::from(host.as_mut()) => {
                    host = None;
                    // On an error, the previous information stays valid until the stream breaks.
                    match asked {
                        Ok(info) => self.report(EngineUpdate::Up(info)).await,
                        Err(error) => tracing::debug!("cannot read the engine's host information: {error}"),
                    }
                }
                () = sleep_until(next_list), if listing.is_none() => listing = Some(self.list()),
                Some(()) = OptionFuture::from(next_images.map(sleep_until)), if images.is_none() => {
                    next_images = None;
                    images = Some(self.images());
                }
            }
        }
    }

    fn list(&self) -> PendingQuery<Vec<ListedContainer>> {
        let engine = Arc::clone(&self.engine);
        async move { engine.list().await }.boxed()
    }

    fn host(&self) -> PendingQuery<EngineInfo> {
        let engine = Arc::clone(&self.engine);
        async move { engine.info().await }.boxed()
    }

    fn images(&self) -> PendingQuery<Vec<Image>> {
        let engine = Arc::clone(&self.engine);
        async move { engine.images().await }.boxed()
    }
}
