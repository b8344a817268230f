//! From an event to the exact bytes that go into the log.
//!
//! The leaf is canonical JSON (RFC 8785) of allow-listed members: codes, ids, numbers and
//! keyed references, never free text, values or addresses. What identifies a person goes into
//! the sealed part, with a salted commitment in the leaf (ADR 0003).

use chancery_crypto::{Phi, canonical::Members, commitment, random};

use super::{Event, QueuedEvent, event::Name};
use crate::{
    access::{Call, NetClass, RequestInfo, Subject},
    fields::system,
    ids::{EventId, TenantId},
    instance::{Failure, Instance},
    keyring::{Keyring, OpenSubject, ring::Place},
};

/// The longest leaf (facts §9.2).
pub(super) const MAX_LEAF_BYTES: usize = 16 * 1024;
/// What most of them need.
const LEAF_BYTES: usize = 1_024;

/// Who acts, in an event.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Actor<'a> {
    /// A verified caller and its request.
    Call(&'a Call),
    /// Chancery itself, in this request or job.
    System(&'a RequestInfo),
}

impl Actor<'_> {
    pub(crate) fn request(&self) -> &RequestInfo {
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

    fn write(self, actor: &mut Members<'_>) {
        let Self::Call(call) = self else {
            actor.text("auth", "system");
            actor.text("kind", "system");
            actor.text("ref", "system");
            return;
        };
        let caller = &call.caller;
        actor.text("auth", caller.auth().as_str());
        actor.text(
            "kind",
            match caller.subject() {
                Subject::User(_) => "user",
                Subject::ApiKey(_) => "api_key",
                Subject::External(_) => "external",
                Subject::System => "system",
            },
        );
        actor.display("ref", caller.subject());
        let built_in = caller.roles().iter().map(|role| role.as_str());
        actor.texts("role_ids", built_in.chain(caller.defined_roles().iter().map(String::as_str)));
        if let Some(token) = caller.token() {
            actor.display("session_ref", token);
        } else if let Some(key) = caller.api_key() {
            actor.display("session_ref", key);
        } else if let Some(external) = caller.external() {
            actor.display("session_ref", external.provider);
        }
        actor.display("tenant_id", caller.tenant());
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
        personal.push(("address".into(), Phi::new(address.to_string())));
    }
    if let Actor::Call(call) = actor
        && let Some(external) = call.caller.external()
    {
        personal.push(("external_subject".into(), Phi::new(external.subject.expose().clone())));
    }
    if let Some(agent) = &request.user_agent {
        personal.push(("user_agent".into(), Phi::new(agent.clone())));
    }
    personal.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
    let (commitments, sealed) = seal_personal(instance, ring, id, &personal, event.person.as_deref())?;
    let mut details = event.details;
    details.sort_by(|(one, _), (other, _)| one.cmp(other));

    let node = instance.node();
    let mut core = Members::with_capacity(LEAF_BYTES);
    core.text("action", event.act.as_str());
    core.object("actor", |members| actor.write(members));
    if !details.is_empty() {
        core.object("detail", |members| {
            details.iter().for_each(|(name, detail)| members.value(name, &detail.to_json()))
        });
    }
    core.display("event_id", id);
    core.text("method", request.method);
    core.object("net", |net| net.text("class", NetClass::of(request.address).as_str()));
    core.object("node", |members| {
        members.display("boot", node.boot);
        members.number("ctr", i64::try_from(counter).unwrap_or(i64::MAX));
        members.display("id", node.id);
    });
    core.display("occurred_at", now);
    core.number("outcome", event.outcome.code());
    core.text("phase", event.phase.as_str());
    if let Some(purpose) = event.purpose {
        core.text("purpose", purpose);
    }
    core.display("recorded_at", now);
    core.display("request_id", request.id);
    if event.resource.is_some() || !event.references.is_empty() {
        core.object("resource", |resource| {
            if let (false, Some(key)) = (event.references.is_empty(), ring.reference_key()) {
                resource.text("hk", key);
            }
            if let Some((kind, id)) = &event.resource {
                resource.text("id", id);
                resource.text("kind", kind);
            }
            if !event.references.is_empty() {
                resource.texts("ref_hmac", &event.references);
            }
        });
    }
    core.text("retention_class", "standard");
    core.text("route", request.route);
    if !commitments.is_empty() {
        core.object("sealed", |members| commitments.iter().for_each(|(name, hex)| members.text(name, hex)));
    }
    core.display("tenant_id", tenant);
    core.text("type", &event.kind);
    core.number("v", 1);
    let core = core.finish().map_err(|_| Failure::Internal("event is not canonical"))?;
    if core.len() > MAX_LEAF_BYTES {
        return Err(Failure::Internal("an event above 16 KiB"));
    }
    Ok(QueuedEvent {
        tenant,
        id,
        recorded_at: now,
        kind: event.kind.into_owned(),
        actor: actor.subject().to_string(),
        resource: event.resource.map(|(_, id)| id),
        outcome: event.outcome.code(),
        request: request.id,
        core,
        sealed,
    })
}

/// Commitments for the leaf, and values with their salts, sealed, for beside it.
type Personal<'n> = (Vec<(&'n str, String)>, Option<Vec<u8>>);

/// Makes both of the personal values, which are ordered by name.
fn seal_personal<'n>(
    instance: &Instance,
    ring: &Keyring,
    id: EventId,
    personal: &'n [(Name, Phi<String>)],
    person: Option<&OpenSubject>,
) -> Result<Personal<'n>, Failure> {
    let mut commitments = Vec::with_capacity(personal.len());
    if personal.is_empty() {
        return Ok((commitments, None));
    }
    // Long enough that it never moves, or the old place would keep a copy.
    let room = personal.iter().map(|(name, value)| 128 + name.len() + 6 * value.expose().len()).sum();
    let mut sealed = Members::with_capacity(room);
    for (name, value) in personal {
        let value = value.expose();
        let salt: [u8; 32] = random::array(instance.random())?;
        let hex = data_encoding::HEXLOWER.encode(&commitment(&salt, name, value.as_bytes()));
        commitments.push((&**name, hex));
        sealed.object(name, |members| {
            members.text("salt", &data_encoding::HEXLOWER.encode(&salt));
            members.text("value", value);
        });
    }
    let text = sealed.finish().map_err(|_| Failure::Internal("a personal part is not canonical"))?;
    let text = zeroize::Zeroizing::new(text);
    let field = system::audit_sealed();
    let row = id.to_string();
    let sealed = ring.seal_for(person, Place { field: &field, row: &row }, text.as_bytes(), instance.random())?;
    Ok((commitments, Some(sealed.into_bytes())))
}
