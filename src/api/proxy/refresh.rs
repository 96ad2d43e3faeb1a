//! Follows the cluster: fetches its members periodically, and saves them for the next start.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::super::error::ApiError;
use super::data_dir::ClusterFile;
use super::forwarder::Forwarder;
use super::member_list::{self, ClusterUrls};
use super::settings::ProxySettings;
use crate::disk;
use crate::http::Endpoint;
use crate::http::client::Dialer;
use crate::stop::Stop;

/// The delay between attempts while there is no endpoint.
const NO_ENDPOINT_RETRY_DELAY: Duration = Duration::from_secs(1);

/// The state of refreshing.
#[derive(Debug)]
pub(super) struct Refresh {
    forwarder: Arc<Forwarder>,
    dialer: Dialer,
    file: ClusterFile,
    /// The content of the file, once it has any.
    saved: Option<Vec<String>>,
    /// Why the file could not be written, as last logged.
    save_error: Option<String>,
    peer_urls: Vec<String>,
    client_urls: Vec<String>,
    interval: Duration,
    /// Whether the log line that tools wait for was written.
    announced: bool,
    /// Whether no member responded last time.
    unreachable: bool,
}

impl Refresh {
    /// Starts with the URLs in the folder, or else those in the settings.
    pub(super) fn open(settings: &ProxySettings, forwarder: Arc<Forwarder>) -> Result<Self, ApiError> {
        let dialer = settings.dialer(&settings.peer_tls, None)?;
        let (file, saved) = ClusterFile::open(&settings.data_dir)?;
        let peer_urls = match &saved {
            Some(urls) => {
                tracing::info!("proxy: using peer urls {urls:?} from cluster file {}", file.path().display());
                urls.clone()
            }
            None => {
                tracing::info!("proxy: using peer urls {:?}", settings.peer_urls);
                settings.peer_urls.clone()
            }
        };
        Ok(Self {
            forwarder,
            dialer,
            file,
            saved,
            save_error: None,
            peer_urls,
            client_urls: Vec::new(),
            interval: settings.refresh_interval,
            announced: false,
            unreachable: false,
        })
    }

    /// Refreshes until the stop.
    pub(super) async fn run(mut self, stop: Stop) -> Result<(), Infallible> {
        loop {
            let none = self.client_urls.is_empty();
            let wait = if none { self.interval.min(NO_ENDPOINT_RETRY_DELAY) } else { self.interval };
            tokio::select! {
                () = sleep(wait) => {}
                () = self.forwarder.endpoint_list.wanted.notified() => {}
                () = stop.wait() => return Ok(()),
            }
            tokio::select! {
                () = self.once() => {}
                () = stop.wait() => return Ok(()),
            }
        }
    }

    /// Refreshes once. Until a member responds there is no endpoint, as in etcd's proxy.
    pub(super) async fn once(&mut self) {
        // An outage is logged once, not each second.
        let log_failures = !self.unreachable;
        let found = member_list::fetch(&self.dialer, &self.peer_urls, log_failures).await;
        self.unreachable = found.is_none();
        let found = found.unwrap_or_else(|| {
            if log_failures {
                self.log_failure();
            }
            ClusterUrls { peer_urls: self.peer_urls.clone(), ..ClusterUrls::default() }
        });
        if self.client_urls != found.client_urls && self.announced {
            tracing::info!("endpoints are now {:?}, were {:?}", found.client_urls, self.client_urls);
        }
        self.client_urls = found.client_urls;
        let endpoints: Vec<Endpoint> = self.client_urls.iter().filter_map(|url| endpoint(url)).collect();
        self.forwarder.pool.remove_stale(&endpoints);
        self.forwarder.endpoint_list.replace(endpoints);
        self.announce();
        if !self.client_urls.is_empty() && self.saved.as_ref() != Some(&found.peer_urls) {
            self.save(found.peer_urls).await;
        }
    }

    fn log_failure(&self) {
        let advice = match &self.saved {
            Some(_) => format!(
                "; if they are no longer the cluster's, stop the proxy, remove {} and name others with --initial-cluster",
                self.file.path().display()
            ),
            None => "; --initial-cluster has to name the members' peer URLs".to_owned(),
        };
        tracing::warn!(
            "proxy: could not retrieve cluster information from the given urls {:?}; trying on{advice}",
            self.peer_urls
        );
    }

    /// Logs the line that tools wait for.
    fn announce(&mut self) {
        let endpoints = self.forwarder.endpoint_list.usable();
        if !self.announced && !endpoints.is_empty() {
            self.announced = true;
            let urls: Vec<String> =
                endpoints.iter().map(|endpoint| format!("\"{}\"", endpoint.endpoint.url)).collect();
            tracing::info!("proxy/httpproxy: endpoints found [{}]", urls.join(" "));
        }
    }

    async fn save(&mut self, peer_urls: Vec<String>) {
        let (file, urls) = (self.file.clone(), peer_urls.clone());
        let saved = tokio::task::spawn_blocking(move || file.save(&urls)).await;
        let path = self.file.path().display();
        match saved.map_err(std::io::Error::other).and_then(|saved| saved) {
            Ok(()) => {
                if self.saved.is_some() {
                    let was = &self.peer_urls;
                    tracing::info!("updated peer urls in cluster file from {was:?} to {peer_urls:?}");
                }
                self.saved = Some(peer_urls.clone());
                self.save_error = None;
            }
            Err(error) => {
                let why = disk::explain(&error);
                if self.save_error.replace(why.clone()).as_ref() != Some(&why) {
                    tracing::error!(
                        "proxy: {path}: keeping the members' URLs: {why}; until then the next start may not find them"
                    );
                }
            }
        }
        self.peer_urls = peer_urls;
    }
}

fn endpoint(url: &str) -> Option<Endpoint> {
    Endpoint::parse(url).inspect_err(|_| tracing::warn!("upstream URL invalid: {url}")).ok()
}
