//! What a registrar needs before it can begin: the engine's host, this node's name and address, a sidecar's container.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use super::container::Container;
use super::describe;
use super::engine::{Engine, EngineError, EngineInfo};
use super::error::RegistrarError;
use super::model::{NodeConfig, Sidecar};
use super::own_container;
use super::settings::{OwnContainer, Settings};
use super::status_board::StatusBoard;
use crate::backoff::Backoff;
use crate::http::host_of;
use crate::scalar::hex;
use crate::stop::Stop;

const MIN_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// All that a registrar needs to begin.
pub(super) struct Started {
    pub(super) engine: Arc<Engine>,
    pub(super) info: EngineInfo,
    pub(super) node_config: NodeConfig,
    pub(super) host_source: HostAddressSource,
}

/// The source of the host's address. It is looked up each time, because networks change.
#[derive(Clone, Copy, Debug)]
pub(super) enum HostAddressSource {
    /// This host's routes.
    Routes,
    /// The engine is at this address.
    Engine(IpAddr),
    /// Unknown: it must be configured.
    Unknown,
}

impl HostAddressSource {
    /// Returns the address that other hosts reach the engine's host by.
    pub(super) fn host(self) -> Option<IpAddr> {
        match self {
            Self::Routes => describe::host_address(),
            Self::Engine(ip) => Some(ip),
            Self::Unknown => None,
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
    let engine =
        Arc::new(Engine::new(&settings.engine).map_err(|error| RegistrarError::Settings(error.why))?);
    let waits = !(settings.once || settings.dry_run);
    let mut backoff = Backoff::new(MIN_RETRY_DELAY, MAX_RETRY_DELAY);
    loop {
        // An engine that hangs must not delay the stop.
        let found = tokio::select! {
            found = discover(settings, &engine) => found,
            () = stop.wait() => return Ok(None),
        };
        let error = match found {
            Ok(started) => return Ok(Some(started)),
            Err(error) => error,
        };
        let RegistrarError::Engine { why, .. } = &error else { return Err(error) };
        status_board.write(|status| status.engine_error.clone_from(why));
        if !waits {
            return Err(error);
        }
        if backoff.attempts() == 0 {
            tracing::warn!("{error}; retrying");
        }
        tokio::select! {
            () = sleep(backoff.next()) => {}
            () = stop.wait() => return Ok(None),
        }
    }
}

async fn discover(settings: &Settings, engine: &Arc<Engine>) -> Result<Started, RegistrarError> {
    let info = engine.info().await.map_err(|error| unavailable(engine, error))?;
    let node = settings.node.clone().unwrap_or_else(|| info.name.clone());
    if node.is_empty() {
        let message = "the engine does not report its host's name; set --node-name".to_owned();
        return Err(RegistrarError::Settings(message));
    }
    let mut inside = None;
    for id in own_container::candidates(Path::new("/proc/self")) {
        inside = inspect(engine, &id).await?;
        if inside.is_some() {
            break;
        }
    }
    let own = match &settings.own {
        None => None,
        Some(own) => Some(sidecar(engine, own, inside.as_ref()).await?),
    };
    let host_source = match &inside {
        Some(container) if container.network_mode != "host" && settings.rules.ip.is_none() => {
            if !settings.rules.internal {
                tracing::warn!(
                    "running in container {}, whose address is not the host's: services that are published on all addresses \
                     need --ip",
                    container.short()
                );
            }
            HostAddressSource::Unknown
        }
        _ => host_address_source(&settings.engine.url),
    };
    let node_config = NodeConfig {
        rules: settings.rules.clone(),
        node,
        host: host_source.host(),
        own,
        checks: settings.checks,
        deregister: settings.deregister,
        grace: settings.grace,
        ttl: settings.lease.ttl,
    };
    Ok(Started { engine: Arc::clone(engine), info, node_config, host_source })
}

/// Returns the source of the host's address: an engine reached over the network has its own.
fn host_address_source(url: &str) -> HostAddressSource {
    let host = host_of(url);
    match host.parse::<IpAddr>() {
        Ok(ip) if ip.is_loopback() || ip.is_unspecified() => HostAddressSource::Routes,
        Ok(ip) => HostAddressSource::Engine(ip),
        Err(_) if matches!(host, "" | "localhost") => HostAddressSource::Routes,
        Err(_) => HostAddressSource::Unknown,
    }
}

/// Finds the one container of a sidecar; the error says what to do.
async fn sidecar(
    engine: &Engine,
    own: &OwnContainer,
    inside: Option<&Container>,
) -> Result<Sidecar, RegistrarError> {
    let missing = || match &own.container {
        Some(asked) => format!("the engine has no container {asked}"),
        None => "cannot detect which container this is; set --container to its id or name".to_owned(),
    };
    let chosen = match (&own.container, inside) {
        (Some(asked), _) => inspect(engine, asked).await?,
        (None, Some(inside)) => Some(inside.clone()),
        // In a container, the host name is the beginning of its id unless somebody chose another, so it is tried last.
        (None, None) => inspect(engine, &own_container::hostname()).await?,
    };
    let id = chosen.ok_or_else(|| RegistrarError::Settings(missing()))?.id;
    let inside = own.container.is_none() || inside.is_some_and(|inside| inside.id == id);
    Ok(Sidecar { id, own: own.clone(), inside })
}

async fn inspect(engine: &Engine, id: &str) -> Result<Option<Container>, RegistrarError> {
    engine.inspect(id).await.map_err(|error| unavailable(engine, error))
}

fn unavailable(engine: &Engine, error: EngineError) -> RegistrarError {
    if error.stale_socket {
        return RegistrarError::StaleSocket(error.why);
    }
    RegistrarError::Engine { url: engine.url().to_owned(), why: error.why }
}

/// Returns the node's name as far as it is known without the engine: a local engine has this host's name.
pub(super) fn guess_node_name(settings: &Settings) -> Option<String> {
    let here = settings.engine.url.starts_with('/') || settings.engine.url.starts_with("unix://");
    let guess = || {
        (here && own_container::candidates(Path::new("/proc/self")).is_empty()).then(own_container::hostname)
    };
    settings.node.clone().or_else(guess).filter(|name| !name.is_empty() && settings.own.is_none())
}

/// Identifies this host and engine, to detect another with the same name: by the kernel's boot id, which containers see
/// as well. Machine ids are copied with images, and Podman generates a new engine id for each request.
pub(super) fn host_identity(engine: &str) -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    // Missing only on unusual kernels; there, hosts of one name are not distinguished.
    let boot = if boot.trim().is_empty() { own_container::hostname() } else { boot.trim().to_owned() };
    format!("{boot}-{}", hex(&Sha256::digest(engine.as_bytes())[..4]))
}
