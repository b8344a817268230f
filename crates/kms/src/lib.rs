//! Key providers: what wraps the platform root.
