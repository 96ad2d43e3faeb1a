//! Self-signed certificates of a member (`--auto-tls`, `--peer-auto-tls`). They encrypt; only clients that were
//! given the certificate can verify the server.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DistinguishedName, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rcgen::{ExtendedKeyUsagePurpose, date_time_ymd};

use super::{TlsError, TlsFiles};

/// The validity in years. Nothing renews the certificate, so it must not expire in an unattended member.
const VALIDITY_YEARS: i16 = 10;

/// Generates the certificate and its key, unless both exist from an earlier start.
pub(super) fn ensure(files: &TlsFiles) -> Result<(), TlsError> {
    let (Some(hosts), Some(cert), Some(key)) = (&files.self_signed, &files.cert, &files.key) else {
        return Ok(());
    };
    match (cert.exists(), key.exists()) {
        (true, true) => return Ok(()),
        (false, false) => {}
        // A crash while they were made, or one was removed. One alone is useless.
        (has_cert, _) => {
            let (left, missing) = if has_cert { (cert, key) } else { (key, cert) };
            tracing::warn!(
                "{} is missing: a new certificate is made in place of {}, and clients that were given the old one need the \
                 new one",
                missing.display(),
                left.display()
            );
        }
    }
    let (cert_pem, key_pem) = pem(hosts).map_err(|error| {
        TlsError(format!("a certificate for {} cannot be made: {error}", hosts.join(", ")))
    })?;
    // The key first, with no certificate of another key beside it: after a crash there is never a certificate
    // without its key, and both are made again.
    match fs::remove_file(cert) {
        Err(error) if error.kind() != io::ErrorKind::NotFound && cert.exists() => {
            return Err(TlsError(format!(
                "{}: cannot be removed, and its key is missing: {error}",
                cert.display()
            )));
        }
        _ => {}
    }
    for (path, text, mode) in [(key, key_pem, 0o600), (cert, cert_pem, 0o644)] {
        write(path, &text, mode).map_err(|error| {
            let says = "cannot be written, and this member keeps its self-signed certificate there";
            TlsError(format!("{}: {says}: {error}", path.display()))
        })?;
    }
    tracing::info!("made a certificate for {}: {}", hosts.join(", "), cert.display());
    Ok(())
}

/// Generates a certificate that is its own authority, and its key.
fn pem(hosts: &[String]) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(hosts)?;
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "retune");
    params.distinguished_name = name;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    // Members also use it as clients.
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    // Clocks differ, so it is valid since yesterday.
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let date = |date: jiff::civil::Date| {
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        date_time_ymd(date.year().into(), part(date.month()), part(date.day()))
    };
    params.not_before = date(today.yesterday().unwrap_or(today));
    params.not_after = date(today.saturating_add(jiff::Span::new().years(VALIDITY_YEARS)));
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

/// Writes a file in the member's own folder, completely or not at all.
fn write(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // The folder above the data folder gets the usual mode, as when the member creates its data folder itself.
    if let Some(above) = folder.ancestors().nth(3) {
        fs::create_dir_all(above)?;
    }
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let temporary = PathBuf::from(format!("{}.new", path.display()));
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::{Acceptor, Connector};
    use super::*;

    fn files(data: &Path) -> TlsFiles {
        let at = |name: &str| Some(data.join("fixtures/peer").join(name));
        let hosts = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        TlsFiles {
            cert: at("cert.pem"),
            key: at("key.pem"),
            self_signed: Some(hosts),
            unverified: true,
            ..TlsFiles::default()
        }
    }

    #[tokio::test]
    async fn a_generated_certificate_is_trusted_by_other_members_and_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (files(&dir.path().join("new/one")), files(&dir.path().join("two")));
        let (acceptor, connector) = (Acceptor::open(&one).unwrap(), Connector::open(&two).unwrap());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (near, far) = tokio::join!(
            async { connector.connect("anybody", tokio::net::TcpStream::connect(address).await?).await },
            async { acceptor.accept(listener.accept().await?.0).await },
        );
        near.unwrap();
        far.unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(one.key.as_ref().unwrap()), 0o600);
        assert_eq!(mode(&dir.path().join("new/one")), 0o700);
        assert_ne!(mode(&dir.path().join("new")), 0o700, "it is not the member's own");
        let made = fs::read(one.cert.as_ref().unwrap()).unwrap();
        Acceptor::open(&one).unwrap();
        assert_eq!(fs::read(one.cert.as_ref().unwrap()).unwrap(), made);
        // Half a pair is useless.
        fs::remove_file(one.cert.as_ref().unwrap()).unwrap();
        Acceptor::open(&one).unwrap();
        assert_ne!(fs::read(one.cert.as_ref().unwrap()).unwrap(), made);
    }

    #[test]
    fn an_old_certificate_is_never_left_beside_a_new_key() {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let (cert, key) = (files.cert.clone().unwrap(), files.key.clone().unwrap());
        Acceptor::open(&files).unwrap();
        let made = fs::read(&cert).unwrap();
        fs::remove_file(&key).unwrap();
        // The state after a crash between the two files.
        let in_the_way = PathBuf::from(format!("{}.new", cert.display()));
        fs::create_dir(&in_the_way).unwrap();
        let error = Acceptor::open(&files).unwrap_err().to_string();
        assert!(error.contains("cert.pem: cannot be written") && key.exists(), "{error}");
        fs::remove_dir(&in_the_way).unwrap();
        Acceptor::open(&files).unwrap();
        assert_ne!(fs::read(&cert).unwrap(), made);
    }

    #[test]
    fn a_folder_that_cannot_be_created_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Acceptor::open(&files(&file)).unwrap_err().to_string();
        assert!(error.contains("file/fixtures/peer/key.pem: cannot be written"), "{error}");
    }
}
