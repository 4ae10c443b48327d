//! A mirror in hostile hands: it can withhold results, and nothing that it shows is taken for what it is not.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "common/space.rs"]
mod space;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cbi::base::digest::{ActionKey, BlobId, Digest};
use cbi::mirror::bucket::Bucket;
use cbi::mirror::contents::Contents;
use cbi::mirror::keys;
use cbi::mirror::layout::Epoch;
use cbi::mirror::record::{Record, Stored};
use cbi::mirror::sign::{PublicKey, SecretKey};
use cbi::mirror::stores::Address;
use cbi::mirror::trust::{Policy, Trust};
use cbi::model::manifest::{FileEntry, Manifest};
use cbi::store::pack::{Filling, Pack};
use serde_json::{Value, json};
use space::{Built, TestSpace, run};

const TABLE: &str = "wti.daily";

/// A machine with a clone of the repository's workspace, whose mirror is this folder; `trust` stands below `[mirror]` in its settings.
fn machine(mirror: &Path, trust: &str) -> TestSpace {
    let space = TestSpace::wti();
    let settings = space.read("cbi.toml");
    space.write("cbi.toml", format!("{settings}\n[mirror]\nurl = \"file://{}\"\nname = \"team\"\n{trust}\n", mirror.display()));
    space
}

fn trusting(keys: &[&str]) -> String {
    format!("[trust]\nkeys = {keys:?}")
}

fn mirrored(built: &Built) -> &Value {
    let found = built.events.iter().find(|event| event["event"] == "mirrored");
    found.unwrap_or_else(|| panic!("nothing is said of the mirror:\n{}\n{}", built.stdout, built.stderr))
}

/// A machine that has put a signed table into a mirror, and its key.
fn author(mirror: &Path) -> (TestSpace, String, u64) {
    let author = machine(mirror, "");
    let made = run(&author, &["key", "generate", "author"], 0).0;
    run(&author, &["key", "trust", "author"], 0);
    let ran = author.build(&[TABLE]).ok().counts.unwrap().0;
    assert!(ran > 0);
    (author, made["key"].as_str().unwrap().to_owned(), ran)
}

/// Builds the table on a new machine, which must run every step itself and say why.
fn makes_itself(mirror: &Path, trust: &str, ran: u64, why: &str) {
    let space = machine(mirror, trust);
    let built = space.build(&[TABLE]).ok();
    assert_eq!(built.counts.unwrap().0, ran, "{why}: it runs instead");
    let refused = mirrored(&built)["refused"].as_object().unwrap_or_else(|| panic!("{why}: {}", built.stdout)).clone();
    assert_eq!(refused.values().filter_map(Value::as_u64).sum::<u64>(), ran, "{refused:?}");
    assert!(refused.keys().all(|told| told.contains(why)), "{why}: {refused:?}");
}

fn copy(from: &Path, to: &Path) {
    assert!(std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Every file below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() { all.extend(files(&entry)) } else { all.push(entry) }
    }
    all.sort();
    all
}

#[test]
fn what_a_trusted_key_signed_is_taken_and_everything_else_is_refused_and_made_here() {
    let home = tempfile::tempdir().unwrap();
    let mirror = home.path().join("mirror");
    fs::create_dir(&mirror).unwrap();
    let (author, key, ran) = author(&mirror);
    assert_eq!(run(&author, &["mirror", "verify", "--deep"], 0).0["findings"], json!([]));

    // A teammate whose own key nobody trusts takes it, and says that it can put nothing there.
    let reader = machine(&mirror, &trusting(&[&key]));
    let taken = reader.build(&[TABLE]).ran(&[]);
    assert_eq!(mirrored(&taken)["pulled"].as_u64(), Some(ran));
    reader.edit("cbi.toml", "name = \"team\"\n", "name = \"team\"\nanonymous = false\n");
    let more = reader.build(&["forecast/wti/1w"]).ok();
    let told = mirrored(&more);
    assert!(told["failure"].as_str().unwrap().contains("no key of this machine is trusted"), "{told}");
    assert_eq!(told["unpushed"].as_u64(), more.counts.map(|counts| counts.0));
    assert!(run(&reader, &["mirror", "push"], 2).1.contains("cbi key generate"));

    let stranger = SecretKey::generate().unwrap().public().to_string();
    makes_itself(&mirror, &trusting(&[&stranger]), ran, "which [trust] does not name");
    makes_itself(&mirror, &format!("{}\nrevoked = [\"{key} lost\"]", trusting(&[&key])), ran, "is revoked");
    // Not to require signatures is to take what nobody signed, not what was signed wrongly.
    makes_itself(&mirror, &format!("{}\nrequired = false", trusting(&[&stranger])), ran, "which [trust] does not name");
    machine(&mirror, "").build(&[TABLE]).ran(&[]);

    // The same objects under another mirror's name, and in another epoch.
    let other = TestSpace::wti();
    let settings = other.read("cbi.toml");
    other.write("cbi.toml", format!("{settings}\n[mirror]\nurl = \"file://{}\"\n{}\n", mirror.display(), trusting(&[&key])));
    let told = mirrored(&other.build(&[TABLE]).ok()).clone();
    assert_eq!(told["refused"], json!({ "signed for another mirror": ran }));
    let replayed = home.path().join("replayed");
    copy(&mirror, &replayed);
    fs::rename(replayed.join("00000001"), replayed.join("00000002")).unwrap();
    fs::rename(replayed.join("epochs/00000001"), replayed.join("epochs/00000002")).unwrap();
    makes_itself(&replayed, &trusting(&[&key]), ran, "signed for another epoch");
}

#[test]
fn a_record_in_the_place_of_another_and_one_that_was_changed_are_refused_and_verify_names_them() {
    let home = tempfile::tempdir().unwrap();
    let mirror = home.path().join("mirror");
    fs::create_dir(&mirror).unwrap();
    let (author, key, ran) = author(&mirror);
    let records = |mirror: &Path| files(&mirror.join("00000001/results"));
    // Its results, and the build.
    assert_eq!(records(&mirror).len() as u64, ran + 1);

    let swapped = home.path().join("swapped");
    copy(&mirror, &swapped);
    let names = records(&swapped);
    assert!(names.len() > 1, "a table and what it is made of");
    let bytes: Vec<Vec<u8>> = names.iter().map(|name| fs::read(name).unwrap()).collect();
    for (index, name) in names.iter().enumerate() {
        fs::write(name, &bytes[(index + 1) % names.len()]).unwrap();
    }
    makes_itself(&swapped, &trusting(&[&key]), ran, "signed for another action");

    let changed = home.path().join("changed");
    copy(&mirror, &changed);
    for name in records(&changed) {
        let text = fs::read_to_string(&name).unwrap();
        let tampered = text.replacen("\"ended_ms\":1", "\"ended_ms\":2", 1);
        assert_ne!(text, tampered);
        fs::write(&name, tampered).unwrap();
    }
    makes_itself(&changed, &trusting(&[&key]), ran, "changed after it was signed");
    author.edit("cbi.toml", &mirror.display().to_string(), &changed.display().to_string());
    let (report, _) = run(&author, &["mirror", "verify"], 5);
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(findings.len() as u64, ran + 1);
    assert!(findings.iter().all(|told| told.as_str().unwrap().contains("changed after it was signed")), "{findings:?}");
}

#[test]
fn a_mirror_that_was_filled_before_there_were_keys_is_signed_beside_what_is_there() {
    let home = tempfile::tempdir().unwrap();
    let first = machine(home.path(), "");
    let ran = first.build(&[TABLE]).ok().counts.unwrap().0;
    let made = run(&first, &["key", "generate"], 0).0;
    let key = made["key"].as_str().unwrap();
    makes_itself(home.path(), &trusting(&[key]), ran, "not signed");
    let lenient = machine(home.path(), &format!("{}\nrequired = false", trusting(&[key])));
    assert_eq!(run(&lenient, &["mirror", "pull", TABLE], 0).0["pulled"].as_u64(), Some(ran));

    run(&first, &["key", "trust", "default"], 0);
    // Its results, and the build.
    assert_eq!(run(&first, &["mirror", "verify"], 5).0["findings"].as_array().unwrap().len() as u64, ran + 1);
    let pushed = |said: serde_json::Value| (said["pushed"].as_u64(), said["builds"].as_u64());
    assert_eq!(pushed(run(&first, &["mirror", "push"], 0).0), (Some(ran), Some(1)));
    assert_eq!(pushed(run(&first, &["mirror", "push"], 0).0), (Some(0), Some(0)), "again there is nothing to put");
    assert_eq!(run(&first, &["mirror", "verify"], 0).0["findings"], json!([]));
    let reader = machine(home.path(), &trusting(&[key]));
    assert_eq!(mirrored(&reader.build(&[TABLE]).ran(&[]))["pulled"].as_u64(), Some(ran));
}

/// A pack of one chunk.
fn pack(chunk: &[u8]) -> Pack {
    let mut filling = Filling::default();
    filling.add(Digest::of(chunk), chunk);
    filling.finish()
}

/// Who holds the bucket, and perhaps a key.
struct Attacker {
    bucket: Bucket,
    trust: Trust,
}

impl Attacker {
    fn new(mirror: &Path, key: Option<SecretKey>) -> Self {
        let bucket = Bucket::open(&Address { url: format!("file://{}", mirror.display()), ..Address::default() }).unwrap();
        let keys = key.iter().map(SecretKey::public).collect();
        let trust = Trust::new("team", Policy { keys, ..Policy::default() }, key.into_iter().collect());
        Self { bucket, trust }
    }

    /// Puts this in the place of the lists of files that a record names.
    fn poisons(&self, name: &Path, list: &dyn Fn(&Manifest) -> (Manifest, Vec<u8>)) {
        let object = fs::read(name).unwrap();
        let body = if object.starts_with(b"{") { &object } else { object.splitn(2, |byte| *byte == b'\n').nth(1).unwrap() };
        let key = ActionKey(name.file_name().unwrap().to_str().unwrap().parse().unwrap());
        let mut record = Record::read(body, &key).unwrap();
        for id in record.artifacts.values_mut() {
            let bytes = self.bucket.get(&Epoch(1).artifact(id), 1 << 20).unwrap().unwrap();
            let stored: Stored = serde_json::from_slice(&bytes).unwrap();
            let (hostile, bytes) = list(&stored.manifest);
            *id = hostile.id();
            self.bucket.delete(&Epoch(1).artifact(id)).unwrap();
            self.bucket.put_if_absent(&Epoch(1).artifact(id), bytes).unwrap();
        }
        fs::write(name, self.trust.seal(Epoch(1), &key, record.to_bytes().unwrap())).unwrap();
    }
}

#[test]
fn lists_of_files_that_lead_out_or_fold_together_are_refused_on_arrival_whoever_signed_them() {
    let home = tempfile::tempdir().unwrap();
    let mirror = home.path().join("mirror");
    fs::create_dir(&mirror).unwrap();
    let (author, key, ran) = author(&mirror);
    let secret = || keys::all(&author.path(".config/cbi/keys")).unwrap().remove(0).key;
    let evil = b"evil";
    let entry = FileEntry { blob: BlobId(Digest::of(evil)), size: 4, executable: true };
    let packed = pack(evil);
    let contents = Contents::of(&BTreeMap::from([(entry.blob, vec![packed.chunks[0].1])]));
    let named = |names: &[&str]| {
        let manifest = Manifest { files: names.iter().map(|name| ((*name).to_owned(), entry)).collect::<BTreeMap<_, _>>() };
        let hostile = Stored { manifest, contents: contents.clone() };
        let bytes = hostile.to_bytes().unwrap();
        (hostile.manifest, bytes)
    };
    let out = format!("{}/evil", home.path().display());
    let lists: Vec<(Manifest, Vec<u8>)> = vec![
        named(&["../../evil"]),
        named(&["data/../../../evil"]),
        named(&[&out]),
        named(&["a", "A"]),
        named(&["e\u{301}", "\u{e9}"]),
        named(&["a\\evil"]),
        named(&["."]),
        // A link is nothing that a list of files can hold.
        (named(&["link"]).0, br#"{"files":{"link":{"link":"/etc/passwd","size":4}},"contents":{"packs":[],"blobs":{}}}"#.to_vec()),
        // Another one's list.
        (named(&["a"]).0, named(&["b"]).1),
    ];
    for (case, (hostile, bytes)) in lists.iter().enumerate() {
        // Who holds a trusted key may do no more of it than who holds none.
        for signed in if case == 0 { &[false, true][..] } else { &[true] } {
            let signed = *signed;
            let poisoned = home.path().join(format!("poisoned-{case}-{signed}"));
            copy(&mirror, &poisoned);
            let attacker = Attacker::new(&poisoned, signed.then(secret));
            attacker.bucket.put_if_absent(&Epoch(1).pack(&packed.id), packed.bytes.clone()).unwrap();
            for name in files(&poisoned.join("00000001/results")) {
                attacker.poisons(&name, &|_| (hostile.clone(), bytes.clone()));
            }
            let trust = if signed { trusting(&[&key]) } else { String::new() };
            makes_itself(&poisoned, &trust, ran, "its artifacts are not what it says, or lead out of their folder");
        }
    }
    assert!(!home.path().join("evil").exists() && !files(home.path()).iter().any(|path| path.ends_with("evil")));
}

#[test]
fn bytes_in_the_place_of_others_are_never_taken_for_them() {
    let home = tempfile::tempdir().unwrap();
    let (author, key, ran) = author(home.path());
    for part in files(&home.path().join("00000001/packs")) {
        // Whole, and well packed, and not what was asked for: every frame in it is another of the same size.
        let bytes = fs::read(&part).unwrap();
        let count = u32::from_le_bytes(bytes[11..15].try_into().unwrap()) as usize;
        let mut other = bytes[..15 + 40 * count].to_vec();
        for line in bytes[15..15 + 40 * count].chunks(40) {
            let length = u32::from_le_bytes(line[32..36].try_into().unwrap()) - 9;
            other.push(0);
            other.extend(length.to_le_bytes());
            other.extend(length.to_le_bytes());
            other.extend(vec![7; length as usize]);
        }
        assert_eq!(other.len(), bytes.len());
        fs::write(&part, other).unwrap();
    }
    let reader = machine(home.path(), &trusting(&[&key]));
    let built = reader.build(&[TABLE]).ok();
    assert_eq!(built.counts.unwrap().0, ran, "it runs instead");
    let hash = |space: &TestSpace| run(space, &["show", TABLE], 0).0["artifacts"].clone();
    assert_eq!(hash(&reader), hash(&author));
    assert!(!run(&author, &["mirror", "verify", "--deep"], 5).0["findings"].as_array().unwrap().is_empty());
}

#[test]
fn a_mirror_that_shows_less_than_before_is_left_alone_until_it_is_forgotten() {
    let home = tempfile::tempdir().unwrap();
    let space = machine(home.path(), "");
    space.build(&[TABLE]).ok();
    let mark = home.path().join("epochs/00000001");
    fs::rename(&mark, home.path().join("kept")).unwrap();
    let built = space.build(&["forecast/wti/1w"]).ok();
    let told = mirrored(&built);
    assert!(told["failure"].as_str().unwrap().contains("withholds what was there"), "{told}");
    assert_eq!(told["unpushed"].as_u64(), built.counts.map(|counts| counts.0));
    assert!(run(&space, &["mirror", "status"], 6).1.contains("hint: cbi mirror forget"));
    assert_eq!(run(&space, &["mirror", "forget"], 0).0["forgot"], true);
    run(&space, &["mirror", "status"], 0);
}

#[test]
fn keys_are_made_listed_trusted_and_revoked_and_one_that_others_can_read_is_not_used() {
    let mirror = tempfile::tempdir().unwrap();
    let space = machine(mirror.path(), "");
    let made = run(&space, &["key", "generate", "laptop"], 0).0;
    let (key, path) = (made["key"].as_str().unwrap(), PathBuf::from(made["path"].as_str().unwrap()));
    assert!(key.parse::<PublicKey>().is_ok());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(run(&space, &["key", "generate", "laptop"], 2).1.contains("there is a key 'laptop' already"));
    let state = || run(&space, &["key", "list"], 0).0["keys"][0].clone();
    assert_eq!((state()["state"].as_str(), state()["signs"].as_bool()), (Some("foreign"), Some(false)));
    assert_eq!(run(&space, &["key", "trust", "laptop"], 0).0["changed"], true);
    assert_eq!(run(&space, &["key", "trust", key], 0).0["changed"], false);
    assert_eq!(
        (state()["state"].as_str(), state()["signs"].as_bool(), state()["name"].as_str()),
        (Some("trusted"), Some(true), Some("laptop"))
    );

    let secret = fs::read_to_string(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let (_, told) = run(&space, &["build", TABLE], 2);
    assert!(told.contains("can be read or changed by others") && told.contains("hint: chmod 600"), "{told}");
    assert!(!told.contains(secret.trim()));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();

    assert_eq!(run(&space, &["key", "revoke", "laptop"], 0).0["list"], "revoked");
    assert_eq!((state()["state"].as_str(), state()["signs"].as_bool()), (Some("revoked"), Some(false)));
    assert!(run(&space, &["key", "trust", "laptop"], 2).1.contains("is revoked"));
    assert!(run(&space, &["key", "revoke", "nobody"], 2).1.contains("hint: cbi key list"));
    space.write("cbi.toml", "[workspace]\nname = \"x\"\n[trust]\nkeys = [\"rsa:1\"]\n");
    assert!(run(&space, &["key", "list"], 3).1.contains("is not a public key"));
}
