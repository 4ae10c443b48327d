//! Floor 4: results shared through a bucket, by the protocol of `docs/mirror-protocol.md`.

pub mod artifact;
pub mod bucket;
pub mod builds;
pub mod client;
pub mod epochs;
pub mod error;
pub mod folder;
pub mod gcs;
pub mod keys;
pub mod layout;
pub mod limit;
pub mod looks;
pub mod pins;
pub mod prune;
pub mod pull;
pub mod push;
pub mod record;
pub mod records;
pub mod releases;
pub mod seen;
pub mod sign;
pub mod snapshots;
pub mod stores;
pub mod transfer;
pub mod trust;
pub mod verify;
