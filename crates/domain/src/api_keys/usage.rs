//! What was done with an API key: a view of the audit log.

use chancery_crypto::Phi;
use serde_json::Value;

use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{
        EventFilter, EventSpan,
        intent::{Phase, phase_of},
        query::{self, EventView, ReadAuditError},
    },
    ids::{ApiKeyId, EventId, RequestId},
    store::StoreError,
    time::Timestamp,
};

/// One thing that was done with it, or tried.
#[derive(Debug)]
pub struct ApiKeyUse {
    /// Its event.
    pub event: EventId,
    /// When.
    pub used_at: Timestamp,
    /// What: the event's kind.
    pub operation: String,
    /// To what.
    pub resource: Option<String>,
    /// Whether it worked.
    pub success: bool,
    /// Why not, as a code.
    pub error_code: Option<String>,
    /// With which request.
    pub request: RequestId,
    /// From where and with what, as JSON; for holders of `audit.read_sealed`.
    pub personal: Option<Phi<Vec<u8>>>,
}

/// Why a key's usage was not read.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// There is none with this id in the tenant.
    #[error("no such API key")]
    NotFound,
    /// The log.
    #[error(transparent)]
    Audit(#[from] ReadAuditError),
}

impl From<Denied> for UsageError {
    fn from(denied: Denied) -> Self {
        Self::Audit(denied.into())
    }
}

impl From<StoreError> for UsageError {
    fn from(error: StoreError) -> Self {
        Self::Audit(error.into())
    }
}

/// What a key of the caller's tenant did, oldest first, and where the next page begins. A page may hold fewer than were asked for: of
/// what the key's user did, only that which was done with the key.
///
/// # Errors
///
/// [`UsageError`].
pub async fn usage(
    instance: &Instance,
    call: &Call,
    id: ApiKeyId,
    span: EventSpan,
) -> Result<(Vec<ApiKeyUse>, Option<u64>), UsageError> {
    call.require(Permission::AuditRead)?;
    let key = instance.store().view(call.tenant()).await?.api_key(id).await?.ok_or(UsageError::NotFound)?;
    let actor = key.user.map_or_else(|| id.to_string(), |user| user.to_string());
    let filter = EventFilter { actor: Some(actor), ..span.into() };
    let events = query::find(instance, call, call.tenant(), filter).await?;
    let full = u32::try_from(events.len()).is_ok_and(|length| length >= span.limit);
    let next = events.last().filter(|_| full).map(|event| event.logged.index);
    let with = id.to_string();
    Ok((events.into_iter().filter_map(|event| done_with(&with, event)).collect(), next))
}

/// The use, if the event's actor had this key. An outcome tells of one that its intent has told of.
fn done_with(key: &str, view: EventView) -> Option<ApiKeyUse> {
    let event = view.logged.event;
    let core: Value = serde_json::from_str(&event.core).unwrap_or_default();
    let of_key = core.pointer("/actor/session_ref").and_then(Value::as_str) == Some(key);
    if !of_key || phase_of(&core) == Phase::Outcome {
        return None;
    }
    Some(ApiKeyUse {
        event: event.id,
        used_at: event.recorded_at,
        operation: event.kind,
        resource: event.resource,
        success: event.outcome == 0,
        error_code: core.pointer("/detail/code").and_then(Value::as_str).map(str::to_owned),
        request: event.request,
        personal: view.personal,
    })
}
