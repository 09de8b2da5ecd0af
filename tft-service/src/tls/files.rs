//! The certificate and key files: who may read them, what they must hold, and how they are replaced.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use sha2::{Digest, Sha256};

use super::certificate::Certificate;
use super::config::TlsFiles;
use super::error::{Role, TlsError};

/// The content of both files as they were read at one time.
#[derive(Debug)]
pub(crate) struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// A certificate with its issuers, and the key that it was made for.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) certified: Arc<CertifiedKey>,
    /// What the certificates say, the service's own first.
    pub(crate) chain: Vec<Certificate>,
}

impl Contents {
    /// Reads both files, the key only if others cannot.
    ///
    /// # Errors
    /// [`TlsError`] if one cannot be read, is no file, is too large, or others may read or change the key.
    pub(crate) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let key = read(Role::Key, &files.key)?;
        Ok(Self { certificate: read(Role::Certificate, &files.certificate)?, key })
    }

    /// Takes a pair that is in no file yet.
    #[cfg(feature = "acme")]
    pub(crate) fn of(certificate: &str, key: &str) -> Self {
        Self { certificate: certificate.into(), key: key.into() }
    }

    /// Returns a digest that tells whether either has changed.
    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update((self.certificate.len() as u64).to_le_bytes());
        hash.update(&self.certificate);
        hash.update(&self.key);
        hash.finalize().into()
    }

    /// Checks that the contents belong together.
    ///
    /// # Errors
    /// [`TlsError`] naming the file and what is wrong with it.
    pub(crate) fn into_pair(self, files: &TlsFiles) -> Result<Pair, TlsError> {
        let refused = |role, path: &Path, reason| TlsError::Content { role, path: path.to_owned(), reason };
        let (ders, chain) = parse_chain(&self.certificate)
            .map_err(|reason| refused(Role::Certificate, &files.certificate, reason))?;
        let key = parse_key(&self.key).map_err(|reason| refused(Role::Key, &files.key, reason))?;
        let certified = CertifiedKey::new(ders, key);
        match certified.keys_match() {
            Ok(()) => Ok(Pair { certified: Arc::new(certified), chain }),
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsError::OtherKey { certificate: files.certificate.clone(), key: files.key.clone() })
            }
            Err(error) => {
                Err(refused(Role::Certificate, &files.certificate, format!("cannot be served: {error}")))
            }
        }
    }
}

/// The cryptography of all handshakes.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Reads a file of certificates, the first of which counts.
///
/// # Errors
/// [`TlsError`] naming the file and what is wrong with it.
pub(crate) fn read_certificates(
    path: &Path,
) -> Result<Vec<(CertificateDer<'static>, Certificate)>, TlsError> {
    let bytes = read(Role::Certificate, path)?;
    let (ders, chain) = parse_chain(&bytes).map_err(|reason| TlsError::Content {
        role: Role::Certificate,
        path: path.to_owned(),
        reason,
    })?;
    Ok(ders.into_iter().zip(chain).collect())
}

/// Puts a pair in place of the one before. A crash in between leaves one that does not match.
///
/// # Errors
/// [`TlsError`] naming the file that cannot be written.
pub(crate) fn write_pair(files: &TlsFiles, certificate: &str, key: &str) -> Result<(), TlsError> {
    let failed = |role, path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::File { role, path, attempt: "written", source }
    };
    if let Some(directory) = files.key.parent() {
        std::fs::create_dir_all(directory).map_err(failed(Role::Key, &files.key))?;
    }
    replace(&files.key, key.as_bytes(), 0o600).map_err(failed(Role::Key, &files.key))?;
    let written = replace(&files.certificate, certificate.as_bytes(), 0o644);
    written.map_err(failed(Role::Certificate, &files.certificate))
}

/// Puts a file in place as a whole, and open to nobody else for a moment.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = path.with_extension(format!("tmp-{}", std::process::id()));
    let _ = std::fs::remove_file(&temporary);
    let mut file = create(&temporary, mode)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let placed = written.and_then(|()| std::fs::rename(&temporary, path));
    placed.inspect_err(|_| {
        let _ = std::fs::remove_file(&temporary);
    })
}

#[cfg(unix)]
fn create(path: &Path, mode: u32) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;

    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)
}

#[cfg(not(unix))]
fn create(path: &Path, _: u32) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

fn parse_chain(pem: &[u8]) -> Result<(Vec<CertificateDer<'static>>, Vec<Certificate>), String> {
    let mut ders = Vec::new();
    let mut chain = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|error| not_pem(&error))?;
        let number = chain.len() + 1;
        let read = Certificate::read(&der);
        chain.push(read.map_err(|reason| format!("cannot be read at certificate {number}: {reason}"))?);
        ders.push(der);
    }
    if chain.is_empty() {
        return Err("holds no `BEGIN CERTIFICATE`; a PEM file is needed".into());
    }
    Ok((ders, chain))
}

fn parse_key(pem: &[u8]) -> Result<Arc<dyn rustls::sign::SigningKey>, String> {
    if pem.windows(ENCRYPTED.len()).any(|window| window == ENCRYPTED) {
        return Err("is encrypted with a passphrase; a key without one is needed".into());
    }
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|error| match error {
        PemError::NoItemsFound => {
            "holds no `BEGIN PRIVATE KEY`; PKCS#8, PKCS#1 or SEC1 in PEM is needed".into()
        }
        error => not_pem(&error),
    })?;
    let supported = "RSA of 2048 bits or more, ECDSA on P-256 or P-384, or Ed25519";
    ring::sign::any_supported_type(&key)
        .map_err(|error| format!("holds a key that cannot be used, {supported} is needed: {error}"))
}

fn not_pem(error: &PemError) -> String {
    match error {
        PemError::MissingSectionEnd { .. } => "ends before an `END` line; was it copied in whole?".into(),
        error => format!("is not PEM: {error}"),
    }
}

fn read(role: Role, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::File { role, path: path.to_owned(), attempt: "read", source };
    let refused = |reason: String| TlsError::Content { role, path: path.to_owned(), reason };
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(path).map_err(failed)?.is_file() {
        return Err(refused("is not a regular file".into()));
    }
    let file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if role == Role::Key {
        check_permissions(&metadata).map_err(refused)?;
    }
    let bytes = read_bounded(file).map_err(failed)?;
    bytes.ok_or_else(|| refused(format!("is larger than {FILE_BYTES_MAX} bytes")))
}

fn read_bounded(file: File) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= FILE_BYTES_MAX).then_some(bytes))
}

#[cfg(unix)]
fn check_permissions(metadata: &Metadata) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;

    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o007 != 0 {
        return Err(format!("is open to all users (mode {mode:04o}); `chmod 600`, or 640 for a group"));
    }
    if mode & 0o020 != 0 {
        return Err(format!("can be changed by its group (mode {mode:04o}); `chmod 600`, or 640"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_permissions(_: &Metadata) -> Result<(), String> {
    Ok(())
}

/// In the first line of an encrypted PKCS#8 key, and in a header of older formats.
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// Most bytes of a certificate or key file; a long chain takes 20 KiB.
const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
pub(super) mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    /// Writes a pair for `localhost` and returns its files.
    pub(in crate::tls) fn write_pair(directory: &Path) -> TlsFiles {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        write(directory, &made.cert.pem(), &made.signing_key.serialize_pem())
    }

    pub(in crate::tls) fn write(directory: &Path, certificate: &str, key: &str) -> TlsFiles {
        let files = TlsFiles::new(directory.join("tls.crt"), directory.join("tls.key"));
        std::fs::write(&files.certificate, certificate).unwrap();
        std::fs::write(&files.key, key).unwrap();
        chmod(&files.key, 0o600);
        files
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn load(files: &TlsFiles) -> Result<Pair, TlsError> {
        Contents::read(files)?.into_pair(files)
    }

    fn message(directory: &TempDir, error: &TlsError) -> String {
        crate::error::in_one_line(error).replace(directory.path().to_str().unwrap(), "…")
    }

    #[test]
    fn a_pair_of_files_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let pair = load(&write_pair(directory.path())).unwrap();
        assert_eq!(pair.chain[0].names, ["localhost"]);
    }

    #[test]
    fn keys_may_be_pkcs8_pkcs1_or_sec1() {
        let directory = tempfile::tempdir().unwrap();
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tls");
        let text = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
        for (certificate, key) in
            [("rsa.crt", "rsa.pkcs8.key"), ("rsa.crt", "rsa.pkcs1.key"), ("ec.crt", "ec.sec1.key")]
        {
            let pair = load(&write(directory.path(), &text(certificate), &text(key)));
            assert!(pair.is_ok(), "{key}: {}", message(&directory, &pair.unwrap_err()));
        }
        let error = load(&write(directory.path(), &text("ec.crt"), &text("rsa.pkcs1.key"))).unwrap_err();
        assert!(matches!(error, TlsError::OtherKey { .. }), "{error}");
    }

    #[test]
    fn a_key_that_others_can_read_or_change_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let files = write_pair(directory.path());
        for allowed in [0o400, 0o600, 0o640, 0o440, 0o700] {
            chmod(&files.key, allowed);
            assert!(load(&files).is_ok(), "{allowed:o}");
        }
        for refused in [0o604, 0o644, 0o606, 0o601, 0o660, 0o620] {
            chmod(&files.key, refused);
            assert!(load(&files).is_err(), "{refused:o}");
        }
        chmod(&files.key, 0o644);
        insta::assert_snapshot!(message(&directory, &load(&files).unwrap_err()), @"the key file `…/tls.key` is open to all users (mode 0644); `chmod 600`, or 640 for a group");
        chmod(&files.key, 0o660);
        insta::assert_snapshot!(message(&directory, &load(&files).unwrap_err()), @"the key file `…/tls.key` can be changed by its group (mode 0660); `chmod 600`, or 640");
    }

    #[test]
    fn what_cannot_be_served_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let one = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let (certificate, key) = (one.cert.pem(), one.signing_key.serialize_pem());
        let message = |certificate: &str, key: &str| {
            message(&directory, &load(&write(path, certificate, key)).unwrap_err())
        };
        insta::assert_snapshot!(message(&certificate, &other), @"the certificate `…/tls.crt` was not made for the key in `…/tls.key`");
        insta::assert_snapshot!(message("", &key), @"the certificate file `…/tls.crt` holds no `BEGIN CERTIFICATE`; a PEM file is needed");
        insta::assert_snapshot!(message(&key, &key), @"the certificate file `…/tls.crt` holds no `BEGIN CERTIFICATE`; a PEM file is needed");
        insta::assert_snapshot!(message(&certificate, &certificate), @"the key file `…/tls.key` holds no `BEGIN PRIVATE KEY`; PKCS#8, PKCS#1 or SEC1 in PEM is needed");
        insta::assert_snapshot!(message(&certificate, "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), @"the key file `…/tls.key` is encrypted with a passphrase; a key without one is needed");
        insta::assert_snapshot!(message(&certificate[..certificate.len() / 2], &key), @"the certificate file `…/tls.crt` ends before an `END` line; was it copied in whole?");
        insta::assert_snapshot!(message(&certificate, &key[..key.len() / 2]), @"the key file `…/tls.key` ends before an `END` line; was it copied in whole?");
        insta::assert_snapshot!(message("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key), @"the certificate file `…/tls.crt` cannot be read at certificate 1: unknown/unsupported ASN.1 DER tag: 0x00 at DER byte 1");
        insta::assert_snapshot!(message(&certificate, &"x".repeat(2 << 20)), @"the key file `…/tls.key` is larger than 1048576 bytes");
    }

    #[test]
    fn a_file_that_is_none_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let files = write_pair(directory.path());
        let missing = TlsFiles::new(directory.path().join("none.crt"), &files.key);
        insta::assert_snapshot!(message(&directory, &load(&missing).unwrap_err()), @"the certificate file `…/none.crt` cannot be read: No such file or directory (os error 2)");
        let folder = TlsFiles::new(&files.certificate, directory.path());
        insta::assert_snapshot!(message(&directory, &load(&folder).unwrap_err()), @"the key file `…` is not a regular file");
    }
}
