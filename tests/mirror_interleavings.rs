//! The mirror's protocol (`docs/mirror-protocol.md`), in all orders in which its steps can happen on several machines that may die at any of them.
#![allow(missing_docs, clippy::print_stdout)]

mod mirror_kit;

use mirror_kit::explore::{Explored, explore};
use mirror_kit::machine::{Machine, Pull, Push};
use mirror_kit::model::Mistake;
use mirror_kit::prune::Prune;

/// What machines do side by side, with a name for it.
fn scenes() -> Vec<(&'static str, Vec<Machine>)> {
    vec![
        (
            "two pushes that share a blob, and a reader",
            vec![Push::begin(1, 0, false, false), Push::begin(2, 1, false, false), Pull::begin(0)],
        ),
        ("two pushes of one result, and a reader", vec![Push::begin(1, 0, false, false), Push::begin(2, 0, false, false), Pull::begin(0)]),
        ("three releases", vec![Push::begin(1, 0, true, true), Push::begin(2, 0, true, true), Push::begin(3, 1, true, true)]),
        ("a push that pins, a prune and a reader", vec![Push::begin(1, 0, true, false), Prune::begin(), Pull::begin(0)]),
        (
            "a push that pins, one that does not, and a prune",
            vec![Push::begin(1, 0, true, false), Push::begin(2, 1, false, false), Prune::begin()],
        ),
        ("a push that pins and two prunes", vec![Push::begin(1, 0, true, false), Prune::begin(), Prune::begin()]),
        ("two releases and a prune", vec![Push::begin(1, 0, true, true), Push::begin(2, 1, true, true), Prune::begin()]),
    ]
}

fn explored(mistake: Option<Mistake>) -> Vec<(&'static str, Explored)> {
    scenes().into_iter().map(|(name, machines)| (name, explore(machines, mistake))).collect()
}

#[test]
fn no_order_of_steps_and_deaths_breaks_the_protocol() {
    for (name, explored) in explored(None) {
        println!("{name}: {} states, {} ends", explored.states, explored.ends);
        assert_eq!(explored.broken, None, "{name}");
        assert!(explored.ends > 0, "{name}: some way must come to an end");
    }
}

/// The explorer must be able to see each of these; that it does shows that the rule each one breaks is needed.
#[test]
fn every_mistake_in_the_protocol_is_noticed() {
    let mistakes = [
        Mistake::RecordFirst,
        Mistake::ManifestFirst,
        Mistake::NoSecondLook,
        Mistake::PinLast,
        Mistake::NoFence,
        Mistake::RootsBeforeFence,
        Mistake::DeleteFirst,
        Mistake::NewestFirst,
        Mistake::CarryHoles,
        Mistake::Overwrite,
        Mistake::ForgetsItsOwn,
    ];
    for mistake in mistakes {
        let noticed = scenes().into_iter().find_map(|(name, machines)| Some((name, explore(machines, Some(mistake)).broken?)));
        let (name, broken) = noticed.unwrap_or_else(|| panic!("{mistake:?} is not noticed"));
        println!("{mistake:?}: {name}: {}", broken.split(": World").next().unwrap_or_default());
    }
}

/// Records are never without what they name, so a reader that trusts is deceived only where something is being deleted.
#[test]
fn a_reader_that_does_not_fetch_before_it_believes_is_deceived() {
    let machines = vec![Push::begin(1, 0, false, false), Pull::begin(0)];
    let broken = explore(machines, Some(Mistake::TrustingReader)).broken;
    assert!(broken.is_some_and(|why| why.starts_with("a reader believes")));
}
