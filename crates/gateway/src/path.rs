//! The one reading of a path, which policy and application share.

pub use chancery_middleware::canonical::{Ambiguous, Canonical};
