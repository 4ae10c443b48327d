//! Floor 6: running actions: what runs next, in which folder, under which budget.
