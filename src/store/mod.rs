//! Floor 3: content and results, kept so that neither a crash nor a damaged disk can pass off wrong bytes.
