//! Zero PHI: a tenant may ask that whatever looks like personal data is refused, and see that none is kept (CT-11).

use chancery_crypto::dsse::Envelope;
use serde_json::Value;

use super::{
    CertificateError, Claim,
    suspects::{Detector, Suspect, suspects, suspects_in, suspects_in_event},
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Change, Detail, Event, EventKind, EventSpan, damage, receipt::note, sequence},
    ids::CertificateId,
    instance::Failure,
    store::View,
    time::Timestamp,
};

/// How many of the newest events of a span one report looks at. Certificates it looks at all of.
const MAX_EVENTS: u64 = 20_000;
const PAGE: u32 = 1_000;
/// A certificate may have some ten thousand bytes: so many are in memory at once.
const CERTIFICATES_PAGE: u32 = 200;
/// How many suspicions one report lists; all are counted.
const MAX_LISTED: usize = 100;

/// Something that looks like personal data, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// `certificate` or `event`.
    pub of: &'static str,
    /// Which one.
    pub id: String,
    /// Where in it, as a JSON pointer.
    pub pointer: String,
    /// What it looks like.
    pub detector: Detector,
}

/// What was scanned and what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockdownReport {
    /// Since when what is suspected is refused; `None` if it is not.
    pub since: Option<Timestamp>,
    /// How many certificates were scanned.
    pub certificates: usize,
    /// How many events were scanned.
    pub events: usize,
    /// Whether those were all events of that time, and every certificate could be read.
    pub complete: bool,
    /// The first of the certificates whose envelopes cannot be read: what they say nobody knows.
    pub damaged: Vec<CertificateId>,
    /// How many suspicions there are.
    pub found: usize,
    /// The first of them.
    pub listed: Vec<Suspicion>,
}

/// Since when the caller's tenant is locked down; `None` if it is not.
///
/// # Errors
///
/// [`CertificateError`].
pub async fn lockdown(instance: &Instance, call: &Call) -> Result<Option<Timestamp>, CertificateError> {
    call.require(Permission::SettingsRead)?;
    let since = instance.store().view(call.tenant()).await?.lockdown_since().await?;
    note(instance, call, call.tenant(), Event::new(EventKind::SettingsRead)).await?;
    Ok(since)
}

/// Locks the caller's tenant down, or ends that. Who ends it proves again who it is.
///
/// # Errors
///
/// [`CertificateError`].
pub async fn set_lockdown(instance: &Instance, call: &Call, on: bool) -> Result<Option<Timestamp>, CertificateError> {
    call.require(Permission::SettingsWrite)?;
    if !on {
        instance.require_recent(call)?;
    }
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let before = change.rows().lockdown_since().await?;
    let since = on.then(|| before.unwrap_or(instance.now()));
    if since != before {
        change.rows().set_lockdown(since).await?;
    }
    let code = if on { "on" } else { "off" };
    change.commit(Event::new(EventKind::SettingsChanged).with("lockdown", Detail::Code(code))).await?;
    Ok(since)
}

/// Refuses a claim that looks as if personal data were in it, where the tenant is locked down. What Chancery states of itself is
/// not concerned.
pub(super) async fn check(instance: &Instance, view: &mut dyn View, claim: &Claim) -> Result<(), CertificateError> {
    if claim.is_own() || view.lockdown_since().await?.is_none() {
        return Ok(());
    }
    let found = suspects(claim, instance.now());
    found.iter().for_each(|suspect| instance.suspected().count(suspect.detector));
    let found: Vec<_> = found.into_iter().map(|one| (one.pointer, one.detector)).collect();
    if found.is_empty() { Ok(()) } else { Err(CertificateError::PhiSuspected(found)) }
}

/// Looks at every certificate of the caller's tenant, and at the events of the last days, for what looks like personal data.
///
/// # Errors
///
/// [`CertificateError`].
pub async fn report(instance: &Instance, call: &Call, days: u32) -> Result<LockdownReport, CertificateError> {
    let tenant = call.tenant();
    call.require(Permission::CertificatesRead)?;
    call.require(Permission::AuditRead)?;
    sequence(instance, tenant).await?;
    let now = instance.now();
    let since = instance.store().view(tenant).await?.lockdown_since().await?;
    let mut report = LockdownReport {
        since,
        certificates: 0,
        events: 0,
        complete: true,
        damaged: Vec::new(),
        found: 0,
        listed: Vec::new(),
    };
    let mut after = None;
    loop {
        // A view for each page: a long look holds nothing up in the store.
        let page = instance.store().view(tenant).await?.certificates(None, after, CERTIFICATES_PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        report.certificates += page.len();
        for certificate in page {
            let payload = Envelope::from_json(&certificate.envelope).ok();
            let payload = payload.and_then(|envelope| serde_json::from_slice::<Value>(&envelope.payload).ok());
            let Some(payload) = payload else {
                report.complete = false;
                if report.damaged.len() < MAX_LISTED {
                    report.damaged.push(certificate.id);
                }
                continue;
            };
            // What the server put there itself are ids, moments and digests.
            let said = ["kind", "subject", "statement", "evidence"]
                .into_iter()
                .filter_map(|name| Some((name.to_owned(), payload.get(name)?.clone())));
            let mut said = Value::Object(said.collect());
            // The size of a file is a count.
            for evidence in said.get_mut("evidence").and_then(Value::as_array_mut).into_iter().flatten() {
                evidence.as_object_mut().map(|evidence| evidence.remove("size"));
            }
            let id = certificate.id.to_string();
            report.note("certificate", &id, suspects_in(&said, "", now));
        }
    }
    // The newest of them, wherever in the log they begin.
    let from = now.plus_days(-i64::from(days));
    let mut view = instance.store().view(tenant).await?;
    let mut after = view.log_head().await?.size.saturating_sub(MAX_EVENTS).checked_sub(1);
    if let Some(before) = after {
        let span = EventSpan { from, to: now, after: None, limit: 1 };
        let oldest = damage::whole::<CertificateError>(&mut *view, tenant, &span.into()).await?;
        report.complete &= oldest.first().is_none_or(|oldest| oldest.index > before);
    }
    loop {
        // A report that leaves one out would say that nothing is there.
        let span = EventSpan { from, to: now, after, limit: PAGE };
        let page = damage::whole::<CertificateError>(&mut *view, tenant, &span.into()).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.index);
        report.events += page.len();
        for logged in page {
            let core = serde_json::from_str::<Value>(&logged.event.core).ok();
            let core = core.ok_or(Failure::Internal("a logged event is not JSON"))?;
            report.note("event", &logged.event.id.to_string(), suspects_in_event(&core, now));
        }
    }
    drop(view);
    let event = Event::new(EventKind::AuditRead)
        .with("what", Detail::Code("lockdown"))
        .with("count", Detail::Count(u64::try_from(report.found).unwrap_or(u64::MAX)));
    note(instance, call, tenant, event).await?;
    Ok(report)
}

impl LockdownReport {
    fn note(&mut self, of: &'static str, id: &str, found: Vec<Suspect>) {
        self.found += found.len();
        for Suspect { pointer, detector, .. } in found {
            if self.listed.len() < MAX_LISTED {
                self.listed.push(Suspicion { of, id: id.to_owned(), pointer, detector });
            }
        }
    }
}
