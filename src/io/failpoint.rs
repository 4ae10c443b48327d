//! Owns injected faults. Invariant: while none is armed, a failpoint costs one relaxed load and changes nothing.
//!
//! `CBI_FAILPOINT` holds one rule, `WHEN:WHAT`. WHEN is `nth=17` (the 17th file operation), `from=17` (that one and all after it) or
//! `at=blob.renamed` (the step of that name; `at=blob.renamed#3` its third time). WHAT is `eio`, `enospc`, `kill` (SIGKILL to
//! ourselves), `tear` (half of a write, then SIGKILL) or `stop` (SIGSTOP to ourselves, then on as if nothing had been).

use std::env;
use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use rustix::process::{Signal, getpid, kill_process};

const UNREAD: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(UNREAD);
static ARMED: Mutex<Armed> = Mutex::new(Armed { rule: None, calls: 0, times: 0 });

struct Armed {
    rule: Option<Rule>,
    /// File operations met since arming.
    calls: u64,
    /// How often the rule's step was met.
    times: u64,
}

/// When to fail and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    when: When,
    what: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum When {
    Nth(u64),
    From(u64),
    At(String, u64),
    Never,
}

/// What happens at an armed failpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The operation fails as on a broken disk.
    Eio,
    /// The operation fails as on a full disk.
    Enospc,
    /// The process dies at once.
    Kill,
    /// Half of a write reaches the file, then the process dies.
    Tear,
    /// The process stands still until it is continued.
    Stop,
}

impl Rule {
    /// Counts operations and fails none.
    pub const COUNT: Self = Self { when: When::Never, what: Fault::Eio };

    /// Reads `WHEN:WHAT`; `None` where it is not one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (when, what) = text.rsplit_once(':')?;
        let what = match what {
            "eio" => Fault::Eio,
            "enospc" => Fault::Enospc,
            "kill" => Fault::Kill,
            "tear" => Fault::Tear,
            "stop" => Fault::Stop,
            _ => return None,
        };
        let (word, value) = when.split_once('=')?;
        let when = match word {
            "nth" => When::Nth(value.parse().ok()?),
            "from" => When::From(value.parse().ok()?),
            "at" => {
                let (step, time) = value.split_once('#').unwrap_or((value, "1"));
                When::At(step.to_owned(), time.parse().ok()?)
            }
            _ => return None,
        };
        Some(Self { when, what })
    }
}

/// Arms a rule in this process, in place of any other, and counts from nothing. For tests.
pub fn arm(rule: Rule) {
    let mut armed = lock();
    *armed = Armed { rule: Some(rule), calls: 0, times: 0 };
    STATE.store(ON, Relaxed);
}

/// Takes the rule away and says how many file operations were met since it was armed.
pub fn disarm() -> u64 {
    let mut armed = lock();
    STATE.store(OFF, Relaxed);
    armed.rule = None;
    armed.calls
}

/// A named step of an order that a crash must not break.
///
/// # Errors
/// Where a rule says so.
pub fn step(name: &str) -> io::Result<()> {
    match state() {
        OFF => Ok(()),
        _ => strike(met_step(name)),
    }
}

/// One file operation is about to happen.
///
/// # Errors
/// Where a rule says so.
pub fn hit(operation: &str, path: &Path) -> io::Result<()> {
    strike(fault(operation, path))
}

/// As [`hit`], for a write, which may be left half done: the caller writes half of its bytes before it calls [`strike`].
#[must_use]
pub fn fault(_operation: &str, _path: &Path) -> Option<Fault> {
    match state() {
        OFF => None,
        _ => met_call(),
    }
}

/// Lets the fault happen.
///
/// # Errors
/// The fault, where it is one that leaves us alive.
pub fn strike(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        None => Ok(()),
        Some(Fault::Eio) => Err(rustix::io::Errno::IO.into()),
        Some(Fault::Enospc) => Err(rustix::io::Errno::NOSPC.into()),
        Some(Fault::Stop) => Ok(kill_process(getpid(), Signal::STOP)?),
        Some(Fault::Kill | Fault::Tear) => {
            let _ = kill_process(getpid(), Signal::KILL);
            std::process::abort()
        }
    }
}

fn state() -> u8 {
    match STATE.load(Relaxed) {
        UNREAD => read_environment(),
        known => known,
    }
}

#[cold]
fn read_environment() -> u8 {
    let mut armed = lock();
    if STATE.load(Relaxed) == UNREAD {
        armed.rule = env::var("CBI_FAILPOINT").ok().and_then(|text| Rule::parse(&text));
        STATE.store(if armed.rule.is_some() { ON } else { OFF }, Relaxed);
    }
    STATE.load(Relaxed)
}

fn met_call() -> Option<Fault> {
    let mut armed = lock();
    armed.calls += 1;
    let calls = armed.calls;
    let rule = armed.rule.as_ref()?;
    let now = match rule.when {
        When::Nth(n) => calls == n,
        When::From(n) => calls >= n,
        When::At(..) | When::Never => false,
    };
    now.then_some(rule.what)
}

fn met_step(name: &str) -> Option<Fault> {
    let mut armed = lock();
    let rule = armed.rule.clone()?;
    let When::At(step, time) = rule.when else { return None };
    if step != name {
        return None;
    }
    armed.times += 1;
    (armed.times == time).then_some(rule.what)
}

fn lock() -> std::sync::MutexGuard<'static, Armed> {
    ARMED.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_reads_as_documented_and_nonsense_is_none() {
        assert_eq!(Rule::parse("nth=17:eio"), Some(Rule { when: When::Nth(17), what: Fault::Eio }));
        assert_eq!(Rule::parse("from=2:enospc"), Some(Rule { when: When::From(2), what: Fault::Enospc }));
        assert_eq!(Rule::parse("at=blob.renamed#3:kill"), Some(Rule { when: When::At("blob.renamed".into(), 3), what: Fault::Kill }));
        assert_eq!(Rule::parse("nth=1:stop"), Some(Rule { when: When::Nth(1), what: Fault::Stop }));
        for nonsense in ["", "nth=17", "nth=x:eio", "nth=1:explode", "when=1:eio"] {
            assert_eq!(Rule::parse(nonsense), None, "{nonsense}");
        }
    }
}
