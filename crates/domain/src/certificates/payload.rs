//! What a certificate says, and what it cannot say: there is no room for free text.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    access::{Call, Caller, Denied, Permission},
    faults::Faults,
    ids::{CertificateId, TenantId},
    text::is_date,
    time::Timestamp,
};

/// The `type` of a certificate's payload.
pub const TYPE: &str = "clinical-certificate/v1";
/// The name under which a subject's reference is committed to.
pub const SUBJECT_COMMITMENT: &str = "subject.ref";
/// What Chancery states of its own deeds, and nobody else. Applications' own kinds are `app.*`; beside [`ATTESTED`] there are no others.
const OWN: [&str; 4] = ["key-destruction", "key-rotation", "retention-destruction", "subject-erasure"];
/// What a security officer attests: people did it, and Chancery did not see it.
const ATTESTED: [&str; 8] = [
    "access-report",
    "access-review",
    "control-evidence",
    "incident-timeline",
    "lockdown-drill",
    "masking-verified",
    "migration-equivalence",
    "restore-drill",
];
const MAX_PARAMS: usize = 32;
const MAX_EVIDENCE: usize = 100;

/// What a caller wants certified.
#[derive(Debug)]
pub struct Claim {
    /// What kind of statement: `[a-z][a-z0-9.-]{0,63}`; applications' own are `app.*`, officers attest a closed list.
    pub kind: String,
    /// What the subject is, such as `patient`; a code too.
    pub subject_kind: String,
    /// Which one, 1 to 255 characters; replaced by a salted commitment.
    pub subject_ref: chancery_crypto::Phi<String>,
    /// What is stated: a code.
    pub code: String,
    /// Integers, booleans, dates, sha256 or `[A-Z0-9_.-]{1,32}`, by `[a-z][a-z0-9_]{0,63}`.
    pub params: BTreeMap<String, Value>,
    /// What it rests on.
    pub evidence: Vec<Evidence>,
    /// When it happened.
    pub occurred_at: Option<Timestamp>,
    /// When somebody attested it.
    pub attested_at: Option<Timestamp>,
    /// Until when it is valid; for ever if nothing is said.
    pub not_after: Option<Timestamp>,
    /// Which certificate of the same kind it takes the place of.
    pub supersedes: Option<CertificateId>,
}

/// A file that a statement rests on, by its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// A code.
    pub name: String,
    /// Such as `application/pdf`.
    pub media_type: String,
    /// 64 lower-case hex digits.
    pub sha256: String,
    /// In bytes.
    pub size: u64,
}

/// What the issuer adds to a claim.
pub(super) struct Issuing<'a> {
    pub(super) id: CertificateId,
    pub(super) tenant: TenantId,
    pub(super) log_origin: &'a str,
    pub(super) issuer_name: &'a str,
    pub(super) key_id: &'a str,
    pub(super) alg: &'a str,
    pub(super) subject_commitment: &'a str,
    pub(super) issued_at: Timestamp,
}

/// Asks for the right to issue anything at all; what kinds it is of, [`Claim::check`] says.
pub(super) fn require(call: &Call) -> Result<(), Denied> {
    call.require(Permission::CertificatesAttest).or_else(|_| call.require(Permission::CertificatesIssue))
}

impl Claim {
    /// Whether Chancery states it of itself: then it is about no person.
    pub(crate) fn is_own(&self) -> bool {
        OWN.contains(&self.kind.as_str())
    }

    /// Whether there is such a kind.
    pub(super) fn is_known(&self) -> bool {
        self.is_own() || self.kind.starts_with("app.") || ATTESTED.contains(&self.kind.as_str())
    }

    /// Checks that its kind is the caller's to state, that nothing in it can carry personal data, and that its times are in order.
    pub(super) fn check(&self, caller: &Caller, now: Timestamp) -> Result<(), Faults> {
        let mut faults = Faults::default();
        let codes = [("/kind", &self.kind), ("/subject/kind", &self.subject_kind), ("/statement/code", &self.code)];
        for (pointer, code) in codes {
            if !is_code(code) {
                faults.add(pointer, "format", "use a code: a-z, then up to 63 of a-z, 0-9, . and -");
            }
        }
        // Whatever is neither an application's own nor an officer's, Chancery states itself, now or in a later version.
        let own = self.kind.starts_with("app.") && caller.may(Permission::CertificatesIssue);
        let attested = ATTESTED.contains(&self.kind.as_str()) && caller.may(Permission::CertificatesAttest);
        if !own && !attested {
            let message = "kinds of applications begin with app.; a security officer attests reviews, drills, reports and controls";
            faults.add("/kind", "reserved", message);
        }
        if !self.code.starts_with("app.") {
            faults.add("/statement/code", "reserved", "your own codes begin with app.");
        }
        if !(1..=255).contains(&self.subject_ref.expose().chars().count()) {
            faults.add("/subject/ref", "length", "use 1 to 255 characters");
        }
        if self.params.len() > MAX_PARAMS {
            faults.add("/statement/params", "too_many", "use at most 32 parameters");
        }
        for (name, value) in &self.params {
            if !is_param_name(name) || !is_param(value) {
                // The name may itself be what is wrong, so it is not repeated.
                faults.add(
                    "/statement/params",
                    "format",
                    "use integers, booleans, dates, sha256 or A-Z, 0-9, _, ., - up to 32",
                );
            }
        }
        if self.evidence.len() > MAX_EVIDENCE {
            faults.add("/evidence", "too_many", "use at most 100 pieces of evidence");
        }
        for (position, evidence) in self.evidence.iter().enumerate() {
            evidence.check(position, &mut faults);
        }
        for (pointer, time) in [("/occurred_at", self.occurred_at), ("/attested_at", self.attested_at)] {
            if time.is_some_and(|time| time > now) {
                faults.add(pointer, "future", "it lies in the future");
            }
        }
        if let Err(early) = self.check_end(now) {
            faults.0.extend(early.0);
        }
        if let (Some(occurred), Some(attested)) = (self.occurred_at, self.attested_at)
            && attested < occurred
        {
            faults.add("/attested_at", "order", "it lies before `occurred_at`");
        }
        faults.check()
    }

    /// Checks that it ends after it was issued.
    pub(super) fn check_end(&self, issued_at: Timestamp) -> Result<(), Faults> {
        if self.not_after.is_some_and(|end| end <= issued_at) {
            return Err(Faults::one("/not_after", "order", "it must lie after the moment of issue"));
        }
        Ok(())
    }

    /// The payload as JSON.
    pub(super) fn payload(&self, issuing: &Issuing<'_>) -> Value {
        let evidence: Vec<Value> = self
            .evidence
            .iter()
            .map(|e| json!({"name": e.name, "media_type": e.media_type, "sha256": e.sha256, "size": e.size}))
            .collect();
        let mut payload = Map::new();
        payload.insert("v".into(), json!(1));
        payload.insert("type".into(), json!(TYPE));
        payload.insert("cert_id".into(), json!(issuing.id.to_string()));
        payload.insert("tenant_id".into(), json!(issuing.tenant.to_string()));
        payload.insert("log_origin".into(), json!(issuing.log_origin));
        payload.insert(
            "issuer".into(),
            json!({"name": issuing.issuer_name, "key_id": issuing.key_id, "alg": issuing.alg}),
        );
        payload.insert("kind".into(), json!(self.kind));
        payload.insert("subject".into(), json!({"kind": self.subject_kind, "commitment": issuing.subject_commitment}));
        payload.insert("statement".into(), json!({"code": self.code, "params": self.params}));
        payload.insert("evidence".into(), Value::Array(evidence));
        payload.insert("issued_at".into(), json!(issuing.issued_at.to_string()));
        payload.insert("producer".into(), json!({"name": "chancery", "version": env!("CARGO_PKG_VERSION")}));
        let times =
            [("occurred_at", self.occurred_at), ("attested_at", self.attested_at), ("not_after", self.not_after)];
        for (name, time) in times {
            if let Some(time) = time {
                payload.insert(name.into(), json!(time.to_string()));
            }
        }
        if let Some(id) = self.supersedes {
            payload.insert("supersedes".into(), json!(id.to_string()));
        }
        Value::Object(payload)
    }
}

impl Evidence {
    fn check(&self, position: usize, faults: &mut Faults) {
        if !is_code(&self.name) {
            faults.add(format!("/evidence/{position}/name"), "format", "use a code");
        }
        if !is_media_type(&self.media_type) {
            faults.add(
                format!("/evidence/{position}/media_type"),
                "format",
                "use a media type such as application/pdf",
            );
        }
        if !is_sha256(&self.sha256) {
            faults.add(format!("/evidence/{position}/sha256"), "format", "use 64 lower-case hex digits");
        }
        if self.size > (1 << 53) - 1 {
            faults.add(format!("/evidence/{position}/size"), "range", "use at most 2^53 - 1 bytes");
        }
    }
}

/// `[a-z][a-z0-9.-]{0,63}`.
pub fn is_code(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-')
}

/// `[a-z][a-z0-9_]{0,63}`.
pub(crate) fn is_param_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.len() <= 64
        && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// An integer, a boolean, a date, a sha256 or `[A-Z0-9_.-]{1,32}`: nothing that has room for a name.
pub(crate) fn is_param(value: &Value) -> bool {
    match value {
        Value::Bool(_) => true,
        Value::Number(number) => number.as_i64().is_some_and(|n| n.unsigned_abs() < 1 << 53),
        Value::String(text) => is_sha256(text) || is_date(text) || is_token(text),
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

fn is_token(text: &str) -> bool {
    (1..=32).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

fn is_media_type(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+'))
    };
    text.len() <= 100 && text.split_once('/').is_some_and(|(kind, subtype)| part(kind) && part(subtype))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_have_no_room_for_names() {
        for good in [json!(1), json!(true), json!("PGY-1"), json!("2026-01-31"), json!("a".repeat(64))] {
            assert!(is_param(&good), "{good}");
        }
        for bad in [
            json!("Maria Gomez"),
            json!("maria"),
            json!(1.5),
            json!(null),
            json!([1]),
            json!({"A": 1}),
            json!(u64::MAX),
            json!("A".repeat(33)),
        ] {
            assert!(!is_param(&bad), "{bad}");
        }
        assert!(
            is_code("app.visit-1.closed")
                && !is_code("App")
                && !is_code("")
                && !is_code("a b")
                && !is_code(&"a".repeat(65))
        );
    }
}
