//! Owns whose records are believed. Invariant: where keys are required, no byte of a record is read before a trusted key was found to have signed it for this
//! mirror, this epoch and this action.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::canon::{HashSink, Sink};
use crate::base::digest::{ActionKey, Digest};
use crate::mirror::layout::Epoch;
use crate::mirror::sign::{PublicKey, SecretKey, Signed, sealed, unsealed};

/// The purpose of a record's signature.
const RECORD: &str = "record of an action";

/// Whose word counts in one mirror, and who speaks for this machine. Threads may share it.
#[derive(Debug, Default)]
pub struct Trust {
    /// What the mirror is called in signatures.
    mirror: String,
    policy: Option<Policy>,
    own: Option<SecretKey>,
    refused: Mutex<BTreeMap<ActionKey, Refusal>>,
}

/// What the settings say of keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// Whose word counts.
    pub keys: BTreeSet<PublicKey>,
    /// Whose word does not count any more, whatever they signed and when.
    pub revoked: BTreeSet<PublicKey>,
    /// Whether what is not signed is refused too.
    pub required: bool,
}

/// Why something that lies in a mirror is not believed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refusal {
    /// Nobody signed it.
    #[error("not signed")]
    Unsigned,
    /// Somebody did who is not known here.
    #[error("signed with {key}, which [trust] does not name")]
    Foreign {
        /// Whose signature.
        key: PublicKey,
    },
    /// Somebody did whose key was revoked.
    #[error("signed with {key}, which is revoked")]
    Revoked {
        /// Whose signature.
        key: PublicKey,
    },
    /// The signature is not one of these bytes.
    #[error("changed after it was signed")]
    Forged,
    /// It was signed to lie somewhere else.
    #[error("signed for another {what}")]
    Replayed {
        /// `mirror`, `epoch` or `action`.
        what: &'static str,
    },
    /// It does not tell a result of its action.
    #[error("not the record of its action")]
    Misleading,
    /// It names an artifact whose list of files is not its own, or leads out of its folder.
    #[error("its artifacts are not what it says, or lead out of their folder")]
    Artifact,
}

/// Where a record was signed to lie, and by whom.
#[derive(Debug, Serialize, Deserialize)]
struct Seal {
    mirror: String,
    epoch: u32,
    action: ActionKey,
    #[serde(flatten)]
    signed: Signed,
}

impl Trust {
    /// The trust in a mirror of this name. `own` are the keys of this machine; the first one that is trusted signs.
    #[must_use]
    pub fn new(mirror: &str, policy: Policy, own: Vec<SecretKey>) -> Self {
        let own = own.into_iter().find(|key| policy.trusts(&key.public()));
        Self { mirror: mirror.to_owned(), policy: Some(policy), own, refused: Mutex::default() }
    }

    /// What the mirror is called in signatures.
    #[must_use]
    pub fn mirror(&self) -> &str {
        &self.mirror
    }

    /// Whether what is not signed is refused.
    #[must_use]
    pub fn required(&self) -> bool {
        self.policy.as_ref().is_some_and(|policy| policy.required)
    }

    /// Whether this machine can put there nothing that anybody would believe.
    #[must_use]
    pub fn is_mute(&self) -> bool {
        self.required() && self.own.is_none()
    }

    /// The key that this machine signs with.
    #[must_use]
    pub fn own(&self) -> Option<PublicKey> {
        self.own.as_ref().map(SecretKey::public)
    }

    /// The keys that count.
    pub fn signers(&self) -> impl Iterator<Item = PublicKey> + '_ {
        self.policy.iter().flat_map(|policy| policy.keys.difference(&policy.revoked).copied())
    }

    /// Signs bytes for a purpose; `None` where this machine has no trusted key.
    #[must_use]
    pub fn sign(&self, context: &str, bytes: &[u8]) -> Option<Signed> {
        self.own.as_ref().map(|own| own.sign(context, bytes))
    }

    /// Whether these bytes are believed, with the signature that came along.
    ///
    /// # Errors
    /// Why they are not.
    pub fn judge(&self, context: &str, bytes: &[u8], signed: Option<&Signed>) -> Result<(), Refusal> {
        let Some(policy) = &self.policy else { return Ok(()) };
        let Some(signed) = signed else { return if policy.required { Err(Refusal::Unsigned) } else { Ok(()) } };
        let key = signed.key;
        if policy.revoked.contains(&key) {
            Err(Refusal::Revoked { key })
        } else if !policy.keys.contains(&key) {
            Err(Refusal::Foreign { key })
        } else if !key.verifies(context, bytes, &signed.signature) {
            Err(Refusal::Forged)
        } else {
            Ok(())
        }
    }

    /// What is no record as it goes up: signed for its purpose and for this mirror, where this machine has a trusted key. `about` is signed too, and is not
    /// in it: an object's name, for one.
    #[must_use]
    pub fn seal_for(&self, purpose: &str, about: &str, bytes: &[u8]) -> Vec<u8> {
        match self.sign(purpose, &self.message(about, bytes)) {
            Some(signed) => sealed(&signed, bytes),
            None => bytes.to_vec(),
        }
    }

    /// What was sealed so, if it is believed.
    ///
    /// # Errors
    /// Why it is not.
    pub fn open_for<'a>(&self, purpose: &str, about: &str, object: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let (line, bytes) = unsealed(object).ok_or(Refusal::Forged)?;
        let Some(line) = line else { return self.judge(purpose, &[], None).map(|()| bytes) };
        let signed: Signed = serde_json::from_slice(line).map_err(|_| Refusal::Forged)?;
        self.judge(purpose, &self.message(about, bytes), Some(&signed)).map(|()| bytes)
    }

    fn message(&self, about: &str, bytes: &[u8]) -> Vec<u8> {
        [self.mirror.as_bytes(), b"\n", about.as_bytes(), bytes].concat()
    }

    /// A record as it goes up: signed, where this machine has a trusted key.
    #[must_use]
    pub fn seal(&self, epoch: Epoch, action: &ActionKey, record: Vec<u8>) -> Vec<u8> {
        let statement = statement(&self.mirror, epoch.0, action, &record);
        let Some(signed) = self.sign(RECORD, statement.as_bytes()) else { return record };
        let seal = Seal { mirror: self.mirror.clone(), epoch: epoch.0, action: *action, signed };
        sealed(&seal, &record)
    }

    /// The record in an object that was found as that of `action` in `epoch`, if it is believed.
    ///
    /// # Errors
    /// Why it is not.
    pub fn open<'a>(&self, epoch: Epoch, action: &ActionKey, object: &'a [u8]) -> Result<&'a [u8], Refusal> {
        let (line, record) = unsealed(object).ok_or(Refusal::Forged)?;
        let Some(line) = line else { return self.judge(RECORD, &[], None).map(|()| record) };
        if self.policy.is_none() {
            return Ok(record);
        }
        let seal: Seal = serde_json::from_slice(line).map_err(|_| Refusal::Forged)?;
        let statement = statement(&seal.mirror, seal.epoch, &seal.action, record);
        self.judge(RECORD, statement.as_bytes(), Some(&seal.signed))?;
        let claims = [("mirror", seal.mirror == self.mirror), ("epoch", seal.epoch == epoch.0), ("action", seal.action == *action)];
        match claims.iter().find(|(_, holds)| !holds) {
            Some((what, _)) => Err(Refusal::Replayed { what }),
            None => Ok(record),
        }
    }

    /// Notes that the result of an action was there and was not believed.
    pub fn refuse(&self, action: &ActionKey, why: Refusal) {
        self.noted().insert(*action, why);
    }

    /// How many results were not believed, by why.
    #[must_use]
    pub fn refused(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for why in self.noted().values() {
            *counts.entry(why.to_string()).or_default() += 1;
        }
        counts
    }

    fn noted(&self) -> MutexGuard<'_, BTreeMap<ActionKey, Refusal>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Policy {
    /// Whether this key's word counts.
    #[must_use]
    pub fn trusts(&self, key: &PublicKey) -> bool {
        self.keys.contains(key) && !self.revoked.contains(key)
    }
}

/// What is signed of a record: where it may lie, and its bytes.
fn statement(mirror: &str, epoch: u32, action: &ActionKey, record: &[u8]) -> Digest {
    let mut sink = HashSink::new("cbi 1 mirror record");
    sink.field("mirror", mirror);
    sink.field("epoch", &epoch.to_string());
    sink.field("action", &action.to_string());
    sink.field("record", &Digest::of(record).to_string());
    sink.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SecretKey {
        SecretKey::from_text(&hex::encode([seed; 32])).unwrap()
    }

    fn trust(mirror: &str, keys: &[u8], revoked: &[u8], required: bool, own: u8) -> Trust {
        let set = |seeds: &[u8]| seeds.iter().map(|seed| key(*seed).public()).collect();
        Trust::new(mirror, Policy { keys: set(keys), revoked: set(revoked), required }, vec![key(own)])
    }

    fn action(n: u8) -> ActionKey {
        ActionKey(Digest::of(&[n]))
    }

    #[test]
    fn a_record_is_believed_where_it_was_signed_to_lie_and_nowhere_else() {
        let anna = trust("gs://a", &[1], &[], true, 1);
        let sealed = anna.seal(Epoch(2), &action(1), b"{}".to_vec());
        assert_eq!(anna.open(Epoch(2), &action(1), &sealed), Ok(&b"{}"[..]));
        assert_eq!(anna.open(Epoch(3), &action(1), &sealed), Err(Refusal::Replayed { what: "epoch" }));
        assert_eq!(anna.open(Epoch(2), &action(2), &sealed), Err(Refusal::Replayed { what: "action" }));
        let elsewhere = trust("gs://b", &[1], &[], true, 1);
        assert_eq!(elsewhere.open(Epoch(2), &action(1), &sealed), Err(Refusal::Replayed { what: "mirror" }));
        // Saying something else of where it may lie breaks the signature.
        let moved = String::from_utf8(sealed).unwrap().replace("gs://a", "gs://b");
        assert_eq!(elsewhere.open(Epoch(2), &action(1), moved.as_bytes()), Err(Refusal::Forged));
    }

    #[test]
    fn unsigned_foreign_revoked_and_changed_records_are_refused() {
        let (anna, bob) = (trust("m", &[1, 2], &[], true, 1), trust("m", &[2], &[], true, 2));
        let open = |by: &Trust, object: &[u8]| by.open(Epoch(1), &action(1), object).map(<[u8]>::to_vec);
        let sealed = anna.seal(Epoch(1), &action(1), b"{\"x\":1}".to_vec());
        assert_eq!(open(&bob, &sealed), Err(Refusal::Foreign { key: key(1).public() }));
        assert_eq!(open(&trust("m", &[1], &[1], true, 1), &sealed), Err(Refusal::Revoked { key: key(1).public() }));
        assert_eq!(open(&anna, b"{\"x\":1}"), Err(Refusal::Unsigned));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            // In the hexadecimal of a signature a digit may change into none, and a letter its case.
            assert!(open(&anna, &changed).is_err() || changed.eq_ignore_ascii_case(&sealed), "byte {at}");
        }
    }

    #[test]
    fn where_signatures_are_not_required_what_is_signed_must_still_be_right() {
        let (anna, bob) = (trust("m", &[1], &[], true, 1), trust("m", &[2], &[], false, 2));
        let sealed = anna.seal(Epoch(1), &action(1), b"{}".to_vec());
        assert_eq!(bob.open(Epoch(1), &action(1), &sealed), Err(Refusal::Foreign { key: key(1).public() }));
        assert_eq!(bob.open(Epoch(1), &action(1), b"{}"), Ok(&b"{}"[..]));
        // Who names no keys judges nobody.
        assert_eq!(Trust::default().open(Epoch(9), &action(9), &sealed), Ok(&b"{}"[..]));
    }

    #[test]
    fn a_machine_signs_with_a_key_that_is_trusted_or_not_at_all() {
        assert_eq!(trust("m", &[1], &[], true, 1).own(), Some(key(1).public()));
        let foreign = trust("m", &[1], &[], true, 2);
        assert!(foreign.own().is_none() && foreign.is_mute());
        assert_eq!(foreign.seal(Epoch(1), &action(1), b"{}".to_vec()), b"{}");
        assert!(trust("m", &[1], &[1], true, 1).is_mute() && !trust("m", &[1], &[], false, 2).is_mute());
        assert_eq!(trust("m", &[1, 2, 3], &[2], true, 1).signers().count(), 2);
    }
}
