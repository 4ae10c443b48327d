//! Floor 3: text to values: recipes, interpolation, SQL references. Pure.
