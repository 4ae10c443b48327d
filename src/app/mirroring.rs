//! Owns what a build has to do with its mirror. Invariant: a build goes on whatever the mirror does, and ends by saying what is not in it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use crate::app::keys;
use crate::app::looks;
use crate::app::problem::{Outcome, Problems};
use crate::app::remote_builds;
use crate::app::workspace::Workspace;
use crate::base::diagnostic::{Diagnostic, ExitCode, in_one_line};
use crate::base::digest::{ActionKey, BuildId};
use crate::exec::deliver::delivers;
use crate::mirror::bucket::Bucket;
use crate::mirror::client::Mirror;
use crate::mirror::error::{MirrorError, MirrorResult};
use crate::mirror::looks::Known;
use crate::mirror::seen::Seen;
use crate::mirror::stores::Address;
use crate::model::build::Build;
use crate::model::event::{Event, EventSink, TimeLeft};
use crate::model::result::ActionResult;
use crate::registry::journal::BuiltTargets;
use crate::store::action_cache::Session;
use crate::store::error::StoreError;
use crate::store::root::Root;
use crate::syntax::settings;

/// Results that go up together: the mirror is asked for its epochs once for all of them.
const TOGETHER: usize = 32;

/// How often the end of a build looks whether all of it is in the mirror.
const TICK: Duration = Duration::from_millis(50);
/// Looks between two words about it, and before the first.
const TOLD_EVERY: u32 = 20;
const TOLD_FIRST: u32 = 4;

/// The mirror of a workspace, for one build.
#[derive(Debug, Default)]
pub struct Remote {
    mirror: Option<Mirror>,
    /// Why there is none although the settings name one.
    why_not: Option<String>,
    /// Whether the files of the warehouse that builds read are put there.
    sources: bool,
}

/// The bucket of the workspace's mirror, where its settings name one: whose records in it count, and what was seen of it before. `most` bytes a second
/// take the place of what the settings say.
///
/// # Errors
/// When a key cannot be used; the inner result is why the bucket cannot be opened.
pub fn bucket(workspace: &Workspace, root: &Root, most: Option<u64>) -> Outcome<Option<MirrorResult<Bucket>>> {
    let Some(mirror) = workspace.settings.mirror.clone() else { return Ok(None) };
    let trust = keys::trust(workspace, &mirror.name)?;
    let settings::Mirror { url, endpoint, anonymous, limit, timeout, name, .. } = mirror;
    let address = Address { url, endpoint, anonymous, limit: most.or(limit), timeout };
    Ok(Some(Bucket::open(&address).map(|bucket| bucket.known(trust, Seen::of(root, &name)))))
}

/// Whether the files of the warehouse that builds read are put into the workspace's mirror.
#[must_use]
pub fn takes_sources(workspace: &Workspace) -> bool {
    workspace.settings.mirror.as_ref().is_some_and(|mirror| mirror.sources)
}

/// A mirror that failed, as the end of a use-case.
#[must_use]
#[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
pub fn problems(error: MirrorError) -> Problems {
    missing(&error)
}

/// The same of one that is still needed.
#[must_use]
pub fn missing(error: &MirrorError) -> Problems {
    let mut diagnostic = Diagnostic::of(error.code(), error);
    diagnostic.hint = error.hint();
    vec![diagnostic]
}

impl Remote {
    /// The mirror that the settings name; one that is not there now is no reason not to build.
    ///
    /// # Errors
    /// When its address is none, or a key cannot be used.
    pub fn open(workspace: &Workspace, root: &Root, wanted: bool) -> Outcome<Self> {
        let bucket = if wanted { bucket(workspace, root, None)? } else { None };
        let Some(bucket) = bucket else { return Ok(Self::default()) };
        let sources = takes_sources(workspace);
        match bucket {
            Ok(bucket) => Ok(Self { mirror: Some(Mirror::new(bucket)), why_not: None, sources }),
            Err(error) if error.code() == ExitCode::Invalid => Err(problems(error)),
            Err(error) => Ok(Self { why_not: Some(in_one_line(&error)), ..Self::default() }),
        }
    }

    /// The mirror, where there is one.
    #[must_use]
    pub fn mirror(&self) -> Option<&Mirror> {
        self.mirror.as_ref()
    }

    /// Runs a build, and puts what it makes into the mirror meanwhile; then waits until all of it is there, or `cancel` says that nobody does.
    pub fn during<T>(
        &self,
        session: &Session,
        cancel: &AtomicBool,
        sink: &mut dyn EventSink,
        build: impl FnOnce(&mut dyn EventSink) -> T,
    ) -> T {
        let Some(mirror) = &self.mirror else {
            let mut told = Told { sink, made: None, count: 0, stop: &|| {} };
            let built = build(&mut told);
            let unpushed = told.count;
            if let Some(why) = &self.why_not {
                sink.event(&event(None, Up { unpushed, ..Up::default() }, Some(why.clone())));
            }
            return built;
        };
        let stop = || {
            if cancel.load(Ordering::Relaxed) {
                mirror.stop();
            }
        };
        let (send, receive) = channel();
        let pushed = AtomicU64::new(0);
        let (built, up) = std::thread::scope(|scope| {
            let pusher = scope.spawn(|| Up::all(mirror, session, receive, &pushed));
            let mut told = Told { sink: &mut *sink, made: Some(send), count: 0, stop: &stop };
            let built = build(&mut told);
            let count = told.count;
            drop(told);
            let all = || pusher.is_finished();
            wait(mirror, (&all, &stop), sink, || (pushed.load(Ordering::Relaxed), count));
            (built, pusher.join().unwrap_or(Up { unpushed: count, ..Up::default() }))
        });
        let failure = mirror.failure();
        let refused = !mirror.bucket().trust().refused().is_empty();
        if mirror.pulled().0 + up.pushed + up.unpushed > 0 || failure.is_some() || refused {
            sink.event(&event(Some(mirror), up, failure));
        }
        built
    }

    /// Puts the record of a build that is over into the mirror, with what it stood on and the looks at test rows that it made, when all that it made is there;
    /// says why where it is not. Who asks to stop is not made to wait.
    pub fn tell(
        &self,
        session: &Session,
        cancel: &AtomicBool,
        sink: &mut dyn EventSink,
        (ended, targets): (&(BuildId, Build), &BuiltTargets),
    ) -> Option<String> {
        let mirror = self.mirror.as_ref().filter(|mirror| mirror.is_well())?;
        let stop = || {
            if cancel.load(Ordering::Relaxed) {
                mirror.stop();
            }
        };
        let told = std::thread::scope(|scope| {
            let teller = scope.spawn(|| {
                let looks = looks::made(session, &ended.1, targets)?;
                // The index is not held while the mirror is asked.
                session.release()?;
                // Where that fails, so does what follows, and says why.
                _ = mirror.ask(|bucket| Known::in_bucket(session.root(), bucket).meet(bucket, &looks));
                Ok::<_, StoreError>(mirror.ask(|bucket| remote_builds::push(bucket, session, std::slice::from_ref(ended), self.sources)))
            });
            let all = || teller.is_finished();
            wait(mirror, (&all, &stop), sink, || (0, 1));
            teller.join()
        });
        match told {
            Ok(Ok(Some(pushed))) if pushed.broken == 0 => None,
            Ok(Ok(Some(_))) => Some("something that it stood on has changed while it was at work".to_owned()),
            Ok(Err(error)) => Some(in_one_line(&error)),
            _ => Some(mirror.failure().unwrap_or_else(|| "it broke off".to_owned())),
        }
    }

    /// Whether results were left out of the mirror because somebody asked to stop.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.mirror.as_ref().is_some_and(|mirror| mirror.stopped() && mirror.failure().is_some())
    }
}

/// Waits until `all` is done, and says how far it is: so many of so many.
fn wait(mirror: &Mirror, (all, stop): (&dyn Fn() -> bool, &dyn Fn()), sink: &mut dyn EventSink, far: impl Fn() -> (u64, u64)) {
    let mut ticks = 0;
    while !all() {
        stop();
        if ticks % TOLD_EVERY == TOLD_FIRST {
            let (pushed, of) = far();
            sink.event(&Event::Pushing { pushed, of, bytes: mirror.bucket().sent() });
        }
        sink.tick();
        ticks += 1;
        std::thread::sleep(TICK);
    }
}

fn event(mirror: Option<&Mirror>, up: Up, failure: Option<String>) -> Event {
    let (pulled, pulled_bytes) = mirror.map(Mirror::pulled).unwrap_or_default();
    let refused = mirror.map(|mirror| mirror.bucket().trust().refused()).unwrap_or_default();
    Event::Mirrored { pulled, pulled_bytes, pushed: up.pushed, pushed_bytes: up.bytes, unpushed: up.unpushed, failure, refused }
}

/// Hears what is made, and passes everything on.
struct Told<'a> {
    sink: &'a mut dyn EventSink,
    made: Option<Sender<ActionKey>>,
    count: u64,
    /// Looks whether to stop.
    stop: &'a dyn Fn(),
}

impl EventSink for Told<'_> {
    fn event(&mut self, event: &Event) {
        if let Event::Ran { key, .. } = event {
            self.count += 1;
            // Who listens does so until this is dropped.
            _ = self.made.as_ref().map(|made| made.send(*key));
        }
        self.sink.event(event);
    }

    fn tick(&mut self) {
        (self.stop)();
        self.sink.tick();
    }

    fn left(&mut self, left: Option<TimeLeft>) {
        self.sink.left(left);
    }
}

/// What became of the results of a build.
#[derive(Debug, Clone, Copy, Default)]
struct Up {
    pushed: u64,
    bytes: u64,
    unpushed: u64,
}

impl Up {
    /// Puts results into the mirror as their keys arrive, until no more can come; says in `there` how many are.
    #[expect(clippy::needless_pass_by_value, reason = "it goes with the thread that listens")]
    fn all(mirror: &Mirror, session: &Session, made: Receiver<ActionKey>, there: &AtomicU64) -> Self {
        let mut up = Self::default();
        while let Ok(first) = made.recv() {
            let keys: Vec<ActionKey> = std::iter::once(first).chain(made.try_iter().take(TOGETHER - 1)).collect();
            let found: Vec<ActionResult> = keys.iter().filter_map(|key| session.lookup(key).ok().flatten()).collect();
            let lost = (keys.len() - found.len()) as u64;
            let results: Vec<ActionResult> = found.into_iter().filter(|result| !delivers(&result.action)).collect();
            match mirror.store(session, &results) {
                Some(pushed) => {
                    up.pushed += pushed.results;
                    there.store(up.pushed, Ordering::Relaxed);
                    up.bytes += pushed.bytes;
                    up.unpushed += pushed.broken + lost;
                }
                None => up.unpushed += results.len() as u64 + lost,
            }
        }
        up
    }
}
