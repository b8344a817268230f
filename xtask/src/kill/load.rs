//! Callers that press the server until it dies, and remember what it promised.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

use super::ledger::{Deed, Promise};
use crate::server::contract::{self, Answer, Client};

const USER: &str = "crash.tester";
const PASSWORD: &str = "Correct-Horse-7-Battery";

/// A tenant with what the load needs.
#[derive(Debug)]
pub(super) struct Clinic {
    pub(super) slug: String,
    pub(super) clinician: Client,
    pub(super) auditor: Client,
}

impl Clinic {
    pub(super) fn open(admin: &Client, slug: &str) -> Result<Self> {
        let tenant = admin.make_tenant(slug)?;
        let client = |role| Ok::<_, anyhow::Error>(admin.with_key(&admin.make_api_key(&tenant, role)?));
        client("security_officer")?.register_field()?;
        admin.make_user(&tenant, USER, PASSWORD)?;
        Ok(Self { slug: slug.to_owned(), clinician: client("clinician")?, auditor: client("auditor")? })
    }
}

/// An acknowledged certificate.
#[derive(Debug)]
pub(super) struct Certificate {
    id: String,
    envelope: Option<Value>,
}

impl Certificate {
    /// Whether it is still there, unchanged and valid.
    pub(super) fn check(&self, clinician: &Client) -> Vec<String> {
        let mut faults = Vec::new();
        match clinician.certificate(&self.id) {
            Ok(fetched) if contract::envelope(&fetched) != self.envelope.as_ref() => {
                faults.push(format!("certificate {} changed", self.id));
            }
            Ok(_) => {}
            Err(error) => faults.push(format!("certificate {} is gone: {error:#}", self.id)),
        }
        match clinician.verify(&self.id) {
            Ok(verdict) if verdict != "valid" => faults.push(format!("certificate {} is {verdict}", self.id)),
            Ok(_) => {}
            Err(error) => faults.push(format!("certificate {} cannot be verified: {error:#}", self.id)),
        }
        faults
    }
}

/// What the callers of one clinic brought home.
#[derive(Debug, Default)]
pub(super) struct Harvest {
    pub(super) promises: Vec<Promise>,
    pub(super) certificates: Vec<Certificate>,
    pub(super) faults: Vec<String>,
}

/// So many callers of each clinic append events in batches, if a rate is asked for.
const APPENDERS: u64 = 2;
/// The most events of one call.
const BATCH: u64 = 100;

/// How many events were acknowledged since when, by whomever, and how many a second are asked for.
#[derive(Debug)]
struct Pace {
    began: Instant,
    acknowledged: AtomicU64,
    rate: u64,
    appenders: u64,
}

impl Pace {
    /// How many events one appender is to send now.
    fn due(&self, elapsed: Duration) -> u64 {
        let wanted = u128::from(self.rate) * elapsed.as_millis() / 1_000;
        let behind =
            u64::try_from(wanted).unwrap_or(u64::MAX).saturating_sub(self.acknowledged.load(Ordering::Relaxed));
        behind.div_ceil(self.appenders.max(1)).min(BATCH)
    }
}

/// Presses all clinics at once while `meanwhile` runs, which is to end the server. With a `rate`, callers that append events in
/// batches make up what single calls lack of so many events a second.
pub(super) fn drive(
    clinics: &[&Clinic],
    round: u64,
    rate: u64,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<Vec<Harvest>> {
    let stop = AtomicBool::new(false);
    let appenders = if rate == 0 { 0 } else { APPENDERS };
    let clinic_count = u64::try_from(clinics.len()).unwrap_or(1);
    let pace =
        Pace { began: Instant::now(), acknowledged: AtomicU64::new(0), rate, appenders: appenders * clinic_count };
    let numbers = AtomicU64::new(round << 32);
    let mut harvests: Vec<Harvest> = clinics.iter().map(|_| Harvest::default()).collect();
    thread::scope(|scope| {
        let (stop, numbers, pace) = (&stop, &numbers, &pace);
        let mut callers = Vec::new();
        for (index, clinic) in clinics.iter().enumerate() {
            for deed in [Deed::Seal, Deed::Seal, Deed::Seal, Deed::Seal, Deed::Issue, Deed::Login] {
                callers.push((index, scope.spawn(move || press(clinic, deed, numbers, pace, stop))));
            }
            for _ in 0..appenders {
                callers.push((index, scope.spawn(move || press(clinic, Deed::Append, numbers, pace, stop))));
            }
        }
        let outcome = meanwhile();
        stop.store(true, Ordering::Relaxed);
        for (index, caller) in callers {
            let Ok(harvest) = caller.join() else { bail!("a caller panicked") };
            if let Some(sum) = harvests.get_mut(index) {
                sum.promises.extend(harvest.promises);
                sum.certificates.extend(harvest.certificates);
                sum.faults.extend(harvest.faults);
            }
        }
        outcome
    })?;
    Ok(harvests)
}

fn press(clinic: &Clinic, deed: Deed, numbers: &AtomicU64, pace: &Pace, stop: &AtomicBool) -> Harvest {
    let mut harvest = Harvest::default();
    while !stop.load(Ordering::Relaxed) {
        let events = if deed == Deed::Append { pace.due(pace.began.elapsed()) } else { 1 };
        if events == 0 {
            thread::sleep(Duration::from_millis(5));
            continue;
        }
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let answer = match deed {
            Deed::Seal => clinic.clinician.seal(number),
            Deed::Issue => clinic.clinician.issue(number),
            Deed::Login => clinic.clinician.login(&clinic.slug, USER, PASSWORD),
            Deed::Append => clinic.clinician.append(number, events),
        };
        match answer {
            Answer::Acknowledged { request_id, body } => {
                pace.acknowledged.fetch_add(events, Ordering::Relaxed);
                harvest.promises.push(Promise { deed, request_id, events });
                if let (Deed::Issue, Some(body)) = (deed, body) {
                    match contract::certificate_id(&body) {
                        Ok(id) => {
                            harvest.certificates.push(Certificate { id, envelope: contract::envelope(&body).cloned() })
                        }
                        Err(error) => harvest.faults.push(format!("a certificate without id: {error:#}")),
                    }
                }
            }
            // Overload is an honest answer: nothing was promised.
            Answer::Refused { status: 429 | 503, .. } => thread::sleep(Duration::from_millis(20)),
            Answer::Refused { status, body } => {
                harvest.faults.push(format!("{deed:?} was refused with {status}: {body}"));
                break;
            }
            Answer::Lost => break,
        }
    }
    harvest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appenders_make_up_what_is_missing_of_the_rate() {
        let pace = |acknowledged| Pace {
            began: Instant::now(),
            acknowledged: AtomicU64::new(acknowledged),
            rate: 2_000,
            appenders: 4,
        };
        let second = Duration::from_secs(1);
        assert_eq!(pace(2_000).due(second), 0, "single calls were enough");
        assert_eq!(pace(1_990).due(second), 3);
        assert_eq!(pace(0).due(second), BATCH);
        assert_eq!(pace(0).due(Duration::from_millis(20)), 10);
    }
}
