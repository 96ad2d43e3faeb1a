//! Connections for checks. Always new ones: a reused connection does not prove that the next one would be accepted.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::http::Uri;
use hyper::http::uri::PathAndQuery;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio_rustls::TlsConnector;

use super::CheckTarget;
use crate::client::{Trust, tls_config};
use crate::http::BoxedIo;
use crate::http::error::{self, AnyError, without_number};
use crate::registrar::service::address;
use crate::tls::identity::version_1;

/// The User-Agent of every check, so that applications can filter checks out of their logs.
pub(super) const CHECK_USER_AGENT: &str = concat!("retune/", env!("CARGO_PKG_VERSION"), " (health check)");

/// What a check is waiting for; named in the timeout message.
#[derive(Debug)]
pub(super) struct CheckStage(Mutex<&'static str>);

impl CheckStage {
    pub(super) const fn new(what: &'static str) -> Self {
        Self(Mutex::new(what))
    }

    pub(super) fn now(&self, what: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }

    pub(super) fn what(&self) -> &'static str {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a connection. `tls`: whether to use TLS, and whether to verify the certificate; `protocol` is spoken inside.
pub(super) async fn open(
    target: &CheckTarget,
    tls: Option<bool>,
    protocol: &[u8],
    stage: &CheckStage,
) -> Result<BoxedIo, String> {
    let stream = connect(target).await?;
    let Some(verify) = tls else { return Ok(Box::new(stream)) };
    stage.now("TLS handshake");
    let name = ServerName::try_from(target.host.clone())
        .map_err(|_| format!("{:?} is neither a host name nor an IP address", target.host))?;
    let mut config = trust(verify).await?;
    config.alpn_protocols = vec![protocol.to_vec()];
    let stream =
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| refused(&error))?;
    match stream.get_ref().1.alpn_protocol() {
        Some(chosen) if chosen != protocol => {
            Err("its TLS negotiated another protocol than requested".to_owned())
        }
        _ => Ok(Box::new(stream)),
    }
}

pub(super) async fn connect(target: &CheckTarget) -> Result<TcpStream, String> {
    TcpStream::connect((target.host.as_str(), target.port)).await.map_err(|error| {
        format!("no connection to {}: {}", address(&target.host, target.port), without_number(&error))
    })
}

/// Returns the TLS settings. The first call loads the system's certificate authorities, which blocks for milliseconds.
async fn trust(verify: bool) -> Result<ClientConfig, String> {
    static VERIFIED: OnceCell<ClientConfig> = OnceCell::const_new();
    static ANY: OnceCell<ClientConfig> = OnceCell::const_new();
    let made = if verify { &VERIFIED } else { &ANY }
        .get_or_try_init(|| async move {
            let trust = Trust { insecure: !verify, ..Trust::default() };
            let read =
                spawn_blocking(move || tls_config(&trust, true)).await.map_err(|error| error.to_string())?;
            let mut config = read.map_err(|_| {
                "this system has no trusted certificate authorities; install them, or set \
                 SERVICE_CHECK_TLS_SKIP_VERIFY=true"
                    .to_owned()
            })?;
            // A resumed session would hide a certificate that has become invalid since.
            config.resumption = Resumption::disabled();
            Ok::<_, String>(config)
        })
        .await?;
    Ok(made.clone())
}

fn refused(error: &io::Error) -> String {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::InvalidCertificate(why)) if let Some(says) = version_1(why) => says.to_owned(),
        Some(rustls::Error::InvalidCertificate(why)) => {
            format!("its certificate is not trusted: {why}; SERVICE_CHECK_TLS_SKIP_VERIFY=true lets it pass")
        }
        Some(rustls::Error::InvalidMessage(_)) => "it does not speak TLS".to_owned(),
        Some(cause) => format!("no TLS: {cause}"),
        None => format!("no TLS: {}", without_number(error)),
    }
}

/// Returns `http://host:port/path`.
pub(super) fn uri(target: &CheckTarget, path: &str) -> Result<Uri, String> {
    let (host, wrong) =
        (address(&target.host, target.port), |_| format!("cannot build a URL from {:?}", target.host));
    let path = path.parse::<PathAndQuery>().map_err(|_| format!("{path:?} is not a path"))?;
    Uri::builder().scheme("http").authority(host).path_and_query(path).build().map_err(wrong)
}

/// Formats the innermost cause, an I/O error without its number.
pub(super) fn innermost(error: AnyError<'_>) -> String {
    without_number(error::innermost(error))
}
