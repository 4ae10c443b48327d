//! Floor 6: how builds are shown.
