//! What a certificate says was destroyed. An order of the log is only believed with one: events can be put into the queue by
//! whoever can write the store, and then lie in the tree like all others; a signature of the tenant's he cannot make.

use chancery_crypto::{Jwk, canonical, dsse::Envelope};
use serde_json::Value;

use super::{MIN_MONTHS, Month, purge::CERTIFICATE_KIND};
use crate::{
    audit::EventKind,
    certificates::{PAYLOAD_TYPE, payload, tells_of},
    ids::{CertificateId, TenantId},
    time::Timestamp,
};

/// What a signed certificate `retention-destruction` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destruction {
    /// Which certificate.
    pub certificate: CertificateId,
    /// Whose log.
    pub tenant: TenantId,
    /// The log's name.
    pub origin: String,
    /// The key that signed it.
    pub key_id: String,
    /// In which month the events were recorded.
    pub month: Month,
    /// The first place.
    pub first: u64,
    /// The place after the last one.
    pub end: u64,
    /// How many events go.
    pub events: u64,
}

impl Destruction {
    /// Of an envelope that one of these keys signed; `None` if none did, if it certifies something else, or something that was too
    /// young to go when it was issued.
    pub fn certified(envelope: &[u8], keys: &[Jwk]) -> Option<Self> {
        let envelope = Envelope::from_json(envelope).ok().filter(|envelope| envelope.payload_type == PAYLOAD_TYPE)?;
        let key_id = envelope.signatures.first()?.keyid.clone();
        let key = keys.iter().find(|key| key.thumbprint() == key_id)?;
        envelope.verify(key, &key_id).ok()?;
        let payload = canonical::parse(&envelope.payload).ok()?;
        let text = |pointer: &str| payload.pointer(pointer).and_then(Value::as_str);
        let count = |name: &str| payload.pointer(&format!("/statement/params/{name}")).and_then(Value::as_u64);
        let is_one = payload.pointer("/v").and_then(Value::as_u64) == Some(1)
            && text("/type") == Some(payload::TYPE)
            && text("/kind") == Some(CERTIFICATE_KIND)
            && text("/issuer/key_id") == Some(key_id.as_str());
        let said = Self {
            certificate: text("/cert_id")?.parse().ok()?,
            tenant: text("/tenant_id")?.parse().ok()?,
            origin: text("/log_origin")?.to_owned(),
            month: text("/statement/params/month")?.parse().ok()?,
            first: count("first")?,
            end: count("end")?,
            events: count("events")?,
            key_id,
        };
        let issued = text("/issued_at").and_then(Timestamp::from_exact)?;
        let within = count("tree_size").is_some_and(|size| said.end <= size);
        (is_one && within && is_over(said.month, issued)).then_some(said)
    }

    /// Whether an event of the log tells that just this certificate was issued.
    pub fn is_issued_by(&self, core: &Value, envelope: &[u8]) -> bool {
        tells_of(core, envelope, self.tenant, self.certificate, &self.key_id)
    }

    /// Whether an event of the log orders just this, and in its time.
    pub fn is_ordered_by(&self, core: &Value) -> bool {
        let text = |pointer: &str| core.pointer(pointer).and_then(Value::as_str);
        let count = |name: &str| core.pointer(&format!("/detail/{name}")).and_then(Value::as_u64);
        let recorded = text("/recorded_at").and_then(|at| at.parse::<Timestamp>().ok());
        text("/type") == Some(EventKind::PurgeOrdered.as_str())
            && text("/tenant_id") == Some(self.tenant.to_string().as_str())
            && text("/detail/certificate") == Some(self.certificate.to_string().as_str())
            && text("/detail/month") == Some(self.month.to_string().as_str())
            && count("first") == Some(self.first)
            && count("end") == Some(self.end)
            && count("events") == Some(self.events)
            && recorded.is_some_and(|at| is_over(self.month, at))
    }
}

/// Whether nobody has to keep a month any longer at this moment.
fn is_over(month: Month, at: Timestamp) -> bool {
    month < Month::of(at).minus(MIN_MONTHS)
}

#[cfg(test)]
mod tests {
    use chancery_crypto::{Ed25519SigningKey, dsse};
    use serde_json::json;

    use super::*;

    const TENANT: &str = "ten_01J9Z3K0Q5V8WXYZ0123456789";
    const CERTIFICATE: &str = "crt_01J9Z3K0Q5V8WXYZ0123456789";

    fn envelope(change: impl FnOnce(&mut Value), key: &Ed25519SigningKey, key_id: &str) -> Vec<u8> {
        let mut payload = json!({"v": 1, "type": payload::TYPE, "cert_id": CERTIFICATE, "tenant_id": TENANT,
            "log_origin": "x/t/1", "issuer": {"key_id": key_id}, "kind": "retention-destruction",
            "issued_at": "2032-11-02T00:00:00.000000Z",
            "statement": {"params": {"first": 3, "end": 9, "events": 5, "month": "2026-10", "tree_size": 9}}});
        change(&mut payload);
        let payload = canonical::to_vec(&payload).unwrap();
        dsse::sign_ed25519(PAYLOAD_TYPE, payload, key, key_id).to_json()
    }

    #[test]
    fn only_a_signed_certificate_of_what_was_old_enough_says_that_something_was_destroyed() {
        let key = Ed25519SigningKey::from_seed(&[1; 32]).unwrap();
        let jwk = Jwk::from(&key.public());
        let id = jwk.thumbprint();
        let said =
            |change: fn(&mut Value)| Destruction::certified(&envelope(change, &key, &id), std::slice::from_ref(&jwk));
        let found = said(|_| {}).unwrap();
        assert_eq!((found.first, found.end, found.events, found.month.to_string()), (3, 9, 5, "2026-10".to_owned()));
        let young: fn(&mut Value) = |payload| payload["statement"]["params"]["month"] = json!("2026-11");
        let other: fn(&mut Value) = |payload| payload["kind"] = json!("app.access-report");
        let beyond: fn(&mut Value) = |payload| payload["statement"]["params"]["tree_size"] = json!(8);
        let vague: fn(&mut Value) = |payload| payload["statement"]["params"]["end"] = json!("9");
        for change in [young, other, beyond, vague] {
            assert_eq!(said(change), None);
        }
        // By nobody's key, or under the name of ours.
        let thief = Ed25519SigningKey::from_seed(&[2; 32]).unwrap();
        assert_eq!(Destruction::certified(&envelope(|_| {}, &thief, &id), std::slice::from_ref(&jwk)), None);
        assert_eq!(Destruction::certified(&envelope(|_| {}, &key, &id), &[]), None);

        let order = json!({"type": "audit.purge_ordered", "tenant_id": TENANT, "recorded_at": "2032-11-02T00:00:00.000000Z",
            "detail": {"certificate": CERTIFICATE, "month": "2026-10", "first": 3, "end": 9, "events": 5}});
        assert!(found.is_ordered_by(&order));
        for (pointer, value) in [
            ("/type", json!("audit.purge_ended")),
            ("/recorded_at", json!("2032-10-31T00:00:00.000000Z")),
            ("/detail/first", json!(2)),
            ("/detail/end", json!(10)),
            ("/detail/events", json!(6)),
            ("/detail/month", json!("2026-09")),
            ("/detail/certificate", json!("crt_01J9Z3K0Q5V8WXYZ0123456780")),
        ] {
            let mut forged = order.clone();
            *forged.pointer_mut(pointer).unwrap() = value;
            assert!(!found.is_ordered_by(&forged), "{pointer}");
        }
    }
}
