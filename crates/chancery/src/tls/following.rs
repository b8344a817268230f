//! Files that change, an end that comes nearer.

use std::{sync::Arc, time::Duration};

use chancery_domain::{
    Clock as _, Instance, Timestamp,
    instance::Failure,
    tls::{ending, refused, taken},
};

use super::{Facts, SOON, Tls, Unfit};
use crate::{
    clock::SystemClock,
    following::{Follower, LOOK},
};

/// How often the files are looked at while there is no certificate.
const LOOK_WITHOUT: Duration = Duration::from_millis(250);
/// An operator is told of a near end once a day.
const DAY: i64 = 86_400;

/// Looks, until it is aborted. A pair that is not fit for use leaves the one at work where it is.
pub(super) async fn run(tls: Arc<Tls>, instance: Arc<Instance>) {
    let (mut follower, mut told) = (tls.follower.clone(), None);
    loop {
        tokio::time::sleep(if tls.facts().is_some() { LOOK } else { LOOK_WITHOUT }).await;
        if let Err(error) = look(&tls, &instance, &mut follower, &mut told).await {
            // What happened stands in the metrics and among the warnings all the same.
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(error, "The log does not take how the certificate stands");
        }
    }
}

/// One look at the files and at the clock.
async fn look(
    tls: &Tls,
    instance: &Instance,
    follower: &mut Follower,
    told: &mut Option<Timestamp>,
) -> Result<(), Failure> {
    match changed(tls, follower) {
        None => {}
        Some(Ok(ends)) => {
            tracing::info!("A new certificate is at work; it ends at {ends}");
            *told = None;
            taken(instance, ends).await?;
        }
        Some(Err(unfit)) => {
            let code = unfit.code();
            {
                // Not kept while the log is told: it cannot go to another thread.
                let error: &(dyn std::error::Error + 'static) = &unfit;
                tracing::error!(error, code, "The new certificate and key do not do; those at work stay");
            }
            refused(instance, code).await?;
        }
    }
    let now = SystemClock.now();
    if let Some(facts) = tls.facts().filter(|facts| is_near(facts, tls.files.proofs.is_some(), now))
        && told.is_none_or(|told| now.as_seconds() - told.as_seconds() >= DAY)
    {
        *told = Some(now);
        let days = (facts.ends.as_seconds() - now.as_seconds()).div_euclid(DAY);
        tracing::warn!("The certificate ends in {days} days: see to a new one");
        ending(instance, facts.ends).await?;
    }
    Ok(())
}

/// Takes over files that have changed; until when the new certificate is valid, or why it does not do.
pub(super) fn changed(tls: &Tls, follower: &mut Follower) -> Option<Result<Timestamp, Unfit>> {
    follower.look().then(|| tls.take())
}

/// Whether the end is near. One that an authority renews by itself, and perhaps for days only, is near its end when half of the time
/// for renewing has gone in vain.
fn is_near(facts: &Facts, renewed: bool, now: Timestamp) -> bool {
    let seconds = |moment: Timestamp| moment.as_seconds();
    let soon = i64::try_from(SOON.as_secs()).unwrap_or(i64::MAX);
    let sixth = (seconds(facts.ends) - seconds(facts.starts)) / 6;
    seconds(facts.ends) - seconds(now) < if renewed { soon.min(sixth) } else { soon }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fourteen_days_are_near_unless_an_authority_renews_what_lives_for_days() {
        let at = |days: i64| Timestamp::from_micros(days * 86_400 * 1_000_000);
        let facts = |ends| Facts { self_signed: false, starts: at(0), ends: at(ends), names: vec![] };
        for (ends, renewed, now, near) in [
            (90, false, 75, false),
            (90, false, 77, true),
            (90, true, 77, true),
            (6, false, 0, true),
            (6, true, 4, false),
            (6, true, 6, true),
            (90, false, 91, true),
        ] {
            assert_eq!(is_near(&facts(ends), renewed, at(now)), near, "{ends} {renewed} {now}");
        }
    }
}
