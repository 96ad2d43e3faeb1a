//! The data that every request through the proxy needs.

use std::sync::Arc;

use super::super::cors::{AllowedHosts, AllowedOrigins};
use super::super::error::ApiError;
use super::endpoint_list::EndpointList;
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
    pub(super) origins: AllowedOrigins,
    pub(super) hosts: AllowedHosts,
    pub(super) mode: ProxyMode,
    pub(super) endpoint_list: EndpointList,
    pub(super) pool: Pool,
    pub(super) metrics: ProxyMetrics,
    pub(super) hops: Hops,
    pub(super) max_body_bytes: usize,
}

impl Forwarder {
    pub(super) fn new(settings: &ProxySettings, connections: usize) -> Result<Self, ApiError> {
        let dialer = settings.dialer(&settings.client_tls, settings.read_timeout)?;
        Ok(Self {
            // Each connection of a client may need one to a member.
            context: Arc::new(ServerContext::new((connections / 2).max(8))),
            origins: AllowedOrigins::new(settings.api.cors.as_deref()),
            hosts: AllowedHosts::new(&settings.api.host_whitelist),
            mode: settings.mode,
            endpoint_list: EndpointList::new(settings.failure_wait),
            pool: Pool::new(dialer),
            metrics: ProxyMetrics::default(),
            hops: Hops::new(),
            max_body_bytes: settings.api.max_request_bytes.saturating_add(MAX_EXCESS_BODY_BYTES),
        })
    }
}
