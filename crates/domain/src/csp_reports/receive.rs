//! Takes reports of strangers, counts them in memory, writes the counts once a minute.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::{Mutex, PoisonError},
};

use super::{BrowserReport, CspReport, KEPT_DAYS, MOST, Seen, address::is_token_of, scrub::scrub};
use crate::{Instance, TenantId, instance::Failure, time::Timestamp};

/// How many reports of one request count.
const PER_REQUEST: usize = 10;
/// How many requests a process looks at in a second; the others are dropped. Each asks the store for a tenant.
const PER_SECOND: u32 = 50;
/// How many different reports wait to be written, of all tenants and of one.
const WAITING: (usize, usize) = (5_000, 200);

/// Reports that are not written yet. What a process that dies has not written is lost.
#[derive(Default)]
pub struct Reports(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// The second that is counted, and how many came in it.
    second: (i64, u32),
    counts: HashMap<(TenantId, Seen), Tally>,
    of_tenant: HashMap<TenantId, usize>,
}

#[derive(Clone, Copy)]
struct Tally {
    count: u64,
    first_at: Timestamp,
    last_at: Timestamp,
}

impl Reports {
    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more request may be looked at.
    fn admits(&self, now: Timestamp) -> bool {
        let mut waiting = self.lock();
        let second = now.as_seconds();
        let (counted, came) = &mut waiting.second;
        if *counted != second {
            (*counted, *came) = (second, 0);
        }
        *came = came.saturating_add(1);
        *came <= PER_SECOND
    }

    fn add(&self, tenant: TenantId, seen: Seen, tally: Tally) {
        let mut waiting = self.lock();
        let Waiting { counts, of_tenant, .. } = &mut *waiting;
        let full = counts.len() >= WAITING.0;
        match counts.entry((tenant, seen)) {
            Entry::Occupied(mut known) => {
                let known = known.get_mut();
                known.count = known.count.saturating_add(tally.count);
                known.first_at = known.first_at.min(tally.first_at);
                known.last_at = known.last_at.max(tally.last_at);
            }
            Entry::Vacant(place) => {
                let own = of_tenant.entry(tenant).or_default();
                if !full && *own < WAITING.1 {
                    *own += 1;
                    place.insert(tally);
                }
            }
        }
    }

    fn take(&self) -> BTreeMap<TenantId, Vec<CspReport>> {
        let mut waiting = self.lock();
        waiting.of_tenant.clear();
        let mut by_tenant: BTreeMap<TenantId, Vec<CspReport>> = BTreeMap::new();
        for ((tenant, seen), Tally { count, first_at, last_at }) in waiting.counts.drain() {
            by_tenant.entry(tenant).or_default().push(CspReport { seen, count, first_at, last_at });
        }
        by_tenant
    }
}

/// Whose pages report: the tenant with this slug, if the token is its own. Nobody, if more ask than are looked at in a second.
///
/// # Errors
///
/// [`Failure`] if the store or the root cannot be had.
pub async fn reporter(instance: &Instance, slug: &str, token: &str) -> Result<Option<TenantId>, Failure> {
    if !instance.csp_reports.admits(instance.now()) {
        return Ok(None);
    }
    let Some(entry) = instance.directory().tenant_by_slug(slug).await? else { return Ok(None) };
    Ok(is_token_of(&*instance.leased_root().await?, entry.id, token).then_some(entry.id))
}

/// Counts the reports of one request from pages of this tenant.
pub fn count(instance: &Instance, tenant: TenantId, told: &[BrowserReport<'_>]) {
    let now = instance.now();
    let tally = Tally { count: 1, first_at: now, last_at: now };
    let seen = told.iter().take(PER_REQUEST).filter_map(|told| scrub(*told));
    seen.for_each(|seen| instance.csp_reports.add(tenant, seen, tally));
}

/// Writes what came since the last time, in one transaction per tenant, and forgets what is old there. No event: strangers must not
/// grow a log.
///
/// # Errors
///
/// [`Failure`]; what was not written is tried again next time.
pub async fn flush(instance: &Instance) -> Result<(), Failure> {
    let before = instance.now().plus_days(-KEPT_DAYS);
    let mut failed = None;
    for (tenant, reports) in instance.csp_reports.take() {
        let written = async {
            let mut tx = instance.store().begin(tenant).await?;
            tx.forget_csp_reports(before).await?;
            for report in &reports {
                tx.add_csp_report(report, MOST).await?;
            }
            tx.commit().await
        };
        if let Err(error) = written.await {
            for CspReport { seen, count, first_at, last_at } in reports {
                instance.csp_reports.add(tenant, seen, Tally { count, first_at, last_at });
            }
            failed = Some(error);
        }
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(number: usize) -> Seen {
        Seen {
            directive: "img-src".to_owned(),
            blocked: format!("https://h{number}.test"),
            document: "https://a.test/".to_owned(),
            source: String::new(),
            enforced: true,
        }
    }

    fn tally(at: i64) -> Tally {
        Tally { count: 1, first_at: Timestamp::from_micros(at), last_at: Timestamp::from_micros(at) }
    }

    #[test]
    fn a_flood_of_different_reports_stays_within_bounds_and_known_ones_count_on() {
        let reports = Reports::default();
        for number in 0..1_000 {
            reports.add(TenantId::PLATFORM, seen(number), tally(1));
        }
        reports.add(TenantId::PLATFORM, seen(7), tally(9));
        let taken = reports.take();
        let own = &taken[&TenantId::PLATFORM];
        assert_eq!(own.len(), WAITING.1);
        let known = own.iter().find(|report| report.seen == seen(7)).unwrap();
        assert_eq!((known.count, known.first_at.as_micros(), known.last_at.as_micros()), (2, 1, 9));
        assert!(reports.take().is_empty());
        // There is room again.
        reports.add(TenantId::PLATFORM, seen(0), tally(1));
        assert_eq!(reports.take().len(), 1);
    }

    #[test]
    fn so_many_are_looked_at_in_a_second() {
        let reports = Reports::default();
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let admitted = (0..1_000).filter(|_| reports.admits(at(5))).count();
        assert_eq!(admitted, PER_SECOND as usize);
        assert!(reports.admits(at(6)));
    }
}
