//! Events in the words of others: a line of JSON with its proof, OCSF, ECS, Splunk's collector, syslog, CEF.
//!
//! Each is made of the leaf alone, so nothing of the sealed part can come into one. Each carries the event's id, the log's origin,
//! the place and the leaf hash, and all but CEF the leaf's exact text: whoever has a signed head can check what a SIEM holds.

use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{
    Action,
    intent::{Phase, phase_of},
    mapping::{self, Mapping},
    sinks::Outgoing,
};

mod cef;
mod ecs;
mod ocsf;
mod splunk;
mod syslog;

pub use cef::cef;
pub use ecs::{ecs, ecs_bulk};
pub use ocsf::ocsf;
pub use splunk::splunk;
pub use syslog::{Body, syslog};

/// What we call ourselves.
const PRODUCT: &str = "Chancery";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A leaf that is read, and what it is to others.
struct Leaf<'a> {
    event: &'a Outgoing,
    core: Value,
    mapping: Mapping,
}

impl<'a> Leaf<'a> {
    fn of(event: &'a Outgoing) -> Self {
        let core: Value = serde_json::from_str(&event.core).unwrap_or_default();
        let action = core.get("action").and_then(Value::as_str).and_then(|code| code.parse().ok());
        let mapping = mapping::of(&event.kind, action.unwrap_or(Action::Execute));
        Self { event, core, mapping }
    }

    /// The text at this pointer; empty if there is none.
    fn text(&self, pointer: &str) -> &str {
        self.core.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// The value at this pointer; null if there is none.
    fn value(&self, pointer: &str) -> Value {
        self.core.pointer(pointer).cloned().unwrap_or_default()
    }

    fn leaf_hash(&self) -> String {
        HEXLOWER.encode(&self.event.leaf_hash)
    }

    const fn worked(&self) -> bool {
        self.event.outcome == 0
    }

    /// How it went, in the word that most have for it: of an intent nobody knows yet.
    fn ended(&self) -> &'static str {
        match (self.phase(), self.worked()) {
            (Phase::Intent, _) => "unknown",
            (_, true) => "success",
            (_, false) => "failure",
        }
    }

    /// Whether it tells that something is about to begin, how that ended, or all of it.
    fn phase(&self) -> Phase {
        phase_of(&self.core)
    }

    /// What no other system has a member for.
    fn own(&self) -> Value {
        without_nulls(json!({
            "tenant_id": self.event.tenant.to_string(),
            "log": self.event.origin,
            "index": self.event.index,
            "leaf_hash": self.leaf_hash(),
            "security": self.mapping.security,
            "outcome": self.event.outcome,
            "phase": self.phase().as_str(),
            "purpose": self.value("/purpose"),
            "references": self.value("/resource/ref_hmac"),
            "reference_key": self.value("/resource/hk"),
            "detail": self.value("/detail"),
            "node": self.value("/node"),
            "commitments": self.value("/sealed"),
        }))
    }
}

/// An object whose members' names are not ours, as a list of names and values, all of them texts: a system that gives each name it
/// meets a field and each field a type would take the types from whoever came first, and refuse the others.
fn listed(object: &Value) -> Value {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let members = object.as_object().into_iter().flatten();
    members.map(|(name, value)| json!({"name": name, "value": text(value)})).collect()
}

/// An object without its members that are null.
fn without_nulls(mut object: Value) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.retain(|_, value| !value.is_null());
    }
    object
}

/// A line of JSON: the leaf's exact text, its place, and the proof if there is one.
pub fn line(event: &Outgoing) -> String {
    let line = json!({
        "tenant_id": event.tenant.to_string(),
        "log": event.origin,
        "index": event.index,
        "event_id": event.id.to_string(),
        "leaf_hash": HEXLOWER.encode(&event.leaf_hash),
        "core": event.core,
        "proof": event.proof,
    });
    without_nulls(line).to_string()
}

#[cfg(test)]
pub(crate) mod tests {
    use chancery_crypto::merkle::leaf_hash;

    use super::*;
    use crate::{
        ids::{EventId, TenantId},
        time::Timestamp,
    };

    /// An event with every member that a leaf can have.
    pub(crate) fn sample(kind: &str, outcome: i64) -> Outgoing {
        let id = EventId::from_bytes([7; 16]);
        let tenant = TenantId::from_bytes([1; 16]);
        let core = json!({
            "action": "R",
            "actor": {"auth": "password", "kind": "user", "ref": "usr_1", "role_ids": ["clinician"],
                "session_ref": "tok_1", "tenant_id": tenant.to_string()},
            "detail": {"count": 2, "table": ["patients"]},
            "event_id": id.to_string(), "method": "POST", "net": {"class": "private"},
            "node": {"boot": "b", "ctr": 3, "id": "nod_1"}, "occurred_at": "2026-11-26T21:00:00.000001Z",
            "outcome": outcome, "phase": "single", "purpose": "TREAT", "recorded_at": "2026-11-26T21:00:00.000001Z",
            "request_id": "req_1", "resource": {"hk": "kv_1", "id": "key_1", "kind": "key", "ref_hmac": ["aa", "bb"]},
            "retention_class": "standard", "route": "/v1/open", "sealed": {"address": "00ff"},
            "tenant_id": tenant.to_string(), "type": kind, "v": 1,
        })
        .to_string();
        Outgoing {
            tenant,
            origin: "chancery.test/t/1".to_owned(),
            index: 41,
            id,
            recorded_at: Timestamp::from_micros(1_795_726_800_000_001),
            kind: kind.to_owned(),
            outcome,
            leaf_hash: leaf_hash(core.as_bytes()),
            core,
            proof: None,
        }
    }

    #[test]
    fn an_intent_and_its_outcome_are_not_two_reads() {
        let mut event = sample("record.opened", 0);
        event.core = event.core.replace("\"phase\":\"single\"", "\"phase\":\"intent\"");
        let intent = (ocsf(&event), ecs(&event), cef(&event));
        assert_eq!((&intent.0["activity_name"], &intent.0["status"]), (&json!("Decrypt"), &json!("Unknown")));
        assert_eq!(
            (&intent.1["event"]["type"], &intent.1["event"]["outcome"]),
            (&json!(["access"]), &json!("unknown"))
        );
        assert!(intent.2.contains(" outcome=unknown ") && intent.2.contains(" cat=intent "), "{}", intent.2);
        event.core = event.core.replace("\"phase\":\"intent\"", "\"phase\":\"outcome\"");
        let outcome = (ocsf(&event), ecs(&event), cef(&event));
        assert_eq!((&outcome.0["activity_id"], &outcome.0["type_uid"]), (&json!(99), &json!(600_599)));
        assert_eq!(
            (&outcome.0["activity_name"], &outcome.0["status"]),
            (&json!("Decrypt: outcome"), &json!("Success"))
        );
        assert_eq!(
            (&outcome.1["event"]["type"], &outcome.1["event"]["outcome"]),
            (&json!(["info"]), &json!("success"))
        );
        assert!(outcome.2.contains(" outcome=success ") && outcome.2.contains(" cat=outcome "), "{}", outcome.2);
        for made in [&outcome.0["unmapped"]["chancery"], &outcome.1["chancery"]] {
            assert_eq!(made["phase"], "outcome");
        }
    }

    #[test]
    fn a_line_keeps_the_leaf_to_the_letter() {
        let mut event = sample("record.opened", 0);
        event.proof = Some("c2sp.org/tlog-proof@v1\n…\n".to_owned());
        let read: Value = serde_json::from_str(&line(&event)).unwrap();
        assert!(!line(&event).contains('\n'));
        assert_eq!(read["core"], event.core);
        assert_eq!(leaf_hash(read["core"].as_str().unwrap().as_bytes()), event.leaf_hash);
        assert_eq!((&read["index"], &read["log"]), (&json!(41), &json!("chancery.test/t/1")));
        assert_eq!(read["proof"].as_str(), event.proof.as_deref());
    }

    #[test]
    fn a_leaf_that_is_no_json_still_goes_out() {
        let mut event = sample("record.opened", 0);
        event.core = "damaged".to_owned();
        for text in [line(&event), ocsf(&event).to_string(), ecs(&event).to_string(), cef(&event), splunk(&event, None)]
        {
            assert!(text.contains(&event.id.to_string()), "{text}");
        }
    }
}
