//! Signatures of entries: BLAKE3 in its keyed mode, the first 128 bits. One secret signs; each of them is accepted, so that a
//! new one can be brought in, and an old one taken out, without a moment of misses.

use constant_time_eq::constant_time_eq_16;

use crate::dialect::Dialect;
use crate::error::Error;

pub const MAC_BYTES: usize = 16;
/// Fewer could be found by trying.
const SECRET_BYTES_MIN: usize = 16;
const KEYS_MAX: usize = 16;

/// What tells a reader which secret an entry was signed with is no part of the secret: both are derived from it, apart.
const CONTEXT_KEY: &str = "tidegate 2026 entry signature";
const CONTEXT_ID: &str = "tidegate 2026 entry signing key id";

#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SigningKey {
    id: u8,
    key: [u8; 32],
}

/// The secrets of a manager; none where it signs nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SigningKeys(Vec<SigningKey>);

/// Without the keys.
impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKeys({} secrets)", self.0.len())
    }
}

impl SigningKeys {
    /// The first of `secrets` signs, all are accepted.
    ///
    /// # Errors
    /// `ConfigError`, which shows no secret, for one that is too short or stands there twice, for none, and for too many.
    pub fn new(name: &str, secrets: &[&str]) -> Result<Self, Error> {
        Self::read(name, secrets, Dialect::of_host())
    }

    pub(crate) fn read(name: &str, secrets: &[&str], dialect: Dialect) -> Result<Self, Error> {
        let refused = |what: String| {
            Error::config(format!(
                "{name} {what}: it takes up to {KEYS_MAX} secrets of {SECRET_BYTES_MIN} bytes at least, the first signs and all \
                 are accepted; a right example: {}, made by `openssl rand -hex 32`",
                dialect.example(name, "[\"<64 hexadecimal digits>\"]")
            ))
        };
        if secrets.is_empty() || secrets.len() > KEYS_MAX {
            return Err(refused(format!("has {} secrets", secrets.len())));
        }
        let mut keys: Vec<SigningKey> = Vec::with_capacity(secrets.len());
        for (at, secret) in secrets.iter().enumerate() {
            if secret.len() < SECRET_BYTES_MIN {
                return Err(refused(format!("has a secret of {} bytes (the one at {at})", secret.len())));
            }
            let key = blake3::derive_key(CONTEXT_KEY, secret.as_bytes());
            if keys.iter().any(|known| known.key == key) {
                return Err(refused(format!("has a secret twice (again at {at})")));
            }
            keys.push(SigningKey { id: blake3::derive_key(CONTEXT_ID, secret.as_bytes())[0], key });
        }
        Ok(Self(keys))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Who signs; none where nothing is signed.
    pub(crate) fn signer(&self) -> Option<&SigningKey> {
        self.0.first()
    }

    /// Whether one of the secrets of this id made this signature of the parts.
    pub(crate) fn accepts(&self, id: u8, signature: [u8; MAC_BYTES], parts: &[&[u8]]) -> bool {
        // Two secrets may have the same id.
        self.0.iter().any(|known| known.id == id && constant_time_eq_16(&known.sign(parts), &signature))
    }
}

impl SigningKey {
    pub(crate) fn id(&self) -> u8 {
        self.id
    }

    pub(crate) fn sign(&self, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in parts {
            hasher.update(part);
        }
        let mut first = [0; MAC_BYTES];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..MAC_BYTES]);
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "an old secret of many bytes";
    const NEW: &str = "a new secret of many bytes";

    fn keys(secrets: &[&str]) -> SigningKeys {
        SigningKeys::new("signing_keys", secrets).expect("right")
    }

    fn signed(keys: &SigningKeys, parts: &[&[u8]]) -> (u8, [u8; MAC_BYTES]) {
        let signer = keys.signer().expect("it has a secret");
        (signer.id(), signer.sign(parts))
    }

    #[test]
    fn an_old_secret_is_accepted_for_as_long_as_it_is_listed() {
        let (id, signature) = signed(&keys(&[OLD]), &[b"a", b"b"]);
        assert!(keys(&[NEW, OLD]).accepts(id, signature, &[b"ab"]), "it is the bytes that count, not their parts");
        assert!(!keys(&[NEW]).accepts(id, signature, &[b"ab"]));
        assert!(!keys(&[NEW, OLD]).accepts(id, signature, &[b"ac"]));
        let (new_id, by_new) = signed(&keys(&[NEW, OLD]), &[b"ab"]);
        assert!(keys(&[NEW]).accepts(new_id, by_new, &[b"ab"]), "the first of them signs");
        assert!(!SigningKeys::default().accepts(new_id, by_new, &[b"ab"]));
    }

    #[test]
    fn a_wrong_list_is_refused_and_no_secret_is_ever_shown() {
        let many: Vec<String> = (0..=KEYS_MAX).map(|number| format!("{OLD} {number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        for (secrets, expected) in [
            (&[][..], "has 0 secrets"),
            (&many, "has 17 secrets"),
            (&[OLD, "0123456789abcde"], "has a secret of 15 bytes (the one at 1)"),
            (&[OLD, NEW, OLD], "has a secret twice (again at 2)"),
        ] {
            let error = SigningKeys::new("signing_keys", secrets).expect_err(expected).to_string();
            assert!(error.contains(expected) && error.contains("a right example"), "{error}");
            assert!(secrets.iter().all(|secret| !error.contains(secret)), "{error}");
        }
        assert_eq!(format!("{:?}", keys(&[OLD, NEW])), "SigningKeys(2 secrets)");
    }
}
