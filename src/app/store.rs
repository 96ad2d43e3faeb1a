//! `retune store`, also called `etcd`: one member and its client port.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::watch;

use super::exit::Exit;
use super::{logging, notify, print};
use crate::api::{self, Server};
use crate::consensus::{self, Handle, OpenError, PeerServer, RaftNode, RemoteCluster, StartMode};
use crate::readiness::Readiness;
use crate::settings::{CLUSTER_VERSION, Dialect, ETCD_VERSION, Member};
use crate::stop::{EndReason, EndedLoop, Loops, Signal, Signals, Stop};
use crate::tls::Connector;

/// How long clients may take to read their responses after a stop signal, and then the disk to write the rest.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(8);

/// The name of the member's own loop.
const CONSENSUS: &str = "consensus";

/// How long to wait for a member of the cluster that reports the state of this one.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);
const JOIN_RETRY_DELAY: Duration = Duration::from_millis(300);
const NEW_CLUSTER_TIMEOUT: Duration = Duration::from_millis(700);
/// After this long without a leader, a member with data serves reads.
const LEADER_WAIT_TIMEOUT: Duration = Duration::from_secs(3);

/// Hosts a member until a signal or a failure.
pub(super) async fn store(mut member: Member, dialect: Dialect) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    // Bind the ports first: a used port fails at once, before a long log is replayed.
    let server = Server::bind(&member.api).context("cannot listen for clients")?;
    let peers = PeerServer::open(&member.consensus).context("cannot listen for other members")?;
    let bound = server.client_urls();
    for url in &mut member.consensus.client_urls {
        *url = with_port(url, &bound);
    }
    let opened = tokio::select! {
        node = found(&mut member) => node?,
        // Nothing was acknowledged yet, and the data folder is always consistent.
        () = stop_signal(&mut signals) => return Ok(Exit::Done),
    };
    // The cluster removed this member: it has nothing to do, and this is not an error.
    let Some(node) = opened else { return Ok(Exit::Done) };
    print_bound(&bound, dialect);
    for url in peers.urls() {
        tracing::info!("listening for peers on {url}");
    }
    let handle = node.handle();
    let (stop, stop_node) = (Stop::new(), Stop::new());
    let (mut outer, mut inner) = (Loops::new(stop.clone()), Loops::new(stop_node.clone()));
    let readiness = notify::readiness("waiting for a leader", &mut outer, &stop);
    inner.spawn(CONSENSUS, node.run(peers, stop_node));
    outer.spawn("api", serve_clients(server, handle.clone(), info(&member), stop.clone()));
    outer.spawn("announce", announce(handle.clone(), readiness.clone(), stop));
    let ended = tokio::select! {
        ended = outer.first_failure() => failed(&ended),
        // A member that the group removed has not failed.
        ended = inner.first_failure() => if handle.removed() { Exit::Done } else { failed(&ended) },
        () = handle_signals(&mut signals, &handle) => Exit::Done,
    };
    readiness.send_replace(Readiness::Stopping);
    tracing::info!("stopping");
    let work = async {
        // Another member leads while this one's clients read their last responses.
        let ((), mut late) = tokio::join!(handle.transfer_leadership(), outer.drain(DRAIN_TIMEOUT));
        // The replica stops last: the response to a write needs it.
        late.extend(inner.drain(DRAIN_TIMEOUT).await);
        if !late.is_empty() {
            tracing::warn!("did not end in time: {}", late.join(", "));
        }
    };
    tokio::select! {
        () = work => {}
        () = stop_signal(&mut signals) => tracing::warn!("a second stop signal: not waiting any longer"),
    }
    if handle.removed() {
        tracing::warn!("{}", consensus::MemberFailure::Removed);
        return Ok(Exit::Done);
    }
    Ok(ended)
}

/// Logs why a loop ended, before the rest is stopped.
pub(super) fn failed(ended: &EndedLoop) -> Exit {
    match ended {
        // The error holds everything: path, cause and advice.
        EndedLoop { name: CONSENSUS, why: EndReason::Failed(error) } => tracing::error!("{error}"),
        ended => tracing::error!("{ended}"),
    }
    Exit::Negative
}

/// Looks up the members of a new cluster, then opens the data folder.
async fn found(member: &mut Member) -> anyhow::Result<Option<RaftNode>> {
    let settings = &mut member.consensus;
    if let Some(discovery) = member.discovery.as_ref().filter(|_| consensus::is_new(&settings.data_dir)) {
        settings.initial_cluster = discovery.members(&settings.name, &settings.peer_urls).await?;
        for (name, url) in &settings.initial_cluster {
            tracing::info!("got bootstrap from DNS for etcd-server at {name}={url}");
        }
        let own = settings.initial_cluster.iter().filter(|(name, _)| *name == settings.name);
        settings.peer_urls = own.map(|(_, url)| url.clone()).collect();
    }
    open(settings.clone()).await
}

/// Opens the data folder. For an empty one it first asks the other members whether there is a cluster to join, or one
/// that already knows this member. `None`: the cluster has removed this member.
async fn open(settings: consensus::Settings) -> anyhow::Result<Option<RaftNode>> {
    let new = consensus::is_new(&settings.data_dir);
    // When joining, this fails before anything is created in the folder.
    let found = if new { find_cluster(&settings).await? } else { None };
    let opening = tokio::task::spawn_blocking(move || RaftNode::open(settings, found.as_ref()));
    match opening.await.context("opening the data folder")? {
        Ok(node) => Ok(Some(node)),
        Err(removed @ OpenError::Removed { .. }) => {
            tracing::warn!("{removed}");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

async fn find_cluster(settings: &consensus::Settings) -> anyhow::Result<Option<RemoteCluster>> {
    let others = settings.initial_cluster.iter().filter(|(name, _)| *name != settings.name);
    let urls: Vec<String> = others.map(|(_, url)| url.clone()).collect();
    if urls.is_empty() {
        anyhow::ensure!(
            settings.start != StartMode::Join,
            "--initial-cluster names no other member that could be asked about the cluster to join"
        );
        return Ok(None);
    }
    let (connector, secret) = (Connector::open(&settings.peer_tls)?, settings.peer_secret.as_ref());
    // Members of a new cluster start together, and must not wait for each other here.
    if settings.start != StartMode::Join {
        return Ok(consensus::fetch_cluster(&urls, &connector, secret, NEW_CLUSTER_TIMEOUT).await.ok());
    }
    let until = Instant::now() + JOIN_TIMEOUT;
    loop {
        let found = consensus::fetch_cluster(&urls, &connector, secret, JOIN_TIMEOUT).await;
        // A member that lags may not know this one yet.
        let listed = found.as_ref().is_ok_and(|found| {
            found
                .members
                .iter()
                .any(|member| member.peer_urls.iter().all(|url| settings.peer_urls.contains(url)))
        });
        if listed || Instant::now() >= until {
            return found.map(Some).map_err(|why| {
                anyhow::anyhow!(
                    "none of the other members in --initial-cluster could be asked about the cluster to join; is one of \
                     them running, and can it be reached from here? ({why})"
                )
            });
        }
        tokio::time::sleep(JOIN_RETRY_DELAY).await;
    }
}

fn info(member: &Member) -> api::ServerInfo {
    api::ServerInfo {
        name: member.consensus.name.clone(),
        server_version: ETCD_VERSION.to_owned(),
        cluster_version: CLUSTER_VERSION.to_owned(),
        set_log_level: Some(|level| {
            logging::set_level(match level {
                api::LogLevel::Error => tracing::Level::ERROR,
                api::LogLevel::Warn => tracing::Level::WARN,
                api::LogLevel::Info => tracing::Level::INFO,
                api::LogLevel::Debug => tracing::Level::DEBUG,
                api::LogLevel::Trace => tracing::Level::TRACE,
            });
        }),
        known_logins: Some(member.consensus.data_dir.join("known-logins")),
    }
}

/// Prints one line on stdout for each port: with port 0 there is no other way to learn it. etcd prints nothing.
pub(super) fn print_bound(bound: &[String], dialect: Dialect) {
    let lines: Vec<String> = bound.iter().map(|url| format!("listening for clients on {url}")).collect();
    for line in &lines {
        tracing::info!("{line}");
    }
    if dialect != Dialect::Etcd {
        // On a thread of its own: a full pipe that nobody reads must not block the port.
        let printing = std::thread::Builder::new().name("stdout".to_owned());
        let text = lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        if let Err(error) = printing.spawn(move || print(&text)) {
            tracing::warn!("the ports are not printed, since no thread can be started: {error}");
        }
    }
}

/// Returns `url` with the bound port in place of port 0.
fn with_port(url: &str, bound: &[String]) -> String {
    let Some(head) = url.strip_suffix(":0") else {
        return url.to_owned();
    };
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let same = bound.iter().find(|own| own.starts_with(&format!("{scheme}://")));
    match same.and_then(|own| own.rsplit_once(':')) {
        Some((_, port)) => format!("{head}:{port}"),
        None => url.to_owned(),
    }
}

/// Accepts clients once the member is ready: before that the member list would lack its address. Clients wait in the
/// port's queue.
async fn serve_clients(
    server: Server,
    handle: Handle,
    info: api::ServerInfo,
    stop: Stop,
) -> Result<(), api::ApiError> {
    tokio::select! {
        () = handle.ready() => {}
        () = servable(&handle) => {}
        () = stop.wait() => return Ok(()),
    }
    server.run(handle, info, stop).await
}

/// Waits until reads can be served without a leader: the data from before a restart is still valid.
async fn servable(handle: &Handle) {
    tokio::time::sleep(LEADER_WAIT_TIMEOUT).await;
    let members = handle.members();
    let published =
        members.all.iter().any(|member| member.id == members.own_id && !member.client_urls.is_empty());
    if !published {
        std::future::pending::<()>().await;
    }
    tracing::warn!("no leader is found: reads are served from what this member has, writes are refused");
}

/// Logs once that clients can be served, with the text that tools wait for.
async fn announce(handle: Handle, readiness: watch::Sender<Readiness>, stop: Stop) -> Result<(), Infallible> {
    let published = async {
        handle.ready().await;
        let members = handle.members();
        let Some(own) = members.all.iter().find(|member| member.id == members.own_id) else { return };
        let urls = own.client_urls.join(" ");
        let (name, cluster) = (&own.name, members.cluster_id);
        tracing::info!("published {{Name:{name} ClientURLs:[{urls}]}} to cluster {cluster:x}");
        tracing::info!("enabled capabilities for version 3.4");
        tracing::info!("ready to serve client requests");
        readiness.send_replace(Readiness::Ready(format!("serving clients on {urls}")));
    };
    tokio::select! {
        () = published => stop.wait().await,
        () = stop.wait() => {}
    }
    Ok(())
}

/// Handles signals until one requests the end.
async fn handle_signals(signals: &mut Signals, handle: &Handle) {
    loop {
        match signals.next().await {
            Signal::Stop | Signal::StopNow => return,
            Signal::Reread => tracing::info!("SIGHUP: a member has nothing to read again"),
            Signal::Dump => {
                let (position, metrics) = (handle.position(), handle.metrics());
                tracing::info!(
                    committed = metrics.committed,
                    applied = metrics.applied,
                    pending = metrics.pending,
                    snapshot = metrics.snapshot_index,
                    "raft index {}, term {}, leading: {}",
                    position.index,
                    position.term,
                    metrics.leads
                );
            }
        }
    }
}

pub(super) async fn stop_signal(signals: &mut Signals) {
    while !matches!(signals.next().await, Signal::Stop | Signal::StopNow) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advertised_port_0_is_replaced_by_the_bound_port() {
        let bound = ["https://127.0.0.1:7".to_owned(), "http://127.0.0.1:8".to_owned()];
        assert_eq!(with_port("http://localhost:0", &bound), "http://localhost:8");
        assert_eq!(with_port("https://store.example:0", &bound), "https://store.example:7");
        assert_eq!(with_port("http://localhost:2379", &bound), "http://localhost:2379");
        assert_eq!(with_port("http://localhost:10", &bound), "http://localhost:10");
    }
}
