//! What is counted of webhooks. Labels are codes of closed lists: no source, no address, no tenant.

use std::sync::atomic::AtomicU64;

use chancery_domain::{
    Instance, Timestamp,
    webhooks::{Backlog, Direction, Waiting},
};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use super::{Class, Metrics, catch_up};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Arrived {
    provider: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Tried {
    direction: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Waits {
    direction: &'static str,
    state: &'static str,
}

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Way {
    direction: &'static str,
}

/// What is counted of webhooks.
#[derive(Default)]
pub(super) struct WebhookMetrics {
    received: Family<Arrived, Counter>,
    tries: Family<Tried, Counter>,
    key_fetches: Family<Class, Counter>,
    waiting: Family<Waits, Gauge<u64, AtomicU64>>,
    oldest: Family<Waits, Gauge<u64, AtomicU64>>,
    stalled: Family<Way, Gauge<u64, AtomicU64>>,
}

impl WebhookMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "chancery_webhooks_received",
            "Messages to the door for webhooks, by provider and what came of them; by `none` those to no source",
            self.received.clone(),
        );
        registry.register(
            "chancery_webhook_tries",
            "Tries to hand webhooks on to applications (in) and subscribers (out), by what came of them",
            self.tries.clone(),
        );
        registry.register(
            "chancery_webhook_key_fetches",
            "Key sets of senders of webhooks, by what came of asking",
            self.key_fetches.clone(),
        );
        registry.register(
            "chancery_webhooks_waiting",
            "Webhooks of all tenants that were not handed on, waiting for a try or for somebody",
            self.waiting.clone(),
        );
        registry.register_with_unit(
            "chancery_webhook_oldest_waiting",
            "Age of the oldest webhook that was not handed on; 0 if none waits",
            Unit::Seconds,
            self.oldest.clone(),
        );
        registry.register(
            "chancery_webhook_receivers_stalled",
            "Applications and subscribers that have taken no webhook for a quarter of an hour",
            self.stalled.clone(),
        );
        self.stand(&[], Timestamp::from_seconds(0));
    }

    fn stand(&self, backlogs: &[Backlog], now: Timestamp) {
        for direction in Direction::ALL {
            let of = |waiting: Waiting| {
                backlogs.iter().filter(move |found| found.direction == *direction && found.waiting == waiting)
            };
            for waiting in [Waiting::Queued, Waiting::Quarantined] {
                let labels = Waits { direction: direction.as_str(), state: waiting.as_str() };
                self.waiting.get_or_create(&labels).set(of(waiting).map(|found| found.count).sum());
                let oldest = of(waiting).map(|found| found.oldest).min();
                let age = oldest.map_or(0, |oldest| now.as_seconds().saturating_sub(oldest.as_seconds()));
                self.oldest.get_or_create(&labels).set(u64::try_from(age).unwrap_or(0));
            }
            let stalled = of(Waiting::Stalled).map(|found| found.count).sum();
            self.stalled.get_or_create(&Way { direction: direction.as_str() }).set(stalled);
        }
    }

    /// What the domain has counted since.
    pub(super) fn read(&self, instance: &Instance) {
        let counts = instance.webhook_counts();
        for (provider, arrival, count) in counts.arrivals() {
            let provider = provider.map_or("none", |provider| provider.as_str());
            let labels = Arrived { provider, outcome: arrival.as_str() };
            catch_up(&self.received.get_or_create(&labels), count);
        }
        for (direction, tried, count) in counts.tries() {
            let labels = Tried { direction: direction.as_str(), outcome: tried.as_str() };
            catch_up(&self.tries.get_or_create(&labels), count);
        }
        let (_, asked) = instance.key_fetches();
        for (class, count) in [("fetched", asked.fetched), ("failed", asked.failed)] {
            catch_up(&self.key_fetches.get_or_create(&Class { class }), count);
        }
    }
}

impl Metrics {
    /// What of webhooks waits in all tenants.
    pub fn webhooks_stand(&self, backlogs: &[Backlog], now: Timestamp) {
        self.webhooks.stand(backlogs, now);
    }
}
