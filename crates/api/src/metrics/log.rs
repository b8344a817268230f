//! What is counted of the audit log: what is appended, and whether it is still what was written.

use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use chancery_domain::{Instance, store::Store};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

use super::{Metrics, catch_up, seconds, timed::Timed};

#[derive(Debug, Clone, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Check {
    check: &'static str,
}

/// What is counted of the audit log.
pub(super) struct LogMetrics {
    append_duration: Histogram,
    events: Counter,
    tree_size: Gauge<u64, AtomicU64>,
    integrity_failures: Family<Check, Counter>,
    scrubbed: Counter,
    unwitnessed: Gauge<u64, AtomicU64>,
    queue_stuck: Gauge<u64, AtomicU64>,
    clock_behind: Gauge<u64, AtomicU64>,
    intents_open: Gauge<u64, AtomicU64>,
}

impl Default for LogMetrics {
    fn default() -> Self {
        Self {
            append_duration: seconds(),
            events: Counter::default(),
            tree_size: Gauge::default(),
            integrity_failures: Family::default(),
            scrubbed: Counter::default(),
            unwitnessed: Gauge::default(),
            queue_stuck: Gauge::default(),
            clock_behind: Gauge::default(),
            intents_open: Gauge::default(),
        }
    }
}

impl LogMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "chancery_audit_append_duration",
            "Time of one group commit of audit events",
            Unit::Seconds,
            self.append_duration.clone(),
        );
        registry.register("chancery_audit_events", "Audit events made durable by group commits", self.events.clone());
        registry.register(
            "chancery_audit_tree_size",
            "Events that this process has moved into the logs of all tenants",
            self.tree_size.clone(),
        );
        registry.register(
            "chancery_audit_integrity_failures",
            "What is stored of an audit log and is not what was written, by what did not hold",
            self.integrity_failures.clone(),
        );
        registry.register(
            "chancery_audit_rows_scrubbed",
            "Entries and signed heads of audit logs that were looked at again",
            self.scrubbed.clone(),
        );
        registry.register_with_unit(
            "chancery_audit_unwitnessed",
            "Time since a quorum of witnesses signed a head of the platform's log; 0 without witnesses",
            Unit::Seconds,
            self.unwitnessed.clone(),
        );
        registry.register_with_unit(
            "chancery_audit_queue_stuck",
            "For how long the oldest event of a log's queue has been the oldest, as looked at once a minute; the longest of all logs",
            Unit::Seconds,
            self.queue_stuck.clone(),
        );
        registry.register_with_unit(
            "chancery_audit_clock_behind",
            "By how much at least the clock of this node is behind the platform's log; 0 if it is not",
            Unit::Seconds,
            self.clock_behind.clone(),
        );
        registry.register(
            "chancery_audit_intent_open",
            "Uses of personal data by this process whose outcome is not written yet; at 4,096 no further one begins",
            self.intents_open.clone(),
        );
    }

    /// What the domain has counted since.
    pub(super) fn read(&self, instance: &Instance) {
        for (check, count) in instance.guard().failures() {
            catch_up(&self.integrity_failures.get_or_create(&Check { check: check.as_str() }), count);
        }
        catch_up(&self.scrubbed, instance.guard().rows_scrubbed());
        self.queue_stuck.set(instance.guard().stuck_seconds());
        self.intents_open.set(instance.openings().count());
        self.clock_behind.set(instance.guard().clock_behind_seconds());
        self.unwitnessed.set(instance.guard().unwitnessed_seconds(instance.now()).unwrap_or(0));
    }

    /// A group commit took so long; of so many events if it was one.
    pub(super) fn appended(&self, took: Duration, events: Option<usize>) {
        self.append_duration.observe(took.as_secs_f64());
        self.events.inc_by(events.unwrap_or(0) as u64);
    }
}

impl Metrics {
    /// The logs of all tenants grew by so many events; told by the sequencing job.
    pub fn sequenced(&self, events: u64) {
        self.log.tree_size.inc_by(events);
    }

    /// A store that times its group commits here.
    pub fn timed(self: &Arc<Self>, store: Arc<dyn Store>) -> Arc<dyn Store> {
        Arc::new(Timed { store, metrics: Arc::clone(self) })
    }
}
