//! What is usual for a key: who uses it, at which hours, how much. What is not becomes an event (MO-09).
//!
//! Each node learns for itself, in memory, from what passes through it: after a start it says nothing for a week. The
//! thresholds are coarse on purpose. An alarm that rings every day is switched off.

use std::{
    collections::{HashMap, hash_map::RandomState},
    hash::BuildHasher as _,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::{
    access::Subject,
    audit::{Detail, Event, EventKind},
    ids::TenantId,
    time::Timestamp,
};

/// How long a key's use is watched before anything about it is unusual, in hours.
const LEARNED_HOURS: i64 = 7 * 24;
/// How often it must have been used by then.
const LEARNED_USES: u64 = 100;
/// With more actors than these, a new one is nothing unusual.
const MAX_ACTORS: usize = 32;
/// An hour is unusual if it and its neighbours see less than this part of the busiest.
const QUIET_PART: f32 = 0.01;
/// So many uses in an hour are unusual, and only if they are this many times the busiest hour.
const MANY_USES: u64 = 1_000;
/// See [`MANY_USES`].
const MANY_TIMES: f32 = 10.0;
/// How much the newest hour counts in the mean of its hour of the day.
const NEWEST: f32 = 0.3;
/// How many keys are watched. When there are more, some begin anew.
const MAX_KEYS: usize = 20_000;

codes! {
    /// What about a key's use is unusual.
    pub enum Anomaly {
        /// Who.
        Actor = "actor",
        /// When: at an hour of the day at which it rests.
        Hour = "hour",
        /// How much.
        Volume = "volume",
    }
}

/// What is known of one key's use.
#[derive(Clone)]
struct Habit {
    since: i64,
    uses: u64,
    actors: Vec<u64>,
    /// Uses at each hour of the day (UTC), as a running mean over days.
    hours: [f32; 24],
    hour: i64,
    count: u64,
    told: [i64; Anomaly::ALL.len()],
}

/// The habits of the keys that this node used.
#[derive(Default)]
pub struct Habits {
    known: Mutex<HashMap<(TenantId, u64), Habit>>,
    hasher: RandomState,
    told: [AtomicU64; Anomaly::ALL.len()],
}

impl Habits {
    /// Notes that `actor` used a key for so many values; gives the events to write. `key` is a managed use or a key's id.
    pub(crate) fn used(
        &self,
        tenant: TenantId,
        key: &str,
        actor: Subject,
        values: usize,
        now: Timestamp,
    ) -> Vec<Event> {
        let (name, actor) = (self.hasher.hash_one(key), self.hasher.hash_one(actor));
        let hour = now.as_seconds().div_euclid(3_600);
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_KEYS
            && !known.contains_key(&(tenant, name))
            && let Some(some) = known.keys().next().copied()
        {
            known.remove(&some);
        }
        let habit = known.entry((tenant, name)).or_insert_with(|| Habit::new(hour));
        let unusual = habit.used(actor, u64::try_from(values).unwrap_or(u64::MAX), hour);
        drop(known);
        let tell = |(anomaly, count): (Anomaly, u64)| {
            if let Some(told) = self.told.get(place(anomaly)) {
                told.fetch_add(1, Ordering::Relaxed);
            }
            Event::new(EventKind::KeyAnomaly)
                .with("key", Detail::Id(key.to_owned()))
                .with("what", Detail::Code(anomaly.as_str()))
                .with("count", Detail::Count(count))
        };
        unusual.into_iter().map(tell).collect()
    }

    /// How many anomalies were told since this start, by kind.
    pub fn counts(&self) -> impl Iterator<Item = (Anomaly, u64)> {
        Anomaly::ALL.iter().zip(&self.told).map(|(anomaly, told)| (*anomaly, told.load(Ordering::Relaxed)))
    }
}

fn place(anomaly: Anomaly) -> usize {
    Anomaly::ALL.iter().position(|other| *other == anomaly).unwrap_or_default()
}

impl Habit {
    fn new(hour: i64) -> Self {
        Self { since: hour, uses: 0, actors: Vec::new(), hours: [0.0; 24], hour, count: 0, told: [i64::MIN; 3] }
    }

    /// Notes a use; gives what is unusual about it, each kind at most once an hour.
    fn used(&mut self, actor: u64, values: u64, hour: i64) -> Vec<(Anomaly, u64)> {
        self.turn_to(hour);
        let learned = hour - self.since >= LEARNED_HOURS && self.uses >= LEARNED_USES;
        self.uses = self.uses.saturating_add(values);
        self.count = self.count.saturating_add(values);
        let mut unusual = Vec::new();
        if !self.actors.contains(&actor) && self.actors.len() < MAX_ACTORS {
            self.actors.push(actor);
            unusual.push(Anomaly::Actor);
        }
        let busiest = self.hours.iter().copied().fold(0.0, f32::max);
        let usual = [-1, 0, 1].map(|by| self.mean(hour + by)).into_iter().fold(0.0, f32::max);
        if usual < busiest * QUIET_PART {
            unusual.push(Anomaly::Hour);
        }
        #[expect(clippy::cast_precision_loss, reason = "compared with a mean; a part in millions does not matter")]
        if self.count > MANY_USES && self.count as f32 > busiest * MANY_TIMES {
            unusual.push(Anomaly::Volume);
        }
        unusual.retain(|anomaly| {
            let Some(told) = self.told.get_mut(place(*anomaly)) else { return false };
            learned && std::mem::replace(told, hour) != hour
        });
        unusual.into_iter().map(|anomaly| (anomaly, self.count)).collect()
    }

    fn mean(&self, hour: i64) -> f32 {
        usize::try_from(hour.rem_euclid(24)).ok().and_then(|at| self.hours.get(at)).copied().unwrap_or_default()
    }

    /// Closes the hours since the last use. A clock that was set back goes on in the hour it was in.
    fn turn_to(&mut self, hour: i64) {
        let (mut count, passed) = (self.count, (hour - self.hour).clamp(0, LEARNED_HOURS));
        for closed in self.hour..self.hour + passed {
            let at = usize::try_from(closed.rem_euclid(24)).ok();
            #[expect(clippy::cast_precision_loss, reason = "a mean")]
            if let Some(mean) = at.and_then(|at| self.hours.get_mut(at)) {
                // The first day sets the mean, or a busy key would seem quiet for days.
                let newest = if closed - self.since < 24 { 1.0 } else { NEWEST };
                *mean += (count as f32 - *mean) * newest;
            }
            count = 0;
        }
        if passed > 0 {
            (self.hour, self.count) = (hour, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that ten actors use 50 times an hour from 8 to 18 o'clock, for so many days.
    fn office(days: i64) -> Habit {
        let mut habit = Habit::new(0);
        for hour in (0..days * 24).filter(|hour| (8..18).contains(&hour.rem_euclid(24))) {
            for actor in 0..10 {
                let unusual = habit.used(actor, 5, hour);
                assert!(unusual.is_empty(), "hour {hour}: {unusual:?}");
            }
        }
        habit
    }

    #[test]
    fn an_office_at_work_is_nothing_unusual() {
        office(60);
    }

    #[test]
    fn a_new_actor_is_told_once() {
        let mut habit = office(10);
        assert_eq!(habit.used(99, 1, 10 * 24 + 9), [(Anomaly::Actor, 1)]);
        assert_eq!(habit.used(99, 1, 10 * 24 + 9), []);
        assert_eq!(habit.used(100, 1, 10 * 24 + 9), [], "one an hour");
        assert_eq!(habit.used(101, 1, 10 * 24 + 10), [(Anomaly::Actor, 1)]);
    }

    #[test]
    fn a_use_at_night_is_told_and_one_a_little_late_is_not() {
        let mut habit = office(10);
        assert_eq!(habit.used(1, 1, 10 * 24 + 3), [(Anomaly::Hour, 1)]);
        assert_eq!(habit.used(1, 1, 10 * 24 + 3), []);
        assert_eq!(habit.used(1, 1, 10 * 24 + 18), []);
    }

    #[test]
    fn ten_times_the_busiest_hour_is_told() {
        let mut habit = office(10);
        let told: Vec<_> = (0..3_000).flat_map(|_| habit.used(1, 1, 10 * 24 + 9)).collect();
        assert_eq!(told, [(Anomaly::Volume, 1_001)]);
    }

    #[test]
    fn a_key_that_is_not_known_yet_is_never_unusual() {
        let mut habit = office(3);
        assert_eq!(habit.used(99, 100_000, 3 * 24 + 3), []);
    }

    #[test]
    fn more_keys_than_are_watched_do_no_harm() {
        let habits = Habits::default();
        for n in 0..MAX_KEYS + 100 {
            habits.used(TenantId::PLATFORM, &n.to_string(), Subject::System, 1, Timestamp::from_seconds(0));
        }
        assert_eq!(habits.known.lock().unwrap().len(), MAX_KEYS);
    }
}
