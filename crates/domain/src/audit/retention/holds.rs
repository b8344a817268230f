//! Places holds and lifts them.

use std::{collections::BTreeSet, sync::Arc};

use chancery_crypto::Phi;

use super::{
    Hold, RetentionError, Rules,
    rules::{count_ours, lift_proof, place_proof},
};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::{self, Carried, Deed, DeedKind},
    audit::{Change, Detail, Event, EventKind, sequence},
    faults::Faults,
    ids::{ApprovalId, EventId},
    instance::Failure,
    lockdown::refuse_suspects,
    store::StoreError,
    text::check_name,
    time::Timestamp,
};

/// The longest name of a hold.
const MAX_NAME: usize = 64;
/// The longest reason.
const MAX_REASON: usize = 200;
/// More holds than these nobody oversees. Those that somebody wrote into the store keep none out.
const MAX_HOLDS: usize = 100;

/// What is to be held.
#[derive(Debug)]
pub struct HoldWanted {
    /// Its name: `[a-z][a-z0-9-]{0,63}`.
    pub name: String,
    /// Holds what was recorded at or after this moment; from the beginning if nothing is said.
    pub from: Option<Timestamp>,
    /// Holds what was recorded before this moment; without end if nothing is said.
    pub to: Option<Timestamp>,
    /// Why, in 1 to 200 characters; sealed in the log.
    pub reason: Phi<String>,
}

impl HoldWanted {
    fn check(&self) -> Result<(), Faults> {
        let mut faults = Faults::default();
        let letters = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins = self.name.starts_with(|first: char| first.is_ascii_lowercase());
        if !begins || self.name.len() > MAX_NAME || !self.name.bytes().all(letters) {
            faults.add("/name", "format", "use a code: a-z, then up to 63 of a-z, 0-9 and -; never a person's name");
        }
        if let (Some(from), Some(to)) = (self.from, self.to)
            && from >= to
        {
            faults.add("/to", "range", "`from` must be before `to`");
        }
        check_name("/reason", self.reason.expose(), MAX_REASON, &mut faults);
        faults.check()
    }
}

/// Holds events of the caller's tenant: nothing of them goes until the hold is lifted, whatever retention says. What a purge took
/// before is gone.
///
/// # Errors
///
/// [`RetentionError`].
pub async fn place(instance: &Instance, call: &Call, wanted: HoldWanted) -> Result<Hold, RetentionError> {
    call.require(Permission::AuditRetain)?;
    wanted.check()?;
    let now = instance.now();
    let (mut change, known) = begin(instance, call).await?;
    refuse_suspects::<RetentionError>(instance, change.rows(), &[("/name", &wanted.name)]).await?;
    let ring = Arc::clone(change.keyring());
    if count_ours(change.rows(), &ring).await? >= MAX_HOLDS {
        return Err(Faults::one("/name", "too_many", "lift a hold first: there are 100").into());
    }
    let HoldWanted { name, from, to, reason } = wanted;
    if known.iter().any(|hold| hold.name == name) {
        return Err(RetentionError::Taken);
    }
    let event = EventId::make(now, instance.random())?;
    let hold = Hold { name, from, to, placed_by: call.caller.subject().to_string(), placed_at: now, event };
    match change.rows().insert_hold(&hold).await {
        Err(StoreError::Taken(_)) => return Err(RetentionError::Taken),
        inserted => inserted?,
    }
    let told = told(&mut change, EventKind::HoldPlaced, &hold)
        .await?
        .identified(event)
        .with("proof", Detail::Id(place_proof(&ring, event)?))
        .personal("reason", reason.expose().clone());
    change.commit(told).await?;
    Ok(hold)
}

/// Lifts a hold of the caller's tenant. Takes two people.
///
/// # Errors
///
/// [`RetentionError`].
pub async fn lift(
    instance: &Instance,
    call: &Call,
    name: &str,
    reason: &Phi<String>,
    approval: Option<ApprovalId>,
) -> Result<Carried<Hold>, RetentionError> {
    call.require(Permission::AuditRetain)?;
    instance.require_recent(call)?;
    let (mut change, mut held) = begin(instance, call).await?;
    held.retain(|hold| hold.name == name);
    let hold = held.first().cloned().ok_or(RetentionError::NotFound)?;
    let mut faults = Faults::default();
    check_name("/reason", reason.expose(), MAX_REASON, &mut faults);
    faults.check()?;
    // Just what was placed: what is placed anew under its name is another one. Of more than one somebody wrote the row.
    let placed: BTreeSet<EventId> = held.iter().map(|hold| hold.event).collect();
    let deed = Deed::new(DeedKind::HoldLift, "legal_hold", &hold.name)
        .with("placed", Detail::Names(placed.iter().map(ToString::to_string).collect()));
    let Some(approval) = approval else {
        drop(change);
        let deed = deed.because(Phi::new(reason.expose().clone()));
        return Ok(Carried::waits(approvals::request(instance, call, &deed).await?));
    };
    approvals::consume(instance, call, &mut change, approval, &deed).await?;
    match change.rows().remove_hold(&hold.name).await {
        // The log alone tells of it.
        Ok(()) | Err(StoreError::Changed(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let ring = Arc::clone(change.keyring());
    let mut last = None;
    for placed in placed {
        if let Some(event) = last.take() {
            change.record(event).await?;
        }
        let id = EventId::make(instance.now(), instance.random())?;
        let told = told(&mut change, EventKind::HoldLifted, &hold)
            .await?
            .identified(id)
            .with("approval", Detail::Id(approval.to_string()))
            .with("placed", Detail::Id(placed.to_string()))
            .with("proof", Detail::Id(lift_proof(&ring, id, placed)?));
        last = Some(told.personal("reason", reason.expose().clone()));
    }
    change.commit(last.ok_or(RetentionError::NotFound)?).await?;
    Ok(Carried::Done(hold))
}

/// Begins a change of what holds the caller's log; gives what does, by rows and by the log.
async fn begin<'a>(instance: &'a Instance, call: &'a Call) -> Result<(Change<'a>, Vec<Hold>), RetentionError> {
    // What was placed or lifted a moment ago is in the log then; of a log that cannot go on, what is there counts.
    let _ = sequence::sequence(instance, call.tenant()).await;
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    change.rows().hold_log().await?;
    let ring = Arc::clone(change.keyring());
    let rules = Rules::of(change.rows(), Some(&*ring)).await?;
    Ok((change, rules.holds))
}

async fn told(change: &mut Change<'_>, kind: EventKind, hold: &Hold) -> Result<Event, RetentionError> {
    let origin = change.rows().log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
    let mut event = Event::new(kind).on("log", origin).with("hold", Detail::Names(vec![hold.name.clone()]));
    if let Some(from) = hold.from {
        event = event.with("from", Detail::At(from));
    }
    if let Some(to) = hold.to {
        event = event.with("to", Detail::At(to));
    }
    Ok(event)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_has_a_code_bounds_in_order_and_a_reason() {
        let wanted = |name: &str, bounds: (i64, i64), reason: &str| HoldWanted {
            name: name.to_owned(),
            from: Some(Timestamp::from_seconds(bounds.0)),
            to: Some(Timestamp::from_seconds(bounds.1)),
            reason: Phi::new(reason.to_owned()),
        };
        assert!(wanted("suit-2031", (1, 2), "court order").check().is_ok());
        for bad in [
            wanted("Suit", (1, 2), "x"),
            wanted("2031", (1, 2), "x"),
            wanted("", (1, 2), "x"),
            wanted(&"a".repeat(65), (1, 2), "x"),
            wanted("a", (2, 2), "x"),
            wanted("a", (1, 2), " "),
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
