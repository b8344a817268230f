//! Callers that press the server until it dies, and remember what it promised.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

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

/// Presses all clinics at once while `meanwhile` runs, which is to end the server.
pub(super) fn drive(clinics: &[&Clinic], round: u64, meanwhile: impl FnOnce() -> Result<()>) -> Result<Vec<Harvest>> {
    let stop = AtomicBool::new(false);
    let numbers = AtomicU64::new(round << 32);
    let mut harvests: Vec<Harvest> = clinics.iter().map(|_| Harvest::default()).collect();
    thread::scope(|scope| {
        let (stop, numbers) = (&stop, &numbers);
        let mut callers = Vec::new();
        for (index, clinic) in clinics.iter().enumerate() {
            for deed in [Deed::Seal, Deed::Seal, Deed::Seal, Deed::Seal, Deed::Issue, Deed::Login] {
                callers.push((index, scope.spawn(move || press(clinic, deed, numbers, stop))));
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

fn press(clinic: &Clinic, deed: Deed, numbers: &AtomicU64, stop: &AtomicBool) -> Harvest {
    let mut harvest = Harvest::default();
    while !stop.load(Ordering::Relaxed) {
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let answer = match deed {
            Deed::Seal => clinic.clinician.seal(number),
            Deed::Issue => clinic.clinician.issue(number),
            Deed::Login => clinic.clinician.login(&clinic.slug, USER, PASSWORD),
        };
        match answer {
            Answer::Acknowledged { request_id, body } => {
                harvest.promises.push(Promise { deed, request_id });
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
