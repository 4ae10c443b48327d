//! Owns graphics adapters: as drivers name them, and the wish of a recipe for one. Invariant: whoever has no choice takes what there is, even a driver that
//! computes on the processor; whoever has one takes only a card.

use serde::{Deserialize, Serialize};

/// What a driver drives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// What it is called, and by which interface it is reached.
    pub name: String,
    /// Whether there is no card behind it: its driver computes on the processor.
    pub software: bool,
}

/// The wish to compute on a graphics adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Whether nothing else will do; else the processor takes its place where there is no card.
    pub needed: bool,
    /// What the adapter is called, or why there is none; not known before this machine was asked.
    pub found: Result<String, String>,
}

impl Wish {
    /// The wish, before anybody looked.
    #[must_use]
    pub fn new(needed: bool) -> Self {
        Self { needed, found: Err("nobody looked for one".to_owned()) }
    }

    /// Takes the first card of what there is, or the first of all where nothing else will do.
    pub fn choose(&mut self, there: &Result<Vec<Adapter>, String>) {
        self.found = there.as_ref().map_err(Clone::clone).and_then(|adapters| {
            let first = adapters.first().ok_or_else(|| "no driver of Vulkan or Metal names a graphics adapter".to_owned())?;
            let wanted = adapters.iter().find(|adapter| !adapter.software).or(self.needed.then_some(first));
            wanted.map(|adapter| adapter.name.clone()).ok_or_else(|| format!("there is no graphics card, only {}", first.name))
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(needed: bool, there: &Result<Vec<Adapter>, String>) -> Result<String, String> {
        let mut wish = Wish::new(needed);
        wish.choose(there);
        wish.found
    }

    #[test]
    fn a_card_is_taken_by_all_and_a_driver_without_one_only_by_who_needs_it() {
        let adapter = |name: &str, software| Adapter { name: name.to_owned(), software };
        let both = Ok(vec![adapter("a program", true), adapter("a card", false)]);
        assert_eq!([chosen(true, &both), chosen(false, &both)].map(Result::unwrap), ["a card", "a card"]);
        let software = Ok(vec![adapter("a program", true)]);
        assert_eq!(chosen(true, &software).unwrap(), "a program");
        assert_eq!(chosen(false, &software).unwrap_err(), "there is no graphics card, only a program");
    }

    #[test]
    fn without_one_it_is_said_why() {
        assert_eq!(chosen(false, &Ok(Vec::new())).unwrap_err(), "no driver of Vulkan or Metal names a graphics adapter");
        assert_eq!(chosen(true, &Err("the drivers crash".to_owned())).unwrap_err(), "the drivers crash");
    }
}
