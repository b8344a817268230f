//! How often something may be done: policies, the port that counts, and whom to count.
//!
//! A request is counted twice at most: by its address before anybody asks who it is, and by its API key, account and tenant once that is
//! known. Each time all limits are judged in one call, and either all of them count the request or none does.

use async_trait::async_trait;

use crate::{instance::Failure, time::Timestamp};

mod address;
mod count;
mod counts;
mod explain;
mod keys;
mod local;
mod off;
mod rules;
mod used;
mod violations;

pub use address::subject_of;
pub(crate) use count::masked;
use count::place_at;
pub use count::{Judged, Verdict, count_address, count_caller, count_named, watch, watch_named};
pub use counts::{LimitCounts, LimitEvent};
pub use explain::{Counted, CountedError, check, reset};
pub(crate) use keys::KeyLimits;
pub use local::LocalLimiter;
pub use off::tell_if_off;
pub use rules::{LimitSettings, On, Per, Rule};
pub use used::{Moment, Used};
pub(crate) use violations::Offender;
pub use violations::{Violations, flush_violations};

/// So often in so many seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// How often; at least once.
    pub count: u32,
    /// In how many seconds; at least one.
    pub seconds: u32,
}

/// The highest limit that can be counted exactly, by keeping the moment of each use.
pub const MOST_EXACT: u32 = 100;

codes! {
    /// What happens when the counts that nodes share do not answer.
    pub enum OnLoss {
        /// Each node counts for itself, against its part of the limit.
        Local = "local",
        /// Nobody gets through.
        Closed = "closed",
        /// Everybody gets through.
        Open = "open",
    }
}

/// A named limit, and how it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    name: String,
    id: u64,
    /// How often.
    pub limit: Limit,
    /// Whether the moment of each use is kept: no estimate, for limits up to [`MOST_EXACT`]. Others are estimated.
    pub exact: bool,
    /// Without shared counts.
    pub on_loss: OnLoss,
    /// Whether it is only watched: what it would refuse is counted and told of, and goes on.
    pub shadow: bool,
}

impl Policy {
    /// A limit of this name: 1 to 32 small letters, digits, `_` and `-`. Exact where it can be, local without shared counts.
    pub fn new(name: &str, limit: Limit) -> Option<Self> {
        let fine = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-');
        if !(1..=32).contains(&name.len()) || !name.bytes().all(fine) || limit.count == 0 || limit.seconds == 0 {
            return None;
        }
        Some(Self::of(name, limit))
    }

    /// With the moment of each use kept, or estimated.
    #[must_use]
    pub fn exact(self, exact: bool) -> Self {
        Self { exact, ..self }
    }

    /// Only watched, or in force.
    #[must_use]
    pub fn shadow(self, shadow: bool) -> Self {
        Self { shadow, ..self }
    }

    /// With this answer to the loss of shared counts.
    #[must_use]
    pub fn on_loss(self, on_loss: OnLoss) -> Self {
        Self { on_loss, ..self }
    }

    /// Of ours, whose name and limit are as they must be.
    fn of(name: &str, limit: Limit) -> Self {
        // FNV-1a. Names are the operator's, and few: two that share a number would share counts, no more.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let id = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
        let exact = limit.count <= MOST_EXACT;
        Self { name: name.to_owned(), id, limit, exact, on_loss: OnLoss::Local, shadow: false }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A number for its name.
    pub const fn id(&self) -> u64 {
        self.id
    }
}

/// What counters lie together, on one node of a cluster: a tenant's, or those of an address.
///
/// A subject of a policy must always be asked for within the same one.
pub type Together = [u8; 16];

/// Whom a policy counts, without a name: an id, or what stands for an address.
pub type CountedSubject = [u8; 16];

/// One question to the counts.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// By which policy.
    pub policy: &'a Policy,
    /// Its limit, or the one that this subject has instead.
    pub limit: Limit,
    /// Whom to count.
    pub of: CountedSubject,
    /// How much it counts; 0 only looks.
    pub cost: u32,
}

impl Ask<'_> {
    /// Whether the moment of each use is kept: where the policy says so and the limit, which may be another, is small enough.
    pub fn is_exact(&self) -> bool {
        self.policy.exact && self.limit.count <= MOST_EXACT
    }
}

/// The answer to one question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Whether this limit lets it through.
    pub allowed: bool,
    /// How often the limit allows.
    pub limit: u32,
    /// How often it may still be done at once.
    pub remaining: u32,
    /// In how many milliseconds all of the limit is free again.
    pub reset_ms: u64,
    /// In how many milliseconds as much as was asked for is free; 0 if it is.
    pub retry_ms: u64,
}

/// Whether limits that were judged together let a request through: those that are only watched have no say.
pub fn allowed(asks: &[Ask<'_>], answers: &[Answer]) -> bool {
    asks.iter().zip(answers).all(|(ask, answer)| answer.allowed || ask.policy.shadow)
}

/// Counts uses. The one in process counts those of this node; one that nodes share counts all.
///
/// `testkit::limiter_conformance!` is the contract.
#[async_trait]
pub trait Limiter: Send + Sync {
    /// Judges all questions in one moment. If every policy that is not only watched lets it through, each that lets it through counts
    /// its cost; otherwise none counts anything. One answer per question.
    ///
    /// A use counts for `seconds`; without [`Policy::exact`] it weighs as much as its window overlaps with the last `seconds`.
    async fn take(&self, together: &Together, asks: &[Ask<'_>], now: Timestamp) -> Result<Vec<Answer>, Failure>;

    /// Forgets what was counted of these subjects.
    async fn forget(&self, together: &Together, asks: &[Ask<'_>]) -> Result<(), Failure>;

    /// Whether its counts leave this process. Then they are told no addresses, only what stands for them under a key.
    fn is_shared(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_has_a_plain_name_and_a_limit() {
        let limit = Limit { count: 5, seconds: 60 };
        assert!(Policy::new("login", limit).unwrap().exact);
        assert!(!Policy::new("api_key-2", Limit { count: 600, ..limit }).unwrap().exact);
        for bad in ["", "Login", "a b", "a\"b", &"x".repeat(33)] {
            assert_eq!(Policy::new(bad, limit), None, "{bad}");
        }
        assert_eq!(Policy::new("x", Limit { count: 0, seconds: 1 }), None);
        assert_eq!(Policy::new("x", Limit { count: 1, seconds: 0 }), None);
        assert_ne!(Policy::new("login", limit).unwrap().id(), Policy::new("nigol", limit).unwrap().id());
    }
}
