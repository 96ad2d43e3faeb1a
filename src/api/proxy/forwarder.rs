//! The data that every request through the proxy needs.

use std::sync::Arc;

use super::super::cors::Origins;
use super::super::error::ApiError;
use super::directory::Directory;
use super::hops::Hops;
use super::metrics::ProxyMetrics;
use super::settings::{ProxyMode, ProxySettings};
use crate::http::client::Pool;
use crate::http::server::ServerContext;

/// Up to this many bytes beyond the limit, a body is forwarded, so that the member refuses it.
const MAX_EXCESS_BODY_BYTES: usize = 1 << 20;

/// Shared by all requests.
#[derive(Debug)]
pub(super) struct Forwarder {
    pub(super) context: Arc<ServerContext>,
    pub(super) origins: Origins,
    pub(super) way: ProxyMode,
    pub(super) directory: Directory,
    pub(super) pool: Pool,
    pub(super) metrics: ProxyMetrics,
    pub(super) hops: Hops,
    pub(super) longest_body: usize,
}

impl Forwarder {
    pub(super) fn new(settings: &ProxySettings, connections: usize) -> Result<Self, ApiError> {
        let dialer = settings.dialer(&settings.client_tls, settings.read_timeout)?;
        Ok(Self {
            // Each connection of a client may need one to a member.
            context: Arc::new(ServerContext::new((connections / 2).max(8))),
            origins: Origins::new(&settings.api.cors),
            way: settings.way,
            directory: Directory::new(settings.failure_wait),
            pool: Pool::new(dialer),
            metrics: ProxyMetrics::default(),
            hops: Hops::new(),
            longest_body: settings.api.max_request_bytes.saturating_add(MAX_EXCESS_BODY_BYTES),
        })
    }
}
