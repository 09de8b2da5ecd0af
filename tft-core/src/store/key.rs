//! The key that a store's files are encrypted with.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::hmac;
use zeroize::Zeroizing;

use crate::error::{Error, ErrorKind};

/// A 256-bit key that a store's files are encrypted with.
///
/// It must be random: whoever has a file can try keys on it. Clones share one copy, which is overwritten when the
/// last of them is dropped; the copies that ciphers expand it to are not. It never shows in `Debug` output.
#[derive(Clone)]
pub struct EncryptionKey(Arc<Zeroizing<[u8; EncryptionKey::BYTES]>>);

#[derive(Debug, thiserror::Error)]
enum KeyFileError {
    #[error("encryption key file `{path}`: {action} failed")]
    Io { path: PathBuf, action: &'static str, source: io::Error },
    #[error("encryption key file `{path}` is not a regular file")]
    NotAFile { path: PathBuf },
    #[cfg(unix)]
    #[error(
        "encryption key file `{path}` has mode {mode:03o}: others may not access it, nor its group write it, as with \
         mode 600 or 640"
    )]
    Mode { path: PathBuf, mode: u32 },
    #[error(
        "encryption key file `{path}` has {found}, expected are {} bytes or {} hexadecimal characters",
        EncryptionKey::BYTES,
        2 * EncryptionKey::BYTES
    )]
    Content { path: PathBuf, found: String },
}

impl EncryptionKey {
    /// How many bytes a key has.
    pub const BYTES: usize = 32;

    /// Takes a key as it is.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// Reads a key from a file that holds either its 32 bytes and nothing else, or 64 hexadecimal characters, which a
    /// line break may follow.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if the file holds anything else, is no regular file or, on Unix, if others can
    /// access it or its group can write it; [`Io`](ErrorKind::Io) if it cannot be read.
    pub fn from_file(path: &Path) -> Result<Self, Error> {
        Ok(Self::read(path)?)
    }

    fn read(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |action| move |source| KeyFileError::Io { path: path.to_owned(), action, source };
        // Before it is opened: opening a pipe would wait for who writes to it.
        if !fs::metadata(path).map_err(failed("opening it"))?.is_file() {
            return Err(KeyFileError::NotAFile { path: path.to_owned() });
        }
        let file = File::open(path).map_err(failed("opening it"))?;
        check_mode(path, &file.metadata().map_err(failed("opening it"))?)?;
        let mut content = Zeroizing::new(Vec::with_capacity(FILE_BYTES_MAX + 1));
        file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut content).map_err(failed("reading it"))?;
        Self::parse(&content).map_err(|found| KeyFileError::Content { path: path.to_owned(), found })
    }

    /// Reads what a key file holds; the error says what that is.
    fn parse(content: &[u8]) -> Result<Self, String> {
        let line = content.strip_suffix(b"\n").unwrap_or(content);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let is_hexadecimal = line.iter().all(u8::is_ascii_hexdigit);
        if is_hexadecimal && line.len() == 2 * Self::BYTES {
            let mut key = Zeroizing::new([0; Self::BYTES]);
            for (byte, digits) in key.iter_mut().zip(line.chunks(2)) {
                *byte = digits.iter().fold(0, |byte, &digit| byte << 4 | hexadecimal(digit));
            }
            return Ok(Self(Arc::new(key)));
        }
        match content.try_into() {
            // Half a key in hexadecimal, taken for a whole one, would have half of its strength.
            Ok(_) if is_hexadecimal => Err(format!("{} hexadecimal characters", line.len())),
            Ok(bytes) => Ok(Self::new(bytes)),
            Err(_) if content.len() > FILE_BYTES_MAX => Err(format!("more than {FILE_BYTES_MAX} bytes")),
            Err(_) => Err(format!("{} bytes", content.len())),
        }
    }

    /// Returns the key's bytes.
    pub(super) fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Returns what stands in files, so that another key is told from damage. It tells nothing of a random key.
    pub(super) fn check_value(&self) -> CheckValue {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, self.bytes()), CHECK_VALUE_OF);
        let mut value = CheckValue::default();
        value.iter_mut().zip(tag.as_ref()).for_each(|(byte, &tag)| *byte = tag);
        value
    }
}

impl PartialEq for EncryptionKey {
    /// In a time that does not depend on the content.
    fn eq(&self, other: &Self) -> bool {
        let differing =
            self.bytes().iter().zip(other.bytes()).fold(0, |sum, (one, other)| sum | (one ^ other));
        differing == 0
    }
}

impl Eq for EncryptionKey {}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncryptionKey(..)")
    }
}

impl From<KeyFileError> for Error {
    fn from(error: KeyFileError) -> Self {
        let kind =
            if matches!(error, KeyFileError::Io { .. }) { ErrorKind::Io } else { ErrorKind::InvalidConfig };
        Self::new(kind, error)
    }
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyFileError> {
    use std::os::unix::fs::PermissionsExt;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o027 != 0 {
        return Err(KeyFileError::Mode { path: path.to_owned(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "as on Unix")]
fn check_mode(_: &Path, _: &fs::Metadata) -> Result<(), KeyFileError> {
    Ok(())
}

fn hexadecimal(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

/// The first bytes of a keyed hash over a constant.
pub(super) type CheckValue = [u8; 16];

/// More than any key file has; what a wrong file holds beyond is not read.
const FILE_BYTES_MAX: usize = 1_024;
const CHECK_VALUE_OF: &[u8] = b"tft-core key check value 1";

#[cfg(test)]
mod tests {
    use super::*;

    fn found(content: &[u8]) -> String {
        EncryptionKey::parse(content).unwrap_err()
    }

    #[test]
    fn a_key_is_32_bytes_or_64_hexadecimal_characters() {
        let bytes: [u8; 32] = std::array::from_fn(|index| 0xf8_u8.wrapping_add(index as u8));
        let key = EncryptionKey::new(bytes);
        let text = "f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f1011121314151617".to_owned();
        assert_eq!(EncryptionKey::parse(&bytes), Ok(key.clone()));
        for line in [text.clone(), text.to_uppercase(), format!("{text}\n"), format!("{text}\r\n")] {
            assert_eq!(EncryptionKey::parse(line.as_bytes()), Ok(key.clone()));
        }
        assert_ne!(EncryptionKey::new([0; 32]), key);
        assert_eq!(found(b""), "0 bytes");
        assert_eq!(found(&bytes[..31]), "31 bytes");
        assert_eq!(found(&[&bytes[..], b"\n"].concat()), "33 bytes");
        assert_eq!(found(&text.as_bytes()[..32]), "32 hexadecimal characters");
        assert_eq!(found(&text.as_bytes()[..63]), "63 bytes");
        assert_eq!(found(format!("{text}\n\n").as_bytes()), "66 bytes");
        assert_eq!(found(&[1; 2_000]), "more than 1024 bytes");
    }

    #[test]
    fn a_key_does_not_show() {
        assert_eq!(format!("{:?}", EncryptionKey::new([7; 32])), "EncryptionKey(..)");
        let values = [[7; 32], [8; 32]].map(|bytes| EncryptionKey::new(bytes).check_value());
        assert!(values[0] != values[1] && values[0] == EncryptionKey::new([7; 32]).check_value());
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_can_reach_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        fs::write(&path, [7; 32]).unwrap();
        let read_with = |mode| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            EncryptionKey::from_file(&path)
        };
        for mode in [0o600, 0o640, 0o400] {
            assert_eq!(read_with(mode).unwrap(), EncryptionKey::new([7; 32]));
        }
        for mode in [0o644, 0o660, 0o601, 0o602] {
            let error = read_with(mode).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidConfig);
            assert!(error.to_string().contains(&format!("has mode {mode:o}:")), "{error}");
        }
        assert_eq!(EncryptionKey::from_file(directory.path()).unwrap_err().kind(), ErrorKind::InvalidConfig);
        assert!(EncryptionKey::from_file(&directory.path().join("none")).unwrap_err().is_io());
    }
}
