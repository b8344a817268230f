//! What operators see of sinks, and how they let one pass over what it refuses.

use chancery_crypto::Phi;

use super::{AuditSink, SinkCursor, SinkKind, Takes, cursor::proven};
use crate::{
    Instance,
    access::{Call, Denied, Permission},
    audit::{Change, Detail, Event, EventKind, receipt::note},
    faults::Faults,
    ids::TenantId,
    instance::{Failure, fails},
    keyring::ring::Marked,
    store::StoreError,
    text::check_name,
};

/// How far a sink is in one log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SinkStatus {
    /// What the sink is.
    pub kind: SinkKind,
    /// What it takes.
    pub takes: Takes,
    /// Whose log.
    pub log: TenantId,
    /// The log's size.
    pub size: u64,
    /// Where it is.
    pub cursor: SinkCursor,
}

/// Which places a sink is to pass over.
#[derive(Debug)]
pub struct Skip {
    /// Which sink.
    pub sink: String,
    /// In whose log.
    pub log: TenantId,
    /// The first place that it is handed again.
    pub to: u64,
    /// Why, in 1 to 200 characters; sealed in the log.
    pub reason: Phi<String>,
}

/// Why sinks were not shown or moved.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// Not allowed.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Fields are not valid.
    #[error(transparent)]
    Invalid(#[from] Faults),
    /// There is no such sink, or no such log.
    #[error("no such sink or log")]
    NotFound,
    /// It moved meanwhile.
    #[error("the sink moved meanwhile")]
    Moved,
    /// Something beneath failed.
    #[error(transparent)]
    Failed(Failure),
}

fails!(SinkError);

/// Sinks are the installation's: only who has `permission` in the platform's tenant comes near them.
fn require(call: &Call, permission: Permission) -> Result<(), Denied> {
    if call.tenant().is_platform() { call.require(permission) } else { Err(Denied::Forbidden(permission)) }
}

/// How far every sink is in the logs of up to `limit` tenants, ordered by their ids, those after `after`; and after which one it
/// goes on, if it does.
///
/// # Errors
///
/// [`SinkError`].
pub async fn list(
    instance: &Instance,
    call: &Call,
    after: Option<TenantId>,
    limit: u32,
) -> Result<(Vec<SinkStatus>, Option<TenantId>), SinkError> {
    require(call, Permission::SettingsRead)?;
    note(instance, call, call.tenant(), Event::new(EventKind::SinkRead)).await?;
    let tenants = instance.directory().tenants(after, limit).await?;
    let full = u32::try_from(tenants.len()).is_ok_and(|length| length >= limit);
    let next = tenants.last().map(|entry| entry.id).filter(|_| full);
    let mut found = Vec::new();
    for entry in &tenants {
        let mut view = instance.store().view(entry.id).await?;
        let (cursors, size) = (view.sink_cursors().await?, view.log_head().await?.size);
        for sink in instance.sinks().iter().filter(|sink| sink.serves(entry)) {
            let cursor = cursors.iter().find(|cursor| cursor.sink == sink.name()).cloned();
            let cursor = cursor.unwrap_or_else(|| SinkCursor::new(sink.name(), instance.now()));
            found.push(SinkStatus { kind: sink.kind(), takes: sink.takes(), log: entry.id, size, cursor });
        }
    }
    Ok((found, next))
}

/// Lets a sink pass over a part of a log that it refuses. Tells so in that log and in the platform's.
///
/// # Errors
///
/// [`SinkError`].
pub async fn skip(instance: &Instance, call: &Call, asked: Skip) -> Result<SinkStatus, SinkError> {
    require(call, Permission::SettingsWrite)?;
    instance.require_recent(call)?;
    let mut faults = Faults::default();
    check_name("/reason", asked.reason.expose(), 200, &mut faults);
    let sink = instance.sinks().iter().find(|sink| sink.name() == asked.sink).ok_or(SinkError::NotFound)?;
    let entry = instance.directory().tenant(asked.log).await?.ok_or(SinkError::NotFound)?;
    if !sink.serves(&entry) {
        return Err(SinkError::NotFound);
    }
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let mut change = Change::begin(instance, call, asked.log).await?;
    let size = change.rows().log_head().await?.size;
    let known = change.rows().sink_cursors().await?.into_iter().find(|cursor| cursor.sink == asked.sink);
    let from = known.as_ref().map(|cursor| cursor.position);
    // One that somebody else moved is nowhere: it begins again at the beginning, as it would be fed.
    let ours = known.filter(|cursor| cursor.standing(&ring, asked.log) != Marked::Never);
    let before = ours.unwrap_or_else(|| SinkCursor::new(&asked.sink, instance.now()));
    if asked.to <= before.position || asked.to > size {
        let message = format!("use {} to {size}: it is handed {} next", before.position + 1, before.position);
        faults.add("/to", "range", message);
    }
    faults.check()?;
    let passed = asked.to - before.position;
    let cursor = SinkCursor {
        position: asked.to,
        skipped: before.skipped + passed,
        failing_since: None,
        failures: 0,
        reason: None,
        updated_at: instance.now(),
        ..before
    };
    let cursor = proven(&ring, asked.log, cursor).map_err(Failure::from)?;
    match change.rows().save_sink_cursor(&cursor, from).await {
        Err(StoreError::Changed(_)) => return Err(SinkError::Moved),
        saved => saved?,
    }
    let first = asked.to - passed;
    change.commit(told(&**sink, asked.log, first, asked.to, &asked.reason)).await?;
    if !asked.log.is_platform() {
        note(instance, call, TenantId::PLATFORM, told(&**sink, asked.log, first, asked.to, &asked.reason)).await?;
    }
    Ok(SinkStatus { kind: sink.kind(), takes: sink.takes(), log: asked.log, size, cursor })
}

fn told(sink: &dyn AuditSink, log: TenantId, from: u64, to: u64, reason: &Phi<String>) -> Event {
    Event::new(EventKind::SinkSkipped)
        .with("sink", Detail::Names(vec![sink.name().to_owned()]))
        .with("kind", Detail::Code(sink.kind().as_str()))
        .with("log", Detail::Id(log.to_string()))
        .with("from", Detail::Count(from))
        .with("to", Detail::Count(to))
        .personal("reason", reason.expose().clone())
}
