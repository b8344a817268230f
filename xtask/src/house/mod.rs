//! The rules of the house that no compiler knows: which way dependencies point, and words that source files do not contain.

mod dependencies;
mod scan;
mod sources;
