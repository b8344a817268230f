//! What takes two people: one asks, another approves, and the deed is done once.
//!
//! A dangerous use case describes what it is about to do as a [`Deed`]. Without an approval it
//! gives [`request()`]'s and does nothing. A *different* person approves within 24 hours. The
//! requester repeats the call with the approval's id, and [`consume`] marks it used in the same
//! commit as the deed:
//!
//! ```ignore
//! let deed = Deed::new(DeedKind::SubjectErase, "subject", id).with("tables", Detail::Names(tables));
//! let Some(approval) = approval else {
//!     return Ok(Carried::waits(approvals::request(instance, call, &deed).await?));
//! };
//! let mut change = Change::begin(instance, call, call.tenant()).await?;
//! approvals::consume(instance, call, &mut change, approval, &deed).await?;
//! // … the deed …
//! change.commit(event.with("approval", Detail::Id(approval.to_string()))).await?;
//! ```
//!
//! Repeating instead of acting at the approval has a reason: the requester's rights are checked again at the moment
//! of the deed, and what was approved is compared, part by part, with what is being done.

use async_trait::async_trait;

use crate::{
    access::Denied,
    ids::ApprovalId,
    instance::{Failure, fails},
    store::StoreError,
    time::Timestamp,
};

mod consume;
mod decide;
mod deed;
mod read;
mod request;
mod review;

pub use consume::consume;
pub use decide::{Decision, decide};
pub use deed::Deed;
pub(crate) use read::decided;
pub use read::{ApprovalFilter, ApprovalView, get, list};
pub use request::request;
pub use review::review;

/// How long an approval may be waited for, and used after it was given, in seconds.
pub const LIFE_SECONDS: i64 = 24 * 60 * 60;
/// How long a glass stays broken, in seconds.
pub const BREAK_GLASS_SECONDS: i64 = 60 * 60;

codes! {
    /// What may need two people.
    pub enum DeedKind {
        /// Schedule the destruction of a key whose sealed values nobody has counted, or that still has some.
        KeyDelete = "key.delete",
        /// Destroy a revoked key without waiting.
        KeyForceDelete = "key.force_delete",
        /// Revoke a version of the subject root while keys of persons are under it: they open no more.
        KeyRevokeHolding = "key.revoke_holding",
        /// Hand a key's material to another provider.
        KeyEscrow = "key.escrow",
        /// Take a copy of a key away that no other verified copy stands in for.
        KeyCopyRemove = "key.copy_remove",
        /// Take a key's material back from another provider.
        KeyEscrowRestore = "key.escrow_restore",
        /// Open what a stopped key has sealed.
        BreakGlass = "record.break_glass",
        /// Destroy a person's keys.
        SubjectErase = "subject.erase",
        /// Let events go whose time is over.
        AuditPurge = "audit.purge",
        /// Keep the log for a shorter time, or let events go by themselves.
        AuditRetention = "audit.retention",
        /// Hold events no longer.
        HoldLift = "audit.hold_lift",
    }
}

impl DeedKind {
    /// How long an approval may be used after it was given, in seconds.
    pub const fn usable_seconds(self) -> i64 {
        match self {
            Self::BreakGlass => BREAK_GLASS_SECONDS,
            _ => LIFE_SECONDS,
        }
    }

    /// Whether it may be used again until its time is over; each use is an event, and the whole wants a review.
    pub const fn is_repeated(self) -> bool {
        matches!(self, Self::BreakGlass)
    }
}

codes! {
    /// Where an approval stands.
    pub enum ApprovalState {
        /// Asked for.
        Pending = "pending",
        /// Given; not used up.
        Approved = "approved",
        /// Refused by another officer.
        Denied = "denied",
        /// Taken back by whoever asked.
        Cancelled = "cancelled",
        /// The deed is done.
        Used = "used",
        /// Its time is over. Never stored: told by the clock.
        Expired = "expired",
    }
}

/// One request for a second person's consent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// What is to be done.
    pub kind: DeedKind,
    /// To what: the id of a key, a subject's reference, a ticket.
    pub resource: String,
    /// The particulars, as canonical JSON of codes, counts and names; never personal data.
    pub details: String,
    /// SHA-256 over kind, resource and particulars: the deed must be this one.
    pub request: [u8; 32],
    /// Why, in words; sealed.
    pub reason: Option<Vec<u8>>,
    /// Where it stands, as stored; see [`Self::state_at`].
    pub state: ApprovalState,
    /// Who asked.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// Until when it may be given; once given, until when it may be used.
    pub expires_at: Timestamp,
    /// Who gave, refused or took it back.
    pub decided_by: Option<String>,
    /// When.
    pub decided_at: Option<Timestamp>,
    /// How often it was used.
    pub uses: u32,
    /// When last.
    pub used_at: Option<Timestamp>,
    /// Who looked at its uses afterwards.
    pub reviewed_by: Option<String>,
    /// When.
    pub reviewed_at: Option<Timestamp>,
    /// Counts its changes: each is a compare-and-swap on the one before.
    pub revision: u32,
}

impl Approval {
    /// Where it stands at `now`.
    pub fn state_at(&self, now: Timestamp) -> ApprovalState {
        match self.state {
            ApprovalState::Pending | ApprovalState::Approved if self.expires_at <= now => ApprovalState::Expired,
            state => state,
        }
    }

    /// Whether it was used and nobody has looked at that yet, though somebody must.
    pub fn wants_review(&self) -> bool {
        self.kind.is_repeated() && self.uses > 0 && self.reviewed_at.is_none()
    }
}

/// What became of a use case that takes two people.
#[derive(Debug)]
pub enum Carried<T> {
    /// It was done.
    Done(T),
    /// A second person is asked; nothing was done.
    Waits(Box<Approval>),
}

impl<T> Carried<T> {
    /// A second person is asked.
    pub(crate) fn waits(approval: Approval) -> Self {
        Self::Waits(Box::new(approval))
    }
}

/// Why an approval was not asked for, given or used.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is none with this id in the tenant.
    #[error("no such approval")]
    NotFound,
    /// Whoever asks cannot answer, and who opened cannot review.
    #[error("this takes another person than the one who asked")]
    SamePerson,
    /// Only whoever asked may take it back or use it.
    #[error("only the person who asked may do this")]
    AnotherPerson,
    /// It is not in the state for this.
    #[error("the approval is {0}")]
    WrongState(ApprovalState),
    /// It was given for something else.
    #[error("the approval was given for another request")]
    AnotherDeed,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(ApprovalError);

/// Reads approvals.
#[async_trait]
pub trait ApprovalRows {
    /// One approval.
    async fn approval(&mut self, id: ApprovalId) -> Result<Option<Approval>, StoreError>;
    /// Ordered by id, `limit` at a time, those after `after`; only in `state` at `now` if given.
    async fn approvals(
        &mut self,
        state: Option<ApprovalState>,
        now: Timestamp,
        after: Option<ApprovalId>,
        limit: u32,
    ) -> Result<Vec<Approval>, StoreError>;
    /// Those of this kind that were used and not reviewed, oldest first.
    async fn unreviewed_approvals(&mut self, kind: DeedKind, limit: u32) -> Result<Vec<Approval>, StoreError>;
    /// Those of this kind, for this resource, that are used up, by id. A resource has few.
    async fn used_approvals(&mut self, kind: DeedKind, resource: &str) -> Result<Vec<Approval>, StoreError>;
}

/// Changes approvals.
#[async_trait]
pub trait ApprovalWrites {
    /// Adds one.
    async fn insert_approval(&mut self, approval: &Approval) -> Result<(), StoreError>;
    /// Writes what changes in its life: state, times, persons, uses. [`StoreError::Changed`]`("approval")` unless the stored
    /// revision is one below its own.
    async fn update_approval(&mut self, approval: &Approval) -> Result<(), StoreError>;
}
