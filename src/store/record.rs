//! Owns what a log's record looks like: `magic · length · checksum · payload`. Invariant: bytes that were cut, flipped or zeroed anywhere are
//! no record.

use crate::store::error::{StoreError, StoreResult};

/// Begins every record. Two of its bytes never occur in UTF-8, so no payload of text holds it.
pub const MAGIC: [u8; 4] = [0xCB, 0x1A, 0xC0, 0xFF];
/// Bytes before the payload.
pub const HEADER: usize = 24;
/// No record is longer.
const LONGEST: usize = 64 << 20;

/// Bytes that a record of `payload` bytes takes in the file.
#[must_use]
pub fn length_of(payload: usize) -> u64 {
    (HEADER + payload) as u64
}

/// Appends the record of `payload` to `records`.
///
/// # Errors
/// When the payload is too long for one.
pub fn encode(payload: &[u8], records: &mut Vec<u8>) -> StoreResult<()> {
    let too_long = || StoreError::Record { why: format!("{} bytes are more than a record may have", payload.len()) };
    let length = u32::try_from(payload.len()).ok().filter(|_| payload.len() <= LONGEST).ok_or_else(too_long)?.to_le_bytes();
    records.extend_from_slice(&MAGIC);
    records.extend_from_slice(&length);
    records.extend_from_slice(&checksum(length, payload));
    records.extend_from_slice(payload);
    Ok(())
}

fn checksum(length: [u8; 4], payload: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&length).update(payload);
    let mut sum = [0; 16];
    sum.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    sum
}

/// The payload length that the bytes at a record's beginning claim; `None` where no record begins.
#[must_use]
pub fn claimed_length(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < HEADER || bytes[..4] != MAGIC {
        return None;
    }
    let length = u32::from_le_bytes(bytes[4..8].try_into().ok()?) as usize;
    (length <= LONGEST).then_some(length)
}

/// The payload of the whole record that `bytes` begin with.
#[must_use]
pub fn whole_record(bytes: &[u8]) -> Option<&[u8]> {
    let length = claimed_length(bytes)?;
    let payload = bytes.get(HEADER..HEADER + length)?;
    let stored = &bytes[8..HEADER];
    (checksum(bytes[4..8].try_into().ok()?, payload) == stored).then_some(payload)
}
