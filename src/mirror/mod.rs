//! Floor 4: results shared through a bucket, by the protocol of `docs/mirror-protocol.md`.

pub mod bucket;
pub mod client;
pub mod epochs;
pub mod error;
pub mod layout;
pub mod pull;
pub mod push;
pub mod record;
pub mod transfer;
pub mod verify;
