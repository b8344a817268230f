//! Issues many certificates in one commit.

use super::{
    CertificateError, Issued,
    desk::Desk,
    issue::with_key_of_today,
    payload::{self, Claim},
};
use crate::{
    Instance,
    access::Call,
    audit::Change,
    faults::{Fault, Faults},
    instance::Failure,
};

/// How many certificates one commit issues at most.
const MAX_BATCH: usize = 1_000;
/// As above, where a provider is asked for each signature: rows are held meanwhile.
const MAX_ELSEWHERE: usize = 100;

/// Issues certificates of the caller's tenant in one commit: all or none.
///
/// # Errors
///
/// [`CertificateError`]; what is wrong with claims is told of all of them at once, by `/items/<number>`.
pub async fn issue_all(instance: &Instance, call: &Call, claims: &[Claim]) -> Result<Vec<Issued>, CertificateError> {
    payload::require(call)?;
    let mut faults = Faults::default();
    if claims.is_empty() || claims.len() > MAX_BATCH {
        faults.add("/items", "count", "issue 1 to 1000 certificates at once");
    }
    let now = instance.now();
    for (number, claim) in claims.iter().enumerate().take(MAX_BATCH) {
        if let Err(of_claim) = claim.check(&call.caller, now) {
            faults.0.extend(at_item(number, of_claim).0);
        }
    }
    faults.check()?;
    with_key_of_today(instance, call.tenant(), || try_issue_all(instance, call, claims)).await
}

async fn try_issue_all(instance: &Instance, call: &Call, claims: &[Claim]) -> Result<Vec<Issued>, CertificateError> {
    let mut change = Change::begin(instance, call, call.tenant()).await?;
    let desk = Desk::open(&mut change).await?;
    if claims.len() > MAX_ELSEWHERE && desk.signs_elsewhere(&change) {
        let message = "the certificate key lives in a provider: issue 1 to 100 certificates at once";
        return Err(Faults::one("/items", "count", message).into());
    }
    let mut issued = Vec::with_capacity(claims.len());
    let mut last = None;
    for (number, claim) in claims.iter().enumerate() {
        if let Some(event) = last.take() {
            change.record(event).await?;
        }
        let made = desk.issue(instance, &mut change, claim).await;
        let (one, event) = made.map_err(|error| match error {
            CertificateError::Invalid(faults) => at_item(number, faults).into(),
            CertificateError::PhiSuspected(found) => {
                let placed = found.into_iter().map(|(pointer, what)| (format!("/items/{number}{pointer}"), what));
                CertificateError::PhiSuspected(placed.collect())
            }
            error => error,
        })?;
        issued.push(one);
        last = Some(event);
    }
    change.commit(last.ok_or(Failure::Internal("a batch of nothing"))?).await?;
    Ok(issued)
}

/// The faults of one claim of many.
fn at_item(number: usize, faults: Faults) -> Faults {
    let placed =
        faults.0.into_iter().map(|fault| Fault { pointer: format!("/items/{number}{}", fault.pointer), ..fault });
    Faults(placed.collect())
}
