//! One suite for every bucket that a mirror can be in: what the protocol asks of a bucket, and results that go through it.
#![allow(missing_docs, clippy::unwrap_used)]

mod bucket_kit;
mod gcs_kit;
mod machine_kit;
mod s3_kit;
mod store_kit;

use std::sync::atomic::{AtomicUsize, Ordering};

use bucket_kit::every_bucket;
use cbi::mirror::bucket::{Bucket, Listed};
use cbi::mirror::layout::Epoch;
use cbi::mirror::push::push;
use cbi::mirror::stores::Address;
use cbi::mirror::verify::{Finding, verify};
use cbi::model::result::ActionResult;
use machine_kit::{Machine, PART, files, noise, packs_of};

#[test]
fn what_the_protocol_asks_of_a_bucket_is_so() {
    every_bucket(|bucket| {
        once_put_an_object_stays_as_it_is(bucket);
        one_of_many_writers_of_a_name_wins(bucket);
        a_list_names_all_that_is_below_and_nothing_beside(bucket);
        what_is_deleted_is_gone_and_may_come_again(bucket);
    });
}

fn once_put_an_object_stays_as_it_is(bucket: &Bucket) {
    assert_eq!(bucket.get("one/a", 100).unwrap(), None);
    assert_eq!(bucket.size_of("one/a").unwrap(), None);
    assert_eq!(bucket.get_range("one/a", 0, 1).unwrap(), None);
    assert!(bucket.put_if_absent("one/a", b"first".to_vec()).unwrap());
    assert!(!bucket.put_if_absent("one/a", b"second".to_vec()).unwrap());
    assert_eq!(bucket.get("one/a", 100).unwrap().unwrap(), b"first");
    assert_eq!(bucket.size_of("one/a").unwrap(), Some(5));
    assert_eq!(bucket.get_range("one/a", 1, 3).unwrap().unwrap(), b"ir");
    assert!(bucket.get("one/a", 4).is_err(), "longer than it may be");
    assert!(bucket.put_if_absent("one/empty", Vec::new()).unwrap());
    assert_eq!(bucket.get("one/empty", 100).unwrap().unwrap(), b"");
}

fn one_of_many_writers_of_a_name_wins(bucket: &Bucket) {
    for round in 0..5 {
        let name = format!("race/{round}");
        let (won, winner) = (AtomicUsize::new(0), AtomicUsize::new(99));
        std::thread::scope(|scope| {
            for me in 0..6 {
                let (name, won, winner) = (&name, &won, &winner);
                scope.spawn(move || {
                    if bucket.put_if_absent(name, me.to_string().into_bytes()).unwrap() {
                        won.fetch_add(1, Ordering::Relaxed);
                        winner.store(me, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(won.into_inner(), 1);
        assert_eq!(bucket.get(&name, 100).unwrap().unwrap(), winner.into_inner().to_string().into_bytes());
    }
}

fn a_list_names_all_that_is_below_and_nothing_beside(bucket: &Bucket) {
    // More than S3 and GCS tell at once.
    const MANY: usize = 1010;
    let names: Vec<String> = (0..MANY).map(|n| format!("many/{:02}/{n:04}", n % 7)).collect();
    cbi::mirror::transfer::each(&names, |name| bucket.put_if_absent(name, vec![1; 3]).map(|_| ())).unwrap();
    bucket.put_if_absent("manyfold", b"x".to_vec()).unwrap();
    let mut expected: Vec<Listed> = names.into_iter().map(|name| Listed { name, size: 3 }).collect();
    expected.sort();
    assert_eq!(bucket.list("many/").unwrap(), expected);
    assert_eq!(bucket.list("many/03/").unwrap().len(), expected.iter().filter(|l| l.name.starts_with("many/03/")).count());
    assert_eq!(bucket.list("none/").unwrap(), []);
}

fn what_is_deleted_is_gone_and_may_come_again(bucket: &Bucket) {
    bucket.delete("gone/a").unwrap();
    assert!(bucket.put_if_absent("gone/a", b"1".to_vec()).unwrap());
    bucket.delete("gone/a").unwrap();
    assert_eq!((bucket.get("gone/a", 9).unwrap(), bucket.list("gone/").unwrap()), (None, Vec::new()));
    assert!(bucket.put_if_absent("gone/a", b"2".to_vec()).unwrap());
    assert_eq!(bucket.get("gone/a", 9).unwrap().unwrap(), b"2");
}

#[test]
fn a_result_that_was_pushed_is_pulled_whole_by_another_machine() {
    every_bucket(|bucket| {
        let (first, second) = (Machine::new(), Machine::new());
        let small = first.makes(1, &[("small", b"small".to_vec())]);
        let large = first.makes(2, &files());
        assert!(second.pulls(bucket, &large).is_none(), "nothing is there yet");
        let sent = first.pushes(bucket, &[small.clone(), large.clone()]);
        assert!((3 * PART..3 * PART + PART / 16).contains(&sent), "text shrinks, noise does not: {sent}");
        assert_eq!(first.pushes(bucket, &[large.clone(), small.clone()]), 0, "what is there is not sent again");
        for result in [&large, &small] {
            assert_eq!(second.pulls(bucket, result).as_ref(), Some(result));
        }
        for (name, bytes) in files() {
            assert_eq!(second.reads(&large.outputs["out"].files[name].blob), bytes, "{name}");
        }
        assert_eq!(second.reads(&large.log.unwrap()), store_kit::log(2));
        for deep in [false, true] {
            let report = verify(bucket, deep).unwrap();
            assert_eq!((report.records, report.blobs, report.findings), (2, 7, Vec::new()));
        }
    });
}

/// Replaces an object, as only a damage or an enemy does.
fn replace(bucket: &Bucket, name: &str, bytes: &[u8]) {
    bucket.delete(name).unwrap();
    assert!(bucket.put_if_absent(name, bytes.to_vec()).unwrap());
}

#[test]
fn what_is_missing_or_wrong_in_the_bucket_is_a_miss_and_verify_names_it() {
    let bucket = Bucket::memory().unwrap();
    let first = Machine::new();
    let result = first.makes(1, &files());
    first.pushes(&bucket, std::slice::from_ref(&result));
    let manifest = &result.outputs["out"];
    let other_key = Epoch(1).record(&store_kit::action(9).key());
    let mut cases: Vec<(String, Option<Vec<u8>>, Vec<Finding>)> = vec![
        (Epoch(1).artifact(&manifest.id()), None, vec![Finding::Manifest { key: result.key, manifest: manifest.id() }]),
        (Epoch(1).artifact(&manifest.id()), Some(b"{}".to_vec()), vec![Finding::Manifest { key: result.key, manifest: manifest.id() }]),
        (Epoch(1).record(&result.key), None, Vec::new()),
        (Epoch(1).record(&result.key), Some(b"{".to_vec()), vec![Finding::Record { name: Epoch(1).record(&result.key) }]),
    ];
    let lies = packs_of(&bucket, Epoch(1), &result);
    for (file, packs) in &lies {
        let blob = Finding::Blob { key: result.key, blob: manifest.files[file].blob };
        let Some(last) = packs.last() else { continue };
        let pack = bucket.get(&Epoch(1).pack(last), 4 * PART).unwrap().unwrap();
        for wrong in [None, Some(pack[..30].to_vec()), Some(Vec::new()), Some(noise(pack.len() as u64)), Some(vec![0; pack.len()])] {
            cases.push((Epoch(1).pack(last), wrong, vec![blob.clone()]));
        }
    }
    for (name, wrong, findings) in cases {
        let good = bucket.get(&name, 4 * PART).unwrap().unwrap();
        match &wrong {
            None => bucket.delete(&name).unwrap(),
            Some(wrong) => replace(&bucket, &name, wrong),
        }
        assert_eq!(Machine::new().pulls(&bucket, &result), None, "{name}");
        let found = verify(&bucket, true).unwrap().findings;
        assert!(findings.iter().all(|finding| found.contains(finding)), "{name}: {found:?}");
        assert_eq!(found.is_empty(), findings.is_empty(), "{name}");
        replace(&bucket, &name, &good);
    }
    let record = bucket.get(&Epoch(1).record(&result.key), 2 * PART).unwrap().unwrap();
    bucket.put_if_absent(&other_key, record).unwrap();
    let other = ActionResult { key: store_kit::action(9).key(), ..result.clone() };
    assert_eq!(Machine::new().pulls(&bucket, &other), None, "a record under another action's name is none");
    assert_eq!(verify(&bucket, true).unwrap().findings, [Finding::Record { name: other_key }]);
    assert!(Machine::new().pulls(&bucket, &result).is_some(), "put right, all is as before");
}

#[test]
fn a_push_goes_into_the_newest_epoch_and_nobody_reads_a_fenced_one() {
    let bucket = Bucket::memory().unwrap();
    let first = Machine::new();
    let result = first.makes(1, &[("small", b"small".to_vec())]);
    first.pushes(&bucket, std::slice::from_ref(&result));
    bucket.put_if_absent(&Epoch(2).opened(), Vec::new()).unwrap();
    assert!(Machine::new().pulls(&bucket, &result).is_some(), "an older epoch is read until it is fenced");
    bucket.put_if_absent(&Epoch(1).fenced(), Vec::new()).unwrap();
    assert!(Machine::new().pulls(&bucket, &result).is_none());
    assert!(first.pushes(&bucket, std::slice::from_ref(&result)) > 0, "it is not in the newest epoch yet");
    assert!(Machine::new().pulls(&bucket, &result).is_some());
    assert!(bucket.size_of(&Epoch(2).record(&result.key)).unwrap().is_some());
}

#[test]
fn a_result_with_a_hole_here_is_not_pushed_and_the_others_are() {
    let bucket = Bucket::memory().unwrap();
    let first = Machine::new();
    let (broken, whole) = (first.makes(1, &[("a", b"only here".to_vec())]), first.makes(2, &[("b", b"b".to_vec())]));
    cbi::io::fs::remove_file(&first.session.content().path_of(&broken.outputs["out"].files["a"].blob)).unwrap();
    let pushed = push(&bucket, first.session.content(), &[broken.clone(), whole.clone()]).unwrap();
    assert_eq!((pushed.results, pushed.broken), (1, 1));
    assert!(Machine::new().pulls(&bucket, &whole).is_some());
    assert!(Machine::new().pulls(&bucket, &broken).is_none());
    assert_eq!(verify(&bucket, true).unwrap().findings, []);
}

#[test]
fn an_address_that_no_bucket_has_is_refused_with_what_is_wrong() {
    for (url, said) in [
        ("bucket", "has no '://'"),
        ("ftp://x/y", "'ftp' is no kind of bucket"),
        ("s3:///x", "names no bucket"),
        ("file://relative/x", "must begin with '/'"),
        ("file:///not/there", "is not there"),
    ] {
        let error = Bucket::open(&Address { url: url.into(), ..Address::default() }).unwrap_err().to_string();
        assert!(error.contains(said), "{url}: {error}");
    }
}

#[test]
fn a_limit_holds_up_what_comes_after_and_a_bucket_that_is_stopped_asks_for_nothing_more() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("file://{}", folder.path().display());
    let bucket = Bucket::open(&Address { url, limit: Some(100_000), ..Address::default() }).unwrap();
    let begun = std::time::Instant::now();
    for name in ["a", "b", "c"] {
        bucket.put_if_absent(name, noise(20_000)).unwrap();
    }
    assert_eq!(bucket.get("a", 20_000).unwrap(), Some(noise(20_000)));
    assert!(begun.elapsed().as_millis() >= 600, "what comes last waits for 60,000 bytes: {:?}", begun.elapsed());
    assert_eq!(bucket.sent(), 60_000);
    bucket.stop();
    assert!(bucket.put_if_absent("d", Vec::new()).is_err() && bucket.get("a", 20_000).is_err() && bucket.list("").is_err());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}
