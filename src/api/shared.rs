//! The data that every request of every connection to a member needs.

use std::ops::Deref;
use std::sync::Arc;

use hyper::header::HeaderValue;

use super::auth::Passwords;
use super::cors::{AllowedHosts, AllowedOrigins};
use super::counters::Counters;
use super::large_reads::LargeReads;
use super::settings::{ServerInfo, Settings};
use crate::consensus::Handle;
use crate::http::server::{self, ServerContext};

/// One connection of a client of a member.
pub(super) type ConnState = server::ConnState<Shared>;

/// Shared by all listeners of a member.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) context: Arc<ServerContext>,
    pub(super) handle: Handle,
    pub(super) info: ServerInfo,
    pub(super) origins: AllowedOrigins,
    pub(super) hosts: AllowedHosts,
    pub(super) max_request_bytes: usize,
    /// The cluster id as a header value; it never changes while a member runs.
    pub(super) cluster_id: HeaderValue,
    pub(super) counters: Counters,
    pub(super) passwords: Passwords,
    pub(super) large_reads: LargeReads,
}

impl Shared {
    pub(super) fn new(settings: &Settings, connections: usize, handle: Handle, info: ServerInfo) -> Self {
        let cluster_id = format!("{:x}", handle.members().cluster_id);
        Self {
            origins: AllowedOrigins::new(settings.cors.as_deref()),
            hosts: AllowedHosts::new(&settings.host_whitelist),
            max_request_bytes: settings.max_request_bytes,
            cluster_id: HeaderValue::from_str(&cluster_id).expect("hex digits are a header value"),
            counters: Counters::default(),
            context: Arc::new(ServerContext::new(connections)),
            passwords: Passwords::new(info.known_logins.clone()),
            large_reads: LargeReads::default(),
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
