//! How the logs of all tenants are kept, as metrics show it.

use chancery_domain::{Timestamp, audit::retention::Standing};

/// How the logs of all tenants are kept, taken together: metrics name no tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retained {
    /// The age of the oldest event that was not purged, in seconds.
    pub oldest_seconds: u64,
    /// In how many seconds the time of an event is over next; 0 if that of one is over.
    pub next_seconds: Option<u64>,
    /// How many holds there are.
    pub holds: u64,
    /// How many purges were ordered and have not ended.
    pub open: u64,
    /// How many purges nobody ordered, nor dismissed.
    pub unproven: u64,
    /// How many rows of what keeps logs are not what the log says, or cannot be read.
    pub disputed: u64,
    /// Of how many logs a row alone says how long they are kept.
    pub unconfirmed: u64,
    /// Of how many logs months wait until the clock is believed.
    pub waiting: u64,
}

impl Retained {
    /// And this log.
    pub fn add(&mut self, standing: &Standing, now: Timestamp) {
        let between = |from: Timestamp, to: Timestamp| {
            u64::try_from(to.as_seconds().saturating_sub(from.as_seconds())).unwrap_or_default()
        };
        if let Some(oldest) = standing.oldest {
            self.oldest_seconds = self.oldest_seconds.max(between(oldest, now));
        }
        if let Some(next) = standing.next.map(|next| between(now, next)) {
            self.next_seconds = Some(self.next_seconds.map_or(next, |before| before.min(next)));
        }
        self.holds += standing.holds.len() as u64;
        self.unconfirmed += u64::from(standing.unconfirmed);
        self.open += standing.purges.iter().filter(|purge| purge.ended_at.is_none()).count() as u64;
    }
}

#[cfg(test)]
mod tests {
    use chancery_domain::audit::retention::Retention;

    use super::*;

    #[test]
    fn the_oldest_and_the_next_of_all_logs_are_shown() {
        let now = Timestamp::from_seconds(1_000);
        let standing = |oldest: i64, next: i64| Standing {
            retention: Retention::default(),
            kept_from: "2020-01".parse().unwrap(),
            holds: Vec::new(),
            disputed: std::collections::BTreeSet::new(),
            unconfirmed: false,
            purges: Vec::new(),
            doubtful: std::collections::BTreeMap::new(),
            oldest: Some(Timestamp::from_seconds(oldest)),
            next: Some(Timestamp::from_seconds(next)),
        };
        let mut all = Retained::default();
        all.add(&standing(400, 5_000), now);
        all.add(&standing(700, 3_000), now);
        assert_eq!(all, Retained { oldest_seconds: 600, next_seconds: Some(2_000), ..Retained::default() });
        all.add(&standing(900, 500), now);
        assert_eq!(all.next_seconds, Some(0), "its time is over");
    }
}
