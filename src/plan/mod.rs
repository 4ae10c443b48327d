//! Floor 5: which steps are fresh, which must run, and why. Pure.
