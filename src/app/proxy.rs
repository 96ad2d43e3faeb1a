//! `retune store --proxy on`, also `etcd -proxy on`: forwards a port to the members of a cluster.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;

use super::exit::Exit;
use super::notify;
use super::store::{failed, print_bound, stop_signal};
use crate::api::{Proxy, ProxyHandle, has_peer_urls};
use crate::readiness::Readiness;
use crate::settings::{self, Dialect};
use crate::stop::{Loops, Signal, Signals, Stop};

/// How long clients may take to read their responses after a stop signal.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// Forwards until a signal or a failure.
pub(super) async fn proxy(proxy: settings::Proxy, dialect: Dialect) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    tracing::info!("proxy: this proxy supports v2 API only!");
    let mut settings = proxy.proxy;
    if let Some(discovery) = proxy.discovery.as_ref().filter(|_| !has_peer_urls(&settings.data_dir)) {
        settings.peer_urls = tokio::select! {
            found = discovery.peer_urls() => found?,
            () = stop_signal(&mut signals) => return Ok(Exit::Done),
        };
    }
    let proxy = Proxy::open(&settings).context("cannot start as a proxy")?;
    let (bound, handle) = (proxy.client_urls(), proxy.handle());
    print_bound(&bound, dialect);
    let stop = Stop::new();
    let mut loops = Loops::new(stop.clone());
    let readiness = notify::readiness("asking for the members", &mut loops, &stop);
    loops.spawn("status", report(handle.clone(), readiness.clone(), stop.clone()));
    let serving = move || {
        for url in bound {
            tracing::info!("v2 proxy started listening on client requests on \"{url}\"");
        }
    };
    loops.spawn("proxy", proxy.run(serving, stop));
    let ended = tokio::select! {
        ended = loops.first_failure() => failed(&ended),
        () = handle_signals(&mut signals, &handle) => Exit::Done,
    };
    readiness.send_replace(Readiness::Stopping);
    tracing::info!("stopping");
    tokio::select! {
        late = loops.drain(DRAIN_TIMEOUT) => if !late.is_empty() {
            tracing::warn!("did not end in time: {}", late.join(", "));
        },
        () = stop_signal(&mut signals) => tracing::warn!("a second stop signal: not waiting any longer"),
    }
    Ok(ended)
}

/// Reports to the service manager. A proxy is ready once it responds, even if only to report that no member does:
/// restarting the proxy would not help.
async fn report(
    mut handle: ProxyHandle,
    readiness: watch::Sender<Readiness>,
    stop: Stop,
) -> Result<(), Infallible> {
    loop {
        tokio::select! {
            () = handle.refreshed() => {}
            () = stop.wait() => return Ok(()),
        }
        let status = match handle.endpoints().as_slice() {
            [] => "no member responds".to_owned(),
            endpoints => format!("forwarding to {}", endpoints.join(" ")),
        };
        notify::ready(&readiness, status);
    }
}

/// Handles signals until one requests the end.
async fn handle_signals(signals: &mut Signals, handle: &ProxyHandle) {
    loop {
        match signals.next().await {
            Signal::Stop | Signal::StopNow => return,
            Signal::Reread => {
                tracing::info!("SIGHUP: asking for the members");
                handle.refresh();
            }
            Signal::Dump => tracing::info!("endpoints in use: {}", handle.endpoints().join(" ")),
        }
    }
}
