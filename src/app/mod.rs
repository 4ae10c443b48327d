//! Floor 7: use-cases. Each wires the lower floors together for one thing a person wants done.
