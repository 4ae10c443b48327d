//! Every order of steps of some machines, each state looked at once. Invariant: a machine may take its next step, wait, or die, at any moment.

use std::collections::HashSet;

use crate::mirror_kit::machine::{Machine, Push, PushAt};
use crate::mirror_kit::model::{Bucket, Key, Mistake, Object};

/// The bucket and all machines at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    bucket: Bucket,
    machines: Vec<Machine>,
}

/// What exploring came to.
#[derive(Debug)]
pub struct Explored {
    /// States that can be come to.
    pub states: usize,
    /// Those in which no machine has a step left, and none has died.
    pub ends: usize,
    /// What went wrong first, with the way there.
    pub broken: Option<String>,
}

/// Goes every way from the beginning until something is wrong.
pub fn explore(machines: Vec<Machine>, mistake: Option<Mistake>) -> Explored {
    let begin = World { bucket: Bucket::default(), machines };
    let mut seen = HashSet::from([begin.clone()]);
    let mut open = vec![begin];
    let mut ends = 0;
    while let Some(world) = open.pop() {
        let nexts = world.nexts(mistake);
        let mut broken = world.broken();
        if nexts.is_empty() && world.machines.iter().all(|machine| *machine != Machine::Dead) {
            ends += 1;
            broken = broken.or_else(|| world.broken_at_the_end());
        }
        if let Some(why) = broken {
            return Explored { states: seen.len(), ends, broken: Some(format!("{why}: {world:?}")) };
        }
        open.extend(nexts.into_iter().filter(|next| seen.insert(next.clone())));
    }
    Explored { states: seen.len(), ends, broken: None }
}

impl World {
    fn nexts(&self, mistake: Option<Mistake>) -> Vec<Self> {
        let mut nexts = Vec::new();
        for (index, machine) in self.machines.iter().enumerate() {
            let steps = machine.step(&self.bucket, mistake);
            let died = (!steps.is_empty()).then_some((Machine::Dead, self.bucket));
            for (stepped, bucket) in steps.into_iter().chain(died) {
                let mut machines = self.machines.clone();
                machines[index] = stepped;
                nexts.push(Self { bucket, machines });
            }
        }
        nexts
    }

    /// What of the invariants does not hold now.
    fn broken(&self) -> Option<String> {
        for epoch in self.bucket.epochs(false) {
            for key in [0, 1] {
                let record = Object::Record(epoch, key);
                if self.bucket.has(record) && !self.bucket.is_whole(epoch, key) {
                    return Some(format!("epoch {epoch} has a record of {key} and lacks what it names"));
                }
            }
        }
        if self.machines.iter().any(|machine| matches!(machine, Machine::Pull(pull) if pull.deceived())) {
            return Some("a reader believes what it has not got".into());
        }
        let lost = self.promised().into_iter().find(|key| !(1..=self.bucket.newest()).any(|epoch| self.bucket.is_whole(epoch, *key)));
        lost.map(|key| format!("{key} was to stay and is nowhere whole")).or_else(|| self.bad_log())
    }

    /// Results that somebody was told will stay, or that are released.
    fn promised(&self) -> Vec<Key> {
        let safe = |push: &&Push| push.pins && matches!(push.at, PushAt::Number | PushAt::Enter(_) | PushAt::Whose(_) | PushAt::Done);
        self.pushes().filter(safe).map(|push| push.key).chain(self.bucket.log().map(|(.., key)| key)).collect()
    }

    fn pushes(&self) -> impl Iterator<Item = &Push> {
        self.machines.iter().filter_map(|machine| if let Machine::Push(push) = machine { Some(push) } else { None })
    }

    /// Numbers follow each other, nobody has two, and who was told of a release has one.
    fn bad_log(&self) -> Option<String> {
        let log: Vec<(u8, u8, Key)> = self.bucket.log().collect();
        let numbers: Vec<usize> = log.iter().map(|(number, ..)| usize::from(*number)).collect();
        let mut owners: Vec<u8> = log.iter().map(|(_, by, _)| *by).collect();
        owners.sort_unstable();
        let twice = owners.windows(2).any(|pair| pair[0] == pair[1]);
        if twice || numbers != (1..=log.len()).collect::<Vec<_>>() {
            return Some("the log has a gap, or somebody has two numbers".into());
        }
        let lost = self.pushes().find(|push| push.releases && push.at == PushAt::Done && !owners.contains(&push.me));
        lost.map(|push| format!("machine {} was told of a release that is not in the log", push.me))
    }

    /// What of the invariants does not hold where everybody has finished.
    fn broken_at_the_end(&self) -> Option<String> {
        let unfenced = self.bucket.epochs(false);
        let hidden = self.promised().into_iter().find(|key| !unfenced.iter().any(|epoch| self.bucket.is_whole(*epoch, *key)));
        if let Some(key) = hidden {
            return Some(format!("{key} was to stay, and no reader finds it"));
        }
        let pruned = self.machines.iter().any(|machine| matches!(machine, Machine::Prune(_)));
        let pushes = self.pushes().count();
        let left = pruned && pushes == 0 && self.bucket.epochs(true).iter().any(|epoch| !self.bucket.of_epoch(*epoch).is_empty());
        left.then(|| "a fenced epoch was not emptied".into())
    }
}
