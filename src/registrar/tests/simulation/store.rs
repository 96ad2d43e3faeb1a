//! A store in virtual time: the program's own keyspace behind a network that is slow, loses messages, and hangs. Each
//! of its states is checked.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};

use super::checker::StateChecker;
use crate::client::Trust;
use crate::client::cluster::{Cluster, Options};
use crate::client::test_transport::{RawReply, Request, TestTransport};
use crate::keyspace::{Command, Error, Key, Keyspace, NodeKind, NodeView, Operation, Time, expiry};

/// 2026, in nanoseconds since 1970.
const BEGIN: Time = 1_770_000_000_000_000_000;

/// The state of the network to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NetworkState {
    Fair,
    /// A request and its response take up to a second each.
    Slow,
    /// Every write of a new key fails.
    NoNewKeys,
    /// This percentage of requests fails in some way.
    Lossy(u32),
    Away,
}

impl NetworkState {
    /// Returns whether leases may expire although everything works correctly.
    pub(super) fn excuses_expiry(self) -> bool {
        matches!(self, Self::Lossy(_) | Self::Away)
    }
}

pub(super) struct State {
    space: Keyspace,
    begun: Instant,
    pub(super) line: NetworkState,
    rng: StdRng,
    pub(super) checker: StateChecker,
}

#[derive(Clone)]
pub(super) struct Store {
    state: Arc<Mutex<State>>,
    send: mpsc::UnboundedSender<(Request, oneshot::Sender<RawReply>)>,
}

/// What happens to a request.
enum RequestFate {
    Done { there: Duration, back: Duration },
    LoseRequest,
    LoseAnswer,
    Hang,
    Unavailable,
}

impl Store {
    /// Returns the store, and the task that serves it.
    pub(super) fn new(seed: u64) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let state = State {
            space: Keyspace::new(),
            begun: Instant::now(),
            line: NetworkState::Fair,
            rng: StdRng::seed_from_u64(seed ^ 0x5707e),
            checker: StateChecker::new(),
        };
        let (send, requests) = mpsc::unbounded_channel();
        let store = Self { state: Arc::new(Mutex::new(state)), send };
        let served = serve(Arc::clone(&store.state), requests);
        (store, served)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn cluster(&self) -> Arc<Cluster> {
        let send = self.send.clone();
        let transport = TestTransport::new(move |request| {
            let (tell, told) = oneshot::channel();
            send.send((request, tell)).ok();
            Box::pin(async move { told.await.ok().flatten() })
        });
        let options = Options {
            endpoints: vec!["http://store:2379".into()],
            trust: Trust::default(),
            login: None,
            timeout: Duration::from_secs(5),
            dial: Duration::from_secs(5),
            trace: None,
            sync: false,
        };
        Arc::new(Cluster::with_transport(transport, options).unwrap())
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves requests, also those of clients that have died meanwhile, and expires leases.
async fn serve(
    state: Arc<Mutex<State>>,
    mut requests: mpsc::UnboundedReceiver<(Request, oneshot::Sender<RawReply>)>,
) {
    let mut carried = FuturesUnordered::new();
    loop {
        let next = lock(&state).next_expiry();
        tokio::select! {
            Some((request, tell)) = requests.recv() => carried.push(carry(Arc::clone(&state), request, tell)),
            Some(()) = carried.next() => {}
            () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => lock(&state).expire(),
            else => return,
        }
    }
}

async fn carry(state: Arc<Mutex<State>>, request: Request, tell: oneshot::Sender<RawReply>) {
    let request_fate = lock(&state).request_fate(&request);
    match request_fate {
        RequestFate::Done { there, back } => {
            sleep(there).await;
            let answer = lock(&state).serve(&request);
            sleep(back).await;
            tell.send(Some(answer)).ok();
        }
        RequestFate::LoseAnswer => {
            lock(&state).serve(&request);
        }
        RequestFate::LoseRequest => {}
        RequestFate::Hang => sleep(Duration::from_secs(60)).await,
        RequestFate::Unavailable => {
            tell.send(Some((503, 0, String::new()))).ok();
        }
    }
}

impl State {
    fn request_fate(&mut self, request: &Request) -> RequestFate {
        let mut within = |longest: u64| Duration::from_micros(self.rng.random_range(100..longest));
        let (there, back) = match self.line {
            NetworkState::Slow => (within(1_000_000), within(1_000_000)),
            _ => (within(3_000), within(3_000)),
        };
        let creates = request.params.get("prevExist").is_some_and(|word| word == "false");
        let fails = match self.line {
            NetworkState::Fair | NetworkState::Slow => false,
            NetworkState::NoNewKeys => {
                return if creates { RequestFate::Unavailable } else { RequestFate::Done { there, back } };
            }
            NetworkState::Lossy(share) => self.rng.random_range(0..100) < share,
            NetworkState::Away => true,
        };
        if !fails {
            return RequestFate::Done { there, back };
        }
        match self.rng.random_range(0..4) {
            0 => RequestFate::Hang,
            1 if self.line != NetworkState::Away => RequestFate::LoseAnswer,
            2 => RequestFate::Unavailable,
            _ => RequestFate::LoseRequest,
        }
    }

    fn now(&self) -> Time {
        BEGIN + i64::try_from(self.begun.elapsed().as_nanos()).unwrap()
    }

    fn next_expiry(&self) -> Option<Instant> {
        let at = self.space.next_expiry()?;
        let after = u64::try_from(at - BEGIN).unwrap_or_default();
        // The timer has a resolution of one millisecond.
        Some(self.begun + Duration::from_nanos(after) + Duration::from_millis(1))
    }

    fn expire(&mut self) {
        let now = self.now();
        if self.space.expire(now) > 0 {
            self.look("a lease ran out");
        }
    }

    /// Checks the current state.
    fn look(&mut self, cause: &str) {
        let mut values = BTreeSet::new();
        gather(self.space.get(b"/").unwrap(), &mut values);
        self.space.take_changes();
        self.checker.look(&values, cause);
    }

    /// Returns all keys that are not hidden, with their values.
    pub(super) fn all(&self) -> Vec<(String, String)> {
        let nodes = self.space.nodes().filter_map(|(key, _)| {
            let value = self.space.get(&key).ok()?.value()?.to_vec();
            Some((text(&key), text(&value)))
        });
        nodes.filter(|(key, _)| !key.contains("/_")).collect()
    }

    fn serve(&mut self, request: &Request) -> (u16, u64, String) {
        self.expire();
        let (key, now) = (Key::from(request.key.as_bytes()), self.now());
        if request.method == "GET" {
            return match self.space.get(&key) {
                Ok(view) => (200, self.space.index(), json!({"node": node(&request.key, view)}).to_string()),
                Err(error) => refused(&error),
            };
        }
        let refresh = request.params.contains_key("refresh");
        let done = self.space.apply(&Command { at: now, operation: operation(request, key, now) });
        match done {
            Ok(event) => {
                let index = event.index();
                // A renewal has no visible effect.
                if !refresh {
                    self.look(&format!("{} {} {:?}", request.method, request.key, request.params));
                }
                (200, index, json!({"node": {"key": request.key, "modifiedIndex": index}}).to_string())
            }
            Err(error) => refused(&error),
        }
    }
}

fn operation(request: &Request, key: Key, now: Time) -> Operation {
    let word = |name: &str| request.params.get(name).map(String::as_str);
    let prev_index = word("prevIndex").map(|index| index.parse().unwrap());
    let (dir, recursive) = (word("dir") == Some("true"), word("recursive") == Some("true"));
    if request.method == "DELETE" {
        return match prev_index {
            Some(_) => Operation::CompareAndDelete { key, prev_value: None, prev_index },
            None => Operation::Delete { key, dir, recursive },
        };
    }
    let value = word("value").unwrap_or_default().as_bytes().into();
    let expires = word("ttl").map(|ttl| expiry(now, ttl.parse().unwrap()));
    let refresh = word("refresh") == Some("true");
    match (prev_index, word("prevExist")) {
        (Some(_), _) => {
            Operation::CompareAndSwap { key, prev_value: None, prev_index, value, expires, refresh }
        }
        (None, Some("true")) => Operation::Update { key, value, expires, refresh },
        (None, Some(_)) => Operation::Create { key, dir, value, expires, in_order: false },
        (None, None) => Operation::Set { key, dir, value, expires, refresh },
    }
}

fn refused(error: &Error) -> (u16, u64, String) {
    let said = json!({"errorCode": error.code as u16, "cause": text(&error.cause), "index": error.index});
    (404, error.index, said.to_string())
}

fn node(key: &str, view: NodeView<'_>) -> Value {
    let mut node = json!({"key": key, "modifiedIndex": view.modified(), "createdIndex": view.created()});
    match view.value() {
        Some(value) => node["value"] = text(value).into(),
        None => node["dir"] = true.into(),
    }
    node
}

fn gather(view: NodeView<'_>, values: &mut BTreeSet<String>) {
    for (name, child) in view.children() {
        match child.kind() {
            _ if name.starts_with(b"_") => {}
            NodeKind::Dir => gather(child, values),
            NodeKind::File => values.extend(child.value().map(|value| text(value))),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
