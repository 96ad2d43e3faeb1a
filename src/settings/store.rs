//! Settings of a source, [`crate::source::Settings`]: backend, nodes, TLS, login.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::invocation::CommandId;
use super::layers::Rank;
use super::reader::Reader;
use crate::client::{Credentials, Trust};
use crate::nearest::nearest;
use crate::source::{Backend, Settings};

/// A longer file is not a password file.
const MAX_PASSWORD_FILE_BYTES: u64 = 4096;

const ENDPOINT_SYNTAX: &str = "write http://HOST:PORT or https://HOST:PORT";

/// Backends of the other tools, so that they can be refused by name.
pub(super) const FOREIGN_BACKENDS: &[&str] = &[
    "consul",
    "vault",
    "zookeeper",
    "redis",
    "dynamodb",
    "rancher",
    "ssm",
    "secretsmanager",
    "acm",
    "imds",
    "nats",
];

/// Returns the settings of the source of values.
pub(super) fn settings(read: &mut Reader<'_>) -> Settings {
    let base = Settings::default();
    let backend = read.parsed("backend", backend).unwrap_or(base.backend);
    let stored = matches!(backend, Backend::Etcd | Backend::EtcdV3);
    let srv_record = srv_record(read, backend).filter(|_| stored);
    let files = read.paths("file");
    if backend == Backend::File && files.is_empty() {
        read.report("file", "the file backend needs a file or folder; add --file PATH");
    }
    let given = nodes(read);
    let nodes = match (stored, given.is_empty(), &srv_record) {
        (true, true, None) => default_nodes(read, backend),
        _ => given,
    };
    Settings {
        backend,
        nodes,
        srv_record,
        scheme: read.choice("scheme", &[("http", "http"), ("https", "https")], "http").to_owned(),
        tls: if stored { tls(read) } else { base.tls },
        login: if stored { login(read) } else { None },
        sync: !read.on("no-sync"),
        files,
        filter: read.text("filter").unwrap_or(base.filter),
        timeout: read.limit("backend-timeout", base.timeout),
    }
}

fn backend(text: &str) -> Result<Backend, String> {
    match text.to_lowercase().as_str() {
        "etcd" | "etcdv2" | "store" => Ok(Backend::Etcd),
        "etcdv3" => Ok(Backend::EtcdV3),
        "env" => Ok(Backend::Env),
        "file" => Ok(Backend::File),
        foreign if FOREIGN_BACKENDS.contains(&foreign) => Err(format!(
            "{foreign} is not read by this version: this version reads etcd, etcdv3, env and file; copy the keys into \
             one of those"
        )),
        other => {
            let near = nearest(other, ["etcd", "etcdv3", "env", "file", "store"]);
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            Err(format!("{text:?} is not a backend: this version reads etcd, etcdv3, env and file{hint}"))
        }
    }
}

fn srv_record(read: &mut Reader<'_>, backend: Backend) -> Option<String> {
    let record = read.text("srv-record");
    let domain = read.text("srv-domain");
    record.or_else(|| Some(format!("_{}._tcp.{}.", backend.name(), domain?.trim_end_matches('.'))))
}

fn nodes(read: &mut Reader<'_>) -> Vec<String> {
    let nodes = read.texts("endpoints");
    if let Some(message) = nodes.iter().find_map(|node| split_scheme(node).err()) {
        read.report("endpoints", message);
    }
    nodes
}

/// Returns the default nodes of a store. confd's etcd has its historic port, and only that backend reads
/// `ETCDCTL_PEERS`.
fn default_nodes(read: &mut Reader<'_>, backend: Backend) -> Vec<String> {
    let confd = read.command == CommandId::Confd;
    if !confd || backend == Backend::Etcd {
        let peers = (read.host.env)("ETCDCTL_PEERS").unwrap_or_default();
        let peers: Vec<String> =
            peers.split(',').map(str::trim).filter(|peer| !peer.is_empty()).map(str::to_owned).collect();
        if !peers.is_empty() {
            read.notices.push("the nodes come from ETCDCTL_PEERS; --endpoints overrides it".to_owned());
            return peers;
        }
    }
    let port = if confd && backend == Backend::Etcd { 4001 } else { 2379 };
    vec![format!("http://127.0.0.1:{port}")]
}

/// TLS to the store.
pub(super) fn tls(read: &mut Reader<'_>) -> Trust {
    let mut tls = Trust {
        ca: read.path("client-ca-keys"),
        cert: read.path("client-cert"),
        key: read.path("client-key"),
        insecure: read.on("client-insecure"),
        ..Trust::default()
    };
    if let Some((name, message)) = read.half_pair("client-cert", "client-key") {
        read.report_unless_confd(name, &message);
        (tls.cert, tls.key) = (None, None);
    }
    tls
}

/// Returns the login at the store.
pub(super) fn login(read: &mut Reader<'_>) -> Option<Credentials> {
    let wanted = read.switch("basic-auth");
    let name = read.text("username");
    let given = read.rank("password-file").is_some() || read.rank("password").is_some();
    let password = password(read);
    if wanted == Some(false) {
        return None;
    }
    match (name, password) {
        (Some(name), Some(password)) => Some(Credentials::new(name, password)),
        // A password that could not be read was already reported.
        (Some(_), None) if given => None,
        (Some(_), None) => {
            let message = "a user needs a password; add --password-file FILE";
            read.report_unless_confd("username", message);
            None
        }
        (None, _) if wanted == Some(true) => {
            let message = "there is no user to log in as; add --username NAME";
            read.report_unless_confd("basic-auth", message);
            None
        }
        (None, _) => None,
    }
}

/// Returns the password from the stronger of the two layers that may have one.
fn password(read: &mut Reader<'_>) -> Option<String> {
    let plain: Option<Rank> = read.rank("password");
    let filed: Option<Rank> = read.rank("password-file");
    if plain.is_some() && plain == filed {
        read.report("password", "both a password and a password file are given; keep one");
        return None;
    }
    if plain > filed || filed.is_none() {
        return read.text("password");
    }
    let path = read.path("password-file")?;
    match password_file(&path) {
        Ok(text) => Some(text),
        Err(message) => {
            read.report("password-file", format!("{}: {message}", path.display()));
            None
        }
    }
}

fn password_file(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    let mut text = String::new();
    file.take(MAX_PASSWORD_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if text.len() as u64 > MAX_PASSWORD_FILE_BYTES {
        return Err("is too long for a password".to_owned());
    }
    let password = text.trim_end_matches(['\r', '\n']);
    if password.is_empty() { Err("is empty".to_owned()) } else { Ok(password.to_owned()) }
}

/// Returns the settings of the store that holds registered keys and nodes.
pub(super) fn client_settings(read: &mut Reader<'_>) -> Settings {
    let base = Settings::default();
    let mut nodes = read.parsed_all("endpoints", endpoint);
    if nodes.is_empty() {
        nodes.push("http://127.0.0.1:2379".to_owned());
    }
    Settings {
        nodes,
        tls: tls(read),
        login: login(read),
        sync: !read.on("no-sync"),
        timeout: read.limit("backend-timeout", base.timeout),
        ..base
    }
}

/// Parses one URL of a member; without a scheme it is `http`.
fn endpoint(text: &str) -> Result<String, String> {
    let (scheme, rest) = split_scheme(text)?;
    let rest = rest.trim_end_matches('/');
    if rest.contains('@') {
        return Err(
            "a member's URL has no user or password; add --username NAME and --password-file FILE".to_owned()
        );
    }
    if rest.is_empty() {
        return Err(format!("names no host; {ENDPOINT_SYNTAX}"));
    }
    Ok(format!("{scheme}://{rest}"))
}

/// Returns the scheme in lower case, and the rest. The text is not shown: it may contain a password.
fn split_scheme(text: &str) -> Result<(String, &str), String> {
    let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
    match scheme.to_ascii_lowercase() {
        lower if matches!(lower.as_str(), "http" | "https") => Ok((lower, rest)),
        _ => Err(format!("{scheme}:// is not a scheme of a store; {ENDPOINT_SYNTAX}")),
    }
}
