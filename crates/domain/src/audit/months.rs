//! Where an engine keeps the log by the month: room for what comes, and months that are gone for everybody (ADR 0028).

use super::{
    Change, Detail, Event, EventKind,
    retention::{Month, Retention},
    stamp::Actor,
};
use crate::{
    Instance,
    access::RequestInfo,
    ids::{RequestId, TenantId},
    instance::Failure,
    store::StoreError,
    time::Timestamp,
};

/// For so many months after the running one there is room.
const AHEAD: u32 = 3;
/// Fewer months after the running one are an alarm.
pub const ALARM_BELOW: u64 = 2;
/// No more months than these are counted.
pub const COUNTED: u64 = 12;

codes! {
    /// What a table of one month holds.
    pub enum MonthHolds {
        /// Events.
        Events = "events",
        /// Their personal parts.
        Personal = "personal",
    }
}

/// A table of the store that holds what was recorded in one month, by all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonthPart {
    /// What is in it.
    pub holds: MonthHolds,
    /// The month after the last one of which something is in it.
    pub until: Month,
    /// Whether it holds all that is older too: what was there when the store began to keep months.
    pub older: bool,
}

impl MonthPart {
    /// Its last month.
    pub const fn month(&self) -> Month {
        self.until.minus(1)
    }
}

/// Makes room for what is recorded in this month and the three after it.
///
/// # Errors
///
/// [`StoreError`]; the log takes events for as long as there is room.
pub async fn make_ahead(instance: &Instance) -> Result<(), StoreError> {
    let this = Month::of(instance.now());
    let moments: Vec<Timestamp> = (0..=AHEAD).map(|months| this.plus(months).start()).collect();
    instance.store().make_room(&moments).await
}

/// Drops the tables of months that no tenant has to keep and in which nobody has anything any more. The platform's log tells of each.
///
/// # Errors
///
/// [`Failure`]: the first of a table that was not dropped. The others are; what is left is dropped the next time.
pub async fn drop_spent(instance: &Instance) -> Result<Vec<MonthPart>, Failure> {
    // A younger month may be empty because nothing happened.
    let before = Retention::default().kept_from(instance.now());
    let (mut dropped, mut failed) = (Vec::new(), None);
    for part in instance.store().take_out_spent(before).await? {
        match drop_one(instance, part).await {
            Ok(true) => dropped.push(part),
            Ok(false) => {}
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    failed.map_or(Ok(dropped), Err)
}

/// Told before it is done: whoever dies in between tells it twice, and nothing goes in silence. `false` if it went back.
async fn drop_one(instance: &Instance, part: MonthPart) -> Result<bool, Failure> {
    let store = instance.store();
    if !store.is_month_spent(part).await? {
        // Somebody's clock was years behind meanwhile.
        store.put_back(part).await?;
        return Ok(false);
    }
    let request = request(instance)?;
    let ring = instance.keyring(TenantId::PLATFORM).await?;
    let change = Change::begin_with(instance, Actor::System(&request), TenantId::PLATFORM, ring).await?;
    change.commit(told(part)).await?;
    Ok(store.drop_month(part).await?)
}

fn told(part: MonthPart) -> Event {
    Event::new(EventKind::MonthDropped)
        .with("month", Detail::Id(part.month().to_string()))
        .with("older", Detail::Count(part.older.into()))
        .with("what", Detail::Code(part.holds.as_str()))
}

/// What events of this job say of the request that they have none of.
fn request(instance: &Instance) -> Result<RequestInfo, Failure> {
    let id = RequestId::make(instance.now(), instance.random())?;
    Ok(RequestInfo { id, address: None, user_agent: None, key: None, route: "audit-months", method: "JOB" })
}
