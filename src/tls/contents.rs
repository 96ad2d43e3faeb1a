//! The contents of a port's files at one moment.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::sign::SingleCertAndKey;
use sha2::{Digest as _, Sha256};

use super::identity::{self, PairError};
use super::{TlsError, TlsFiles, pem};

/// The bytes of all files, read before any is parsed.
pub(super) struct FileContents {
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
    trusted_ca: Option<Vec<u8>>,
}

impl FileContents {
    /// Reads the files.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let read = |name| match path(files, name) {
            Some(path) => pem::contents(path).map_err(|why| bad(files, name, &why)).map(Some),
            None => Ok(None),
        };
        Ok(Self { cert: read(CERT)?, key: read(KEY)?, trusted_ca: read(CA)? })
    }

    /// Returns a hash of the contents. Times and sizes are not enough: two writes may happen within one tick of a
    /// file system's clock.
    pub(super) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        for part in [&self.cert, &self.key, &self.trusted_ca] {
            let length = part.as_ref().map_or(u64::MAX, |bytes| bytes.len() as u64);
            hash.update(length.to_le_bytes());
            hash.update(part.as_deref().unwrap_or_default());
        }
        hash.finalize().into()
    }

    /// Returns the certificate chain with its key; `None` when neither is configured.
    pub(super) fn identity(&self, files: &TlsFiles) -> Result<Option<Arc<SingleCertAndKey>>, TlsError> {
        let (cert, key) = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) => return Ok(None),
            (Some(_), None) => return Err(lone_file_error(files, CERT, KEY)),
            (None, Some(_)) => return Err(lone_file_error(files, KEY, CERT)),
        };
        let paired = identity::pair(cert, key).map_err(|unusable| match unusable {
            PairError::Cert(why) => bad(files, CERT, &why),
            PairError::Key(why) => bad(files, KEY, &why),
            PairError::Mismatch => {
                let key = files.key.as_deref().unwrap_or(Path::new("")).display();
                bad(files, CERT, &format!("does not go with the key {key}"))
            }
        })?;
        match paired.warning {
            // A member's certificate must also satisfy other members.
            Some(warning) if files.peer => Err(bad(files, CERT, warning)),
            Some(warning) => {
                tracing::warn!("{}: {warning}", files.cert.as_deref().unwrap_or(Path::new("")).display());
                Ok(Some(paired.certified_key))
            }
            None => Ok(Some(paired.certified_key)),
        }
    }

    /// Returns the authorities; `None` when no file of them is configured.
    pub(super) fn roots(&self, files: &TlsFiles) -> Result<Option<RootCertStore>, TlsError> {
        let roots = self.trusted_ca.as_deref().map(pem::authorities).transpose();
        roots.map_err(|why| bad(files, CA, &why))
    }
}

pub(super) const CERT: &str = "cert-file";
pub(super) const KEY: &str = "key-file";
pub(super) const CA: &str = "trusted-ca-file";

/// Returns the error of one file, with the flag that names it.
pub(super) fn bad(files: &TlsFiles, name: &str, why: &str) -> TlsError {
    let path = path(files, name).map_or(Path::new(""), PathBuf::as_path);
    TlsError(format!("{}: {why}; check {}", path.display(), files.flag(name)))
}

fn path<'f>(files: &'f TlsFiles, name: &str) -> Option<&'f PathBuf> {
    match name {
        CERT => files.cert.as_ref(),
        KEY => files.key.as_ref(),
        _ => files.trusted_ca.as_ref(),
    }
}

fn lone_file_error(files: &TlsFiles, given: &str, missing: &str) -> TlsError {
    TlsError(format!("{} has no effect alone; add {} FILE", files.flag(given), files.flag(missing)))
}
