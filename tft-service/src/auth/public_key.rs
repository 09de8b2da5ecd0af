//! Public keys for tokens: PEM files as OpenSSL writes them.

use jsonwebtoken::{Algorithm, DecodingKey};
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::pem::PemObject;

/// A public key and the one algorithm that it is used with.
#[derive(Clone)]
pub(crate) struct PublicKey {
    pub(crate) algorithm: Algorithm,
    pub(crate) key: DecodingKey,
}

impl PublicKey {
    /// Reads a `PUBLIC KEY` of a PEM file; the reason in words if it cannot be used.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, &'static str> {
        let info = SubjectPublicKeyInfoDer::from_pem_slice(pem.as_bytes());
        let info = info.map_err(|_| "holds no `BEGIN PUBLIC KEY` in PEM format")?;
        Self::from_info(info.as_ref())
    }

    /// Takes the key apart. Of each kind there is one form, so that comparing its first bytes is parsing it.
    fn from_info(info: &[u8]) -> Result<Self, &'static str> {
        if let Some(point) = info.strip_prefix(P256_HEAD).filter(|point| point.len() == P256_POINT_BYTES) {
            return Ok(Self { algorithm: Algorithm::ES256, key: DecodingKey::from_ec_der(point) });
        }
        if let Some(point) =
            info.strip_prefix(ED25519_HEAD).filter(|point| point.len() == ED25519_POINT_BYTES)
        {
            return Ok(Self { algorithm: Algorithm::EdDSA, key: DecodingKey::from_ed_der(point) });
        }
        match rsa_key(info) {
            Some(key) if key.len() >= RSA_KEY_BYTES_MIN => {
                Ok(Self { algorithm: Algorithm::RS256, key: DecodingKey::from_rsa_der(key) })
            }
            _ => Err("is none of RSA with 2048 bits or more, P-256 and Ed25519"),
        }
    }
}

/// Returns the PKCS #1 key within the description of an RSA key.
fn rsa_key(info: &[u8]) -> Option<&[u8]> {
    let info = sequence_of_long_length(info, &[0x30])?;
    let bits = info.strip_prefix(RSA_ALGORITHM)?;
    sequence_of_long_length(bits, &[0x03])?.strip_prefix(&[0])
}

/// Returns the content of a DER value whose length takes two bytes, if it ends where the input does.
fn sequence_of_long_length<'a>(der: &'a [u8], tag: &[u8]) -> Option<&'a [u8]> {
    let (length, content) = der.strip_prefix(tag)?.strip_prefix(&[0x82])?.split_first_chunk::<2>()?;
    (usize::from(u16::from_be_bytes(*length)) == content.len()).then_some(content)
}

/// From the start of a description of a P-256 key to its point.
const P256_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const P256_POINT_BYTES: usize = 65;

const ED25519_HEAD: &[u8] = &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const ED25519_POINT_BYTES: usize = 32;

/// `rsaEncryption` with its parameters, which are null.
const RSA_ALGORITHM: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];

/// A modulus of 2048 bits and the smallest exponent, as PKCS #1 writes them.
const RSA_KEY_BYTES_MIN: usize = 4 + (4 + 257) + 3;

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn what_is_no_public_key_is_refused_with_a_reason() {
        assert_eq!(PublicKey::from_pem(ED25519).unwrap().algorithm, Algorithm::EdDSA);
        let reason = |pem: &str| PublicKey::from_pem(pem).err().unwrap();
        assert_eq!(reason(""), "holds no `BEGIN PUBLIC KEY` in PEM format");
        assert_eq!(
            reason(&ED25519.replace("PUBLIC", "PRIVATE")),
            "holds no `BEGIN PUBLIC KEY` in PEM format"
        );
        for (index, byte) in [(0, 0x31), (1, 0x2b), (8, 0x71)] {
            let mut info = SubjectPublicKeyInfoDer::from_pem_slice(ED25519.as_bytes()).unwrap().to_vec();
            info[index] = byte;
            assert!(PublicKey::from_info(&info).is_err(), "{index}");
        }
        assert!(PublicKey::from_info(&[]).is_err());
    }

    #[test]
    fn short_and_truncated_rsa_keys_are_refused() {
        let info = |key: &[u8]| {
            let length = |bytes: usize| (bytes as u16).to_be_bytes();
            let bits = [&[0x03, 0x82], &length(key.len() + 1)[..], &[0], key].concat();
            let content = [RSA_ALGORITHM, &bits].concat();
            [&[0x30, 0x82], &length(content.len())[..], &content].concat()
        };
        let key = vec![1; RSA_KEY_BYTES_MIN];
        assert_eq!(PublicKey::from_info(&info(&key)).unwrap().algorithm, Algorithm::RS256);
        assert!(PublicKey::from_info(&info(&key[1..])).is_err());
        assert!(PublicKey::from_info(&info(&key)[..200]).is_err());
        assert!(PublicKey::from_info(&[&info(&key)[..], &[0]].concat()).is_err());
    }
}
