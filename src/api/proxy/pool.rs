//! Connections to members, kept for the next request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::{Method, Response};

use super::connection::{Connection, ExchangeError, OutgoingRequest};
use super::dial::Dialer;
use super::endpoint::Endpoint;

/// How many connections may rest for each endpoint, as in etcd.
const MAX_IDLE_PER_ENDPOINT: usize = 128;
/// How long one may rest.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);

/// Resting connections by the URL they lead to.
#[derive(Debug)]
pub(super) struct Pool {
    dialer: Dialer,
    idle: Mutex<HashMap<String, Vec<(Connection, Instant)>>>,
}

impl Pool {
    pub(super) fn new(dialer: Dialer) -> Self {
        Self { dialer, idle: Mutex::new(HashMap::new()) }
    }

    /// Asks one member. A connection that rested may have been closed meanwhile without this side having heard of
    /// it; then the question is asked again over another, if it was not sent or does no harm twice.
    pub(super) async fn send(
        &self,
        endpoint: &Endpoint,
        mut outgoing: OutgoingRequest,
    ) -> Result<(Response<Incoming>, Connection), String> {
        let again = harmless(&outgoing).then(|| outgoing.clone());
        while let Some(mut connection) = self.take_idle(endpoint) {
            match (connection.send(outgoing).await, &again) {
                (Ok(response), _) => return Ok((response, connection)),
                (Err(ExchangeError::Unsent(unsent)), _) => outgoing = *unsent,
                (Err(ExchangeError::Lost(_)), Some(again)) => outgoing = again.clone(),
                (Err(ExchangeError::Lost(why)), None) => return Err(self.dialer.explain(endpoint, why)),
            }
        }
        let mut connection = self.dialer.connect(endpoint).await.map_err(|error| error.to_string())?;
        match connection.send(outgoing).await {
            Ok(response) => Ok((response, connection)),
            Err(ExchangeError::Unsent(_)) => Err("the connection closed at once".to_owned()),
            Err(ExchangeError::Lost(why)) => Err(self.dialer.explain(endpoint, why)),
        }
    }

    /// Takes a connection back, if it can serve again.
    pub(super) fn put_idle(&self, endpoint: &Endpoint, mut connection: Connection) {
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

    /// Lets go of connections that were closed, rested for long, or lead to none of these.
    pub(super) fn tidy(&self, sites: &[Endpoint]) {
        self.lock().retain(|url, connections| {
            connections
                .retain_mut(|(connection, since)| since.elapsed() < IDLE_TIMEOUT && connection.is_idle());
            !connections.is_empty() && sites.iter().any(|endpoint| endpoint.url == *url)
        });
    }

    /// The one that rested last, of those that are still good.
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

/// Whether it changes nothing to be asked twice.
fn harmless(outgoing: &OutgoingRequest) -> bool {
    matches!(*outgoing.method(), Method::GET | Method::HEAD)
}
