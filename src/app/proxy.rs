//! `retune store --proxy on`, also `etcd -proxy on`: forwards a port to the members of a cluster.

use std::convert::Infallible;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;

use super::exit::Exit;
use super::notify::Notifier;
use super::store::{failed, failed_to_start, print_bound, stop_signal};
use crate::api::{Proxy, ProxyHandle, knows_peers};
use crate::readiness::Readiness;
use crate::settings::{self, Dialect};
use crate::stop::{Loops, Signal, Signals, Stop};

/// How long clients may take to read their responses after a stop signal.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(4);

/// Forwards until a signal or a failure.
pub(super) fn proxy(proxy: &settings::Proxy, dialect: Dialect) -> Exit {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(proxy.workers)
        .thread_name("serve")
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return failed_to_start(&error.into(), dialect),
    };
    let exit = match runtime.block_on(serve(proxy, dialect)) {
        Ok(exit) => exit,
        Err(error) => failed_to_start(&error, dialect),
    };
    runtime.shutdown_background();
    exit
}

/// Starts everything and waits for its end.
async fn serve(proxy: &settings::Proxy, dialect: Dialect) -> anyhow::Result<Exit> {
    let mut signals = Signals::listen()?;
    tracing::info!("proxy: this proxy supports v2 API only!");
    let mut settings = proxy.proxy.clone();
    if let Some(discovery) = proxy.discovery.as_ref().filter(|_| !knows_peers(&settings.data_dir)) {
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
    let (readiness, announced) = watch::channel(Readiness::Starting("asking for the members".to_owned()));
    if let Some(notifier) = Notifier::from_environment() {
        loops.spawn("notify", notifier.follow(announced, stop.clone()));
    }
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
        readiness.send_if_modified(|now| {
            let next = Readiness::Ready(status);
            let news = !matches!(now, Readiness::Stopping) && *now != next;
            if news {
                *now = next;
            }
            news
        });
    }
}

/// Handles signals until one asks for the end.
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
