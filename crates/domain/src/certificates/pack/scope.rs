//! What a pack is about.

use std::collections::BTreeSet;

use chancery_crypto::{Phi, runs::Run};
use serde_json::{Value, json};

use crate::{
    certificates::payload::is_code,
    faults::Faults,
    ids::{CertificateId, EventId},
    time::Timestamp,
};

/// The most certificates that one pack is asked for by their ids.
const MAX_CERTIFICATES: usize = 1_000;
/// The same of events.
const MAX_EVENTS: usize = 1_000;
/// The widest span of time, in seconds.
const MAX_SPAN_SECONDS: i64 = 366 * 24 * 60 * 60;

/// What a pack is about.
#[derive(Debug)]
pub enum PackScope {
    /// These certificates.
    Certificates(Vec<CertificateId>),
    /// Every event that was recorded in a span of time, and the certificates among them.
    Range {
        /// Recorded at or after.
        from: Timestamp,
        /// Recorded before.
        to: Timestamp,
    },
    /// These events, wherever they lie in the log.
    Events {
        /// Which.
        ids: Vec<EventId>,
        /// With what they say in confidence.
        disclose: bool,
    },
    /// Every certificate about one thing or person, as it was named when they were issued.
    Subject {
        /// A code such as `patient`.
        kind: String,
        /// Which one. In the pack stands a keyed reference.
        reference: Phi<String>,
    },
}

impl PackScope {
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Certificates(_) => "certificates",
            Self::Events { .. } => "events",
            Self::Range { .. } => "range",
            Self::Subject { .. } => "subject",
        }
    }

    /// What of a request says how much is in it.
    pub(super) const fn pointer(&self) -> &'static str {
        match self {
            Self::Certificates(_) => "/certificates",
            Self::Events { .. } => "/events",
            Self::Range { .. } => "/to",
            Self::Subject { .. } => "/subject",
        }
    }

    /// Whether events are in it that do not tell of its certificates.
    pub(super) const fn shows_events(&self) -> bool {
        matches!(self, Self::Range { .. } | Self::Events { .. })
    }

    /// Whether what events say in confidence is in it.
    pub(super) const fn discloses(&self) -> bool {
        matches!(self, Self::Events { disclose: true, .. })
    }

    pub(super) fn check(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        match self {
            Self::Certificates(ids) if ids.is_empty() => {
                faults.add("/certificates", "too_few", "name at least one certificate");
            }
            Self::Certificates(ids) if ids.len() > MAX_CERTIFICATES => {
                faults.add("/certificates", "too_many", "name at most 1000 certificates");
            }
            Self::Certificates(_) => {}
            Self::Events { ids, .. } => {
                if !(1..=MAX_EVENTS).contains(&ids.len()) {
                    faults.add("/events", "count", "name 1 to 1000 events");
                }
            }
            Self::Range { from, to } if from >= to => {
                faults.add("/from", "range", "`from` must be before `to`");
            }
            Self::Range { from, to } if to.as_seconds().saturating_sub(from.as_seconds()) > MAX_SPAN_SECONDS => {
                faults.add("/to", "range", "ask for at most 366 days at once");
            }
            Self::Range { .. } => {}
            Self::Subject { kind, reference } => {
                if !is_code(kind) {
                    faults.add("/subject/kind", "format", "use a code: a-z, then up to 63 of a-z, 0-9, . and -");
                }
                if !(1..=255).contains(&reference.expose().chars().count()) {
                    faults.add("/subject/ref", "length", "use 1 to 255 characters");
                }
            }
        }
        faults.check()
    }

    /// The `scope` of a manifest; `span` is where a range lies in the log, `subject` a keyed reference.
    pub(super) fn to_json(&self, span: Option<Run>, subject: Option<&str>) -> Value {
        match self {
            Self::Certificates(ids) => {
                let ids: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
                json!({ "certificates": ids })
            }
            Self::Events { ids, .. } => {
                let ids: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
                json!({ "events": ids })
            }
            Self::Range { from, to } => {
                let (start, end) = span.unwrap_or_default();
                json!({ "range": { "from": from.to_string(), "to": to.to_string(), "indexes": [start, end] } })
            }
            Self::Subject { kind, .. } => json!({ "subject": { "kind": kind, "reference": subject } }),
        }
    }
}
