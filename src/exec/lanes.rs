//! Owns the threads that jobs run in. Invariant: a job runs alone over all builds of its cache folder, and every job that was begun is told of
//! when it has ended.

use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::Scope;
use std::time::Duration;

use serde_json::Value;

use crate::exec::deliver::{Deliveries, delivers};
use crate::exec::executor::Executor;
use crate::exec::failure::Failure;
use crate::exec::meter::Meter;
use crate::exec::progress::Watched;
use crate::exec::runner::{Job, Ran, Runner, Workplace};
use crate::exec::turns;
use crate::graph::build::NodeId;
use crate::io::lock::Claim;
use crate::io::process::Children;
use crate::mirror::client::Mirror;
use crate::model::progress::Progress;
use crate::model::result::ActionResult;
use crate::store::action_cache::Session;

/// A job to run.
pub struct Order {
    /// The step it is for.
    pub id: NodeId,
    /// What to run.
    pub job: Job,
}

/// What a lane has to tell.
pub enum Message {
    /// A step said how far it is.
    Progress(NodeId, Progress),
    /// Another build runs this step's action, or computes on the adapter of this name.
    Waiting(NodeId, Option<String>),
    /// A job is over.
    Ended(Ended),
}

/// A job that is over.
pub struct Ended {
    /// The step it was for.
    pub id: NodeId,
    /// What came of it.
    pub work: Result<Work, Failure>,
    /// The lane that is free again.
    lane: usize,
}

/// What came of a job.
pub enum Work {
    /// It ran and is to be recorded; until then the claim keeps other builds from running it too.
    Ran(Box<Ran>, Claim),
    /// Another build had run it.
    Shared(Box<ActionResult>),
}

/// What all lanes work with.
pub struct Shop<'a> {
    /// The cache folder: its blobs and its results.
    pub session: &'a Session,
    /// The processes running now.
    pub children: &'a Children,
    /// Set to stop the build.
    pub cancel: &'a AtomicBool,
    /// Where steps deliver to.
    pub deliveries: &'a Deliveries,
    /// How steps that read from outside reach it.
    pub reach: Option<&'a Value>,
    /// What their queries may be charged for.
    pub meter: Meter,
    /// Where results of other machines are.
    pub mirror: Option<&'a Mirror>,
}

/// Threads that run one job after another, each in a workplace that it keeps; as many as jobs ever ran at once.
pub struct Lanes<'s, 'env> {
    scope: &'s Scope<'s, 'env>,
    shop: &'s Shop<'s>,
    orders: Vec<Sender<Order>>,
    free: Vec<usize>,
    watched: Watched<NodeId>,
    send: Sender<Message>,
    receive: Receiver<Message>,
}

impl<'s, 'env> Lanes<'s, 'env> {
    /// No lanes yet; their threads end with the scope, once this is dropped.
    #[must_use]
    pub fn new(scope: &'s Scope<'s, 'env>, shop: &'s Shop<'s>) -> Self {
        let (send, receive) = channel();
        Self { scope, shop, orders: Vec::new(), free: Vec::new(), watched: Watched::default(), send, receive }
    }

    /// Begins a job.
    pub fn begin(&mut self, order: Order) {
        self.watched.begin(order.id, self.shop.session.root().partial(&order.job.key));
        let lane = self.free.pop().unwrap_or_else(|| self.open());
        // A lane takes orders for as long as the sender lives.
        _ = self.orders[lane].send(order);
    }

    /// All that jobs have told, waiting for the first of it no longer than `patience`.
    pub fn listen(&mut self, patience: Duration) -> Vec<Message> {
        let mut messages: Vec<Message> = self.receive.recv_timeout(patience).into_iter().chain(self.receive.try_iter()).collect();
        for message in &messages {
            if let Message::Ended(ended) = message {
                self.free.push(ended.lane);
                self.watched.end(ended.id);
            }
        }
        messages.extend(self.watched.look().into_iter().map(|(id, progress)| Message::Progress(id, progress)));
        messages
    }

    fn open(&mut self) -> usize {
        let (lane, shop, tell) = (self.orders.len(), self.shop, self.send.clone());
        let (give, orders) = channel::<Order>();
        self.scope.spawn(move || {
            let mut place = Workplace::default();
            for Order { id, job } in orders {
                let work = shop.perform(id, &job, &mut place, &tell);
                // The build listens until the last job has ended.
                _ = tell.send(Message::Ended(Ended { id, work, lane }));
            }
        });
        self.orders.push(give);
        lane
    }
}

impl<'a> Shop<'a> {
    /// What the lanes of a build work with.
    #[must_use]
    pub fn of(executor: &Executor<'a>, children: &'a Children) -> Self {
        let Executor { session, cancel, deliveries, reach, mirror, .. } = *executor;
        Self { session, children, cancel, deliveries, reach, mirror, meter: Meter::of(reach) }
    }
}

impl Shop<'_> {
    /// Runs one job, alone over all builds of this cache.
    fn perform(&self, id: NodeId, job: &Job, place: &mut Workplace, tell: &Sender<Message>) -> Result<Work, Failure> {
        let waits = |adapter: Option<String>| {
            _ = tell.send(Message::Waiting(id, adapter));
        };
        let claim = turns::wait(self.session, &job.key, self.cancel, || waits(None))?;
        // Another build may have run it since it was planned.
        if let Some(result) = self.deliveries.lookup(self.session, &job.target, &job.action).map_err(|e| Failure::of_store(&e))? {
            return Ok(Work::Shared(Box::new(result)));
        }
        // So may another machine. What delivers is done only where the destination says so.
        let mirror = self.mirror.filter(|_| !delivers(&job.action));
        if let Some(result) = mirror.and_then(|mirror| mirror.fetch(self.session, &job.key)) {
            return Ok(Work::Shared(Box::new(result)));
        }
        let _alone_on_it = turns::wait_for_adapter(self.session, &job.action, self.cancel, |name| waits(Some(name.to_owned())))?;
        let (root, store) = (self.session.root(), self.session.content());
        let runner = Runner { root, store, children: self.children, reach: self.reach, meter: &self.meter };
        Ok(Work::Ran(Box::new(self.deliveries.deliver(self.session, &runner, job, place)?), claim))
    }
}
