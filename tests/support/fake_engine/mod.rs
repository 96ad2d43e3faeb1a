//! A container engine without containers: Docker's API over a state that tests change, with all faults between an
//! engine and its clients.
//!
//! Owns: containers and their events in Docker's order ([`state`]), their form for Docker's and Podman's clients
//! ([`shape`]), HTTP ([`wire`], [`serve`], [`stream`]), and faults ([`faults`]).
//! Promises: a request without a version in its URL is refused; without a fault, responses are the same as Docker's.
//! Leaves out: whether anything listens on a published port.

pub mod container;
pub mod faults;
mod serve;
mod shape;
mod state;
mod stream;
mod wire;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio::runtime::Runtime;
use tokio::sync::watch;

pub use container::{Container, ContainerState, Health};
pub use faults::{Failure, Faults, Since};
use state::State;

use super::port::Port;

/// The engine that is imitated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// Docker's.
    #[default]
    Docker,
    /// Those of Podman's compatible API.
    Podman,
}

/// The requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// `/_ping`.
    Ping,
    /// `/info`.
    Info,
    /// `/containers/json`.
    List,
    /// `/containers/{id}/json`.
    Inspect,
    /// `/events`.
    Events,
    /// `/images/json`.
    Images,
    /// `/containers/{id}/exec` and `/exec/…`.
    Exec,
    /// `/containers/{id}/stop`.
    Stop,
}

/// What happens to containers when the engine restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnEngineStop {
    /// They keep running (live-restore), without any event.
    Stay,
    /// They end with it; those with a restart policy are started again.
    End,
}

/// The result of a command in a container.
#[derive(Clone, Debug, Default)]
pub struct CommandResult {
    /// Its exit code.
    pub code: i64,
    /// Its output.
    pub output: String,
    /// How long it takes.
    pub takes: Duration,
}

/// The engine. Everything it holds ends with the handle.
pub struct FakeEngine {
    shared: Arc<Shared>,
    _folder: TempDir,
    socket: PathBuf,
    port: OnceLock<Port>,
}

pub(super) struct Shared {
    dialect: Dialect,
    state: Mutex<State>,
    // A change ends every connection and the old listeners.
    era: watch::Sender<u64>,
    // A change ends every event stream.
    cuts: watch::Sender<StreamCut>,
    faults: watch::Sender<Faults>,
}

/// How event streams were ended last, and how often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct StreamCut {
    times: u64,
    in_a_line: bool,
}

/// Returns the runtime of all fakes, and of the scripts that need it.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap())
}

fn later(what: impl Future<Output = ()> + Send + 'static) {
    // It ends with the engine, or on its own.
    drop(runtime().spawn(what));
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> Faults {
        self.faults.borrow().clone()
    }
}

impl FakeEngine {
    /// Starts a Docker engine without containers.
    pub fn start() -> Self {
        Self::start_as(Dialect::Docker, 0)
    }

    /// Starts an engine of this kind; the seed is for the shares of its faults.
    pub fn start_as(dialect: Dialect, seed: u64) -> Self {
        let folder = tempfile::Builder::new().prefix("retune-engine-").tempdir().unwrap();
        let engine = Self {
            shared: Arc::new(Shared {
                dialect,
                state: Mutex::new(State::new(dialect, seed)),
                era: watch::Sender::new(0),
                cuts: watch::Sender::new(StreamCut::default()),
                faults: watch::Sender::new(Faults::default()),
            }),
            socket: folder.path().join("engine.sock"),
            _folder: folder,
            port: OnceLock::new(),
        };
        engine.up();
        engine
    }

    /// Returns `unix:///path`.
    pub fn url(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    /// Returns `tcp://127.0.0.1:port`. While the engine is down, connections to it are ended at once.
    pub fn tcp_url(&self) -> String {
        let port = self.port.get_or_init(|| {
            let port = Port::claim();
            let _in = runtime().enter();
            let listener = std::net::TcpListener::bind(port.address()).unwrap();
            listener.set_nonblocking(true).unwrap();
            let listener = TcpListener::from_std(listener).unwrap();
            later(serve::forward(listener, self.socket.clone(), self.shared.era.subscribe()));
            port
        });
        format!("tcp://{}", port.address())
    }

    /// Returns the path of the socket.
    pub fn socket(&self) -> &std::path::Path {
        &self.socket
    }

    /// Serves again.
    pub fn up(&self) {
        let _in = runtime().enter();
        std::fs::remove_file(&self.socket).ok();
        let unix = UnixListener::bind(&self.socket).unwrap();
        self.shared.state().serving = true;
        later(serve::serve(Arc::clone(&self.shared), unix, self.shared.era.subscribe()));
    }

    /// Ends abruptly: every connection is cut and the socket refuses. Containers keep running, and their events are
    /// lost.
    pub fn down(&self) {
        self.shared.state().serving = false;
        self.shared.era.send_modify(|era| *era += 1);
        // As a service manager does it; and a missing path refuses at once.
        std::fs::remove_file(&self.socket).ok();
    }

    /// Ends and serves again, without its past events.
    pub fn restart(&self, on_stop: OnEngineStop) {
        self.down();
        self.shared.state().forget(on_stop);
        self.up();
        self.shared.state().start_always(on_stop);
    }

    /// Changes the faults.
    pub fn fault(&self, change: impl FnOnce(&mut Faults)) {
        self.shared.faults.send_modify(change);
    }

    /// Ends all faults; responses that were held back are sent.
    pub fn clear_faults(&self) {
        self.fault(|faults| *faults = Faults::default());
    }

    /// Ends every event stream, in order or in the middle of a line.
    pub fn cut_streams(&self, in_a_line: bool) {
        self.shared.cuts.send_modify(|cut| *cut = StreamCut { times: cut.times + 1, in_a_line });
    }

    /// Sets its clock forward or back from now on; events have its time.
    pub fn clock(&self, jump: Duration, back: bool) {
        let jump = i64::try_from(jump.as_nanos()).unwrap();
        self.shared.state().offset += if back { -jump } else { jump };
    }

    /// Sets the result of commands in containers from now on.
    pub fn commands(&self, told: CommandResult) {
        self.shared.state().told = told;
    }

    /// Returns the commands that were run in a container.
    pub fn commands_of(&self, id: &str) -> Vec<Vec<String>> {
        let state = self.shared.state();
        let Some(id) = state.find(id).map(|one| one.id.clone()) else { return Vec::new() };
        state.execs.values().filter(|exec| exec.container == id).map(|exec| exec.command.clone()).collect()
    }

    /// Returns all containers.
    pub fn containers(&self) -> Vec<Container> {
        self.shared.state().containers.values().cloned().collect()
    }

    /// Returns one container.
    pub fn container(&self, id: &str) -> Option<Container> {
        self.shared.state().find(id).cloned()
    }

    /// Returns how often each kind of request was made.
    pub fn asked(&self) -> BTreeMap<Endpoint, u64> {
        self.shared.state().asked.clone()
    }

    /// Returns invalid requests: URLs without a version, or unknown ones.
    pub fn invalid_requests(&self) -> Vec<String> {
        self.shared.state().wrongly_asked.clone()
    }

    /// Returns whether no container changes its state on its own any more.
    pub fn settled(&self) -> bool {
        let state = self.shared.state();
        state.containers.values().all(|one| !one.stopping && one.doing != ContainerState::Restarting)
    }

    fn after(&self, wait: Duration, what: impl FnOnce(&mut State) + Send + 'static) {
        let shared = Arc::clone(&self.shared);
        later(async move {
            tokio::time::sleep(wait).await;
            what(&mut shared.state());
        });
    }
}

/// Actions on containers. An action that is impossible in the current state does nothing; an id or a name selects the
/// container.
impl FakeEngine {
    /// `docker create`; returns its id. A name in use is an error of the test.
    pub fn create(&self, container: Container) -> String {
        self.shared.state().create(container)
    }

    /// `docker run`.
    pub fn run(&self, container: Container) -> String {
        let id = self.create(container);
        self.begin(&id);
        id
    }

    /// `docker start`.
    pub fn begin(&self, id: &str) {
        self.shared.state().begin(id);
    }

    /// `docker stop` of a container that takes this long to end.
    pub fn stop(&self, id: &str, takes: Duration) {
        let Some((id, life)) = self.shared.state().ask_to_stop(id) else { return };
        self.after(takes, move |state| state.stopped(&id, life));
    }

    /// `docker restart` of a container that takes this long to end.
    pub fn restart_container(&self, id: &str, takes: Duration) {
        let Some((id, life)) = self.shared.state().ask_to_stop(id) else { return };
        self.after(takes, move |state| state.restarted(&id, life));
    }

    /// `docker kill -s`: it ends by 9, 15 and its stop signal, and ignores any other.
    pub fn kill(&self, id: &str, signal: i32) {
        self.shared.state().kill(id, signal);
    }

    /// Ends it from inside.
    pub fn die(&self, id: &str, code: i64) {
        self.shared.state().die(id, code);
    }

    /// Ends it from inside, and its restart policy starts it after a while.
    pub fn crash(&self, id: &str, code: i64, back: Duration) {
        let Some((id, life)) = self.shared.state().crash(id, code) else { return };
        self.after(back, move |state| state.back(&id, life));
    }

    /// `docker pause`.
    pub fn pause(&self, id: &str) {
        self.shared.state().pause(id, true);
    }

    /// `docker unpause`.
    pub fn unpause(&self, id: &str) {
        self.shared.state().pause(id, false);
    }

    /// Runs a probe of its HEALTHCHECK, with this result from now on.
    pub fn probe(&self, id: &str, health: Health) {
        self.shared.state().probe(id, health);
    }

    /// `docker rename`, unless the name is taken.
    pub fn rename(&self, id: &str, name: &str) {
        self.shared.state().rename(id, name);
    }

    /// `docker network connect`.
    pub fn connect(&self, id: &str, network: &str) {
        self.shared.state().network(id, network, true);
    }

    /// `docker network disconnect`.
    pub fn disconnect(&self, id: &str, network: &str) {
        self.shared.state().network(id, network, false);
    }

    /// Gives it another address in its network.
    pub fn readdress(&self, id: &str) {
        self.shared.state().readdress(id);
    }

    /// Reloads the engine's configuration, with these labels.
    pub fn reload(&self, labels: &[&str]) {
        self.shared.state().reload(labels);
    }

    /// `docker rm -f`.
    pub fn remove(&self, id: &str) {
        self.shared.state().remove(id);
    }

    /// Sends this many events of an image that is pulled repeatedly.
    pub fn pull(&self, image: &str, times: usize) {
        self.shared.state().pull(image, times);
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.shared.era.send(u64::MAX).ok();
    }
}
