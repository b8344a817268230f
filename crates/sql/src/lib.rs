//! The rows of the store, written once for both engines.
