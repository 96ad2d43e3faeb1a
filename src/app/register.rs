//! `retune register` and its subcommands, also called `registrator`.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::exit::Exit;
use super::request::{escaped, request};
use super::status_page::StatusPage;
use super::status_table as table;
use super::{json, notify, print, store};
use crate::client::cluster::{Cluster, Options};
use crate::readiness::Readiness;
use crate::registrar::{self, RegistrarError, RunEnd, Status, StatusBoard};
use crate::settings::{Listen, Output, Register, RegisterStop};
use crate::source;
use crate::stop::{Loops, Signal, Signals, Stop};

/// How long the registrar may take to end, and after it the servers of its status.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);
const STATUS_PAGE_DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// The shortest time between two reports to the service manager, and between two polls for removed keys.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);
/// How long one of several endpoints may take to respond.
const ENDPOINT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long the removal of a container's keys may take before it is stopped.
const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the client of the store that holds the registered keys and the nodes.
pub(super) fn cluster(source: source::Settings) -> anyhow::Result<Cluster> {
    let source::Settings { nodes: endpoints, tls: trust, login, timeout, sync, .. } = source;
    // One of several endpoints that does not respond must leave time for the others within the deadline of a request.
    let timeout = if endpoints.len() > 1 { timeout.min(ENDPOINT_TIMEOUT) } else { timeout };
    Ok(Cluster::new(Options { endpoints, trust, login, timeout, dial: timeout, trace: None, sync })?)
}

/// Registers until a signal or a failure.
pub(super) async fn register(source: source::Settings, what: Register) -> anyhow::Result<Exit> {
    let RegisterEnd::Registrar(ended) = run(source, what).await? else { return Ok(Exit::Negative) };
    match ended {
        Ok(RunEnd::Done) => Ok(Exit::Done),
        Ok(RunEnd::Planned(lines)) => {
            Ok(print(&lines.iter().map(|line| format!("{line}\n")).collect::<String>()))
        }
        Ok(RunEnd::Incomplete) => Ok(Exit::Negative),
        Err(error @ RegistrarError::StaleSocket(_)) => {
            tracing::error!("{error}; ending, so that a restart policy can start it again; the keys stay");
            Ok(Exit::Negative)
        }
        Err(error) => Err(error.into()),
    }
}

enum RegisterEnd {
    Registrar(Result<RunEnd, RegistrarError>),
    /// By a second signal, by its deadline or by the failure of another loop.
    CutOff,
}

async fn run(source: source::Settings, what: Register) -> anyhow::Result<RegisterEnd> {
    let mut signals = Signals::listen()?;
    log_start(&what, &source);
    let cluster = Arc::new(cluster(source)?);
    let page = listen(&what).await?;
    let status_board = Arc::new(StatusBoard::new());
    let (stop, stop_loops) = (Stop::new(), Stop::new());
    let mut loops = Loops::new(stop_loops.clone());
    let readiness = notify::readiness("checking every container", &mut loops, &stop_loops);
    if let Some(page) = page {
        for place in page.addresses() {
            tracing::info!("serving status and metrics on {place}");
        }
        loops.spawn("status page", page.run(Arc::clone(&status_board), stop_loops.clone()));
    }
    if !readiness.is_closed() {
        loops.spawn("readiness", announce(Arc::clone(&status_board), readiness.clone(), stop_loops.clone()));
    }
    if !what.registrar.once && !what.registrar.dry_run {
        loops.spawn("members", members(Arc::clone(&cluster), stop_loops.clone()));
    }
    let registrar = registrar::run(what.registrar, cluster, Arc::clone(&status_board), stop.clone());
    let ended = supervise(registrar, &mut signals, &mut loops, &status_board, &stop, &readiness).await;
    readiness.send_replace(Readiness::Stopping);
    loops.drain(STATUS_PAGE_DRAIN_TIMEOUT).await;
    Ok(ended)
}

/// Keeps the list of the store's members up to date.
async fn members(cluster: Arc<Cluster>, stop: Stop) -> Result<(), Infallible> {
    tokio::select! {
        never = cluster.follow_members() => match never {},
        () = stop.wait() => Ok(()),
    }
}

/// Logs the first lines; under Registrator's name the ones that its users wait for.
fn log_start(what: &Register, source: &source::Settings) {
    match &what.adapter {
        Some((scheme, shown)) => {
            tracing::info!("Starting registrator v7 (retune {}) ...", env!("CARGO_PKG_VERSION"));
            tracing::info!("Using {scheme} adapter: {shown}");
        }
        None => tracing::info!(
            "Starting retune register, containers of {}, keys in {}",
            what.registrar.engine.url,
            source.nodes.join(" ")
        ),
    }
    if source.tls.insecure {
        tracing::warn!("--client-insecure: any server certificate is accepted");
    }
}

/// Opens the requested listeners; if the default one cannot be opened, that is only a warning.
async fn listen(what: &Register) -> anyhow::Result<Option<StatusPage>> {
    if what.listen.is_empty() {
        return Ok(None);
    }
    match StatusPage::open(&what.listen).await {
        Ok(page) => Ok(Some(page)),
        Err(error) if what.must_listen => Err(anyhow::anyhow!("{error:#}; name another place with --listen")),
        Err(error) => {
            tracing::warn!("{error:#}; going on without, name a place with --listen");
            Ok(None)
        }
    }
}

/// Runs the registrar until it has ended, and handles signals.
async fn supervise(
    registrar: impl Future<Output = Result<RunEnd, RegistrarError>>,
    signals: &mut Signals,
    loops: &mut Loops,
    status_board: &StatusBoard,
    stop: &Stop,
    readiness: &watch::Sender<Readiness>,
) -> RegisterEnd {
    let mut registrar = std::pin::pin!(registrar);
    let (mut until, mut broken) = (Instant::now(), false);
    loop {
        tokio::select! {
            ended = &mut registrar => return if broken { RegisterEnd::CutOff } else { RegisterEnd::Registrar(ended) },
            signal = signals.next() => match signal {
                Signal::Stop => {
                    readiness.send_replace(Readiness::Stopping);
                    tracing::info!("stopping");
                    stop.request();
                    until = Instant::now() + DRAIN_TIMEOUT;
                }
                Signal::StopNow => {
                    tracing::warn!("a second stop signal: not waiting any longer");
                    return RegisterEnd::CutOff;
                }
                Signal::Reread => tracing::info!("SIGHUP: a registrar has nothing to read again"),
                Signal::Dump => log_status(&status_board.status()),
            },
            ended = loops.first_failure(), if !stop.requested() => {
                tracing::error!("{ended}");
                broken = true;
                stop.request();
                until = Instant::now() + DRAIN_TIMEOUT;
            }
            () = sleep_until(until), if stop.requested() => {
                tracing::warn!("the registrar did not end in time");
                return RegisterEnd::CutOff;
            }
        }
    }
}

fn log_status(status: &Status) {
    for line in table::text(status).lines() {
        tracing::info!("{line}");
    }
}

/// Reports READY once every container has been checked, and from then on how many are healthy.
async fn announce(
    status_board: Arc<StatusBoard>,
    readiness: watch::Sender<Readiness>,
    stop: Stop,
) -> Result<(), Infallible> {
    let mut changes = status_board.changes();
    loop {
        changes.mark_unchanged();
        let status = status_board.status();
        if status.complete {
            notify::ready(&readiness, table::summary(&status));
        }
        tokio::select! {
            // The board lives as long as this function.
            _ = changes.changed() => sleep(STATUS_INTERVAL).await,
            () = stop.wait() => return Ok(()),
        }
    }
}

/// `retune register status`.
pub(super) async fn status(at: &Listen, output: Output) -> anyhow::Result<Exit> {
    let status = fetch_status(at).await?;
    let text = match output {
        Output::Text => table::text(&status),
        Output::Json => json(&status)?,
    };
    Ok(print(&text).and(Exit::clean(table::is_healthy(&status))))
}

async fn fetch_status(at: &Listen) -> anyhow::Result<Status> {
    let (code, body) = request(at, "GET", "/status").await?;
    anyhow::ensure!(code == 200, "{at} returned status {code} for /status; is it a registrar?");
    serde_json::from_slice(&body).with_context(|| format!("{at} did not return a registrar's status"))
}

/// `retune register stop`.
pub(super) async fn stop(what: RegisterStop) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    tokio::select! {
        exit = drain_and_stop(&what) => exit,
        () = store::stop_signal(&mut signals) => {
            tracing::error!("stop signal: {:?} was not stopped, but its keys may be gone", what.container);
            Ok(Exit::Negative)
        }
    }
}

async fn drain_and_stop(what: &RegisterStop) -> anyhow::Result<Exit> {
    let container = &what.container;
    let status = fetch_status(&what.at).await?;
    let found = match table::find(&status, container) {
        Ok(found) => found,
        Err(table::FindError::Ambiguous) => {
            anyhow::bail!("{container:?} is the beginning of several ids; write more of it")
        }
        Err(table::FindError::Missing) => {
            print(&format!("{container}: nothing of it is registered\n"));
            return Ok(stop_container(what, container, container).await);
        }
    };
    let (id, name, keys) = (&found.id, &found.name, table::remaining_keys(found));
    if let Err(error) = registrar::reach(&what.engine).await {
        tracing::error!("{error}; {name} was neither drained nor stopped");
        return Ok(Exit::Negative);
    }
    if let Err(error) = remove_keys(&what.at, id).await {
        cancel_drain(&what.at, id).await;
        tracing::error!("{error:#}; {name} was not stopped");
        return Ok(Exit::Negative);
    }
    print(&format!("{name}: {keys} of its keys taken away, waiting {:?}\n", what.drain));
    sleep(what.drain).await;
    let exit = stop_container(what, id, name).await;
    if exit != Exit::Done {
        cancel_drain(&what.at, id).await;
    }
    Ok(exit)
}

/// Requests the removal of the keys, and waits until they are gone.
async fn remove_keys(at: &Listen, id: &str) -> anyhow::Result<()> {
    let until = Instant::now() + DEREGISTER_TIMEOUT;
    let (code, message) = request(at, "POST", &format!("/drain?container={}", escaped(id))).await?;
    anyhow::ensure!(code == 202, "its keys stay: {}", String::from_utf8_lossy(&message).trim_end());
    loop {
        let status = fetch_status(at).await?;
        let left = table::find(&status, id).map_or(0, table::remaining_keys);
        if left == 0 {
            return Ok(());
        }
        anyhow::ensure!(
            Instant::now() < until,
            "after {DEREGISTER_TIMEOUT:?} {left} of its keys still exist"
        );
        sleep(STATUS_INTERVAL).await;
    }
}

/// Cancels the drain of a container that was not stopped in the end.
async fn cancel_drain(at: &Listen, id: &str) {
    if let Err(error) = request(at, "POST", &format!("/undrain?container={}", escaped(id))).await {
        tracing::error!("its keys are not added until it is started again: {error:#}");
    }
}

async fn stop_container(what: &RegisterStop, id: &str, name: &str) -> Exit {
    match registrar::stop_container(&what.engine, id, what.grace).await {
        Ok(()) => print(&format!("{name}: stopped\n")),
        Err(error) => {
            tracing::error!("{name} was not stopped: {error}");
            Exit::Negative
        }
    }
}
