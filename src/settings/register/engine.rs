//! The address of the container engine, and its TLS settings.

use std::path::{Path, PathBuf};

use super::super::Host;
use super::super::reader::Reader;
use crate::client::Trust;
use crate::registrar::{EngineEndpoint, check_engine_url};

const DOCKER_SOCKET: &str = "/var/run/docker.sock";
const PODMAN_SOCKET: &str = "/run/podman/podman.sock";
/// The engine's socket inside a container, by Registrator's convention.
const REGISTRATOR_SOCKET: &str = "/tmp/docker.sock";

/// Returns the engine of the flags, else of docker's variables, else the first socket that exists.
pub(super) fn read(read: &mut Reader<'_>) -> EngineEndpoint {
    let (host, given) = (read.host, read.rank("engine").is_some());
    let url = read.parsed("engine", url);
    let own = Trust {
        ca: read.path("engine-ca"),
        cert: read.path("engine-cert"),
        key: read.path("engine-key"),
        ..Trust::default()
    };
    if let Some((name, message)) = read.half_pair("engine-cert", "engine-key") {
        read.report(name, message);
    }
    let named = own != Trust::default();
    let (trust, tls) = if named { (own, true) } else { docker_tls(host) };
    let url = url.unwrap_or_else(|| {
        let found = if given { Ok(None) } else { docker_host(host) };
        let found = found.map_err(|message| read.problems.push(super::Problem::new("DOCKER_HOST", message)));
        found.ok().flatten().unwrap_or_else(|| socket(host))
    });
    EngineEndpoint { url, trust, tls }
}

/// Returns the engine as Registrator finds it.
pub(super) fn registrator_default(host: &Host<'_>) -> Result<EngineEndpoint, String> {
    let (trust, tls) = docker_tls(host);
    let at = |path: &str| format!("unix://{path}");
    let url = match docker_host(host)? {
        Some(url) => url,
        None if !(host.file_exists)(Path::new(REGISTRATOR_SOCKET))
            && (host.file_exists)(Path::new(DOCKER_SOCKET)) =>
        {
            at(DOCKER_SOCKET)
        }
        None => at(REGISTRATOR_SOCKET),
    };
    Ok(EngineEndpoint { url, trust, tls })
}

fn docker_host(host: &Host<'_>) -> Result<Option<String>, String> {
    (host.env)("DOCKER_HOST").filter(|text| !text.trim().is_empty()).map(|text| url(&text)).transpose()
}

/// Returns the socket of an engine that exists; docker's when there is none.
fn socket(host: &Host<'_>) -> String {
    let own = (host.env)("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let own = own.map(|path| path.join("podman/podman.sock"));
    let all = [Some(PathBuf::from(DOCKER_SOCKET)), Some(PathBuf::from(PODMAN_SOCKET)), own];
    let found = all.into_iter().flatten().find(|path| (host.file_exists)(path));
    format!("unix://{}", found.unwrap_or_else(|| PathBuf::from(DOCKER_SOCKET)).display())
}

/// Returns the TLS settings of docker's own variables. Servers are verified even where docker would not.
fn docker_tls(host: &Host<'_>) -> (Trust, bool) {
    let on = |name: &str| (host.env)(name).is_some_and(|value| !value.is_empty());
    if !on("DOCKER_TLS_VERIFY") && !on("DOCKER_TLS") {
        return (Trust::default(), false);
    }
    let folder = (host.env)("DOCKER_CERT_PATH").filter(|path| !path.is_empty()).map(PathBuf::from);
    let folder = folder.or_else(|| Some(PathBuf::from((host.env)("HOME")?).join(".docker")));
    let file = |name: &str| Some(folder.as_ref()?.join(name)).filter(|path| (host.file_exists)(path));
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    let both = cert.is_some() && key.is_some();
    (Trust { ca, cert: cert.filter(|_| both), key: key.filter(|_| both), ..Trust::default() }, true)
}

fn url(text: &str) -> Result<String, String> {
    let url = match text.trim() {
        path if path.starts_with('/') => format!("unix://{path}"),
        // As docker parses it.
        address if address.contains(':') && !address.contains('/') => format!("tcp://{address}"),
        url => url.to_owned(),
    };
    check_engine_url(&url)?;
    // What reads it later compares schemes as they are usually written.
    let url = match url.split_once("://") {
        Some((scheme, rest)) => format!("{}://{rest}", scheme.to_ascii_lowercase()),
        None => url,
    };
    Ok(if url.starts_with("unix:") { url } else { url.trim_end_matches('/').to_owned() })
}
