//! The certificate of our own listeners: how it stands, and what the platform's log is told of it.
//!
//! Reading files and asking authorities is the binary's; what it finds it says here, once, and from here readiness, metrics and the log
//! have it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    Instance, TenantId,
    access::RequestInfo,
    audit::{Detail, Event, EventKind, Outcome, receipt::note_all, stamp::Actor},
    ids::RequestId,
    instance::Failure,
    time::Timestamp,
};

codes! {
    /// What can be wrong with a listener's certificate. The server goes on with the one it has.
    pub enum Trouble {
        /// There is none yet: handshakes fail.
        Missing = "tls.certificate_missing",
        /// New files came that do not do.
        Refused = "tls.certificate_refused",
        /// It ends soon.
        Ending = "tls.certificate_ending",
        /// It is time for the next one, and the authority gave none.
        NotRenewed = "tls.renewal_failed",
    }
}

/// How the certificate stands.
#[derive(Debug, Default)]
pub struct Standing(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    ends: Option<Timestamp>,
    /// Whether it is so now, and how often it was found.
    troubles: BTreeMap<Trouble, (bool, u64)>,
}

impl Standing {
    /// Until when the certificate at work is valid; `None` if there is none.
    pub fn ends(&self) -> Option<Timestamp> {
        self.held().ends
    }

    /// What is wrong now.
    pub fn troubles(&self) -> Vec<Trouble> {
        self.held().troubles.iter().filter(|(_, (now, _))| *now).map(|(trouble, _)| *trouble).collect()
    }

    /// How often each was found.
    pub fn counts(&self) -> Vec<(Trouble, u64)> {
        let held = self.held();
        let count = |trouble: &Trouble| held.troubles.get(trouble).map_or(0, |(_, count)| *count);
        Trouble::ALL.iter().map(|trouble| (*trouble, count(trouble))).collect()
    }

    /// Another certificate is at work, or none yet: what was wrong with the one before is over. Says nothing to the log; for a start.
    pub fn begin(&self, ends: Option<Timestamp>) {
        let mut held = self.held();
        held.ends = ends;
        for (trouble, (now, _)) in &mut held.troubles {
            *now &= *trouble == Trouble::NotRenewed;
        }
        if ends.is_none() {
            held.find(Trouble::Missing);
        }
    }

    /// The authority gave a certificate.
    pub fn renewed(&self) {
        if let Some((now, _)) = self.held().troubles.get_mut(&Trouble::NotRenewed) {
            *now = false;
        }
    }

    fn find(&self, trouble: Trouble) {
        self.held().find(trouble);
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Held {
    fn find(&mut self, trouble: Trouble) {
        let (now, count) = self.troubles.entry(trouble).or_default();
        *now = true;
        *count = count.saturating_add(1);
    }
}

/// Another certificate is at work since a moment ago.
///
/// # Errors
///
/// [`Failure`] if the event cannot be made durable.
pub async fn taken(instance: &Instance, ends: Timestamp) -> Result<(), Failure> {
    instance.tls().begin(Some(ends));
    tell(instance, Event::new(EventKind::TlsCertificateTaken).with("ends", Detail::At(ends))).await
}

/// New files do not do, and why; the certificate at work stays.
///
/// # Errors
///
/// As [`taken`].
pub async fn refused(instance: &Instance, why: &'static str) -> Result<(), Failure> {
    instance.tls().find(Trouble::Refused);
    let event = Event::new(EventKind::TlsCertificateRefused).outcome(Outcome::SeriousFailure);
    tell(instance, event.with("reason", Detail::Code(why))).await
}

/// The certificate at work ends soon, or is over. Called once a day.
///
/// # Errors
///
/// As [`taken`].
pub async fn ending(instance: &Instance, ends: Timestamp) -> Result<(), Failure> {
    instance.tls().find(Trouble::Ending);
    let event = Event::new(EventKind::TlsCertificateEnding).outcome(Outcome::MinorFailure);
    tell(instance, event.with("ends", Detail::At(ends))).await
}

/// The authority gave no certificate, and why; it is asked again at `next`.
///
/// # Errors
///
/// As [`taken`].
pub async fn not_renewed(instance: &Instance, why: &'static str, next: Timestamp) -> Result<(), Failure> {
    instance.tls().find(Trouble::NotRenewed);
    let mut event = Event::new(EventKind::TlsRenewalFailed)
        .outcome(Outcome::SeriousFailure)
        .with("reason", Detail::Code(why))
        .with("next", Detail::At(next));
    if let Some(ends) = instance.tls().ends() {
        event = event.with("ends", Detail::At(ends));
    }
    tell(instance, event).await
}

async fn tell(instance: &Instance, event: Event) -> Result<(), Failure> {
    let request = RequestInfo {
        id: RequestId::make(instance.now(), instance.random())?,
        address: None,
        user_agent: None,
        key: None,
        route: "tls",
        method: "JOB",
    };
    note_all(instance, Actor::System(&request), TenantId::PLATFORM, vec![event]).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_certificate_ends_what_was_wrong_with_the_old_one() {
        let standing = Standing::default();
        assert_eq!((standing.ends(), standing.troubles()), (None, vec![]));
        standing.begin(None);
        assert_eq!(standing.troubles(), [Trouble::Missing]);
        let ends = Timestamp::from_micros(1_000_000);
        standing.begin(Some(ends));
        assert_eq!((standing.ends(), standing.troubles()), (Some(ends), vec![]));
        standing.find(Trouble::Refused);
        standing.find(Trouble::Refused);
        standing.find(Trouble::Ending);
        assert_eq!(standing.troubles(), [Trouble::Refused, Trouble::Ending]);
        standing.begin(Some(ends));
        assert_eq!(standing.troubles(), []);
        let counts: Vec<u64> = standing.counts().into_iter().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 2, 1, 0], "what was found stays counted");
    }

    #[test]
    fn a_certificate_from_elsewhere_does_not_make_the_authority_well() {
        let standing = Standing::default();
        standing.find(Trouble::NotRenewed);
        standing.begin(Some(Timestamp::from_micros(1)));
        assert_eq!(standing.troubles(), [Trouble::NotRenewed]);
        standing.renewed();
        assert_eq!(standing.troubles(), []);
    }
}
