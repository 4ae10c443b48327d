//! Owns signatures (Ed25519, RFC 8032). Invariant: what was signed for one purpose is no signature for another.

use std::fmt;
use std::str::FromStr;

use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a public key begins with where it is written down.
const ALGORITHM: &str = "ed25519:";

/// What every signed message begins with.
const MESSAGE: &[u8] = b"cbi signature 1\n";

/// Whose signature it is: shown as `ed25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// What signs. It is shown nowhere.
pub struct SecretKey {
    seed: [u8; 32],
    pair: Ed25519KeyPair,
}

/// A signature and whose it says it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// Whose.
    pub key: PublicKey,
    /// Its 64 bytes, in hexadecimal.
    pub signature: String,
}

/// What is no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a public key as it is written.
    #[error("'{text}' is not a public key: ed25519: and 64 hexadecimal digits")]
    Public {
        /// What was given.
        text: String,
    },
    /// Not a secret key as it is kept.
    #[error("it does not hold 64 hexadecimal digits")]
    Secret,
    /// The system has no random numbers to give.
    #[error("the system gives no random numbers")]
    Random,
}

impl PublicKey {
    /// The first 16 digits: what an object is called by.
    #[must_use]
    pub fn short(&self) -> String {
        hex::encode(&self.0[..8])
    }

    /// Whether these bytes were signed for this purpose by who has the secret key.
    #[must_use]
    pub fn verifies(&self, context: &str, bytes: &[u8], signature: &str) -> bool {
        let message = message(context, bytes);
        hex::decode(signature).is_ok_and(|signature| UnparsedPublicKey::new(&ED25519, &self.0).verify(&message, &signature).is_ok())
    }
}

impl SecretKey {
    /// A new one.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn generate() -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        SystemRandom::new().fill(&mut seed).map_err(|_| KeyError::Random)?;
        Self::of(seed)
    }

    fn of(seed: [u8; 32]) -> Result<Self, KeyError> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| KeyError::Secret)?;
        Ok(Self { seed, pair })
    }

    /// As it is kept: 64 hexadecimal digits.
    #[must_use]
    pub fn to_text(&self) -> String {
        format!("{}\n", hex::encode(self.seed))
    }

    /// The one that was kept as this text.
    ///
    /// # Errors
    /// When it is none.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        let mut seed = [0; 32];
        hex::decode_to_slice(text.trim(), &mut seed).map_err(|_| KeyError::Secret)?;
        Self::of(seed)
    }

    /// The key that others know it by.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut public = [0; 32];
        public.copy_from_slice(self.pair.public_key().as_ref());
        PublicKey(public)
    }

    /// Signs bytes for a purpose.
    #[must_use]
    pub fn sign(&self, context: &str, bytes: &[u8]) -> Signed {
        Signed { key: self.public(), signature: hex::encode(self.pair.sign(&message(context, bytes))) }
    }
}

/// What the line with a signature begins with; nothing that is signed begins so.
const SIGNED: &[u8] = b"cbi-signed ";

/// An object with the line of its signature before it.
#[must_use]
pub fn sealed(line: &impl Serialize, bytes: &[u8]) -> Vec<u8> {
    // A signature, and where it holds, are text and numbers: they can always be written.
    [SIGNED, &serde_json::to_vec(line).unwrap_or_default(), b"\n", bytes].concat()
}

/// The line of an object's signature, where it has one, and what stands behind it; `None` where the line has no end.
#[must_use]
pub fn unsealed(object: &[u8]) -> Option<(Option<&[u8]>, &[u8])> {
    let Some(rest) = object.strip_prefix(SIGNED) else { return Some((None, object)) };
    let end = rest.iter().position(|byte| *byte == b'\n')?;
    Some((Some(&rest[..end]), &rest[end + 1..]))
}

/// What is signed: the purpose stands before the bytes, and ends where its line does.
fn message(context: &str, bytes: &[u8]) -> Vec<u8> {
    debug_assert!(!context.contains('\n'));
    [MESSAGE, context.as_bytes(), b"\n", bytes].concat()
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {})", self.public())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{ALGORITHM}{}", hex::encode(self.0)))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bad = || KeyError::Public { text: text.to_owned() };
        let mut bytes = [0; 32];
        hex::decode_to_slice(text.strip_prefix(ALGORITHM).ok_or_else(bad)?, &mut bytes).map_err(|_| bad())?;
        Ok(Self(bytes))
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_bytes_its_purpose_and_its_key_alone() {
        let (anna, bob) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let signed = anna.sign("records", b"bytes");
        assert!(signed.key.verifies("records", b"bytes", &signed.signature));
        assert!(!signed.key.verifies("records", b"other", &signed.signature));
        assert!(!signed.key.verifies("releases", b"bytes", &signed.signature));
        assert!(!bob.public().verifies("records", b"bytes", &signed.signature));
        assert!(!signed.key.verifies("records", b"bytes", "no hexadecimal"));
        // The end of a purpose cannot be moved into the bytes.
        assert!(!signed.key.verifies("record", b"s\nbytes", &signed.signature));
    }

    #[test]
    fn a_key_is_read_back_as_it_is_written_and_a_secret_is_never_shown() {
        let key = SecretKey::generate().unwrap();
        assert_eq!(SecretKey::from_text(&key.to_text()).unwrap().public(), key.public());
        assert_eq!(key.public().to_string().parse(), Ok(key.public()));
        assert!(!format!("{key:?}").contains(key.to_text().trim()));
        assert_eq!(SecretKey::from_text("abc").err(), Some(KeyError::Secret));
        assert!("ed25519:abc".parse::<PublicKey>().is_err() && "abc".parse::<PublicKey>().is_err());
    }

    #[test]
    fn the_first_test_of_the_standard_gives_its_public_key() {
        // RFC 8032, section 7.1, TEST 1.
        let key = SecretKey::from_text("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60").unwrap();
        assert_eq!(key.public().to_string(), "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    }
}
