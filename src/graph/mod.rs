//! Floor 4: from stanzas to the graph of targets. Pure: knows no file, store or engine.
