//! What a person can do about a failed handshake.

use std::io;

use rustls::{AlertDescription as Alert, CertificateError as Bad, Error, InvalidMessage};

use super::Files;
use super::contents::{CA, CERT, KEY};

/// The error with its advice, when it is one of TLS and there is something to advise.
pub(super) fn explained(error: io::Error, advice: impl FnOnce(&Error) -> Option<String>) -> io::Error {
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) else { return error };
    match advice(cause) {
        Some(advice) => io::Error::new(error.kind(), format!("{cause}: {advice}")),
        None => error,
    }
}

/// For the side that accepted: what is wrong with the client.
pub(super) fn of_client(files: &Files, error: &Error) -> Option<String> {
    let (auth, ca, cert) = (files.flag("client-cert-auth"), files.flag(CA), files.flag(CERT));
    Some(match error {
        Error::NoCertificatesPresented => {
            format!(
                "{auth} or {ca} lets nobody in without; give the client one that an authority in {ca} signed"
            )
        }
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => {
            format!("no authority in {ca} signed the client's certificate")
        }
        Error::InvalidCertificate(bad) => of_certificate(bad, "the client's", "clients (clientAuth)")?,
        Error::AlertReceived(Alert::UnknownCA) => {
            format!("the client does not trust the authority that signed {cert}; name it to the client")
        }
        Error::AlertReceived(alert) if of_certificates(*alert) => {
            format!("the client refuses the certificate of {cert}: see its own log for the reason")
        }
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => "it does not speak TLS".to_owned(),
        _ => return None,
    })
}

/// For the side that called: what is wrong with the server.
pub(super) fn of_server(files: &Files, host: &str, error: &Error) -> Option<String> {
    let (ca, cert, key) = (files.flag(CA), files.flag(CERT), files.flag(KEY));
    Some(match error {
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            format!("{host} does not speak TLS; its URL begins with http://")
        }
        Error::InvalidCertificate(Bad::UnknownIssuer | Bad::BadSignature) => match &files.trusted_ca {
            Some(path) => format!("no authority in {} signed its certificate; check {ca}", path.display()),
            None => {
                format!("no authority that this system trusts signed its certificate; name one by {ca} FILE")
            }
        },
        Error::InvalidCertificate(Bad::NotValidForName | Bad::NotValidForNameContext { .. }) => {
            format!(
                "its certificate is for other names; let it name {host}, or use a URL with a name it holds"
            )
        }
        Error::InvalidCertificate(bad) => of_certificate(bad, "its", "servers (serverAuth)")?,
        Error::AlertReceived(alert) if of_certificates(*alert) => {
            format!("{host} wants a certificate that it trusts; give one by {cert} and {key}")
        }
        _ => return None,
    })
}

/// What is the same on both sides; `whose` and `use_of` name the other one.
fn of_certificate(bad: &Bad, whose: &str, use_of: &str) -> Option<String> {
    Some(match bad {
        Bad::Expired | Bad::ExpiredContext { .. } => {
            format!("renew {whose} certificate; or the clock of one side is wrong")
        }
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            format!("{whose} certificate begins later; or the clock of one side is wrong")
        }
        Bad::InvalidPurpose | Bad::InvalidPurposeContext { .. } => {
            format!("{whose} certificate is not made for {use_of}; members need one for both sides")
        }
        _ => return None,
    })
}

/// Whether the other side's word is about a certificate of ours, or that there is none.
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
