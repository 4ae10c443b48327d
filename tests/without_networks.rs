//! Promises about a cbi that was built without the feature `neural`: `cargo nextest run --no-default-features --test without_networks`. Invariant: the
//! workspace is the repository's own, which has recipes for networks.
#![cfg(not(feature = "neural"))]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on may stop where it stands")]

#[path = "common/space.rs"]
mod space;

use space::TestSpace;

const NETWORK: &str = "[neural.\"model/net\"]\nframe = \"frame/wti/1w\"\narchitecture = \"dense\"\n";

#[test]
fn it_builds_what_needs_no_network_and_says_of_a_network_how_to_get_one() {
    let space = TestSpace::wti();
    space.write("recipes/net.toml", NETWORK);
    let built = space.build(&["evaluate/wti/1w", "forecast/wti/1w"]).ok();
    assert!(built.targets.contains("forecast/wti/1w"), "{built:?}");
    let refused = space.build_plainly(&["model/net"]);
    for said in ["this cbi was built without neural models", "recipes/net.toml:1:1", "hint: cargo build --release --bins --features neural"]
    {
        assert!(refused.code == 3 && refused.stderr.contains(said), "'{said}' is not in:\n{}", refused.stderr);
    }
}
