//! Owns the budget. Invariant: nothing is begun that would have what runs at once ask for more CPU or memory than the budget, save one action
//! alone that is larger than the whole budget: it runs by itself. The graphics adapter has one action at a time.

/// What the machine, or the user, allows at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Threads of actions running side by side.
    pub cpus: u32,
    /// Bytes of memory of actions running side by side.
    pub memory: u64,
}

/// What one action asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Need {
    /// Threads.
    pub cpus: u32,
    /// Bytes.
    pub memory: u64,
    /// Whether it computes on the graphics adapter, of which there is one.
    pub adapter: bool,
}

/// The budget and what of it is taken.
#[derive(Debug)]
pub struct Pool {
    budget: Budget,
    cpus: u32,
    memory: u64,
    adapter: bool,
    running: usize,
}

impl Pool {
    /// An untouched budget.
    #[must_use]
    pub fn new(budget: Budget) -> Self {
        Self { budget, cpus: 0, memory: 0, adapter: false, running: 0 }
    }

    /// Takes the need from the budget, where it fits; the return value must be given back to `release`.
    pub fn take(&mut self, need: Need) -> Option<Need> {
        let need = Need { cpus: need.cpus.min(self.budget.cpus).max(1), memory: need.memory.min(self.budget.memory), ..need };
        let fits = self.cpus + need.cpus <= self.budget.cpus && self.memory + need.memory <= self.budget.memory;
        if !fits && self.running > 0 || need.adapter && self.adapter {
            return None;
        }
        self.adapter |= need.adapter;
        self.cpus += need.cpus;
        self.memory += need.memory;
        self.running += 1;
        Some(need)
    }

    /// Takes more memory for what `taken` was given to and holds `bytes` now, whatever the budget says; the return value is what must be
    /// given back instead.
    #[must_use]
    pub fn grow(&mut self, taken: Need, bytes: u64) -> Need {
        let more = bytes.saturating_sub(taken.memory);
        self.memory += more;
        Need { memory: taken.memory + more, ..taken }
    }

    /// Whether an action computes on the adapter.
    #[must_use]
    pub fn adapter_is_taken(&self) -> bool {
        self.adapter
    }

    /// The memory of the budget.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.budget.memory
    }

    /// Gives back what `take` returned.
    pub fn release(&mut self, taken: Need) {
        self.cpus -= taken.cpus;
        self.memory -= taken.memory;
        self.adapter &= !taken.adapter;
        self.running -= 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn need(cpus: u32, memory: u64) -> Need {
        Need { cpus, memory, adapter: false }
    }

    #[test]
    fn the_adapter_has_one_action_at_a_time_and_others_go_on_beside_it() {
        let mut pool = Pool::new(Budget { cpus: 4, memory: 100 });
        let on_adapter = Need { adapter: true, ..need(1, 10) };
        let taken = pool.take(on_adapter).unwrap();
        assert_eq!(pool.take(on_adapter), None);
        assert!(pool.take(need(1, 10)).is_some());
        pool.release(taken);
        assert!(pool.take(on_adapter).is_some());
    }

    #[test]
    fn an_action_larger_than_the_budget_runs_alone() {
        let mut pool = Pool::new(Budget { cpus: 2, memory: 100 });
        let large = pool.take(need(8, 1000)).unwrap();
        assert_eq!(pool.take(need(1, 1)), None);
        pool.release(large);
        assert!(pool.take(need(1, 1)).is_some());
    }

    #[test]
    fn what_an_action_takes_beyond_its_reservation_is_there_for_no_other() {
        let mut pool = Pool::new(Budget { cpus: 4, memory: 100 });
        let taken = pool.take(need(1, 40)).unwrap();
        let taken = pool.grow(taken, 70);
        assert_eq!(pool.take(need(1, 40)), None);
        let taken = pool.grow(taken, 50);
        assert_eq!(taken.memory, 70, "what it held once it may hold again");
        pool.release(taken);
        assert!(pool.take(need(1, 100)).is_some());
    }

    proptest! {
        #[test]
        fn the_budget_is_never_exceeded(needs in prop::collection::vec((1u32..6, 0u64..200, any::<bool>(), any::<bool>()), 0..50)) {
            let budget = Budget { cpus: 4, memory: 100 };
            let mut pool = Pool::new(budget);
            let mut held: Vec<Need> = Vec::new();
            for (cpus, memory, adapter, release) in needs {
                if release && !held.is_empty() { pool.release(held.remove(0)); }
                held.extend(pool.take(Need { cpus, memory, adapter }));
                prop_assert!(held.iter().map(|n| n.cpus).sum::<u32>() <= budget.cpus);
                prop_assert!(held.iter().map(|n| n.memory).sum::<u64>() <= budget.memory);
                prop_assert!(held.iter().filter(|n| n.adapter).count() <= 1);
            }
        }
    }
}
