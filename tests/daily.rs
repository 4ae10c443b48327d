//! Promises about the unattended run: it waits for sources and no longer than it was told, goes on where it may, leaves a report, and of a failure
//! somebody is told. Invariant: the files that come and the program that is told are real.
#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/space.rs"]
mod space;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread::JoinHandle;

use serde_json::Value;
use space::{Built, TestSpace};

const OLD: &str = "date,price\n2025-01-02,10\n2025-01-03,11\n";
const NEW: &str = "date,price\n2025-01-02,10\n2025-01-03,11\n2025-01-08,12\n";
const DAY: [&str; 2] = ["--as-of", "2025-01-09"];

/// A table that must be fresh, one above it, a step beside them, and a program that is told.
fn space(severity: &str) -> TestSpace {
    let space = TestSpace::empty();
    space.write(
        "cbi.toml",
        "[workspace]\nname = \"oil\"\n[notify]\ncommand = [\"sh\", \"-c\", \"(echo $CBI_OUTCOME $CBI_CODE; cat) > told\"]\n",
    );
    space.write("warehouse/m.raw.csv", OLD);
    let text = format!(
        "[table.\"m.raw\"]\ntypes = {{ date = \"DATE\", price = \"FLOAT64\" }}\n\
         checks = [{{ fresh = {{ column = \"date\", max_age_days = 3 }}, severity = \"{severity}\" }}]\n\
         [sql.\"m.above\"]\nquery = \"SELECT date, price * 2 AS twice FROM m.raw\"\n\
         [command.\"beside\"]\nshell = \"echo fine > o\"\noutputs = [\"o\"]\n"
    );
    space.write("recipes/all.toml", text);
    space
}

fn daily(space: &TestSpace, arguments: &[&str]) -> Built {
    let all: Vec<&str> = ["daily"].iter().chain(&DAY).chain(arguments).copied().collect();
    Built::of(&space.command(&all).output().unwrap())
}

/// The text of the one report there is.
fn report(space: &TestSpace) -> String {
    let all: Vec<_> = fs::read_dir(space.path(".cbi-cache/reports")).unwrap().collect();
    assert_eq!(all.len(), 1, "a second run of a day takes the place of the first");
    fs::read_to_string(all[0].as_ref().unwrap().path()).unwrap()
}

#[test]
fn it_waits_until_the_table_has_come() {
    let space = space("error");
    let mut command = space.command(&["daily", "--as-of", "2025-01-09", "--for", "5m", "--every", "100ms"]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = lines.next().unwrap().unwrap();
    assert!(first.starts_with("waiting until ") && first.ends_with("for m.raw"), "{first}");
    // It comes whole: first under another name.
    space.write("warehouse/.coming", NEW);
    fs::rename(space.path("warehouse/.coming"), space.path("warehouse/m.raw.csv")).unwrap();
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert!(child.wait().unwrap().success(), "{rest:?}");
    let report = report(&space);
    assert!(report.starts_with("# oil: ok\n") && report.contains("for 1 table: all have come."), "{report}");
    assert!(report.contains("- m.raw: the newest date is 2025-01-08, the day before 2025-01-09"), "{report}");
    assert!(!space.path("told").exists(), "of a good day nobody is told");
}

#[test]
fn after_the_deadline_it_builds_what_it_can_and_tells_of_the_rest() {
    let space = space("error");
    let built = daily(&space, &["--for", "300ms", "--every", "100ms", "--report", "page.md"]);
    assert_eq!(built.code, 8, "{}{}", built.stdout, built.stderr);
    assert_eq!(space.read(".cbi-cache/out/beside/o"), "fine\n");
    let report = report(&space);
    assert!(report.starts_with("# oil: refused\n") && report.contains("these have not come"), "{report}");
    assert!(report.contains("**m.raw**: check 'fresh date 3 days'") && report.contains("- m.above: needs m.raw"), "{report}");
    assert_eq!(space.read("page.md"), report);
    assert_eq!(space.read("told"), format!("refused 8\n{report}"));
}

#[test]
fn where_age_only_warns_the_build_goes_on_after_the_deadline() {
    let space = space("warn");
    let built = daily(&space, &["--wait-until", "00:00", "--json"]);
    assert_eq!(built.code, 0, "{}{}", built.stdout, built.stderr);
    let page: Value = serde_json::from_str(&built.stdout).unwrap();
    assert_eq!((&page["outcome"], &page["waited"]["missing"][0][0]), (&"ok".into(), &"m.raw".into()));
    assert_eq!(page["ages"][0]["fresh"], false);
    assert!(page["warnings"][0][1].as_str().unwrap().contains("'fresh date 3 days'"), "{page}");
    let ran: Vec<&str> = page["ran"].as_array().unwrap().iter().map(|step| step[0].as_str().unwrap()).collect();
    assert_eq!(ran.len(), 3, "the table was imported while waiting: {ran:?}");
}

#[test]
fn a_failed_step_is_told_with_its_error_and_without_waiting_nothing_is_waited_for() {
    let space = space("warn");
    let more = "[command.\"broken\"]\nshell = \"echo nothing to read >&2; exit 4\"\noutputs = [\"o\"]\n";
    space.write("recipes/more.toml", more);
    let built = daily(&space, &[]);
    assert_eq!(built.code, 1, "{}{}", built.stdout, built.stderr);
    let report = report(&space);
    assert!(report.contains("- **broken**: it ended with exit code 4") && !report.contains("Waited"), "{report}");
    assert!(report.contains(": 3 ran, 0 reused, 1 failed."), "{report}");
    assert!(space.read("told").starts_with("failed 1\n# oil: failed\n"));
}

#[test]
fn an_invalid_recipe_is_told_too_and_not_waited_for() {
    let space = space("error");
    space.write("recipes/wrong.toml", "[sql.\"m.wrong\"]\nquerry = \"SELECT 1\"\n");
    let built = daily(&space, &["--for", "5m"]);
    assert_eq!(built.code, 3, "{}", built.stderr);
    assert!(built.stderr.contains("querry"), "{}", built.stderr);
    assert!(report(&space).contains("## What kept it from beginning"));
    assert!(space.read("told").starts_with("failed 3\n"));
}

#[test]
fn who_cannot_be_told_is_an_error_beside_the_builds_own_code() {
    let space = space("error");
    space.edit("cbi.toml", "\"sh\"", "\"no-such-program\"");
    let built = daily(&space, &[]);
    assert_eq!(built.code, 8);
    assert!(built.stderr.contains("cannot run 'no-such-program'") && built.stderr.contains("[notify]"), "{}", built.stderr);
}

/// A server on this machine that answers as many requests with these statuses; it gives back what it was sent.
fn server(statuses: &'static [&'static str]) -> (String, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/a/secret/path", listener.local_addr().unwrap());
    let answered = move |(status, stream): (&&str, std::io::Result<TcpStream>)| {
        let mut stream = stream.unwrap();
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let head: Vec<String> = reader.by_ref().lines().map(Result::unwrap).take_while(|line| !line.is_empty()).collect();
        let head = head.join("\n").to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        format!("{head}\n\n{}", String::from_utf8(body).unwrap())
    };
    (address, std::thread::spawn(move || statuses.iter().zip(listener.incoming()).map(answered).collect()))
}

/// As `daily`, with a webhook instead of a program.
fn daily_with_hook(severity: &str, address: &str) -> (TestSpace, Built) {
    let space = space(severity);
    let notify = "[notify]\nwebhook = \"env:HOOK\"\nheaders = { Authorization = \"HOOK_TOKEN\" }\n";
    space.write("cbi.toml", format!("[workspace]\nname = \"oil\"\n{notify}"));
    let mut command = space.command(&["daily", DAY[0], DAY[1]]);
    let built = Built::of(&command.env("HOOK", address).env("HOOK_TOKEN", "Bearer hush").output().unwrap());
    assert!(!format!("{built:?}").contains("secret") && !format!("{built:?}").contains("hush"), "{built:?}");
    (space, built)
}

#[test]
fn a_webhook_gets_the_report_also_where_its_server_failed_at_first() {
    let (address, server) = server(&["500 Internal Server Error", "200 OK"]);
    let (space, built) = daily_with_hook("error", &address);
    assert_eq!(built.code, 8, "{built:?}");
    let sent = server.join().unwrap();
    assert!(sent.len() == 2 && sent[0] == sent[1], "{sent:?}");
    let (head, body) = sent[1].split_once("\n\n").unwrap();
    assert!(head.starts_with("post /a/secret/path http/1.1\n") && head.contains("authorization: bearer hush"), "{head}");
    let body: Value = serde_json::from_str(body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.starts_with("cbi oil: refused; m.raw: check 'fresh date 3 days'"), "{text}");
    assert_eq!((&body["report"]["outcome"], &body["report"]["failed"][0]["target"]), (&"refused".into(), &"m.raw".into()));
    assert!(!report(&space).contains("hush"));
}

#[test]
fn a_webhook_that_takes_nothing_is_an_error_beside_the_builds_own_code() {
    let (address, server) = server(&["403 Forbidden"]);
    let (_, built) = daily_with_hook("error", &address);
    assert_eq!((built.code, server.join().unwrap().len()), (8, 1));
    assert!(built.stderr.contains("answered 403") && built.stderr.contains("'webhook' of [notify]"), "{}", built.stderr);
}

#[test]
fn a_webhook_that_cannot_work_is_told_on_a_good_day_too() {
    let (_, built) = daily_with_hook("warn", "http://hooks.example.org/a/secret/path");
    assert_eq!(built.code, 0, "{built:?}");
    assert!(built.stderr.contains("'http://hooks.example.org' is not https"), "{}", built.stderr);
    let space = space("warn");
    space.write("cbi.toml", "[workspace]\nname = \"oil\"\n[notify]\nwebhook = \"env:HOOK\"\n");
    let built = daily(&space, &[]);
    assert_eq!(built.code, 0, "{built:?}");
    assert!(built.stderr.contains("the variable HOOK is not set"), "{}", built.stderr);
}
