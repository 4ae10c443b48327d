//! A real server process that answers as Google Cloud Storage does, for one test. Invariant: it listens on a port that was free, keeps all in memory,
//! and ends with the test.
#![allow(dead_code, clippy::unwrap_used, reason = "each test binary uses a part")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cbi::mirror::stores::Address;
use serde_json::json;

/// A running server.
pub struct Gcs {
    server: Child,
    folder: tempfile::TempDir,
    /// Its address.
    pub endpoint: String,
}

impl Drop for Gcs {
    fn drop(&mut self) {
        _ = self.server.kill();
        _ = self.server.wait();
    }
}

impl Gcs {
    /// Starts an empty one. Where test.sh installed none the test is skipped, which it says; with `CI=true` it fails.
    #[allow(clippy::print_stderr, reason = "test.sh counts the line")]
    pub fn start() -> Option<Self> {
        let Some(home) = std::env::var_os("CBI_TEST_GCS") else {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "CBI_TEST_GCS is not set, and CI skips nothing");
            eprintln!("skipped: needs the GCS server that test.sh installs");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let place = format!("127.0.0.1:{port}");
        let endpoint = format!("http://{place}");
        let server = Command::new(Path::new(&home).join("server"))
            .args(["-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", &port.to_string()])
            .args(["-external-url", &endpoint, "-public-host", &place])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut started = Self { server, folder, endpoint };
        started.wait_until_up();
        Some(started)
    }

    fn wait_until_up(&mut self) {
        let begun = Instant::now();
        while ureq::get(format!("{}/storage/v1/b?project=p", self.endpoint)).call().is_err() {
            let ended = self.server.try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < Duration::from_mins(1), "no server: {ended:?}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the server said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Makes a bucket, and says where a folder in it is.
    pub fn bucket(&self, name: &str) -> Address {
        let made = ureq::post(format!("{}/storage/v1/b?project=p", self.endpoint)).header("content-type", "application/json");
        made.send(json!({ "name": name }).to_string().as_bytes()).unwrap();
        Address { url: format!("gs://{name}/a/mirror"), endpoint: Some(self.endpoint.clone()), anonymous: true, ..Address::default() }
    }
}
