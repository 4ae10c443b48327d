//! Promises about credentials: they reach BigQuery and nothing else. Invariant: every token in these tests is made up by the test, and looked for in all
//! that a build leaves.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

mod bigquery_kit;
mod proxy_kit;
#[path = "common/space.rs"]
mod space;

use std::fs;
use std::path::Path;
use std::process::Command;

use bigquery_kit::{BigQuery, PROJECT};
use proxy_kit::{Fault, Proxy};
use serde_json::json;
use space::{Built, TestSpace};

const TOKEN: &str = "ya29.made-up-4711-by-the-test";

fn space(rest: &str, storage: &str, credentials: &str) -> TestSpace {
    let space = TestSpace::empty();
    let account = format!("[bigquery]\nproject = \"{PROJECT}\"\nendpoint = \"{rest}\"\nstorage_endpoint = \"{storage}\"\n{credentials}\n");
    space.write("cbi.toml", format!("[workspace]\nname = \"t\"\nwarehouse = \"bigquery\"\n{account}"));
    space.write("recipes/all.toml", "[sql.\"a.b\"]\nquery = \"SELECT * FROM m.t\"\nkey = [\"date\"]\n");
    space
}

fn server() -> Option<BigQuery> {
    let server = BigQuery::start()?;
    server.dataset("m");
    server.query("CREATE TABLE m.t AS SELECT DATE '2025-01-02' AS date, 1.5 AS price");
    Some(server)
}

/// The secret is in no file below the folder but those named, and was not printed.
fn is_kept(secret: &str, space: &TestSpace, built: &Built, but: &[&str]) {
    assert!(!built.stdout.contains(secret) && !built.stderr.contains(secret), "{built:?}");
    let mut folders = vec![space.root().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if entry.is_dir() && !entry.is_symlink() {
                folders.push(entry);
            } else if !but.iter().any(|name| entry.ends_with(name)) {
                let bytes = fs::read(&entry).unwrap_or_default();
                assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{}", entry.display());
            }
        }
    }
}

#[test]
fn a_token_that_a_command_prints_is_sent_and_is_nowhere_else() {
    let Some(server) = server() else { return };
    let proxy = Proxy::before(&server.rest);
    let space = space(&proxy.address, &server.storage, "token_command = [\"sh\", \"-c\", \"cat $HOME/token; echo $HOME/token >&2\"]");
    space.write("token", format!("{TOKEN}\n"));
    let built = space.build(&["a.b", "--verbose"]).ok();
    let sent = format!("Bearer {TOKEN}");
    let asked: Vec<_> = proxy.seen().into_iter().filter(|request| request.path.contains("/tables/")).collect();
    assert!(!asked.is_empty() && asked.iter().all(|request| request.authorization.as_deref() == Some(&sent)), "{asked:?}");
    is_kept(TOKEN, &space, &built, &["token"]);

    // Nor is it in what a refusal says.
    let refusal =
        json!({"error": {"code": 401, "message": "Request had invalid authentication credentials.", "errors": [{"reason": "authError"}]}});
    proxy.plan(move |_, request| request.path.contains("/tables/").then(|| Fault::Answer(401, Vec::new(), refusal.to_string())));
    let refused = space.build(&["a.b"]);
    assert!(refused.code == 6 && refused.stderr.contains("HTTP 401") && refused.stderr.contains("hint: "), "{refused:?}");
    is_kept(TOKEN, &space, &refused, &["token"]);

    // A command that fails says how it ended.
    space.write("token", "");
    proxy.plan(|_, _| None);
    let none = space.build(&["a.b"]);
    assert!(none.code == 6 && none.stderr.contains("token_command printed no token"), "{none:?}");
}

#[test]
fn a_service_account_file_gets_a_token_and_its_key_is_nowhere_else() {
    let Some(server) = server() else { return };
    let home = std::env::var("CBI_TEST_BIGQUERY").unwrap();
    let make_key = "from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives import serialization as s
key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
print(key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode(), end='')";
    let made = Command::new(Path::new(&home).join("bin/python3")).args(["-c", make_key]).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let key = String::from_utf8(made.stdout).unwrap();
    let rest = Proxy::before(&server.rest);
    let issuer = Proxy::before(&server.rest);
    let space = space(&rest.address, &server.storage, "credentials = \"account.json\"");
    let account = json!({
        "type": "service_account", "project_id": PROJECT, "private_key_id": "1", "private_key": key, "client_id": "1",
        "client_email": "builder@p1.iam.gserviceaccount.com", "token_uri": format!("{}/token", issuer.address),
    });
    space.write("account.json", account.to_string());
    let answer = json!({"access_token": TOKEN, "expires_in": 3600, "token_type": "Bearer"}).to_string();
    issuer.plan(move |_, _| Some(Fault::Answer(200, vec![("content-type".into(), "application/json".into())], answer.clone())));
    let built = space.build(&["a.b"]).ok();
    assert!(issuer.seen().iter().any(|request| request.body.contains("grant_type=") && request.body.contains("assertion=")));
    let sent = format!("Bearer {TOKEN}");
    assert!(rest.seen().iter().any(|request| request.authorization.as_deref() == Some(&sent)), "{:?}", rest.seen());
    is_kept(TOKEN, &space, &built, &[]);
    is_kept(key.lines().nth(3).unwrap(), &space, &built, &["account.json"]);

    // A file that is none says so without what it holds.
    space.write("account.json", format!("{{\"type\": \"service_account\", \"private_key\": \"{}\"", key.lines().nth(3).unwrap()));
    let none = space.build(&["a.b"]);
    assert!(none.code == 6 && none.stderr.contains("account.json: it is no credentials file"), "{none:?}");
    is_kept(key.lines().nth(3).unwrap(), &space, &none, &["account.json"]);
}
