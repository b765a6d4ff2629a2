//! The key with which the one party of an offline head signs its snapshots.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::durable_file;

/// What `cborHex` of a key begins with: CBOR's head of a string of 32 bytes.
const CBOR_OF_32_BYTES: &str = "5820";

/// The type that hydra-node gives its signing keys.
const KIND: &str = "HydraSigningKey_ed25519";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Its file cannot be read, or not be made.
    #[error("cannot use the signing key {path}", path = .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Its file holds something else.
    #[error("{path} is no signing key of hydra-node: {problem}", path = .path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The system has no random numbers.
    #[error("the system gives no random numbers to make a key of")]
    Random,
}

/// hydra-node's file of a key.
#[derive(Serialize, Deserialize)]
struct Envelope {
    #[serde(rename = "cborHex")]
    cbor_hex: String,
    description: String,
    #[serde(rename = "type")]
    kind: String,
}

/// An ed25519 key pair.
pub struct HydraKey(Ed25519KeyPair);

impl fmt::Debug for HydraKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HydraKey").field(&self.vkey()).finish()
    }
}

impl HydraKey {
    /// Reads a signing key in hydra-node's text envelope, as `hydra-node gen-hydra-key` writes it.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let text = fs::read_to_string(path).map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
        let form = |problem: String| KeyError::Form { path: path.to_owned(), problem };
        let envelope: Envelope = serde_json::from_str(&text).map_err(|error| form(error.to_string()))?;
        if envelope.kind != KIND {
            return Err(form(format!("its type is {:?}, not {KIND:?}", envelope.kind)));
        }
        let seed = envelope.cbor_hex.strip_prefix(CBOR_OF_32_BYTES).and_then(|digits| hex::decode(digits).ok());
        let seed = seed.ok_or_else(|| form("its cborHex does not hold 32 bytes".to_owned()))?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed);
        pair.map(Self).map_err(|_| form("its cborHex does not hold 32 bytes".to_owned()))
    }

    /// As [`read`](Self::read); makes a key of the system's random numbers if there is no file, which only its owner may read.
    ///
    /// # Errors
    ///
    /// [`KeyError`].
    pub fn read_or_make(path: &Path) -> Result<Self, KeyError> {
        if !path.exists() {
            let mut seed = [0; 32];
            SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::Random)?;
            let cbor_hex = format!("{CBOR_OF_32_BYTES}{}", hex::encode(seed));
            let envelope = Envelope { cbor_hex, description: String::new(), kind: KIND.to_owned() };
            let io = |source| KeyError::Io { path: path.to_owned(), source };
            let text = serde_json::to_string(&envelope).map_err(|error| io(error.into()))?;
            durable_file::write_private(path, text.as_bytes()).map_err(io)?;
        }
        Self::read(path)
    }

    /// The verification key in hexadecimal digits, as it names a party.
    pub fn vkey(&self) -> String {
        hex::encode(self.0.public_key())
    }

    /// The signature of bytes, in hexadecimal digits.
    pub(super) fn sign(&self, bytes: &[u8]) -> String {
        hex::encode(self.0.sign(bytes))
    }
}

/// Whether a signature in hexadecimal digits is one of these bytes by this verification key.
pub fn verify(vkey: &str, bytes: &[u8], signature: &str) -> bool {
    match (hex::decode(vkey), hex::decode(signature)) {
        (Ok(vkey), Ok(signature)) => UnparsedPublicKey::new(&ED25519, vkey).verify(bytes, &signature).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_made_once_and_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hydra.sk");
        let made = HydraKey::read_or_make(&path).unwrap();
        assert_eq!(made.vkey(), HydraKey::read_or_make(&path).unwrap().vkey());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let signature = made.sign(b"a snapshot");
        assert!(verify(&made.vkey(), b"a snapshot", &signature));
        assert!(!verify(&made.vkey(), b"another", &signature));
    }

    #[test]
    fn a_seed_has_the_verification_key_that_rfc_8032_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hydra.sk");
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let text = format!(r#"{{"cborHex":"5820{seed}","description":"","type":"HydraSigningKey_ed25519"}}"#);
        fs::write(&path, text).unwrap();
        let vkey = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(HydraKey::read(&path).unwrap().vkey(), vkey);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hydra.sk");
        let envelope = |cbor: &str, kind: &str| format!(r#"{{"cborHex":"{cbor}","description":"","type":"{kind}"}}"#);
        let short = envelope("58201234", KIND);
        let other = envelope(&format!("5820{}", "00".repeat(32)), "PaymentSigningKeyShelley_ed25519");
        for (text, problem) in [("{}", "cborHex"), (&short, "32 bytes"), (&other, "PaymentSigningKey")] {
            fs::write(&path, text).unwrap();
            let error = HydraKey::read(&path).unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
