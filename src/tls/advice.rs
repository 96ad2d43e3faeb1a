//! Explains in one sentence why a handshake failed and what to do. The library's error is left out where the
//! sentence says the same.

use std::io;
use std::path::{Path, PathBuf};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription as Alert, CertificateError as Bad, Error, InvalidMessage};

use super::contents::{CA, CERT, KEY};
use super::{TlsFiles, identity};

/// The names of the flags that set this side's files.
#[derive(Clone, Debug)]
pub(crate) struct Flags {
    /// The flag of the authorities.
    pub(crate) ca: String,
    /// The flag of the certificate.
    pub(crate) cert: String,
    /// The flag of its key.
    pub(crate) key: String,
    /// The path of the authorities, where it is known.
    pub(crate) ca_path: Option<PathBuf>,
    pub(crate) cert_path: Option<PathBuf>,
}

impl Flags {
    /// Returns the flags of a port.
    pub(super) fn of(files: &TlsFiles) -> Self {
        let (ca, cert, key) = (files.flag(CA), files.flag(CERT), files.flag(KEY));
        Self { ca, cert, key, ca_path: files.trusted_ca.clone(), cert_path: files.cert.clone() }
    }

    /// Returns the flags of a command, without paths.
    pub(crate) fn named(ca: &str, cert: &str, key: &str) -> Self {
        let [ca, cert, key] = [ca, cert, key].map(str::to_owned);
        Self { ca, cert, key, ca_path: None, cert_path: None }
    }
}

/// Replaces the library's reason in the error if it is a TLS error, at any depth.
pub(super) fn explained(error: io::Error, reason: impl FnOnce(&Error) -> Option<String>) -> io::Error {
    if is_plain_end(&error) {
        return io::Error::new(io::ErrorKind::UnexpectedEof, CLOSED);
    }
    let found = error.get_ref().and_then(|inner| causes(inner).find_map(|cause| cause.downcast_ref()));
    match found.and_then(reason) {
        Some(reason) => io::Error::new(error.kind(), reason),
        None => error,
    }
}

/// Returns whether the other side closed the connection without saying so in TLS, as an exiting process does. The
/// library's text for that is only a link to its documentation.
fn is_plain_end(error: &io::Error) -> bool {
    causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>()).any(|cause| {
        cause.kind() == io::ErrorKind::UnexpectedEof && cause.to_string().contains("close_notify")
    })
}

/// A borrowed error of any type.
pub(crate) type AnyError<'e> = &'e (dyn std::error::Error + 'static);

/// Returns the error and its causes, outermost first, including those that `source()` of an I/O error skips.
pub(crate) fn causes<'e>(error: AnyError<'e>) -> impl Iterator<Item = AnyError<'e>> {
    std::iter::successors(Some(error), |cause: &AnyError<'e>| {
        let cause = *cause;
        let wrapped = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|inner| inner as AnyError<'_>).or_else(|| cause.source())
    })
}

/// Explains to the server what is wrong with the client.
pub(super) fn of_client(own: &Flags, auth: &str, error: &Error) -> Option<String> {
    let (ca, cert) = (known(&own.ca, own.ca_path.as_deref()), known(&own.cert, own.cert_path.as_deref()));
    Some(match error {
        Error::NoCertificatesPresented => format!(
            "it presented no certificate, and {auth} or {} requires one; give it one that an authority in {ca} \
             signed",
            own.ca
        ),
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            format!("no authority in {ca} signed its certificate; give it one of these, or add its authority")
        }
        Error::InvalidCertificate(bad) => of_certificate(bad, "clients (clientAuth)")?,
        Error::AlertReceived(Alert::UnknownCA) => {
            format!(
                "it does not trust the authority that signed {cert}; add that authority to those it trusts"
            )
        }
        Error::AlertReceived(Alert::CertificateExpired) => {
            format!("it says that {cert} has expired; renew it, or set its clock right")
        }
        Error::AlertReceived(alert) if of_certificates(*alert) => {
            format!("it refuses {cert}; see its own log for the reason")
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "it does not speak TLS".to_owned(),
        _ => return None,
    })
}

/// Explains to the client what is wrong with the server.
pub(crate) fn of_server(own: &Flags, host: &str, error: &Error) -> Option<String> {
    let Flags { ca, cert, key, ca_path, cert_path } = own;
    Some(match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "it does not speak TLS; its URL begins with http://".to_owned()
        }
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => match ca_path {
            Some(path) => format!("no authority in {} signed its certificate; check {ca}", path.display()),
            None => {
                format!("no trusted authority signed its certificate; name the one that did by {ca} FILE")
            }
        },
        Error::InvalidCertificate(Bad::NotValidForNameContext { presented, .. }) if !presented.is_empty() => {
            format!(
                "its certificate is for {}, not for {host}; use a URL with a name in it, or issue it for {host} too",
                presented.iter().map(|name| bare(name)).collect::<Vec<_>>().join(", ")
            )
        }
        Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            format!(
                "its certificate is not for {host}; use a URL with a name in it, or issue it for {host} too"
            )
        }
        Error::InvalidCertificate(bad) => of_certificate(bad, "servers (serverAuth)")?,
        Error::AlertReceived(alert) if of_certificates(*alert) => match (alert, cert_path) {
            (Alert::CertificateExpired, Some(path)) => {
                format!("it says that {} has expired; renew it, or set its clock right", path.display())
            }
            (Alert::UnknownCA, Some(path)) => format!(
                "it does not trust the authority that signed {}; give one that it trusts by {cert} and {key}",
                path.display()
            ),
            (_, Some(path)) => format!(
                "it refuses {}; give a certificate that it trusts by {cert} and {key}, or see its own log",
                path.display()
            ),
            (_, None) => {
                format!("it requires a client certificate that it trusts; give one by {cert} and {key}")
            }
        },
        _ => return None,
    })
}

/// The reason when the other side closed a connection.
const CLOSED: &str = "the connection was closed";

/// The explanation of a connection that ended during a handshake.
pub(crate) const ENDED: &str =
    "it ended the connection during the TLS handshake; if it does not speak TLS, its URL begins with http://";

/// Explains errors that are the same on both sides.
fn of_certificate(bad: &Bad, use_of: &str) -> Option<String> {
    let clock = "or the clock of one side is wrong";
    Some(match bad {
        Bad::Expired => format!("its certificate has expired; renew it, {clock}"),
        Bad::ExpiredContext { not_after, .. } => {
            format!("its certificate expired at {}; renew it, {clock}", date(*not_after))
        }
        Bad::NotValidYet => format!("its certificate is not valid yet; wait, {clock}"),
        Bad::NotValidYetContext { not_before, .. } => {
            format!("its certificate is valid from {} on; wait, {clock}", date(*not_before))
        }
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            format!("its certificate is not made for {use_of}; members need one for both sides")
        }
        // The library has no variant for it.
        Bad::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "its certificate is that of an authority (CA:TRUE); give it one that the authority signed"
                .to_owned()
        }
        bad => identity::version_1(bad)?.to_owned(),
    })
}

fn date(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| format!("{seconds} s after 1970"), |at| at.to_string())
}

/// Names a file by its flag and its path.
fn known(flag: &str, path: Option<&Path>) -> String {
    path.map_or_else(|| flag.to_owned(), |path| format!("{} ({flag})", path.display()))
}

/// Strips the library's wrapper from a name: `DnsName("localhost")` becomes `localhost`.
fn bare(name: &str) -> &str {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    inner.trim_matches('"')
}

/// Returns whether the other side's alert is about our certificate, or that we have none.
fn of_certificates(alert: Alert) -> bool {
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnknownCA
            | Alert::UnsupportedCertificate
            | Alert::CertificateUnknown
            | Alert::CertificateExpired
            | Alert::CertificateRevoked
            | Alert::AccessDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_error_is_found_inside_others() {
        let tls = Error::AlertReceived(Alert::CertificateRequired);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        let flags = Flags::named("--ca", "--cert", "--key");
        let says = explained(error, |cause| of_server(&flags, "h", cause)).to_string();
        assert_eq!(says, "it requires a client certificate that it trusts; give one by --cert and --key");
        let other = io::Error::other("disk");
        assert_eq!(explained(other, |_| Some("tls".to_owned())).to_string(), "disk");
    }

    #[test]
    fn a_tls_end_without_close_notify_is_a_closed_connection() {
        let url = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/x";
        let end = || io::Error::new(io::ErrorKind::UnexpectedEof, url);
        for error in [end(), io::Error::other(end())] {
            assert_eq!(explained(error, |_| None).to_string(), CLOSED);
        }
        let handshake = io::Error::new(io::ErrorKind::UnexpectedEof, ENDED);
        assert_eq!(explained(handshake, |_| None).to_string(), ENDED);
    }

    #[test]
    fn the_librarys_name_kinds_are_omitted() {
        assert_eq!(bare("DnsName(\"localhost\")"), "localhost");
        assert_eq!(bare("IpAddress(127.0.0.1)"), "127.0.0.1");
        assert_eq!(bare("x"), "x");
    }
}
