//! A real server process that answers as S3 does, for one test. Invariant: it listens on a port that was free, keeps all in memory, and ends with the test.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cbi::mirror::stores::Address;
use serde_json::json;

/// The server looks whether an object is there and puts it in two steps, so two requests that put one object if it is absent may both be told that they did, once in some thousand races.
/// S3 does it in one; so does this server where it answers one request after the other.
const ONE_BY_ONE: &str = "
import threading, moto.server as server
lock, answer = threading.Lock(), server.DomainDispatcherApplication.__call__
def one_by_one(self, environ, start_response):
    with lock:
        return answer(self, environ, start_response)
server.DomainDispatcherApplication.__call__ = one_by_one
server.main()
";

/// A running server.
pub struct S3 {
    server: Child,
    folder: tempfile::TempDir,
    /// Its address.
    pub endpoint: String,
}

impl Drop for S3 {
    fn drop(&mut self) {
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

impl S3 {
    /// Starts an empty one. Where test.sh installed none the test is skipped, which it says; with `CI=true` it fails.
    #[allow(clippy::print_stderr, reason = "test.sh counts the line")]
    pub fn start() -> Option<Self> {
        let Some(home) = std::env::var_os("CBI_TEST_S3") else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CBI_TEST_S3 is not set, and CI skips nothing");
            eprintln!("skipped: needs the S3 server that test.sh installs");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let server = Command::new(Path::new(&home).join("bin/python3"))
            .args(["-c", ONE_BY_ONE, "-H", "127.0.0.1", "-p", &port])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut started = Self { server, folder, endpoint: format!("http://127.0.0.1:{port}") };
        started.wait_until_up();
        Some(started)
    }

    fn wait_until_up(&mut self) {
        let begun = Instant::now();
        while ureq::get(format!("{}/moto-api/data.json", self.endpoint)).call().is_err() {
            let ended = self.server.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < Duration::from_mins(2), "no server: {ended:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What the server said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Makes a bucket that needs no account, and says where a folder in it is.
    pub fn bucket(&self, name: &str) -> Address {
        ureq::put(format!("{}/{name}", self.endpoint)).send_empty().unwrap();
        let all = json!({"Effect": "Allow", "Principal": "*", "Action": "s3:*", "Resource": format!("arn:aws:s3:::{name}/*")});
        let policy = json!({"Version": "2012-10-17", "Statement": [all]}).to_string();
        let put = ureq::put(format!("{}/{name}?policy", self.endpoint)).header("content-type", "application/json");
        put.send(policy.as_bytes()).unwrap();
        Address { url: format!("s3://{name}/a/mirror"), endpoint: Some(self.endpoint.clone()), anonymous: true, ..Address::default() }
    }
}
