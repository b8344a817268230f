//! Who did what with a key, and when: a view of the audit log with the columns of AU-01.

use chancery_crypto::Phi;
use serde_json::Value;

use super::KeyError;
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{
        EventFilter, EventKind, EventSpan,
        query::{self, EventView, ReadAuditError},
    },
    ids::{EventId, KeyId, RequestId},
    time::Timestamp,
};

/// One operation on a key, whether it worked or not.
#[derive(Debug)]
pub struct KeyUsage {
    /// Its event.
    pub event: EventId,
    /// Its place in the log.
    pub index: u64,
    /// Which version, if one was found.
    pub key_id: Option<String>,
    /// When.
    pub used_at: Timestamp,
    /// By whom: a user, an API key, or `system`.
    pub used_by: String,
    /// What: `sign`, `rotate`…
    pub operation: String,
    /// Whether it worked.
    pub success: bool,
    /// Why not, as a code.
    pub error_code: Option<String>,
    /// With which request.
    pub request: RequestId,
    /// From where and with what, as JSON; for holders of `audit.read_sealed`.
    pub personal: Option<Phi<Vec<u8>>>,
}

/// The operations on a key of the caller's tenant, oldest first, with the key's name.
///
/// # Errors
///
/// [`UsageError`].
pub async fn usage(
    instance: &Instance,
    call: &Call,
    id: KeyId,
    span: EventSpan,
) -> Result<(String, Vec<KeyUsage>), UsageError> {
    call.require(Permission::AuditRead)?;
    let key = instance.store().view(call.tenant()).await.map_err(KeyError::from)?.key(id).await;
    let key = key.map_err(KeyError::from)?.ok_or(KeyError::NotFound)?;
    let filter = EventFilter { resource: Some(id.to_string()), ..span.into() };
    let events = query::find(instance, call, call.tenant(), filter).await?;
    Ok((key.name, events.into_iter().map(KeyUsage::from).collect()))
}

/// Why a key's usage was not read.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The log.
    #[error(transparent)]
    Audit(#[from] ReadAuditError),
}

impl From<Denied> for UsageError {
    fn from(denied: Denied) -> Self {
        Self::Key(denied.into())
    }
}

impl From<EventView> for KeyUsage {
    fn from(view: EventView) -> Self {
        let event = view.logged.event;
        let core: Value = serde_json::from_str(&event.core).unwrap_or_default();
        let detail = |name: &str| core.pointer("/detail")?.get(name).and_then(Value::as_str).map(str::to_owned);
        Self {
            event: event.id,
            index: view.logged.index,
            key_id: detail("key_id"),
            used_at: event.recorded_at,
            used_by: event.actor,
            operation: detail("operation").unwrap_or_else(|| operation(&event.kind).to_owned()),
            success: event.outcome == 0,
            error_code: detail("code"),
            request: event.request,
            personal: view.personal,
        }
    }
}

/// What an event without an operation of its own did: `key.rotated` is `rotate`.
fn operation(kind: &str) -> &str {
    let of = |kind: EventKind| match kind {
        EventKind::KeyCreated => Some("generate"),
        EventKind::KeyImported => Some("import"),
        EventKind::KeyRead => Some("read"),
        EventKind::KeyUpdated => Some("update"),
        EventKind::KeyRotated => Some("rotate"),
        EventKind::KeySuspended => Some("suspend"),
        EventKind::KeyResumed => Some("resume"),
        EventKind::KeyRevoked => Some("revoke"),
        EventKind::KeyExpired => Some("expire"),
        EventKind::KeyActivated => Some("activate"),
        EventKind::KeyRetired => Some("retire"),
        _ => None,
    };
    kind.parse().ok().and_then(of).unwrap_or_else(|| kind.strip_prefix("key.").unwrap_or(kind))
}
