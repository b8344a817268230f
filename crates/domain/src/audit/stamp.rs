//! From an event to the exact bytes that go into the log.
//!
//! The leaf is canonical JSON (RFC 8785) of allow-listed members: codes, ids, numbers and
//! keyed references, never free text, values or addresses. What identifies a person goes into
//! the sealed part, with a salted commitment in the leaf (ADR 0003).

use chancery_crypto::{Phi, canonical, commitment, random};
use serde_json::{Map, Value, json};

use super::{Event, QueuedEvent};
use crate::{
    access::{Call, NetClass, RequestInfo, Subject},
    fields::system,
    ids::{EventId, TenantId},
    instance::{Failure, Instance},
    keyring::{Keyring, ring::Place},
};

/// The longest leaf (facts §9.2).
const MAX_LEAF_BYTES: usize = 16 * 1024;

/// Who acts, in an event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Actor<'a> {
    /// A verified caller and its request.
    Call(&'a Call),
    /// Chancery itself, in this request or job.
    System(&'a RequestInfo),
}

impl Actor<'_> {
    fn request(&self) -> &RequestInfo {
        match self {
            Self::Call(call) => &call.request,
            Self::System(request) => request,
        }
    }

    fn subject(&self) -> Subject {
        match self {
            Self::Call(call) => call.caller.subject(),
            Self::System(_) => Subject::System,
        }
    }

    fn to_json(self) -> Value {
        let Self::Call(call) = self else { return json!({"kind": "system", "ref": "system", "auth": "system"}) };
        let caller = &call.caller;
        let kind = match caller.subject() {
            Subject::User(_) => "user",
            Subject::ApiKey(_) => "api_key",
            Subject::System => "system",
        };
        let mut actor = Map::new();
        actor.insert("kind".into(), json!(kind));
        actor.insert("ref".into(), json!(caller.subject().to_string()));
        actor.insert("auth".into(), json!(caller.auth().as_str()));
        actor.insert("tenant_id".into(), json!(caller.tenant().to_string()));
        actor.insert("role_ids".into(), json!(caller.roles().iter().map(|role| role.as_str()).collect::<Vec<_>>()));
        if let Some(token) = caller.token() {
            actor.insert("session_ref".into(), json!(token.to_string()));
        } else if let Some(key) = caller.api_key() {
            actor.insert("session_ref".into(), json!(key.to_string()));
        }
        Value::Object(actor)
    }
}

/// Turns an event into what is queued: stamps it, seals its personal part, fixes its bytes.
pub(crate) fn stamp(
    instance: &Instance,
    actor: Actor<'_>,
    tenant: TenantId,
    ring: &Keyring,
    counter: u64,
    event: Event,
) -> Result<QueuedEvent, Failure> {
    let now = instance.now();
    let id = event.id.map_or_else(|| EventId::make(now, instance.random()), Ok)?;
    let request = actor.request();
    let mut personal = event.personal;
    if let Some(address) = request.address {
        personal.push(("address", Phi::new(address.to_string())));
    }
    if let Some(agent) = &request.user_agent {
        personal.push(("user_agent", Phi::new(agent.clone())));
    }
    let (commitments, sealed) = seal_personal(instance, ring, id, &personal)?;

    let node = instance.node();
    let mut core = Map::new();
    core.insert("v".into(), json!(1));
    core.insert("event_id".into(), json!(id.to_string()));
    core.insert("tenant_id".into(), json!(tenant.to_string()));
    core.insert("type".into(), json!(event.kind.as_str()));
    core.insert("action".into(), json!(event.kind.action().as_str()));
    core.insert("phase".into(), json!("single"));
    core.insert("outcome".into(), json!(event.outcome.code()));
    core.insert("occurred_at".into(), json!(now.to_string()));
    core.insert("recorded_at".into(), json!(now.to_string()));
    core.insert("node".into(), json!({"id": node.id.to_string(), "boot": node.boot.to_string(), "ctr": counter}));
    core.insert("request_id".into(), json!(request.id.to_string()));
    core.insert("route".into(), json!(request.route));
    core.insert("method".into(), json!(request.method));
    core.insert("actor".into(), actor.to_json());
    core.insert("net".into(), json!({"class": NetClass::of(request.address).as_str()}));
    core.insert("retention_class".into(), json!("standard"));
    if let Some(purpose) = event.purpose {
        core.insert("purpose".into(), json!(purpose));
    }
    let resource_id = event.resource.as_ref().map(|(_, id)| id.clone());
    if event.resource.is_some() || !event.references.is_empty() {
        let mut resource = Map::new();
        if let Some((kind, id)) = event.resource {
            resource.insert("kind".into(), json!(kind));
            resource.insert("id".into(), json!(id));
        }
        if !event.references.is_empty() {
            resource.insert("ref_hmac".into(), json!(event.references));
            resource.insert("hk".into(), json!(ring.reference_key()));
        }
        core.insert("resource".into(), Value::Object(resource));
    }
    if !event.details.is_empty() {
        let details = event.details.iter().map(|(name, detail)| ((*name).to_owned(), detail.to_json()));
        core.insert("detail".into(), Value::Object(details.collect()));
    }
    if !commitments.is_empty() {
        core.insert("sealed".into(), Value::Object(commitments));
    }
    let core = canonical::to_vec(&Value::Object(core)).map_err(|_| Failure::Internal("event is not canonical"))?;
    if core.len() > MAX_LEAF_BYTES {
        return Err(Failure::Internal("an event above 16 KiB"));
    }
    Ok(QueuedEvent {
        tenant,
        id,
        recorded_at: now,
        kind: event.kind.as_str().to_owned(),
        actor: actor.subject().to_string(),
        resource: resource_id,
        outcome: event.outcome.code(),
        request: request.id,
        core: String::from_utf8(core).map_err(|_| Failure::Internal("event is not UTF-8"))?,
        sealed,
    })
}

/// Commitments for the leaf, and values with their salts, sealed, for beside it.
type Personal = (Map<String, Value>, Option<Vec<u8>>);

/// Makes both of the personal values.
fn seal_personal(
    instance: &Instance,
    ring: &Keyring,
    id: EventId,
    personal: &[(&'static str, Phi<String>)],
) -> Result<Personal, Failure> {
    let mut commitments = Map::new();
    let mut sealed = Map::new();
    for (name, value) in personal {
        let value = value.expose();
        let salt: [u8; 32] = random::array(instance.random())?;
        let hex = data_encoding::HEXLOWER.encode(&commitment(&salt, name, value.as_bytes()));
        commitments.insert((*name).to_owned(), json!(hex));
        sealed.insert((*name).to_owned(), json!({"salt": data_encoding::HEXLOWER.encode(&salt), "value": value}));
    }
    if sealed.is_empty() {
        return Ok((commitments, None));
    }
    let bytes = zeroize::Zeroizing::new(Value::Object(sealed).to_string());
    let field = system::audit_sealed();
    let row = id.to_string();
    let sealed = ring.seal(Place { field: &field, row: &row }, bytes.as_bytes(), instance.random())?;
    Ok((commitments, Some(sealed.into_bytes())))
}
