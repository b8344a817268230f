//! Says how long.

use std::sync::Arc;

use super::{
    MAX_MONTHS, MIN_MONTHS, Retention, RetentionError, Rules, Standing, rules::retention_proof, stands::proven_standing,
};
use crate::{
    Instance,
    access::{Call, Permission},
    approvals::{self, Carried, Deed, DeedKind},
    audit::{Change, Detail, Event, EventKind, sequence},
    faults::Faults,
    ids::{ApprovalId, EventId},
    instance::Failure,
};

/// How long a tenant wants its log kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Whole months.
    pub months: u32,
    /// Whether months go by themselves when their time is over.
    pub automatic: bool,
    /// Whether a month goes only when it is archived; as it is if nothing is said.
    pub archive_first: Option<bool>,
}

impl Wanted {
    fn check(self) -> Result<(), Faults> {
        if (MIN_MONTHS..=MAX_MONTHS).contains(&self.months) {
            return Ok(());
        }
        Err(Faults::one("/months", "range", format!("keep it for {MIN_MONTHS} to {MAX_MONTHS} months")))
    }

    /// Whether events would go that would stay as it is now.
    fn keeps_less(self, now: Retention) -> bool {
        let unarchived = now.archive_first && self.archive_first == Some(false);
        self.months < now.months || (self.automatic && !now.automatic) || unarchived
    }

    fn deed(self, tenant: crate::TenantId, archive_first: bool) -> Deed {
        let deed = Deed::new(DeedKind::AuditRetention, "log", tenant)
            .with("months", Detail::Count(self.months.into()))
            .with("automatic", Detail::Code(yes(self.automatic)));
        // Only where somebody said so: what was approved before there were archives stays approved.
        match self.archive_first {
            Some(_) => deed.with("archive_first", Detail::Code(yes(archive_first))),
            None => deed,
        }
    }
}

const fn yes(it: bool) -> &'static str {
    if it { "yes" } else { "no" }
}

/// Says how long the log of the caller's tenant is kept. Keeping less takes two people.
///
/// # Errors
///
/// [`RetentionError`].
pub async fn set(
    instance: &Instance,
    call: &Call,
    wanted: Wanted,
    approval: Option<ApprovalId>,
) -> Result<Carried<Standing>, RetentionError> {
    call.require(Permission::AuditRetain)?;
    instance.require_recent(call)?;
    wanted.check()?;
    if wanted.archive_first == Some(true) && instance.archives().is_empty() {
        let cure = "this installation has no place for archives: set audit.archive_folder or [[audit.archives]] first";
        return Err(Faults::one("/archive_first", "unavailable", cure).into());
    }
    let tenant = call.tenant();
    // What was said a moment ago is in the log then; of a log that cannot go on, what is there counts.
    let _ = sequence::sequence(instance, tenant).await;
    let mut change = Change::begin(instance, call, tenant).await?;
    change.rows().hold_log().await?;
    let ring = Arc::clone(change.keyring());
    let before = Rules::of(change.rows(), Some(&*ring)).await?.retention;
    let archive_first = wanted.archive_first.unwrap_or(before.archive_first);
    let Wanted { months, automatic, .. } = wanted;
    let now = instance.now();
    let retention = Retention { months, automatic, archive_first, changed_at: Some(now) };
    let id = EventId::make(now, instance.random())?;
    let origin = change.rows().log_origin().await?.ok_or(Failure::Internal("log without an origin"))?;
    let mut event = Event::new(EventKind::RetentionChanged)
        .identified(id)
        .on("log", origin)
        .with("proof", Detail::Id(retention_proof(&ring, id, retention)?))
        .with("months", Detail::Count(wanted.months.into()))
        .with("months_before", Detail::Count(before.months.into()))
        .with("automatic", Detail::Code(yes(wanted.automatic)))
        .with("archive_first", Detail::Code(yes(archive_first)));
    if wanted.keeps_less(before) {
        let Some(approval) = approval else {
            drop(change);
            return Ok(Carried::waits(approvals::request(instance, call, &wanted.deed(tenant, archive_first)).await?));
        };
        approvals::consume(instance, call, &mut change, approval, &wanted.deed(tenant, archive_first)).await?;
        event = event.with("approval", Detail::Id(approval.to_string()));
    }
    change.rows().put_retention(&retention).await?;
    change.commit(event).await?;
    Ok(Carried::Done(proven_standing(instance, tenant).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shorter_or_by_itself_keeps_less() {
        let now = |months, automatic| Retention { months, automatic, ..Retention::default() };
        let wanted = |months, automatic| Wanted { months, automatic, archive_first: None };
        assert!(wanted(72, false).keeps_less(now(84, false)));
        assert!(wanted(84, true).keeps_less(now(72, false)));
        assert!(!wanted(84, true).keeps_less(now(72, true)));
        assert!(!wanted(72, false).keeps_less(now(72, true)));
        let archived = Retention { archive_first: true, ..now(72, false) };
        let unarchived = Wanted { archive_first: Some(false), ..wanted(72, false) };
        assert!(unarchived.keeps_less(archived) && !unarchived.keeps_less(now(72, false)));
        assert!(!wanted(72, false).keeps_less(archived), "as it is");
        assert!(wanted(71, false).check().is_err() && wanted(1_201, false).check().is_err());
        assert!(wanted(72, false).check().is_ok() && wanted(1_200, true).check().is_ok());
    }
}
