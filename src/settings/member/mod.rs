//! Settings of one member of the store: etcd's command line, under both names.

mod backup;
mod clients;
mod cluster;
mod proxy;
mod rows;
mod transport;
mod urls;

use std::path::PathBuf;
use std::time::Duration;

use super::invocation::{CommandId, Invocation, Level, Member, Task};
use super::reader::Reader;
use super::spec::CommandSpec;
use super::units;
use crate::{api, consensus};

pub(super) use backup::{BACKUP, RESTORE};
use cluster::Cluster;
pub(super) use rows::{BACKUP_ROWS, CLUSTER_ROWS, IGNORED_ROWS, MEMBER_ROWS, TRANSPORT_ROWS};
use transport::SelfSignedSettings;
use urls::{HostUrl, texts};

/// The version of etcd whose v2 API this is. Clients read it; one of them takes any text that contains `0.4` for an
/// ancient server.
pub const ETCD_VERSION: &str = "3.4.23";

/// The version that the members of one cluster agree on.
pub const CLUSTER_VERSION: &str = "3.4.0";

/// The upper limit of the request size setting.
const MAX_REQUEST_BYTES: usize = 24 << 20;

/// The largest form body that etcd's v2 API accepts.
const DEFAULT_REQUEST_BYTES: usize = 10 << 20;

/// A longer election timeout is a mistake (etcd's bound).
const MAX_ELECTION_TIMEOUT_MS: u64 = 50_000;

/// Returns the text of `etcd -version`: tools cut the first line.
pub(super) fn version_lines() -> String {
    let (retune, arch) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    let arch = match arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let os = std::env::consts::OS;
    format!(
        "etcd Version: {ETCD_VERSION}\nGit SHA: retune {retune}\nGo Version: none, retune is not written in Go\n\
         Go OS/Arch: {os}/{arch}\n"
    )
}

pub(super) const STORE: CommandSpec = CommandSpec {
    replaces: Some(CommandId::Etcd),
    ..CommandSpec::new(
        "store",
        "Host one member of the store that etcd's v2 clients speak to",
        member_or_proxy,
    )
};

pub(super) const ETCD: CommandSpec = CommandSpec::new(
    "etcd",
    "Takes etcd's command line: hosts one member of a store with etcd's v2 API",
    member_or_proxy,
);

fn member_or_proxy(read: &mut Reader<'_>) -> Invocation {
    if read.on("debug") {
        read.log.level = Level::Debug;
    }
    Invocation::new(match proxy::read(read) {
        Some(proxy) => Task::Proxy(Box::new(proxy)),
        None => Task::Store(Box::new(member(read))),
    })
}

fn member(read: &mut Reader<'_>) -> Member {
    check_fixed_options(read);
    let name = read.text("name").unwrap_or_else(|| "default".to_owned());
    let (heartbeat, election) = raft_timing(read);
    let client_urls = clients::read(read);
    let data_dir = read.path("data-dir").unwrap_or_else(|| PathBuf::from(format!("{name}.etcd")));
    let initialized = data_dir.join("member/identity").exists();
    let cluster = cluster::read(read, &name, initialized);
    let peer_tls = transport::peer_files(read, &cluster, &data_dir);
    let peer_secret = transport::peer_secret(read);
    let Cluster { members, peer_urls, listen, start, discovery, .. } = cluster;
    let snapshot_count = count(read, "snapshot-count", 100_000);
    let own = SelfSignedSettings { data_dir: &data_dir, advertised: &client_urls.advertise };
    let tls = transport::client_files(read, &client_urls.listen, &own);
    let consensus = consensus::Settings {
        data_dir,
        name,
        cluster_token: read.text("initial-cluster-token").unwrap_or_else(|| "etcd-cluster".to_owned()),
        initial_cluster: members.into_iter().map(|(name, url)| (name, url.text())).collect(),
        peer_urls: texts(&peer_urls),
        peer_tls,
        peer_secret,
        listen_peer_urls: texts(&listen),
        start,
        client_urls: texts(&client_urls.advertise),
        snapshot_count,
        heartbeat,
        election,
        quota: read.parsed("quota-backend-bytes", quota).flatten(),
        version: CLUSTER_VERSION.to_owned(),
    };
    let api = api::Settings {
        tls,
        listen_client_urls: texts(&client_urls.listen),
        cors: transport::cors(read),
        host_whitelist: transport::hosts(read),
        max_request_bytes: largest_request(read),
    };
    let workers = count(read, "workers", 2).min(1024);
    Member { consensus, api, discovery, workers: usize::try_from(workers).unwrap_or(1024) }
}

/// Reports a problem for which etcd exits with status 1, because every word was valid.
fn report_semantic(read: &mut Reader<'_>, name: &str, message: impl Into<String>) {
    read.report(name, message);
    let is_semantic = read.is_etcd();
    if let Some(problem) = read.problems.last_mut() {
        problem.is_semantic = is_semantic;
    }
}

/// Checks options with only one acceptable value in this version.
fn check_fixed_options(read: &mut Reader<'_>) {
    if read.switch("enable-v2") == Some(false) {
        read.warnings
            .push("--enable-v2=false has no effect: the v2 API is the one that is served".to_owned());
    }
    read.choice("logger", &[("capnslog", ()), ("zap", ())], ());
    let outputs = read.text("log-outputs").unwrap_or_default();
    if outputs.split(',').any(|word| !matches!(word.trim(), "" | "default" | "stderr" | "systemd/journal")) {
        report_semantic(read, "log-outputs", "logs go to stderr; redirect it to a file if needed");
    }
}

/// Returns the heartbeat interval and the election timeout.
fn raft_timing(read: &mut Reader<'_>) -> (Duration, Duration) {
    let heartbeat = read.parsed("heartbeat-interval", units::number).unwrap_or(100);
    let election = read.parsed("election-timeout", units::number).unwrap_or(1000);
    if heartbeat == 0 {
        report_semantic(read, "heartbeat-interval", "--heartbeat-interval must be >0 (set to 0ms)");
    } else if heartbeat.saturating_mul(5) > election {
        let message = format!(
            "--election-timeout[{election}ms] should be at least as 5 times as --heartbeat-interval[{heartbeat}ms]"
        );
        report_semantic(read, "election-timeout", message);
    } else if election > MAX_ELECTION_TIMEOUT_MS {
        let message = format!(
            "--election-timeout[{election}ms] is too long, and should be set less than {MAX_ELECTION_TIMEOUT_MS}ms"
        );
        report_semantic(read, "election-timeout", message);
    }
    (Duration::from_millis(heartbeat), Duration::from_millis(election))
}

/// Returns the largest request. A larger one would not fit a message between members, and the first such write would
/// stop the cluster.
fn largest_request(read: &mut Reader<'_>) -> usize {
    let bytes = read.parsed("max-request-bytes", units::bytes).unwrap_or(DEFAULT_REQUEST_BYTES);
    if bytes > MAX_REQUEST_BYTES {
        let message = format!("{bytes} bytes are too many; the limit is {} MiB", MAX_REQUEST_BYTES >> 20);
        report_semantic(read, "max-request-bytes", message);
        return DEFAULT_REQUEST_BYTES;
    }
    bytes
}

/// Reads a number that cannot be 0.
fn count(read: &mut Reader<'_>, name: &str, default: u64) -> u64 {
    let count = read.parsed(name, units::number).unwrap_or(default);
    if count == 0 {
        report_semantic(read, name, "0 is too few; write at least 1");
        return default;
    }
    count
}

/// Reads a quota in etcd's convention: 0 means its default, which is no limit here, and a negative number means no
/// limit.
fn quota(text: &str) -> Result<Option<u64>, String> {
    match text.trim().parse::<i64>() {
        Ok(bytes) => Ok(u64::try_from(bytes).ok().filter(|bytes| *bytes > 0)),
        Err(_) => units::bytes(text).map(|bytes| u64::try_from(bytes).ok()),
    }
}

/// Returns the default listener for clients.
fn default_listener() -> HostUrl {
    HostUrl::read("http://127.0.0.1:2379").expect("the default is a URL")
}

/// Returns the URLs with addresses in place of names; `None` when there are none.
fn bindable(read: &mut Reader<'_>, name: &str, urls: Option<&[HostUrl]>) -> Option<Vec<HostUrl>> {
    let urls = urls?;
    // Under our own name an empty host means every address, as in Go.
    let bad = |url: &&HostUrl| url.bindable().is_none() || (read.is_etcd() && url.host.is_empty());
    if let Some(url) = urls.iter().find(bad) {
        let message = format!("expected IP in URL for binding ({})", url.text());
        report_semantic(read, name, message);
    }
    Some(urls.iter().filter_map(HostUrl::bindable).collect())
}

/// Reports advertised URLs that name no host.
fn check_advertised(read: &mut Reader<'_>, name: &str, urls: &[HostUrl]) {
    if let Some(url) = urls.iter().find(|url| url.host.is_empty()) {
        let message = format!("must be \"host:port\" (unexpected empty host ({}))", url.text());
        report_semantic(read, name, message);
    } else if let Some(url) = urls.iter().find(|url| url.is_wildcard()) {
        let message = format!(
            "--{name}: {} is not an address that others can reach; write one of this host's own addresses or names",
            url.text()
        );
        read.warnings.push(message);
    }
}

/// Returns the URL that etcd advertises in place of its default when its first listener is a wildcard: this host's own
/// address there.
fn detected_host_url(read: &mut Reader<'_>, name: &str, listen: &[HostUrl]) -> Option<Vec<HostUrl>> {
    let first = listen.first().filter(|url| url.host == "0.0.0.0")?;
    let address = (read.host.address)()?;
    let url = HostUrl { https: false, host: address.to_string(), port: first.port };
    read.notices.push(format!(
        "advertising using detected default host \"{address}\": {} is advertised; set --{name} to change it",
        url.text()
    ));
    Some(vec![url])
}

/// Warns when an advertised URL has no listener; unless both were given, which may be correct behind a forwarded port.
fn warn_if_not_listening(read: &mut Reader<'_>, listen: (&str, &[HostUrl]), advertised: (&str, &[HostUrl])) {
    let ((listen_name, listen), (advertise_name, advertised)) = (listen, advertised);
    let both = read.rank(listen_name).is_some() && read.rank(advertise_name).is_some();
    if both || advertised.iter().any(|url| listen.iter().any(|own| own.serves(url))) {
        return;
    }
    read.warnings.push(format!(
        "this member advertises {}, but it listens on {}; give --{listen_name} and --{advertise_name} that fit",
        texts(advertised).join(","),
        texts(listen).join(",")
    ));
}
