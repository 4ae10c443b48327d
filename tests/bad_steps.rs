//! Promises about steps that go wrong while they run, and about caches that cannot be used. Invariant: a failed step leaves no result and no half
//! output, and the next build goes on from what was recorded.
#![allow(clippy::unwrap_used)]

#[path = "common/space.rs"]
mod space;

use std::fs;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use space::{Built, TestSpace};

/// How long a test waits for what must come.
const LONG: Duration = Duration::from_mins(1);

fn command(name: &str, keys: &str) -> String {
    format!("[command.\"{name}\"]\n{keys}\n")
}

fn with(recipes: &[String]) -> TestSpace {
    let space = TestSpace::empty();
    space.write("recipes/a.toml", recipes.concat());
    space
}

/// The step alone fails with exit code 1 and these words; nothing of it stays.
fn fails(space: &TestSpace, target: &str, words: &[&str]) -> Built {
    let built = space.build(&[target]);
    assert_eq!(built.code, 1, "{}\n{}", built.stdout, built.stderr);
    let failure = built.failure(target);
    let said = format!("{}\n{}", failure["error"].as_str().unwrap(), failure["hint"].as_str().unwrap_or_default());
    for word in words {
        assert!(said.contains(word), "'{word}' is not said:\n{said}");
    }
    assert_eq!(built.counts, Some((0, 0, 1)));
    assert_eq!(space.results(), 0);
    assert!(!space.path(".cbi-cache/out").join(target).exists());
    assert_eq!(space.leftovers(), [""; 0]);
    built
}

#[test]
fn a_program_that_is_not_on_this_machine_is_named_with_where_it_was_looked_for() {
    let space = with(&[command("a", "run = [\"python3-of-nowhere\", \"x.py\"]\noutputs = [\"o\"]")]);
    fails(&space, "a", &["'python3-of-nowhere' is not on this machine", "install python3-of-nowhere", "/usr/bin"]);
    let space = with(&[command("a", "shell = \"cat undeclared > o\"\noutputs = [\"o\"]")]);
    space.write("undeclared", "1");
    fails(&space, "a", &["exit code 1", "it sees only what its recipe declares"]);
    let space = with(&[command("a", "shell = \"python3-of-nowhere > o\"\noutputs = [\"o\"]")]);
    let built = fails(&space, "a", &["was not found", "install it"]);
    assert!(built.failure("a")["log_tail"].to_string().contains("python3-of-nowhere"));
}

#[test]
fn an_output_too_few_and_one_too_many_are_named() {
    fails(&with(&[command("a", "shell = \"echo 1 > o\"\noutputs = [\"o\", \"p\"]")]), "a", &["'p' was not written", "'outputs'"]);
    fails(&with(&[command("a", "shell = \"echo 1 > o; echo 2 > q\"\noutputs = [\"o\"]")]), "a", &["'q' was written but", "'outputs'"]);
    fails(&with(&[command("a", "shell = \"ln -s /etc/passwd o\"\noutputs = [\"o\"]")]), "a", &["link"]);
    fails(&with(&[command("a", "shell = \"mkdir o\"\noutputs = [\"o\"]")]), "a", &["o"]);
}

#[test]
fn a_failing_program_shows_its_code_and_its_last_lines() {
    let space = with(&[command("a", "shell = \"echo working; echo 1 > o; echo broken >&2; exit 3\"\noutputs = [\"o\"]")]);
    let built = fails(&space, "a", &["exit code 3"]);
    assert_eq!(built.failure("a")["log_tail"], serde_json::json!(["working", "broken"]));
    let plain = space.build_plainly(&["a"]);
    assert_eq!(plain.code, 1);
    assert!(plain.stdout.contains("broken") && plain.stdout.contains("cbi build a"), "{}", plain.stdout);
}

#[test]
fn a_program_that_a_signal_ends_is_a_failure_that_names_it() {
    fails(
        &with(&[command("a", "shell = \"echo 1 > o; kill -SEGV $$\"\noutputs = [\"o\"]")]),
        "a",
        &["signal 11 (SEGV)", "the program crashed"],
    );
    fails(&with(&[command("a", "shell = \"echo 1 > o; kill -KILL $$\"\noutputs = [\"o\"]")]), "a", &["signal 9", "memory"]);
}

#[test]
fn a_step_that_outstays_its_time_is_ended_with_its_children() {
    let space = with(&[command("a", "shell = \"sleep 300 & sleep 300\"\noutputs = [\"o\"]\ntimeout = \"1s\"")]);
    let began = Instant::now();
    fails(&space, "a", &["timeout of 1.0s", "raise 'timeout'"]);
    assert!(began.elapsed() < LONG);
    assert_eq!(running_in(&space), 0);
}

#[test]
fn keep_going_builds_all_that_does_not_need_the_failure() {
    let recipes = [
        command("bad", "shell = \"exit 1\"\noutputs = [\"bad\"]"),
        command("above", "shell = \"cat bad > above\"\nneeds = [\"bad\"]\noutputs = [\"above\"]"),
        command("good", "shell = \"sleep 1; echo 1 > good\"\noutputs = [\"good\"]\npriority = -1"),
        command("better", "shell = \"cat good > better\"\nneeds = [\"good\"]\noutputs = [\"better\"]"),
    ];
    let built = with(&recipes).build(&["-k", "-j", "1", "**"]);
    assert_eq!((built.code, built.counts), (1, Some((2, 0, 1))), "{}", built.stdout);
    let blocked = built.events.iter().find(|e| e["event"] == "blocked").unwrap();
    assert_eq!((&blocked["target"], &blocked["by"]), (&"above".into(), &"bad".into()));
    let built = with(&recipes).build(&["-j", "1", "**"]);
    assert_eq!((built.code, built.counts), (1, Some((0, 0, 1))), "without -k nothing new is begun: {}", built.stdout);
}

#[cfg(target_os = "linux")]
#[test]
#[allow(clippy::print_stderr)]
fn what_was_not_declared_cannot_be_read() {
    if !cbi::io::jail::available() {
        eprintln!("skipped: this kernel has no Landlock");
        return;
    }
    let space = with(&[command("a", "shell = \"cat \\\"$SECRET\\\" > o\"\noutputs = [\"o\"]\npass_env = [\"SECRET\"]")]);
    space.write("secret", "hidden");
    let output = space.command(&["build", "--json", "a"]).env("SECRET", space.path("secret")).output().unwrap();
    let built = Built::of(&output);
    assert_eq!(built.code, 1, "{}", built.stdout);
    assert!(built.failure("a")["log_tail"].to_string().contains("Permission denied"), "{}", built.stdout);
}

#[test]
fn a_cache_of_a_newer_format_is_left_alone() {
    let space = with(&[command("a", "shell = \"echo 1 > o\"\noutputs = [\"o\"]")]);
    space.build(&["a"]).ran(&["a"]);
    space.write(".cbi-cache/format", "cbi-cache 99\n");
    space.edit("recipes/a.toml", "echo 1", "echo 2");
    let built = space.build(&["a"]);
    assert_eq!((built.code, built.stdout.as_str()), (5, ""), "{}", built.stderr);
    assert!(built.stderr.contains("99") && built.stderr.contains("hint: use the newer cbi"), "{}", built.stderr);
    space.write(".cbi-cache/format", "cbi-cache 1\n");
    assert_eq!(space.results(), 1);
    space.build(&["a"]).ran(&["a"]);
}

#[cfg(target_os = "linux")]
#[test]
#[allow(clippy::print_stderr)]
fn a_cache_that_may_not_be_written_is_said_to_be_so() {
    let space = with(&[command("a", "shell = \"echo 1 > o\"\noutputs = [\"o\"]")]);
    space.build(&["a"]).ran(&["a"]);
    space.edit("recipes/a.toml", "echo 1", "echo 2");
    // Root may write anywhere: only a read-only mount, in a mount namespace of its own, stops it.
    let mount = "mount --bind .cbi-cache .cbi-cache && mount -o remount,bind,ro .cbi-cache";
    let inside = |script: &str| -> Output {
        let mut unshare = Command::new("unshare");
        unshare.args(["-rm", "sh", "-c", script]).current_dir(space.root()).stdin(Stdio::null()).output().unwrap()
    };
    if !inside(mount).status.success() {
        eprintln!("skipped: cannot make a read-only mount here");
        return;
    }
    let built = Built::of(&inside(&format!("{mount} && exec {} build --json a", space::CBI)));
    assert_eq!((built.code, built.stdout.as_str()), (1, ""), "{}", built.stderr);
    assert!(built.stderr.contains("hint: make the folder writable"), "{}", built.stderr);
    assert_eq!(space.results(), 1);
    space.build(&["a"]).ran(&["a"]);
}

/// A build that has been started and not waited for.
struct Going(Child);

impl Going {
    fn start(space: &TestSpace, targets: &[&str]) -> Self {
        let all: Vec<&str> = ["build", "--json"].iter().chain(targets).copied().collect();
        Self(space.command(&all).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn signal(&self, name: &str) {
        signal(name, self.0.id());
    }

    fn end(self) -> Built {
        Built::of(&self.0.wait_with_output().unwrap())
    }
}

fn signal(name: &str, pid: u32) {
    assert!(Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap().success());
}

fn wait_until(what: &str, mut ready: impl FnMut() -> bool) {
    let began = Instant::now();
    while !ready() {
        assert!(began.elapsed() < LONG, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes whose working folder is in the workspace's cache.
fn running_in(space: &TestSpace) -> usize {
    let cache = fs::canonicalize(space.root()).unwrap().join(".cbi-cache");
    let processes = fs::read_dir("/proc").into_iter().flatten().filter_map(Result::ok);
    processes.filter(|p| fs::read_link(p.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&cache))).count()
}

#[cfg(target_os = "linux")]
#[test]
fn ctrl_c_ends_the_build_and_its_children_and_the_next_build_goes_on() {
    let space = with(&[
        command("done", "shell = \"echo 1 > done\"\noutputs = [\"done\"]"),
        command(
            "long",
            "shell = \"sleep 300 & sleep $N; cat done > long\"\nneeds = [\"done\"]\noutputs = [\"long\"]\nenv = { N = \"300\" }",
        ),
    ]);
    let going = Going::start(&space, &["long"]);
    wait_until("it sleeps", || running_in(&space) >= 2);
    going.signal("INT");
    let built = going.end();
    assert_eq!((built.code, built.counts), (130, Some((1, 0, 0))), "{}\n{}", built.stdout, built.stderr);
    assert_eq!(built.events.last().unwrap()["outcome"], "interrupted");
    wait_until("no child lives", || running_in(&space) == 0);
    assert_eq!(space.leftovers(), [""; 0]);
    space.edit("recipes/a.toml", "\"300\"", "\"0\"");
    space.build(&["long"]).ran(&["long"]);
}

#[cfg(target_os = "linux")]
#[test]
fn two_builds_of_which_one_is_stopped_each_come_to_a_clear_end() {
    let space = with(&[
        command("shared", "shell = \"sleep 2; echo 1 > shared\"\noutputs = [\"shared\"]"),
        command("other", "shell = \"echo 2 > other\"\noutputs = [\"other\"]"),
    ]);
    let first = Going::start(&space, &["shared"]);
    wait_until("it sleeps", || running_in(&space) >= 1);
    first.signal("STOP");
    // What the stopped build does not hold can be built at once.
    space.build(&["other"]).ran(&["other"]);
    // What it is at is waited for, which is said, and Ctrl-C ends the waiting.
    let second = Going::start(&space, &["shared"]);
    std::thread::sleep(Duration::from_secs(1));
    second.signal("INT");
    let second = second.end();
    assert_eq!(second.code, 130, "{}\n{}", second.stdout, second.stderr);
    assert!(second.events.iter().any(|e| e["event"] == "waiting" && e["target"] == "shared"), "{}", second.stdout);
    // Gone on, the first ends well, and whoever waits takes its result.
    let third = Going::start(&space, &["shared"]);
    first.signal("CONT");
    first.end().ran(&["shared"]);
    let third = third.end().ok();
    assert_eq!((third.targets.len(), third.counts), (0, Some((0, 1, 0))), "{}", third.stdout);
}

/// What a build that stopped itself at `step`, holding a lock, does to another command: how it ends, what it complains of, how long it waited.
#[cfg(target_os = "linux")]
fn beside_one_stopped(step: &str, arguments: &[&str]) -> (Built, u32) {
    let space = with(&[
        command("one", "shell = \"echo 1 > one\"\noutputs = [\"one\"]"),
        command("other", "shell = \"echo 2 > other\"\noutputs = [\"other\"]"),
    ]);
    space.build(&["other"]).ran(&["other"]);
    space.edit("recipes/a.toml", "echo 2", "echo 3");
    let mut stopped = space.command(&["build", "--json", "one"]);
    let stopped = stopped.env("CBI_FAILPOINT", format!("at={step}:stop")).stdout(Stdio::piped()).stderr(Stdio::piped());
    let stopped = Going(stopped.spawn().unwrap());
    let pid = stopped.0.id();
    let state = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    wait_until("it has stopped", || state().contains(") T "));
    let began = Instant::now();
    let beside = Built::of(&space.command(arguments).output().unwrap());
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    stopped.signal("CONT");
    stopped.end().ran(&["one"]);
    space.build(&["one", "other"]).ok();
    (beside, pid)
}

#[cfg(target_os = "linux")]
#[test]
fn a_build_stopped_at_a_moment_when_it_holds_a_lock_is_named_to_whoever_needs_it() {
    std::thread::scope(|scope| {
        let index = [&["build", "other"][..], &["status", "other"]].map(|arguments| {
            scope.spawn(move || {
                let (beside, pid) = beside_one_stopped("index.flushed", arguments);
                assert_eq!(beside.code, 7, "{arguments:?}: {}{}", beside.stdout, beside.stderr);
                for said in [format!("the index of results is in use by process {pid}; waited 10s"), format!("kill -CONT {pid}")] {
                    assert!(beside.stderr.contains(&said), "{arguments:?}: {}", beside.stderr);
                }
            })
        });
        let log = scope.spawn(|| {
            let (beside, pid) = beside_one_stopped("records.before", &["build", "--json", "other"]);
            let failure = beside.failure("other");
            assert_eq!((beside.code, &failure["code"]), (7, &7.into()), "{}", beside.stdout);
            assert_eq!(failure["error"], format!("the journal is in use by process {pid}; waited 10s"));
            assert!(failure["hint"].as_str().unwrap().contains(&format!("kill -CONT {pid}")), "{failure}");
        });
        index.into_iter().chain([log]).for_each(|thread| thread.join().unwrap());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn a_build_killed_while_it_is_stopped_frees_what_it_held() {
    let space = with(&[command("shared", "shell = \"sleep 3; echo 1 > shared\"\noutputs = [\"shared\"]")]);
    let first = Going::start(&space, &["shared"]);
    wait_until("it sleeps", || running_in(&space) >= 1);
    first.signal("STOP");
    let second = Going::start(&space, &["shared"]);
    first.signal("KILL");
    _ = first.0.wait_with_output();
    second.end().ran(&["shared"]);
    assert_eq!(space.results(), 1);
}
