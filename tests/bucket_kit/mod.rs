//! Every kind of bucket that tests can start. Invariant: each check gets one that is empty.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

use cbi::mirror::bucket::Bucket;
use cbi::mirror::stores::Address;

use crate::{gcs_kit, s3_kit};

/// Runs `check` on an empty bucket of every kind.
pub fn every_bucket(check: fn(&Bucket)) {
    check(&Bucket::memory().unwrap());
    let folder = tempfile::tempdir().unwrap();
    check(&Bucket::open(&Address { url: format!("file://{}", folder.path().display()), ..Address::default() }).unwrap());
    if let Some(server) = s3_kit::S3::start() {
        check(&Bucket::open(&server.bucket("bucket")).unwrap());
    }
    if let Some(server) = gcs_kit::Gcs::start() {
        check(&Bucket::open(&server.bucket("bucket")).unwrap());
    }
}
