//! Owns the running of a plan. Invariant: a step is looked up before it runs, runs at most once over all builds of this cache, and its result
//! is recorded before anything above it can start.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::base::clock;
use crate::base::diagnostic::ExitCode;
use crate::exec::adapter;
use crate::exec::executor::{Executor, Observe};
use crate::exec::failure::Failure;
use crate::exec::lanes::{Ended, Lanes, Message, Order, Shop, Work};
use crate::exec::left::Left;
use crate::exec::memory::{self, Running};
use crate::exec::outcome::{Outcome, warned};
use crate::exec::pool::{Need, Pool};
use crate::exec::runner::Job;
use crate::exec::scheduler::Scheduler;
use crate::graph::build::NodeId;
use crate::io::process::Children;
use crate::model::action::Input;
use crate::model::event::{Event, EventSink};
use crate::model::result::{ActionResult, Cost};
use crate::plan::key;
use crate::plan::planner::{Made, Planner};
use crate::store::error::StoreError;

/// How often running steps are looked after: timeouts, Ctrl-C, live lines.
const TICK: Duration = Duration::from_millis(100);

/// How long a result may wait for others to be recorded with, while there is enough to run without what it makes ready.
const GATHER: Duration = Duration::from_millis(50);

/// How often the memory of running steps is looked at: a look costs a few milliseconds.
const LOOK: Duration = Duration::from_millis(250);

/// A build under way.
struct Run<'e, 'p, 'g> {
    executor: &'e Executor<'e>,
    planner: &'p mut Planner<'g>,
    observe: Observe<'p>,
    /// What each step of the graph cost last.
    past: Vec<Option<Cost>>,
    scheduler: Scheduler,
    pool: Pool,
    running: Running,
    /// When their memory was last looked at.
    looked: Instant,
    /// Steps that were ended for their memory and are not back yet.
    outgrown: HashSet<NodeId>,
    jobs: HashMap<NodeId, Job>,
    sink: &'p mut dyn EventSink,
    left: Left,
    outcome: Outcome,
    /// Jobs that are over and not recorded yet, the oldest first.
    ended: Vec<Ended>,
    /// When the oldest of them was over.
    waits_since: Option<Instant>,
    /// Steps that failed before the plan was told.
    early: Vec<(NodeId, Failure)>,
    started: bool,
    stopping: bool,
}

impl Executor<'_> {
    /// Builds everything the planner wants, as far as it can be built.
    ///
    /// # Errors
    /// When the store itself fails; failures of steps are in the outcome.
    pub fn run(&self, planner: &mut Planner, observe: Observe, sink: &mut dyn EventSink) -> Result<Outcome, StoreError> {
        let graph = planner.graph();
        let past: Vec<Option<Cost>> = graph.nodes.iter().map(|node| self.history(node)).collect();
        let past_ms: Vec<Option<u64>> = past.iter().map(|cost| cost.map(|c| c.wall_ms)).collect();
        let mut run = Run {
            executor: self,
            planner,
            observe,
            scheduler: Scheduler::new(graph, &past_ms),
            left: Left::new(past_ms, self.budget.cpus),
            past,
            pool: Pool::new(self.budget),
            running: Running::default(),
            looked: clock::start(),
            outgrown: HashSet::new(),
            jobs: HashMap::new(),
            sink,
            outcome: Outcome::default(),
            ended: Vec::new(),
            waits_since: None,
            early: Vec::new(),
            started: false,
            stopping: false,
        };
        let total = run.planner.wanted().count() as u64;
        run.sweep()?;
        // From here on the index is not held, however long the build: other builds need it too.
        self.session.release()?;
        let reused = run.outcome.counts.reused;
        let expected_ms = run.left.estimate(run.planner).map(|left| left.ms).filter(|ms| *ms > 0);
        run.sink.event(&Event::Planned { total, reused, expected_ms });
        run.outcome.checked.iter().filter_map(|checked| warned(checked, true)).for_each(|event| run.sink.event(&event));
        run.started = true;
        for (id, failure) in std::mem::take(&mut run.early) {
            run.fail(id, failure);
        }
        let children = Children::new();
        let shop = Shop::of(self, &children);
        std::thread::scope(|scope| run.work(Lanes::new(scope, &shop), &children))?;
        Ok(run.outcome)
    }
}

impl Run<'_, '_, '_> {
    /// Looks up everything that is ready; what has no result waits to run.
    fn sweep(&mut self) -> Result<(), StoreError> {
        while let Some(id) = self.planner.next_ready() {
            let job = match self.job(id) {
                Ok(job) => job,
                Err(failure) => {
                    self.fail(id, failure);
                    continue;
                }
            };
            match self.executor.known(&job)? {
                Some(result) => self.reuse(id, &result),
                None if self.stopping => {}
                None => {
                    let node = &self.planner.graph()[id];
                    let need = memory::need(node, self.past[id.index()], Some(job.input_bytes()));
                    self.scheduler.push(id, node.stanza.common.priority, need);
                    self.jobs.insert(id, job);
                }
            }
        }
        Ok(())
    }

    fn work(&mut self, mut lanes: Lanes, children: &Children) -> Result<(), StoreError> {
        loop {
            self.heed_cancel(children);
            self.launch(&mut lanes);
            if self.running.count() == 0 && self.ended.is_empty() {
                return Ok(());
            }
            if self.running.count() > 0 {
                self.listen(&mut lanes);
                self.look_after(children);
                // The next steps run while these are recorded.
                self.launch(&mut lanes);
            }
            let waited = self.waits_since.is_some_and(|since| since.elapsed() >= GATHER);
            if waited || self.running.count() == 0 || self.scheduler.is_empty() {
                self.record();
                self.sweep()?;
                self.tell_left();
            }
        }
    }

    /// Starts what fits the budget.
    fn launch(&mut self, lanes: &mut Lanes) {
        while let Some((id, taken)) = self.scheduler.pop(&mut self.pool) {
            let Some(job) = self.jobs.remove(&id) else {
                self.pool.release(taken);
                continue;
            };
            self.announce(id, &job);
            self.left.started(id);
            self.running.begin(job.target.clone(), taken);
            lanes.begin(Order { id, job });
        }
    }

    /// Waits for jobs to end, keeping the live lines alive meanwhile.
    fn listen(&mut self, lanes: &mut Lanes) {
        let patience = self.waits_since.map_or(TICK, |since| GATHER.saturating_sub(since.elapsed()));
        let messages = lanes.listen(patience);
        if messages.is_empty() {
            self.tell_left();
            self.sink.tick();
        }
        for message in messages {
            match message {
                Message::Progress(id, progress) => self.sink.event(&Event::Progress { target: self.name(id), progress }),
                Message::Waiting(id, adapter) => self.sink.event(&Event::Waiting { target: self.name(id), adapter }),
                Message::Ended(ended) => {
                    if self.settled(&ended) {
                        self.ended.push(ended);
                        self.waits_since.get_or_insert_with(clock::start);
                    }
                }
            }
        }
    }

    /// Gives back what an ended job was given; says whether that was its end, and not that it must run again.
    fn settled(&mut self, ended: &Ended) -> bool {
        let target = self.name(ended.id);
        let held = self.running.end(&target, &mut self.pool);
        let again = self.outgrown.remove(&ended.id);
        if ended.work.is_err() {
            let started_ms = held.map_or_else(clock::now_ms, |held| held.started_ms);
            self.outcome.attempt(&target, (started_ms, clock::now_ms()), if again { "outgrew" } else { "failed" });
        }
        if again {
            self.again(ended.id);
        } else if ended.work.is_err() {
            self.stop_unless_told();
        }
        !again
    }

    /// Ends what outstays its time, and what outgrew its memory where that is not there.
    fn look_after(&mut self, children: &Children) {
        children.kill_overdue();
        if self.looked.elapsed() < LOOK {
            return;
        }
        self.looked = clock::start();
        let Some(held) = self.running.look(&children.resident(), &mut self.pool) else { return };
        let Some(id) = self.planner.graph().find(&held.target) else { return };
        if children.kill_outgrown(&held.target) {
            self.outgrown.insert(id);
            let (reserved_bytes, held_bytes) = (held.reserved, held.bytes);
            self.sink.event(&Event::Outgrew { target: held.target, reserved_bytes, held_bytes, budget_bytes: self.pool.memory() });
        }
    }

    /// Queues a step again that was ended for its memory, with nothing beside it.
    fn again(&mut self, id: NodeId) {
        if self.stopping {
            return;
        }
        let node = &self.planner.graph()[id];
        match self.job(id) {
            Ok(job) => {
                self.scheduler.push(id, node.stanza.common.priority, Need { memory: u64::MAX, ..memory::need(node, None, None) });
                self.jobs.insert(id, job);
            }
            Err(failure) => self.fail(id, failure),
        }
    }

    /// Records what ran, waiting for the disk once for all of it, and only then takes note of it.
    fn record(&mut self) {
        self.waits_since = None;
        let ended = std::mem::take(&mut self.ended);
        let ran = ended.iter().filter_map(|e| match &e.work {
            Ok(Work::Ran(ran, _)) => Some((&ran.result, &ran.batch)),
            _ => None,
        });
        let ran: Vec<_> = ran.collect();
        let together = if ran.is_empty() { Ok(()) } else { self.executor.session.record_all(&ran) };
        for Ended { id, work, .. } in ended {
            self.left.ended(id);
            match work {
                Ok(Work::Shared(result)) => self.reuse(id, &result),
                Ok(Work::Ran(ran, claim)) => {
                    let recorded = match &together {
                        // Whoever is in the way has been waited for.
                        Ok(()) | Err(StoreError::Busy { .. }) => together.as_ref().map_err(Failure::of_store).copied(),
                        // One that cannot be recorded is no reason to lose the others.
                        Err(_) => self.executor.session.record(&ran.result, &ran.batch).map_err(|e| Failure::of_store(&e)),
                    };
                    match recorded {
                        Ok(()) => self.ran(id, ran.result),
                        Err(failure) => self.fail(id, failure),
                    }
                    drop(claim);
                }
                Err(failure) => self.fail(id, failure),
            }
        }
    }

    fn heed_cancel(&mut self, children: &Children) {
        if self.executor.cancel.load(Ordering::Relaxed) {
            self.outcome.interrupted = true;
            self.stopping = true;
            self.scheduler.clear();
            children.kill_all();
        }
    }

    /// The action of a ready step, with where its inputs are.
    fn job(&self, id: NodeId) -> Result<Job, Failure> {
        let node = &self.planner.graph()[id];
        self.outcome.learnable(self.planner.graph(), id)?;
        adapter::is_there(node)?;
        let mut files = BTreeMap::new();
        let inputs = self.planner.inputs(id, |slot, source| {
            let (input, path) = (self.observe)(source)?;
            files.insert(slot.to_owned(), path);
            Ok(input)
        })?;
        let files_of = |input: &Input| Some(self.outcome.manifests.get(input.artifact()?).cloned().unwrap_or_default());
        let artifacts = inputs.iter().filter_map(|(slot, input)| Some((slot.clone(), files_of(input)?))).collect();
        let action = key::action(node, inputs, self.executor.identities);
        let timeout = node.stanza.common.timeout_ms.map(Duration::from_millis);
        Ok(Job { target: node.stanza.name.to_string(), key: action.key(), action, artifacts, files, timeout })
    }

    fn announce(&mut self, id: NodeId, job: &Job) {
        let node = &self.planner.graph()[id];
        let why = self.executor.why(job) + &adapter::lacking(node);
        let (target, kind) = (job.target.clone(), node.stanza.kind.clone());
        self.sink.event(&Event::Started { target, kind, key: job.key, why, expected_ms: self.past[id.index()].map(|c| c.wall_ms) });
    }

    fn ran(&mut self, id: NodeId, result: ActionResult) {
        let target = self.name(id);
        if let Some(failure) = self.check(&target, &result, false) {
            self.outcome.attempt(&target, (result.ended_ms.saturating_sub(result.cost.wall_ms), result.ended_ms), "failed");
            return self.fail(id, failure);
        }
        let made = self.take_note(&result);
        let unchanged = self.executor.last.get(&target).is_some_and(|b| b.artifacts == made.artifacts);
        self.outcome.counts.ran += 1;
        self.sink.event(&Event::Ran { target, key: result.key, cost: result.cost, unchanged, notes: result.notes });
        self.planner.done(id, made);
    }

    fn reuse(&mut self, id: NodeId, result: &ActionResult) {
        if let Some(failure) = self.check(&self.name(id), result, true) {
            return self.fail(id, failure);
        }
        let made = self.take_note(result);
        self.outcome.counts.reused += 1;
        if self.started {
            self.sink.event(&Event::Reused { target: self.name(id), key: result.key });
        }
        self.planner.done(id, made);
    }

    /// Takes the verdicts of a table's checks: shows what warns, returns what refuses it.
    fn check(&mut self, target: &str, result: &ActionResult, reused: bool) -> Option<Failure> {
        let (failure, event) = self.outcome.check(result, target, self.executor.judge, reused);
        event.iter().filter(|_| self.started).for_each(|event| self.sink.event(event));
        failure
    }

    fn take_note(&mut self, result: &ActionResult) -> Made {
        for manifest in result.outputs.values() {
            self.outcome.manifests.entry(manifest.id()).or_insert_with(|| manifest.clone());
        }
        Made::of(result)
    }

    fn fail(&mut self, id: NodeId, failure: Failure) {
        if !self.started {
            return self.early.push((id, failure));
        }
        let target = self.name(id);
        if failure.code == ExitCode::Interrupted {
            self.outcome.interrupted = true;
            self.planner.failed(id);
            return;
        }
        self.outcome.counts.failed += 1;
        self.sink.event(&Event::Failed {
            target: target.clone(),
            error: failure.error.clone(),
            place: (self.executor.locate)(&self.planner.graph()[id], &failure),
            hint: failure.hint.clone(),
            log_tail: failure.log_tail.clone(),
            code: i32::from(failure.code.number()),
        });
        for blocked in self.planner.failed(id) {
            let event = Event::Blocked { target: self.name(blocked), by: target.clone() };
            self.sink.event(&event);
        }
        self.outcome.failures.push((target, failure));
        self.stop_unless_told();
    }

    /// After a failure nothing is begun any more, unless the build was told to keep going.
    fn stop_unless_told(&mut self) {
        if !self.executor.keep_going {
            self.stopping = true;
            self.scheduler.clear();
            self.jobs.clear();
        }
    }

    /// Says how long it will still take, now and then.
    fn tell_left(&mut self) {
        if self.left.is_due() {
            let left = if self.stopping { None } else { self.left.estimate(self.planner) };
            self.sink.left(left);
        }
    }

    fn name(&self, id: NodeId) -> String {
        self.planner.graph()[id].stanza.name.to_string()
    }
}
