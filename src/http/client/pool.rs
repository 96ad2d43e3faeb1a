//! Connections to servers, kept for the next request.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::{Method, Response};

use super::super::endpoint::Endpoint;
use super::connection::{Connection, ExchangeError, OutgoingRequest};
use super::dial::Dialer;

/// Idle connections kept per endpoint, as in etcd.
const MAX_IDLE_PER_ENDPOINT: usize = 128;
/// How long a connection may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Idle connections by their URL.
#[derive(Debug)]
pub(crate) struct Pool {
    dialer: Dialer,
    idle: Mutex<HashMap<String, Vec<(Connection, Instant)>>>,
}

impl Pool {
    pub(crate) fn new(dialer: Dialer) -> Self {
        Self { dialer, idle: Mutex::new(HashMap::new()) }
    }

    /// Sends a request to one server. An idle connection may have been closed without this side noticing; then the
    /// request is sent again over another, if it was not sent or is safe to repeat.
    pub(crate) async fn send(
        &self,
        endpoint: &Endpoint,
        mut outgoing: OutgoingRequest,
    ) -> Result<(Response<Incoming>, Connection), String> {
        let again = is_safe(&outgoing).then(|| outgoing.clone());
        while let Some(mut connection) = self.take_idle(endpoint) {
            match (connection.send(outgoing).await, &again) {
                (Ok(response), _) => return Ok((response, connection)),
                (Err(ExchangeError::Unsent(unsent)), _) => outgoing = *unsent,
                (Err(ExchangeError::Lost(_)), Some(again)) => outgoing = again.clone(),
                (Err(ExchangeError::Lost(why)), None) => return Err(self.dialer.explain_loss(endpoint, why)),
            }
        }
        let mut connection = self.connect(endpoint).await.map_err(|error| error.to_string())?;
        match connection.send(outgoing).await {
            Ok(response) => Ok((response, connection)),
            Err(ExchangeError::Unsent(_)) => Err("the connection closed at once".to_owned()),
            Err(ExchangeError::Lost(why)) => Err(self.dialer.explain_loss(endpoint, why)),
        }
    }

    async fn connect(&self, endpoint: &Endpoint) -> io::Result<Connection> {
        Connection::over(self.dialer.dial(endpoint).await?).await
    }

    /// Returns a connection to the pool, if it can be used again.
    pub(crate) fn put_idle(&self, endpoint: &Endpoint, mut connection: Connection) {
        if !connection.is_idle() {
            return;
        }
        let mut idle = self.lock();
        if let Some(connections) = idle.get_mut(&endpoint.url) {
            if connections.len() < MAX_IDLE_PER_ENDPOINT {
                connections.push((connection, Instant::now()));
            }
        } else {
            idle.insert(endpoint.url.clone(), vec![(connection, Instant::now())]);
        }
    }

    /// Drops connections that were closed, idle too long, or lead to none of the given endpoints.
    pub(crate) fn remove_stale(&self, endpoints: &[Endpoint]) {
        self.lock().retain(|url, connections| {
            connections
                .retain_mut(|(connection, since)| since.elapsed() < IDLE_TIMEOUT && connection.is_idle());
            !connections.is_empty() && endpoints.iter().any(|endpoint| endpoint.url == *url)
        });
    }

    /// Takes the most recently used connection that is still open.
    fn take_idle(&self, endpoint: &Endpoint) -> Option<Connection> {
        loop {
            let (mut connection, since) = self.lock().get_mut(&endpoint.url)?.pop()?;
            if since.elapsed() < IDLE_TIMEOUT && connection.is_idle() {
                return Some(connection);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<(Connection, Instant)>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns whether a request is safe to repeat.
fn is_safe(outgoing: &OutgoingRequest) -> bool {
    matches!(*outgoing.method(), Method::GET | Method::HEAD)
}
