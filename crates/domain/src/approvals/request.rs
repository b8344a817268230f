//! Asks for a second person's consent. Nothing else happens.

use super::{Approval, ApprovalState, Deed, LIFE_SECONDS};
use crate::{
    Instance,
    access::Call,
    audit::{Change, Detail, Event, EventKind},
    fields::system,
    ids::ApprovalId,
    instance::Failure,
    keyring::ring::Place,
};

/// Asks for consent to `deed` in the caller's tenant. The use case has checked the caller's permission before.
///
/// # Errors
///
/// [`Failure`].
pub async fn request(instance: &Instance, call: &Call, deed: &Deed) -> Result<Approval, Failure> {
    let now = instance.now();
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let id = ApprovalId::make(now, instance.random())?;
    let reason = match &deed.reason {
        Some(reason) => {
            let (field, row) = (system::approval_reason(), id.to_string());
            let place = Place { field: &field, row: &row };
            let sealed = change.keyring().seal(place, reason.expose().as_bytes(), instance.random())?;
            Some(sealed.as_bytes().to_vec())
        }
        None => None,
    };
    let approval = Approval {
        id,
        kind: deed.kind,
        resource: deed.resource.1.clone(),
        details: deed.details_text()?,
        request: deed.digest()?,
        reason,
        state: ApprovalState::Pending,
        requested_by: call.caller.subject().to_string(),
        requested_at: now,
        expires_at: now.plus_seconds(LIFE_SECONDS),
        decided_by: None,
        decided_at: None,
        uses: 0,
        used_at: None,
        reviewed_by: None,
        reviewed_at: None,
        revision: 0,
    };
    change.rows().insert_approval(&approval).await?;
    let mut event = told(EventKind::ApprovalRequested, &approval).with("thing", Detail::Code(deed.resource.0));
    for (name, detail) in &deed.details {
        event = event.with(name, detail.clone());
    }
    change.commit(event).await?;
    Ok(approval)
}

/// An event of this approval.
pub(super) fn told(kind: EventKind, approval: &Approval) -> Event {
    Event::new(kind)
        .on("approval", approval.id)
        .with("deed", Detail::Code(approval.kind.as_str()))
        .with("of", Detail::Id(approval.resource.clone()))
}
