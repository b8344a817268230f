//! How long a log is kept, what holds it, and what of it goes (ADR 0025).
//!
//! An event is kept for six years or longer, as its tenant says. After that whole months go: the bodies of events, their
//! personal parts, and what they are found by. Their leaf hashes stay in the tiles, so the tree, every signed head and every
//! proof stay as they are; and so do the few events that proofs rest on ([`KEPT`]). Each month that goes has a certificate and
//! an event of the log before anything of it is gone, so what is missing is either told of there or is damage ([`Purged`]).
//! A legal hold wins over all of it.

use async_trait::async_trait;

use super::{EventKind, archives::ArchiveError};
use crate::{
    access::Denied,
    approvals::ApprovalError,
    certificates::CertificateError,
    faults::Faults,
    ids::{CertificateId, EventId},
    instance::{Failure, fails},
    store::StoreError,
    time::Timestamp,
};

mod destruction;
mod dismiss;
mod due;
mod holds;
mod month;
mod plan;
mod policy;
mod purge;
mod purged;
mod rules;
mod stands;
pub mod steady;

pub use destruction::Destruction;
pub use dismiss::{PurgeProof, dismiss};
pub use holds::{HoldWanted, lift, place};
pub use month::Month;
pub(super) use plan::rest;
pub use plan::{Span, SpanStanding};
pub use policy::{Wanted, set};
pub use purge::{Tended, plan, purge, tend};
pub use purged::Purged;
pub(super) use purged::{is_too_young, purged_between};
pub(super) use rules::Rules;
pub use stands::{Standing, standing, stands};

/// No log is kept for less: six years.
pub const MIN_MONTHS: u32 = 72;
/// The longest that can be said: a hundred years.
pub const MAX_MONTHS: u32 = 1_200;

/// Events that stay when everything beside them goes: proofs rest on them. They name keys, certificates and purges; also a
/// purge that was forged, and that somebody has seen it.
pub const KEPT: [EventKind; 13] = [
    EventKind::KeyActivated,
    EventKind::KeyRetired,
    EventKind::KeyRevoked,
    EventKind::CertificateIssued,
    EventKind::CertificateRevoked,
    EventKind::CertificateSuperseded,
    EventKind::LogHeadNoted,
    EventKind::LogRestoreAccepted,
    EventKind::RetentionChanged,
    EventKind::HoldPlaced,
    EventKind::HoldLifted,
    EventKind::PurgeOrdered,
    EventKind::PurgeDismissed,
];

/// How long a tenant's log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Whole months; an event goes only when its month has been over for so long.
    pub months: u32,
    /// Whether months go by themselves when their time is over.
    pub automatic: bool,
    /// Whether a month goes only when it is archived in every configured place, and each archive reads back.
    pub archive_first: bool,
    /// When it was said; `None` if nobody did.
    pub changed_at: Option<Timestamp>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { months: MIN_MONTHS, automatic: false, archive_first: false, changed_at: None }
    }
}

impl Retention {
    /// The first month that is kept at `now`: what was recorded before it may go.
    pub fn kept_from(&self, now: Timestamp) -> Month {
        Month::of(now).minus(self.months)
    }
}

/// Something, such as a lawsuit, for which events are kept beyond their time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// Its name in the tenant: a code, never a person's name.
    pub name: String,
    /// Holds what was recorded at or after this moment.
    pub from: Option<Timestamp>,
    /// Holds what was recorded before this moment.
    pub to: Option<Timestamp>,
    /// Who placed it.
    pub placed_by: String,
    /// When.
    pub placed_at: Timestamp,
    /// The event that tells of it, with the reason in its personal part.
    pub event: EventId,
}

impl Hold {
    /// Whether it holds something that was recorded between these moments, both included.
    pub fn holds(&self, oldest: Timestamp, newest: Timestamp) -> bool {
        self.from.is_none_or(|from| from <= newest) && self.to.is_none_or(|to| to > oldest)
    }
}

/// Places of a log whose events are gone or going.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purge {
    /// The first place.
    pub first: u64,
    /// The place after the last one.
    pub end: u64,
    /// In which month they were recorded.
    pub month: Month,
    /// How many events go; the others between are kept.
    pub events: u64,
    /// What lies before this place is gone.
    pub next: u64,
    /// Certifies it.
    pub certificate: CertificateId,
    /// The event of the log that tells of it.
    pub event: EventId,
    /// When it was ordered.
    pub begun_at: Timestamp,
    /// When all of it was gone.
    pub ended_at: Option<Timestamp>,
}

/// What lies at some places of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanFacts {
    /// How many events are there.
    pub events: u64,
    /// How many of them are not of a kept kind.
    pub goes: u64,
    /// When the oldest and the newest of them were recorded; `None` of nothing.
    pub recorded: Option<(Timestamp, Timestamp)>,
}

/// Reads how long a log is kept.
#[async_trait]
pub trait RetentionRows {
    /// What the tenant said, if it said anything.
    async fn retention(&mut self) -> Result<Option<Retention>, StoreError>;
    /// Every hold that can be read, by name. What one held that cannot, the log tells.
    async fn holds(&mut self) -> Result<Vec<Hold>, StoreError>;
    /// Where events lie that say how long the log is kept or what holds it, and are filed under no resource: builds before proofs did that.
    async fn unfiled_rules(&mut self) -> Result<Vec<u64>, StoreError>;
    /// Every purge that can be read, by place. What is missing by one that cannot is damage.
    async fn purges(&mut self) -> Result<Vec<Purge>, StoreError>;
    /// Where purges begin, also those that cannot be read.
    async fn purge_places(&mut self) -> Result<Vec<u64>, StoreError>;
    /// How many rows of purges and archives cannot be read.
    async fn unreadable_rows(&mut self) -> Result<u64, StoreError>;
    /// The first event at or after a place, and when it was recorded.
    async fn first_event(&mut self, from: u64) -> Result<Option<(u64, Timestamp)>, StoreError>;
    /// The first place at or after `from` whose event was recorded at or after `at`.
    async fn first_recorded(&mut self, from: u64, at: Timestamp) -> Result<Option<u64>, StoreError>;
    /// What lies from `first` to before `end`; events of the kinds `kept` do not go.
    async fn span_facts(&mut self, first: u64, end: u64, kept: &[EventKind]) -> Result<SpanFacts, StoreError>;
}

/// Changes how long a log is kept, and lets parts of it go.
#[async_trait]
pub trait RetentionWrites {
    /// Holds the log against everybody else who places holds or purges, until the transaction ends.
    async fn hold_log(&mut self) -> Result<(), StoreError>;
    /// Says how long; `changed_at` is set.
    async fn put_retention(&mut self, retention: &Retention) -> Result<(), StoreError>;
    /// Adds a hold. [`StoreError::Taken`]`("hold")` if there is one of that name.
    async fn insert_hold(&mut self, hold: &Hold) -> Result<(), StoreError>;
    /// Takes a hold away. [`StoreError::Changed`]`("hold")` if there is none of that name.
    async fn remove_hold(&mut self, name: &str) -> Result<(), StoreError>;
    /// Begins a purge. [`StoreError::Taken`]`("purge")` if one begins there already.
    async fn insert_purge(&mut self, purge: &Purge) -> Result<(), StoreError>;
    /// Goes on with a purge from where it stands to before `end`: personal parts go, what events name, and events but those of
    /// the kinds `kept`. Gives how many events went. [`StoreError::Changed`]`("purge")` if it stands elsewhere or has ended.
    async fn purge_events(&mut self, purge: &Purge, end: u64, kept: &[EventKind]) -> Result<u64, StoreError>;
    /// Ends the purge that begins there. [`StoreError::Changed`]`("purge")` if it is not at its end, or has ended already.
    async fn end_purge(&mut self, first: u64, at: Timestamp) -> Result<(), StoreError>;
}

/// Why retention was not shown or changed, or nothing was purged.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is no such hold.
    #[error("no such hold")]
    NotFound,
    /// There is a hold of that name.
    #[error("there is a hold of that name")]
    Taken,
    /// The purge was ordered: it is in the log, and cannot be dismissed.
    #[error("the purge was ordered")]
    Ordered,
    /// Nothing can be purged: nothing is old enough, or what is, is held, was not handed to every sink or is not archived.
    #[error("there is nothing to purge")]
    Nothing,
    /// An archive of what is to go does not read back, so nothing of it goes.
    #[error("an archive does not read back")]
    Unarchived(#[source] ArchiveError),
    /// The approval does not do.
    #[error(transparent)]
    Approval(#[from] ApprovalError),
    /// The log cannot be signed, so nothing of it goes.
    #[error("the log cannot be signed")]
    Unsigned,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(RetentionError);

impl From<CertificateError> for RetentionError {
    fn from(error: CertificateError) -> Self {
        match error {
            CertificateError::Failed(failure) => Self::Failed(failure),
            _ => Self::Failed(Failure::Internal("a purge could not be certified")),
        }
    }
}

impl From<super::SequenceError> for RetentionError {
    fn from(error: super::SequenceError) -> Self {
        match error {
            super::SequenceError::Failed(failure) => Self::Failed(failure),
            _ => Self::Unsigned,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_holds_what_lies_within_its_bounds_and_all_without() {
        let at = Timestamp::from_seconds;
        let hold = |from: Option<i64>, to: Option<i64>| Hold {
            name: "suit".to_owned(),
            from: from.map(at),
            to: to.map(at),
            placed_by: "usr_1".to_owned(),
            placed_at: at(0),
            event: EventId::from_bytes([1; 16]),
        };
        assert!(hold(None, None).holds(at(1), at(2)));
        assert!(hold(Some(2), None).holds(at(1), at(2)) && !hold(Some(3), None).holds(at(1), at(2)));
        assert!(hold(None, Some(2)).holds(at(1), at(2)) && !hold(None, Some(1)).holds(at(1), at(2)));
        assert!(hold(Some(0), Some(9)).holds(at(1), at(2)));
    }

    #[test]
    fn a_month_is_kept_until_it_has_been_over_for_as_long_as_was_said() {
        let now: Timestamp = "2032-11-27T01:00:00Z".parse().unwrap();
        assert_eq!(Retention::default().kept_from(now).to_string(), "2026-11");
        let longer = Retention { months: 85, ..Retention::default() };
        assert_eq!(longer.kept_from(now).to_string(), "2025-10");
    }
}
