//! What is kept of a tenant in clear, looked at for what looks like personal data: that none is, can be seen (CT-11).

use chancery_crypto::dsse::Envelope;
use serde_json::Value;

use super::{
    shapes::{Detector, suspect},
    suspects::{Suspect, suspects_in, suspects_in_event},
};
use crate::{
    Instance,
    access::{Call, Permission},
    audit::{Detail, Event, EventKind, EventSpan, damage, receipt::note, sequence},
    certificates::CertificateError,
    ids::{CertificateId, TenantId},
    instance::Failure,
    time::Timestamp,
};

/// How many events one report looks at; the next one goes on behind them. At everything else it looks at once.
const MAX_EVENTS: usize = 20_000;
const PAGE: u32 = 1_000;
/// A certificate may have some ten thousand bytes: so many are in memory at once.
const CERTIFICATES_PAGE: u32 = 200;
/// How many suspicions one report lists; all are counted.
const MAX_LISTED: usize = 100;

/// Something that looks like personal data, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion {
    /// `certificate`, `event`, or what a text is of, such as `api_key`.
    pub of: &'static str,
    /// Which one; of a role its place in the list of roles, for its name may be what was found.
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
    /// How many names, descriptions and reasons were scanned.
    pub texts: usize,
    /// How many events were scanned.
    pub events: usize,
    /// The place of the last of them, if there may be more behind it.
    pub next: Option<u64>,
    /// Whether there is nothing behind them, and every certificate could be read.
    pub complete: bool,
    /// The first of the certificates whose envelopes cannot be read: what they say nobody knows.
    pub damaged: Vec<CertificateId>,
    /// How many suspicions there are.
    pub found: usize,
    /// The first of them.
    pub listed: Vec<Suspicion>,
}

/// Looks at every certificate of the caller's tenant, at every text that is kept in clear, and at the events of the last days, for what
/// looks like personal data. With `after` at the events behind this place alone: a long log is gone through in several reports.
///
/// # Errors
///
/// [`CertificateError`].
pub async fn report(
    instance: &Instance,
    call: &Call,
    days: u32,
    after: Option<u64>,
) -> Result<LockdownReport, CertificateError> {
    let tenant = call.tenant();
    call.require(Permission::CertificatesRead)?;
    call.require(Permission::AuditRead)?;
    sequence(instance, tenant).await?;
    let now = instance.now();
    let mut report = LockdownReport {
        since: instance.store().view(tenant).await?.lockdown_since().await?,
        certificates: 0,
        texts: 0,
        events: 0,
        next: None,
        complete: true,
        damaged: Vec::new(),
        found: 0,
        listed: Vec::new(),
    };
    if after.is_none() {
        report.certificates(instance, tenant, now).await?;
        report.registered(instance, tenant, now).await?;
        report.given(instance, tenant, now).await?;
    }
    report.events(instance, tenant, (now.plus_days(-i64::from(days)), now), after).await?;
    report.complete = report.next.is_none() && report.damaged.is_empty();
    let event = Event::new(EventKind::AuditRead)
        .with("what", Detail::Code("lockdown"))
        .with("count", Detail::Count(u64::try_from(report.found).unwrap_or(u64::MAX)));
    note(instance, call, tenant, event).await?;
    Ok(report)
}

impl LockdownReport {
    async fn certificates(
        &mut self,
        instance: &Instance,
        tenant: TenantId,
        now: Timestamp,
    ) -> Result<(), CertificateError> {
        let mut after = None;
        loop {
            // A view for each page: a long look holds nothing up in the store.
            let page = instance.store().view(tenant).await?.certificates(None, after, CERTIFICATES_PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            self.certificates += page.len();
            for certificate in page {
                let payload = Envelope::from_json(&certificate.envelope).ok();
                let payload = payload.and_then(|envelope| serde_json::from_slice::<Value>(&envelope.payload).ok());
                let Some(payload) = payload else {
                    if self.damaged.len() < MAX_LISTED {
                        self.damaged.push(certificate.id);
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
                self.note("certificate", &certificate.id.to_string(), suspects_in(&said, "", now));
            }
        }
    }

    /// What the tenant's administrators set up, of which there are few.
    async fn registered(
        &mut self,
        instance: &Instance,
        tenant: TenantId,
        now: Timestamp,
    ) -> Result<(), CertificateError> {
        let mut view = instance.store().view(tenant).await?;
        for (place, role) in view.defined_roles().await?.iter().enumerate() {
            let texts = [("/name", role.name.as_str()), ("/description", role.description.as_str())];
            self.look("role", place, &texts, now);
        }
        for provider in view.identity_providers().await? {
            let texts = [("/name", provider.name.as_str()), ("/role_claim", provider.role_claim.as_str())];
            self.look("identity_provider", provider.id, &texts, now);
        }
        for source in view.webhook_sources().await? {
            self.look("webhook_source", source.id, &[("/name", &source.name)], now);
        }
        for subscription in view.webhook_subscriptions().await? {
            self.look("webhook_subscription", subscription.id, &[("/name", &subscription.name)], now);
        }
        for dataset in view.datasets().await? {
            self.look("dataset", dataset.id, &[("/name", &dataset.name)], now);
        }
        for field in view.fields().await? {
            let texts = [("/table", field.table.as_str()), ("/column", field.column.as_str())];
            self.look("field", field.id, &texts, now);
        }
        for index in view.indexes().await? {
            self.look("index", index.id, &[("/name", &index.name)], now);
        }
        for hold in view.holds().await? {
            // By the event that tells of it.
            self.look("legal_hold", hold.event, &[("/name", &hold.name)], now);
        }
        Ok(())
    }

    /// What there may be many of, page by page.
    async fn given(&mut self, instance: &Instance, tenant: TenantId, now: Timestamp) -> Result<(), CertificateError> {
        let mut after = None;
        loop {
            let page = instance.store().view(tenant).await?.keys(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            page.iter().for_each(|key| self.look("key", key.id, &[("/name", &key.name)], now));
        }
        let mut after = None;
        loop {
            let page = instance.store().view(tenant).await?.api_keys(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            page.iter().for_each(|key| self.look("api_key", key.id, &[("/description", &key.description)], now));
        }
        let mut after: Option<String> = None;
        loop {
            let page = instance.store().view(tenant).await?.revocations(now, after.as_deref(), PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id.clone());
            page.iter().for_each(|row| self.look("revocation", &row.id, &[("/reason", &row.reason)], now));
        }
        let mut after = None;
        loop {
            let page = instance.store().view(tenant).await?.users(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            let mut view = instance.store().view(tenant).await?;
            for user in page {
                self.look("user", user.id, &[("/username", &user.username)], now);
                for passkey in view.passkeys(user.id).await? {
                    self.look("passkey", passkey.id, &[("/name", &passkey.name)], now);
                }
            }
        }
        if !tenant.is_platform() {
            return Ok(());
        }
        let mut after = None;
        loop {
            let page = instance.store().view(tenant).await?.tenant_records(after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for tenant in page {
                self.look("tenant", tenant.id, &[("/name", &tenant.name), ("/slug", &tenant.slug)], now);
            }
        }
        let mut after = None;
        loop {
            let page = instance.store().view(tenant).await?.blocks(now, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.id);
            page.iter().for_each(|block| self.look("ip_block", block.id, &[("/reason", &block.reason)], now));
        }
    }

    async fn events(
        &mut self,
        instance: &Instance,
        tenant: TenantId,
        (from, to): (Timestamp, Timestamp),
        mut after: Option<u64>,
    ) -> Result<(), CertificateError> {
        let mut view = instance.store().view(tenant).await?;
        while self.events < MAX_EVENTS {
            // A report that leaves one out would say that nothing is there.
            let span = EventSpan { from, to, after, limit: PAGE };
            let page = damage::whole::<CertificateError>(&mut *view, tenant, &span.into()).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(last.index);
            self.events += page.len();
            for logged in page {
                let core = serde_json::from_str::<Value>(&logged.event.core).ok();
                let core = core.ok_or(Failure::Internal("a logged event is not JSON"))?;
                self.note("event", &logged.event.id.to_string(), suspects_in_event(&core, to));
            }
        }
        self.next = after;
        Ok(())
    }

    fn look(&mut self, of: &'static str, id: impl ToString, texts: &[(&str, &str)], now: Timestamp) {
        self.texts += texts.len();
        let look = |(pointer, text): &(&str, &str)| {
            let detector = suspect(text, now)?;
            Some(Suspect { pointer: (*pointer).to_owned(), detector, number: false })
        };
        self.note(of, &id.to_string(), texts.iter().filter_map(look).collect());
    }

    fn note(&mut self, of: &'static str, id: &str, found: Vec<Suspect>) {
        self.found += found.len();
        for Suspect { pointer, detector, .. } in found {
            if self.listed.len() < MAX_LISTED {
                self.listed.push(Suspicion { of, id: id.to_owned(), pointer, detector });
            }
        }
    }
}
