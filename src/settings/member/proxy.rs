//! Settings of a proxy: the same command line, of which it uses a part.

use std::path::PathBuf;
use std::time::Duration;

use super::super::invocation::Proxy;
use super::super::reader::Reader;
use super::super::units;
use super::transport::SelfSignedSettings;
use super::urls::{HostUrl, read_member, texts};
use super::{DEFAULT_REQUEST_BYTES, bindable, cluster, count, default_listener, report_semantic, transport};
use crate::api::{self, DataDirOwner, ProxyMode, ProxySettings, data_dir_owner};
use crate::tls::TlsFiles;

const LOCAL_PEER: &str = "http://localhost:2380";

/// Reads the proxy's settings, if a proxy is to be started: the data folder overrides the flag.
pub(super) fn read(read: &mut Reader<'_>) -> Option<Proxy> {
    let asked = [("off", None), ("readonly", Some(ProxyMode::Reads)), ("on", Some(ProxyMode::All))];
    let asked = read.choice("proxy", &asked, None);
    let name = read.text("name").unwrap_or_else(|| "default".to_owned());
    let data_dir = read.path("data-dir").unwrap_or_else(|| PathBuf::from(format!("{name}.etcd")));
    let shown = data_dir.display();
    let mode = match (data_dir_owner(&data_dir), asked) {
        (DataDirOwner::Both, _) => {
            let message = format!(
                "invalid datadir. Both member and proxy directories exist in {shown}; move the one away that does not \
                 belong there"
            );
            report_semantic(read, "data-dir", message);
            asked?
        }
        (DataDirOwner::Member, Some(_)) => {
            read.warnings.push(format!(
                "the server is already initialized as member before, starting as etcd member: {shown} holds a member's \
                 data, so --proxy has no effect"
            ));
            return None;
        }
        (DataDirOwner::Proxy, None) => {
            read.warnings.push(format!(
                "the server is already initialized as proxy before, starting as etcd proxy: {shown} holds a proxy's \
                 data; a member needs another --data-dir"
            ));
            ProxyMode::All
        }
        (_, asked) => asked?,
    };
    Some(proxy(read, mode, data_dir))
}

fn proxy(read: &mut Reader<'_>, mode: ProxyMode, data_dir: PathBuf) -> Proxy {
    let listen_urls = read.parsed("listen-client-urls", HostUrl::read_list);
    let listen = bindable(read, "listen-client-urls", listen_urls.as_deref());
    let listen = listen.unwrap_or_else(|| vec![default_listener()]);
    // Its files are also used for the members' client ports, so they are valid without a TLS port of its own.
    let secure = listen.iter().any(|url| url.https);
    let own = SelfSignedSettings { data_dir: &data_dir, advertised: &[] };
    let tls = if secure { transport::client_files(read, &listen, &own) } else { None };
    let api = api::Settings {
        tls,
        listen_client_urls: texts(&listen),
        cors: transport::cors(read),
        host_whitelist: vec!["*".to_owned()],
        max_request_bytes: read.parsed("max-request-bytes", units::bytes).unwrap_or(DEFAULT_REQUEST_BYTES),
    };
    let peer_tls = TlsFiles {
        cert: read.path("peer-cert-file"),
        key: read.path("peer-key-file"),
        trusted_ca: authority(read, "peer-trusted-ca-file", "peer-ca-file"),
        peer: true,
        ..TlsFiles::default()
    };
    let own = TlsFiles {
        cert: read.path("cert-file"),
        key: read.path("key-file"),
        trusted_ca: authority(read, "trusted-ca-file", "ca-file"),
        ..TlsFiles::default()
    };
    // Members with self-signed certificates are not verified, as in etcd's proxy; given files override this.
    let peer_tls = TlsFiles { unverified: read.on("peer-auto-tls") && !peer_tls.any(), ..peer_tls };
    let own = TlsFiles { unverified: read.on("auto-tls") && !own.any(), ..own };
    // etcd's rule: without files for clients' ports, the peer files are used for both.
    let none = own.cert.is_none() && own.key.is_none() && own.trusted_ca.is_none();
    let unverified = own.unverified && !peer_tls.any();
    let client_tls = if none { TlsFiles { unverified, ..peer_tls.clone() } } else { own };
    let discovery = cluster::discovery(read);
    let proxy = ProxySettings {
        api,
        mode,
        peer_urls: if discovery.is_some() { Vec::new() } else { peer_urls(read) },
        data_dir,
        failure_wait: millis(read, "proxy-failure-wait", 5000).unwrap_or_default(),
        refresh_interval: Duration::from_millis(count(read, "proxy-refresh-interval", 30_000)),
        dial_timeout: millis(read, "proxy-dial-timeout", 1000),
        write_timeout: millis(read, "proxy-write-timeout", 5000),
        read_timeout: millis(read, "proxy-read-timeout", 0),
        client_tls,
        peer_tls,
    };
    let workers = count(read, "workers", 2).min(1024);
    Proxy { proxy, discovery, workers: usize::try_from(workers).unwrap_or(1024) }
}

fn authority(read: &mut Reader<'_>, name: &str, old_name: &str) -> Option<PathBuf> {
    let old = read.path(old_name);
    read.path(name).or(old)
}

/// Reads a duration in milliseconds; 0 means none.
fn millis(read: &mut Reader<'_>, name: &str, default: u64) -> Option<Duration> {
    let millis = read.parsed(name, units::number).unwrap_or(default);
    (millis > 0).then(|| Duration::from_millis(millis))
}

/// Returns the URLs of `--initial-cluster`; the names do not matter.
fn peer_urls(read: &mut Reader<'_>) -> Vec<String> {
    let url = |part: &str| read_member(part.trim()).map(|(_, url)| url.text());
    let urls = |text: &str| text.split(',').map(url).collect::<Result<Vec<_>, _>>();
    let mut urls = read.parsed("initial-cluster", urls).unwrap_or_else(|| vec![LOCAL_PEER.to_owned()]);
    urls.sort();
    urls.dedup();
    urls
}
