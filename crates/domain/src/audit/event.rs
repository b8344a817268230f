//! What happened, in types that leave no room for personal data outside its sealed part.

use std::{borrow::Cow, sync::Arc};

use chancery_crypto::Phi;
use serde_json::{Value, json};

use super::{Action, EventKind, application::Datum, intent::Phase};
use crate::{ids::EventId, keyring::OpenSubject, time::Timestamp};

/// The name of a member: ours are in the program, an application's were checked.
pub(super) type Name = Cow<'static, str>;

/// More names than these are counted, not listed: a leaf stays short.
const MAX_NAMES: usize = 100;
/// The largest number that a leaf can say (RFC 8785 writes numbers as doubles).
const MAX_COUNT: u64 = (1 << 53) - 1;

/// A value that may stand in the leaf. There is no variant for free text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Detail {
    /// A number. Of a larger one than a leaf can say, which somebody wrote into the store, that is told.
    Count(u64),
    /// A code of a closed list.
    Code(&'static str),
    /// An id that Chancery made, a thumbprint, or a hex digest.
    Id(String),
    /// Codes of closed lists, or names of registered tables and columns.
    Names(Vec<String>),
    /// A moment.
    At(Timestamp),
    /// What an application said, checked to have no room for a name.
    Own(Datum),
}

impl Detail {
    pub(crate) fn to_json(&self) -> Value {
        match self {
            Self::Count(count) => json!(count.min(&MAX_COUNT)),
            Self::Code(code) => json!(code),
            Self::Id(id) => json!(id),
            Self::Names(names) if names.len() > MAX_NAMES => json!({"count": names.len()}),
            Self::Names(names) => json!(names),
            Self::At(at) => json!(at.to_string()),
            Self::Own(datum) => datum.to_json(),
        }
    }

    /// As [`Self::to_json`], with every name: what somebody consents to is not told by how many there are.
    pub(crate) fn to_whole_json(&self) -> Value {
        match self {
            Self::Names(names) => json!(names),
            other => other.to_json(),
        }
    }
}

/// What happened, before it is stamped with who, when and where.
#[derive(Debug)]
pub struct Event {
    pub(super) id: Option<EventId>,
    pub(super) kind: Name,
    pub(super) act: Action,
    pub(super) phase: Phase,
    pub(super) outcome: Outcome,
    pub(super) resource: Option<(Name, String)>,
    pub(super) references: Vec<String>,
    pub(super) details: Vec<(Name, Detail)>,
    pub(super) purpose: Option<&'static str>,
    pub(super) personal: Vec<(Name, Phi<String>)>,
    /// The person whose key seals the personal part, so that it goes with the person.
    pub(super) person: Option<Arc<OpenSubject>>,
}

impl Event {
    /// Something that worked.
    pub fn new(kind: EventKind) -> Self {
        Self::of(Cow::Borrowed(kind.as_str()), kind.action())
    }

    /// Something of this type. Only a type of the catalogue or a checked one of an application comes here.
    pub(super) fn of(kind: Name, act: Action) -> Self {
        Self {
            id: None,
            kind,
            act,
            phase: Phase::Single,
            outcome: Outcome::Success,
            resource: None,
            references: Vec::new(),
            details: Vec::new(),
            purpose: None,
            personal: Vec::new(),
            person: None,
        }
    }

    /// With an id drawn beforehand, so that a row of the same commit can name it.
    #[must_use]
    pub fn identified(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    /// Told before it is done, or after; [`Phase::Single`] if nothing is said.
    pub(super) fn phase(mut self, phase: Phase) -> Self {
        self.phase = phase;
        self
    }

    /// With another outcome.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Done to this: a kind such as `certificate`, and an id that Chancery made.
    #[must_use]
    pub fn on(mut self, kind: &'static str, id: impl ToString) -> Self {
        self.resource = Some((kind.into(), id.to_string()));
        self
    }

    /// The id of what it was done to.
    pub(super) fn resource_id(&self) -> Option<&str> {
        self.resource.as_ref().map(|(_, id)| id.as_str())
    }

    /// Done to these things outside, by keyed references ([`crate::keyring::Keyring::reference`]); at most 100.
    #[must_use]
    pub fn references(mut self, references: Vec<String>) -> Self {
        self.references = references;
        self
    }

    /// With a detail that may be known to every reader of the log.
    #[must_use]
    pub fn with(mut self, name: &'static str, detail: Detail) -> Self {
        self.details.push((name.into(), detail));
        self
    }

    /// For this purpose of use (HL7 PurposeOfUse).
    #[must_use]
    pub fn purpose(mut self, purpose: &'static str) -> Self {
        self.purpose = Some(purpose);
        self
    }

    /// With something that identifies a person: sealed, with a commitment in the leaf.
    #[must_use]
    pub fn personal(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.personal.push((name.into(), Phi::new(value.into())));
        self
    }
}

/// How it went (DICOM/FHIR AuditEvent.outcome).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// 0: it worked.
    Success,
    /// 4: it did not, by the caller's fault; or it ended early.
    MinorFailure,
    /// 8: it did not, by ours; or what was kept did not open.
    SeriousFailure,
    /// 12: nobody knows, for its process ended before it did.
    MajorFailure,
}

impl Outcome {
    /// The number in the leaf.
    pub const fn code(self) -> i64 {
        match self {
            Self::Success => 0,
            Self::MinorFailure => 4,
            Self::SeriousFailure => 8,
            Self::MajorFailure => 12,
        }
    }
}
