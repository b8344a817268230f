//! Finds what belongs into a pack.

use std::collections::BTreeMap;

use chancery_crypto::runs::Run;

use super::PackScope;
use crate::{
    audit::{DamagedLog, EventKind, EventSpan, LoggedEvent, damage, retention::Purged},
    certificates::{
        Certificate, CertificateError,
        desk::named,
        offline::{State, became},
        revoke::ENDS,
    },
    faults::Faults,
    ids::{CertificateId, EventId, TenantId},
    instance::Failure,
    keyring::Keyring,
    store::{StoreError, View},
    time::Timestamp,
};

/// The most events of a pack, and the most bytes of them: a pack is made in memory.
const MAX_EVENTS: usize = 100_000;
const MAX_BYTES: usize = 128 * 1024 * 1024;
/// The most certificates: each is a file of the zip, which has no room for more than 65,535.
const MAX_CERTIFICATES: usize = 10_000;
const PAGE: u32 = 1_000;

/// What belongs into a pack.
pub(super) struct Held {
    /// Events by their index, byte for byte.
    pub(super) events: BTreeMap<u64, String>,
    /// Certificates by their id.
    pub(super) certificates: BTreeMap<String, Standing>,
    /// Where a range lies in the log.
    pub(super) span: Option<Run>,
    /// The keyed reference of a subject.
    pub(super) subject: Option<String>,
    bytes: usize,
    /// What to ask less of if there is too much, as a pointer.
    asked: &'static str,
    /// Whose log it is of.
    log: TenantId,
}

/// A certificate, where its event lies, and what became of it.
pub(super) struct Standing {
    pub(super) certificate: Certificate,
    pub(super) index: u64,
    pub(super) became: Option<(State, u64)>,
}

/// What of the first `size` events belongs into a pack of this scope.
pub(super) async fn gather(
    view: &mut dyn View,
    log: TenantId,
    ring: &Keyring,
    scope: &PackScope,
    size: u64,
) -> Result<Held, CertificateError> {
    let mut held = Held::of(log, scope.pointer());
    match scope {
        PackScope::Certificates(ids) => {
            for id in ids {
                held.take_certificate(view, *id, size).await?;
            }
        }
        PackScope::Events { ids, .. } => {
            for id in ids {
                held.take_event(view, *id, size).await?;
            }
        }
        PackScope::Subject { kind, reference } => {
            let names = ring.subject_references(&named(kind, reference.expose())).map_err(Failure::Keyring)?;
            held.subject = names.first().map(|(_, reference)| reference.clone());
            for (_, name) in names {
                held.take_about(view, &name, size).await?;
            }
            if held.certificates.is_empty() {
                return Err(CertificateError::NotFound);
            }
        }
        PackScope::Range { from, to } => {
            let issued = held.take_span(view, ring, *from, *to, size).await?;
            for id in issued {
                held.take_certificate(view, id, size).await?;
            }
        }
    }
    Ok(held)
}

fn purged_in_this_time() -> CertificateError {
    Faults::one("/from", "purged", "events of this time were purged; ask for a later one").into()
}

impl Held {
    /// Nothing yet of this log; `asked` is what to ask less of.
    pub(super) fn of(log: TenantId, asked: &'static str) -> Self {
        let (events, certificates) = (BTreeMap::new(), BTreeMap::new());
        Self { events, certificates, span: None, subject: None, bytes: 0, asked, log }
    }

    /// An event of the log.
    async fn logged(&self, view: &mut dyn View, id: EventId) -> Result<Option<LoggedEvent>, CertificateError> {
        match view.logged_event(id).await {
            Err(StoreError::Damaged(_)) => Err(DamagedLog { log: self.log, at: None }.into()),
            logged => Ok(logged?),
        }
    }

    /// An event by its id.
    async fn take_event(&mut self, view: &mut dyn View, id: EventId, size: u64) -> Result<(), CertificateError> {
        let logged = self.logged(view, id).await?.ok_or(CertificateError::NotFound)?;
        if logged.index >= size {
            return Err(CertificateError::NotYetSequenced);
        }
        Ok(self.take(logged)?)
    }

    /// A certificate with the events that tell of its issue and its end.
    async fn take_certificate(
        &mut self,
        view: &mut dyn View,
        id: CertificateId,
        size: u64,
    ) -> Result<(), CertificateError> {
        let certificate = view.certificate(id).await?.ok_or(CertificateError::NotFound)?;
        let issued = self.logged(view, certificate.event).await?.filter(|logged| logged.index < size);
        let issued = issued.ok_or(CertificateError::NotYetSequenced)?;
        let index = issued.index;
        self.take(issued)?;
        // Whatever became of its row: the log says how it ended.
        let mut ended = BTreeMap::new();
        let ends = match view.events_on(&id.to_string(), &ENDS).await {
            Err(StoreError::Damaged(_)) => return Err(DamagedLog { log: self.log, at: None }.into()),
            ends => ends?,
        };
        for logged in ends {
            if logged.index < size {
                ended.entry(logged.event.kind.clone()).or_insert(logged.index);
                self.take(logged)?;
            }
        }
        let became = became(|kind| ended.get(kind.as_str()).copied());
        self.bytes = self.bytes.saturating_add(certificate.envelope.len());
        self.certificates.insert(id.to_string(), Standing { certificate, index, became });
        if self.certificates.len() > MAX_CERTIFICATES || self.bytes > MAX_BYTES {
            return Err(too_many(self.asked).into());
        }
        Ok(())
    }

    /// The certificates that were issued about a subject under one of its names.
    async fn take_about(&mut self, view: &mut dyn View, name: &str, size: u64) -> Result<(), CertificateError> {
        let mut after = None;
        loop {
            let page = view.certificates_about(name, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(*last);
            for id in page {
                match self.take_certificate(view, id, size).await {
                    // Issued after the checkpoint.
                    Err(CertificateError::NotYetSequenced) => {}
                    taken => taken?,
                }
            }
        }
    }

    /// Every event from the first to the last that was recorded in this time; gives the certificates that were issued.
    ///
    /// Two nodes record side by side, so events of just before or after may lie between them: they are taken too, since a
    /// range with holes shows nothing.
    async fn take_span(
        &mut self,
        view: &mut dyn View,
        ring: &Keyring,
        from: Timestamp,
        to: Timestamp,
        size: u64,
    ) -> Result<Vec<CertificateId>, CertificateError> {
        // What is kept of a purged month may lie side by side, and would look like all of it.
        let purged = Purged::told(view, ring).await?;
        if purged.meets_time(from, to) {
            return Err(purged_in_this_time());
        }
        let (mut bounds, mut after): (Option<Run>, Option<u64>) = (None, None);
        loop {
            let span = EventSpan { from, to, after, limit: PAGE };
            let page = damage::whole::<CertificateError>(view, self.log, &span.into()).await?;
            for index in page.iter().map(|logged| logged.index).filter(|index| *index < size) {
                let first = bounds.map_or(index, |(first, _)| first);
                bounds = Some((first, index + 1));
            }
            let Some(newest) = page.last().map(|logged| logged.index).filter(|newest| *newest < size) else { break };
            self.check_length(bounds)?;
            after = Some(newest);
        }
        let bounds = bounds.ok_or_else(|| Faults::one("/from", "empty", "nothing was logged in this time"))?;
        let (first, end) = bounds;
        let (ever, mut issued) = ((Timestamp::from_micros(0), Timestamp::from_micros(i64::MAX)), Vec::new());
        let (mut next, mut taken) = (first, 0);
        while next < end {
            let limit = PAGE.min(u32::try_from(end - next).unwrap_or(PAGE));
            let span = EventSpan { from: ever.0, to: ever.1, after: next.checked_sub(1), limit };
            let page = damage::whole::<CertificateError>(view, self.log, &span.into()).await?;
            let last = page.last().map(|logged| logged.index + 1);
            next = last.ok_or(DamagedLog { log: self.log, at: Some(next) })?;
            for logged in page.into_iter().filter(|logged| logged.index < end) {
                issued.extend(certificate_of(&logged));
                taken += 1;
                self.take(logged)?;
            }
        }
        // A range with holes shows nothing.
        if taken != end - first {
            if purged.meets(first, end) {
                return Err(purged_in_this_time());
            }
            return Err(DamagedLog { log: self.log, at: None }.into());
        }
        self.span = Some(bounds);
        Ok(issued)
    }

    /// A range that is too long is refused before all of it is read.
    fn check_length(&self, bounds: Option<Run>) -> Result<(), Faults> {
        let length = bounds.map_or(0, |(first, end)| end - first);
        if usize::try_from(length).is_ok_and(|length| length <= MAX_EVENTS) {
            Ok(())
        } else {
            Err(too_many(self.asked))
        }
    }

    fn take(&mut self, logged: LoggedEvent) -> Result<(), Faults> {
        if let std::collections::btree_map::Entry::Vacant(place) = self.events.entry(logged.index) {
            self.bytes = self.bytes.saturating_add(logged.event.core.len());
            place.insert(logged.event.core);
        }
        if self.events.len() > MAX_EVENTS || self.bytes > MAX_BYTES {
            return Err(too_many(self.asked));
        }
        Ok(())
    }
}

fn too_many(asked: &str) -> Faults {
    let most = "a pack holds at most 100000 events, 10000 certificates and 128 MiB: ask for less";
    Faults::one(asked, "too_many", most)
}

/// The certificate whose issue an event tells of.
fn certificate_of(logged: &LoggedEvent) -> Option<CertificateId> {
    let issued = logged.event.kind == EventKind::CertificateIssued.as_str();
    logged.event.resource.as_deref().filter(|_| issued)?.parse().ok()
}
