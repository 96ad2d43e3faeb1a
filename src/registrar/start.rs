//! What a registrar needs before it can begin: the engine's host, this node's name and address, a sidecar's container.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use super::container::Container;
use super::describe;
use super::engine::{Engine, EngineError, Info};
use super::error::RegistrarError;
use super::model::{NodeConfig, Sidecar};
use super::own;
use super::settings::{OwnContainer, Settings};
use super::status_board::StatusBoard;
use crate::backoff::Backoff;
use crate::stop::Stop;

const MIN_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// All that a registrar needs to begin.
pub(super) struct Started {
    pub(super) engine: Arc<Engine>,
    pub(super) info: Info,
    pub(super) node_config: NodeConfig,
    pub(super) places: CheckPlaces,
}

/// Where the host's address comes from. It is looked up each time, because networks change.
#[derive(Clone, Copy, Debug)]
pub(super) enum CheckPlaces {
    /// This host's, from its routes.
    Here,
    /// The engine is at this address.
    There(IpAddr),
    /// It must be configured.
    Nowhere,
}

impl CheckPlaces {
    /// Returns the address that other hosts reach the engine's host by.
    pub(super) fn host(self) -> Option<IpAddr> {
        match self {
            Self::Here => describe::host_address(),
            Self::There(ip) => Some(ip),
            Self::Nowhere => None,
        }
    }
}

/// Determines all of it. Waits for an unreachable engine, unless the run ends by itself; `None`: the stop came first.
pub(super) async fn start(
    settings: &Settings,
    status_board: &StatusBoard,
    stop: &Stop,
) -> Result<Option<Started>, RegistrarError> {
    describe::check_templates(&settings.rules).map_err(RegistrarError::Settings)?;
    let engine = Engine::new(&settings.engine).map_err(|error| RegistrarError::Settings(error.why))?;
    let engine = Arc::new(engine);
    let waits = !(settings.once || settings.dry_run);
    let mut backoff = Backoff::new(MIN_RETRY_DELAY, MAX_RETRY_DELAY);
    loop {
        // An engine that hangs must not delay the stop.
        let found = tokio::select! {
            found = discover(settings, &engine) => found,
            () = stop.wait() => return Ok(None),
        };
        let why = match found {
            Ok(started) => return started.map(Some),
            Err(error) if error.stale_socket => return Err(RegistrarError::StaleSocket(error.why)),
            Err(error) => error.why,
        };
        status_board.write(|status| status.engine_error.clone_from(&why));
        if !waits {
            return Err(RegistrarError::Engine { url: engine.url().to_owned(), why });
        }
        if backoff.attempts() == 0 {
            tracing::warn!("the container engine at {} is unavailable: {why}; retrying", engine.url());
        }
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = stop.wait() => return Ok(None),
        }
    }
}

/// The outer error: the engine did not respond. The inner one: its response is unusable.
async fn discover(
    settings: &Settings,
    engine: &Arc<Engine>,
) -> Result<Result<Started, RegistrarError>, EngineError> {
    let info = engine.info().await?;
    let node = settings.node.clone().unwrap_or_else(|| info.name.clone());
    if node.is_empty() {
        let message = "the engine does not report its host's name; set --node-name".to_owned();
        return Ok(Err(RegistrarError::Settings(message)));
    }
    let inside = own_container(engine).await?;
    let own = match &settings.own {
        None => None,
        Some(own) => match sidecar(engine, own, inside.as_ref()).await? {
            Ok(sidecar) => Some(sidecar),
            Err(message) => return Ok(Err(RegistrarError::Settings(message))),
        },
    };
    let places = match &inside {
        Some(container) if container.network_mode != "host" && settings.rules.ip.is_none() => {
            if !settings.rules.internal {
                tracing::warn!(
                    "running in container {}, whose address is not the host's: services that are published on all addresses \
                     need --ip",
                    container.short()
                );
            }
            CheckPlaces::Nowhere
        }
        _ => check_places(&settings.engine.url),
    };
    let node_config = NodeConfig {
        rules: settings.rules.clone(),
        node,
        host: places.host(),
        own,
        checks: settings.checks,
        deregister: settings.deregister,
        grace: settings.grace,
        ttl: settings.lease.ttl,
    };
    Ok(Ok(Started { engine: Arc::clone(engine), info, node_config, places }))
}

/// Returns where the host's address comes from: an engine reached over the network has its own.
fn check_places(url: &str) -> CheckPlaces {
    let Some((scheme, rest)) = url.split_once("://") else { return CheckPlaces::Here };
    if scheme == "unix" {
        return CheckPlaces::Here;
    }
    let authority = rest.split('/').next().unwrap_or(rest);
    let host = authority
        .rsplit_once(':')
        .filter(|(host, _)| !host.ends_with(':'))
        .map_or(authority, |(host, _)| host);
    match host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() || ip.is_unspecified() => CheckPlaces::Here,
        Ok(ip) => CheckPlaces::There(ip),
        Err(_) if host == "localhost" => CheckPlaces::Here,
        Err(_) => CheckPlaces::Nowhere,
    }
}

/// Finds the container of this engine that this process runs in.
async fn own_container(engine: &Engine) -> Result<Option<Container>, EngineError> {
    for id in own::candidates(Path::new("/proc/self")) {
        if let Some(container) = engine.inspect(&id).await? {
            return Ok(Some(container));
        }
    }
    Ok(None)
}

/// Finds the one container of a sidecar; the error says what to do.
async fn sidecar(
    engine: &Engine,
    own: &OwnContainer,
    inside: Option<&Container>,
) -> Result<Result<Sidecar, String>, EngineError> {
    let named = match &own.container {
        Some(asked) => match engine.inspect(asked).await? {
            Some(container) => Some(container),
            None => return Ok(Err(format!("the engine has no container {asked}"))),
        },
        None => None,
    };
    // In a container, the host name is the beginning of its id unless somebody chose another, so it is tried last.
    let by_name = match (&named, inside) {
        (None, None) => engine.inspect(&own::hostname()).await?,
        _ => None,
    };
    let chosen = named.as_ref().or(inside).or(by_name.as_ref());
    Ok(match chosen {
        Some(container) => Ok(Sidecar {
            id: container.id.clone(),
            own: own.clone(),
            inside: own.container.is_none() || inside.is_some_and(|inside| inside.id == container.id),
        }),
        None => Err("cannot detect which container this is; set --container to its id or name".to_owned()),
    })
}

/// Returns the node's name as far as it is known without the engine: a local engine has this host's name.
pub(super) fn likely_node(settings: &Settings) -> Option<String> {
    let here = settings.engine.url.starts_with('/') || settings.engine.url.starts_with("unix://");
    let guess = || (here && own::candidates(Path::new("/proc/self")).is_empty()).then(own::hostname);
    settings.node.clone().or_else(guess).filter(|name| !name.is_empty() && settings.own.is_none())
}

/// Identifies this host and engine, to detect another with the same name: by the kernel's boot id, which containers see
/// as well. Machine ids are copied with images, and Podman generates a new engine id for each request.
pub(super) fn host_identity(engine: &str) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // Missing only on unusual kernels; there, hosts of one name are not distinguished.
    let boot = if boot.trim().is_empty() { own::hostname() } else { boot.trim().to_owned() };
    let place: String =
        Sha256::digest(engine.as_bytes()).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{boot}-{place}")
}
